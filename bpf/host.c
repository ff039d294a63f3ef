// SPDX-License-Identifier: Apache-2.0
/* Egress of axo_host: what the node itself sends to pods, here or elsewhere. */
#include "lib/common.h"
#include "lib/nd_arp.h"
#include "lib/related.h"

/* The stack may ask for a pod's MAC on this device; all of them are behind axo_net. */
call_only int host_neighbour(struct __sk_buff *skb, struct slow *s)
{
	const struct node_config *cfg = node();
	struct responder me = {};
	int r;

	if (!cfg)
		return TC_ACT_SHOT;
	__builtin_memcpy(me.mac, cfg->mac_net, 6);
	r = skb->protocol == bpf_htons(ETH_P_ARP) ? arp_answer(skb, &me) : nd_answer(skb, &me);
	if (r)
		return ignore(s, AXO_DIR_EGRESS);
	return bpf_redirect(cfg->ifindex_host, BPF_F_INGRESS);
}

static __attribute__((noinline)) int from_host_slow(struct __sk_buff *skb, __u32 missed)
{
	struct slow *s;
	int r;

	s = begin(skb, AXO_HOOK_FROM_HOST, missed);
	if (!s)
		return TC_ACT_SHOT;
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return host_neighbour(skb, s);
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_OK;
	r = parse_start(skb, s);
	if (r)
		return refuse(s, r, AXO_DIR_EGRESS);
	if (s->p.family == 6 && s->p.key.proto == IPPROTO_ICMPV6 && s->p.frag != FRAG_LATER &&
	    !bpf_skb_load_bytes(skb, s->p.l4_off, &s->p.icmp_type, 1)) {
		if (s->p.icmp_type == ICMP6_NEIGHBOUR_SOLICIT)
			return host_neighbour(skb, s);
		if (s->p.icmp_type >= ICMP6_ROUTER_SOLICIT && s->p.icmp_type <= ICMP6_REDIRECT)
			return ignore(s, AXO_DIR_EGRESS);
	}
	if (is_multicast(&s->p))
		return ignore(s, AXO_DIR_EGRESS);
	r = parse_rest(skb, s);
	if (r)
		return refuse(s, r, AXO_DIR_EGRESS);
	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	name_ends(s);
	/* passed on by the stack, with the address of somebody who would have sent it through the tunnel */
	if (tunnelled(node(), &s->src))
		return refuse(s, AXO_DROP_INVALID_SOURCE_IP, AXO_DIR_EGRESS);
	if (unlikely(s->p.icmp_error)) {
		if (find_related(skb, s) == AXO_OK)
			return related_error(skb, s, AXO_HOOK_FROM_HOST);
	}
	return slow_flow(skb, s, AXO_HOOK_FROM_HOST);
}

SEC("tc")
int from_host(struct __sk_buff *skb)
{
	int r = fast_path(skb, AXO_HOOK_FROM_HOST);

	return r < 0 ? from_host_slow(skb, r == AXO_NO_FLOW) : r;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
