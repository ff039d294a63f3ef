/* SPDX-License-Identifier: Apache-2.0 */
/* Services at the socket: a virtual address becomes a backend before there is a packet. docs/design/services.md. */
#ifndef AXO_SERVICE_H
#define AXO_SERVICE_H

#include "common.h"
#include "frontend.h"

struct peer {
	__u8 addr[16];
	__be16 port;
	__u8 family;
	__u8 proto;
};

/* Who asks. */
struct client {
	__u64 cookie; /* of the socket */
	__u64 netns;
};

#define SERVICE_NONE 0    /* not a service address: leave it alone */
#define SERVICE_CHOSEN 1  /* *p is the backend now */
#define SERVICE_REFUSED 2 /* nobody serves it, and the client shall know */
#define SERVICE_SILENT 3  /* nobody serves it, and the client shall wait */

inline_always bool is_loopback(const struct lb_frontend_key *k)
{
	const __u32 *w = (const __u32 *)k->addr;

	/* connecting to the unspecified address is connecting to the loopback */
	if (zero16(k->addr))
		return true;
	if (k->family == 4)
		return k->addr[0] == 127;
	return !(w[0] | w[1] | w[2]) && w[3] == bpf_htonl(1);
}

inline_always bool in_node_netns(__u64 netns)
{
	const struct node_config *cfg = node();

	return cfg && cfg->netns_cookie && cfg->netns_cookie == netns;
}

/*
 * The row for an address: its own, or one for every address of a node. A host port is on the addresses of this node and
 * nowhere else, whatever address its pod asked for.
 */
inline_always struct lb_frontend_value *find_frontend(struct lb_frontend_key *key, __u64 netns)
{
	struct lb_frontend_key any = { .port = key->port, .proto = key->proto, .family = key->family };
	bool exact = !zero16(key->addr);
	struct lb_frontend_value *front = NULL;
	int place;

	if (exact)
		front = bpf_map_lookup_elem(&lb_frontend, key);
	if (front && !(front->flags & AXO_LB_HOST_PORT))
		return front;
	if (!front)
		front = bpf_map_lookup_elem(&lb_frontend, &any);
	if (!front)
		return NULL;
	/* a loopback is the node's only for those who share it */
	if (is_loopback(key))
		place = in_node_netns(netns) ? AT_OWN : AT_ELSEWHERE;
	else
		place = place_of((void *)key->addr, key->family);
	if (place == AT_OWN || (place == AT_NODE && front->flags & AXO_LB_NODE_PORT))
		return front;
	return NULL;
}

/* The backends that this client may have. */
struct choice {
	__u64 set;
	__u32 count;
	__u32 service_id;
	__u32 affinity_s; /* 0 = none */
};

/* Sets are replaced, not changed: whether a client's backend is in the new one is asked once per client and set. */
inline_always bool still_member(const struct lb_affinity_value *now, __u64 set, __u32 count)
{
	return now->set == set || set_has(set, count, now);
}

/* Whether the client is one of the backends. */
call_only bool is_own(__u64 set, __u32 count, __u8 family, __u64 netns)
{
	struct endpoint_netns_key key = { .cookie = netns };
	struct endpoint_netns_value *pod = bpf_map_lookup_elem(&endpoint_netns, &key);
	__u8 addr[16] = {};

	if (!pod)
		return false;
	if (family == 6)
		copy16(addr, pod->ip6);
	else
		*(__u32 *)addr = *(__u32 *)pod->ip4;
	return !zero16(addr) && set_has_address(set, count, addr);
}

/* Backends of a local redirect may want to reach what was there before: the original backends, or the address itself. */
inline_always bool choice_of(const struct lb_frontend_value *front, const struct peer *p, __u64 netns, struct choice *c)
{
	c->set = front->set_in;
	c->count = front->count_in;
	c->service_id = front->service_id;
	c->affinity_s = front->flags & AXO_LB_AFFINITY ? front->affinity_s : 0;
	if (likely(!(front->flags & AXO_LB_SKIP_OWN)) || !is_own(c->set, c->count, p->family, netns))
		return true;
	c->set = front->set_out;
	c->count = front->count_out;
	return c->set;
}

inline_always bool choose_slot(struct peer *p, const struct choice *c, struct lb_affinity_value *chosen)
{
	struct lb_slot_key key = { .set = c->set, .index = bpf_get_prandom_u32() % c->count };
	struct lb_slot_value *slot = bpf_map_lookup_elem(&lb_slot, &key);

	if (!slot || slot->family != p->family)
		return false;
	copy16(chosen->addr, slot->addr);
	chosen->port = slot->port;
	chosen->family = slot->family;
	chosen->backend_id = slot->backend_id;
	return true;
}

/* The backend this client had a while ago, or one by lot. */
call_only bool choose(struct peer *p, const struct choice *c, __u64 netns)
{
	struct lb_affinity_key key = { .service_id = c->service_id, .family = p->family, .proto = p->proto, .scope = AXO_AFFINITY_NETNS };
	struct lb_affinity_value chosen = { .set = c->set };
	bool sticky = c->affinity_s;
	struct lb_affinity_value *had;

	if (sticky) {
		*(__u64 *)key.client = netns;
		chosen.last_ns = bpf_ktime_get_ns();
		had = bpf_map_lookup_elem(&lb_affinity, &key);
		/* signed: another CPU may have written a moment later */
		if (had && (__s64)(chosen.last_ns - had->last_ns) < (__s64)(c->affinity_s * SECOND)) {
			struct lb_affinity_value last = *had;

			if (still_member(&last, c->set, c->count)) {
				had->set = c->set;
				had->last_ns = chosen.last_ns;
				copy16(p->addr, last.addr);
				p->port = last.port;
				return true;
			}
		}
	}
	if (!choose_slot(p, c, &chosen))
		return false;
	if (sticky)
		bpf_map_update_elem(&lb_affinity, &key, &chosen, BPF_ANY);
	copy16(p->addr, chosen.addr);
	p->port = chosen.port;
	return true;
}

/* For the way back. Datagrams of one socket mostly say the same again. */
inline_always void remember(const struct peer *p, const struct lb_sock_value *was, __u64 cookie)
{
	struct lb_sock_key now = { .cookie = cookie, .port = p->port, .family = p->family, .proto = p->proto };
	struct lb_sock_value *known;

	copy16(now.addr, p->addr);
	known = bpf_map_lookup_elem(&lb_sock, &now);
	if (known && known->port == was->port && known->service_id == was->service_id && same16(known->addr, was->addr))
		return;
	bpf_map_update_elem(&lb_sock, &now, was, BPF_ANY);
}

call_only int service_translate(struct peer *p, const struct client *c)
{
	struct lb_frontend_key key = { .port = p->port, .proto = p->proto, .family = p->family };
	struct lb_sock_value was = { .port = p->port, .family = p->family };
	struct lb_frontend_value *front;
	struct choice choice;

	copy16(key.addr, p->addr);
	copy16(was.addr, p->addr);
	/* again only while a set is being replaced; unrolled, because the verifier of Linux 6.1 refuses loops entered in their middle */
#pragma unroll
	for (int i = 0; i < SLOT_TRIES; i++) {
		front = find_frontend(&key, c->netns);
		if (!front || !choice_of(front, p, c->netns, &choice))
			return SERVICE_NONE;
		if (!choice.count)
			return front->flags & AXO_LB_REJECT ? SERVICE_REFUSED : SERVICE_SILENT;
		was.service_id = front->service_id;
		if (choose(p, &choice, c->netns)) {
			remember(p, &was, c->cookie);
			return SERVICE_CHOSEN;
		}
	}
	return SERVICE_REFUSED;
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

/* A program of the node that listened here would get nothing, or what is a service's. */
call_only bool service_owns(const struct peer *p, __u64 netns)
{
	struct lb_frontend_key key = { .port = p->port, .proto = p->proto, .family = p->family };
	struct lb_frontend_value *front;

	if (!in_node_netns(netns))
		return false;
	copy16(key.addr, p->addr);
	front = find_frontend(&key, netns);
	return front && front->flags & (AXO_LB_NODE_PORT | AXO_LB_EXTERNAL_IP | AXO_LB_LOAD_BALANCER);
}

inline_always bool service_proto(__u32 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

#endif
