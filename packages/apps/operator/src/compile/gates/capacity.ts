// Gate: no table of any node may need more rows than its map has. Called by the gatekeeper.
import { defaultCapacity, isTableName } from '@axoneme/datapath';
import type { Breach, Gate } from './gate.ts';
import type { RowCounts } from './row-counts.ts';

export interface CapacityDeps {
  readonly counts: RowCounts;
  /** Rows of a node's map as its agent says; undefined while it did not say. */
  readonly reported: (node: string, table: string) => number | undefined;
  /** Sizes that agents are configured with, by map. */
  readonly configured: Readonly<Record<string, number>>;
}

export function createCapacityGate(d: CapacityDeps): Gate {
  const over = new Map<string, readonly Breach[]>();
  const capacityOf = (node: string, table: string): number => {
    const fallback = isTableName(table) ? defaultCapacity(table) : Number.POSITIVE_INFINITY;
    return d.reported(node, table) ?? d.configured[table] ?? fallback;
  };
  const breachesOf = (node: string): Breach[] =>
    [...d.counts.needed(node)].flatMap(([table, needed]) => {
      const capacity = capacityOf(node, table);
      if (needed <= capacity) return [];
      const message = `map ${table} of node ${node} needs ${needed} rows, it has room for ${capacity}`;
      return [{ key: `capacity ${table} ${node}`, weight: needed, refusal: { reason: 'CapacityExceeded', message }, grows: true, node }];
    });
  return {
    name: 'capacity',
    check() {
      const touched = d.counts.takeTouched();
      if (touched === undefined) over.clear();
      for (const node of touched ?? d.counts.nodes()) {
        const breaches = breachesOf(node);
        if (breaches.length === 0) over.delete(node);
        else over.set(node, breaches);
      }
      const known = new Set(d.counts.nodes());
      return [...over].flatMap(([node, list]) => (known.has(node) ? list : []));
    },
  };
}
