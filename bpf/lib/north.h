/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of services that no socket hook has seen: a tuple in, a row of `nat4`/`nat6` out. No packet and no context: tc
 * and XDP decide with the same code. docs/design/services.md, "Clients outside the cluster".
 *
 * How a program uses it:
 *   1. nat_find(): the row of the tuple. nat_usable() says whether it speaks for this packet as it is, and moves its state.
 *   2. Otherwise: fill the first part of own_north() (cleared), north_had() with what 1. found, call north_decide().
 *      NORTH_NONE: no service. NORTH_ROW: n->row says what becomes of the packet, the row of the answers is written. Else a
 *      drop reason; n->reject: the client is to be told (ICMP from key.daddr).
 *   3. AXO_VIA_NEIGH with ifindex_out 0: the next hop is not known yet; whoever has a context asks the routing table and
 *      puts hop, AXO_NAT_V6_HOP and ifindex_out into the row.
 *   4. north_keep() writes n->row, in any case: once, whole, and not looked up again, which would pass for use of the row.
 *
 * All four of daddr, dport, saddr, sport of a row are always what the packet bears afterwards; AXO_NAT_DST and AXO_NAT_SRC
 * say which end differs from what it bears before. So nat_other() needs nothing but the row: the tuple of the answer.
 */
#ifndef AXO_NORTH_H
#define AXO_NORTH_H

#include "common.h"
#include "ipcache.h"
#include "nat_rows.h"
#include "north_choice.h"
#include "north_ports.h"

inline_always bool north_is_node(__u32 identity)
{
	return identity == IDENTITY_REMOTE_NODE || identity == IDENTITY_APISERVER || identity == IDENTITY_HOST;
}

inline_always bool north_is_pod(__u32 identity)
{
	return (identity >= IDENTITY_POD_MIN && identity < IDENTITY_CIDR) || identity == IDENTITY_UNLISTED;
}

/* Nobody of the cluster: no agent is where it is. */
inline_always bool north_is_stranger(const struct side *backend)
{
	return !backend->tunnel_family && !north_is_node(backend->identity) && !north_is_pod(backend->identity);
}

/* The way to n->backend, into n->row, which begins as zero. */
inline_always void north_way(struct north *n, const struct node_config *cfg)
{
	struct nat_value *row = &n->row;

	if (row->action == AXO_VIA_IPIP)
		return;
	/* its own stack would not take what it has sent itself */
	if (n->client == NORTH_HERE && same16(n->chosen.addr, n->key.saddr)) {
		row->action = AXO_VIA_BACK;
		return;
	}
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

/* What the state of a flow is with this packet: n->row is its row, if it has one. */
inline_always __u8 north_state(const struct north *n)
{
	__u8 state = n->had ? n->row.flags & (AXO_NAT_SYN | AXO_NAT_CLOSING) : 0;

	if (!(n->tcp_flags & TCP_SYN))
		state &= ~AXO_NAT_SYN;
	if (n->tcp_flags & (TCP_FIN | TCP_RST))
		state |= AXO_NAT_CLOSING;
	if (!n->had && n->key.proto == IPPROTO_TCP && (n->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		state = AXO_NAT_SYN;
	return state;
}

/* Both rows, as they are when the client keeps its address. */
call_only void north_begin(struct north *n)
{
	struct nat_value *row = &n->row, *back = &n->back;
	__u8 state = north_state(n);

	__builtin_memset(row, 0, sizeof(*row));
	__builtin_memset(back, 0, sizeof(*back));
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
}

/* An address of this node as the source, and a port of it. 0 or a drop reason. */
inline_always int north_lend(struct north *n, const struct node_config *cfg, __be16 wish)
{
	/* programs of the node use its other addresses: there the ports are those of masquerade */
	bool router = n->row.action == AXO_VIA_BACK || (north_is_pod(n->backend.identity) && !(cfg->flags & AXO_NODE_BALANCER));

	north_own_address(n->back_key.daddr, cfg, n->family, router);
	if (zero16(n->back_key.daddr))
		return AXO_DROP_NAT_NO_MAPPING;
	n->back.flags |= AXO_NAT_DST;
	n->back.action = n->row.action == AXO_VIA_BACK ? AXO_VIA_BACK : AXO_VIA_NEIGH;
	return north_reserve(n, router ? NORTH_PORT_MIN : cfg->snat_min, router ? 65535 : cfg->snat_max, wish);
}

/* Backends without an agent get the whole packet or none; pods have one on their node, who understands the option. */
inline_always bool north_wraps(const struct north *n, const struct node_config *cfg)
{
	bool balancer = cfg->flags & AXO_NODE_BALANCER && cfg->flags & AXO_NODE_DSR_IPIP;
	/* what the outer header comes from */
	bool own = n->family == 6 ? !zero16(cfg->node_ip6) : *(__be32 *)cfg->node_ip4 != 0;

	return own && (balancer || n->front.flags & AXO_LB_IPIP) && n->can & NORTH_CAN_IPIP;
}

inline_always bool north_goes_direct(const struct north *n, const struct node_config *cfg)
{
	if (!(n->front.flags & AXO_LB_DSR) || n->client != NORTH_OUTSIDE || n->backend.kind != SIDE_REMOTE)
		return false;
	if (cfg->flags & AXO_NODE_BALANCER)
		return north_wraps(n, cfg);
	/* a pod's stack and a node's would not unpack it */
	if (n->front.flags & AXO_LB_IPIP)
		return north_is_stranger(&n->backend) && north_wraps(n, cfg);
	return n->can & NORTH_CAN_DSR && north_is_pod(n->backend.identity);
}

/* AXO_NAT_DSR if the backend answers by itself, and n->whole. A connection goes on as it began: its server knows it by the client, or by us. */
inline_always __u16 north_mode(struct north *n, const struct node_config *cfg)
{
	if (n->had && n->key.proto == IPPROTO_TCP && !(n->tcp_flags & TCP_SYN) && n->backend.kind == SIDE_REMOTE) {
		n->whole = n->row.action == AXO_VIA_IPIP;
		return n->row.flags & AXO_NAT_DSR;
	}
	n->whole = north_wraps(n, cfg);
	return north_goes_direct(n, cfg) ? AXO_NAT_DSR : 0;
}

/* Both rows for n->chosen. NORTH_ROW or a drop reason. */
proven_alone int north_create(void)
{
	struct north *n = own_north();
	const struct node_config *cfg = node();
	struct nat_value *row;
	__be16 wish;
	__u16 mode;
	int r;

	if (!n || !cfg)
		return AXO_DROP_NO_CONFIG;
	row = &n->row;
	/* a flow goes on with the port it has */
	wish = n->had ? row->sport : 0;
	__builtin_memset(&n->backend, 0, sizeof(n->backend));
	resolve((void *)n->chosen.addr, n->family, &n->backend);
	/* to another node it would come from one of the cluster's, who may say who its pods are */
	if (n->key.proto == IPPROTO_UDP && cfg->vxlan_port && n->chosen.port == cfg->vxlan_port && n->backend.kind != SIDE_POD)
		return AXO_DROP_ENCAP_PROHIBITED;
	if (n->client == NORTH_OUTSIDE && n->front.flags & AXO_LB_OUT_LOCAL && n->backend.kind == SIDE_REMOTE)
		return AXO_DROP_NO_SERVICE_BACKEND;
	mode = north_mode(n, cfg);
	north_begin(n);
	if (mode) {
		row->flags |= mode;
		if (n->whole) {
			row->flags &= ~AXO_NAT_DST;
			row->action = AXO_VIA_IPIP;
		}
		north_way(n, cfg);
		n->unwritten = 1;
		return NORTH_ROW;
	}
	north_way(n, cfg);
	/* the client's own port, unless it has the same one at another address of this backend */
	if (row->action == AXO_VIA_LOCAL)
		r = north_reserve(n, NORTH_PORT_MIN, 65535, wish ? wish : n->key.sport);
	else
		r = north_lend(n, cfg, wish);
	if (r)
		return r;
	copy16(row->saddr, n->back_key.daddr);
	row->sport = n->back_key.dport;
	if (row->sport != n->key.sport || !same16(row->saddr, n->key.saddr)) {
		row->flags |= AXO_NAT_SRC;
		if (!(n->back.flags & AXO_NAT_DST)) {
			n->back.flags |= AXO_NAT_DST;
			nat_write(&n->back_key, n->family, &n->back, BPF_ANY);
		}
	}
	/* entries of a flow between the two without a service: they would answer without it */
	if (row->action == AXO_VIA_LOCAL && !n->had)
		flow_delete(&n->back_key, n->family);
	n->unwritten = 1;
	return NORTH_ROW;
}

/* n->row into the table, if it is new. 0 or a drop reason. */
call_only int north_keep(struct north *n)
{
	if (!n->unwritten)
		return 0;
	n->unwritten = 0;
	return nat_write(&n->key, n->family, &n->row, BPF_ANY) ? AXO_DROP_FLOW_INSERT : 0;
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
	if (set_has(n->set, NORTH_SLOTS_MAX, &n->chosen)) {
		n->chosen.set = n->set;
		return true;
	}
	/* a SYN has nothing to lose */
	return tcp && !(n->tcp_flags & TCP_SYN);
}

/* The row of the tuple, which does not speak for the packet as it is, or NULL. */
inline_always void north_had(struct north *n, const struct nat_value *row)
{
	if (!row || row->flags & AXO_NAT_REPLY)
		return;
	n->row = *row;
	n->had = 1;
}

/*
 * What becomes of the packet with this tuple, of which no row speaks as it is. NORTH_NONE, NORTH_ROW or a drop reason.
 */
proven_alone int north_decide(void)
{
	struct north *n = own_north();
	int r;

	if (!n)
		return AXO_DROP_NO_CONFIG;
	n->revision = nat_revision();
	/* again only while a set is being replaced */
	for (int i = 0; i < SLOT_TRIES; i++) {
		r = north_frontend();
		if (r != NORTH_ROW) {
			/* a flow whose frontend has gone ends here, it does not become something else */
			return r == NORTH_NONE && n->had && !nat_expired(&n->row, n->now) ? AXO_DROP_NO_SERVICE_BACKEND : r;
		}
		if (!north_source_allowed(n))
			return AXO_DROP_SOURCE_RANGE;
		if (n->had && north_stays(n))
			return north_create();
		if (!n->count) {
			/* with externalTrafficPolicy Local silence is what health checks and routers wait for */
			n->reject = n->front.flags & AXO_LB_REJECT && !(n->client == NORTH_OUTSIDE && n->front.flags & AXO_LB_OUT_LOCAL);
			return AXO_DROP_NO_SERVICE_BACKEND;
		}
		if (north_choose()) {
			n->had = 0;
			return north_create();
		}
	}
	return AXO_DROP_NO_SERVICE_BACKEND;
}

#endif
