/* SPDX-License-Identifier: Apache-2.0 */
/* Services at the socket: a virtual address becomes a backend before there is a packet. */
#ifndef AXO_SERVICE_H
#define AXO_SERVICE_H

#include "common.h"

#define SLOT_TRIES 3
#define ECONNREFUSED_ 111

struct peer {
	__u8 addr[16];
	__be16 port;
	__u8 family;
	__u8 proto;
};

#define SERVICE_NONE 0    /* not a service address: leave it alone */
#define SERVICE_CHOSEN 1  /* *p is the backend now */
#define SERVICE_EMPTY 2   /* nobody serves it */

inline_always struct lb_slot_value *choose_slot(const struct lb_frontend_value *front)
{
	struct lb_slot_key key = { .set = front->set };
	struct lb_slot_value *slot;

	/* a retry only matters while a set is being replaced */
	for (int i = 0; i < SLOT_TRIES; i++) {
		key.index = bpf_get_prandom_u32() % front->count;
		slot = bpf_map_lookup_elem(&lb_slot, &key);
		if (slot)
			return slot;
	}
	return NULL;
}

/* `cookie` remembers for the way back. */
call_only int service_translate(struct peer *p, __u64 cookie)
{
	struct lb_frontend_key key = { .port = p->port, .proto = p->proto, .family = p->family };
	struct lb_sock_value was = { .port = p->port, .family = p->family };
	struct lb_sock_key now = { .cookie = cookie, .family = p->family, .proto = p->proto };
	struct lb_frontend_value *front;
	struct lb_slot_value *slot;

	copy16(key.addr, p->addr);
	front = bpf_map_lookup_elem(&lb_frontend, &key);
	if (!front)
		return SERVICE_NONE;
	if (!front->count)
		return SERVICE_EMPTY;
	slot = choose_slot(front);
	if (!slot || slot->family != p->family)
		return SERVICE_EMPTY;
	copy16(was.addr, p->addr);
	was.service_id = front->service_id;
	copy16(p->addr, slot->addr);
	p->port = slot->port;
	copy16(now.addr, p->addr);
	now.port = p->port;
	bpf_map_update_elem(&lb_sock, &now, &was, BPF_ANY);
	return SERVICE_CHOSEN;
}

/* The address the program asked for, if this peer was its backend. */
call_only bool service_original(struct peer *p, __u64 cookie)
{
	struct lb_sock_key key = { .cookie = cookie, .port = p->port, .family = p->family, .proto = p->proto };
	struct lb_sock_value *was;

	copy16(key.addr, p->addr);
	was = bpf_map_lookup_elem(&lb_sock, &key);
	if (!was)
		return false;
	copy16(p->addr, was->addr);
	p->port = was->port;
	return true;
}

inline_always bool service_proto(__u32 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

#endif
