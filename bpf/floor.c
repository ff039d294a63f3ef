// SPDX-License-Identifier: Apache-2.0
/*
 * Yardsticks for the benchmarks, and wrappers that let BPF_PROG_TEST_RUN repeat a program which changes its packet:
 * every repetition restores the headers and tail-calls the program in slot 0 of `wrapped`.
 */
#include "lib/common.h"

#define HEAD 96

struct bench_state {
	__u8 head[HEAD];
	__u32 length;    /* of head to restore */
	__u32 walk;      /* number of source ports to walk; 0 = none */
	__u32 stride;
	__u32 at;
	__u32 v6;
	__u32 vni;       /* set a tunnel key first; 0 = none */
	__u32 sink;      /* drain: 1 = the packet is only restored */
	__u32 outer;     /* IPv4 address of the tunnel's other end, host order */
	__u8 outer6[16]; /* its IPv6 address, unless zero */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct bench_state);
	__uint(max_entries, 1);
} bench_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} wrapped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow4_key);
	__type(value, struct flow_value);
	__uint(max_entries, 262144);
} floor_flow SEC(".maps");

SEC("tc")
int floor_ok(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("tc")
int floor_redirect(struct __sk_buff *skb)
{
	return bpf_redirect(1, 0);
}

/* Parse, one lookup, count, redirect. Creates the entry it does not find. */
SEC("tc")
int floor_lru(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HEADER;
	struct flow4_key key = {};
	struct flow_value *v, fresh = {};
	__be16 *ports = (void *)(ip + 1);

	if (data + ETH_HEADER + IP4_HEADER + 4 > end || *(__u8 *)ip != 0x45)
		return TC_ACT_OK;
	key.saddr = ip->saddr;
	key.daddr = ip->daddr;
	key.sport = ports[0];
	key.dport = ports[1];
	key.proto = ip->protocol;
	v = bpf_map_lookup_elem(&floor_flow, &key);
	if (!v) {
		fresh.ifindex_out = 1;
		bpf_map_update_elem(&floor_flow, &key, &fresh, BPF_ANY);
		return TC_ACT_OK;
	}
	v->packets++;
	return bpf_redirect(v->ifindex_out, 0);
}

/* The floor of a veth network: destination lookup, MAC rewrite, redirect to the peer. */
SEC("tc")
int floor_peer(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct endpoint_key key = {};
	struct endpoint_value *ep;
	struct ethhdr *eth = data;

	if (data + ETH_HEADER + IP6_HEADER > end)
		return TC_ACT_OK;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		key.family = 4;
		*(__be32 *)key.addr = ((struct iphdr *)(data + ETH_HEADER))->daddr;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		key.family = 6;
		copy16(key.addr, &((struct ipv6hdr *)(data + ETH_HEADER))->daddr);
	}
	ep = bpf_map_lookup_elem(&endpoint, &key);
	if (!ep)
		return TC_ACT_OK;
	__builtin_memcpy(eth->h_dest, ep->mac, 6);
	__builtin_memcpy(eth->h_source, ep->host_mac, 6);
	return bpf_redirect_peer(ep->ifindex, 0);
}

SEC("tc")
int bench_wrap(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 zero = 0;
	struct bench_state *b = bpf_map_lookup_elem(&bench_state, &zero);
	__u64 *to = data, *from;

	if (!b || data + HEAD > end)
		return TC_ACT_SHOT;
	from = (__u64 *)b->head;
#pragma unroll
	for (int i = 0; i < HEAD / 8; i++)
		to[i] = from[i];
	if (b->walk) {
		__be16 port;

		b->at += b->stride;
		if (b->at >= b->walk)
			b->at -= b->walk;
		port = bpf_htons(1024 + b->at);
		if (b->v6)
			*(__be16 *)(data + ETH_HEADER + IP6_HEADER) = port;
		else
			*(__be16 *)(data + ETH_HEADER + IP4_HEADER) = port;
	}
	if (b->vni) {
		struct bpf_tunnel_key key;

		__builtin_memset(&key, 0, sizeof(key));
		key.tunnel_id = b->vni;
		if (zero16(b->outer6)) {
			/* what is set as our end is read as the sender's */
			key.local_ipv4 = b->outer;
			bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 0);
		} else {
			copy16(key.local_ipv6, b->outer6);
			bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6);
		}
	}
	skb->mark = 0;
	bpf_tail_call(skb, &wrapped, 0);
	return TC_ACT_UNSPEC;
}

/* ---- at the driver --------------------------------------------------------------------------------------- */

struct xdp_bench_state {
	__u8 head[HEAD];
	__u32 length; /* of the frame: what a program put in front is taken away again */
	__u32 walk;   /* as above */
	__u32 stride;
	__u32 at;
	__u32 v6;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct xdp_bench_state);
	__uint(max_entries, 1);
} xdp_bench_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} xdp_wrapped SEC(".maps");

SEC("xdp.frags")
int floor_xdp_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp.frags")
int floor_xdp_tx(struct xdp_md *ctx)
{
	return XDP_TX;
}

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow4_key);
	__type(value, struct nat_value);
	__uint(max_entries, 131072);
} floor_nat SEC(".maps");

/* What the table alone costs a new flow: one look-up that misses, a row for its answers at a port by lot, its own row. */
SEC("xdp.frags")
int floor_xdp_rows(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HEADER;
	struct flow4_key key = {}, back = {};
	__be16 *ports = (void *)(ip + 1);
	struct nat_value row = {};

	if (data + ETH_HEADER + IP4_HEADER + 4 > end)
		return XDP_ABORTED;
	key.saddr = ip->saddr;
	key.daddr = ip->daddr;
	key.sport = ports[0];
	key.dport = ports[1];
	key.proto = ip->protocol;
	if (bpf_map_lookup_elem(&floor_nat, &key))
		return XDP_TX;
	back.saddr = bpf_get_prandom_u32() % 100;
	back.daddr = ip->daddr;
	back.dport = bpf_get_prandom_u32() % 28976;
	back.proto = ip->protocol;
	bpf_map_update_elem(&floor_nat, &back, &row, BPF_NOEXIST);
	bpf_map_update_elem(&floor_nat, &key, &row, BPF_ANY);
	return XDP_TX;
}

SEC("xdp.frags")
int bench_xdp_wrap(struct xdp_md *ctx)
{
	__u32 zero = 0, walk;
	struct xdp_bench_state *b = bpf_map_lookup_elem(&xdp_bench_state, &zero);
	__u32 *to, *from;
	void *data;

	if (!b)
		return XDP_ABORTED;
	if (ctx->data_end - ctx->data != b->length &&
	    bpf_xdp_adjust_head(ctx, (int)(ctx->data_end - ctx->data) - (int)b->length))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	if (data + HEAD > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	/* in the words a program reads: a load that spans two stores which are under way waits, as none from a device would */
	*(__u16 *)data = *(__u16 *)b->head;
	to = data + 2;
	from = (void *)b->head + 2;
#pragma unroll
	for (int i = 0; i < HEAD / 4 - 1; i++)
		to[i] = from[i];
	*(__u16 *)(data + HEAD - 2) = *(__u16 *)(b->head + HEAD - 2);
	walk = b->walk;
	if (walk) {
		__be16 port;

		b->at += b->stride;
		if (b->at >= walk)
			b->at -= walk;
		port = bpf_htons(1024 + b->at);
		if (b->v6)
			*(__be16 *)(data + ETH_HEADER + IP6_HEADER) = port;
		else
			*(__be16 *)(data + ETH_HEADER + IP4_HEADER) = port;
	}
	bpf_tail_call(ctx, &xdp_wrapped, 0);
	return XDP_ABORTED;
}

/* Where packets end that are counted: at a device's driver, or behind it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} sunk SEC(".maps");

inline_always void count_sunk(void)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&sunk, &zero);

	if (n)
		(*n)++;
}

SEC("xdp.frags")
int floor_xdp_sink(struct xdp_md *ctx)
{
	count_sunk();
	return XDP_DROP;
}

SEC("tc")
int floor_sink(struct __sk_buff *skb)
{
	count_sunk();
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
