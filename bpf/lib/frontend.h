/* SPDX-License-Identifier: Apache-2.0 */
/* What sockets (service.h) and packets (north.h) ask of services alike: whose address it is, and who is in a set. */
#ifndef AXO_FRONTEND_H
#define AXO_FRONTEND_H

#include "common.h"

#define SLOT_TRIES 3 /* again only while a set is being replaced */
#define SECOND 1000000000ull

#define AT_ELSEWHERE 0
#define AT_NODE 1 /* an address of another node */
#define AT_OWN 2  /* an address of this node */

/* AT_: whose address it is. A loopback is nobody's. */
proven_alone int place_of(const struct addr16 *addr, __u32 family)
{
	struct ipcache_key ik = { .prefixlen = family == 6 ? 160 : 64, .family = family };
	struct endpoint_key ek = { .family = family };
	struct endpoint_value *ep;
	struct ipcache_value *row;

	if (!addr)
		return AT_ELSEWHERE;
	copy16(ek.addr, addr);
	ep = bpf_map_lookup_elem(&endpoint, &ek);
	if (ep)
		return ep->flags & AXO_ENDPOINT_HOST ? AT_OWN : AT_ELSEWHERE;
	copy16(ik.addr, addr);
	row = bpf_map_lookup_elem(&ipcache, &ik);
	if (!row)
		return AT_ELSEWHERE;
	return row->identity == IDENTITY_HOST || row->identity == IDENTITY_REMOTE_NODE || row->identity == IDENTITY_APISERVER
		? AT_NODE : AT_ELSEWHERE;
}

struct slot_search {
	struct lb_slot_key key;
	const struct lb_affinity_value *backend; /* NULL: whichever has the address */
	const __u8 *addr;
	bool found;
};

static long search_slot(__u32 index, void *at)
{
	struct slot_search *s = at;
	struct lb_slot_value *slot;

	s->key.index = index;
	slot = bpf_map_lookup_elem(&lb_slot, &s->key);
	if (!slot)
		return 1; /* slots have no gaps */
	s->found = same16(slot->addr, s->addr) &&
		   (!s->backend || (slot->backend_id == s->backend->backend_id && slot->port == s->backend->port));
	return s->found;
}

/* The backend is among the slots of the set, up to `limit`: those behind the set's count are the ones that drain. */
call_only bool set_has(__u64 set, __u32 limit, const struct lb_affinity_value *backend)
{
	struct slot_search s = { .key = { .set = set }, .backend = backend, .addr = backend->addr };

	bpf_loop(limit, search_slot, &s, 0);
	return s.found;
}

/* Any backend of the set has the address. */
call_only bool set_has_address(__u64 set, __u32 count, const __u8 *addr)
{
	struct slot_search s = { .key = { .set = set }, .addr = addr };

	bpf_loop(count, search_slot, &s, 0);
	return s.found;
}

#endif
