/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before a packet of a service leaves for another node or for a client: does it fit the way, and what does it have to carry? What does not fit is
 * told to who sent it. Called by translate.h.
 */
#ifndef AXO_DEPARTURE_H
#define AXO_DEPARTURE_H

#include "answer.h"
#include "dsr.h"
#include "ipip.h"
#include "north.h"
#include "slow.h"

#define MTU_UNKNOWN 0xffff /* not told while the neighbour is not known */

/* To another node, or to somebody outside. */
inline_always bool leaves_here(const struct nat_value *v)
{
	return v->action != AXO_VIA_LOCAL && v->action != AXO_VIA_BACK;
}

/* Dropped on account of a service: the event has the address the client knows. */
call_only int refuse_client(struct __sk_buff *skb, struct slow *s, __u32 reason, const __u32 hook)
{
	resolve((void *)s->p.key.daddr, s->p.family, &s->dst);
	name_ends(s);
	return refuse(s, reason, hook == AXO_HOOK_FROM_POD ? AXO_DIR_EGRESS : AXO_DIR_INGRESS);
}

/* Of a flow whose backend's node answers by itself: this packet tells that node what the client sent it to. */
inline_always bool carries_option(const struct nat_value *v, __u8 proto, __u8 tcp_flags)
{
	return v->flags & AXO_NAT_DSR && v->action != AXO_VIA_IPIP &&
	       (proto != IPPROTO_TCP || (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN);
}

/* The longest packet that gets through as this row has it; 0 = unknown. */
inline_always __u32 longest(const struct nat_value *v)
{
	const struct node_config *cfg = node();
	__u32 way = v->action == AXO_VIA_TUNNEL ? 0 : v->mtu, path = cfg ? cfg->path_mtu : 0;

	/* the way to a client is none between nodes, nor that to a server that unpacks by itself */
	if (v->flags & AXO_NAT_REPLY || v->action == AXO_VIA_IPIP || !path)
		return way;
	return !way || path < way ? path : way;
}

/* An answer that came out of the tunnel is too long for its client: who sent it is told through the tunnel. A TC action. */
proven_alone int answer_through_tunnel(struct __sk_buff *skb, const struct packet *p, __u32 mtu)
{
	const struct node_config *cfg = node();
	struct bpf_tunnel_key key;
	__u64 flags = BPF_F_ZERO_CSUM_TX;
	__u32 size = offsetof(struct bpf_tunnel_key, local_ipv4);

	__builtin_memset(&key, 0, sizeof(key));
	if (!p || !cfg)
		return TC_ACT_SHOT;
	if (bpf_skb_get_tunnel_key(skb, &key, size, 0)) {
		flags = BPF_F_TUNINFO_IPV6;
		if (bpf_skb_get_tunnel_key(skb, &key, size, flags))
			return TC_ACT_SHOT;
	}
	if (answer(skb, p, ANSWER_TOO_BIG, mtu))
		return TC_ACT_SHOT;
	key.tunnel_id = IDENTITY_REMOTE_NODE;
	key.tunnel_ttl = 64;
	if (bpf_skb_set_tunnel_key(skb, &key, size, flags))
		return TC_ACT_SHOT;
	return bpf_redirect(cfg->ifindex_vxlan, 0);
}

/*
 * The packet leaves for another node, or for the client of a backend there: does it fit, with all that is added? AXO_OK, or a TC action.
 * What is too long is told to whoever sent it, IPv4's don't-fragment bit or not: nobody on the way cuts it for us.
 */
call_only int departs(struct __sk_buff *skb, struct slow *s, struct north *n, const __u32 hook)
{
	bool option = carries_option(&n->row, s->p.key.proto, s->p.tcp_flags);
	__u32 mtu = longest(&n->row), extra = 0;
	struct dsr_front f = {};
	int r;

	/* not what a node of the cluster says, and its receiver could not know */
	if (unlikely(s->p.l4_off != ETH_HEADER + (s->p.family == 6 ? IP6_HEADER : IP4_HEADER)) && !dsr_read(skb, s->p.family, &f))
		return refuse_client(skb, s, AXO_DROP_INVALID_PACKET, hook);
	if (option)
		extra = dsr_length(s->p.family);
	else if (n->row.action == AXO_VIA_IPIP)
		extra = ipip_length(s->p.family);
	if (mtu && packet_length(skb, &s->p) + extra > mtu) {
		refuse_client(skb, s, AXO_DROP_FRAG_UNSUPPORTED, hook);
		if (hook == AXO_HOOK_FROM_OVERLAY)
			return answer_through_tunnel(skb, &s->p, mtu - extra);
		return answer_back(skb, &s->p, ANSWER_TOO_BIG, mtu - extra);
	}
	if (!option)
		return AXO_OK;
	copy16(f.addr, s->p.key.daddr);
	f.port = s->p.key.dport;
	r = dsr_add(skb, s->p.family, &f);
	if (r)
		return refuse_client(skb, s, r, hook);
	s->p.l4_off += extra;
	return AXO_OK;
}

/* Perhaps too long for its way: of segments to be cut the headers are only guessed, at their longest. */
inline_always bool too_long(struct __sk_buff *skb, const struct nat_value *v)
{
	__u32 mtu = longest(v), length = skb->len - ETH_HEADER;

	if (unlikely(mtu == MTU_UNKNOWN))
		return true;
	if (skb->gso_size && skb->gso_size != GSO_BY_FRAGS)
		length = skb->gso_size + IP6_HEADER + 60;
	if (v->action == AXO_VIA_IPIP)
		length += IP6_HEADER;
	return mtu && unlikely(length > mtu);
}

#endif
