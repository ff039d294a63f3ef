// SPDX-License-Identifier: Apache-2.0
/* The node's own devices. Almost everything here is the node's traffic: it has to get out of the way quickly. */
#include "lib/common.h"
#include "lib/related.h"

/* Our own encapsulated packets, both directions. */
inline_always bool is_tunnel(struct __sk_buff *skb, const struct packet *p)
{
	const struct node_config *cfg = node();
	__be16 port;

	if (!cfg || p->key.proto != IPPROTO_UDP || p->frag == FRAG_LATER || !cfg->vxlan_port)
		return false;
	return !bpf_skb_load_bytes(skb, p->l4_off + 2, &port, 2) && port == cfg->vxlan_port;
}

/* To one of the node's addresses: only answers to what was masqueraded concern us. A TC action. */
inline_always int netdev_to_node(struct __sk_buff *skb, struct slow *s)
{
	const struct node_config *cfg = node();
	struct flow_value *e;

	if (!cfg || !masquerades(cfg, s->p.family) || is_tunnel(skb, &s->p) || parse_rest(skb, s))
		return TC_ACT_OK;
	if (s->p.icmp_error) {
		if (find_related(skb, s) == AXO_OK && s->related.translate)
			return related_error(skb, s, AXO_HOOK_FROM_NETDEV);
		return TC_ACT_OK;
	}
	e = flow_find(&s->p.key, s->p.family);
	if (!entry_lives(e, s->now) || !(e->flags & AXO_FLOW_DNAT) || is_syn(&s->p))
		return TC_ACT_OK;
	__builtin_memset(&s->dst, 0, sizeof(s->dst));
	resolve((void *)e->addr, s->p.family, &s->dst);
	if (s->dst.kind != SIDE_POD)
		return TC_ACT_OK;
	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	name_ends(s);
	return slow_flow(skb, s, AXO_HOOK_FROM_NETDEV);
}

static __attribute__((noinline)) int from_netdev_slow(struct __sk_buff *skb, __u32 missed)
{
	struct endpoint_key ek = {};
	struct endpoint_value *ep;
	struct slow *s;
	int r;

	s = begin(skb, AXO_HOOK_FROM_NETDEV, missed);
	if (!s)
		return TC_ACT_SHOT;
	if (parse_start(skb, s))
		return TC_ACT_OK;
	copy16(ek.addr, s->p.key.daddr);
	ek.family = s->p.family;
	ep = bpf_map_lookup_elem(&endpoint, &ek);
	if (!ep || ep->flags & AXO_ENDPOINT_HOST)
		return netdev_to_node(skb, s);

	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	name_ends(s);
	/* nobody outside has an address of ours */
	if (s->src.kind != SIDE_REMOTE)
		return refuse(s, AXO_DROP_INVALID_SOURCE_IP, AXO_DIR_INGRESS);
	r = parse_rest(skb, s);
	if (r)
		return refuse(s, r, AXO_DIR_INGRESS);
	if (unlikely(s->p.icmp_error)) {
		if (find_related(skb, s) == AXO_OK)
			return related_error(skb, s, AXO_HOOK_FROM_NETDEV);
	}
	return slow_flow(skb, s, AXO_HOOK_FROM_NETDEV);
}

SEC("tc")
int from_netdev(struct __sk_buff *skb)
{
	int r;

	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_OK;
	r = fast_path(skb, AXO_HOOK_FROM_NETDEV);
	return r < 0 ? from_netdev_slow(skb, r == AXO_NO_FLOW) : r;
}

/*
 * A pod's packet that went through the node's stack, because the routing table said so (see route()). Its egress was
 * judged by from_pod, which left the flow entry; here it gets its masquerade address.
 */
static __attribute__((noinline)) int to_netdev_slow(struct __sk_buff *skb)
{
	const struct node_config *cfg = node();
	struct flow_value *e, v;
	struct slow *s;
	int r;

	s = begin(skb, AXO_HOOK_TO_NETDEV, 0);
	if (!s)
		return TC_ACT_SHOT;
	if (!cfg || parse_l3(skb, &s->p) || is_tunnel(skb, &s->p) || is_multicast(&s->p))
		return TC_ACT_OK;
	if (!masquerades(cfg, s->p.family))
		return TC_ACT_OK;
	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	if (s->src.kind != SIDE_POD)
		return TC_ACT_OK;
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	name_ends(s);
	if (!beyond_cluster(&s->dst))
		return TC_ACT_OK;
	r = parse_ports(skb, &s->p);
	if (r)
		return refuse(s, r, AXO_DIR_EGRESS);
	e = flow_find(&s->p.key, s->p.family);
	/* without from_pod's judgement nothing of a pod leaves */
	if (!entry_lives(e, s->now))
		return refuse(s, AXO_DROP_NAT_NO_MAPPING, AXO_DIR_EGRESS);
	if (!(e->flags & AXO_FLOW_SNAT)) {
		v = *e;
		r = masquerade(&s->p, &s->src, &v);
		if (r)
			return refuse(s, r, AXO_DIR_EGRESS);
		flow_write(&s->p.key, s->p.family, &v, BPF_ANY);
	} else {
		v = *e;
	}
	v.flags &= ~AXO_FLOW_DNAT;
	if (rewrite_flow(skb, &v, s->p.family, s->p.l4_off, s->p.key.proto | (s->p.frag == FRAG_LATER ? REWRITE_NO_PORTS : 0)))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

SEC("tc")
int to_netdev(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct node_config *cfg = node();

	if (skb->mark == AXO_MARK || !cfg)
		return TC_ACT_OK;
	/* the node's own packets, which is nearly all of them */
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HEADER;

		if (!(cfg->flags & AXO_NODE_MASQUERADE4))
			return TC_ACT_OK;
		if (data + ETH_HEADER + IP4_HEADER <= end && ip->saddr == *(__be32 *)cfg->node_ip4)
			return TC_ACT_OK;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + ETH_HEADER;

		if (!(cfg->flags & AXO_NODE_MASQUERADE6))
			return TC_ACT_OK;
		if (data + ETH_HEADER + IP6_HEADER <= end && same16(&ip->saddr, cfg->node_ip6))
			return TC_ACT_OK;
	} else {
		return TC_ACT_OK;
	}
	return to_netdev_slow(skb);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
