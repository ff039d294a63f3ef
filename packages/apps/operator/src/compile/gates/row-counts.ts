// Rows of every table on every node, from what the span says a node must hold: exact, and kept by differences. Fed by the dispatcher.
import { isTableName, tables } from '@axoneme/datapath';
import { isEverywhere, type SpanDiff } from '@axoneme/span';
import type { Digest } from '@axoneme/std';
import type { Artifact } from '../artifacts.ts';

/** Rows of one version of an artifact. */
interface Rows {
  readonly table: string;
  readonly rows: number;
}

export interface RowCounts {
  /** Artifacts that changed; those every node holds are counted once for all. */
  takeArtifacts(put: readonly Artifact[], removed: readonly string[]): void;
  takeNode(node: string, diff: SpanDiff, desired: ReadonlyMap<string, Digest>): void;
  forget(node: string): void;
  /** Nodes were given what is counted: what they held before is gone. */
  publish(held: ReadonlySet<string>): void;
  /** While a commit is applied old and new rows are there together; this is the most there will be. */
  needed(node: string): ReadonlyMap<string, number>;
  /** Nodes whose numbers changed since the last call; undefined: all. */
  takeTouched(): ReadonlySet<string> | undefined;
  nodes(): Iterable<string>;
}

const keySizeOf = (table: string): number =>
  isTableName(table) ? (tables[table] as { readonly key: { readonly size: number } }).key.size : 0;

function rowsOf({ body }: Artifact): Rows | undefined {
  const size = keySizeOf(body.table);
  return size === 0 ? undefined : { table: body.table, rows: body.keys.length / size };
}

/** Rows of named artifacts, and how many of those given out before are still in place. */
function createTally() {
  const now = new Map<string, Rows>();
  const before = new Map<string, Rows | undefined>();
  const totals = new Map<string, number>();
  return {
    set(name: string, next: Rows | undefined): void {
      const old = now.get(name);
      if (old === next) return;
      if (!before.has(name)) before.set(name, old);
      if (old !== undefined) totals.set(old.table, totals.get(old.table)! - old.rows);
      if (next === undefined) now.delete(name);
      else {
        now.set(name, next);
        totals.set(next.table, (totals.get(next.table) ?? 0) + next.rows);
      }
    },
    settle: () => before.clear(),
    addTo(sum: Map<string, number>): void {
      for (const [table, n] of totals) sum.set(table, (sum.get(table) ?? 0) + n);
      for (const [name, old] of before) {
        if (old === undefined) continue;
        const leaving = Math.max(0, old.rows - (now.get(name)?.rows ?? 0));
        sum.set(old.table, (sum.get(old.table) ?? 0) + leaving);
      }
    },
  };
}

export function createRowCounts(): RowCounts {
  const current = new Map<string, Rows>();
  const shared = createTally();
  const nodes = new Map<string, ReturnType<typeof createTally>>();
  let touched: Set<string> | undefined = new Set();
  return {
    takeArtifacts(put, removed) {
      for (const a of put) {
        const rows = rowsOf(a);
        if (rows === undefined) continue;
        current.set(a.name, rows);
        if (isEverywhere(a.name)) {
          shared.set(a.name, rows);
          touched = undefined;
        }
      }
      for (const name of removed) {
        current.delete(name);
        if (isEverywhere(name)) {
          shared.set(name, undefined);
          touched = undefined;
        }
      }
    },
    takeNode(node, diff, desired) {
      const tally = nodes.get(node) ?? createTally();
      nodes.set(node, tally);
      for (const list of [diff.upserts, diff.removes])
        for (const name of list) if (!isEverywhere(name)) tally.set(name, desired.has(name) ? current.get(name) : undefined);
      touched?.add(node);
    },
    forget(node) {
      nodes.delete(node);
    },
    publish(held) {
      // a node that is held back still has what it had; the shared rows are taken for given
      shared.settle();
      for (const [node, tally] of nodes) if (!held.has(node)) tally.settle();
    },
    needed(node) {
      const sum = new Map<string, number>();
      shared.addTo(sum);
      nodes.get(node)?.addTo(sum);
      return sum;
    },
    takeTouched() {
      const t = touched;
      touched = new Set();
      return t;
    },
    nodes: () => nodes.keys(),
  };
}
