// Port: one kernel table seen as rows. The datapath implements it over BPF maps; tests use an in-memory twin.

import { applyOrder, Generation, type GenerationIndex, tableByName } from '@axoneme/datapath';

export interface TableInfo {
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly capacity: number;
}

export interface Rows {
  readonly keys: Buffer;
  readonly values: Buffer;
}

/** All calls are synchronous and throw AppError on failure; batches are bounded by the caller. */
export interface Table extends TableInfo {
  /** Writes `keys.length / keySize` rows, replacing equal keys. After an error any part of the batch may have been written. */
  put(keys: Buffer, values: Buffer): void;
  /** Deletes rows; keys that do not exist are fine. */
  remove(keys: Buffer): void;
  /** Every row, in no particular order. */
  dump(): Rows;
}

export interface Tables {
  /** Undefined when this datapath has no such table. */
  get(name: string): Table | undefined;
  /** Makes the kernel judge the next packet of every flow again, or ask the frontend of every flow through a service. */
  bumpGeneration(index?: GenerationIndex): void;
}

/** Upserts go in this order, removals in the reverse. A policy is there before any address resolves to its peers. */
export const tableOrder: readonly string[] = applyOrder;

/** What was decided before and must be decided again when rows of these tables changed. */
export function bumpFor(tables: Tables, changed: readonly string[]): void {
  const indices = changed.map((name) => {
    const table = tableByName(name);
    return table ? table.generation : Generation.flows;
  });
  for (const index of new Set(indices)) if (index !== undefined) tables.bumpGeneration(index);
}
