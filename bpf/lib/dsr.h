/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct server return: what a node that a client spoke to tells the backend's node about the address the client knows. An IPv4 option
 * right behind the fixed header, before any others; an IPv6 destination options header right behind the IPv6 header.
 */
#ifndef AXO_DSR_H
#define AXO_DSR_H

#include "common.h"
#include "nd_arp.h"
#include "parse.h"

#define DSR4_OPTION 0x9a
#define DSR6_OPTION 0x1b
#define DSR4_LENGTH 8
#define DSR6_LENGTH 24

struct dsr4 {
	__u8 type;
	__u8 length;
	__be16 port;
	__be32 addr;
};
_Static_assert(sizeof(struct dsr4) == DSR4_LENGTH, "dsr4");

struct dsr6 {
	__u8 next;
	__u8 words; /* of eight bytes, the first not counted */
	__u8 type;
	__u8 length;
	__be16 port;
	__u16 pad;
	__u8 addr[16];
};
_Static_assert(sizeof(struct dsr6) == DSR6_LENGTH, "dsr6");

/* The address and port the client knows. */
struct dsr_front {
	__u8 addr[16];
	__be16 port;
	__u16 pad;
};

inline_always __u32 dsr_length(__u32 family)
{
	return family == 6 ? DSR6_LENGTH : DSR4_LENGTH;
}

/* Segments of UDP keep their length, each with a header of its own; TCP has it on SYNs, which are never cut. */
#define DSR_ROOM (BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET)

struct dsr4_head {
	struct iphdr ip;
	struct dsr4 option;
};

/* Header words that change, and the sum over them. Everything is stored so that a device's sum over the packet follows. */
inline_always void dsr4_resize(struct iphdr *ip, __s32 by, __s64 option_sum)
{
	struct {
		__u8 first;
		__u8 tos;
		__be16 tot_len;
	} was, now;
	__u64 sum;

	__builtin_memcpy(&was, ip, 4);
	now = was;
	now.first += by / 4;
	now.tot_len = bpf_htons(bpf_ntohs(was.tot_len) + by);
	sum = bpf_csum_diff((__be32 *)&was, 4, (__be32 *)&now, 4, (__u16)~ip->check);
	ip->check = fold(sum + option_sum);
	__builtin_memcpy(ip, &now, 4);
}

inline_always int dsr4_add(struct __sk_buff *skb, const struct dsr_front *f)
{
	struct dsr4_head h;

	if (bpf_skb_load_bytes(skb, ETH_HEADER, &h.ip, sizeof(h.ip)))
		return AXO_DROP_TRUNCATED;
	if (h.ip.ihl > 15 - DSR4_LENGTH / 4 || bpf_ntohs(h.ip.tot_len) > 0xffff - DSR4_LENGTH)
		return AXO_DROP_EXT_HEADER; /* no room left for options */
	if (bpf_skb_adjust_room(skb, DSR4_LENGTH, BPF_ADJ_ROOM_NET, DSR_ROOM))
		return AXO_DROP_WRITE_ERROR;
	h.option.type = DSR4_OPTION;
	h.option.length = DSR4_LENGTH;
	h.option.port = f->port;
	h.option.addr = *(__be32 *)f->addr;
	dsr4_resize(&h.ip, DSR4_LENGTH, bpf_csum_diff(NULL, 0, (__be32 *)&h.option, sizeof(h.option), 0));
	return bpf_skb_store_bytes(skb, ETH_HEADER, &h, sizeof(h), BPF_F_RECOMPUTE_CSUM) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

inline_always int dsr6_add(struct __sk_buff *skb, const struct dsr_front *f)
{
	struct {
		struct ipv6hdr ip;
		struct dsr6 option;
	} h;

	if (bpf_skb_load_bytes(skb, ETH_HEADER, &h.ip, sizeof(h.ip)))
		return AXO_DROP_TRUNCATED;
	/* hop-by-hop options have to stay first */
	if (h.ip.nexthdr == IPPROTO_HOPOPTS || bpf_ntohs(h.ip.payload_len) > 0xffff - DSR6_LENGTH)
		return AXO_DROP_EXT_HEADER;
	if (bpf_skb_adjust_room(skb, DSR6_LENGTH, BPF_ADJ_ROOM_NET, DSR_ROOM))
		return AXO_DROP_WRITE_ERROR;
	h.option.next = h.ip.nexthdr;
	h.option.words = DSR6_LENGTH / 8 - 1;
	h.option.type = DSR6_OPTION;
	h.option.length = DSR6_LENGTH - 4;
	h.option.port = f->port;
	h.option.pad = 0;
	copy16(h.option.addr, f->addr);
	h.ip.nexthdr = IPPROTO_DSTOPTS;
	h.ip.payload_len = bpf_htons(bpf_ntohs(h.ip.payload_len) + DSR6_LENGTH);
	return bpf_skb_store_bytes(skb, ETH_HEADER, &h, sizeof(h), BPF_F_RECOMPUTE_CSUM) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

/* AXO_OK or a drop reason. The caller's l4_off grows by dsr_length(). */
proven_alone int dsr_add(struct __sk_buff *skb, __u32 family, const struct dsr_front *f)
{
	if (!f)
		return AXO_DROP_NO_CONFIG;
	return family == 6 ? dsr6_add(skb, f) : dsr4_add(skb, f);
}

/* What the packet says it was sent to. AXO_PASS: nothing. Whether that is to be believed is the caller's to know. */
proven_alone int dsr_read(struct __sk_buff *skb, __u32 family, struct dsr_front *f)
{
	struct dsr6 six;
	struct dsr4 four;
	__u8 first;

	if (!f)
		return AXO_PASS;
	f->pad = 0;
	if (family == 6) {
		if (bpf_skb_load_bytes(skb, ETH_HEADER + offsetof(struct ipv6hdr, nexthdr), &first, 1) || first != IPPROTO_DSTOPTS ||
		    bpf_skb_load_bytes(skb, ETH_HEADER + IP6_HEADER, &six, sizeof(six)))
			return AXO_PASS;
		if (six.words != DSR6_LENGTH / 8 - 1 || six.type != DSR6_OPTION || six.length != DSR6_LENGTH - 4)
			return AXO_PASS;
		f->port = six.port;
		copy16(f->addr, six.addr);
		return AXO_OK;
	}
	if (bpf_skb_load_bytes(skb, ETH_HEADER, &first, 1) || (first & 0xf) < 5 + DSR4_LENGTH / 4 ||
	    bpf_skb_load_bytes(skb, ETH_HEADER + IP4_HEADER, &four, sizeof(four)))
		return AXO_PASS;
	if (four.type != DSR4_OPTION || four.length != DSR4_LENGTH)
		return AXO_PASS;
	__builtin_memset(f->addr, 0, 16);
	f->port = four.port;
	*(__be32 *)f->addr = four.addr;
	return AXO_OK;
}

inline_always int dsr4_remove(struct __sk_buff *skb)
{
	struct dsr4_head h;

	if (bpf_skb_load_bytes(skb, ETH_HEADER, &h, sizeof(h)))
		return AXO_DROP_TRUNCATED;
	dsr4_resize(&h.ip, -DSR4_LENGTH, bpf_csum_diff((__be32 *)&h.option, sizeof(h.option), NULL, 0, 0));
	if (bpf_skb_adjust_room(skb, -DSR4_LENGTH, BPF_ADJ_ROOM_NET, DSR_ROOM))
		return AXO_DROP_WRITE_ERROR;
	return bpf_skb_store_bytes(skb, ETH_HEADER, &h.ip, sizeof(h.ip), BPF_F_RECOMPUTE_CSUM) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

inline_always int dsr6_remove(struct __sk_buff *skb)
{
	struct ipv6hdr ip;
	__u8 next;

	if (bpf_skb_load_bytes(skb, ETH_HEADER, &ip, sizeof(ip)) || bpf_skb_load_bytes(skb, ETH_HEADER + IP6_HEADER, &next, 1))
		return AXO_DROP_TRUNCATED;
	ip.nexthdr = next;
	ip.payload_len = bpf_htons(bpf_ntohs(ip.payload_len) - DSR6_LENGTH);
	if (bpf_skb_adjust_room(skb, -DSR6_LENGTH, BPF_ADJ_ROOM_NET, DSR_ROOM))
		return AXO_DROP_WRITE_ERROR;
	return bpf_skb_store_bytes(skb, ETH_HEADER, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

/* Of a packet that dsr_read() understood. AXO_OK or a drop reason. */
proven_alone int dsr_remove(struct __sk_buff *skb, __u32 family)
{
	return family == 6 ? dsr6_remove(skb) : dsr4_remove(skb);
}

#endif
