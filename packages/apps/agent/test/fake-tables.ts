// In-memory twin of the kernel tables, with a fault switch. For tests of apply and wiring.
import { AppError } from '@axoneme/std';
import type { Table, Tables } from '../src/ports/tables.ts';

export interface FakeTables extends Tables {
  readonly rows: Map<string, Map<string, string>>;
  generation: number;
  /** Called before each row is written or deleted; throw to fail there. */
  fault: ((table: string, op: 'put' | 'remove') => void) | undefined;
}

export const fakeSpecs = {
  lb_slot: [4, 2],
  lb_maglev: [4, 6],
  lb_source: [5, 1],
  lb_frontend: [3, 4],
  policy: [4, 4],
  subject: [2, 4],
  addr_class: [5, 4],
  ipcache: [5, 4],
} as const;

/** Key and value sizes as the kernel has them, of the tables that host policies depend on. */
export const realSpecs = { policy: [16, 16], subject: [8, 40], addr_class: [24, 4], ipcache: [24, 24] } as const;

export function createFakeTables(capacity = 1000, specs: Readonly<Record<string, readonly [number, number]>> = fakeSpecs): FakeTables {
  const rows = new Map<string, Map<string, string>>(Object.keys(specs).map((n) => [n, new Map()]));
  const fake: FakeTables = {
    rows,
    generation: 0,
    fault: undefined,
    bumpGeneration() {
      fake.generation++;
    },
    get(name): Table | undefined {
      const own = rows.get(name);
      if (!own) return undefined;
      const [keySize, valueSize] = specs[name] as readonly [number, number];
      const each = (b: Buffer, size: number, fn: (s: string, i: number) => void): void => {
        for (let i = 0; i * size < b.length; i++) fn(b.toString('latin1', i * size, (i + 1) * size), i);
      };
      return {
        name,
        keySize,
        valueSize,
        capacity,
        put(keys, values) {
          each(keys, keySize, (k, i) => {
            fake.fault?.(name, 'put');
            if (!own.has(k) && own.size >= capacity) throw new AppError({ code: 'agent/table-full', message: `table ${name} is full` });
            own.set(k, values.toString('latin1', i * valueSize, (i + 1) * valueSize));
          });
        },
        remove(keys) {
          each(keys, keySize, (k) => {
            fake.fault?.(name, 'remove');
            own.delete(k);
          });
        },
        dump: () => ({
          keys: Buffer.from([...own.keys()].join(''), 'latin1'),
          values: Buffer.from([...own.values()].join(''), 'latin1'),
        }),
      };
    },
  };
  return fake;
}

export function snapshot(t: FakeTables): string {
  return JSON.stringify([...t.rows].map(([n, r]) => [n, [...r].sort(([a], [b]) => (a < b ? -1 : 1))]));
}
