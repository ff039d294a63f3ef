// Rows as artifacts: packing in canonical order. Called by the operator's compilers and by tests.
// Equal rows in any order give equal bytes, hence equal digests on every replica (the digest itself is of the node protocol).
import { compareBytes } from '@axoneme/model';
import { AppError, hash64 } from '@axoneme/std';
import { type KeyOf, type TableName, tables, type ValueOf } from './tables.ts';

export interface PackedRows {
  readonly table: string;
  readonly count: number;
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
}

export type Row<N extends TableName> = readonly [key: KeyOf<N>, value: ValueOf<N>];

/** Encodes and sorts by key bytes. Two rows with one key are a bug of the compiler: `datapath/duplicate-key`. */
export function packRows<N extends TableName>(name: N, rows: readonly Row<N>[]): PackedRows {
  const { key, value } = tables[name];
  const encoded = rows.map(([k, v]) => ({ key: key.encode(k as never), value: value.encode(v as never) }));
  encoded.sort((a, b) => compareBytes(a.key, b.key));
  const keys = new Uint8Array(rows.length * key.size);
  const values = new Uint8Array(rows.length * value.size);
  encoded.forEach((r, i) => {
    if (i > 0 && compareBytes(encoded[i - 1]!.key, r.key) === 0) {
      throw new AppError({
        code: 'datapath/duplicate-key',
        message: `two rows of ${name} have one key`,
        fields: { key: Buffer.from(r.key).toString('hex') },
      });
    }
    keys.set(r.key, i * key.size);
    values.set(r.value, i * value.size);
  });
  return { table: name, count: rows.length, keys, values };
}

export function unpackRows<N extends TableName>(name: N, keys: Uint8Array, values: Uint8Array): Row<N>[] {
  const { key, value } = tables[name];
  const count = keys.length / key.size;
  if (!Number.isInteger(count) || values.length !== count * value.size) {
    throw new AppError({
      code: 'datapath/bad-rows',
      message: `${keys.length} key bytes and ${values.length} value bytes are no rows of ${name}`,
    });
  }
  return Array.from(
    { length: count },
    (_, i) => [key.decode(keys, i * key.size), value.decode(values, i * value.size)] as unknown as Row<N>,
  );
}

/** Name of an immutable set of rows (`handle`, `set`): its rows with that field 0, hashed. Never 0. */
export const contentHandle = (rows: PackedRows): bigint => hash64(rows.table, '\0', rows.keys, '\0', rows.values);
