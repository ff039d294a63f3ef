/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path of established traffic: one lookup in the flow cache, direct packet access, no loops. Anything it does
 * not understand is for the slow path, which decides the same things from scratch.
 */
#ifndef AXO_FAST_H
#define AXO_FAST_H

#include "common.h"
#include "deliver.h"
#include "flow.h"

/* Origin the entry must have been made for. */
inline_always __u32 origin(struct __sk_buff *skb, const __u32 hook)
{
	if (hook == AXO_HOOK_FROM_POD)
		return skb->ingress_ifindex;
	if (hook == AXO_HOOK_FROM_OVERLAY)
		return AXO_IN_OVERLAY;
	return hook == AXO_HOOK_FROM_NETDEV ? AXO_IN_NETDEV : AXO_IN_HOST;
}

/* Ports of TCP, UDP, SCTP and the id of ICMP echo. False: not for us. */
inline_always bool fast_ports(void *l4, void *end, __u8 proto, __be16 *sport, __be16 *dport, __u8 *kind, __u8 *tcp_flags)
{
	__be16 *word = l4;

	if (proto == IPPROTO_TCP) {
		if (l4 + 20 > end)
			return false;
		*tcp_flags = ((__u8 *)l4)[13];
	} else if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) {
		__u8 type = *(__u8 *)l4, reply = proto == IPPROTO_ICMP ? 0 : 129;

		if (type != (proto == IPPROTO_ICMP ? 8 : 128) && type != reply)
			return false;
		*kind = type == reply ? AXO_KIND_REPLY : 0;
		*sport = *dport = word[2];
		return true;
	} else if (proto != IPPROTO_UDP && proto != IPPROTO_SCTP) {
		return false;
	}
	*sport = word[0];
	*dport = word[1];
	return true;
}

/* False: the entry cannot answer for this packet. Otherwise its state has moved on. */
inline_always bool fast_entry(struct __sk_buff *skb, struct flow_value *v, const __u32 hook, __u8 proto, __u8 tcp_flags,
			      __u8 ttl)
{
	__u32 now;

	if (v->generation != current_generation() || v->ifindex_in != origin(skb, hook))
		return false;
	now = ticks();
	if (unlikely(flow_expired(v, now)))
		return false;
	if (unlikely(ttl <= 1))
		return false;
	if (proto == IPPROTO_TCP) {
		if (unlikely(tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) || unlikely(v->flags & (AXO_FLOW_SYN | AXO_FLOW_CLOSING))) {
			/* a SYN over anything but the opener's SYNs is a new connection */
			if ((tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && (v->flags & (AXO_FLOW_SYN | AXO_FLOW_REPLY)) != AXO_FLOW_SYN)
				return false;
			v->flags = flow_next_flags(v->flags, tcp_flags);
			v->expires = now + flow_life(proto, v->flags);
		} else {
			v->expires = now + LIFE_TCP;
		}
	} else {
		v->expires = now + flow_life(proto, 0);
	}
	v->packets++;
	v->bytes += skb->len;
	return true;
}

inline_always int fast4(struct __sk_buff *skb, const __u32 hook)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HEADER;
	struct flow_value *v;
	struct flow4_key key;
	__u8 tcp_flags = 0, proto, kind = 0;

	if (unlikely(data + ETH_HEADER + IP4_HEADER + 8 > end))
		return AXO_NEED_SLOW;
	if (unlikely(*(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff)))
		return AXO_NEED_SLOW;
	proto = ip->protocol;
	key.saddr = ip->saddr;
	key.daddr = ip->daddr;
	if (!fast_ports(ip + 1, end, proto, &key.sport, &key.dport, &kind, &tcp_flags))
		return AXO_NEED_SLOW;
	key.proto = proto;
	key.kind = kind;
	key.pad[0] = key.pad[1] = 0;
	v = bpf_map_lookup_elem(&flow4, &key);
	if (unlikely(!v))
		return AXO_NO_FLOW;
	if (!fast_entry(skb, v, hook, proto, tcp_flags, ip->ttl))
		return AXO_NEED_SLOW;
	return deliver(skb, v, hook, 4, ETH_HEADER + IP4_HEADER, proto);
}

inline_always int fast6(struct __sk_buff *skb, const __u32 hook)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + ETH_HEADER;
	struct flow_value *v;
	struct flow6_key key;
	__u8 tcp_flags = 0, proto, kind = 0;

	if (unlikely(data + ETH_HEADER + IP6_HEADER + 8 > end))
		return AXO_NEED_SLOW;
	proto = ip->nexthdr;
	copy16(key.saddr, &ip->saddr);
	copy16(key.daddr, &ip->daddr);
	if (!fast_ports(ip + 1, end, proto, &key.sport, &key.dport, &kind, &tcp_flags))
		return AXO_NEED_SLOW;
	key.proto = proto;
	key.kind = kind;
	key.pad[0] = key.pad[1] = 0;
	v = bpf_map_lookup_elem(&flow6, &key);
	if (unlikely(!v))
		return AXO_NO_FLOW;
	if (!fast_entry(skb, v, hook, proto, tcp_flags, ip->hop_limit))
		return AXO_NEED_SLOW;
	return deliver(skb, v, hook, 6, ETH_HEADER + IP6_HEADER, proto);
}

/* A TC action, AXO_NEED_SLOW, or AXO_NO_FLOW: slow, and there is no entry. */
inline_always int fast_path(struct __sk_buff *skb, const __u32 hook)
{
	if (likely(skb->protocol == bpf_htons(ETH_P_IP)))
		return fast4(skb, hook);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return fast6(skb, hook);
	return AXO_NEED_SLOW;
}

#endif
