// SPDX-License-Identifier: GPL-2.0
// The verifier refuses this: the packet is read without a bounds check.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int careless(struct __sk_buff *skb)
{
	return *(char *)(long)skb->data;
}

char LICENSE[] SEC("license") = "GPL";
