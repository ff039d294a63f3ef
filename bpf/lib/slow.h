/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path of a flow's first packet and of the first one after a change: who sends, is it his address, who receives,
 * do both ends allow it, how does it get there. Ends with a flow entry and one event.
 */
#ifndef AXO_SLOW_H
#define AXO_SLOW_H

#include "common.h"
#include "deliver.h"
#include "events.h"
#include "fast.h"
#include "flow.h"
#include "host_policy.h"
#include "ipcache.h"
#include "parse.h"
#include "policy.h"

/* For ICMP errors, see related.h. */
struct related {
	struct packet inner;
	struct flow6_key key;
	struct flow_value v; /* where the error goes */
	__u8 addr[16];       /* rewrite, when `translate` */
	__be16 port;
	__u8 translate;
	__u8 source;
	__u32 nat;            /* about a packet of a service: `row` */
	struct nat_value row;
};

#define SLOW_MISSED 1  /* what entry points say: no flow entry has this key */
#define SLOW_CHANGED 2 /* the packet has become another one on account of a service */

struct slow {
	struct packet p;
	struct side src, dst;
	struct story story;
	__u32 generation;
	__u32 now;
	__u32 in;
	__u8 reply;    /* the packet answers a flow */
	__u8 rejudged; /* of a flow that had an entry */
	__u8 missed;   /* the fast path found no entry for this key */
	__u8 service;  /* the flow it answers goes through a service */
	__u32 changed; /* it became what it is on account of a service */
	/* from here on not cleared by begin() */
	struct flow_value v;
	struct flow6_key back;
	struct related related;
	struct verdict verdict;
};

/*
 * Working memory of the slow path: more than the stack has. Programs of these hooks run with bottom halves off and
 * never nest on one CPU.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct slow);
	__uint(max_entries, 1);
} slow_memory SEC(".maps");

inline_always bool is_syn(const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

inline_always bool entry_lives(const struct flow_value *e, __u32 now)
{
	return e && !flow_expired(e, now);
}

/* Counted, told, gone. */
call_only int refuse(struct slow *s, __u32 reason, __u32 direction)
{
	s->story.type = AXO_EVENT_DROP;
	s->story.reason = reason;
	s->story.direction = direction;
	count_drop(reason, direction, s->p.length);
	emit(&s->p, &s->story);
	return TC_ACT_SHOT;
}

inline_always int ignore(struct slow *s, __u32 direction)
{
	count_drop(AXO_INFO_IGNORED, direction, s->p.length);
	return TC_ACT_SHOT;
}

/*
 * A packet for the tunnel port, other than between nodes: its receiver would take the VNI inside for an identity.
 * Ports are parsed.
 */
inline_always bool forged_tunnel(const struct packet *p)
{
	const struct node_config *cfg = node();

	return cfg && p->key.proto == IPPROTO_UDP && cfg->vxlan_port && p->key.dport == cfg->vxlan_port;
}

/* ICMP is judged by the type of what started the flow. */
inline_always __be16 judged_port(const struct slow *s)
{
	const struct packet *p = &s->p;

	if (p->key.proto == IPPROTO_ICMP)
		return bpf_htons(p->key.kind == AXO_KIND_OTHER ? p->icmp_type : s->reply || !p->key.kind ? 8 : 0);
	if (p->key.proto == IPPROTO_ICMPV6)
		return bpf_htons(p->key.kind == AXO_KIND_OTHER ? p->icmp_type : s->reply || !p->key.kind ? 128 : 129);
	return s->reply ? p->key.sport : p->key.dport;
}

/* One end, as the subject of policy, about the other one. 0 or a drop reason. */
call_only int judge_end(struct slow *s, const struct side *subject, const struct side *peer, __u32 direction)
{
	struct policy_query *q = own_query();
	struct verdict *v = &s->verdict;

	/* the node is a subject only where a policy says so, and not to itself */
	if (subject->kind == SIDE_HOST && (peer->kind == SIDE_HOST || !host_enforced()))
		return 0;
	if (!q)
		return AXO_DROP_NO_CONFIG;
	direction &= 1;
	__builtin_memset(v, 0, sizeof(*v));
	q->subject = subject->identity;
	q->peer = peer->identity;
	q->proto = s->p.key.proto;
	q->direction = direction;
	q->port = judged_port(s);
	q->length = s->p.length;
	q->family = s->p.family;
	q->audit = !!(subject->flags & AXO_ENDPOINT_AUDIT);
	q->classed = 0;
	q->named = 0;
	copy16(q->addr, peer == &s->src ? s->p.key.saddr : s->p.key.daddr);
	/* passed on by another node: the address is that node's, and no class of addresses may be */
	if (unlikely(peer->identity == IDENTITY_WORLD))
		__builtin_memset(q->addr, 0, sizeof(q->addr));
	judge(v);
	s->story.flags |= direction == AXO_DIR_EGRESS ? AXO_EVENT_F_EGRESS : AXO_EVENT_F_INGRESS;
	/* an audit stays what is told, unless the other end says no */
	if (v->reason || !(s->story.flags & AXO_EVENT_F_AUDIT))
		s->story.direction = direction;
	s->story.rule_id[direction] = v->rule_id;
	if (v->audit && !(s->story.flags & AXO_EVENT_F_AUDIT)) {
		if (!(s->story.flags & AXO_EVENT_F_AUDIT))
			s->story.reason = v->audit;
		s->story.flags |= AXO_EVENT_F_AUDIT;
	}
	if (unlikely(v->shadow)) {
		s->story.shadow[direction] = v->shadow;
		s->story.shadow_rule[direction] = v->shadow_rule;
		if (v->shadow != AXO_SHADOW_SAME)
			s->story.flags |= AXO_EVENT_F_SHADOW;
	}
	return v->reason;
}

/* Both ends that are pods of this node or the node itself, in the direction the flow was opened. 0 or a drop reason. */
inline_always int judge_flow(struct slow *s, const __u32 hook)
{
	struct side *from = s->reply ? &s->dst : &s->src;
	struct side *to = s->reply ? &s->src : &s->dst;
	int r;

	/* through the node's stack a pod's packet comes here a second time: its egress was judged when it left */
	if (from->kind == SIDE_POD ? s->reply || hook == AXO_HOOK_FROM_POD : from->kind == SIDE_HOST) {
		r = judge_end(s, from, to, AXO_DIR_EGRESS);
		if (r)
			return r;
	}
	return to->kind != SIDE_REMOTE ? judge_end(s, to, from, AXO_DIR_INGRESS) : 0;
}

/* Native routing and the world: the node's own routing table, asked once per flow. 0 or a drop reason. */
proven_alone int route(struct __sk_buff *skb, const struct packet *p, struct flow_value *v)
{
	const struct node_config *cfg = node();
	struct bpf_fib_lookup fib;
	long r;

	if (!p || !v)
		return AXO_DROP_NO_CONFIG;
	__builtin_memset(&fib, 0, sizeof(fib));
	fib.ifindex = skb->ifindex;
	fib.l4_protocol = p->key.proto;
	if (p->family == 6) {
		fib.family = AF_INET6_;
		copy16(fib.ipv6_src, p->key.saddr);
		copy16(fib.ipv6_dst, p->key.daddr);
	} else {
		fib.family = AF_INET_;
		fib.ipv4_src = *(__be32 *)p->key.saddr;
		fib.ipv4_dst = *(__be32 *)p->key.daddr;
	}
	r = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	switch (r) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		break;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return AXO_DROP_NO_FIB;
	default:
		/* forwarding off, MTU, exotic routes: the stack knows better; to_netdev masquerades there */
		v->action = AXO_ACT_STACK;
		return 0;
	}
	/* a cluster address nobody has: the route to our own device is where it would loop */
	if (cfg && (fib.ifindex == cfg->ifindex_host || fib.ifindex == cfg->ifindex_net))
		return AXO_DROP_UNROUTABLE;
	v->action = AXO_ACT_NEIGH;
	v->ifindex_out = fib.ifindex;
	if (fib.family == AF_INET6_) {
		v->flags |= AXO_FLOW_V6_UNDERLAY;
		copy16(v->addr, fib.ipv6_dst);
	} else {
		*(__be32 *)v->addr = fib.ipv4_dst;
	}
	return 0;
}

inline_always int local_hop(const struct slow *s, struct flow_value *v)
{
	v->action = AXO_ACT_POD;
	v->ifindex_out = s->dst.ifindex;
	__builtin_memcpy(v->dmac, s->dst.mac, 6);
	__builtin_memcpy(v->smac, s->dst.host_mac, 6);
	return 0;
}

/* Where the packet goes. 0 or a drop reason. */
call_only int next_hop(struct __sk_buff *skb, struct slow *s, struct flow_value *v, const __u32 hook)
{
	const struct node_config *cfg = node();
	struct side *to = &s->dst;
	int r;

	if (!cfg)
		return AXO_DROP_NO_CONFIG;
	if (to->kind == SIDE_HOST || hook == AXO_HOOK_TO_NETDEV) {
		v->action = AXO_ACT_STACK;
		return 0;
	}
	if (to->kind == SIDE_POD)
		return local_hop(s, v);
	if (hook != AXO_HOOK_FROM_POD && hook != AXO_HOOK_FROM_HOST)
		return AXO_DROP_UNROUTABLE;
	if (to->tunnel_family) {
		bool ours = to->tunnel_family == 6 ? same16(to->tunnel, cfg->node_ip6)
						   : *(__be32 *)to->tunnel == *(__be32 *)cfg->node_ip4;

		/* in a block of this node, and no endpoint has it */
		if (ours)
			return AXO_DROP_UNROUTABLE;
		if (cfg->flags & AXO_NODE_TUNNEL) {
			v->action = AXO_ACT_TUNNEL;
			v->ifindex_out = travelling_identity(s->src.identity);
			if (to->tunnel_family == 6)
				v->flags |= AXO_FLOW_V6_UNDERLAY;
			copy16(v->addr, to->tunnel);
			return 0;
		}
	}
	r = route(skb, &s->p, v);
	if (r || s->reply || hook != AXO_HOOK_FROM_POD || v->action != AXO_ACT_NEIGH)
		return r;
	if (beyond_cluster(to) && masquerades(cfg, s->p.family)) {
		s->story.flags |= AXO_EVENT_F_MASQUERADE;
		return masquerade(skb, &s->p, &s->src, v);
	}
	return 0;
}

/*
 * Is this an answer, and to what? Fills s->reply and `back`, the key of the flow that was opened. Returns whether
 * that flow, or this entry, was allowed under the current generation.
 */
call_only bool find_opener(struct slow *s, const struct flow_value *e, struct flow6_key *back)
{
	struct flow_value *opener;
	bool current = false, outside = false;

	reverse_key(back, &s->p.key);
	if (e && e->flags & AXO_FLOW_REPLY) {
		s->reply = 1;
		current = e->generation == s->generation;
		outside = e->flags & AXO_FLOW_OUTSIDE;
		s->service = !!(e->flags & AXO_FLOW_NAT);
		if (e->flags & AXO_FLOW_DNAT) {
			copy16(back->saddr, e->addr);
			back->sport = e->port;
			if (back->proto == IPPROTO_ICMP || back->proto == IPPROTO_ICMPV6)
				back->dport = e->port;
		}
	} else if (e) {
		return false; /* it opened the flow itself */
	}
	opener = flow_find(back, s->p.family);
	if (opener && opener->flags & AXO_FLOW_OUTSIDE)
		outside = true;
	if (entry_lives(opener, s->now) && !(opener->flags & AXO_FLOW_REPLY)) {
		s->reply = 1;
		s->service = !!(opener->flags & AXO_FLOW_NAT);
		current |= opener->generation == s->generation;
	}
	if (s->reply && outside) {
		/* the address is the node's that passed the flow on, the flow is not */
		s->dst.identity = s->story.dst_identity = IDENTITY_WORLD;
		s->v.flags |= AXO_FLOW_OUTSIDE;
	}
	return current;
}

/*
 * The entry being made, begun from the one that is there. Returns that one if it still speaks for this packet: alive,
 * same origin, and not a new connection on old ports.
 */
inline_always struct flow_value *start_entry(struct slow *s)
{
	struct flow_value *e = s->missed ? NULL : flow_find(&s->p.key, s->p.family);
	struct flow_value *v = &s->v;

	__builtin_memset(v, 0, sizeof(*v));
	v->generation = s->generation;
	v->ifindex_in = s->in;
	/* one-way traffic outside lets our side expire while answers keep the port: ask for the same one */
	if (e && e->flags & AXO_FLOW_SNAT)
		v->port = e->port;
	if (!entry_lives(e, s->now) || e->ifindex_in != s->in ||
	    (is_syn(&s->p) && (e->flags & (AXO_FLOW_SYN | AXO_FLOW_REPLY)) != AXO_FLOW_SYN)) {
		if (s->p.tcp_flags & TCP_SYN)
			v->flags = AXO_FLOW_SYN;
		return NULL;
	}
	s->rejudged = 1;
	s->story.flags |= AXO_EVENT_F_REJUDGED;
	v->packets = e->packets;
	v->bytes = e->bytes;
	v->flags = e->flags & (AXO_FLOW_SYN | AXO_FLOW_CLOSING);
	if (!(e->flags & AXO_FLOW_REPLY) && s->in != AXO_IN_HOST)
		v->flags |= e->flags & AXO_FLOW_NAT;
	if (e->flags & AXO_FLOW_DNAT) {
		v->flags |= AXO_FLOW_DNAT;
		v->port = e->port;
		copy16(v->addr, e->addr);
	}
	return e;
}

/* A connection of the node that has no entry: its sockets know who opened it. */
call_only bool unseen_answer(struct __sk_buff *skb, struct slow *s)
{
	bool outbound = s->src.kind == SIDE_HOST;

	if (s->reply || s->rejudged || !(outbound || s->dst.kind == SIDE_HOST) || !host_enforced())
		return false;
	return answers_unseen(skb, &s->p, outbound);
}

/*
 * The tunnel says who sends, this node's table who has the address. A pod that got new labels is one here and another there until
 * both nodes know: then this verdict is about an identity that is about to go, and no entry may keep it. Rows of identities that
 * nothing here mentions are not in the table.
 */
call_only bool in_transition(const struct slow *s)
{
	struct ipcache_key ik = { .prefixlen = s->p.family == 6 ? 160 : 64, .family = s->p.family };
	const struct policy_query *q = own_query();
	struct ipcache_value *row;
	__u32 known;

	if (s->src.identity < IDENTITY_POD_MIN)
		return false;
	copy16(ik.addr, s->p.key.saddr);
	row = bpf_map_lookup_elem(&ipcache, &ik);
	known = row ? row->identity : 0;
	if (known == s->src.identity)
		return false;
	return (q && q->named) || (known >= IDENTITY_POD_MIN && known < IDENTITY_CIDR);
}

/* The verdict on the flow. 0 or a drop reason; then its entries stay as they are, out of date and good for one thing: that an
 * answer is still known to be one, and does not pass for the start of something new.
 */
inline_always int decide(struct __sk_buff *skb, struct slow *s, const struct flow_value *e, const __u32 hook)
{
	bool current = is_syn(&s->p) ? false : find_opener(s, e, &s->back);
	int r;

	if (unlikely(s->p.key.proto == IPPROTO_TCP && !is_syn(&s->p) && !current && unseen_answer(skb, s)))
		s->reply = 1;
	if (s->reply) {
		s->v.flags |= AXO_FLOW_REPLY;
		s->story.flags |= AXO_EVENT_F_REPLY;
	}
	if (!s->reply && hook == AXO_HOOK_FROM_OVERLAY && s->src.identity == IDENTITY_WORLD)
		s->v.flags |= AXO_FLOW_OUTSIDE;
	/* an entry of this generation: the packet is here for its shape (fragment, options, hop limit) */
	if (current || (e && e->generation == s->generation))
		return 0;
	r = judge_flow(s, hook);
	if (!r && hook == AXO_HOOK_FROM_OVERLAY && unlikely(in_transition(s)))
		s->v.generation--;
	return r;
}

/*
 * An answer of a service's backend: its entry says so, and the packet becomes one of the service. 0 or a drop reason: what the client
 * takes for a stranger's never leaves.
 */
call_only int answer_of_service(struct __sk_buff *skb, struct slow *s)
{
	struct nat_value *row = nat_find(&s->p.key, s->p.family);

	if (!row || !(row->flags & AXO_NAT_REPLY) || !nat_usable(row, 0, s->now, s->p.family, s->p.key.proto, s->p.tcp_flags))
		return s->service ? AXO_DROP_NAT_NO_MAPPING : 0;
	s->v.flags |= AXO_FLOW_NAT;
	return nat_rewrite(skb, row, s->p.family, s->p.l4_off,
			   s->p.key.proto | (s->p.frag == FRAG_LATER ? REWRITE_NO_PORTS : 0));
}

/* The flow being opened goes through a service: there is a row for its answers. */
call_only void opened_by_service(struct slow *s)
{
	struct nat_value *row;

	reverse_key(&s->back, &s->p.key);
	row = nat_find(&s->back, s->p.family);
	if (row && row->flags & AXO_NAT_REPLY && !nat_expired(row, s->now))
		s->v.flags |= AXO_FLOW_NAT;
}

/* From known ends to a TC action. s->src and s->dst are resolved, the source is verified. */
inline_always int slow_flow(struct __sk_buff *skb, struct slow *s, const __u32 hook)
{
	const struct flow_value *e = start_entry(s);
	struct flow_value *v = &s->v;
	__u32 proto;
	int r;

	r = decide(skb, s, e, hook);
	if (r)
		return refuse(s, r, s->story.direction);
	r = s->dst.kind == SIDE_POD ? local_hop(s, v) : next_hop(skb, s, v, hook);
	if (r)
		return refuse(s, r, hook == AXO_HOOK_FROM_POD);
	if (s->p.ttl <= 1 && v->action != AXO_ACT_STACK && !at_egress(hook))
		return refuse(s, AXO_DROP_TTL, hook == AXO_HOOK_FROM_POD);

	v->flags = flow_next_flags(v->flags, s->p.tcp_flags);
	v->expires = s->now + flow_life(s->p.key.proto, v->flags);
	v->packets++;
	v->bytes += s->p.length;
	if (hook != AXO_HOOK_TO_POD && hook != AXO_HOOK_TO_NETDEV && !s->p.key.kind) {
		/* what the node answers may have come without a flow entry */
		if (!s->reply && hook != AXO_HOOK_FROM_HOST) {
			if (unlikely(s->changed))
				opened_by_service(s);
		} else {
			r = answer_of_service(skb, s);
			if (r)
				return refuse(s, r, hook == AXO_HOOK_FROM_POD);
		}
	}
	if (s->src.kind == SIDE_HOST)
		note_own_port(s->p.key.sport);
	if (s->dst.kind == SIDE_HOST)
		note_own_port(s->p.key.dport);
	flow_write(&s->p.key, s->p.family, v, BPF_ANY);
	if ((!s->rejudged && !s->reply) || s->story.flags & AXO_EVENT_F_SHADOW) {
		s->story.type = AXO_EVENT_VERDICT;
		s->story.next_hop = v->action;
		if (v->flags & AXO_FLOW_SNAT)
			s->story.nat_port = v->port;
		emit(&s->p, &s->story);
	}
	v->flags &= ~AXO_FLOW_NAT; /* done */
	proto = s->p.key.proto | (s->p.frag == FRAG_LATER ? REWRITE_NO_PORTS : 0);
	if (s->p.family == 6)
		return deliver(skb, v, hook, 6, s->p.l4_off, proto);
	return deliver(skb, v, hook, 4, s->p.l4_off, proto);
}

/*
 * What the fast path understood is plain: no options, no fragments, ports where they always are. Direct access, no
 * calls. False: parse_l3() and parse_ports() have to look.
 */
inline_always bool parse_plain(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end, *l4;
	__be16 *words;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HEADER;

		if (data + ETH_HEADER + IP4_HEADER + 20 > end)
			return false;
		p->family = 4;
		p->ttl = ip->ttl;
		p->key.proto = ip->protocol;
		p->l4_off = ETH_HEADER + IP4_HEADER;
		*(__be32 *)p->key.saddr = ip->saddr;
		*(__be32 *)p->key.daddr = ip->daddr;
		l4 = ip + 1;
	} else {
		struct ipv6hdr *ip = data + ETH_HEADER;

		if (data + ETH_HEADER + IP6_HEADER + 20 > end)
			return false;
		p->family = 6;
		p->ttl = ip->hop_limit;
		p->key.proto = ip->nexthdr;
		p->l4_off = ETH_HEADER + IP6_HEADER;
		copy16(p->key.saddr, &ip->saddr);
		copy16(p->key.daddr, &ip->daddr);
		l4 = ip + 1;
	}
	if (p->key.proto != IPPROTO_TCP && p->key.proto != IPPROTO_UDP)
		return false;
	words = l4;
	p->key.sport = words[0];
	p->key.dport = words[1];
	if (p->key.proto == IPPROTO_TCP)
		p->tcp_flags = ((__u8 *)l4)[13];
	p->plain = 1;
	return true;
}

/* Addresses, by whichever way; p->plain says whether ports are there too. */
inline_always int parse_start(struct __sk_buff *skb, struct slow *s)
{
	return s->missed && parse_plain(skb, &s->p) ? AXO_OK : parse_l3(skb, &s->p);
}

inline_always int parse_rest(struct __sk_buff *skb, struct slow *s)
{
	return s->p.plain ? AXO_OK : parse_ports(skb, &s->p);
}

inline_always struct slow *begin(struct __sk_buff *skb, const __u32 hook, __u32 missed)
{
	__u32 zero = 0;
	struct slow *s = bpf_map_lookup_elem(&slow_memory, &zero);

	if (!s)
		return NULL;
	__builtin_memset(s, 0, offsetof(struct slow, v));
	/* before anything is judged: a change in between makes the entry stale, not wrong */
	s->generation = current_generation();
	s->now = ticks();
	s->in = origin(skb, hook);
	s->story.hook = hook;
	s->story.ifindex = skb->ifindex;
	s->p.length = skb->len;
	s->missed = missed & SLOW_MISSED;
	s->changed = missed & SLOW_CHANGED;
	/* packets that SCTP has put together keep headers alone in front: with a part of its data there the kernel takes them for broken */
	if ((void *)(long)skb->data + ETH_HEADER + IP6_HEADER > (void *)(long)skb->data_end && skb->gso_size != GSO_BY_FRAGS)
		bpf_skb_pull_data(skb, skb->len < 128 ? skb->len : 128);
	return s;
}

inline_always void name_ends(struct slow *s)
{
	s->story.src_identity = s->src.identity;
	s->story.dst_identity = s->dst.identity;
	s->story.src_endpoint = s->src.endpoint;
	s->story.dst_endpoint = s->dst.endpoint;
}

#endif
