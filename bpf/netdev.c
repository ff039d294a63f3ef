// SPDX-License-Identifier: Apache-2.0
/* The node's own devices. Almost everything here is the node's traffic: it has to get out of the way quickly. */
#include <linux/if_packet.h>

#include "lib/announce.h"
#include "lib/common.h"
#include "lib/related.h"
#include "lib/translate.h"

/* Our own encapsulated packets, both directions. */
inline_always bool is_tunnel(struct __sk_buff *skb, const struct packet *p)
{
	const struct node_config *cfg = node();
	__be16 port;

	if (!cfg || p->key.proto != IPPROTO_UDP || p->frag == FRAG_LATER || !cfg->vxlan_port)
		return false;
	return !bpf_skb_load_bytes(skb, p->l4_off + 2, &port, 2) && port == cfg->vxlan_port;
}

/*
 * What no host policy judges: the upkeep of the link, packets of the tunnel between nodes, errors about either's flows.
 * Ports are parsed, both ends resolved. The inner packet of an error tells whose it is.
 */
call_only bool host_exempt(struct __sk_buff *skb, struct slow *s, const struct side *other)
{
	const struct node_config *cfg = node();
	const struct packet *inner = &s->related.inner;

	if (link_upkeep(&s->p) || (forged_tunnel(&s->p) && is_node(other->identity)))
		return true;
	if (likely(!s->p.icmp_error))
		return false;
	if (find_related(skb, s) == AXO_OK)
		return true;
	/* about the path between nodes: without them the tunnel is a hole for large packets */
	return cfg && inner->key.proto == IPPROTO_UDP && cfg->vxlan_port && inner->key.dport == cfg->vxlan_port &&
	       same16(inner->key.saddr, s->p.key.daddr);
}

/* To the node's own stack, and the node is enforced. A TC action, or AXO_NEED_SLOW: to be judged. */
call_only int host_arrival(struct __sk_buff *skb, struct slow *s)
{
	__builtin_memset(&s->dst, 0, sizeof(s->dst));
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	if (s->dst.kind != SIDE_HOST) {
		if (!stays_here(skb, &s->p))
			return TC_ACT_OK; /* passing through: neither from the node nor to it */
		s->dst.kind = SIDE_HOST;
		s->dst.identity = IDENTITY_HOST;
	}
	name_ends(s);
	if (host_exempt(skb, s, &s->src))
		return TC_ACT_OK;
	/* nobody outside has an address of ours; pods elsewhere come through the tunnel, their nodes may come plain */
	if (s->src.kind != SIDE_REMOTE || (!is_node(s->src.identity) && tunnelled(node(), &s->src)))
		return refuse(s, AXO_DROP_INVALID_SOURCE_IP, AXO_DIR_INGRESS);
	return AXO_NEED_SLOW;
}

/* An answer to what was masqueraded, to one of the node's addresses. A TC action, AXO_NEED_SLOW: go on; AXO_PASS: none. */
inline_always int masqueraded_answer(struct __sk_buff *skb, struct slow *s)
{
	struct flow_value *e;

	if (s->p.icmp_error) {
		if (find_related(skb, s) == AXO_OK && s->related.translate)
			return related_error(skb, s, AXO_HOOK_FROM_NETDEV);
		return AXO_PASS;
	}
	e = flow_find(&s->p.key, s->p.family);
	if (!entry_lives(e, s->now) || !(e->flags & AXO_FLOW_DNAT) || is_syn(&s->p))
		return AXO_PASS;
	__builtin_memset(&s->dst, 0, sizeof(s->dst));
	resolve((void *)e->addr, s->p.family, &s->dst);
	if (s->dst.kind != SIDE_POD)
		return AXO_PASS;
	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	name_ends(s);
	return AXO_NEED_SLOW;
}

/* To no pod of this node. A TC action, or AXO_NEED_SLOW: the ends are known, judge it. */
inline_always int netdev_to_node(struct __sk_buff *skb, struct slow *s)
{
	const struct node_config *cfg = node();
	bool enforced = cfg && unlikely(cfg->flags & AXO_NODE_HOST_POLICY) && host_enforced();
	int r;

	if (!cfg || (!enforced && (!masquerades(cfg, s->p.family) || is_tunnel(skb, &s->p))))
		return TC_ACT_OK;
	r = host_ports(skb, &s->p);
	if (r)
		return enforced ? refuse(s, r, AXO_DIR_INGRESS) : TC_ACT_OK;
	if (masquerades(cfg, s->p.family) && !forged_tunnel(&s->p)) {
		r = masqueraded_answer(skb, s);
		if (r != AXO_PASS)
			return r;
	}
	return enforced ? host_arrival(skb, s) : TC_ACT_OK;
}

/* It was sent to a service: nodes may use those of others without the tunnel. */
call_only bool through_service(struct slow *s)
{
	struct nat_value *row;

	reverse_key(&s->back, &s->p.key);
	row = nat_find(&s->back, s->p.family);
	return row && row->flags & AXO_NAT_REPLY;
}

/* From outside to a pod of this node. As netdev_to_node(). */
inline_always int netdev_to_pod(struct __sk_buff *skb, struct slow *s)
{
	int r;

	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	name_ends(s);
	r = parse_rest(skb, s);
	if (r)
		return refuse(s, r, AXO_DIR_INGRESS);
	/* nobody outside has an address of ours, or of the cluster's */
	if (s->src.kind != SIDE_REMOTE || (tunnelled(node(), &s->src) && !(is_node(s->src.identity) && through_service(s))))
		return refuse(s, AXO_DROP_INVALID_SOURCE_IP, AXO_DIR_INGRESS);
	if (unlikely(s->p.icmp_error)) {
		if (find_related(skb, s) == AXO_OK)
			return related_error(skb, s, AXO_HOOK_FROM_NETDEV);
	}
	return AXO_NEED_SLOW;
}

/* To be passed on by the node's stack, which would make a packet of the node of it: so it must not bear an address of ours. */
call_only bool passes_as_ours(struct slow *s)
{
	if (is_multicast(&s->p))
		return false;
	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	return s->src.kind != SIDE_REMOTE;
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
	r = parse_start(skb, s);
	if (r)
		return host_enforced() ? refuse(s, r, AXO_DIR_INGRESS) : TC_ACT_OK;
	copy16(ek.addr, s->p.key.daddr);
	ek.family = s->p.family;
	ep = bpf_map_lookup_elem(&endpoint, &ek);
	if (!ep && passes_as_ours(s))
		return refuse(s, AXO_DROP_INVALID_SOURCE_IP, AXO_DIR_INGRESS);
	r = !ep || ep->flags & AXO_ENDPOINT_HOST ? netdev_to_node(skb, s) : netdev_to_pod(skb, s);
	return r == AXO_NEED_SLOW ? slow_flow(skb, s, AXO_HOOK_FROM_NETDEV) : r;
}

/* A second copy, for the packet that has become another one: the first one pays no call. */
static __attribute__((noinline)) int from_netdev_again(struct __sk_buff *skb)
{
	return fast_path(skb, AXO_HOOK_FROM_NETDEV);
}

static __attribute__((noinline)) int from_netdev_translate(struct __sk_buff *skb)
{
	return translate(skb, AXO_HOOK_FROM_NETDEV);
}

SEC("tc")
int from_netdev(struct __sk_buff *skb)
{
	int r, t;

	/* a switch that does not know where somebody is gives everybody his frames */
	if (unlikely(skb->pkt_type == PACKET_OTHERHOST))
		return TC_ACT_OK;
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return skb->protocol == bpf_htons(ETH_P_ARP) ? announce_arp(skb) : TC_ACT_OK;
	/* of a VLAN: it comes again by its own device, without the tag that would go on with it from here */
	if (unlikely(skb->vlan_present) && !host_enforced())
		return TC_ACT_OK;
	r = fast_path(skb, AXO_HOOK_FROM_NETDEV);
	if (r >= 0)
		return r;
	t = announce_nd(skb);
	if (t != AXO_PASS)
		return t;
	t = from_netdev_translate(skb);
	if (t == AXO_NEED_SLOW)
		t = translate_slow(skb, AXO_HOOK_FROM_NETDEV);
	if (t == AXO_AGAIN) {
		r = from_netdev_again(skb);
		if (r >= 0)
			return r;
	} else if (t != AXO_PASS) {
		return t;
	}
	return from_netdev_slow(skb, (r == AXO_NO_FLOW ? SLOW_MISSED : 0) | (t == AXO_AGAIN ? SLOW_CHANGED : 0));
}

/*
 * A pod's packet that went through the node's stack, because the routing table said so (see route()). Its egress was
 * judged by from_pod, which left the flow entry; here it gets its masquerade address.
 */
inline_always int pod_departure(struct __sk_buff *skb, struct slow *s)
{
	const struct node_config *cfg = node();
	struct flow_value *e, v;
	int r;

	if (!cfg || is_tunnel(skb, &s->p) || is_multicast(&s->p) || !masquerades(cfg, s->p.family))
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
		r = masquerade(skb, &s->p, &s->src, &v);
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

/* Of the node's own stack, and the node is enforced. A TC action, or AXO_NEED_SLOW: to be judged. */
call_only int host_departure(struct __sk_buff *skb, struct slow *s)
{
	int r = host_ports(skb, &s->p);

	if (r)
		return refuse(s, r, AXO_DIR_EGRESS);
	s->src.kind = SIDE_HOST;
	s->src.identity = IDENTITY_HOST;
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	name_ends(s);
	if (s->dst.kind == SIDE_HOST || host_exempt(skb, s, &s->dst))
		return TC_ACT_OK;
	return AXO_NEED_SLOW;
}

static __attribute__((noinline)) int to_netdev_slow(struct __sk_buff *skb)
{
	struct slow *s;
	bool enforced;
	int r;

	s = begin(skb, AXO_HOOK_TO_NETDEV, 0);
	if (!s)
		return TC_ACT_SHOT;
	enforced = host_enforced();
	r = parse_l3(skb, &s->p);
	if (r)
		return enforced ? refuse(s, r, AXO_DIR_EGRESS) : TC_ACT_OK;
	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	if (s->src.kind == SIDE_POD)
		return pod_departure(skb, s);
	/* packets without a socket and without an address of the node pass through it */
	if (!enforced || (s->src.kind != SIDE_HOST && !skb->sk))
		return TC_ACT_OK;
	r = host_departure(skb, s);
	return r == AXO_NEED_SLOW ? slow_flow(skb, s, AXO_HOOK_TO_NETDEV) : r;
}

/* The node is enforced: everything it sends has a flow entry, but for what is never judged. */
static __attribute__((noinline)) int to_netdev_enforced(struct __sk_buff *skb, const struct node_config *cfg)
{
	int r;

	if (tunnel_to_node(skb, cfg))
		return TC_ACT_OK;
	r = fast_path(skb, AXO_HOOK_TO_NETDEV);
	return r < 0 ? to_netdev_slow(skb) : r;
}

inline_always int to_netdev_untranslated(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct node_config *cfg = node();

	if (skb->mark == AXO_MARK || !cfg)
		return TC_ACT_OK;
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_OK;
	if (unlikely(cfg->flags & AXO_NODE_HOST_POLICY))
		return to_netdev_enforced(skb, cfg);
	/* the node's own packets, which is nearly all of them */
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HEADER;

		if (!(cfg->flags & AXO_NODE_MASQUERADE4))
			return TC_ACT_OK;
		if (data + ETH_HEADER + IP4_HEADER <= end && ip->saddr == *(__be32 *)cfg->node_ip4)
			return TC_ACT_OK;
	} else {
		struct ipv6hdr *ip = data + ETH_HEADER;

		if (!(cfg->flags & AXO_NODE_MASQUERADE6))
			return TC_ACT_OK;
		if (data + ETH_HEADER + IP6_HEADER <= end && same16(&ip->saddr, cfg->node_ip6))
			return TC_ACT_OK;
	}
	return to_netdev_slow(skb);
}

SEC("tc")
int to_netdev(struct __sk_buff *skb)
{
	bool judged = skb->mark == AXO_MARK;
	int r = to_netdev_untranslated(skb);

	/* after judgement: policy sees the program that answers */
	if (r == TC_ACT_OK && unlikely(has_stack_backends()) && !judged &&
	    (skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6)) && stack_answer(skb))
		return TC_ACT_SHOT;
	return r;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
