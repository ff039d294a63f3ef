/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets at the driver: from frame to 5-tuple and back by direct access, for the packets that need nothing else. IPv4 without
 * options and fragments, IPv6 without extension headers, TCP and UDP, in one buffer. Called by xdp.c.
 */
#ifndef AXO_XDP_H
#define AXO_XDP_H

#include "common.h"
#include "parse.h"

#define TCP_HEADER 20
#define UDP_HEADER 8

inline_always void *frame_start(const struct xdp_md *ctx)
{
	return (void *)(long)ctx->data;
}

inline_always void *frame_end(const struct xdp_md *ctx)
{
	return (void *)(long)ctx->data_end;
}

/* Ports of TCP and UDP at `l4`. False: another protocol, or cut short. */
inline_always bool frame_ports(const void *l4, const void *end, __u8 proto, struct flow6_key *key, __u8 *tcp_flags)
{
	const __be16 *word = l4;

	if (proto == IPPROTO_TCP) {
		if (l4 + TCP_HEADER > end)
			return false;
		*tcp_flags = ((const __u8 *)l4)[13];
	} else {
		if (proto != IPPROTO_UDP || l4 + UDP_HEADER > end)
			return false;
		*tcp_flags = 0;
	}
	key->sport = word[0];
	key->dport = word[1];
	key->proto = proto;
	key->kind = 0;
	key->pad[0] = key->pad[1] = 0;
	return true;
}

/* ---- checksums ------------------------------------------------------------------------------------------- */

/* Changes are added up in 64 bits and folded once. Words are as they lie in the packet. */
inline_always __u64 sum_change(__u64 sum, __u32 old, __u32 fresh)
{
	return sum + (__u32)~old + fresh;
}

/* Ports and other halves: their complement must not spill into the other half. */
inline_always __u64 sum_change16(__u64 sum, __u16 old, __u16 fresh)
{
	return sum + (__u16)~old + fresh;
}

/* Of less than 2^16 words: 48 bits. */
inline_always __u16 sum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* A header's checksum after `change`. */
inline_always __u16 sum_apply(__u16 check, __u64 change)
{
	return ~sum_fold(change + (__u16)~check);
}

/* Where the transport's is. */
inline_always __u16 *sum_field(void *l4, __u8 proto)
{
	return l4 + (proto == IPPROTO_TCP ? 16 : 6);
}

/* A UDP packet may have none, and never has one of zero. */
inline_always void sum_transport(__u16 *check, __u8 proto, __u64 change)
{
	__u16 sum = *check;

	if (proto != IPPROTO_UDP) {
		*check = sum_apply(sum, change);
	} else if (sum) {
		sum = sum_apply(sum, change);
		*check = sum ? sum : 0xffff;
	}
}

/* ---- rewriting ------------------------------------------------------------------------------------------- */

/* What the packet shall say. What an end keeps is zero in `change_`. */
struct ends {
	const void *saddr; /* 16 bytes as in tables */
	const void *daddr;
	__be16 sport;
	__be16 dport;
	bool change_source;
	bool change_destination;
};

inline_always __u64 set_word(__u32 *at, const __u32 *fresh, __u64 sum)
{
	__u32 old = *at;

	*at = *fresh;
	return sum_change(sum, old, *fresh);
}

inline_always __u64 set_half(__be16 *at, __be16 fresh, __u64 sum)
{
	__be16 old = *at;

	*at = fresh;
	return sum_change16(sum, old, fresh);
}

/* One hop less, and what else changes in the header. */
inline_always void take_hop4(struct iphdr *ip, __u64 change)
{
	ip->ttl--;
	ip->check = sum_apply(ip->check, change + (__u16)~bpf_htons(0x0100));
}

/* Both ends and one hop less. The caller has seen that the headers are there, up to `check`, which is the transport's. */
inline_always void rewrite_frame4(struct iphdr *ip, __be16 *ports, __u16 *check, __u8 proto, const struct ends *e)
{
	__u64 address = 0, port = 0;

	if (e->change_destination) {
		address = set_word(&ip->daddr, e->daddr, address);
		port = set_half(&ports[1], e->dport, port);
	}
	if (e->change_source) {
		address = set_word(&ip->saddr, e->saddr, address);
		port = set_half(&ports[0], e->sport, port);
	}
	take_hop4(ip, address);
	sum_transport(check, proto, address + port);
}

inline_always __u64 set_address6(void *at, const void *fresh, __u64 sum)
{
	__u32 *to = at;
	const __u32 *word = fresh;

	sum = set_word(to, word, sum);
	sum = set_word(to + 1, word + 1, sum);
	sum = set_word(to + 2, word + 2, sum);
	return set_word(to + 3, word + 3, sum);
}

inline_always void rewrite_frame6(struct ipv6hdr *ip, __be16 *ports, __u16 *check, __u8 proto, const struct ends *e)
{
	__u64 change = 0;

	if (e->change_destination) {
		change = set_address6(&ip->daddr, e->daddr, change);
		change = set_half(&ports[1], e->dport, change);
	}
	if (e->change_source) {
		change = set_address6(&ip->saddr, e->saddr, change);
		change = set_half(&ports[0], e->sport, change);
	}
	ip->hop_limit--;
	sum_transport(check, proto, change);
}

/* dmac and smac lie behind one another, in a row as in a frame. */
inline_always void set_frame_macs(void *eth, const __u8 *dmac)
{
	__u32 *to = eth;
	const __u32 *mac = (const __u32 *)dmac;

	to[0] = mac[0];
	to[1] = mac[1];
	to[2] = mac[2];
}

#endif
