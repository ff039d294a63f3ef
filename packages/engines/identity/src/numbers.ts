// Choice of free numbers: derived from content, so that the same names get the same numbers after any loss of memory.
import { hash32 } from '@axoneme/std';

export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

export interface PickResult {
  /** Number by name. */
  readonly picked: ReadonlyMap<string, number>;
  /** Names for which no number was left. */
  readonly exhausted: readonly string[];
}

/** Each name starts at a place given by its hash and takes the next free number. The order of `names` does not matter. */
export function pickNumbers(names: Iterable<string>, range: NumberRange, isTaken: (n: number) => boolean): PickResult {
  const size = range.last - range.first + 1;
  const picked = new Map<string, number>();
  const taken = new Set<number>();
  const exhausted: string[] = [];
  let full = false;
  for (const name of [...new Set(names)].sort()) {
    const start = hash32(name) % size;
    let found: number | undefined;
    for (let step = 0; step < size && !full; step++) {
      const n = range.first + ((start + step) % size);
      if (taken.has(n) || isTaken(n)) continue;
      found = n;
      break;
    }
    if (found === undefined) {
      // One full round found nothing: nothing is free for anyone.
      full = true;
      exhausted.push(name);
      continue;
    }
    taken.add(found);
    picked.set(name, found);
  }
  return { picked, exhausted };
}
