/* SPDX-License-Identifier: Apache-2.0 */
/* ARP and neighbour discovery: answered in place, because whatever a pod asks for is behind its gateway. */
#ifndef AXO_ND_ARP_H
#define AXO_ND_ARP_H

#include "common.h"
#include "parse.h"

#define ICMP6_ROUTER_SOLICIT 133
#define ICMP6_ROUTER_ADVERT 134
#define ICMP6_NEIGHBOUR_SOLICIT 135
#define ICMP6_NEIGHBOUR_ADVERT 136
#define ICMP6_REDIRECT 137

struct arp_eth {
	__be16 hrd;
	__be16 pro;
	__u8 hln;
	__u8 pln;
	__be16 op;
	__u8 sha[6];
	__u8 spa[4];
	__u8 tha[6];
	__u8 tpa[4];
} __attribute__((packed)); /* a wire format */

struct nd_message {
	__u8 type;
	__u8 code;
	__be16 sum;
	__be32 flags;
	__u8 target[16];
	__u8 option;
	__u8 option_len;
	__u8 mac[6];
};
_Static_assert(sizeof(struct nd_message) == 32, "nd_message");

struct responder {
	__u8 mac[6]; /* has the asked address */
	__u8 pad[2];
	__u8 own[16]; /* the asker's address: never answered for */
};

/*
 * A request becomes the answer. Returns AXO_OK when the packet is now the answer, AXO_PASS when it is not a request, AXO_IGNORE otherwise.
 */
proven_alone int arp_answer(struct __sk_buff *skb, const struct responder *me)
{
	struct arp_eth arp;
	struct ethhdr eth;

	if (!me || bpf_skb_load_bytes(skb, ETH_HEADER, &arp, sizeof(arp)))
		return AXO_DROP_TRUNCATED;
	if (arp.hrd != bpf_htons(1) || arp.pro != bpf_htons(ETH_P_IP) || arp.hln != 6 || arp.pln != 4)
		return AXO_IGNORE;
	if (arp.op != bpf_htons(1))
		return AXO_PASS;
	/* gratuitous, or a probe for its own address */
	if (!__builtin_memcmp(arp.tpa, arp.spa, 4) || !__builtin_memcmp(arp.tpa, me->own, 4))
		return AXO_IGNORE;

	__builtin_memcpy(eth.h_dest, arp.sha, 6);
	__builtin_memcpy(eth.h_source, me->mac, 6);
	eth.h_proto = bpf_htons(ETH_P_ARP);
	arp.op = bpf_htons(2);
	__builtin_memcpy(arp.tha, arp.sha, 6);
	__builtin_memcpy(arp.sha, me->mac, 6);
	for (int i = 0; i < 4; i++) {
		__u8 asked = arp.tpa[i];

		arp.tpa[i] = arp.spa[i];
		arp.spa[i] = asked;
	}
	if (bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0) || bpf_skb_store_bytes(skb, ETH_HEADER, &arp, sizeof(arp), 0))
		return AXO_DROP_WRITE_ERROR;
	return AXO_OK;
}

inline_always __be16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The same for a neighbour solicitation. */
proven_alone int nd_answer(struct __sk_buff *skb, const struct responder *me)
{
	struct nd_message nd = {};
	struct {
		__u8 saddr[16];
		__u8 daddr[16];
		__be32 length;
		__be32 next;
	} pseudo = { .length = bpf_htonl(sizeof(nd)), .next = bpf_htonl(IPPROTO_ICMPV6) };
	struct ipv6hdr ip;
	struct ethhdr eth;

	if (!me || bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)) || bpf_skb_load_bytes(skb, ETH_HEADER, &ip, sizeof(ip)) ||
	    bpf_skb_load_bytes(skb, ETH_HEADER + IP6_HEADER, &nd, 24))
		return AXO_DROP_TRUNCATED;
	/* from "::" it looks for a duplicate of its own address: silence means it may have it */
	if (zero16(&ip.saddr) || same16(nd.target, me->own) || same16(nd.target, &ip.saddr))
		return AXO_IGNORE;
	if (bpf_skb_change_tail(skb, ETH_HEADER + IP6_HEADER + sizeof(nd), 0))
		return AXO_DROP_WRITE_ERROR;

	copy16(pseudo.saddr, nd.target);
	copy16(pseudo.daddr, &ip.saddr);
	nd.type = ICMP6_NEIGHBOUR_ADVERT;
	nd.sum = 0;
	nd.flags = bpf_htonl(0xe0000000); /* router, solicited, override */
	nd.option = 2;
	nd.option_len = 1;
	__builtin_memcpy(nd.mac, me->mac, 6);
	nd.sum = fold((__u64)bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0) +
		      (__u64)bpf_csum_diff(NULL, 0, (__be32 *)&nd, sizeof(nd), 0));

	copy16(&ip.daddr, pseudo.daddr);
	copy16(&ip.saddr, pseudo.saddr);
	ip.payload_len = bpf_htons(sizeof(nd));
	ip.hop_limit = 255;
	__builtin_memcpy(eth.h_dest, eth.h_source, 6);
	__builtin_memcpy(eth.h_source, me->mac, 6);
	if (bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0) || bpf_skb_store_bytes(skb, ETH_HEADER, &ip, sizeof(ip), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HEADER + IP6_HEADER, &nd, sizeof(nd), 0))
		return AXO_DROP_WRITE_ERROR;
	return AXO_OK;
}

#endif
