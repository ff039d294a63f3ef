// The kernel tables of this node behind the Tables port. Called by wiring; apply and endpoints write through it.
import type { BpfMap } from '@axoneme/bpf';
import { AppError, invariant } from '@axoneme/std';
import type { Table, Tables } from '../ports/tables.ts';

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

export function createTables(maps: ReadonlyMap<string, BpfMap>): Tables {
  const tables = new Map([...maps].map(([name, map]) => [name, tableOf(map)]));
  const index = Buffer.alloc(4);
  return {
    get: (name) => tables.get(name),
    bumpGeneration() {
      const map = maps.get('generation');
      invariant(map !== undefined, 'the datapath has no generation map');
      const now = map.lookup(index)?.readUInt32LE() ?? 0;
      const next = Buffer.alloc(map.valueSize);
      // 0 is what a fresh flow entry holds
      next.writeUInt32LE(now >= 0xffffffff ? 1 : now + 1);
      map.update(index, next);
    },
  };
}
