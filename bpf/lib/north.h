/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of services that no socket hook has seen: a tuple in, a row of `nat4`/`nat6` out. No packet and no context: tc
 * and XDP decide with the same code. docs/design/services.md, "Clients outside the cluster".
 *
 * How a program uses it:
 *   1. nat_find(): the row of the tuple. nat_usable() says whether it speaks for this packet as it is, and moves its state.
 *   2. Otherwise: fill the first part of a `struct north` (cleared), call north_decide(). NORTH_NONE: no service.
 *      NORTH_ROW: n->row says what becomes of the packet, both rows are written. Else a drop reason; n->reject: the client
 *      is to be told (ICMP from key.daddr).
 *   3. AXO_VIA_NEIGH with ifindex_out 0: the next hop is not known yet; whoever has a context asks the routing table,
 *      puts hop, AXO_NAT_V6_HOP and ifindex_out into the row and writes it with nat_write().
 *
 * All four of daddr, dport, saddr, sport of a row are always what the packet bears afterwards; AXO_NAT_DST and AXO_NAT_SRC
 * say which end differs from what it bears before. So nat_other() needs nothing but the row: the tuple of the answer.
 */
#ifndef AXO_NORTH_H
#define AXO_NORTH_H

#include "common.h"
#include "flow.h"
#include "ipcache.h"

#define NORTH_NONE 0
#define NORTH_ROW 1

#define NORTH_OUTSIDE 0 /* the client is nobody of the cluster: `set_out` */
#define NORTH_INSIDE 1  /* a pod or node of the cluster, elsewhere: `set_in` */
#define NORTH_HERE 2    /* a pod or program of this node: `set_in`, never SNAT, the flow path does the rest */

#define NORTH_CAN_DSR 1  /* the caller can send AXO_NAT_DSR rows by option */
#define NORTH_CAN_IPIP 2 /* and AXO_VIA_IPIP */

#define NORTH_SLOT_TRIES 3
#define NORTH_PORT_MIN 1024
#define NORTH_PORT_LOTS 16   /* ports by lot before others are tried in order */
#define NORTH_PORT_TRIES 8192
#define NORTH_SLOTS_MAX 65536
#define NORTH_SECOND 1000000000ull

struct north {
	/* asked: the rest begins as zero */
	struct flow6_key key; /* the packet's; IPv4 in the first four bytes of each address */
	__u32 now;
	__u32 identity;       /* of a client inside: what a tunnel carries; others are `world` */
	__u8 family;
	__u8 tcp_flags;
	__u8 client;          /* NORTH_OUTSIDE, NORTH_INSIDE, NORTH_HERE */
	__u8 can;             /* NORTH_CAN_ */
	/* answered */
	__u8 reject;
	__u8 pad[3];
	struct nat_value row;
	struct lb_frontend_value front; /* valid with NORTH_ROW and drop reasons */
	/* our own */
	struct lb_frontend_key front_key;
	struct lb_affinity_key sticky_key;
	struct lb_affinity_value chosen; /* the backend */
	struct side backend;
	struct flow6_key back_key;
	struct nat_value back;
	__u64 set;
	__u32 count;
	__u32 revision;
	__u32 port_range;
	__u32 port_lots;
	__u32 port_start;
	__u32 port_step;
	__u16 port_first;
	__u8 found;
	__u8 had; /* the tuple had a row */
};

/* ---- rows ------------------------------------------------------------------------------------------------- */

inline_always __u32 nat_revision(void)
{
	__u32 one = 1;
	__u32 *g = bpf_map_lookup_elem(&generation, &one);

	return current_generation() + (g ? *(volatile __u32 *)g : 0);
}

inline_always struct nat_value *nat_find(const struct flow6_key *key, __u8 family)
{
	struct flow4_key k;

	if (family == 6)
		return bpf_map_lookup_elem(&nat6, key);
	key4(&k, key);
	return bpf_map_lookup_elem(&nat4, &k);
}

inline_always long nat_write(const struct flow6_key *key, __u8 family, const struct nat_value *v, __u64 how)
{
	struct flow4_key k;

	if (family == 6)
		return bpf_map_update_elem(&nat6, key, v, how);
	key4(&k, key);
	return bpf_map_update_elem(&nat4, &k, v, how);
}

inline_always void nat_delete(const struct flow6_key *key, __u8 family)
{
	struct flow4_key k;

	if (family == 6) {
		bpf_map_delete_elem(&nat6, key);
		return;
	}
	key4(&k, key);
	bpf_map_delete_elem(&nat4, &k);
}

inline_always bool nat_expired(const struct nat_value *v, __u32 now)
{
	return (__s32)(v->expires - now) < 0;
}

#define LIFE_HALF_CLOSED TICKS(60)

/* `both`: FIN or RST seen in both directions. */
inline_always __u32 nat_life(__u8 proto, __u8 flags, bool both)
{
	if (proto != IPPROTO_TCP)
		return flow_life(proto, 0);
	if (flags & AXO_NAT_SYN)
		return LIFE_SYN;
	if (both)
		return LIFE_CLOSING;
	return flags & AXO_NAT_CLOSING ? LIFE_HALF_CLOSED : LIFE_TCP;
}

/* The tuple of the answer to what `v` makes of a packet. */
inline_always void nat_other(struct flow6_key *to, const struct nat_value *v, __u8 proto)
{
	copy16(to->saddr, v->daddr);
	copy16(to->daddr, v->saddr);
	to->sport = v->dport;
	to->dport = v->sport;
	to->proto = proto;
	to->kind = 0;
	to->pad[0] = to->pad[1] = 0;
}

/*
 * The row lives on, and so does the one of the other direction: a port is reserved by the row back, also while only one
 * side talks. Written when an eighth of the life is gone, or the state changes, not for every packet.
 */
proven_alone int nat_prolong(struct nat_value *v, __u32 family, __u32 proto, __u32 tcp_flags)
{
	struct flow6_key key;
	struct nat_value *other;
	__u8 flags, there;

	if (!v)
		return 0;
	flags = v->flags;
	if (tcp_flags & (TCP_FIN | TCP_RST))
		flags |= AXO_NAT_CLOSING;
	if (!(tcp_flags & TCP_SYN) || tcp_flags & TCP_RST)
		flags &= ~AXO_NAT_SYN;
	v->flags = flags;
	nat_other(&key, v, proto);
	other = flags & AXO_NAT_DSR ? NULL : nat_find(&key, family);
	if (!other || !((other->flags ^ flags) & AXO_NAT_REPLY)) {
		v->expires = ticks() + nat_life(proto, flags, tcp_flags & TCP_RST);
		return 0;
	}
	there = other->flags;
	if (tcp_flags & TCP_RST)
		there |= AXO_NAT_CLOSING;
	if (!(flags & AXO_NAT_SYN))
		there &= ~AXO_NAT_SYN;
	other->flags = there;
	v->expires = other->expires = ticks() + nat_life(proto, flags | (there & AXO_NAT_CLOSING), flags & there & AXO_NAT_CLOSING);
	return 0;
}

/* The row speaks for this packet as it is. Its state has moved on if so. */
inline_always bool nat_usable(struct nat_value *v, __u32 revision, __u32 now, __u8 family, __u8 proto, __u8 tcp_flags)
{
	__u32 life;

	if (unlikely(nat_expired(v, now)))
		return false;
	/* a row back is the way of a flow that exists, whatever became of its service */
	if (!(v->flags & AXO_NAT_REPLY)) {
		if (unlikely(v->revision != revision))
			return false;
		/* a SYN over anything but SYNs is a new connection */
		if (unlikely((tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !(v->flags & AXO_NAT_SYN)))
			return false;
	}
	life = nat_life(proto, v->flags, false);
	if (unlikely((__s32)(v->expires - now) < (__s32)(life - life / 8)) ||
	    (proto == IPPROTO_TCP && unlikely(tcp_flags & (TCP_FIN | TCP_RST) || (v->flags & AXO_NAT_SYN && !(tcp_flags & TCP_SYN)))))
		nat_prolong(v, family, proto, tcp_flags);
	return true;
}

/*
 * Whether any frontend has this address and port: what the node's own packets pay for services, and what those of services do
 * not pay again. One destination per slot, whole, good for one revision.
 */
#define NORTH_KNOWN_SLOTS 1024

struct north_known {
	__u8 addr[16];
	__be16 port;
	__u8 proto;
	__u8 family;
	__u32 revision;
	__u32 rows;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct north_known);
	__uint(max_entries, NORTH_KNOWN_SLOTS);
} north_known SEC(".maps");

call_only bool north_has_rows(const struct flow6_key *key, __u8 family)
{
	struct lb_frontend_key k = { .port = key->dport, .proto = key->proto, .family = family };

	if (bpf_map_lookup_elem(&lb_frontend, &k))
		return true;
	copy16(k.addr, key->daddr);
	if (bpf_map_lookup_elem(&lb_frontend, &k))
		return true;
	k.port = 0;
	k.proto = 0;
	return bpf_map_lookup_elem(&lb_frontend, &k);
}

/* A frontend may have this destination. */
inline_always bool north_maybe(const struct flow6_key *key, __u8 family, __u32 revision)
{
	const __u32 *w = (const __u32 *)key->daddr;
	__u32 slot = (w[0] ^ w[1] ^ w[2] ^ w[3] ^ (__u32)key->dport << 8 ^ key->proto) * 0x9e3779b1 >> 22;
	struct north_known *known = bpf_map_lookup_elem(&north_known, &slot);

	if (!known)
		return true;
	if (known->revision == revision && known->port == key->dport && known->proto == key->proto && known->family == family &&
	    same16(known->addr, key->daddr))
		return known->rows;
	copy16(known->addr, key->daddr);
	known->port = key->dport;
	known->proto = key->proto;
	known->family = family;
	known->revision = revision;
	known->rows = north_has_rows(key, family);
	return known->rows;
}

/* From another node to this one: the answer to what was passed on with an address of this node. */
inline_always bool north_may_answer(const struct flow6_key *key, __u8 family)
{
	const struct node_config *cfg = node();
	bool node_ip, router_ip;
	__u16 port;

	if (!cfg)
		return false;
	node_ip = family == 6 ? same16(key->daddr, cfg->node_ip6) : *(__be32 *)key->daddr == *(__be32 *)cfg->node_ip4;
	router_ip = family == 6 ? same16(key->daddr, cfg->router_ip6) : *(__be32 *)key->daddr == *(__be32 *)cfg->router_ip4;
	port = bpf_ntohs(key->dport);
	/* what went into the tunnel is answered out of it */
	return (router_ip && !(cfg->flags & AXO_NODE_TUNNEL)) || (node_ip && port >= cfg->snat_min && port <= cfg->snat_max);
}

/* ---- frontends -------------------------------------------------------------------------------------------- */

/* Is it an address of this node (2), of another one (1), neither (0)? */
proven_alone int north_place(const struct addr16 *addr, __u32 family)
{
	struct ipcache_key ik = { .prefixlen = family == 6 ? 160 : 64, .family = family };
	struct endpoint_key ek = { .family = family };
	struct endpoint_value *ep;
	struct ipcache_value *row;

	if (!addr)
		return 0;
	copy16(ek.addr, addr);
	ep = bpf_map_lookup_elem(&endpoint, &ek);
	if (ep)
		return ep->flags & AXO_ENDPOINT_HOST ? 2 : 0;
	copy16(ik.addr, addr);
	row = bpf_map_lookup_elem(&ipcache, &ik);
	return row && (row->identity == IDENTITY_HOST || row->identity == IDENTITY_REMOTE_NODE || row->identity == IDENTITY_APISERVER);
}

/* n->front from n->key. NORTH_NONE, NORTH_ROW (found), or the reason why nothing gets through on this address. */
proven_alone int north_frontend(struct north *n)
{
	struct lb_frontend_key *k;
	struct lb_frontend_value *front;
	int place;

	if (!n)
		return NORTH_NONE;
	k = &n->front_key;
	copy16(k->addr, n->key.daddr);
	k->port = n->key.dport;
	k->proto = n->key.proto;
	k->family = n->family;
	front = bpf_map_lookup_elem(&lb_frontend, k);
	if (front && front->flags & AXO_LB_HOST_PORT && north_place((void *)n->key.daddr, n->family) != 2)
		return NORTH_NONE;
	if (!front) {
		__builtin_memset(k->addr, 0, 16);
		front = bpf_map_lookup_elem(&lb_frontend, k);
		if (front) {
			place = north_place((void *)n->key.daddr, n->family);
			if (place != 2 && !(place == 1 && n->client == NORTH_HERE && front->flags & AXO_LB_NODE_PORT))
				front = NULL;
		}
	}
	if (!front) {
		copy16(k->addr, n->key.daddr);
		k->port = 0;
		k->proto = 0;
		front = bpf_map_lookup_elem(&lb_frontend, k);
		return front && front->flags & AXO_LB_BLACKHOLE ? AXO_DROP_NO_SERVICE_BACKEND : NORTH_NONE;
	}
	if (n->client == NORTH_OUTSIDE && !(front->flags & AXO_LB_EXTERNAL))
		return NORTH_NONE;
	n->front = *front;
	n->set = n->client == NORTH_OUTSIDE ? n->front.set_out : n->front.set_in;
	n->count = n->client == NORTH_OUTSIDE ? n->front.count_out : n->front.count_in;
	return NORTH_ROW;
}

inline_always bool north_source_allowed(struct north *n)
{
	struct lb_source_key k = { .service_id = n->front.service_id, .family = n->family };
	struct lb_source_value *row;

	if (likely(!(n->front.flags & AXO_LB_SOURCE_RANGES)) || n->client != NORTH_OUTSIDE)
		return true;
	k.prefixlen = n->family == 6 ? 192 : 96;
	copy16(k.addr, n->key.saddr);
	row = bpf_map_lookup_elem(&lb_source, &k);
	return n->front.flags & AXO_LB_SOURCE_RANGES_DENY ? !row : row && row->allowed;
}

/* ---- backends --------------------------------------------------------------------------------------------- */

inline_always __u32 rotl32(__u32 x, int by)
{
	return x << by | x >> (32 - by);
}

inline_always __u32 murmur_word(__u32 h, __u32 w)
{
	return rotl32(h ^ rotl32(w * 0xcc9e2d51, 15) * 0x1b873593, 13) * 5 + 0xe6546b64;
}

/* murmur3-32 of the client's address and protocol << 16 | port. The same is in packages/engines/service (`hashes.ts`). */
inline_always __u32 maglev_hash(const void *client, __u8 proto, __be16 port)
{
	const __u32 *w = client;
	__u32 h = 0x41786f6e;

	h = murmur_word(h, w[0]);
	h = murmur_word(h, w[1]);
	h = murmur_word(h, w[2]);
	h = murmur_word(h, w[3]);
	h = murmur_word(h, (__u32)proto << 16 | bpf_ntohs(port));
	h ^= 20;
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	h *= 0xc2b2ae35;
	return h ^ h >> 16;
}

struct slot_search {
	struct lb_slot_key key;
	const struct north *n;
	bool found;
};

static long north_search_slot(__u32 index, void *at)
{
	struct slot_search *s = at;
	struct lb_slot_value *slot;

	s->key.index = index;
	slot = bpf_map_lookup_elem(&lb_slot, &s->key);
	if (!slot)
		return 1; /* slots have no gaps */
	s->found = slot->backend_id == s->n->chosen.backend_id && slot->port == s->n->chosen.port && same16(slot->addr, s->n->chosen.addr);
	return s->found;
}

/* n->chosen is among the slots of n->set, up to `limit`. */
call_only bool north_member(struct north *n, __u32 limit)
{
	struct slot_search s = { .key = { .set = n->set }, .n = n };

	bpf_loop(limit, north_search_slot, &s, 0);
	return s.found;
}

inline_always void north_take(struct north *n, const struct lb_slot_value *slot)
{
	copy16(n->chosen.addr, slot->addr);
	n->chosen.port = slot->port;
	n->chosen.family = slot->family;
	n->chosen.backend_id = slot->backend_id;
	n->chosen.set = n->set;
}

/* The backend this client had a while ago. */
call_only bool north_affinity(struct north *n)
{
	struct lb_affinity_value *had;

	n->sticky_key.service_id = n->front.service_id;
	n->sticky_key.family = n->family;
	n->sticky_key.proto = n->key.proto;
	n->sticky_key.scope = AXO_AFFINITY_ADDRESS;
	copy16(n->sticky_key.client, n->key.saddr);
	n->chosen.last_ns = bpf_ktime_get_ns();
	had = bpf_map_lookup_elem(&lb_affinity, &n->sticky_key);
	if (!had || (__s64)(n->chosen.last_ns - had->last_ns) >= (__s64)(n->front.affinity_s * NORTH_SECOND))
		return false;
	copy16(n->chosen.addr, had->addr);
	n->chosen.port = had->port;
	n->chosen.family = had->family;
	n->chosen.backend_id = had->backend_id;
	if (had->set != n->set && !north_member(n, n->count))
		return false;
	n->chosen.set = n->set;
	had->set = n->set;
	had->last_ns = n->chosen.last_ns;
	return true;
}

/* n->chosen from n->set: by affinity, Maglev or lot. False: the set is being replaced, ask for the frontend again. */
proven_alone int north_choose(struct north *n)
{
	struct lb_slot_key key = {};
	struct lb_slot_value *slot;
	bool sticky;

	if (!n || !n->count)
		return 0;
	sticky = n->front.flags & AXO_LB_AFFINITY;
	if (sticky && north_affinity(n))
		return 1;
	key.set = n->set;
	key.index = bpf_get_prandom_u32() % n->count;
	if (n->front.maglev_size) {
		__u32 h = maglev_hash(n->key.saddr, n->key.proto, sticky ? 0 : n->key.sport) % n->front.maglev_size;
		struct lb_maglev_key at = { .set = n->set, .chunk = h / AXO_MAGLEV_CHUNK };
		struct lb_maglev_value *chunk = bpf_map_lookup_elem(&lb_maglev, &at);

		if (chunk)
			key.index = chunk->slot[h % AXO_MAGLEV_CHUNK];
	}
	slot = bpf_map_lookup_elem(&lb_slot, &key);
	if (!slot || slot->family != n->family)
		return 0;
	north_take(n, slot);
	if (sticky)
		bpf_map_update_elem(&lb_affinity, &n->sticky_key, &n->chosen, BPF_ANY);
	return 1;
}

inline_always bool entry_dead(const struct flow_value *e, __u32 now)
{
	return !e || flow_expired(e, now);
}

/* ---- ports ------------------------------------------------------------------------------------------------ */

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
	struct flow6_key k = n->back_key;

	if (!entry_dead(flow_find(&k, n->family), n->now))
		return true;
	copy16(k.saddr, n->back_key.daddr);
	copy16(k.daddr, n->back_key.saddr);
	k.sport = n->back_key.dport;
	k.dport = n->back_key.sport;
	return !entry_dead(flow_find(&k, n->family), n->now);
}

/* Insert the row back at n->back_key: whoever inserts first owns the port. */
call_only bool north_insert(struct north *n)
{
	struct nat_value *held = nat_find(&n->back_key, n->family);

	if (held) {
		bool ours = held->flags & AXO_NAT_REPLY && same16(held->daddr, n->back.daddr) && held->dport == n->back.dport &&
			    same16(held->saddr, n->back.saddr) && held->sport == n->back.sport;

		if (!ours && !nat_expired(held, n->now))
			return false;
		nat_delete(&n->back_key, n->family);
	}
	if (n->back.action != AXO_VIA_LOCAL && north_flow_has(n))
		return false;
	return !nat_write(&n->back_key, n->family, &n->back, BPF_NOEXIST);
}

struct port_search {
	struct north *n;
};

static long north_try_port(__u32 i, void *at)
{
	struct north *n = ((struct port_search *)at)->n;
	__u32 lots = n->port_lots, range = n->port_range;
	__u16 port;

	if (!lots || !range)
		return 1;
	port = n->port_first + (i < NORTH_PORT_LOTS ? bpf_get_prandom_u32() % lots : (n->port_start + i * n->port_step) % range);
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
	/* its checksum covers the ports */
	if (n->key.proto == IPPROTO_SCTP)
		return AXO_DROP_NAT_UNSUPPORTED;
	if (last < first)
		return AXO_DROP_NAT_NO_MAPPING;
	n->found = 0;
	n->port_first = first;
	n->port_range = n->port_lots = last - first + 1;
	/* by lot first where programs of the node have no ports for their connections */
	cfg = node();
	if (cfg && first < cfg->node_port_min && cfg->node_port_min <= last)
		n->port_lots = cfg->node_port_min - first;
	n->port_start = bpf_get_prandom_u32();
	n->port_step = bpf_get_prandom_u32() | 1;
	bpf_loop(NORTH_PORT_TRIES, north_try_port, &s, 0);
	return n->found ? AXO_OK : AXO_DROP_NAT_NO_MAPPING;
}

/* ---- the decision ----------------------------------------------------------------------------------------- */

inline_always bool north_is_node(__u32 identity)
{
	return identity == IDENTITY_REMOTE_NODE || identity == IDENTITY_APISERVER || identity == IDENTITY_HOST;
}

inline_always bool north_is_pod(__u32 identity)
{
	return (identity >= IDENTITY_POD_MIN && identity < IDENTITY_CIDR) || identity == IDENTITY_UNLISTED;
}

/* The way to n->backend, into n->row, which begins as zero. */
inline_always void north_way(struct north *n, const struct node_config *cfg)
{
	struct nat_value *row = &n->row;

	if (row->action == AXO_VIA_IPIP)
		return;
	if (n->client == NORTH_HERE || n->backend.kind != SIDE_REMOTE) {
		row->action = AXO_VIA_LOCAL;
		if (n->backend.kind == SIDE_HOST)
			row->flags |= AXO_NAT_STACK;
		return;
	}
	if (n->backend.tunnel_family && cfg->flags & AXO_NODE_TUNNEL && !(cfg->flags & AXO_NODE_BALANCER) &&
	    !north_is_node(n->backend.identity)) {
		row->action = AXO_VIA_TUNNEL;
		row->ifindex_out = n->client == NORTH_OUTSIDE ? IDENTITY_WORLD : n->identity;
		if (n->backend.tunnel_family == 6)
			row->flags |= AXO_NAT_V6_HOP;
		copy16(row->hop, n->backend.tunnel);
		return;
	}
	row->action = AXO_VIA_NEIGH;
}

inline_always void north_own_address(__u8 *to, const struct node_config *cfg, __u8 family, bool router)
{
	const __u8 *r4 = cfg->router_ip4;

	__builtin_memset(to, 0, 16);
	if (family == 6) {
		copy16(to, cfg->router_ip6);
		if (!router || zero16(to))
			copy16(to, cfg->node_ip6);
		return;
	}
	*(__be32 *)to = *(__be32 *)r4;
	if (!router || !*(__be32 *)to)
		*(__be32 *)to = *(__be32 *)cfg->node_ip4;
}

/* Both rows for n->chosen. NORTH_ROW or a drop reason. */
proven_alone int north_create(struct north *n)
{
	const struct node_config *cfg = node();
	struct nat_value *row, *back;
	__be16 wish;
	__u8 state;
	bool dsr;
	int r;

	if (!n || !cfg)
		return AXO_DROP_NO_CONFIG;
	row = &n->row;
	back = &n->back;
	/* a flow goes on with the port it has */
	wish = n->had ? row->sport : 0;
	state = n->had ? row->flags & (AXO_NAT_SYN | AXO_NAT_CLOSING) : 0;
	if (!(n->tcp_flags & TCP_SYN))
		state &= ~AXO_NAT_SYN;
	if (n->tcp_flags & (TCP_FIN | TCP_RST))
		state |= AXO_NAT_CLOSING;
	if (!n->had && n->key.proto == IPPROTO_TCP && (n->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		state = AXO_NAT_SYN;
	__builtin_memset(row, 0, sizeof(*row));
	__builtin_memset(back, 0, sizeof(*back));
	__builtin_memset(&n->backend, 0, sizeof(n->backend));
	resolve((void *)n->chosen.addr, n->family, &n->backend);

	/* to another node it would come from one of the cluster's, who may say who its pods are */
	if (n->key.proto == IPPROTO_UDP && cfg->vxlan_port && n->chosen.port == cfg->vxlan_port && n->backend.kind != SIDE_POD)
		return AXO_DROP_ENCAP_PROHIBITED;
	row->revision = back->revision = n->revision;
	row->service_id = back->service_id = n->front.service_id;
	row->backend_id = back->backend_id = n->chosen.backend_id;
	row->set = back->set = n->chosen.set;
	row->flags = AXO_NAT_DST | state;
	back->flags = AXO_NAT_REPLY | AXO_NAT_SRC | state;
	row->expires = back->expires = n->now + nat_life(n->key.proto, row->flags, false);
	copy16(row->daddr, n->chosen.addr);
	row->dport = n->chosen.port;
	copy16(row->saddr, n->key.saddr);
	row->sport = n->key.sport;
	copy16(back->saddr, n->key.daddr);
	back->sport = n->key.dport;
	copy16(back->daddr, n->key.saddr);
	back->dport = n->key.sport;
	copy16(n->back_key.saddr, n->chosen.addr);
	n->back_key.sport = n->chosen.port;
	copy16(n->back_key.daddr, n->key.saddr);
	n->back_key.proto = n->key.proto;
	n->back_key.kind = 0;
	n->back_key.pad[0] = n->back_key.pad[1] = 0;
	back->action = AXO_VIA_LOCAL;

	dsr = n->front.flags & AXO_LB_DSR && n->client == NORTH_OUTSIDE && n->backend.kind == SIDE_REMOTE &&
	      n->can & (cfg->flags & AXO_NODE_DSR_IPIP ? NORTH_CAN_IPIP : NORTH_CAN_DSR) &&
	      (cfg->flags & AXO_NODE_BALANCER || north_is_pod(n->backend.identity));
	if (n->client == NORTH_OUTSIDE && n->front.flags & AXO_LB_OUT_LOCAL && n->backend.kind == SIDE_REMOTE)
		return AXO_DROP_NO_SERVICE_BACKEND;
	if (dsr) {
		row->flags |= AXO_NAT_DSR;
		if (cfg->flags & AXO_NODE_DSR_IPIP) {
			row->flags &= ~AXO_NAT_DST;
			row->action = AXO_VIA_IPIP;
		}
		north_way(n, cfg);
		goto write;
	}
	north_way(n, cfg);
	if (row->action == AXO_VIA_LOCAL) {
		/* the client's own port, unless it has the same one at another address of this backend */
		r = north_reserve(n, NORTH_PORT_MIN, 65535, wish ? wish : n->key.sport);
	} else {
		bool pod = north_is_pod(n->backend.identity) && !(cfg->flags & AXO_NODE_BALANCER);

		north_own_address(n->back_key.daddr, cfg, n->family, pod);
		if (zero16(n->back_key.daddr))
			return AXO_DROP_NAT_NO_MAPPING;
		back->flags |= AXO_NAT_DST;
		back->action = AXO_VIA_NEIGH;
		if (!wish && n->key.proto == IPPROTO_SCTP)
			wish = n->key.sport;
		/* programs of the node use its other addresses: there the ports are those of masquerade */
		r = pod ? north_reserve(n, NORTH_PORT_MIN, 65535, wish) : north_reserve(n, cfg->snat_min, cfg->snat_max, wish);
	}
	if (r)
		return r;
	copy16(row->saddr, n->back_key.daddr);
	row->sport = n->back_key.dport;
	if (row->sport != n->key.sport || !same16(row->saddr, n->key.saddr)) {
		row->flags |= AXO_NAT_SRC;
		if (!(back->flags & AXO_NAT_DST)) {
			back->flags |= AXO_NAT_DST;
			nat_write(&n->back_key, n->family, back, BPF_ANY);
		}
	}
	if (row->action == AXO_VIA_LOCAL && !n->had) {
		/* entries of a flow between the two without a service: they would answer without it */
		flow_delete(&n->back_key, n->family);
	}
write:
	if (nat_write(&n->key, n->family, row, BPF_ANY))
		return AXO_DROP_FLOW_INSERT;
	return NORTH_ROW;
}

/* The row is of another revision, or has expired: may its backend stay? n->row is a copy of it; then n->chosen is that. */
inline_always bool north_stays(struct north *n)
{
	bool tcp = n->key.proto == IPPROTO_TCP;

	if (tcp ? (n->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !(n->row.flags & AXO_NAT_SYN) : nat_expired(&n->row, n->now))
		return false;
	copy16(n->chosen.addr, n->row.daddr);
	n->chosen.port = n->row.dport;
	n->chosen.backend_id = n->row.backend_id;
	n->chosen.set = n->row.set;
	if (n->row.set == n->set)
		return true;
	if (north_member(n, NORTH_SLOTS_MAX)) {
		n->chosen.set = n->set;
		return true;
	}
	/* a SYN has nothing to lose */
	return tcp && !(n->tcp_flags & TCP_SYN);
}

/*
 * What becomes of the packet with this tuple, of which no row speaks as it is. NORTH_NONE, NORTH_ROW or a drop reason.
 */
proven_alone int north_decide(struct north *n)
{
	struct nat_value *had;
	int r;

	if (!n)
		return AXO_DROP_NO_CONFIG;
	n->revision = nat_revision();
	had = nat_find(&n->key, n->family);
	if (had && !(had->flags & AXO_NAT_REPLY)) {
		n->row = *had;
		n->had = 1;
	}
	/* again only while a set is being replaced */
	for (int i = 0; i < NORTH_SLOT_TRIES; i++) {
		r = north_frontend(n);
		if (r != NORTH_ROW) {
			/* a flow whose frontend has gone ends here, it does not become something else */
			return r == NORTH_NONE && n->had && !nat_expired(&n->row, n->now) ? AXO_DROP_NO_SERVICE_BACKEND : r;
		}
		if (!north_source_allowed(n))
			return AXO_DROP_SOURCE_RANGE;
		if (n->had && north_stays(n))
			return north_create(n);
		if (!n->count) {
			/* with externalTrafficPolicy Local silence is what health checks and routers wait for */
			n->reject = n->front.flags & AXO_LB_REJECT && !(n->client == NORTH_OUTSIDE && n->front.flags & AXO_LB_OUT_LOCAL);
			return AXO_DROP_NO_SERVICE_BACKEND;
		}
		if (north_choose(n)) {
			n->had = 0;
			return north_create(n);
		}
	}
	return AXO_DROP_NO_SERVICE_BACKEND;
}

#endif
