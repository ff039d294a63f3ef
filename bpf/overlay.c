// SPDX-License-Identifier: Apache-2.0
/* Ingress of axo_vxlan: packets of other nodes for pods here, with the sender's identity in the VNI. */
#include "lib/common.h"
#include "lib/related.h"
#include "lib/translate.h"

static __attribute__((noinline)) int from_overlay_slow(struct __sk_buff *skb, __u32 missed)
{
	struct slow *s;
	bool known;
	int r;

	s = begin(skb, AXO_HOOK_FROM_OVERLAY, missed);
	if (!s)
		return TC_ACT_SHOT;
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return refuse(s, AXO_DROP_UNKNOWN_L3, AXO_DIR_INGRESS);
	r = parse_start(skb, s);
	if (r)
		return refuse(s, r, AXO_DIR_INGRESS);
	r = tunnel_sender(skb, &s->src.identity);
	s->story.src_identity = s->src.identity;
	if (r)
		return refuse(s, r, AXO_DIR_INGRESS);
	known = s->src.identity != IDENTITY_WORLD;
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	name_ends(s);
	if (s->dst.kind == SIDE_HOST && !host_enforced()) {
		/* what its sockets answer to is the stack's business */
		if (!parse_rest(skb, s) && forged_tunnel(&s->p))
			return refuse(s, AXO_DROP_ENCAP_PROHIBITED, AXO_DIR_INGRESS);
		if (skb->pkt_type)
			bpf_skb_change_type(skb, 0);
		return TC_ACT_OK;
	}
	if (s->dst.kind == SIDE_REMOTE)
		return refuse(s, AXO_DROP_UNROUTABLE, AXO_DIR_INGRESS);
	r = parse_rest(skb, s);
	if (r)
		return refuse(s, r, AXO_DIR_INGRESS);
	if (s->dst.kind == SIDE_HOST && forged_tunnel(&s->p))
		return refuse(s, AXO_DROP_ENCAP_PROHIBITED, AXO_DIR_INGRESS);
	if (unlikely(s->p.icmp_error)) {
		if (find_related(skb, s) == AXO_OK)
			return related_error(skb, s, AXO_HOOK_FROM_OVERLAY);
	}
	if (unlikely(!known)) {
		r = passed_on(s);
		name_ends(s);
		if (r)
			return refuse(s, r, AXO_DIR_INGRESS);
	}
	return slow_flow(skb, s, AXO_HOOK_FROM_OVERLAY);
}

/* A second copy, for the packet that has become another one: the first one pays no call. */
static __attribute__((noinline)) int from_overlay_again(struct __sk_buff *skb)
{
	return fast_path(skb, AXO_HOOK_FROM_OVERLAY);
}

/* Answers to clients outside that this node has passed on; pods of other nodes that use a port of this one. */
static __attribute__((noinline)) int from_overlay_translate(struct __sk_buff *skb)
{
	return translate(skb, AXO_HOOK_FROM_OVERLAY);
}

SEC("tc")
int from_overlay(struct __sk_buff *skb)
{
	int r = fast_path(skb, AXO_HOOK_FROM_OVERLAY), t = AXO_PASS;

	if (r >= 0)
		return r;
	if (skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6)) {
		t = from_overlay_translate(skb);
		if (t == AXO_NEED_SLOW)
			t = translate_slow(skb, AXO_HOOK_FROM_OVERLAY);
		if (t == AXO_AGAIN) {
			r = from_overlay_again(skb);
			if (r >= 0)
				return r;
		} else if (t != AXO_PASS) {
			return t;
		}
	}
	return from_overlay_slow(skb, (r == AXO_NO_FLOW ? SLOW_MISSED : 0) | (t == AXO_AGAIN ? SLOW_CHANGED : 0));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
