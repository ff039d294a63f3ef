/* SPDX-License-Identifier: Apache-2.0 */
/* VXLAN through one collect-metadata device: the VNI is the identity of the sender. */
#ifndef AXO_TUNNEL_H
#define AXO_TUNNEL_H

#include "common.h"

/* Identities that mean something on another node. */
inline_always __u32 travelling_identity(__u32 identity)
{
	if (identity == IDENTITY_HOST)
		return IDENTITY_REMOTE_NODE;
	return identity >= IDENTITY_CIDR ? IDENTITY_WORLD : identity;
}

/* A TC action. `end`: of the tunnel, on the node that the packet is for. */
inline_always int tunnel_to(struct __sk_buff *skb, __u32 vni, bool v6, const __u8 *end)
{
	const struct node_config *cfg = node();
	struct bpf_tunnel_key key;
	__u64 flags = BPF_F_ZERO_CSUM_TX;

	__builtin_memset(&key, 0, sizeof(key));
	key.tunnel_id = vni;
	key.tunnel_ttl = 64;
	if (v6) {
		flags = BPF_F_TUNINFO_IPV6;
		copy16(key.remote_ipv6, end);
	} else {
		key.remote_ipv4 = bpf_ntohl(*(__be32 *)end);
	}
	if (!cfg || bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags))
		return TC_ACT_SHOT;
	return bpf_redirect(cfg->ifindex_vxlan, 0);
}

/*
 * Who sent a packet through the tunnel. Only nodes of the cluster may say who their pods are, and nobody else's host is
 * the local one. 0 or a drop reason.
 */
proven_alone int tunnel_sender(struct __sk_buff *skb, __u32 *identity)
{
	struct ipcache_key ik = { .prefixlen = 64, .family = 4 };
	struct ipcache_value *row;
	struct bpf_tunnel_key key;

	if (!identity)
		return AXO_DROP_NO_CONFIG;
	__builtin_memset(&key, 0, sizeof(key));
	/* the short form of the structure: both underlays have it */
	if (!bpf_skb_get_tunnel_key(skb, &key, offsetof(struct bpf_tunnel_key, local_ipv4), 0)) {
		*(__be32 *)ik.addr = bpf_htonl(key.remote_ipv4);
	} else if (!bpf_skb_get_tunnel_key(skb, &key, offsetof(struct bpf_tunnel_key, local_ipv4), BPF_F_TUNINFO_IPV6)) {
		ik.prefixlen = 160;
		ik.family = 6;
		copy16(ik.addr, key.remote_ipv6);
	}
	if (!key.tunnel_id)
		return AXO_DROP_NO_TUNNEL_KEY;
	*identity = key.tunnel_id == IDENTITY_HOST ? IDENTITY_REMOTE_NODE : key.tunnel_id;
	row = bpf_map_lookup_elem(&ipcache, &ik);
	if (!row || !row->tunnel_family || (row->identity != IDENTITY_REMOTE_NODE && row->identity != IDENTITY_APISERVER))
		return AXO_DROP_UNKNOWN_SENDER;
	return 0;
}

#endif
