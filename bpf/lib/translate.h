/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of services in tc: the layer before flows. A packet of a service is rewritten and goes on as what it has become, or
 * leaves for another node, or ends here. What it costs everybody else is north_maybe(). Called by netdev.c, overlay.c, pod.c.
 */
#ifndef AXO_TRANSLATE_H
#define AXO_TRANSLATE_H

#include "answer.h"
#include "arrival.h"
#include "departure.h"
#include "ipip.h"
#include "north.h"
#include "related.h"
#include "slow.h"

/* Not zero: programs of this node are backends, to_netdev has to look for their answers. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} stack_backends SEC(".maps");

inline_always bool has_stack_backends(void)
{
	__u32 zero = 0;
	__u32 *on = bpf_map_lookup_elem(&stack_backends, &zero);

	return on && *on;
}

inline_always void note_stack_backend(void)
{
	__u32 zero = 0;
	__u32 *on = bpf_map_lookup_elem(&stack_backends, &zero);

	if (on && !*on)
		*on = 1;
}

/* A row may exist, or have to be made. */
inline_always bool concerns_services(const struct flow6_key *key, __u8 family, __u32 revision, const __u32 hook)
{
	const struct node_config *cfg = node();

	if (hook == AXO_HOOK_FROM_NETDEV && north_may_answer(key, family))
		return true;
	/* a pod that is its own backend answers to the node's address in its block */
	if (hook == AXO_HOOK_FROM_POD && cfg &&
	    (family == 6 ? same16(key->daddr, cfg->router_ip6) : *(__be32 *)key->daddr == *(__be32 *)cfg->router_ip4))
		return true;
	return north_maybe(key, family, revision);
}

/* Where the packet that `v` makes goes, from the node's routing table into the row. 0 or a drop reason. */
proven_alone int translate_route(struct __sk_buff *skb, struct nat_value *v, __u32 family, __u32 proto)
{
	const struct node_config *cfg = node();
	struct bpf_fib_lookup fib;
	long r;

	if (!v || !cfg)
		return AXO_DROP_NO_CONFIG;
	__builtin_memset(&fib, 0, sizeof(fib));
	fib.ifindex = skb->ifindex;
	fib.l4_protocol = proto;
	if (family == 6) {
		fib.family = AF_INET6_;
		copy16(fib.ipv6_src, v->action == AXO_VIA_IPIP ? cfg->node_ip6 : v->saddr);
		copy16(fib.ipv6_dst, v->daddr);
	} else {
		fib.family = AF_INET_;
		fib.ipv4_src = *(__be32 *)(v->action == AXO_VIA_IPIP ? cfg->node_ip4 : v->saddr);
		fib.ipv4_dst = *(__be32 *)v->daddr;
	}
	r = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (r != BPF_FIB_LKUP_RET_SUCCESS && r != BPF_FIB_LKUP_RET_NO_NEIGH && r != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return AXO_DROP_NO_FIB;
	if (fib.ifindex == cfg->ifindex_host || fib.ifindex == cfg->ifindex_net)
		return AXO_DROP_UNROUTABLE;
	__builtin_memset(v->hop, 0, 16);
	v->ifindex_out = fib.ifindex;
	v->mtu = fib.mtu_result ? fib.mtu_result : MTU_UNKNOWN;
	if (fib.family == AF_INET6_) {
		v->flags |= AXO_NAT_V6_HOP;
		copy16(v->hop, fib.ipv6_dst);
	} else {
		v->flags &= ~AXO_NAT_V6_HOP;
		*(__be32 *)v->hop = fib.ipv4_dst;
	}
	return 0;
}

/* By a device of the node, to the next hop in the row. */
inline_always bool leaves_plain(const struct nat_value *v)
{
	return v->action == AXO_VIA_NEIGH || v->action == AXO_VIA_IPIP;
}

inline_always int translate_hop(struct __sk_buff *skb, __u32 family)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + ETH_HEADER + (family == 6 ? IP6_HEADER : IP4_HEADER) > end)
		return AXO_DROP_WRITE_ERROR;
	if (family == 6)
		hop6(data + ETH_HEADER);
	else
		hop4(data + ETH_HEADER);
	return AXO_OK;
}

/* A TC action. */
proven_alone int translate_send(struct __sk_buff *skb, const struct nat_value *v)
{
	if (!v)
		return TC_ACT_SHOT;
	if (v->action == AXO_VIA_TUNNEL)
		return tunnel_to(skb, v->ifindex_out, v->flags & AXO_NAT_V6_HOP, v->hop);
	if (leaves_plain(v))
		return neigh_to(skb, v->ifindex_out, v->flags & AXO_NAT_V6_HOP, v->hop);
	return TC_ACT_SHOT;
}

/* To where it came from. Judged by nobody: a pod that speaks to itself by its own address never comes here. */
call_only int turn_back(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	__u8 mac[6];

	if (data + ETH_HEADER > end)
		return TC_ACT_SHOT;
	__builtin_memcpy(mac, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, mac, 6);
	skb->mark = AXO_MARK;
	return bpf_redirect(skb->ifindex, 0);
}

/*
 * Carry out a row. A TC action, AXO_AGAIN, or -reason for a drop. The next hop is known, the hop limit allows it.
 * `proto` may have REWRITE_NO_PORTS.
 */
inline_always int translate_apply(struct __sk_buff *skb, const struct nat_value *v, __u32 family, __u32 l4_off, __u32 proto,
				  const __u32 hook)
{
	if (v->action != AXO_VIA_IPIP && nat_rewrite(skb, v, family, l4_off, proto))
		return TC_ACT_SHOT;
	if (v->action == AXO_VIA_LOCAL) {
		const struct node_config *cfg = node();

		if (hook != AXO_HOOK_FROM_NETDEV || !(v->flags & AXO_NAT_STACK) || !cfg)
			return AXO_AGAIN;
		note_stack_backend();
		return cfg->flags & AXO_NODE_HOST_POLICY ? AXO_AGAIN : TC_ACT_OK;
	}
	if (hook == AXO_HOOK_FROM_POD)
		return turn_back(skb);
	if (translate_hop(skb, family))
		return TC_ACT_SHOT;
	if (unlikely(v->action == AXO_VIA_IPIP) && ipip_encapsulate(skb, (void *)v->daddr, family))
		return TC_ACT_SHOT;
	return translate_send(skb, v);
}

/*
 * The row is for packets that come this way. One that sends them on to another node or back to a client is not for pods, who
 * could have written any address; answers out of the tunnel come out of the tunnel.
 */
inline_always bool row_is_for(const struct nat_value *v, const __u32 hook)
{
	if (v->action == AXO_VIA_LOCAL)
		return !(v->flags & AXO_NAT_REPLY);
	return (v->action == AXO_VIA_BACK) == (hook == AXO_HOOK_FROM_POD);
}

/* The scope of a packet's client, or AXO_PASS: it is not who it says, the flow path knows what to do with that. */
inline_always int scope_of(struct __sk_buff *skb, struct slow *s, const __u32 hook)
{
	const struct node_config *cfg = node();

	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	if (hook == AXO_HOOK_FROM_POD) {
		if (s->src.kind != SIDE_POD || s->src.ifindex != skb->ingress_ifindex)
			return AXO_PASS;
		/* pods are no services, whatever has their address */
		resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
		if (s->dst.kind == SIDE_POD || (s->dst.kind == SIDE_REMOTE && s->dst.tunnel_family && !is_node(s->dst.identity)))
			return AXO_PASS;
		return NORTH_HERE;
	}
	if (hook == AXO_HOOK_FROM_OVERLAY) {
		/* pods and programs of other nodes that use a port of this one */
		if (s->src.kind != SIDE_REMOTE || tunnel_sender(skb, &s->src.identity) || place_of((void *)s->p.key.daddr, s->p.family) != AT_OWN)
			return AXO_PASS;
		return s->src.identity == IDENTITY_WORLD ? AXO_PASS : NORTH_INSIDE;
	}
	if (s->src.kind != SIDE_REMOTE || (tunnelled(cfg, &s->src) && !is_node(s->src.identity)))
		return AXO_PASS;
	return s->src.tunnel_family || north_is_pod(s->src.identity) || north_is_node(s->src.identity) ? NORTH_INSIDE : NORTH_OUTSIDE;
}

/* The row for s->p into n->row. NORTH_ROW, NORTH_NONE, AXO_PASS or a drop reason. */
inline_always int find_row(struct __sk_buff *skb, struct slow *s, struct north *n, const __u32 hook)
{
	struct nat_value *row = nat_find(&s->p.key, s->p.family);
	int scope;

	n->unwritten = 0;
	if (row && row->flags & AXO_NAT_REPLY) {
		if (!nat_usable(row, 0, s->now, s->p.family, s->p.key.proto, s->p.tcp_flags))
			return AXO_PASS;
		/* of a pod here its flow entry puts the source back */
		if (!row_is_for(row, hook))
			return AXO_PASS;
		n->row = *row;
		return NORTH_ROW;
	}
	n->revision = nat_revision();
	if (row && nat_usable(row, n->revision, s->now, s->p.family, s->p.key.proto, s->p.tcp_flags)) {
		if (!row_is_for(row, hook))
			return AXO_PASS;
		n->row = *row;
		return NORTH_ROW;
	}
	scope = scope_of(skb, s, hook);
	if (scope < 0)
		return AXO_PASS;
	__builtin_memset(n, 0, sizeof(*n));
	n->key = s->p.key;
	n->now = s->now;
	n->family = s->p.family;
	n->tcp_flags = s->p.tcp_flags;
	n->client = scope;
	n->identity = travelling_identity(s->src.identity);
	n->can = NORTH_CAN_DSR | NORTH_CAN_IPIP;
	north_had(n, row);
	return north_decide();
}

/* n->row has a next hop of this revision, and is in the table. 0 or a drop reason. */
inline_always int find_way(struct __sk_buff *skb, struct slow *s, struct north *n)
{
	__u32 revision = nat_revision();
	int r = 0, bad;

	if (leaves_plain(&n->row) && (!n->row.ifindex_out || n->row.revision != revision || n->row.mtu == MTU_UNKNOWN)) {
		r = translate_route(skb, &n->row, s->p.family, s->p.key.proto);
		if (!r) {
			n->row.revision = revision;
			n->key = s->p.key;
			n->family = s->p.family;
			n->unwritten = 1;
		}
	}
	bad = north_keep(n);
	return r ? r : bad;
}

/*
 * s->p has addresses and ports. AXO_PASS: no service; AXO_AGAIN: rewritten, go on as if it had arrived so; else a TC action.
 */
inline_always int translate_parsed(struct __sk_buff *skb, struct slow *s, const __u32 hook)
{
	struct north *n = own_north();
	int r;

	if (!n)
		return AXO_PASS;
	r = find_row(skb, s, n, hook);
	if (r == AXO_PASS || r == NORTH_NONE)
		return AXO_PASS;
	if (r != NORTH_ROW) {
		int action = refuse_client(skb, s, r, hook);

		return n->reject ? answer_back(skb, &s->p, ANSWER_UNREACHABLE, 0) : action;
	}
	if (s->p.ttl <= 1 && leaves_here(&n->row)) {
		north_keep(n);
		return refuse_client(skb, s, AXO_DROP_TTL, hook);
	}
	r = find_way(skb, s, n);
	if (r)
		return refuse_client(skb, s, r, hook);
	if (leaves_here(&n->row)) {
		r = departs(skb, s, n, hook);
		if (r != AXO_OK)
			return r;
	}
	return translate_apply(skb, &n->row, s->p.family, s->p.l4_off,
			       s->p.key.proto | (s->p.frag == FRAG_LATER ? REWRITE_NO_PORTS : 0), hook);
}

/*
 * The row for the packet that answers the one inside an error. An error about an answer, from the client's side, may come to another node than
 * the flow did: where the backend's node answers by itself, that is the same backend by the same table.
 */
inline_always bool error_row(struct slow *s, struct north *n, const __u32 hook)
{
	struct related *r = &s->related;
	struct nat_value *row = nat_find(&r->key, s->p.family);

	if (row) {
		r->row = *row;
		return !nat_expired(row, s->now);
	}
	if (hook != AXO_HOOK_FROM_NETDEV)
		return false;
	__builtin_memset(n, 0, sizeof(*n));
	n->key = r->key;
	n->now = s->now;
	n->family = s->p.family;
	n->can = NORTH_CAN_DSR | NORTH_CAN_IPIP;
	if (north_frontend() != NORTH_ROW || !(n->front.flags & AXO_LB_DSR) || !n->front.maglev_size)
		return false;
	if (north_decide() != NORTH_ROW || north_keep(n) || !(n->row.flags & AXO_NAT_DSR))
		return false;
	r->row = n->row;
	return true;
}

/* An ICMP error. As translate(); what the flow path translates is AXO_PASS. */
inline_always int translate_error_packet(struct __sk_buff *skb, struct slow *s, const __u32 hook)
{
	struct related *r = &s->related;
	struct north *n = own_north();
	int bad;

	__builtin_memset(r, 0, sizeof(*r));
	if (!n || parse_inner(skb, &s->p, &r->inner) || !same16(r->inner.key.saddr, s->p.key.daddr))
		return AXO_PASS;
	reverse_key(&r->key, &r->inner.key);
	if (!error_row(s, n, hook))
		return AXO_PASS;
	if (!row_is_for(&r->row, hook) || r->row.action == AXO_VIA_BACK)
		return AXO_PASS;
	if (leaves_plain(&r->row) && translate_route(skb, &r->row, s->p.family, s->p.key.proto))
		return refuse_client(skb, s, AXO_DROP_NO_FIB, hook);
	if (leaves_here(&r->row) && s->p.ttl <= 1)
		return refuse_client(skb, s, AXO_DROP_TTL, hook);
	/* encapsulated, as the packets it is about came: its receiver has the address that the client knows */
	if (r->row.action == AXO_VIA_IPIP)
		return translate_apply(skb, &r->row, s->p.family, s->p.l4_off, s->p.key.proto, hook);
	bad = translate_service_error(skb, s);
	if (bad)
		return refuse_client(skb, s, bad, hook);
	if (r->row.action == AXO_VIA_LOCAL) {
		const struct node_config *cfg = node();

		return r->row.flags & AXO_NAT_STACK && cfg && !(cfg->flags & AXO_NODE_HOST_POLICY) ? TC_ACT_OK : AXO_AGAIN;
	}
	if (translate_hop(skb, s->p.family))
		return TC_ACT_SHOT;
	return translate_send(skb, &r->row);
}

/* Fragments, options, first packets. AXO_PASS, AXO_AGAIN or a TC action. */
static __attribute__((noinline)) int translate_slow(struct __sk_buff *skb, const __u32 hook)
{
	struct slow *s = begin(skb, hook, 0);

	if (!s)
		return TC_ACT_SHOT;
	/* what cannot be understood is no service's; the flow path has an opinion about it */
	if (parse_l3(skb, &s->p) || is_multicast(&s->p) || !has_ports(s->p.key.proto) || parse_ports(skb, &s->p))
		return AXO_PASS;
	if (s->p.icmp_error)
		return translate_error_packet(skb, s, hook);
	if (hook != AXO_HOOK_FROM_POD && unlikely(s->p.l4_off != ETH_HEADER + (s->p.family == 6 ? IP6_HEADER : IP4_HEADER))) {
		int r = dsr_arrival(skb, s, hook);

		if (r != AXO_PASS)
			return r;
	}
	if (hook != AXO_HOOK_FROM_OVERLAY && !concerns_services(&s->p.key, s->p.family, nat_revision(), hook))
		return AXO_PASS;
	return translate_parsed(skb, s, hook);
}

/* The tuple of a plain TCP or UDP packet by direct access, as the fast path. */
inline_always bool plain_tuple(struct __sk_buff *skb, struct flow6_key *key, __u8 *tcp_flags, __u8 *ttl)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end, *l4;
	__be16 *words;

	__builtin_memset(key, 0, sizeof(*key));
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HEADER;

		if (data + ETH_HEADER + IP4_HEADER + 8 > end || *(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
			return false;
		*(__be32 *)key->saddr = ip->saddr;
		*(__be32 *)key->daddr = ip->daddr;
		key->proto = ip->protocol;
		*ttl = ip->ttl;
		l4 = ip + 1;
	} else {
		struct ipv6hdr *ip = data + ETH_HEADER;

		if (data + ETH_HEADER + IP6_HEADER + 8 > end)
			return false;
		copy16(key->saddr, &ip->saddr);
		copy16(key->daddr, &ip->daddr);
		key->proto = ip->nexthdr;
		*ttl = ip->hop_limit;
		l4 = ip + 1;
	}
	if (key->proto == IPPROTO_TCP) {
		if (l4 + 20 > end)
			return false;
		*tcp_flags = ((__u8 *)l4)[13];
	} else if (key->proto != IPPROTO_UDP) {
		return false;
	}
	words = l4;
	key->sport = words[0];
	key->dport = words[1];
	return true;
}

/*
 * Before flows. AXO_PASS: no service, go on; AXO_AGAIN: rewritten, go on as if it had arrived so; AXO_NEED_SLOW: ask translate_slow();
 * else a TC action. The packet is IPv4 or IPv6.
 */
inline_always int translate(struct __sk_buff *skb, const __u32 hook)
{
	__u8 tcp_flags = 0, ttl, family = skb->protocol == bpf_htons(ETH_P_IP) ? 4 : 6;
	__u32 revision = nat_revision();
	struct flow6_key key;
	struct nat_value *v;

	if (unlikely(!plain_tuple(skb, &key, &tcp_flags, &ttl)))
		return AXO_NEED_SLOW;
	if (hook == AXO_HOOK_FROM_OVERLAY) {
		/* what goes to pods has a flow entry; the rest is little, and much of it answers to clients outside */
		v = nat_find(&key, family);
		if (!v && !concerns_services(&key, family, revision, hook))
			return AXO_PASS;
	} else {
		if (likely(!concerns_services(&key, family, revision, hook)))
			return AXO_PASS;
		v = nat_find(&key, family);
	}
	if (!v || !nat_usable(v, revision, ticks(), family, key.proto, tcp_flags))
		return AXO_NEED_SLOW;
	if (unlikely(!row_is_for(v, hook)))
		return AXO_PASS;
	if (v->action != AXO_VIA_LOCAL) {
		if (ttl <= 1 || (leaves_plain(v) && (!v->ifindex_out || v->revision != revision)) ||
		    carries_option(v, key.proto, tcp_flags) || too_long(skb, v))
			return AXO_NEED_SLOW;
	}
	return translate_apply(skb, v, family, ETH_HEADER + (family == 6 ? IP6_HEADER : IP4_HEADER), key.proto, hook);
}

/* An answer of a program of this node leaves: its source is put back. AXO_OK or a drop reason. */
call_only int stack_answer(struct __sk_buff *skb)
{
	struct nat_value *row;
	struct slow *s;

	s = begin(skb, AXO_HOOK_TO_NETDEV, 0);
	if (!s || parse_l3(skb, &s->p) || is_multicast(&s->p) || !has_ports(s->p.key.proto) || parse_ports(skb, &s->p))
		return AXO_OK;
	if (unlikely(s->p.icmp_error)) {
		/* about what a client sent: the row back is the one of the answer to the packet inside */
		find_related(skb, s);
		return s->related.nat ? translate_service_error(skb, s) : AXO_OK;
	}
	if (s->p.key.kind)
		return AXO_OK;
	row = nat_find(&s->p.key, s->p.family);
	if (!row || !(row->flags & AXO_NAT_REPLY) || row->action != AXO_VIA_LOCAL ||
	    !nat_usable(row, 0, s->now, s->p.family, s->p.key.proto, s->p.tcp_flags))
		return AXO_OK;
	return nat_rewrite(skb, row, s->p.family, s->p.l4_off, s->p.key.proto | (s->p.frag == FRAG_LATER ? REWRITE_NO_PORTS : 0));
}

#endif
