// SPDX-License-Identifier: Apache-2.0
/*
 * Clients outside, at the driver: what tc does from the same rows and headers, for packets that leave this node again without the tunnel.
 * Everything else goes up untouched, and tc decides. Attached to the node's devices where acceleration is on.
 */
#include "lib/common.h"
#include "lib/dsr.h"
#include "lib/events.h"
#include "lib/ipip.h"
#include "lib/north.h"
#include "lib/xdp.h"

#define AF_INET_ 2
#define AF_INET6_ 10
#define HOP_TICKS TICKS(1) /* how long a next hop is believed */

/* Devices that take frames from here; the agent writes those that run this program. No DEVMAP: libbpf before 1.2 cannot share one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 256);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} xdp_device SEC(".maps");

/* A packet this program can finish: where its transport begins follows from the family. */
struct frame {
	struct flow6_key key; /* IPv4 in the first four bytes of each address */
	__u32 length;         /* of the IP packet */
	__u32 family;
	__u8 tcp_flags;
	__u8 ttl;
	__u8 pad[2];
};

inline_always bool parse_frame4(const struct xdp_md *ctx, struct frame *f)
{
	void *data = frame_start(ctx), *end = frame_end(ctx);
	struct iphdr *ip = data + ETH_HEADER;

	if (data + ETH_HEADER + IP4_HEADER > end || *(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
		return false;
	f->family = 4;
	f->length = bpf_ntohs(ip->tot_len);
	f->ttl = ip->ttl;
	*(__be32 *)f->key.saddr = ip->saddr;
	*(__be32 *)f->key.daddr = ip->daddr;
	if (!frame_ports(ip + 1, end, ip->protocol, &f->key, &f->tcp_flags))
		return false;
	/* one buffer holds all of it */
	return f->length >= IP4_HEADER + UDP_HEADER && f->length <= end - data - ETH_HEADER;
}

inline_always bool parse_frame6(const struct xdp_md *ctx, struct frame *f)
{
	void *data = frame_start(ctx), *end = frame_end(ctx);
	struct ipv6hdr *ip = data + ETH_HEADER;

	if (data + ETH_HEADER + IP6_HEADER > end)
		return false;
	f->family = 6;
	f->length = bpf_ntohs(ip->payload_len) + IP6_HEADER;
	f->ttl = ip->hop_limit;
	copy16(f->key.saddr, &ip->saddr);
	copy16(f->key.daddr, &ip->daddr);
	if (!frame_ports(ip + 1, end, ip->nexthdr, &f->key, &f->tcp_flags))
		return false;
	return f->length >= IP6_HEADER + UDP_HEADER && f->length <= end - data - ETH_HEADER;
}

/* A packet of this flow tells the backend's node where it was sent to: datagrams do, and the SYNs of a connection. */
inline_always bool carries_option(const struct frame *f, const struct nat_value *v)
{
	if (likely(!(v->flags & AXO_NAT_DSR)) || v->action != AXO_VIA_NEIGH)
		return false;
	return f->key.proto != IPPROTO_TCP || (f->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

inline_always __u32 extra_length(const struct frame *f, const struct nat_value *v, const __u32 family)
{
	if (unlikely(v->action == AXO_VIA_IPIP))
		return family == 6 ? IP6_HEADER : IP4_HEADER;
	return carries_option(f, v) ? dsr_length(family) : 0;
}

/* The next hop and its MACs into the row. False: it is not known, or not to be had from here. */
call_only bool find_hop(struct xdp_md *ctx, const struct frame *f, struct nat_value *v, const struct node_config *cfg, __u32 now)
{
	struct bpf_fib_lookup fib;

	__builtin_memset(&fib, 0, sizeof(fib));
	fib.ifindex = ctx->ingress_ifindex;
	fib.l4_protocol = f->key.proto;
	if (f->family == 6) {
		fib.family = AF_INET6_;
		copy16(fib.ipv6_src, v->action == AXO_VIA_IPIP ? cfg->node_ip6 : v->flags & AXO_NAT_SRC ? v->saddr : f->key.saddr);
		copy16(fib.ipv6_dst, v->action == AXO_VIA_IPIP || v->flags & AXO_NAT_DST ? v->daddr : f->key.daddr);
	} else {
		fib.family = AF_INET_;
		fib.ipv4_src = *(__be32 *)(v->action == AXO_VIA_IPIP ? cfg->node_ip4 : v->flags & AXO_NAT_SRC ? v->saddr : f->key.saddr);
		fib.ipv4_dst = *(__be32 *)(v->action == AXO_VIA_IPIP || v->flags & AXO_NAT_DST ? v->daddr : f->key.daddr);
	}
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return false;
	if (fib.ifindex != ctx->ingress_ifindex && !bpf_map_lookup_elem(&xdp_device, &fib.ifindex))
		return false;
	v->ifindex_out = fib.ifindex;
	v->mtu = fib.mtu_result;
	if (fib.family == AF_INET6_) {
		v->flags |= AXO_NAT_V6_HOP;
		copy16(v->hop, fib.ipv6_dst);
	} else {
		v->flags &= ~AXO_NAT_V6_HOP;
		*(__be32 *)v->hop = fib.ipv4_dst;
	}
	__builtin_memcpy(v->dmac, fib.dmac, 6);
	__builtin_memcpy(v->smac, fib.smac, 6);
	v->checked = now ? now : 1;
	return true;
}

/* It is known, and the way takes the packet in one piece. */
inline_always bool hop_known(struct xdp_md *ctx, const struct frame *f, struct nat_value *v, const struct node_config *cfg,
			     const __u32 family, __u32 now)
{
	__u32 length = f->length + extra_length(f, v, family);

	if (unlikely(!v->checked || now - v->checked > HOP_TICKS) && !find_hop(ctx, f, v, cfg, now))
		return false;
	if (unlikely(length > v->mtu))
		return false;
	/* the way to a client is none between nodes, nor that to a server that unpacks by itself */
	return likely(!cfg->path_mtu) || v->flags & AXO_NAT_REPLY || v->action == AXO_VIA_IPIP || length <= cfg->path_mtu;
}

inline_always int leave(struct xdp_md *ctx, const struct nat_value *v)
{
	if (likely(v->ifindex_out == ctx->ingress_ifindex))
		return XDP_TX;
	return bpf_redirect(v->ifindex_out, 0);
}

/* Put in front of the packet. The hop is taken inside: the outer packet begins here. */
inline_always int encapsulate(struct xdp_md *ctx, const struct nat_value *v, const struct node_config *cfg, const __u32 family)
{
	const int room = family == 6 ? IP6_HEADER : IP4_HEADER;
	void *data, *end;

	if (zero16(v->daddr) || (family == 6 ? zero16(cfg->node_ip6) : !*(__be32 *)cfg->node_ip4))
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, -room))
		return XDP_PASS;
	data = frame_start(ctx);
	end = frame_end(ctx);
	if (data + ETH_HEADER + 2 * room + 8 > end)
		return XDP_DROP;
	set_frame_macs(data, v->dmac);
	if (family == 6) {
		struct ipv6hdr *ip = data + ETH_HEADER;

		*(__be16 *)(data + 12) = bpf_htons(ETH_P_IPV6);
		ip[1].hop_limit--;
		outer6(ip, ip + 1, cfg, v->daddr);
	} else {
		struct iphdr *ip = data + ETH_HEADER;

		*(__be16 *)(data + 12) = bpf_htons(ETH_P_IP);
		take_hop4(ip + 1, 0);
		outer4(ip, ip + 1, cfg, v->daddr);
	}
	return leave(ctx, v);
}

/* Room for the option: Ethernet and IP headers move to the front, the transport stays where it is. */
inline_always int add_option4(struct xdp_md *ctx, const struct frame *f)
{
	struct dsr4 option = { .type = DSR4_OPTION, .length = DSR4_LENGTH, .port = f->key.dport, .addr = *(__be32 *)f->key.daddr };
	void *data, *end;
	struct iphdr *ip;
	__u64 change = 0;
	__u32 *words = (__u32 *)&option;

	if (bpf_xdp_adjust_head(ctx, -DSR4_LENGTH))
		return XDP_PASS;
	data = frame_start(ctx);
	end = frame_end(ctx);
	if (data + DSR4_LENGTH + ETH_HEADER + IP4_HEADER > end)
		return XDP_DROP;
	ip = data + ETH_HEADER;
	__builtin_memmove(ip, data + DSR4_LENGTH + ETH_HEADER, IP4_HEADER);
	__builtin_memcpy(ip + 1, &option, DSR4_LENGTH);
	*(__be16 *)(data + 12) = bpf_htons(ETH_P_IP);
	change = sum_change(change, 0, words[0]);
	change = sum_change(change, 0, words[1]);
	change = sum_change16(change, *(__u16 *)ip, bpf_htons(0x4500 + (DSR4_LENGTH / 4 << 8) + ip->tos));
	change = sum_change16(change, ip->tot_len, bpf_htons(f->length + DSR4_LENGTH));
	ip->ihl = 5 + DSR4_LENGTH / 4;
	ip->tot_len = bpf_htons(f->length + DSR4_LENGTH);
	ip->check = sum_apply(ip->check, change);
	return 0;
}

inline_always int add_option6(struct xdp_md *ctx, const struct frame *f)
{
	struct ipv6hdr *ip;
	struct dsr6 *option;
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, -DSR6_LENGTH))
		return XDP_PASS;
	data = frame_start(ctx);
	end = frame_end(ctx);
	if (data + DSR6_LENGTH + ETH_HEADER + IP6_HEADER > end)
		return XDP_DROP;
	ip = data + ETH_HEADER;
	__builtin_memmove(ip, data + DSR6_LENGTH + ETH_HEADER, IP6_HEADER);
	option = (struct dsr6 *)(ip + 1);
	*(__be16 *)(data + 12) = bpf_htons(ETH_P_IPV6);
	option->next = f->key.proto;
	option->words = DSR6_LENGTH / 8 - 1;
	option->type = DSR6_OPTION;
	option->length = DSR6_LENGTH - 4;
	option->port = f->key.dport;
	option->pad = 0;
	copy16(option->addr, f->key.daddr);
	ip->nexthdr = IPPROTO_DSTOPTS;
	ip->payload_len = bpf_htons(f->length - IP6_HEADER + DSR6_LENGTH);
	return 0;
}

/* Both ends, hop, MACs; `room` is what stands between IP header and transport. */
inline_always int rewrite_frame(struct xdp_md *ctx, const struct frame *f, const struct nat_value *v, const __u32 family, const __u32 room)
{
	const __u32 header = family == 6 ? IP6_HEADER : IP4_HEADER;
	void *data = frame_start(ctx), *end = frame_end(ctx), *ip = data + ETH_HEADER, *l4 = ip + header + room;
	__u8 proto = f->key.proto;
	__u16 *check;
	struct ends e = {
		.saddr = v->saddr, .daddr = v->daddr, .sport = v->sport, .dport = v->dport,
		.change_source = v->flags & AXO_NAT_SRC, .change_destination = v->flags & AXO_NAT_DST,
	};

	check = sum_field(l4, proto);
	if (l4 + UDP_HEADER > end || (void *)(check + 1) > end)
		return XDP_DROP;
	if (family == 6)
		rewrite_frame6(ip, l4, check, proto, &e);
	else
		rewrite_frame4(ip, l4, check, proto, &e);
	set_frame_macs(data, v->dmac);
	return leave(ctx, v);
}

call_only int send_option4(struct xdp_md *ctx, const struct frame *f, const struct nat_value *v)
{
	int r = add_option4(ctx, f);

	return r ? r : rewrite_frame(ctx, f, v, 4, DSR4_LENGTH);
}

call_only int send_option6(struct xdp_md *ctx, const struct frame *f, const struct nat_value *v)
{
	int r = add_option6(ctx, f);

	return r ? r : rewrite_frame(ctx, f, v, 6, DSR6_LENGTH);
}

/* A packet whose row speaks for it. XDP_PASS: untouched. */
inline_always int forward(struct xdp_md *ctx, const struct frame *f, struct nat_value *v, const struct node_config *cfg,
			  const __u32 family, __u32 now)
{
	if (!hop_known(ctx, f, v, cfg, family, now))
		return XDP_PASS;
	if (unlikely(v->action == AXO_VIA_IPIP))
		return encapsulate(ctx, v, cfg, family);
	if (unlikely(carries_option(f, v)))
		return family == 6 ? send_option6(ctx, f, v) : send_option4(ctx, f, v);
	return rewrite_frame(ctx, f, v, family, 0);
}

/* Working memory: more than the stack has. Programs of this hook run in softirq and never nest on one CPU. */
struct memory {
	struct packet p;
	struct side src;
	struct story story;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct memory);
	__uint(max_entries, 1);
} xdp_memory SEC(".maps");

/* Counted, told, gone. */
call_only int refuse_frame(struct xdp_md *ctx, const struct frame *f, struct memory *m, __u32 reason)
{
	__builtin_memset(&m->p, 0, sizeof(m->p));
	__builtin_memset(&m->story, 0, sizeof(m->story));
	m->p.key = f->key;
	m->p.family = f->family;
	m->p.tcp_flags = f->tcp_flags;
	m->p.length = ctx->data_end - ctx->data;
	m->story.type = AXO_EVENT_DROP;
	m->story.reason = reason;
	m->story.direction = AXO_DIR_INGRESS;
	m->story.hook = AXO_HOOK_FROM_NETDEV;
	m->story.ifindex = ctx->ingress_ifindex;
	m->story.src_identity = m->src.identity;
	__builtin_memset(&m->src, 0, sizeof(m->src));
	resolve((void *)f->key.daddr, f->family, &m->src);
	m->story.dst_identity = m->src.identity;
	count_drop(reason, AXO_DIR_INGRESS, m->p.length);
	emit(&m->p, &m->story);
	return XDP_DROP;
}

inline_always bool leaves_here(const struct nat_value *v)
{
	return v->action == AXO_VIA_NEIGH || v->action == AXO_VIA_IPIP;
}

/* A new row with its next hop, into the table. 1: the packet goes by it from here; 0: for tc to carry out; -reason. A frame of its own: stack. */
call_only int settle(struct xdp_md *ctx, const struct frame *f, struct north *n)
{
	const struct node_config *cfg = node();
	bool goes = cfg && leaves_here(&n->row) && find_hop(ctx, f, &n->row, cfg, n->now);
	int r = north_keep(n);

	return r ? -r : goes;
}

/*
 * A packet no row speaks for; `had` is one that does not, or NULL. A row that leaves here afterwards, or NULL and *verdict. Only clients that
 * are nobody of the cluster: what others may send here and what they get is for tc.
 */
call_only struct nat_value *decide(struct xdp_md *ctx, const struct frame *f, const struct nat_value *had, __u32 now, int *verdict)
{
	const struct node_config *cfg = node();
	__u32 zero = 0;
	struct memory *m = bpf_map_lookup_elem(&xdp_memory, &zero);
	struct north *n = own_north();
	int r;

	*verdict = XDP_PASS;
	if (!m || !n || !cfg)
		return NULL;
	__builtin_memset(n, 0, sizeof(*n));
	n->key = f->key;
	n->now = now;
	n->family = f->family;
	n->tcp_flags = f->tcp_flags;
	n->client = NORTH_OUTSIDE;
	n->can = NORTH_CAN_DSR | NORTH_CAN_IPIP;
	__builtin_memset(&m->src, 0, sizeof(m->src));
	resolve((void *)f->key.saddr, f->family, &m->src);
	if (m->src.kind != SIDE_REMOTE || m->src.tunnel_family || north_is_node(m->src.identity) || north_is_pod(m->src.identity))
		return NULL;
	n->identity = m->src.identity;
	north_had(n, had);
	r = north_decide();
	if (r == NORTH_ROW) {
		r = settle(ctx, f, n);
		if (r >= 0)
			return r ? &n->row : NULL;
		r = -r;
	}
	if (r != NORTH_NONE && !n->reject)
		*verdict = refuse_frame(ctx, f, m, r);
	return NULL;
}

inline_always int translate(struct xdp_md *ctx, const struct frame *f, const __u32 family)
{
	const struct node_config *cfg = node();
	__u32 revision = nat_revision(), now;
	bool service = north_maybe(&f->key, family, revision);
	struct nat_value *v;
	int verdict;

	/* most of what comes here is no service's; answers to what left with an address of this node cost a look-up */
	if (likely(!service) && !north_may_answer(&f->key, family))
		return XDP_PASS;
	if (!cfg || unlikely(f->ttl <= 1))
		return XDP_PASS;
	v = nat_find(&f->key, family);
	if (v ? !leaves_here(v) : !service)
		return XDP_PASS;
	now = ticks();
	if (unlikely(!v) || unlikely(!nat_usable(v, revision, now, family, f->key.proto, f->tcp_flags))) {
		v = decide(ctx, f, v, now, &verdict);
		if (!v)
			return verdict;
	}
	return forward(ctx, f, v, cfg, family, now);
}

inline_always int xdp4(struct xdp_md *ctx)
{
	struct frame f = {};

	return parse_frame4(ctx, &f) ? translate(ctx, &f, 4) : XDP_PASS;
}

inline_always int xdp6(struct xdp_md *ctx)
{
	struct frame f = {};

	return parse_frame6(ctx, &f) ? translate(ctx, &f, 6) : XDP_PASS;
}

SEC("xdp.frags")
int axo_xdp(struct xdp_md *ctx)
{
	void *data = frame_start(ctx);
	struct ethhdr *eth = data;

	if (data + ETH_HEADER > frame_end(ctx) || eth->h_dest[0] & 1)
		return XDP_PASS;
	if (likely(eth->h_proto == bpf_htons(ETH_P_IP)))
		return xdp4(ctx);
	return eth->h_proto == bpf_htons(ETH_P_IPV6) ? xdp6(ctx) : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
