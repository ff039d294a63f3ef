/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying out what a flow entry says: rewrite, hop, redirect. Shared by the fast and the slow path. */
#ifndef AXO_DELIVER_H
#define AXO_DELIVER_H

#include "common.h"
#include "nat.h"
#include "tunnel.h"

#define AF_INET_ 2
#define AF_INET6_ 10

inline_always bool at_egress(const __u32 hook)
{
	return hook == AXO_HOOK_FROM_HOST || hook == AXO_HOOK_TO_POD || hook == AXO_HOOK_TO_NETDEV;
}

/* One hop less. The IPv4 header's sum follows; for IPv6 a device's full-packet sum has to be told. */
inline_always void hop4(struct iphdr *ip)
{
	__u32 check = ip->check;

	check += bpf_htons(0x0100);
	ip->check = check + (check >= 0xffff);
	ip->ttl--;
}

inline_always void hop6(struct ipv6hdr *ip)
{
	ip->hop_limit--;
}

inline_always void set_macs(struct ethhdr *eth, const struct flow_value *v)
{
	__u32 *to = (__u32 *)eth;
	const __u32 *from = (const __u32 *)v->dmac; /* smac follows */

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
}

proven_alone int rewrite_flow(struct __sk_buff *skb, const struct flow_value *v, __u32 family, __u32 l4_off, __u32 proto)
{
	struct rewrite w = {
		.family = family, .proto = proto, .l3_off = ETH_HEADER, .l4_off = l4_off, .no_ports = proto >> 8,
	};

	if (!v)
		return AXO_DROP_NO_CONFIG;
	w.port = v->port;
	if (v->flags & AXO_FLOW_DNAT) {
		copy16(w.addr, v->addr);
	} else {
		const struct node_config *cfg = node();

		if (!cfg)
			return AXO_DROP_NO_CONFIG;
		w.source = 1;
		if (family == 6)
			copy16(w.addr, cfg->node_ip6);
		else
			*(__be32 *)w.addr = *(__be32 *)cfg->node_ip4;
	}
	return rewrite(skb, &w);
}

/*
 * The row for an answer of a service's backend, of a plain packet. NULL: there is no such service any more. What rewrites by it is called from where
 * this was: the stack is counted here.
 */
call_only const struct nat_value *answer_row(struct __sk_buff *skb, __u32 family, __u32 l4_off, __u32 proto)
{
	/* one place for both */
	union {
		struct flow4_key v4;
		struct flow6_key v6;
	} key = {};
	struct nat_value *row;
	__u8 tcp_flags = 0;

	if ((__u8)proto == IPPROTO_TCP && bpf_skb_load_bytes(skb, l4_off + 13, &tcp_flags, 1))
		return NULL;
	if (family == 6) {
		key.v6.proto = proto;
		if (bpf_skb_load_bytes(skb, ETH_HEADER + offsetof(struct ipv6hdr, saddr), key.v6.saddr, 32) ||
		    bpf_skb_load_bytes(skb, l4_off, &key.v6.sport, 4))
			return NULL;
		row = bpf_map_lookup_elem(&nat6, &key.v6);
	} else {
		key.v4.proto = proto;
		if (bpf_skb_load_bytes(skb, ETH_HEADER + offsetof(struct iphdr, saddr), &key.v4.saddr, 8) ||
		    bpf_skb_load_bytes(skb, l4_off, &key.v4.sport, 4))
			return NULL;
		row = bpf_map_lookup_elem(&nat4, &key.v4);
	}
	return row && row->flags & AXO_NAT_REPLY && nat_usable(row, 0, ticks(), family, proto, tcp_flags) ? row : NULL;
}

/* Ethernet and hop limit, by direct access. */
inline_always int move_headers(struct __sk_buff *skb, const struct flow_value *v, const __u32 hook, const __u8 family)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + ETH_HEADER + (family == 6 ? IP6_HEADER : IP4_HEADER) > end)
		return AXO_DROP_WRITE_ERROR;
	/* what the node itself sends has not been anywhere yet */
	if (!at_egress(hook)) {
		if (family == 6)
			hop6(data + ETH_HEADER);
		else
			hop4(data + ETH_HEADER);
	}
	if (v->action == AXO_ACT_POD)
		set_macs(data, v);
	return AXO_OK;
}

/* A TC action. Out of the device, to the next hop. */
inline_always int neigh_to(struct __sk_buff *skb, __u32 ifindex, bool v6, const __u8 *hop)
{
	struct bpf_redir_neigh nh = {};

	skb->mark = AXO_MARK;
	nh.nh_family = v6 ? AF_INET6_ : AF_INET_;
	if (v6)
		copy16(nh.ipv6_nh, hop);
	else
		nh.ipv4_nh = *(__be32 *)hop;
	return bpf_redirect_neigh(ifindex, &nh, sizeof(nh), 0);
}

/*
 * A TC action. Packets that are going up the stack are not touched, but for a service's source that is put back. AXO_NEED_SLOW: the
 * service has gone. `l4_off` and `proto` are only for rewriting.
 */
inline_always int deliver(struct __sk_buff *skb, const struct flow_value *v, const __u32 hook, const __u8 family,
			  __u32 l4_off, __u32 proto)
{
	__u8 action = v->action;
	__u32 out = v->ifindex_out;

	if (hook == AXO_HOOK_TO_POD)
		return TC_ACT_OK;
	if (hook == AXO_HOOK_TO_NETDEV) /* two conditions: of one, clang makes a frame three times as large */
		return TC_ACT_OK;
	if (unlikely(v->flags & AXO_FLOW_NAT) && (v->flags & AXO_FLOW_REPLY || hook == AXO_HOOK_FROM_HOST)) {
		const struct nat_value *row = answer_row(skb, family, l4_off, proto);

		if (!row)
			return AXO_NEED_SLOW;
		if (nat_rewrite(skb, row, family, l4_off, proto))
			return TC_ACT_SHOT;
	}
	if (unlikely(action == AXO_ACT_STACK)) {
		if (hook == AXO_HOOK_FROM_OVERLAY && skb->pkt_type)
			bpf_skb_change_type(skb, 0);
		return TC_ACT_OK;
	}
	if (unlikely(v->flags & (AXO_FLOW_SNAT | AXO_FLOW_DNAT)) &&
	    rewrite_flow(skb, v, family, l4_off, proto))
		return TC_ACT_SHOT;
	if (move_headers(skb, v, hook, family))
		return TC_ACT_SHOT;
	if (likely(action == AXO_ACT_POD)) {
		if (at_egress(hook)) {
			skb->mark = AXO_MARK;
			return bpf_redirect(out, 0);
		}
		/* the tunnel device took the inner MAC for somebody else's */
		if (hook != AXO_HOOK_FROM_POD) {
			if (family == 6) /* hop limit went from n to n-1: the last byte of its 16-bit word */
				bpf_csum_update(skb, bpf_htons(0xfffe));
			if (skb->pkt_type)
				bpf_skb_change_type(skb, 0);
		}
		return bpf_redirect_peer(out, 0);
	}
	if (action == AXO_ACT_TUNNEL)
		return tunnel_to(skb, v->ifindex_out, v->flags & AXO_FLOW_V6_UNDERLAY, v->addr);
	return neigh_to(skb, out, v->flags & AXO_FLOW_V6_UNDERLAY, v->addr);
}

#endif
