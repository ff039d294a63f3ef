// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.

/** Every map of the objects as declared in bpf/lib/maps.h; key and value name a struct or an integer. */
export const maps = {
  addr_class: { name: 'addr_class', type: 'lpmTrie', key: 'ipcache_key', value: 'addr_class_value', maxEntries: 65536, flags: 129 },
  counters: { name: 'counters', type: 'percpuHash', key: 'counter_key', value: 'counter_value', maxEntries: 16384, flags: 0 },
  drops: { name: 'drops', type: 'percpuArray', key: 'u32', value: 'drop_value', maxEntries: 512, flags: 0 },
  endpoint: { name: 'endpoint', type: 'hash', key: 'endpoint_key', value: 'endpoint_value', maxEntries: 4096, flags: 129 },
  endpoint_if: { name: 'endpoint_if', type: 'hash', key: 'endpoint_if_key', value: 'endpoint_if_value', maxEntries: 4096, flags: 129 },
  endpoint_netns: { name: 'endpoint_netns', type: 'hash', key: 'endpoint_netns_key', value: 'endpoint_netns_value', maxEntries: 4096, flags: 129 },
  events: { name: 'events', type: 'ringbuf', key: undefined, value: undefined, maxEntries: 4194304, flags: 0 },
  events_lost: { name: 'events_lost', type: 'percpuArray', key: 'u32', value: 'u64', maxEntries: 1, flags: 0 },
  flow4: { name: 'flow4', type: 'lruHash', key: 'flow4_key', value: 'flow_value', maxEntries: 262144, flags: 0 },
  flow6: { name: 'flow6', type: 'lruHash', key: 'flow6_key', value: 'flow_value', maxEntries: 131072, flags: 0 },
  frag: { name: 'frag', type: 'lruHash', key: 'frag_key', value: 'frag_value', maxEntries: 8192, flags: 0 },
  generation: { name: 'generation', type: 'array', key: 'u32', value: 'u32', maxEntries: 1024, flags: 128 },
  ipcache: { name: 'ipcache', type: 'lpmTrie', key: 'ipcache_key', value: 'ipcache_value', maxEntries: 524288, flags: 129 },
  l2_announce: { name: 'l2_announce', type: 'hash', key: 'l2_announce_key', value: 'l2_announce_value', maxEntries: 4096, flags: 129 },
  lb_affinity: { name: 'lb_affinity', type: 'lruHash', key: 'lb_affinity_key', value: 'lb_affinity_value', maxEntries: 65536, flags: 0 },
  lb_frontend: { name: 'lb_frontend', type: 'hash', key: 'lb_frontend_key', value: 'lb_frontend_value', maxEntries: 65536, flags: 129 },
  lb_maglev: { name: 'lb_maglev', type: 'hash', key: 'lb_maglev_key', value: 'lb_maglev_value', maxEntries: 65536, flags: 129 },
  lb_slot: { name: 'lb_slot', type: 'hash', key: 'lb_slot_key', value: 'lb_slot_value', maxEntries: 262144, flags: 129 },
  lb_sock: { name: 'lb_sock', type: 'lruHash', key: 'lb_sock_key', value: 'lb_sock_value', maxEntries: 65536, flags: 0 },
  lb_source: { name: 'lb_source', type: 'lpmTrie', key: 'lb_source_key', value: 'lb_source_value', maxEntries: 65536, flags: 129 },
  nat4: { name: 'nat4', type: 'lruHash', key: 'flow4_key', value: 'nat_value', maxEntries: 131072, flags: 0 },
  nat6: { name: 'nat6', type: 'lruHash', key: 'flow6_key', value: 'nat_value', maxEntries: 131072, flags: 0 },
  node_config: { name: 'node_config', type: 'array', key: 'u32', value: 'node_config', maxEntries: 1, flags: 128 },
  own_ports: { name: 'own_ports', type: 'array', key: 'u32', value: 'own_ports', maxEntries: 1024, flags: 0 },
  policy: { name: 'policy', type: 'hash', key: 'policy_key', value: 'policy_value', maxEntries: 262144, flags: 129 },
  subject: { name: 'subject', type: 'hash', key: 'subject_key', value: 'subject_value', maxEntries: 65536, flags: 129 },
} as const;

export type MapName = keyof typeof maps;
