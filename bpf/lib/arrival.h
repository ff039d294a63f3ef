/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On a backend's node: packets of clients that another node has passed on as they were (direct server return). The option tells what the client sent
 * them to; it becomes the row of their answers and is taken away, then the packet is what it looks like. Called by translate.h and overlay.c.
 */
#ifndef AXO_ARRIVAL_H
#define AXO_ARRIVAL_H

#include "dsr.h"
#include "north.h"
#include "slow.h"

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

/* Of datagrams: nobody has asked for a while, so nobody waits for an answer; ports come again soon. */
inline_always bool dsr_idle(const struct slow *s, const struct nat_value *held)
{
	__u32 life = nat_life(s->p.key.proto, 0, false);

	return s->p.key.proto != IPPROTO_TCP && (__s32)(held->expires - s->now) < (__s32)(life - TICKS(2));
}

/* Of connections: answers tell of it, and what the client sends moves its flow entry. */
inline_always bool dsr_ended(const struct slow *s, const struct nat_value *held)
{
	const struct flow_value *e = flow_find(&s->p.key, s->p.family);

	return held->flags & (AXO_NAT_SYN | AXO_NAT_CLOSING) || !entry_lives(e, s->now) || e->flags & AXO_FLOW_CLOSING;
}

/*
 * The row of the answers. One that has another frontend and lives goes on: the client has the same port at two addresses of one backend, and an answer
 * from the wrong one is worse than none. 0 or a drop reason.
 */
call_only int dsr_learn(struct slow *s, const struct dsr_front *f)
{
	struct nat_value *held = answering_row(s), *row = &s->related.row;
	bool syn = is_syn(&s->p);

	if (held && held->sport == f->port && same16(held->saddr, f->addr)) {
		if (!syn || held->flags & AXO_NAT_SYN) {
			nat_usable(held, 0, s->now, s->p.family, s->p.key.proto, s->p.tcp_flags);
			/* to the tick, see dsr_idle() */
			if (s->p.key.proto != IPPROTO_TCP)
				held->expires = s->now + nat_life(s->p.key.proto, 0, false);
			return 0;
		}
	} else if (held && !(syn ? dsr_ended(s, held) : dsr_idle(s, held))) {
		return AXO_DROP_NAT_NO_MAPPING;
	}
	__builtin_memset(row, 0, sizeof(*row));
	row->revision = nat_revision();
	row->action = AXO_VIA_LOCAL;
	row->flags = AXO_NAT_REPLY | AXO_NAT_SRC | (syn ? AXO_NAT_SYN : 0);
	row->expires = s->now + nat_life(s->p.key.proto, row->flags, false);
	copy16(row->saddr, f->addr);
	row->sport = f->port;
	copy16(row->daddr, s->p.key.saddr);
	row->dport = s->p.key.sport;
	if (nat_write(&s->back, s->p.family, row, BPF_ANY))
		return AXO_DROP_FLOW_INSERT;
	/* entries of a flow between the two without a service would answer without it */
	flow_delete(&s->p.key, s->p.family);
	flow_delete(&s->back, s->p.family);
	return 0;
}

/* s->p has addresses and ports. AXO_PASS: nothing to learn; AXO_AGAIN: learned, the packet is without the option; else a TC action. */
call_only int dsr_arrival(struct __sk_buff *skb, struct slow *s, const __u32 hook)
{
	struct dsr_front f = {};
	int r;

	if (dsr_read(skb, s->p.family, &f))
		return AXO_PASS;
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	if (s->dst.kind != SIDE_POD)
		return AXO_PASS;
	r = dsr_believed(skb, s, &f, hook);
	if (!r)
		r = dsr_learn(s, &f);
	if (!r)
		r = dsr_remove(skb, s->p.family);
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
