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

inline_always int tunnel_send(struct __sk_buff *skb, const struct flow_value *v)
{
	const struct node_config *cfg = node();
	struct bpf_tunnel_key key;
	__u64 flags = BPF_F_ZERO_CSUM_TX;

	__builtin_memset(&key, 0, sizeof(key));
	key.tunnel_id = v->ifindex_out;
	key.tunnel_ttl = 64;
	if (v->flags & AXO_FLOW_V6_UNDERLAY) {
		flags = BPF_F_TUNINFO_IPV6;
		copy16(key.remote_ipv6, v->addr);
	} else {
		key.remote_ipv4 = bpf_ntohl(*(__be32 *)v->addr);
	}
	if (!cfg || bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags))
		return TC_ACT_SHOT;
	return bpf_redirect(cfg->ifindex_vxlan, 0);
}

/* Identity of a packet that came through the tunnel; 0 when there is none. */
inline_always __u32 tunnel_identity(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key;

	__builtin_memset(&key, 0, sizeof(key));
	/* only tunnel_id is read: the short form of the structure fits both underlays */
	if (bpf_skb_get_tunnel_key(skb, &key, offsetof(struct bpf_tunnel_key, local_ipv4), 0) &&
	    bpf_skb_get_tunnel_key(skb, &key, offsetof(struct bpf_tunnel_key, local_ipv4), BPF_F_TUNINFO_IPV6))
		return 0;
	return key.tunnel_id == IDENTITY_HOST ? IDENTITY_REMOTE_NODE : key.tunnel_id;
}

#endif
