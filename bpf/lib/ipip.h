/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP in IP: a whole packet travels to its backend inside another one of the same family. The outer header says from which node it comes
 * and, for IPv6, of which flow it is; there is never anything else in it. Called by xdp.c and, on skbs, by translate.h.
 */
#ifndef AXO_IPIP_H
#define AXO_IPIP_H

#include "common.h"
#include "xdp.h"

#define IPIP_TTL 64

/* `inner` is the header inside, its hop already taken. */
inline_always void outer4(struct iphdr *ip, const struct iphdr *inner, const struct node_config *cfg, const void *daddr)
{
	__u16 *half = (__u16 *)ip;
	__u64 sum = 0;

	ip->version = 4;
	ip->ihl = IP4_HEADER / 4;
	ip->tos = inner->tos;
	ip->tot_len = bpf_htons(bpf_ntohs(inner->tot_len) + IP4_HEADER);
	ip->id = inner->id;
	/* never in pieces: what does not fit was refused */
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = IPIP_TTL;
	ip->protocol = IPPROTO_IPIP;
	ip->check = 0;
	ip->saddr = *(const __be32 *)cfg->node_ip4;
	ip->daddr = *(const __be32 *)daddr;
#pragma unroll
	for (int i = 0; i < IP4_HEADER / 2; i++)
		sum += half[i];
	ip->check = ~sum_fold(sum);
}

/* Ports and addresses in 20 bits, so that the network can spread flows that all go to one backend. */
inline_always __u32 flow_label(const struct ipv6hdr *inner)
{
	const __u32 *words = (const __u32 *)&inner->saddr, *ports = (const __u32 *)(inner + 1);
	__u32 h = words[0] ^ words[1] ^ words[2] ^ words[3] ^ *ports;

	h *= 0x9e3779b1u;
	return h >> 12;
}

/* The ports of `inner` must be readable. */
inline_always void outer6(struct ipv6hdr *ip, const struct ipv6hdr *inner, const struct node_config *cfg, const void *daddr)
{
	__u32 class = bpf_ntohl(*(const __u32 *)inner) & 0x0ff00000;

	*(__u32 *)ip = bpf_htonl(0x60000000 | class | flow_label(inner));
	ip->payload_len = bpf_htons(bpf_ntohs(inner->payload_len) + IP6_HEADER);
	ip->nexthdr = IPPROTO_IPV6;
	ip->hop_limit = IPIP_TTL;
	copy16(&ip->saddr, cfg->node_ip6);
	copy16(&ip->daddr, daddr);
}

inline_always __u32 ipip_length(__u32 family)
{
	return family == 6 ? IP6_HEADER : IP4_HEADER;
}

/* Segments of a device that cuts keep their length: whoever calls has seen that they fit with the header around them. */
#define IPIP_ROOM BPF_F_ADJ_ROOM_FIXED_GSO

/* On an skb whose hop is taken. AXO_OK or a drop reason; the Ethernet header stays. */
proven_alone int ipip_encapsulate(struct __sk_buff *skb, const struct addr16 *daddr, __u32 family)
{
	const struct node_config *cfg = node();

	if (!daddr || !cfg || zero16(daddr))
		return AXO_DROP_NO_CONFIG;
	if (family == 6) {
		struct ipv6hdr outer = {};
		struct {
			struct ipv6hdr ip;
			__be16 ports[2];
		} inner;

		if (zero16(cfg->node_ip6))
			return AXO_DROP_NO_CONFIG;
		if (bpf_skb_load_bytes(skb, ETH_HEADER, &inner, sizeof(inner)))
			return AXO_DROP_TRUNCATED;
		outer6(&outer, &inner.ip, cfg, daddr);
		if (bpf_skb_adjust_room(skb, IP6_HEADER, BPF_ADJ_ROOM_MAC, IPIP_ROOM | BPF_F_ADJ_ROOM_ENCAP_L3_IPV6))
			return AXO_DROP_WRITE_ERROR;
		return bpf_skb_store_bytes(skb, ETH_HEADER, &outer, sizeof(outer), 0) ? AXO_DROP_WRITE_ERROR : AXO_OK;
	}
	struct iphdr outer = {}, inner;

	if (!*(__be32 *)cfg->node_ip4)
		return AXO_DROP_NO_CONFIG;
	if (bpf_skb_load_bytes(skb, ETH_HEADER, &inner, sizeof(inner)))
		return AXO_DROP_TRUNCATED;
	outer4(&outer, &inner, cfg, daddr);
	if (bpf_skb_adjust_room(skb, IP4_HEADER, BPF_ADJ_ROOM_MAC, IPIP_ROOM | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4))
		return AXO_DROP_WRITE_ERROR;
	return bpf_skb_store_bytes(skb, ETH_HEADER, &outer, sizeof(outer), 0) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

#endif
