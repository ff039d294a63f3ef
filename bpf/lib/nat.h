/* SPDX-License-Identifier: Apache-2.0 */
/* Rewriting one end of a packet with all its checksums, and the choice of masquerade ports. */
#ifndef AXO_NAT_H
#define AXO_NAT_H

#include "common.h"
#include "flow.h"
#include "ipcache.h"
#include "north.h"
#include "parse.h"
#include "sctp.h"

#define SNAT_TRIES 16
#define REWRITE_NO_PORTS 0x100 /* or-ed to proto: a later fragment */

struct rewrite {
	__u8 addr[16];
	__be16 port;
	__u8 family;
	__u8 proto;
	__u8 source;    /* which end */
	__u8 no_ports;  /* a later fragment */
	__u8 pad[2];
	__u32 l3_off;
	__u32 l4_off;
};

inline_always __u32 checksum_offset(__u8 proto)
{
	if (proto == IPPROTO_TCP)
		return 16;
	return proto == IPPROTO_UDP ? 6 : 2;
}

inline_always int rewrite4(struct __sk_buff *skb, const struct rewrite *w, __be32 *old)
{
	__u32 at = w->l3_off + (w->source ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr));
	__be32 fresh = *(__be32 *)w->addr;

	if (bpf_skb_load_bytes(skb, at, old, 4))
		return AXO_DROP_TRUNCATED;
	if (bpf_l3_csum_replace(skb, w->l3_off + offsetof(struct iphdr, check), *old, fresh, 4))
		return AXO_DROP_CSUM_L3;
	return bpf_skb_store_bytes(skb, at, &fresh, 4, 0) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

/* *diff: what the address change does to a checksum over it. */
inline_always int rewrite6(struct __sk_buff *skb, const struct rewrite *w, __s64 *diff)
{
	__u32 at = w->l3_off + (w->source ? offsetof(struct ipv6hdr, saddr) : offsetof(struct ipv6hdr, daddr));
	__u8 old[16];

	if (bpf_skb_load_bytes(skb, at, old, 16))
		return AXO_DROP_TRUNCATED;
	*diff = bpf_csum_diff((__be32 *)old, 16, (__be32 *)w->addr, 16, 0);
	return bpf_skb_store_bytes(skb, at, w->addr, 16, 0) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

/* One address and one port (or echo id) of a whole packet. AXO_OK or a drop reason. */
inline_always int rewrite(struct __sk_buff *skb, const struct rewrite *w)
{
	bool icmp = w->proto == IPPROTO_ICMP || w->proto == IPPROTO_ICMPV6;
	__u32 sum_at = w->l4_off + checksum_offset(w->proto);
	__u32 port_at = w->l4_off + (icmp ? 4 : w->source ? 0 : 2);
	__u64 zero_udp = w->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__be32 old4 = 0;
	__be16 old_port, sum;
	__s64 diff = 0;
	int r;

	r = w->family == 6 ? rewrite6(skb, w, &diff) : rewrite4(skb, w, &old4);
	if (r || w->no_ports)
		return r;
	if (w->proto == IPPROTO_SCTP)
		return sctp_port(skb, w->family, w->l4_off, w->port, w->source);
	if (bpf_skb_load_bytes(skb, port_at, &old_port, 2) || bpf_skb_load_bytes(skb, sum_at, &sum, 2))
		return AXO_DROP_TRUNCATED;
	if (w->proto != IPPROTO_UDP || w->family == 6 || sum) {
		long bad = 0;

		if (w->family == 6) {
			bad = bpf_l4_csum_replace(skb, sum_at, 0, diff, BPF_F_PSEUDO_HDR | zero_udp);
			/* The helper assumes IPv4, where the header's own sum balances the address: take back what it
			 * did to a device's full-packet sum (CHECKSUM_COMPLETE). A no-op otherwise.
			 */
			bpf_csum_update(skb, diff);
		} else if (!icmp) {
			bad = bpf_l4_csum_replace(skb, sum_at, old4, *(__be32 *)w->addr, BPF_F_PSEUDO_HDR | zero_udp | 4);
		}
		if (bad || bpf_l4_csum_replace(skb, sum_at, old_port, w->port, zero_udp | 2))
			return AXO_DROP_CSUM_L4;
	}
	return bpf_skb_store_bytes(skb, port_at, &w->port, 2, 0) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

/* One address. *diff: with what that does to a sum over it. */
inline_always int nat_end(struct __sk_buff *skb, __u32 family, __u32 at, const __u8 *fresh, __s64 *diff)
{
	__u32 length = family == 6 ? 16 : 4;
	__be32 was[4];

	if (family == 6 ? bpf_skb_load_bytes(skb, at, was, 16) : bpf_skb_load_bytes(skb, at, was, 4))
		return AXO_DROP_TRUNCATED;
	*diff = family == 6 ? bpf_csum_diff(was, 16, (__be32 *)fresh, 16, *diff) : bpf_csum_diff(was, 4, (__be32 *)fresh, 4, *diff);
	return bpf_skb_store_bytes(skb, at, fresh, length, 0) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

/*
 * Both ends of a packet as a row of `nat4`/`nat6` says. `proto` may have REWRITE_NO_PORTS. AXO_OK or a drop reason. At the bottom of deep
 * calls: what it keeps on the stack is counted.
 */
proven_alone int nat_rewrite(struct __sk_buff *skb, const struct nat_value *v, __u32 family, __u32 l4_off, __u32 proto)
{
	struct {
		__be32 ports;
	} was, now;
	__be16 sum = 1;
	__s64 diff = 0;
	__u64 zero_udp;
	__u32 sum_at;
	int r = AXO_OK;

	if (!v)
		return AXO_DROP_NO_CONFIG;
	if (v->flags & AXO_NAT_SRC)
		r = nat_end(skb, family, ETH_HEADER + (family == 6 ? 8 : 12), v->saddr, &diff);
	if (!r && v->flags & AXO_NAT_DST)
		r = nat_end(skb, family, ETH_HEADER + (family == 6 ? 24 : 16), v->daddr, &diff);
	if (r)
		return r;
	if (family != 6 && bpf_l3_csum_replace(skb, ETH_HEADER + offsetof(struct iphdr, check), 0, diff, 0))
		return AXO_DROP_CSUM_L3;
	if (proto & REWRITE_NO_PORTS)
		return AXO_OK;
	if (bpf_skb_load_bytes(skb, l4_off, &was.ports, 4))
		return AXO_DROP_TRUNCATED;
	now.ports = was.ports;
	if (v->flags & AXO_NAT_SRC)
		((__be16 *)&now.ports)[0] = v->sport;
	if (v->flags & AXO_NAT_DST)
		((__be16 *)&now.ports)[1] = v->dport;
	if ((proto & 0xff) == IPPROTO_SCTP)
		return sctp_ports(skb, family, l4_off, now.ports);
	zero_udp = (proto & 0xff) == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	sum_at = l4_off + checksum_offset(proto & 0xff);
	if (zero_udp && family != 6 && bpf_skb_load_bytes(skb, sum_at, &sum, 2))
		return AXO_DROP_TRUNCATED;
	if (sum) {
		if (bpf_l4_csum_replace(skb, sum_at, 0, diff, BPF_F_PSEUDO_HDR | zero_udp))
			return AXO_DROP_CSUM_L4;
		if (family == 6)
			bpf_csum_update(skb, diff); /* as in rewrite() */
	}
	if (now.ports == was.ports)
		return AXO_OK;
	if (sum && bpf_l4_csum_replace(skb, sum_at, 0, bpf_csum_diff(&was.ports, 4, &now.ports, 4, 0), zero_udp))
		return AXO_DROP_CSUM_L4;
	return bpf_skb_store_bytes(skb, l4_off, &now.ports, 4, 0) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

/*
 * An ICMP error about a masqueraded flow: one end of the outer header and the opposite end of the packet inside it.
 * `w` describes the outer side; proto is the inner packet's. The inner transport checksum is left alone, nobody can
 * verify it from eight bytes.
 */
inline_always int rewrite_error(struct __sk_buff *skb, struct rewrite *w, __u32 inner_l3, __u32 inner_l4)
{
	bool icmp = w->proto == IPPROTO_ICMP || w->proto == IPPROTO_ICMPV6;
	__u32 sum_at = w->l4_off + 2;
	__u32 port_at;
	__be32 old4;
	__be16 old_port;
	__s64 outer = 0, inner = 0;
	int r;

	r = w->family == 6 ? rewrite6(skb, w, &outer) : rewrite4(skb, w, &old4);
	if (r)
		return r;
	w->l3_off = inner_l3;
	w->source = !w->source;
	/* inner IPv4: its header checksum takes up the change, so the ICMP sum over both stays */
	r = w->family == 6 ? rewrite6(skb, w, &inner) : rewrite4(skb, w, &old4);
	if (r)
		return r;
	port_at = inner_l4 + (icmp ? 4 : w->source ? 0 : 2);
	if (bpf_skb_load_bytes(skb, port_at, &old_port, 2))
		return AXO_DROP_TRUNCATED;
	if (w->family == 6) {
		if (bpf_l4_csum_replace(skb, sum_at, 0, outer, BPF_F_PSEUDO_HDR))
			return AXO_DROP_CSUM_L4;
		bpf_csum_update(skb, outer);
		if (bpf_l4_csum_replace(skb, sum_at, 0, inner, 0))
			return AXO_DROP_CSUM_L4;
	}
	if (bpf_l4_csum_replace(skb, sum_at, old_port, w->port, 2))
		return AXO_DROP_CSUM_L4;
	return bpf_skb_store_bytes(skb, port_at, &w->port, 2, 0) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

inline_always bool masquerades(const struct node_config *cfg, __u8 family)
{
	return cfg->flags & (family == 6 ? AXO_NODE_MASQUERADE6 : AXO_NODE_MASQUERADE4);
}

/* Working memory of masquerade(), as `slow_memory`. */
struct masquerading {
	struct flow_value back;
	struct flow6_key key; /* of the answers */
	struct bpf_sock_tuple socket;
	__be16 remote_port;
	__be16 port;
	__u8 family;
	__u8 found;
	__u8 pad[2];
	__u32 now;
	__u32 first; /* the node's own range */
	__u32 range;
	__u32 start; /* of the search in all the others */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct masquerading);
	__uint(max_entries, 1);
} masquerade_memory SEC(".maps");

/* Insert the reply tuple with this port: whoever inserts first owns it. */
call_only bool take_port(struct masquerading *m, __be16 port)
{
	struct flow_value *held;
	struct nat_value *row;

	m->port = port;
	m->key.dport = port;
	m->key.sport = m->key.kind ? port : m->remote_port;
	note_own_port(port);
	held = flow_find(&m->key, m->family);
	if (held && same16(held->addr, m->back.addr) && held->port == m->back.port && held->flags & AXO_FLOW_DNAT) {
		flow_write(&m->key, m->family, &m->back, BPF_ANY); /* ours from before */
		return true;
	}
	if (held && !flow_expired(held, m->now))
		return false;
	row = nat_find(&m->key, m->family);
	if (row && !nat_expired(row, m->now))
		return false;
	if (held)
		flow_delete(&m->key, m->family);
	return !flow_write(&m->key, m->family, &m->back, BPF_NOEXIST);
}

/* A socket of the node would get the answers: one that listens on the port, or speaks from it to the same peer. */
call_only bool socket_has(struct __sk_buff *skb, struct masquerading *m, __be16 port)
{
	struct bpf_sock_tuple *t = &m->socket;
	struct bpf_sock *sk = NULL;
	__u32 size;

	if (m->key.proto != IPPROTO_TCP && m->key.proto != IPPROTO_UDP)
		return false;
	if (m->family == 6) {
		size = sizeof(t->ipv6);
		copy16(t->ipv6.saddr, m->key.saddr);
		copy16(t->ipv6.daddr, m->key.daddr);
		t->ipv6.sport = m->remote_port;
		t->ipv6.dport = port;
	} else {
		size = sizeof(t->ipv4);
		t->ipv4.saddr = *(__be32 *)m->key.saddr;
		t->ipv4.daddr = *(__be32 *)m->key.daddr;
		t->ipv4.sport = m->remote_port;
		t->ipv4.dport = port;
	}
	if (m->key.proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(skb, t, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(skb, t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

struct port_hunt {
	struct __sk_buff *skb;
	struct masquerading *m;
};

static long masquerade_try(__u32 i, void *at)
{
	struct masquerading *m = ((struct port_hunt *)at)->m;
	struct __sk_buff *skb = ((struct port_hunt *)at)->skb;
	bool own = i < SNAT_TRIES;
	__u32 range = own ? m->range : 65536 - NORTH_PORT_MIN, port;

	if (!range)
		return 0;
	port = own ? m->first + bpf_get_prandom_u32() % range : NORTH_PORT_MIN + nth_try(i, m->start, range);
	if (port_serves((void *)m->key.daddr, port, m->key.proto, m->family))
		return 0;
	/* the node's own range is nobody else's */
	if (!own && socket_has(skb, m, bpf_htons(port)))
		return 0;
	m->found = take_port(m, bpf_htons(port));
	return m->found;
}

/*
 * Reserve the reply tuple of a masqueraded flow by inserting it. `v` is the forward entry (its port is filled in, v->port may hold the
 * one it had before). First the node's own range; when that is crowded towards this peer, whatever no service and no socket has.
 */
proven_alone int masquerade(struct __sk_buff *skb, const struct packet *p, const struct side *pod, struct flow_value *v)
{
	const struct node_config *cfg = node();
	__u32 zero = 0;
	struct masquerading *m = bpf_map_lookup_elem(&masquerade_memory, &zero);
	struct port_hunt hunt = { .skb = skb, .m = m };

	if (!p || !pod || !v || !m || !cfg || cfg->snat_max < cfg->snat_min)
		return AXO_DROP_NAT_NO_MAPPING;
	if (p->key.kind)
		return AXO_DROP_NAT_UNSUPPORTED;
	__builtin_memset(m, 0, sizeof(*m));
	m->now = ticks();
	m->family = p->family;
	m->remote_port = p->key.dport;
	m->first = cfg->snat_min;
	m->range = cfg->snat_max - cfg->snat_min + 1;
	m->start = bpf_get_prandom_u32() % (65536 - NORTH_PORT_MIN);
	copy16(m->key.saddr, p->key.daddr);
	if (p->family == 6)
		copy16(m->key.daddr, cfg->node_ip6);
	else
		*(__be32 *)m->key.daddr = *(__be32 *)cfg->node_ip4;
	if (zero16(m->key.daddr))
		return AXO_DROP_NAT_NO_MAPPING;
	m->key.proto = p->key.proto;
	if (m->key.proto == IPPROTO_ICMP || m->key.proto == IPPROTO_ICMPV6)
		m->key.kind = AXO_KIND_REPLY;

	m->back.generation = v->generation;
	m->back.ifindex_in = AXO_IN_NETDEV;
	m->back.ifindex_out = pod->ifindex;
	m->back.action = AXO_ACT_POD;
	m->back.flags = AXO_FLOW_REPLY | AXO_FLOW_DNAT | (v->flags & AXO_FLOW_SYN);
	m->back.port = p->key.sport;
	m->back.expires = m->now + flow_life(m->key.proto, m->back.flags);
	copy16(m->back.addr, p->key.saddr);
	__builtin_memcpy(m->back.dmac, pod->mac, 6);
	__builtin_memcpy(m->back.smac, pod->host_mac, 6);

	if (!v->port || !take_port(m, v->port)) {
		bpf_loop(NORTH_PORT_TRIES, masquerade_try, &hunt, 0);
		if (!m->found)
			return AXO_DROP_NAT_NO_MAPPING;
	}
	v->port = m->port;
	v->flags |= AXO_FLOW_SNAT;
	return AXO_OK;
}

#endif
