// Reads whole kinds in small steps. Called by the mirror (to compare) and by followers (to start).
import type { Connection, Reply } from './connection.ts';
import { type Keys, type Kind, kinds, type Records, type View } from './records.ts';

/** Raw values of one kind. */
export async function readHash(connection: Connection, hash: string): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  let cursor = '0';
  do {
    const [next, flat] = (await connection.command('HSCAN', hash, cursor, 'COUNT', 1000)) as [string, readonly string[]];
    for (let i = 0; i + 1 < flat.length; i += 2) all.set(flat[i] as string, flat[i + 1] as string);
    cursor = next;
  } while (cursor !== '0');
  return all;
}

/** A value that is not JSON was not written by us: it is left out. */
export function parseValue<K extends Kind>(text: string): Records[K] | undefined {
  try {
    return JSON.parse(text) as Records[K];
  } catch {
    return undefined;
  }
}

export async function readView(connection: Connection, keys: Keys): Promise<View> {
  const view: Partial<Record<Kind, ReadonlyMap<string, unknown>>> = {};
  for (const kind of kinds) {
    const parsed = new Map<string, unknown>();
    for (const [key, text] of await readHash(connection, keys.hash(kind))) {
      const value = parseValue(text);
      if (value !== undefined) parsed.set(key, value);
    }
    view[kind] = parsed;
  }
  return view as View;
}

/** Reply of a script as a list. */
export const list = (r: Reply): readonly Reply[] => (Array.isArray(r) ? (r as readonly Reply[]) : []);
