/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one registry of maps. Every map is pinned by its name, so all objects of a node share it. The sizes below are
 * defaults: the loader sets max_entries before it loads. Kernel memory of the defaults that are preallocated, on two
 * CPUs: flow4 262144 x 128 B = 32 MiB, flow6 131072 x 152 B = 19 MiB, counters 16384 x 80 B = 1.3 MiB, events 4 MiB,
 * nat4 131072 x 168 B = 21 MiB, nat6 131072 x 192 B = 24 MiB, lb_sock 65536 x 104 B = 6.5 MiB, lb_affinity 65536 x 112 B = 7 MiB, frag 8192 x 96 B, own_ports 64 KiB. Everything else grows with use. A sandbox node is happy with
 * flow4 = flow6 = 16384, nat4 = nat6 = 8192, lb_sock = lb_affinity = 8192, events = 1 MiB: 8 MiB.
 */
#ifndef AXO_MAPS_H
#define AXO_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "structs.h"

#define AXO_MAP_TABLE(name_, type_, key_, value_, max_, flags_)      \
	struct {                                                     \
		__uint(type, type_);                                 \
		__type(key, key_);                                   \
		__type(value, value_);                               \
		__uint(max_entries, max_);                           \
		__uint(map_flags, flags_);                           \
		__uint(pinning, LIBBPF_PIN_BY_NAME);                 \
	} name_ SEC(".maps")

/* written by user space only */
#define AXO_RO BPF_F_RDONLY_PROG
#define AXO_RO_GROW (BPF_F_RDONLY_PROG | BPF_F_NO_PREALLOC)

AXO_MAP_TABLE(policy, BPF_MAP_TYPE_HASH, struct policy_key, struct policy_value, 262144, AXO_RO_GROW);
AXO_MAP_TABLE(subject, BPF_MAP_TYPE_HASH, struct subject_key, struct subject_value, 65536, AXO_RO_GROW);
AXO_MAP_TABLE(ipcache, BPF_MAP_TYPE_LPM_TRIE, struct ipcache_key, struct ipcache_value, 524288, AXO_RO_GROW);
AXO_MAP_TABLE(addr_class, BPF_MAP_TYPE_LPM_TRIE, struct ipcache_key, struct addr_class_value, 65536, AXO_RO_GROW);
AXO_MAP_TABLE(lb_frontend, BPF_MAP_TYPE_HASH, struct lb_frontend_key, struct lb_frontend_value, 65536, AXO_RO_GROW);
AXO_MAP_TABLE(lb_slot, BPF_MAP_TYPE_HASH, struct lb_slot_key, struct lb_slot_value, 262144, AXO_RO_GROW);
AXO_MAP_TABLE(lb_maglev, BPF_MAP_TYPE_HASH, struct lb_maglev_key, struct lb_maglev_value, 65536, AXO_RO_GROW);
AXO_MAP_TABLE(lb_source, BPF_MAP_TYPE_LPM_TRIE, struct lb_source_key, struct lb_source_value, 65536, AXO_RO_GROW);
AXO_MAP_TABLE(l2_announce, BPF_MAP_TYPE_HASH, struct l2_announce_key, struct l2_announce_value, 4096, AXO_RO_GROW);
AXO_MAP_TABLE(endpoint, BPF_MAP_TYPE_HASH, struct endpoint_key, struct endpoint_value, 4096, AXO_RO_GROW);
AXO_MAP_TABLE(endpoint_if, BPF_MAP_TYPE_HASH, struct endpoint_if_key, struct endpoint_if_value, 4096, AXO_RO_GROW);
AXO_MAP_TABLE(endpoint_netns, BPF_MAP_TYPE_HASH, struct endpoint_netns_key, struct endpoint_netns_value, 4096, AXO_RO_GROW);
AXO_MAP_TABLE(generation, BPF_MAP_TYPE_ARRAY, __u32, __u32, 1024, AXO_RO);
AXO_MAP_TABLE(node_config, BPF_MAP_TYPE_ARRAY, __u32, struct node_config, 1, AXO_RO);

/* written by the programs */
AXO_MAP_TABLE(flow4, BPF_MAP_TYPE_LRU_HASH, struct flow4_key, struct flow_value, 262144, 0);
AXO_MAP_TABLE(flow6, BPF_MAP_TYPE_LRU_HASH, struct flow6_key, struct flow_value, 131072, 0);
AXO_MAP_TABLE(nat4, BPF_MAP_TYPE_LRU_HASH, struct flow4_key, struct nat_value, 131072, 0);
AXO_MAP_TABLE(nat6, BPF_MAP_TYPE_LRU_HASH, struct flow6_key, struct nat_value, 131072, 0);
AXO_MAP_TABLE(own_ports, BPF_MAP_TYPE_ARRAY, __u32, struct own_ports, 65536 / AXO_OWN_PORTS, 0);
AXO_MAP_TABLE(frag, BPF_MAP_TYPE_LRU_HASH, struct frag_key, struct frag_value, 8192, 0);
AXO_MAP_TABLE(lb_sock, BPF_MAP_TYPE_LRU_HASH, struct lb_sock_key, struct lb_sock_value, 65536, 0);
AXO_MAP_TABLE(lb_affinity, BPF_MAP_TYPE_LRU_HASH, struct lb_affinity_key, struct lb_affinity_value, 65536, 0);
AXO_MAP_TABLE(counters, BPF_MAP_TYPE_PERCPU_HASH, struct counter_key, struct counter_value, 16384, 0);
AXO_MAP_TABLE(drops, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct drop_value, 512, 0);
AXO_MAP_TABLE(events_lost, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, 1, 0);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

#endif
