// Rows of a node's kernel tables by key, asked through the operator. Used by `service get --node` and `service explain`.
import { type KeyOf, type TableName, tables, type ValueOf } from '@axoneme/datapath';
import { AppError } from '@axoneme/std';
import type { AdminClient } from '@axoneme/stream';

export interface NodeRows {
  /** In the order of the keys; undefined: no such row. Of a trie the longest match. */
  find<N extends TableName>(table: N, keys: readonly KeyOf<N>[]): Promise<readonly (ValueOf<N> | undefined)[]>;
  one<N extends TableName>(table: N, key: KeyOf<N>): Promise<ValueOf<N> | undefined>;
  /** A whole table as the node shows it; for small ones. */
  list(table: TableName): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** The clock of the node's tables at the last answer. */
  nowNs(): bigint;
}

/** Of one question. */
const KEYS_MAX = 1000;

interface Line {
  readonly nowNs?: string;
  readonly key?: string;
  readonly value?: string;
}

export function createNodeRows(client: Pick<AdminClient, 'listTable'>, node: string): NodeRows {
  let now = 0n;
  const ask = async (table: TableName, keys: readonly string[]): Promise<ReadonlyMap<string, string>> => {
    const found = new Map<string, string>();
    for await (const { json } of client.listTable({ node, table: `lookup ${JSON.stringify({ table, keys })}`, limit: 0 })) {
      const line = JSON.parse(json) as Line;
      if (line.nowNs !== undefined) now = BigInt(line.nowNs);
      else if (line.key !== undefined && line.value !== undefined) found.set(line.key, line.value);
      else throw new AppError({ code: 'cli/garbage', message: 'the node sent something that is no row' });
    }
    return found;
  };
  const find: NodeRows['find'] = async (table, keys) => {
    const { key: keyCodec, value: valueCodec } = tables[table] as unknown as {
      key: { encode(k: unknown): Uint8Array };
      value: { decode(b: Uint8Array): never };
    };
    const texts = keys.map((k) => Buffer.from(keyCodec.encode(k)).toString('hex'));
    const rows = new Map<string, string>();
    for (let i = 0; i < texts.length; i += KEYS_MAX)
      for (const [k, v] of await ask(table, [...new Set(texts.slice(i, i + KEYS_MAX))])) rows.set(k, v);
    return texts.map((t) => {
      const value = rows.get(t);
      return value === undefined ? undefined : valueCodec.decode(Buffer.from(value, 'hex'));
    });
  };
  const list: NodeRows['list'] = async (table) => {
    const out: Readonly<Record<string, unknown>>[] = [];
    for await (const { json } of client.listTable({ node, table, limit: 0 }))
      out.push(JSON.parse(json) as Readonly<Record<string, unknown>>);
    return out;
  };
  return { find, list, one: async (table, key) => (await find(table, [key]))[0], nowNs: () => now };
}
