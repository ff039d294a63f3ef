/* SPDX-License-Identifier: Apache-2.0 */
/* Rewriting one end of a packet with all its checksums, and the choice of masquerade ports. */
#ifndef AXO_NAT_H
#define AXO_NAT_H

#include "common.h"
#include "flow.h"
#include "ipcache.h"
#include "north.h"
#include "parse.h"

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

/* Both ends of a packet as a row of `nat4`/`nat6` says. `proto` may have REWRITE_NO_PORTS. AXO_OK or a drop reason. */
proven_alone int nat_rewrite(struct __sk_buff *skb, const struct nat_value *v, __u32 family, __u32 l4_off, __u32 proto)
{
	struct {
		__be32 addr[8];
		__be32 ports;
	} was, now;
	__u32 at = ETH_HEADER + (family == 6 ? 8 : 12);
	__u32 sum_at = l4_off + checksum_offset(proto & 0xff);
	__u64 zero_udp = (proto & 0xff) == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__be16 sum = 1;
	__s64 diff;

	if (!v)
		return AXO_DROP_NO_CONFIG;
	if (family == 6) {
		if (bpf_skb_load_bytes(skb, at, was.addr, 32))
			return AXO_DROP_TRUNCATED;
		__builtin_memcpy(now.addr, was.addr, 32);
		if (v->flags & AXO_NAT_SRC)
			copy16(now.addr, v->saddr);
		if (v->flags & AXO_NAT_DST)
			copy16(now.addr + 4, v->daddr);
		diff = bpf_csum_diff(was.addr, 32, now.addr, 32, 0);
		if (bpf_skb_store_bytes(skb, at, now.addr, 32, 0))
			return AXO_DROP_WRITE_ERROR;
	} else {
		if (bpf_skb_load_bytes(skb, at, was.addr, 8))
			return AXO_DROP_TRUNCATED;
		now.addr[0] = v->flags & AXO_NAT_SRC ? *(__be32 *)v->saddr : was.addr[0];
		now.addr[1] = v->flags & AXO_NAT_DST ? *(__be32 *)v->daddr : was.addr[1];
		diff = bpf_csum_diff(was.addr, 8, now.addr, 8, 0);
		if (bpf_l3_csum_replace(skb, ETH_HEADER + offsetof(struct iphdr, check), 0, diff, 0))
			return AXO_DROP_CSUM_L3;
		if (bpf_skb_store_bytes(skb, at, now.addr, 8, 0))
			return AXO_DROP_WRITE_ERROR;
	}
	if (proto & REWRITE_NO_PORTS)
		return AXO_OK;
	if (bpf_skb_load_bytes(skb, l4_off, &was.ports, 4))
		return AXO_DROP_TRUNCATED;
	now.ports = was.ports;
	if (v->flags & AXO_NAT_SRC)
		((__be16 *)&now.ports)[0] = v->sport;
	if (v->flags & AXO_NAT_DST)
		((__be16 *)&now.ports)[1] = v->dport;
	if ((proto & 0xff) == IPPROTO_SCTP) /* its sum is over the ports and not over the addresses */
		return now.ports == was.ports ? AXO_OK : AXO_DROP_NAT_UNSUPPORTED;
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

/*
 * Reserve the reply tuple of a masqueraded flow by inserting it: whoever inserts first owns the port. `v` is the
 * forward entry (its port is filled in, *v.port may hold the one it had before).
 */
proven_alone int masquerade(const struct packet *p, const struct side *pod, struct flow_value *v)
{
	const struct node_config *cfg = node();
	struct flow_value back = {}, *held;
	struct flow6_key key = {};
	__u32 now = ticks(), range;
	__be16 port;

	if (!p || !pod || !v || !cfg || cfg->snat_max < cfg->snat_min)
		return AXO_DROP_NAT_NO_MAPPING;
	if (p->key.proto == IPPROTO_SCTP || p->key.kind)
		return AXO_DROP_NAT_UNSUPPORTED;
	port = v->port;
	range = cfg->snat_max - cfg->snat_min + 1;
	copy16(key.saddr, p->key.daddr);
	if (p->family == 6)
		copy16(key.daddr, cfg->node_ip6);
	else
		*(__be32 *)key.daddr = *(__be32 *)cfg->node_ip4;
	if (zero16(key.daddr))
		return AXO_DROP_NAT_NO_MAPPING;
	key.proto = p->key.proto;
	if (key.proto == IPPROTO_ICMP || key.proto == IPPROTO_ICMPV6)
		key.kind = AXO_KIND_REPLY;

	back.generation = v->generation;
	back.ifindex_in = AXO_IN_NETDEV;
	back.ifindex_out = pod->ifindex;
	back.action = AXO_ACT_POD;
	back.flags = AXO_FLOW_REPLY | AXO_FLOW_DNAT | (v->flags & AXO_FLOW_SYN);
	back.port = p->key.sport;
	back.expires = now + flow_life(key.proto, back.flags);
	copy16(back.addr, p->key.saddr);
	__builtin_memcpy(back.dmac, pod->mac, 6);
	__builtin_memcpy(back.smac, pod->host_mac, 6);

	for (int i = 0; i < SNAT_TRIES; i++) {
		if (!port)
			port = bpf_htons(cfg->snat_min + bpf_get_prandom_u32() % range);
		key.dport = port;
		key.sport = key.kind ? port : p->key.dport;
		held = flow_find(&key, p->family);
		if (held && same16(held->addr, back.addr) && held->port == back.port && held->flags & AXO_FLOW_DNAT) {
			flow_write(&key, p->family, &back, BPF_ANY); /* ours from before */
			goto found;
		}
		if (held && flow_expired(held, now)) {
			flow_delete(&key, p->family);
			held = NULL;
		}
		if (!held && !flow_write(&key, p->family, &back, BPF_NOEXIST))
			goto found;
		port = 0;
	}
	return AXO_DROP_NAT_NO_MAPPING;
found:
	v->port = port;
	v->flags |= AXO_FLOW_SNAT;
	return AXO_OK;
}

#endif
