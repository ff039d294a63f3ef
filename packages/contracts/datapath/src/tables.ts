// The registry of tables: codecs, order of application, who writes, what a change means. Called by the operator's row mappers,
// the agent's apply loop and every `bpf … list`.
import type { Codec } from './codec.ts';
import {
  addrClassValue,
  counterKey,
  counterValue,
  dropValue,
  endpointIfKey,
  endpointIfValue,
  endpointKey,
  endpointNetnsKey,
  endpointNetnsValue,
  endpointValue,
  flow4Key,
  flow6Key,
  flowValue,
  ipcacheKey,
  ipcacheValue,
  l2AnnounceKey,
  l2AnnounceValue,
  lbAffinityKey,
  lbAffinityValue,
  lbFrontendKey,
  lbFrontendValue,
  lbMaglevKey,
  lbMaglevValue,
  lbSlotKey,
  lbSlotValue,
  lbSockKey,
  lbSockValue,
  lbSourceKey,
  lbSourceValue,
  type MapName,
  maps,
  natValue,
  nodeConfig,
  policyKey,
  policyValue,
  subjectKey,
  subjectValue,
} from './gen/index.ts';
import { u32Index, u32Value } from './scalar.ts';

/** Indices of the table `generation`. */
export const Generation = { flows: 0, services: 1 } as const;
export type GenerationIndex = (typeof Generation)[keyof typeof Generation];

export interface KernelTable<K, V> {
  readonly kind: 'kernel';
  /** Map name and `table` of artifacts. */
  readonly name: MapName;
  readonly key: Codec<K>;
  readonly value: Codec<V>;
  /** Upserts go by ascending rank, removals by descending. Only the operator's tables have one. */
  readonly rank: number | undefined;
  readonly writer: 'operator' | 'agent' | 'kernel';
  /** Index of `generation` that a change increments: flows are judged again, or flows through services ask their frontend again. */
  readonly generation: GenerationIndex | undefined;
}

export interface BlobTable {
  readonly kind: 'blob';
  readonly name: string;
  readonly rank: number;
}

interface Traits {
  readonly rank?: number;
  readonly writer: KernelTable<unknown, unknown>['writer'];
  readonly bumps?: GenerationIndex;
}

const table = <K, V>(name: MapName, key: Codec<K>, value: Codec<V>, t: Traits): KernelTable<K, V> => ({
  kind: 'kernel',
  name,
  key,
  value,
  rank: t.rank,
  writer: t.writer,
  generation: t.bumps,
});

export const tables = {
  lb_slot: table('lb_slot', lbSlotKey, lbSlotValue, { rank: 0, writer: 'operator', bumps: Generation.services }),
  lb_maglev: table('lb_maglev', lbMaglevKey, lbMaglevValue, { rank: 1, writer: 'operator', bumps: Generation.services }),
  lb_source: table('lb_source', lbSourceKey, lbSourceValue, { rank: 2, writer: 'operator', bumps: Generation.services }),
  lb_frontend: table('lb_frontend', lbFrontendKey, lbFrontendValue, { rank: 3, writer: 'operator', bumps: Generation.services }),
  policy: table('policy', policyKey, policyValue, { rank: 4, writer: 'operator', bumps: Generation.flows }),
  subject: table('subject', subjectKey, subjectValue, { rank: 5, writer: 'operator', bumps: Generation.flows }),
  addr_class: table('addr_class', ipcacheKey, addrClassValue, { rank: 6, writer: 'operator', bumps: Generation.flows }),
  ipcache: table('ipcache', ipcacheKey, ipcacheValue, { rank: 7, writer: 'operator', bumps: Generation.flows }),
  endpoint: table('endpoint', endpointKey, endpointValue, { writer: 'agent', bumps: Generation.flows }),
  endpoint_if: table('endpoint_if', endpointIfKey, endpointIfValue, { writer: 'agent', bumps: Generation.flows }),
  endpoint_netns: table('endpoint_netns', endpointNetnsKey, endpointNetnsValue, { writer: 'agent' }),
  node_config: table('node_config', u32Index, nodeConfig, { writer: 'agent', bumps: Generation.flows }),
  l2_announce: table('l2_announce', l2AnnounceKey, l2AnnounceValue, { writer: 'agent' }),
  generation: table('generation', u32Index, u32Value, { writer: 'agent' }),
  flow4: table('flow4', flow4Key, flowValue, { writer: 'kernel' }),
  flow6: table('flow6', flow6Key, flowValue, { writer: 'kernel' }),
  nat4: table('nat4', flow4Key, natValue, { writer: 'kernel' }),
  nat6: table('nat6', flow6Key, natValue, { writer: 'kernel' }),
  counters: table('counters', counterKey, counterValue, { writer: 'kernel' }),
  drops: table('drops', u32Index, dropValue, { writer: 'kernel' }),
  lb_affinity: table('lb_affinity', lbAffinityKey, lbAffinityValue, { writer: 'kernel' }),
  lb_sock: table('lb_sock', lbSockKey, lbSockValue, { writer: 'kernel' }),
} as const;

export type TableName = keyof typeof tables;
export type KeyOf<N extends TableName> = (typeof tables)[N] extends KernelTable<infer K, infer _V> ? K : never;
export type ValueOf<N extends TableName> = (typeof tables)[N] extends KernelTable<infer _K, infer V> ? V : never;

/** Artifacts without rows; applied after every table. The blobs are messages of @axoneme/proto. */
export const blobTables = {
  workload: { kind: 'blob', name: 'workload', rank: 100 },
  node_config_blob: { kind: 'blob', name: 'node', rank: 101 },
  routes: { kind: 'blob', name: 'routes', rank: 102 },
  object: { kind: 'blob', name: 'object', rank: 103 },
  datapath: { kind: 'blob', name: 'datapath', rank: 104 },
  health: { kind: 'blob', name: 'health', rank: 106 },
  l2: { kind: 'blob', name: 'l2', rank: 105 },
  probes: { kind: 'blob', name: 'probes', rank: 107 },
} as const satisfies Record<string, BlobTable>;

/** The operator's kernel tables in upsert order. */
export const applyOrder: readonly TableName[] = (Object.keys(tables) as TableName[])
  .filter((n) => tables[n].rank !== undefined)
  .sort((a, b) => tables[a].rank! - tables[b].rank!);

export const isTableName = (name: string): name is TableName => Object.hasOwn(tables, name);

/** A kernel table by the name an artifact or a user gives, forgetting the row types. */
export function tableByName(name: string): KernelTable<unknown, unknown> | undefined {
  return isTableName(name) ? (tables[name] as KernelTable<unknown, unknown>) : undefined;
}

/** Declared capacity; the loader may choose another. */
export const defaultCapacity = (name: TableName): number => maps[name].maxEntries;
