/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses this node announces on its local network: who asks for them is answered in place, while the row is good. */
#ifndef AXO_ANNOUNCE_H
#define AXO_ANNOUNCE_H

#include "common.h"
#include "nd_arp.h"

/* The agent renews rows while it may; when it may not or is gone, time ends them. */
call_only bool announced(struct l2_announce_key *key, struct responder *me)
{
	struct l2_announce_value *row = bpf_map_lookup_elem(&l2_announce, key);

	if (!row || row->until_ns < bpf_ktime_get_ns())
		return false;
	__builtin_memcpy(me->mac, row->mac, 6);
	return true;
}

/* An ARP packet of the network. A TC action. */
call_only int announce_arp(struct __sk_buff *skb)
{
	struct l2_announce_key key = { .ifindex = skb->ifindex, .family = 4 };
	struct responder me = {};

	if (bpf_skb_load_bytes(skb, ETH_HEADER + __builtin_offsetof(struct arp_eth, tpa), key.addr, 4) || !announced(&key, &me))
		return TC_ACT_OK;
	return arp_answer(skb, &me) == AXO_OK ? bpf_redirect(skb->ifindex, 0) : TC_ACT_OK;
}

/* A TC action; AXO_PASS: it does not ask for an address of ours. */
call_only int announce_nd(struct __sk_buff *skb)
{
	struct l2_announce_key key = { .ifindex = skb->ifindex, .family = 6 };
	struct responder me = {};
	struct {
		struct ipv6hdr ip;
		__u8 type;
		__u8 code;
		__u8 rest[6];
		__u8 target[16];
	} ns;
	int r;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, ETH_HEADER, &ns, sizeof(ns)))
		return AXO_PASS;
	/* from beyond the link nobody may ask */
	if (ns.ip.nexthdr != IPPROTO_ICMPV6 || ns.ip.hop_limit != 255 || ns.type != ICMP6_NEIGHBOUR_SOLICIT || ns.code)
		return AXO_PASS;
	copy16(key.addr, ns.target);
	if (!announced(&key, &me))
		return AXO_PASS;
	r = nd_answer(skb, &me);
	if (r == AXO_IGNORE)
		return AXO_PASS;
	return r == AXO_OK ? bpf_redirect(skb->ifindex, 0) : TC_ACT_SHOT;
}

#endif
