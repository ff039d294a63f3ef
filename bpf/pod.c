// SPDX-License-Identifier: Apache-2.0
/* The host side of every pod's veth pair: from_pod at its ingress, to_pod at its egress. Shared by all pods. */
#include "lib/common.h"
#include "lib/nd_arp.h"
#include "lib/related.h"
#include "lib/translate.h"

/* ICMPv6 that belongs to the link. A TC action, or AXO_NEED_SLOW for everything that is routed. */
call_only int pod_nd(struct __sk_buff *skb, struct slow *s, const struct endpoint_if_value *ep)
{
	struct responder me = {};
	int r;

	switch (s->p.icmp_type) {
	case ICMP6_NEIGHBOUR_SOLICIT:
		__builtin_memcpy(me.mac, ep->host_mac, 6);
		copy16(me.own, ep->ip6);
		r = nd_answer(skb, &me);
		if (r == AXO_IGNORE)
			return ignore(s, AXO_DIR_EGRESS);
		return r ? refuse(s, r, AXO_DIR_EGRESS) : bpf_redirect(skb->ifindex, 0);
	case ICMP6_NEIGHBOUR_ADVERT:
		return TC_ACT_OK;
	case ICMP6_ROUTER_SOLICIT:
	case ICMP6_ROUTER_ADVERT:
	case ICMP6_REDIRECT:
		return ignore(s, AXO_DIR_EGRESS);
	}
	return AXO_NEED_SLOW;
}

call_only int pod_arp(struct __sk_buff *skb, struct slow *s, const struct endpoint_if_value *ep)
{
	struct responder me = {};
	int r;

	__builtin_memcpy(me.mac, ep->host_mac, 6);
	__builtin_memcpy(me.own, ep->ip4, 4);
	r = arp_answer(skb, &me);
	if (r == AXO_PASS)
		return TC_ACT_OK;
	if (r == AXO_IGNORE)
		return ignore(s, AXO_DIR_EGRESS);
	return r ? refuse(s, r, AXO_DIR_EGRESS) : bpf_redirect(skb->ifindex, 0);
}

/* The source address is the pod's own. */
inline_always bool own_address(const struct packet *p, const struct endpoint_if_value *ep)
{
	if (p->family == 6)
		return same16(p->key.saddr, ep->ip6) && !zero16(ep->ip6);
	return *(__be32 *)p->key.saddr == *(__be32 *)ep->ip4 && *(__be32 *)ep->ip4;
}

/* Link-local and multicast business. A TC action, or AXO_NEED_SLOW to go on. */
call_only int pod_link(struct __sk_buff *skb, struct slow *s, const struct endpoint_if_value *ep)
{
	bool icmp6 = s->p.family == 6 && s->p.key.proto == IPPROTO_ICMPV6 && s->p.frag != FRAG_LATER;

	if (icmp6 && !bpf_skb_load_bytes(skb, s->p.l4_off, &s->p.icmp_type, 1)) {
		int r = pod_nd(skb, s, ep);

		if (r != AXO_NEED_SLOW)
			return r;
	}
	if (!is_multicast(&s->p))
		return AXO_NEED_SLOW;
	/* listener reports, IGMP: noise of every interface that comes up */
	if (icmp6 || s->p.key.proto == IPPROTO_IGMP)
		return ignore(s, AXO_DIR_EGRESS);
	return refuse(s, AXO_DROP_MULTICAST, AXO_DIR_EGRESS);
}

static __attribute__((noinline)) int from_pod_slow(struct __sk_buff *skb, __u32 missed)
{
	struct endpoint_if_key ek = { .ifindex = skb->ingress_ifindex };
	struct endpoint_if_value *ep;
	struct slow *s;
	int r;

	s = begin(skb, AXO_HOOK_FROM_POD, missed);
	if (!s)
		return TC_ACT_SHOT;
	ep = bpf_map_lookup_elem(&endpoint_if, &ek);
	if (!ep)
		return refuse(s, AXO_DROP_ENDPOINT_NOT_READY, AXO_DIR_EGRESS);
	s->src.identity = s->story.src_identity = ep->identity;
	s->src.endpoint = s->story.src_endpoint = ep->id;
	s->src.ifindex = ek.ifindex;
	s->src.kind = SIDE_POD;
	s->src.flags = ep->flags;
	__builtin_memcpy(s->src.mac, ep->mac, 6);
	__builtin_memcpy(s->src.host_mac, ep->host_mac, 6);

	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return pod_arp(skb, s, ep);
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return refuse(s, AXO_DROP_UNKNOWN_L3, AXO_DIR_EGRESS);
	r = parse_start(skb, s);
	if (r)
		return refuse(s, r, AXO_DIR_EGRESS);
	if (unlikely(!s->p.plain || is_multicast(&s->p))) {
		r = pod_link(skb, s, ep);
		if (r != AXO_NEED_SLOW)
			return r;
	}
	if (!own_address(&s->p, ep))
		return refuse(s, AXO_DROP_INVALID_SOURCE_IP, AXO_DIR_EGRESS);
	r = parse_rest(skb, s);
	if (r)
		return refuse(s, r, AXO_DIR_EGRESS);
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	name_ends(s);
	if (unlikely(forged_tunnel(&s->p)) && s->dst.kind != SIDE_POD)
		return refuse(s, AXO_DROP_ENCAP_PROHIBITED, AXO_DIR_EGRESS);
	if (unlikely(s->p.icmp_error)) {
		if (find_related(skb, s) == AXO_OK)
			return related_error(skb, s, AXO_HOOK_FROM_POD);
	}
	return slow_flow(skb, s, AXO_HOOK_FROM_POD);
}

/* A second copy, for the packet that has become another one: the first one pays no call. */
static __attribute__((noinline)) int from_pod_again(struct __sk_buff *skb)
{
	return fast_path(skb, AXO_HOOK_FROM_POD);
}

/* To services, of sockets that were left alone, raw sockets, protocols sockets do not translate. */
static __attribute__((noinline)) int from_pod_translate(struct __sk_buff *skb)
{
	return translate(skb, AXO_HOOK_FROM_POD);
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	int r = fast_path(skb, AXO_HOOK_FROM_POD), t = AXO_PASS;

	if (likely(r >= 0))
		return r;
	if (skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6)) {
		t = from_pod_translate(skb);
		if (t == AXO_NEED_SLOW)
			t = translate_slow(skb, AXO_HOOK_FROM_POD);
		if (t == AXO_AGAIN) {
			r = from_pod_again(skb);
			if (r >= 0)
				return r;
		} else if (t != AXO_PASS) {
			return t;
		}
	}
	return from_pod_slow(skb, (r == AXO_NO_FLOW ? SLOW_MISSED : 0) | (t == AXO_AGAIN ? SLOW_CHANGED : 0));
}

static __attribute__((noinline)) int to_pod_slow(struct __sk_buff *skb, __u32 missed)
{
	struct slow *s;
	int r;

	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_OK; /* ARP between the node and its pod */
	s = begin(skb, AXO_HOOK_TO_POD, missed);
	if (!s)
		return TC_ACT_SHOT;
	r = parse_start(skb, s);
	if (r)
		return refuse(s, r, AXO_DIR_INGRESS);
	if (is_multicast(&s->p) || (s->p.family == 6 && s->p.key.daddr[0] == 0xfe && (s->p.key.daddr[1] & 0xc0) == 0x80)) {
		/* neighbour discovery of the node's own stack; nothing else is wanted there */
		return s->p.family == 6 && s->p.key.proto == IPPROTO_ICMPV6 ? TC_ACT_OK : ignore(s, AXO_DIR_INGRESS);
	}
	r = parse_rest(skb, s);
	if (r)
		return refuse(s, r, AXO_DIR_INGRESS);
	if (s->p.key.proto == IPPROTO_ICMPV6 && s->p.icmp_type >= ICMP6_ROUTER_SOLICIT && s->p.icmp_type <= ICMP6_REDIRECT)
		return TC_ACT_OK;
	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	name_ends(s);
	if (s->dst.kind != SIDE_POD)
		return refuse(s, AXO_DROP_UNKNOWN_TARGET, AXO_DIR_INGRESS);
	if (unlikely(s->p.icmp_error)) {
		if (find_related(skb, s) == AXO_OK)
			return TC_ACT_OK;
	}
	return slow_flow(skb, s, AXO_HOOK_TO_POD);
}

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	int r;

	if (skb->mark == AXO_MARK)
		return TC_ACT_OK;
	r = fast_path(skb, AXO_HOOK_TO_POD);
	return r < 0 ? to_pod_slow(skb, r == AXO_NO_FLOW) : r;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
