// Compares the kernel tables with what is held and corrects differences only. Used at start (adopted maps), after a commit that came
// while the kernel was not known to match, and as a slow periodic check.

import { bumpFor, type Table, type Tables, tableOrder } from '../ports/tables.ts';
import type { ArtifactContent } from '../store/artifact-file.ts';
import { eachBatch } from './execute.ts';
import type { Held, HeldArtifact } from './held.ts';
import { eachKey, keyBytes } from './key-index.ts';

export interface Drift {
  readonly table: string;
  readonly written: number;
  readonly deleted: number;
}

interface Difference {
  readonly table: Table;
  readonly keys: Buffer[];
  readonly values: Buffer[];
  readonly stale: Buffer[];
}

/** Artifacts of `table` whose rows decide, oldest first. */
const artifactsOf = (held: Held, table: string): HeldArtifact[] =>
  [...held.all()].filter((a) => a.table === table).sort((a, b) => a.seq - b.seq);

function compare(held: Held, t: Table, read: (a: HeldArtifact) => ArtifactContent): Difference {
  const d: Difference = { table: t, keys: [], values: [], stale: [] };
  const actual = t.dump();
  const rowOf = new Map<string, number>();
  eachKey(actual.keys, t.keySize, (key, row) => {
    rowOf.set(key, row);
    if (!held.keys.has(t.name, key)) d.stale.push(keyBytes(key));
  });
  for (const artifact of artifactsOf(held, t.name)) {
    const c = read(artifact);
    eachKey(c.keys, t.keySize, (key, row) => {
      const newer = held.keys.owners(t.name, key).some((id) => held.byId(id).seq > artifact.seq);
      if (newer) return;
      const want = c.values.subarray(row * t.valueSize, (row + 1) * t.valueSize);
      const at = rowOf.get(key);
      if (at !== undefined && want.compare(actual.values, at * t.valueSize, (at + 1) * t.valueSize) === 0) return;
      d.keys.push(keyBytes(key));
      d.values.push(want);
    });
  }
  return d;
}

/** Throws what the tables throw; running it again is always right. */
export function reconcile(held: Held, tables: Tables, read: (a: HeldArtifact) => ArtifactContent): Drift[] {
  const present = tableOrder.map((n) => tables.get(n)).filter((t) => t !== undefined);
  const differences = present.map((t) => compare(held, t, read));
  for (const { table, keys, values } of differences) {
    const k = Buffer.concat(keys);
    const v = Buffer.concat(values);
    eachBatch(keys.length, (from, to) =>
      table.put(k.subarray(from * table.keySize, to * table.keySize), v.subarray(from * table.valueSize, to * table.valueSize)),
    );
  }
  for (const { table, stale } of [...differences].reverse()) {
    const k = Buffer.concat(stale);
    eachBatch(stale.length, (from, to) => table.remove(k.subarray(from * table.keySize, to * table.keySize)));
  }
  const drift = differences
    .map((d) => ({ table: d.table.name, written: d.keys.length, deleted: d.stale.length }))
    .filter((d) => d.written + d.deleted > 0);
  bumpFor(
    tables,
    drift.map((d) => d.table),
  );
  return drift;
}
