// Which artifact owns which key, per table. Keys are kept as one-byte strings (the cheapest map key V8 has); values stay on disk.
// Privately mutable; used by apply only.

export type ArtifactId = number;
/** Bytes of one key, one character each. */
export type KeyText = string;

export interface KeyIndex {
  owners(table: string, key: KeyText): readonly ArtifactId[];
  add(table: string, key: KeyText, id: ArtifactId): void;
  remove(table: string, key: KeyText, id: ArtifactId): void;
  /** Rows this table holds. */
  count(table: string): number;
  has(table: string, key: KeyText): boolean;
  /** Every key of a table. */
  keys(table: string): Iterable<KeyText>;
}

const none: readonly ArtifactId[] = [];

export function createKeyIndex(): KeyIndex {
  // nearly every key has one owner, which is stored bare
  const tables = new Map<string, Map<KeyText, ArtifactId | ArtifactId[]>>();
  const of = (table: string): Map<KeyText, ArtifactId | ArtifactId[]> => {
    const found = tables.get(table);
    if (found) return found;
    const made = new Map<KeyText, ArtifactId | ArtifactId[]>();
    tables.set(table, made);
    return made;
  };
  const ownersOf = (table: string, key: KeyText): readonly ArtifactId[] => {
    const o = tables.get(table)?.get(key);
    return o === undefined ? none : typeof o === 'number' ? [o] : o;
  };
  return {
    owners: ownersOf,
    add(table, key, id) {
      const owners = ownersOf(table, key);
      if (owners.includes(id)) return;
      of(table).set(key, owners.length === 0 ? id : [...owners, id]);
    },
    remove(table, key, id) {
      const rest = ownersOf(table, key).filter((o) => o !== id);
      if (rest.length === 0) of(table).delete(key);
      else of(table).set(key, rest.length === 1 ? (rest[0] as ArtifactId) : rest);
    },
    count: (table) => tables.get(table)?.size ?? 0,
    has: (table, key) => tables.get(table)?.has(key) ?? false,
    keys: (table) => tables.get(table)?.keys() ?? [],
  };
}

/** Calls `fn` for each fixed-size key of `keys`. */
export function eachKey(keys: Buffer, keySize: number, fn: (key: KeyText, row: number) => void): void {
  for (let at = 0, row = 0; at + keySize <= keys.length; at += keySize, row++) fn(keys.toString('latin1', at, at + keySize), row);
}

export const keyBytes = (key: KeyText): Buffer => Buffer.from(key, 'latin1');
