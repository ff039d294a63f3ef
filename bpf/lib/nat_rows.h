/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of `nat4` and `nat6`: look-up and write for both families, lives, the tuple of the answer. north.h has the whole. */
#ifndef AXO_NAT_ROWS_H
#define AXO_NAT_ROWS_H

#include "common.h"
#include "flow.h"

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

#endif
