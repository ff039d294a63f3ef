/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors about a flow we know: they pass without a policy of their own, masqueraded or not. */
#ifndef AXO_RELATED_H
#define AXO_RELATED_H

#include "slow.h"

/* The packet inside the error, into r->inner. */
call_only int parse_inner(struct __sk_buff *skb, const struct packet *outer, struct packet *inner)
{
	struct l4_head h;
	__u32 off = outer->l4_off + 8;
	int r = outer->family == 6 ? parse6(skb, inner, off) : parse4(skb, inner, off);

	if (r || inner->frag == FRAG_LATER)
		return AXO_NEED_SLOW;
	if (bpf_skb_load_bytes(skb, inner->l4_off, &h, sizeof(h)))
		return AXO_NEED_SLOW;
	inner->key.sport = h.sport;
	inner->key.dport = h.dport;
	if (inner->key.proto == IPPROTO_ICMP || inner->key.proto == IPPROTO_ICMPV6) {
		__u8 type = bpf_ntohs(h.sport) >> 8;

		if (type != 8 && type != 0 && type != 128 && type != 129)
			return AXO_NEED_SLOW;
		inner->key.kind = type == 0 || type == 129 ? AXO_KIND_REPLY : 0;
		inner->key.sport = inner->key.dport = h.id;
	}
	return AXO_OK;
}

/*
 * AXO_NEED_SLOW: about nothing we know, judge it like any ICMP. AXO_OK: *addr/port/translate tell what to rewrite.
 * The flow is looked up as the inner packet has it, and as its answer.
 */
call_only int find_related(struct __sk_buff *skb, struct slow *s)
{
	struct related *r = &s->related;
	struct nat_value *row;
	struct flow_value *e;

	__builtin_memset(r, 0, sizeof(*r));
	if (parse_inner(skb, &s->p, &r->inner))
		return AXO_NEED_SLOW;
	/* an error goes back to who sent the packet */
	if (!same16(r->inner.key.saddr, s->p.key.daddr))
		return AXO_NEED_SLOW;
	reverse_key(&r->key, &r->inner.key);
	row = nat_find(&r->key, s->p.family);
	if (row && row->flags & AXO_NAT_REPLY && !nat_expired(row, s->now)) {
		r->nat = 1;
		r->row = *row;
	}
	e = flow_find(&r->key, s->p.family);
	if (entry_lives(e, s->now)) {
		if (e->flags & AXO_FLOW_DNAT && e->ifindex_in == s->in) {
			r->translate = 1; /* from the world about what we masqueraded */
			copy16(r->addr, e->addr);
			r->port = e->port;
		} else if (e->flags & AXO_FLOW_SNAT && e->ifindex_in == s->in) {
			const struct node_config *cfg = node();

			if (!cfg)
				return AXO_NEED_SLOW;
			r->translate = r->source = 1; /* from a pod about an answer it got */
			if (s->p.family == 6)
				copy16(r->addr, cfg->node_ip6);
			else
				*(__be32 *)r->addr = *(__be32 *)cfg->node_ip4;
			r->port = e->port;
		}
		return AXO_OK;
	}
	e = flow_find(&r->inner.key, s->p.family);
	return entry_lives(e, s->now) ? AXO_OK : AXO_NEED_SLOW;
}

proven_alone int translate_error(struct __sk_buff *skb, const struct slow *s)
{
	struct rewrite w = { .l3_off = ETH_HEADER };

	const struct related *r;

	if (!s)
		return AXO_DROP_NO_CONFIG;
	r = &s->related;
	w.port = r->port;
	w.family = s->p.family;
	w.proto = r->inner.key.proto;
	w.source = r->source;
	w.l4_off = s->p.l4_off;
	copy16(w.addr, r->addr);
	return rewrite_error(skb, &w, s->p.l4_off + 8, r->inner.l4_off);
}

/*
 * About a packet of a service, s->related.row being the one of its answer: both ends of the packet inside become what its sender sent, the
 * outer ones follow. The row of an answer names the client and what it knows; the one of what a client sent, its backend and whom that knows.
 */
proven_alone int translate_service_error(struct __sk_buff *skb, const struct slow *s)
{
	struct rewrite w = { .l3_off = ETH_HEADER };
	const struct related *r;
	int bad;

	if (!s)
		return AXO_DROP_NO_CONFIG;
	r = &s->related;
	w.family = s->p.family;
	w.proto = r->inner.key.proto;
	w.l4_off = s->p.l4_off;
	w.port = r->row.dport;
	copy16(w.addr, r->row.daddr);
	bad = rewrite_error(skb, &w, s->p.l4_off + 8, r->inner.l4_off);
	if (bad || !(r->row.flags & (AXO_NAT_REPLY | AXO_NAT_SRC)))
		return bad;
	w.source = 1;
	w.l3_off = ETH_HEADER;
	w.port = r->row.sport;
	copy16(w.addr, r->row.saddr);
	return rewrite_error(skb, &w, s->p.l4_off + 8, r->inner.l4_off);
}

/* A TC action, or AXO_NEED_SLOW when the error must be judged. s->dst is resolved unless it is translated. */
inline_always int related_error(struct __sk_buff *skb, struct slow *s, const __u32 hook)
{
	struct related *r = &s->related;
	int bad;

	s->reply = 1; /* never opens a masqueraded flow of its own */
	if (r->translate && !r->source) {
		resolve((void *)r->addr, s->p.family, &s->dst);
		name_ends(s);
	}
	bad = next_hop(skb, s, &r->v, hook);
	if (bad)
		return refuse(s, bad, hook == AXO_HOOK_FROM_POD);
	if (s->p.ttl <= 1 && r->v.action != AXO_ACT_STACK && !at_egress(hook))
		return refuse(s, AXO_DROP_TTL, hook == AXO_HOOK_FROM_POD);
	if (r->nat)
		bad = translate_service_error(skb, s);
	else if (r->translate && r->v.action != AXO_ACT_STACK)
		bad = translate_error(skb, s);
	if (bad)
		return refuse(s, bad, hook == AXO_HOOK_FROM_POD);
	if (s->p.family == 6)
		return deliver(skb, &r->v, hook, 6, 0, 0);
	return deliver(skb, &r->v, hook, 4, 0, 0);
}

#endif
