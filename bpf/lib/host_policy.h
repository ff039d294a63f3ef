/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node as a subject of policy: identity 1. Whether it is one at all, what of its traffic no policy may touch, and
 * which packets are its own. The judgement itself is judge_flow()'s, as for pods.
 */
#ifndef AXO_HOST_POLICY_H
#define AXO_HOST_POLICY_H

#include "common.h"
#include "ipcache.h"
#include "parse.h"

#define PORT_DHCP4_SERVER 67
#define PORT_DHCP4_CLIENT 68
#define PORT_DHCP6_CLIENT 546
#define PORT_DHCP6_SERVER 547

/*
 * The flag is one bit of a row every program has at hand; the row of `subject` is what counts. Between the two, while one
 * of them is being written, nobody is judged by a policy that is not there. Out of line: the slow path has no stack to
 * spare.
 */
proven_alone int host_enforced(void)
{
	const struct node_config *cfg = node();
	struct subject_key key = { .identity = IDENTITY_HOST };

	return cfg && cfg->flags & AXO_NODE_HOST_POLICY && bpf_map_lookup_elem(&subject, &key);
}

inline_always bool has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP || proto == IPPROTO_ICMP ||
	       proto == IPPROTO_ICMPV6;
}

/* Pods may speak few protocols, nodes any: one without ports is judged by its number alone. */
inline_always int host_ports(struct __sk_buff *skb, struct packet *p)
{
	return p->plain || !has_ports(p->key.proto) ? AXO_OK : parse_ports(skb, p);
}

/* What gives a node its addresses and neighbours, and keeps its groups. Ports are parsed. */
inline_always bool link_upkeep(const struct packet *p)
{
	__u16 sport = bpf_ntohs(p->key.sport), dport = bpf_ntohs(p->key.dport);

	if (p->key.proto == IPPROTO_IGMP)
		return true;
	/* listener queries and reports; router and neighbour discovery, redirects */
	if (p->key.proto == IPPROTO_ICMPV6)
		return (p->icmp_type >= 130 && p->icmp_type <= 137) || p->icmp_type == 143;
	if (p->key.proto != IPPROTO_UDP)
		return false;
	if (p->family == 6) /* the sender's port is free */
		return dport == PORT_DHCP6_CLIENT || dport == PORT_DHCP6_SERVER;
	return (sport == PORT_DHCP4_SERVER || sport == PORT_DHCP4_CLIENT) &&
	       (dport == PORT_DHCP4_SERVER || dport == PORT_DHCP4_CLIENT);
}

inline_always bool is_node(__u32 identity)
{
	return identity == IDENTITY_REMOTE_NODE || identity == IDENTITY_APISERVER;
}

/* The stack keeps the packet: a broadcast, or an address of the node that has no endpoint row yet. */
proven_alone int stays_here(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_fib_lookup fib;
	long r;

	if (!p)
		return 0;
	/* to everybody or to many, not to us or to somebody else */
	if (skb->pkt_type == 1 || skb->pkt_type == 2 || is_multicast(p))
		return 1;
	__builtin_memset(&fib, 0, sizeof(fib));
	fib.ifindex = skb->ifindex;
	fib.l4_protocol = p->key.proto;
	if (p->family == 6) {
		fib.family = 10;
		copy16(fib.ipv6_src, p->key.saddr);
		copy16(fib.ipv6_dst, p->key.daddr);
	} else {
		fib.family = 2;
		fib.ipv4_src = *(__be32 *)p->key.saddr;
		fib.ipv4_dst = *(__be32 *)p->key.daddr;
	}
	r = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	return r == BPF_FIB_LKUP_RET_NOT_FWDED || r == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

#define TCP_STATE_LISTEN 10

/* The socket of this namespace for a packet from `from` to `to`: its state, 0 when there is none. */
proven_alone int socket_state(struct __sk_buff *skb, const struct flow6_key *key, __u32 family, __u32 outbound)
{
	struct bpf_sock_tuple t;
	struct bpf_sock *sk;
	__u32 size = family == 6 ? sizeof(t.ipv6) : sizeof(t.ipv4);
	int state;

	if (!key)
		return 0;
	__builtin_memset(&t, 0, sizeof(t));
	if (family == 6) {
		copy16(t.ipv6.saddr, outbound ? key->daddr : key->saddr);
		copy16(t.ipv6.daddr, outbound ? key->saddr : key->daddr);
		t.ipv6.sport = outbound ? key->dport : key->sport;
		t.ipv6.dport = outbound ? key->sport : key->dport;
	} else {
		t.ipv4.saddr = *(__be32 *)(outbound ? key->daddr : key->saddr);
		t.ipv4.daddr = *(__be32 *)(outbound ? key->saddr : key->daddr);
		t.ipv4.sport = outbound ? key->dport : key->sport;
		t.ipv4.dport = outbound ? key->sport : key->dport;
	}
	sk = bpf_skc_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	state = sk->state;
	bpf_sk_release(sk);
	return state;
}

/*
 * The first packet we see of a TCP connection that is older than its policy, or than the entries of a small table: who
 * opened it, the sender or the receiver? A socket beside a listener was accepted, one without was connected. Guessing by
 * direction would judge half of them by the rules of the other direction, and let them outlive the rule that forbids them.
 */
inline_always bool answers_unseen(struct __sk_buff *skb, const struct packet *p, bool outbound)
{
	struct flow6_key any = p->key;
	int state = socket_state(skb, &p->key, p->family, outbound);

	if (!state || state == TCP_STATE_LISTEN)
		return false;
	if (outbound)
		any.dport = 0;
	else
		any.sport = 0;
	return (socket_state(skb, &any, p->family, outbound) == TCP_STATE_LISTEN) == outbound;
}

/* Our own encapsulated packet to another node, found without parsing anything else: most of what an enforced node sends. */
inline_always bool tunnel_to_node(struct __sk_buff *skb, const struct node_config *cfg)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipcache_key key = {};
	struct ipcache_value *row;
	__be16 *ports;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HEADER;

		if (data + ETH_HEADER + IP4_HEADER + 4 > end || *(__u8 *)ip != 0x45 || ip->protocol != IPPROTO_UDP ||
		    ip->frag_off & bpf_htons(0x3fff))
			return false;
		key.family = 4;
		key.prefixlen = 64;
		*(__be32 *)key.addr = ip->daddr;
		ports = (__be16 *)(ip + 1);
	} else {
		struct ipv6hdr *ip = data + ETH_HEADER;

		if (data + ETH_HEADER + IP6_HEADER + 4 > end || ip->nexthdr != IPPROTO_UDP)
			return false;
		key.family = 6;
		key.prefixlen = 160;
		copy16(key.addr, &ip->daddr);
		ports = (__be16 *)(ip + 1);
	}
	if (!cfg->vxlan_port || ports[1] != cfg->vxlan_port)
		return false;
	row = bpf_map_lookup_elem(&ipcache, &key);
	return row && is_node(row->identity);
}

#endif
