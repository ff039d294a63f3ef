// SPDX-License-Identifier: GPL-2.0
// Everything the @axoneme/bpf tests need in one object.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct row {
	__u32 a;
	__u16 b;
	__u8 c[10];
};

const volatile __u32 answer = 1;
const volatile __u64 wide = 2;
const volatile __u8 blob[4] = {};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, __u64);
	__type(value, struct row);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} trie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} kept SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} ring SEC(".maps");

SEC("tc")
int tag(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&hits, &zero);

	if (n)
		*n += 1;
	skb->mark = answer + blob[3];
	return wide == 7 ? 2 : -1;
}

__u64 sequence = 0;

SEC("tc")
int emit(struct __sk_buff *skb)
{
	__u64 n = __sync_fetch_and_add(&sequence, 1);
	__u64 *e = bpf_ringbuf_reserve(&ring, 24, 0);

	if (!e)
		return -1;
	e[0] = n;
	e[1] = skb->len;
	e[2] = 0xfeedfacecafebeefULL;
	if (n % 5 == 4)
		bpf_ringbuf_discard(e, 0);
	else
		bpf_ringbuf_submit(e, 0);
	return -1;
}

SEC("cgroup/connect4")
int deny_one(struct bpf_sock_addr *ctx)
{
	return ctx->user_port != __builtin_bswap16(answer);
}

/* The port 81 comes back to the sender, with its last byte changed; runs are counted on the device they are for. */
SEC("xdp")
int bounce(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 one = 1;
	__u64 *n = bpf_map_lookup_elem(&hits, &one);
	__u8 *byte = data;

	if (n)
		*n += ctx->ingress_ifindex;
	if (data + 15 > end)
		return XDP_DROP;
	if (byte[14] != 0x81)
		return XDP_PASS;
	byte[14] = 0x18;
	return XDP_TX;
}

SEC("xdp")
int drop_all(struct xdp_md *ctx)
{
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
