// Pods with identity and addresses, kept by what changed: the pods themselves, reports about them, their namespaces, identity objects.
// Called by the compiler.
import type { IpAddr } from '@axoneme/model';
import type { IdentityRow } from '../world/rows.ts';
import type { Dirty, Tables } from '../world/world.ts';
import { parseIps } from './addresses.ts';
import { addressesOf, isOlderIdentity, labelsOfIdentity, type PodView, type PodViews } from './pods.ts';

export interface PlacedPod {
  readonly view: PodView;
  /** 0 while its identity object does not exist yet. */
  readonly identity: number;
  readonly addresses: readonly IpAddr[];
}

/** One pod before and after; both are never undefined. */
export interface PodChange {
  readonly before: PlacedPod | undefined;
  readonly after: PlacedPod | undefined;
}

export interface PodPart {
  /** By key `namespace/name`. */
  update(tables: Tables, dirty: Dirty): ReadonlyMap<string, PodChange>;
  get(key: string): PlacedPod | undefined;
  /** The same list while no pod changed. */
  pods(): readonly PlacedPod[];
}

const none: readonly string[] = [];

/** Sets by name, without empty ones. */
function createGroups(): {
  add(name: string, key: string): void;
  delete(name: string, key: string): void;
  of(name: string): Iterable<string>;
} {
  const groups = new Map<string, Set<string>>();
  return {
    add(name, key) {
      const held = groups.get(name);
      if (held === undefined) groups.set(name, new Set([key]));
      else held.add(key);
    },
    delete(name, key) {
      const held = groups.get(name);
      held?.delete(key);
      if (held?.size === 0) groups.delete(name);
    },
    of: (name) => groups.get(name) ?? none,
  };
}

/** Which number a label set has; of duplicates the oldest object wins. */
function createIdentityNumbers(): { take(tables: Tables, keys: Iterable<string>): Set<string>; of(text: string): number } {
  const rows = new Map<string, { readonly row: IdentityRow; readonly text: string }>();
  const byText = createGroups();
  const numbers = new Map<string, number>();
  const numberOf = (text: string): number => {
    let best: IdentityRow | undefined;
    for (const key of byText.of(text)) {
      const { row } = rows.get(key)!;
      if (best === undefined || isOlderIdentity(row, best)) best = row;
    }
    return best?.id ?? 0;
  };
  return {
    take(tables, keys) {
      const texts = new Set<string>();
      for (const key of keys) {
        const old = rows.get(key);
        const row = tables.identities.get(key);
        if (old !== undefined) {
          byText.delete(old.text, key);
          texts.add(old.text);
        }
        if (row === undefined) rows.delete(key);
        else {
          const { text } = labelsOfIdentity(row);
          rows.set(key, { row, text });
          byText.add(text, key);
          texts.add(text);
        }
      }
      for (const text of texts) {
        const n = numberOf(text);
        if (n === (numbers.get(text) ?? 0)) texts.delete(text);
        else if (n === 0) numbers.delete(text);
        else numbers.set(text, n);
      }
      return texts;
    },
    of: (text) => numbers.get(text) ?? 0,
  };
}

/** `node|namespace/pod|uid` → `namespace/pod`. */
const podOfEndpoint = (key: string): string => key.slice(key.indexOf('|') + 1, key.lastIndexOf('|'));
const namespaceOf = (key: string): string => key.slice(0, key.indexOf('/'));

export function createPodPart(views: PodViews): PodPart {
  const held = new Map<string, PlacedPod>();
  const numbers = createIdentityNumbers();
  const byNamespace = createGroups();
  const byText = createGroups();
  const texts = new WeakMap<PlacedPod, readonly string[]>();
  let list: readonly PlacedPod[] = [];

  const place = (tables: Tables, view: PodView, before: PlacedPod | undefined): PlacedPod => {
    const identity = numbers.of(view.labels.text);
    const wanted = view.row.node === '' ? none : addressesOf(view.row, tables.endpoints);
    if (before !== undefined && before.view === view && before.identity === identity && texts.get(before) === wanted) return before;
    const placed = { view, identity, addresses: parseIps(wanted) };
    texts.set(placed, wanted);
    return placed;
  };
  const keysOf = (tables: Tables, dirty: Dirty): Set<string> => {
    const keys = new Set<string>(dirty.get('pods'));
    for (const key of keys) {
      if (tables.pods.has(key)) byNamespace.add(namespaceOf(key), key);
      else byNamespace.delete(namespaceOf(key), key);
    }
    for (const key of dirty.get('endpoints') ?? []) keys.add(podOfEndpoint(key));
    for (const name of dirty.get('namespaces') ?? []) for (const key of byNamespace.of(name)) keys.add(key);
    const renumbered = numbers.take(tables, dirty.get('identities') ?? []);
    for (const text of renumbered) for (const key of byText.of(text)) keys.add(key);
    return keys;
  };
  return {
    get: (key) => held.get(key),
    pods: () => list,
    update(tables, dirty) {
      const changes = new Map<string, PodChange>();
      for (const key of keysOf(tables, dirty)) {
        const before = held.get(key);
        const view = views.of(tables, key);
        const after = view === undefined ? undefined : place(tables, view, before);
        if (before === after) continue;
        changes.set(key, { before, after });
        if (before !== undefined) byText.delete(before.view.labels.text, key);
        if (after === undefined) held.delete(key);
        else {
          held.set(key, after);
          byText.add(after.view.labels.text, key);
        }
      }
      if (changes.size > 0) list = [...held.values()];
      return changes;
    },
  };
}
