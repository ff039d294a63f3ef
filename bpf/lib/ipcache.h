/* SPDX-License-Identifier: Apache-2.0 */
/* Who is behind an address and where it lives. */
#ifndef AXO_IPCACHE_H
#define AXO_IPCACHE_H

#include "common.h"

#define SIDE_REMOTE 0
#define SIDE_POD 1
#define SIDE_HOST 2

struct side {
	__u32 identity;
	__u32 ifindex;
	__u16 endpoint;
	__u8 kind;
	__u8 tunnel_family;
	__u8 tunnel[16];
	__u8 mac[6];
	__u8 host_mac[6];
	__u16 flags; /* AXO_ENDPOINT_, of ends on this node */
	__u16 pad;
};

inline_always __u32 world_of(__u8 family)
{
	return family == 6 ? IDENTITY_WORLD6 : IDENTITY_WORLD4;
}

proven_alone int resolve(const struct addr16 *addr, __u32 family, struct side *s)
{
	struct endpoint_key ek = { .family = family };
	struct ipcache_key ik = { .prefixlen = family == 6 ? 160 : 64, .family = family };
	struct ipcache_value *row;
	struct endpoint_value *ep;

	if (!addr || !s)
		return 0;
	copy16(ek.addr, addr);
	ep = bpf_map_lookup_elem(&endpoint, &ek);
	if (ep) {
		s->identity = ep->identity;
		s->ifindex = ep->ifindex;
		s->endpoint = ep->id;
		s->flags = ep->flags;
		s->kind = ep->flags & AXO_ENDPOINT_HOST ? SIDE_HOST : SIDE_POD;
		__builtin_memcpy(s->mac, ep->mac, 6);
		__builtin_memcpy(s->host_mac, ep->host_mac, 6);
		return 0;
	}
	s->kind = SIDE_REMOTE;
	s->identity = world_of(family);
	copy16(ik.addr, addr);
	row = bpf_map_lookup_elem(&ipcache, &ik);
	if (row) {
		s->identity = row->identity;
		s->tunnel_family = row->tunnel_family;
		copy16(s->tunnel, row->tunnel);
	}
	return 0;
}

/*
 * An address of a pod or node elsewhere. With a tunnel its packets come out of that: plain ones are forged. Without, the
 * network is trusted to carry no forged addresses.
 */
inline_always bool tunnelled(const struct node_config *cfg, const struct side *s)
{
	return s->kind == SIDE_REMOTE && s->tunnel_family && cfg && cfg->flags & AXO_NODE_TUNNEL;
}

/* Outside the cluster: pod addresses mean nothing there. */
inline_always bool beyond_cluster(const struct side *s)
{
	if (s->kind != SIDE_REMOTE || s->tunnel_family)
		return false;
	return s->identity >= IDENTITY_CIDR || s->identity == IDENTITY_WORLD || s->identity == IDENTITY_WORLD4 ||
	       s->identity == IDENTITY_WORLD6 || s->identity == IDENTITY_APISERVER;
}

#endif
