/* SPDX-License-Identifier: Apache-2.0 */
/* Which frontend a tuple finds, who may use it, which backend it gets. north.h has the whole. */
#ifndef AXO_NORTH_CHOICE_H
#define AXO_NORTH_CHOICE_H

#include "common.h"
#include "frontend.h"
#include "ipcache.h"
#include "nat_rows.h"

#define NORTH_NONE 0
#define NORTH_ROW 1

#define NORTH_OUTSIDE 0 /* the client is nobody of the cluster: `set_out` */
#define NORTH_INSIDE 1  /* a pod or node of the cluster, elsewhere: `set_in` */
#define NORTH_HERE 2    /* a pod or program of this node: `set_in`, never SNAT, the flow path does the rest */

#define NORTH_CAN_DSR 1  /* the caller can send AXO_NAT_DSR rows by option */
#define NORTH_CAN_IPIP 2 /* and AXO_VIA_IPIP */

#define NORTH_PORT_MIN 1024
#define NORTH_PORT_LOTS 16   /* ports by lot before others are tried in order */
#define NORTH_PORT_NEAR 512  /* up to this one of the range of the lots, whole if it is small; then of all */
#define NORTH_PORT_TRIES 8192
#define NORTH_SLOTS_MAX 65536

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
	__u8 unwritten;       /* `row` is not in the table yet: north_keep() */
	__u8 whole;           /* the backend gets packets IP in IP */
	__u8 pad;
	struct nat_value row;
	struct lb_frontend_value front; /* valid with NORTH_ROW and drop reasons */
	/* our own */
	struct lb_frontend_key front_key;
	struct lb_affinity_key sticky_key;
	struct lb_affinity_value chosen; /* the backend */
	struct side backend;
	struct flow6_key back_key;
	struct flow6_key flow_key; /* of north_flow_has(), at the bottom of the stack */
	struct nat_value back;
	__u64 set;
	__u32 count;
	__u32 revision;
	__u32 port_range;
	__u32 port_lots;
	__u32 port_start;
	__u16 port_first;
	__u8 found;
	__u8 had; /* the tuple had a row */
	__u8 tried; /* a port was asked for */
};

/* Working memory, as `query_memory`: what is proven alone looks it up. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct north);
	__uint(max_entries, 1);
} north_memory SEC(".maps");

inline_always struct north *own_north(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&north_memory, &zero);
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

/* n->front from n->key. NORTH_NONE, NORTH_ROW (found), or the reason why nothing gets through on this address. */
proven_alone int north_frontend(void)
{
	struct north *n = own_north();
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
	if (front && front->flags & AXO_LB_HOST_PORT && place_of((void *)n->key.daddr, n->family) != AT_OWN)
		return NORTH_NONE;
	if (!front) {
		__builtin_memset(k->addr, 0, 16);
		front = bpf_map_lookup_elem(&lb_frontend, k);
		if (front) {
			place = place_of((void *)n->key.daddr, n->family);
			if (place != AT_OWN && !(place == AT_NODE && n->client == NORTH_HERE && front->flags & AXO_LB_NODE_PORT))
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
	/* what pods of a local redirect send themselves, as at the socket (service.h) */
	if (unlikely(n->front.flags & AXO_LB_SKIP_OWN) && n->client == NORTH_HERE &&
	    set_has_address(n->set, n->count, n->key.saddr)) {
		if (!n->front.set_out)
			return NORTH_NONE;
		n->set = n->front.set_out;
		n->count = n->front.count_out;
	}
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
	if (!had || (__s64)(n->chosen.last_ns - had->last_ns) >= (__s64)(n->front.affinity_s * SECOND))
		return false;
	copy16(n->chosen.addr, had->addr);
	n->chosen.port = had->port;
	n->chosen.family = had->family;
	n->chosen.backend_id = had->backend_id;
	if (had->set != n->set && !set_has(n->set, n->count, &n->chosen))
		return false;
	n->chosen.set = n->set;
	had->set = n->set;
	had->last_ns = n->chosen.last_ns;
	return true;
}

/* n->chosen from n->set: by affinity, Maglev or lot. False: the set is being replaced, ask for the frontend again. */
proven_alone int north_choose(void)
{
	struct north *n = own_north();
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

#endif
