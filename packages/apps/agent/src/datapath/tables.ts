// The kernel tables of this node behind the Tables port. Called by wiring; apply and endpoints write through it.
import type { BpfMap } from '@axoneme/bpf';
import { Generation, type GenerationIndex, u32Index } from '@axoneme/datapath';
import { AppError, invariant } from '@axoneme/std';
import type { Table, Tables } from '../ports/tables.ts';
import { followHost } from './host-flag.ts';

/** Same wording whether the check before or the kernel itself says no. */
function full(e: unknown, map: BpfMap): unknown {
  if (!(e instanceof AppError) || e.code !== 'bpf/map-full') return e;
  return new AppError({
    code: 'agent/table-full',
    message: `table ${map.name} is full (${map.maxEntries} rows)`,
    retry: 'later',
    hint: `raise the size of table ${map.name}`,
    cause: e,
    fields: { table: map.name, capacity: map.maxEntries },
  });
}

export function tableOf(map: BpfMap): Table {
  const rows = (keys: Buffer): number => keys.length / map.keySize;
  return {
    name: map.name,
    keySize: map.keySize,
    valueSize: map.valueSize,
    capacity: map.maxEntries,
    put(keys, values) {
      if (keys.length === 0) return;
      try {
        map.updateBatch(keys, values, rows(keys));
      } catch (e) {
        throw full(e, map);
      }
    },
    remove(keys) {
      if (keys.length > 0) map.deleteBatch(keys, rows(keys));
    },
    dump: () => map.dump(),
  };
}

export interface DatapathTables extends Tables {
  /** For a new generation map: a value no flow was judged under. */
  startGeneration(): void;
}

/** `followSlots`: who notices what leaves `lb_slot`. */
export function createTables(maps: ReadonlyMap<string, BpfMap>, followSlots = (table: Table): Table => table): DatapathTables {
  const tables = new Map([...maps].map(([name, map]) => [name, tableOf(map)]));
  const [subject, config] = [maps.get('subject'), maps.get('node_config')];
  if (subject && config) tables.set('subject', followHost(tableOf(subject), subject, config));
  const slots = tables.get('lb_slot');
  if (slots) tables.set('lb_slot', followSlots(slots));
  const generation = (): BpfMap => {
    const map = maps.get('generation');
    invariant(map !== undefined, 'the datapath has a generation map');
    return map;
  };
  const key = (index: GenerationIndex): Buffer => Buffer.from(u32Index.encode(index));
  const set = (index: GenerationIndex, value: number): void => {
    const next = Buffer.alloc(generation().valueSize);
    next.writeUInt32LE(value);
    generation().update(key(index), next);
  };
  return {
    get: (name) => tables.get(name),
    bumpGeneration(index = Generation.flows) {
      const now = generation().lookup(key(index))?.readUInt32LE() ?? 0;
      // 0 is what a fresh flow entry holds
      set(index, now >= 0xffffffff ? 1 : now + 1);
    },
    startGeneration() {
      const now = generation().lookup(key(Generation.flows))?.readUInt32LE() ?? 0;
      if (now === 0) set(Generation.flows, Math.floor(Date.now() / 1000) >>> 0);
    },
  };
}
