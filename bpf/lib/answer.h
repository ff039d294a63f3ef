/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP errors in place of a packet: nobody serves it, or it is too long for what lies ahead. Called by the programs that translate
 * clients outside; the packet has to be as it came. It becomes the error, and goes back where it came from.
 */
#ifndef AXO_ANSWER_H
#define AXO_ANSWER_H

#include "common.h"
#include "nd_arp.h"
#include "parse.h"

#define QUOTE4 548  /* RFC 1812: 576 with the headers */
#define QUOTE6 1232 /* RFC 4443: the smallest MTU of IPv6, 1280 */
#define QUOTE_LEAST 28

#define ANSWER_UNREACHABLE 0
#define ANSWER_TOO_BIG 1

/* Per CPU and kind: one a millisecond, a hundred at once. */
#define ANSWER_PACE_NS 1000000ull
#define ANSWER_BURST 100

struct icmp_message {
	__u8 type;
	__u8 code;
	__be16 sum;
	__be32 rest;
	__u8 quote[QUOTE6];
};

struct answers {
	__u64 next_ns[2]; /* [ANSWER_]: when the steady pace allows one */
	struct icmp_message icmp;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct answers);
	__uint(max_entries, 1);
} answer_memory SEC(".maps");

inline_always bool answer_allowed(struct answers *a, __u32 kind)
{
	__u64 now = bpf_ktime_get_ns(), next = a->next_ns[kind & 1];

	if ((__s64)(next - now) < -(__s64)(ANSWER_BURST * ANSWER_PACE_NS))
		next = now - ANSWER_BURST * ANSWER_PACE_NS;
	if ((__s64)(next - now) > 0)
		return false;
	a->next_ns[kind & 1] = next + ANSWER_PACE_NS;
	return true;
}

/* Errors are never answered, nor what has no single sender; a later fragment would be answered a second time. */
inline_always bool answerable(const struct packet *p)
{
	if (p->icmp_error || p->frag == FRAG_LATER || is_multicast(p))
		return false;
	if (p->family == 6)
		return !zero16(p->key.saddr) && p->key.saddr[0] != 0xff;
	return p->key.saddr[0] && p->key.saddr[0] != 127 && p->key.saddr[0] < 0xe0;
}

/* Ones' complement sum of the first `length` bytes, a multiple of four; in steps because older kernels sum no more than 512 at once. */
inline_always __u64 sum_of(const struct icmp_message *m, __u32 length, __u64 sum)
{
	for (__u32 at = 0; at < sizeof(*m); at += 256) {
		__u32 left = length > at ? length - at : 0, n = left < 256 ? left : 256;
		__u32 room = sizeof(*m) - at; /* known to the compiler: of the last step less than 256 */

		if (n > room)
			n = room;
		if (!n)
			break;
		sum = bpf_csum_diff(NULL, 0, (__be32 *)((__u8 *)m + at), n, sum);
	}
	return sum;
}

/*
 * Leaves `length` bytes behind the Ethernet header, whatever is in them. Whole segments, what is left to a device to sum up (CHECKSUM_PARTIAL)
 * and what it has summed (COMPLETE) belong to the packet that was: the first shortening ends segmentation, pulling the place of
 * the old checksum off the front ends PARTIAL, growing ends COMPLETE.
 */
inline_always bool answer_resize(struct __sk_buff *skb, __u32 l4_off, __u32 length)
{
	__u32 away = l4_off + 4;

	if (l4_off > 1024)
		return false;
	if (bpf_skb_change_tail(skb, away + ETH_HEADER + IP6_HEADER, 0))
		return false;
	if (bpf_skb_adjust_room(skb, -(__s32)away, BPF_ADJ_ROOM_MAC, 0))
		return false;
	return !bpf_skb_change_tail(skb, ETH_HEADER + length, 0);
}

inline_always int answer_store4(struct __sk_buff *skb, const struct packet *p, __u32 length)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tos = 0xc0, /* network control, as RFC 1812 wants it */
		.tot_len = bpf_htons(IP4_HEADER + length),
		.frag_off = bpf_htons(0x4000),
		.ttl = 64,
		.protocol = IPPROTO_ICMP,
		.saddr = *(__be32 *)p->key.daddr,
		.daddr = *(__be32 *)p->key.saddr,
	};

	ip.check = fold(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
	return bpf_skb_store_bytes(skb, ETH_HEADER, &ip, sizeof(ip), 0);
}

inline_always int answer_store6(struct __sk_buff *skb, const struct packet *p, __u32 length)
{
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = bpf_htons(length),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = 64,
	};

	copy16(&ip.saddr, p->key.daddr);
	copy16(&ip.daddr, p->key.saddr);
	return bpf_skb_store_bytes(skb, ETH_HEADER, &ip, sizeof(ip), 0);
}

inline_always __u64 answer_pseudo6(const struct packet *p, __u32 length)
{
	struct {
		__u8 saddr[16];
		__u8 daddr[16];
		__be32 length;
		__be32 next;
	} pseudo = { .length = bpf_htonl(length), .next = bpf_htonl(IPPROTO_ICMPV6) };

	copy16(pseudo.saddr, p->key.daddr);
	copy16(pseudo.daddr, p->key.saddr);
	return bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
}

/* AXO_OK: the packet is now the error. Otherwise it is good for nothing but to be dropped. */
proven_alone int answer(struct __sk_buff *skb, const struct packet *p, __u32 kind, __u32 mtu)
{
	__u32 zero = 0, quote, length;
	struct answers *a = bpf_map_lookup_elem(&answer_memory, &zero);
	struct icmp_message *m;
	struct ethhdr eth, back;
	bool v6;

	if (!a || !p || !answerable(p) || !answer_allowed(a, kind))
		return AXO_IGNORE;
	m = &a->icmp;
	v6 = p->family == 6;
	quote = skb->len - ETH_HEADER;
	if (quote > (v6 ? QUOTE6 : QUOTE4))
		quote = v6 ? QUOTE6 : QUOTE4;
	quote &= 0x7fc;
	if (quote > QUOTE6 || bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
		return AXO_DROP_TRUNCATED;
	/* compared where it is used: older verifiers forget about copies, and about what a difference was compared with */
	asm volatile("" : "+r"(quote));
	if (quote < QUOTE_LEAST || bpf_skb_load_bytes(skb, ETH_HEADER, m->quote, quote))
		return AXO_DROP_TRUNCATED;
	length = quote + 8;
	if (kind == ANSWER_TOO_BIG) {
		m->type = v6 ? 2 : 3;
		m->code = v6 ? 0 : 4;
		m->rest = bpf_htonl(mtu);
	} else {
		m->type = v6 ? 1 : 3;
		m->code = v6 ? 4 : 3;
		m->rest = 0;
	}
	m->sum = 0;
	m->sum = fold(sum_of(m, length, v6 ? answer_pseudo6(p, length) : 0));

	if (!answer_resize(skb, p->l4_off, (v6 ? IP6_HEADER : IP4_HEADER) + length))
		return AXO_DROP_WRITE_ERROR;
	__builtin_memcpy(back.h_dest, eth.h_source, 6);
	__builtin_memcpy(back.h_source, eth.h_dest, 6);
	back.h_proto = eth.h_proto;
	if (bpf_skb_store_bytes(skb, 0, &back, sizeof(back), 0))
		return AXO_DROP_WRITE_ERROR;
	if (v6 ? answer_store6(skb, p, length) : answer_store4(skb, p, length))
		return AXO_DROP_WRITE_ERROR;
	if (length < 8 || length > sizeof(*m) || bpf_skb_store_bytes(skb, ETH_HEADER + (v6 ? IP6_HEADER : IP4_HEADER), m, length, 0))
		return AXO_DROP_WRITE_ERROR;
	return AXO_OK;
}

/* A TC action: the error back out of the device the packet came by, or the end of it. */
inline_always int answer_back(struct __sk_buff *skb, const struct packet *p, __u32 kind, __u32 mtu)
{
	if (answer(skb, p, kind, mtu))
		return TC_ACT_SHOT;
	skb->mark = AXO_MARK;
	return bpf_redirect(skb->ifindex, 0);
}

/* Length of the longest packet this one is when it leaves: segments of a device that cuts are packets of their own. */
inline_always __u32 packet_length(struct __sk_buff *skb, const struct packet *p)
{
	__u32 head = p->l4_off - ETH_HEADER;
	__u8 words = 0;

	if (likely(!skb->gso_size))
		return skb->len - ETH_HEADER;
	/* those before it were alone and have told the sender */
	if (skb->gso_size == GSO_BY_FRAGS)
		return head;
	if (p->key.proto != IPPROTO_TCP)
		return head + 8 + skb->gso_size;
	if (bpf_skb_load_bytes(skb, p->l4_off + 12, &words, 1))
		return skb->len - ETH_HEADER;
	return head + (words >> 4) * 4 + skb->gso_size;
}

#endif
