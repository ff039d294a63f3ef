/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On a backend's node: packets of clients that another node has passed on as they were (direct server return). The option tells what the client sent
 * them to; it becomes the row of their answers and is taken away, then the packet is what it looks like. Called by translate.h and overlay.c.
 */
#ifndef AXO_ARRIVAL_H
#define AXO_ARRIVAL_H

#include "answer.h"
#include "dsr.h"
#include "north.h"
#include "slow.h"

#define DSR_LENT 1 /* the flow has another port here */

/* The row of answers to this packet, if there is one. */
inline_always struct nat_value *answering_row(struct slow *s)
{
	struct nat_value *row;

	reverse_key(&s->back, &s->p.key);
	row = nat_find(&s->back, s->p.family);
	return row && row->flags & AXO_NAT_REPLY && !nat_expired(row, s->now) ? row : NULL;
}

/* A frontend of clients outside is this: its own row, or the one of all addresses of nodes. */
call_only bool dsr_frontend(const struct slow *s, const struct dsr_front *f)
{
	struct lb_frontend_key k = { .port = f->port, .proto = s->p.key.proto, .family = s->p.family };
	struct lb_frontend_value *front;

	copy16(k.addr, f->addr);
	front = bpf_map_lookup_elem(&lb_frontend, &k);
	if (!front && place_of((void *)f->addr, s->p.family)) {
		__builtin_memset(k.addr, 0, 16);
		front = bpf_map_lookup_elem(&lb_frontend, &k);
	}
	return front && front->flags & AXO_LB_DSR && front->flags & AXO_LB_EXTERNAL;
}

/* Who may say so: nodes of the cluster. With native routing nobody knows who sent it, and what is named has to exist. 0 or a drop reason. */
call_only int dsr_believed(struct __sk_buff *skb, struct slow *s, const struct dsr_front *f, const __u32 hook)
{
	const struct node_config *cfg = node();
	__u32 identity = 0;
	int r;

	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	name_ends(s);
	if (hook == AXO_HOOK_FROM_OVERLAY) {
		r = tunnel_sender(skb, &identity);
		if (r)
			return r;
		/* pods speak for themselves alone */
		return identity == IDENTITY_WORLD && beyond_cluster(&s->src) ? 0 : AXO_DROP_INVALID_IDENTITY;
	}
	if (!cfg || cfg->flags & AXO_NODE_TUNNEL || !beyond_cluster(&s->src) || !dsr_frontend(s, f))
		return AXO_DROP_INVALID_PACKET;
	return 0;
}

/* Of connections: what the client sends moves its flow entry, answers tell of an end too. */
inline_always bool dsr_ended(const struct slow *s, const struct nat_value *held)
{
	const struct flow_value *e = flow_find(&s->p.key, s->p.family);

	return held->flags & AXO_NAT_CLOSING || !entry_lives(e, s->now) || e->flags & (AXO_FLOW_SYN | AXO_FLOW_CLOSING);
}

/*
 * The row of answers is this flow's: it bears the frontend, and the client has no other port at it. A later fragment has the port that its first one
 * was given here.
 */
inline_always bool dsr_same(const struct slow *s, const struct dsr_front *f, const struct nat_value *held)
{
	if (held->sport != f->port || !same16(held->saddr, f->addr))
		return false;
	return s->p.frag == FRAG_LATER || (held->dport == s->p.key.sport && same16(held->daddr, s->p.key.saddr));
}

/* The port that the flow was given here stands, with both rows. Into n: what the client sent, and a copy of its row if there is one. */
call_only bool dsr_lent(struct slow *s, const struct dsr_front *f, struct north *n)
{
	struct nat_value *row, *back;

	__builtin_memset(n, 0, sizeof(*n));
	n->key = s->p.key;
	copy16(n->key.daddr, f->addr);
	n->key.dport = f->port;
	row = nat_find(&n->key, s->p.family);
	if (!row || row->flags & AXO_NAT_REPLY || nat_expired(row, s->now) || row->dport != s->p.key.dport || !same16(row->daddr, s->p.key.daddr))
		return false;
	n->row = *row;
	n->had = 1;
	nat_other(&s->back, row, s->p.key.proto);
	back = nat_find(&s->back, s->p.family);
	return back && back->flags & AXO_NAT_REPLY && back->dport == s->p.key.sport && same16(back->daddr, s->p.key.saddr) &&
	       nat_usable(row, row->revision, s->now, s->p.family, s->p.key.proto, 0);
}

/*
 * What names its frontend in every packet has another port here while the client has the same one at another frontend of this pod: both rows, as of a
 * client that asks this node (north.h). AXO_PASS: its own port is free; DSR_LENT: n->row has another; else a drop reason.
 */
inline_always int dsr_lend(struct slow *s, const struct dsr_front *f, struct north *n, bool taken)
{
	int r;

	if (dsr_lent(s, f, n))
		return DSR_LENT;
	if (!taken)
		return AXO_PASS;
	n->now = s->now;
	n->family = s->p.family;
	n->revision = nat_revision();
	copy16(n->chosen.addr, s->p.key.daddr);
	n->chosen.port = s->p.key.dport;
	r = north_create();
	if (r != NORTH_ROW)
		return r;
	r = north_keep(n);
	return r ? r : DSR_LENT;
}

/* The row of the answers. 0 or a drop reason. */
call_only int dsr_learn(struct slow *s, const struct dsr_front *f)
{
	struct nat_value *row = &s->related.row;

	__builtin_memset(row, 0, sizeof(*row));
	row->revision = nat_revision();
	row->action = AXO_VIA_LOCAL;
	row->flags = AXO_NAT_REPLY | AXO_NAT_SRC | (is_syn(&s->p) ? AXO_NAT_SYN : 0);
	/* of connections too as of one that is made: the client's packets do not come here again, and it may be the next to speak in an hour */
	row->expires = s->now + nat_life(s->p.key.proto, 0, false);
	copy16(row->saddr, f->addr);
	row->sport = f->port;
	copy16(row->daddr, s->p.key.saddr);
	row->dport = s->p.key.sport;
	reverse_key(&s->back, &s->p.key);
	if (nat_write(&s->back, s->p.family, row, BPF_ANY))
		return AXO_DROP_FLOW_INSERT;
	/* entries of a flow between the two without a service would answer without it */
	flow_delete(&s->p.key, s->p.family);
	flow_delete(&s->back, s->p.family);
	return 0;
}

/*
 * A row of answers with another frontend goes on while it lives: the client has the same port at two addresses of one backend, and an answer from the
 * wrong one is worse than none. 0, DSR_LENT or a drop reason.
 */
inline_always int dsr_place(struct slow *s, const struct dsr_front *f, struct north *n)
{
	struct nat_value *held = answering_row(s);
	bool syn = is_syn(&s->p);

	if (held && dsr_same(s, f, held)) {
		if (!syn || held->flags & AXO_NAT_SYN) {
			nat_usable(held, 0, s->now, s->p.family, s->p.key.proto, s->p.tcp_flags);
			return 0;
		}
	} else if (s->p.key.proto != IPPROTO_TCP) {
		int r = dsr_lend(s, f, n, held);

		if (r != AXO_PASS)
			return r;
	} else if (held && !(syn && dsr_ended(s, held))) {
		return AXO_DROP_NAT_NO_MAPPING;
	}
	return dsr_learn(s, f);
}

/*
 * A connection whose port the client has at another frontend of this pod: but for the first packet nothing tells one from the other. The client is told at
 * once, by the frontend, as of a port that nobody serves, and takes another port. A TC action.
 */
call_only int dsr_turn_away(struct __sk_buff *skb, struct slow *s, const struct dsr_front *f)
{
	struct nat_value *row = &s->related.row;
	struct flow_value *way = &s->v;

	refuse(s, AXO_DROP_NAT_NO_MAPPING, AXO_DIR_INGRESS);
	__builtin_memset(row, 0, sizeof(*row));
	__builtin_memset(way, 0, sizeof(*way));
	row->flags = AXO_NAT_DST;
	copy16(row->daddr, f->addr);
	row->dport = f->port;
	if (!is_syn(&s->p) || dsr_remove(skb, s->p.family))
		return TC_ACT_SHOT;
	s->p.l4_off -= dsr_length(s->p.family);
	copy16(s->p.key.daddr, f->addr);
	if (nat_rewrite(skb, row, s->p.family, s->p.l4_off, s->p.key.proto) || answer(skb, &s->p, ANSWER_UNREACHABLE, 0))
		return TC_ACT_SHOT;
	copy16(s->p.key.daddr, s->p.key.saddr);
	copy16(s->p.key.saddr, f->addr);
	s->p.key.proto = s->p.family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	if (route(skb, &s->p, way) || way->action != AXO_ACT_NEIGH)
		return TC_ACT_SHOT;
	return neigh_to(skb, way->ifindex_out, way->flags & AXO_FLOW_V6_UNDERLAY, way->addr);
}

/* s->p has addresses and ports. AXO_PASS: nothing to learn; AXO_AGAIN: learned, the packet is without the option; else a TC action. */
call_only int dsr_arrival(struct __sk_buff *skb, struct slow *s, const __u32 hook)
{
	struct north *n = own_north();
	struct dsr_front f = {};
	bool lent;
	int r;

	if (!n || dsr_read(skb, s->p.family, &f))
		return AXO_PASS;
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	if (s->dst.kind != SIDE_POD)
		return AXO_PASS;
	r = dsr_believed(skb, s, &f, hook);
	if (r)
		return refuse(s, r, AXO_DIR_INGRESS);
	r = dsr_place(s, &f, n);
	if (r == AXO_DROP_NAT_NO_MAPPING && s->p.key.proto == IPPROTO_TCP)
		return dsr_turn_away(skb, s, &f);
	lent = r == DSR_LENT;
	if (!r || lent)
		r = dsr_remove(skb, s->p.family);
	if (!r && lent)
		r = nat_rewrite(skb, &n->row, s->p.family, s->p.l4_off - dsr_length(s->p.family),
				s->p.key.proto | (s->p.frag == FRAG_LATER ? REWRITE_NO_PORTS : 0));
	return r ? refuse(s, r, AXO_DIR_INGRESS) : AXO_AGAIN;
}

/*
 * Out of the tunnel, with the identity that nodes give to what they pass on: with the address of the sending node it is `world`, otherwise the client is
 * whom its address says, and there has to be a row for the answers. 0 or a drop reason.
 */
call_only int passed_on(struct slow *s)
{
	resolve((void *)s->p.key.saddr, s->p.family, &s->src);
	if (beyond_cluster(&s->src)) {
		if (!answering_row(s))
			return AXO_DROP_NAT_NO_MAPPING;
		s->changed = 1;
		return 0;
	}
	__builtin_memset(&s->src, 0, sizeof(s->src));
	s->src.identity = IDENTITY_WORLD;
	return 0;
}

#endif
