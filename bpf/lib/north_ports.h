/* SPDX-License-Identifier: Apache-2.0 */
/* Source ports for packets that leave with an address of this node: reserved by inserting the row back. north.h has the whole. */
#ifndef AXO_NORTH_PORTS_H
#define AXO_NORTH_PORTS_H

#include "flow.h"
#include "north_choice.h"

inline_always bool entry_dead(const struct flow_value *e, __u32 now)
{
	return !e || flow_expired(e, now);
}

/* A port of `addr` that answers for itself, as a service does: no source port. */
proven_alone int port_serves(const struct addr16 *addr, __u32 port, __u32 proto, __u32 family)
{
	const struct node_config *cfg = node();
	struct lb_frontend_key k = { .port = bpf_htons(port), .proto = proto, .family = family };

	if (!addr || !cfg || (port >= cfg->node_port_min && port <= cfg->node_port_max) || bpf_map_lookup_elem(&lb_frontend, &k))
		return 1;
	if (proto == IPPROTO_UDP && k.port == cfg->vxlan_port)
		return 1; /* answers to it would be packets for the tunnel */
	copy16(k.addr, addr);
	return !!bpf_map_lookup_elem(&lb_frontend, &k);
}

/* Programs of the node and masquerade have their flows in the flow cache, in either direction. */
call_only bool north_flow_has(struct north *n)
{
	struct flow6_key *k = &n->flow_key;

	if (!own_port_had(n->back_key.dport))
		return false;
	*k = n->back_key;
	if (!entry_dead(flow_find(k, n->family), n->now))
		return true;
	copy16(k->saddr, n->back_key.daddr);
	copy16(k->daddr, n->back_key.saddr);
	k->sport = n->back_key.dport;
	k->dport = n->back_key.sport;
	return !entry_dead(flow_find(k, n->family), n->now);
}

/* Insert the row back at n->back_key: whoever inserts first owns the port. */
call_only bool north_insert(struct north *n)
{
	bool shared = n->back.action != AXO_VIA_LOCAL;
	struct nat_value *held;

	/* towards this backend a new flow's port is free as a rule: taking it finds out. Once: in vain it costs a full table another row */
	if (!n->had && !n->tried) {
		n->tried = 1;
		if (shared && north_flow_has(n))
			return false;
		if (!nat_write(&n->back_key, n->family, &n->back, BPF_NOEXIST))
			return true;
	}
	held = nat_find(&n->back_key, n->family);
	if (held) {
		bool ours = held->flags & AXO_NAT_REPLY && same16(held->daddr, n->back.daddr) && held->dport == n->back.dport &&
			    same16(held->saddr, n->back.saddr) && held->sport == n->back.sport;

		/* in one step: an answer may be on its way */
		if (ours)
			return !nat_write(&n->back_key, n->family, &n->back, BPF_EXIST);
		if (!nat_expired(held, n->now))
			return false;
		nat_delete(&n->back_key, n->family);
	}
	if (shared && north_flow_has(n))
		return false;
	return !nat_write(&n->back_key, n->family, &n->back, BPF_NOEXIST);
}

/*
 * The i-th try among `range` numbers, from `start` < range on: every second one is the next, the others lie a golden section apart. So a small
 * range is tried whole, and a long run of taken numbers is never all that is tried of a large one. range <= 65536.
 */
inline_always __u32 nth_try(__u32 i, __u32 start, __u32 range)
{
	__u32 half = (i >> 1) & 0xffff;

	return (start + (i & 1 ? half : half * (range * 40503u >> 16))) % range;
}

struct port_search {
	struct north *n;
};

static long north_try_port(__u32 i, void *at)
{
	struct north *n = ((struct port_search *)at)->n;
	__u32 lots = n->port_lots, range = n->port_range, at_lot;
	__u16 port;

	if (!lots || !range)
		return 1;
	if (i < NORTH_PORT_LOTS)
		at_lot = bpf_get_prandom_u32() % lots;
	else if (i < NORTH_PORT_NEAR)
		at_lot = nth_try(i - NORTH_PORT_LOTS, n->port_start % lots, lots);
	else
		at_lot = nth_try(i - NORTH_PORT_NEAR, n->port_start, range);
	port = n->port_first + at_lot;
	if (port_serves((void *)n->back_key.daddr, port, n->key.proto, n->family))
		return 0;
	n->back_key.dport = bpf_htons(port);
	n->found = north_insert(n);
	return n->found;
}

/* A free port of n->back_key.daddr towards the backend, `wish` if it can be had (0 = none). 0 or a drop reason. */
inline_always int north_reserve(struct north *n, __u32 first, __u32 last, __u32 wish)
{
	struct port_search s = { .n = n };
	const struct node_config *cfg;

	if (wish) {
		n->back_key.dport = wish;
		if (north_insert(n))
			return AXO_OK;
	}
	if (last < first)
		return AXO_DROP_NAT_NO_MAPPING;
	n->found = 0;
	n->port_first = first;
	n->port_range = n->port_lots = last - first + 1;
	/* by lot first where programs of the node have no ports for their connections */
	cfg = node();
	if (cfg && first < cfg->node_port_min && cfg->node_port_min <= last)
		n->port_lots = cfg->node_port_min - first;
	n->port_start = bpf_get_prandom_u32() % n->port_range;
	bpf_loop(NORTH_PORT_NEAR + NORTH_PORT_TRIES, north_try_port, &s, 0);
	return n->found ? AXO_OK : AXO_DROP_NAT_NO_MAPPING;
}

#endif
