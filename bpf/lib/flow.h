/* SPDX-License-Identifier: Apache-2.0 */
/* The flow cache: clocks, lifetimes, lookup and write for both families. */
#ifndef AXO_FLOW_H
#define AXO_FLOW_H

#include "common.h"

/* 2^26 ns = 67.1 ms: wraps after nine years, needs no HZ, and the coarse clock is one memory read. */
#define TICKS(seconds) ((__u32)((seconds) * 1000000000ULL >> 26))

#define LIFE_SYN TICKS(60)
#define LIFE_TCP TICKS(8000)
#define LIFE_CLOSING TICKS(10)
#define LIFE_UDP TICKS(60)
#define LIFE_ICMP TICKS(30)
#define LIFE_SCTP TICKS(600)

inline_always __u32 ticks(void)
{
	return bpf_ktime_get_coarse_ns() >> 26;
}

inline_always bool flow_expired(const struct flow_value *v, __u32 now)
{
	return (__s32)(v->expires - now) < 0;
}

inline_always __u32 flow_life(__u8 proto, __u8 flags)
{
	if (proto == IPPROTO_TCP) {
		if (flags & AXO_FLOW_CLOSING)
			return LIFE_CLOSING;
		return flags & AXO_FLOW_SYN ? LIFE_SYN : LIFE_TCP;
	}
	if (proto == IPPROTO_UDP)
		return LIFE_UDP;
	return proto == IPPROTO_SCTP ? LIFE_SCTP : LIFE_ICMP;
}

/* How a packet moves the state kept for expiry. */
inline_always __u8 flow_next_flags(__u8 flags, __u8 tcp_flags)
{
	if (tcp_flags & (TCP_FIN | TCP_RST))
		return (flags | AXO_FLOW_CLOSING) & ~AXO_FLOW_SYN;
	if (!(tcp_flags & TCP_SYN))
		return flags & ~AXO_FLOW_SYN;
	return flags;
}

inline_always void key4(struct flow4_key *to, const struct flow6_key *from)
{
	to->saddr = *(__be32 *)from->saddr;
	to->daddr = *(__be32 *)from->daddr;
	to->sport = from->sport;
	to->dport = from->dport;
	to->proto = from->proto;
	to->kind = from->kind;
	to->pad[0] = to->pad[1] = 0;
}

inline_always struct flow_value *flow_find(const struct flow6_key *key, __u8 family)
{
	struct flow4_key k;

	if (family == 6)
		return bpf_map_lookup_elem(&flow6, key);
	key4(&k, key);
	return bpf_map_lookup_elem(&flow4, &k);
}

inline_always long flow_write(const struct flow6_key *key, __u8 family, const struct flow_value *v, __u64 how)
{
	struct flow4_key k;

	if (family == 6)
		return bpf_map_update_elem(&flow6, key, v, how);
	key4(&k, key);
	return bpf_map_update_elem(&flow4, &k, v, how);
}

/*
 * Who lends ports of the node's addresses must not lend one that speaks for the node itself: noted before the entry is written, and never
 * taken back. A port that has not been noted has no entry; of the others the cache is asked.
 */
inline_always __u8 *own_port(__be16 port)
{
	__u32 at = bpf_ntohs(port) / AXO_OWN_PORTS;
	struct own_ports *block = bpf_map_lookup_elem(&own_ports, &at);

	return block ? &block->had[bpf_ntohs(port) % AXO_OWN_PORTS] : NULL;
}

inline_always void note_own_port(__be16 port)
{
	__u8 *had = own_port(port);

	if (had && !*had)
		*had = 1;
}

inline_always bool own_port_had(__be16 port)
{
	__u8 *had = own_port(port);

	return !had || *had;
}

inline_always void flow_delete(const struct flow6_key *key, __u8 family)
{
	struct flow4_key k;

	if (family == 6) {
		bpf_map_delete_elem(&flow6, key);
		return;
	}
	key4(&k, key);
	bpf_map_delete_elem(&flow4, &k);
}

#endif
