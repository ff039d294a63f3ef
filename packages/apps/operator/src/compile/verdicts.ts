// Per policy object: what the compiler said, on which nodes it matters, and since which revision. Called by the loop; read by the status parts.
// Costs what changed: objects, and policies that select an identity that came to a node or left it.
import type { IdentityId } from '@axoneme/model';
import { isHostSubject } from '@axoneme/policy';
import type { PolicyVerdict, Refusal } from '../status/policy-status.ts';
import { keyOf, type PolicyKind, policyRowKey } from '../world/rows.ts';
import type { Compiled, VerdictChanges } from './compiler.ts';
import type { PlacedPod } from './pod-part.ts';
import type { ParsedRow } from './policies.ts';

export interface Verdicts {
  /** `changes`: since the last call. `refusals`: by key of the table, what a gate did not let through. */
  update(compiled: Compiled, revision: number, changes: VerdictChanges, refusals?: ReadonlyMap<string, Refusal>): void;
  get(key: string): PolicyVerdict | undefined;
  /** Keys whose verdict is another one, or gone, since the last call. */
  takeChanged(): ReadonlySet<string>;
}

interface Seat {
  readonly identity: number;
  readonly node: string;
}

/** Where identities are: pods of each on each node. */
interface Seating {
  nodesOf(identity: number): Iterable<string>;
  /** Identities that came to a node or left one. */
  move(pods: ReadonlyMap<string, PlacedPod | undefined>): ReadonlySet<number>;
}

const seatOf = (p: PlacedPod | undefined): Seat | undefined =>
  p === undefined || p.identity === 0 || p.view.row.node === '' ? undefined : { identity: p.identity, node: p.view.row.node };

function createSeating(): Seating {
  const seats = new Map<string, Seat>();
  const counts = new Map<number, Map<string, number>>();
  /** True if the identity is new on the node, or gone from it. */
  const count = (s: Seat, delta: 1 | -1): boolean => {
    const nodes = counts.get(s.identity) ?? new Map<string, number>();
    counts.set(s.identity, nodes);
    const before = nodes.get(s.node) ?? 0;
    if (before + delta === 0) nodes.delete(s.node);
    else nodes.set(s.node, before + delta);
    if (nodes.size === 0) counts.delete(s.identity);
    return before === 0 || before + delta === 0;
  };
  return {
    nodesOf: (identity) => counts.get(identity)?.keys() ?? [],
    move(pods) {
      const touched = new Set<number>();
      for (const [key, pod] of pods) {
        const old = seats.get(key);
        const next = seatOf(pod);
        if (old?.identity === next?.identity && old?.node === next?.node) continue;
        if (next === undefined) seats.delete(key);
        else seats.set(key, next);
        if (next !== undefined && count(next, 1)) touched.add(next.identity);
        if (old !== undefined && count(old, -1)) touched.add(old.identity);
      }
      return touched;
    },
  };
}

interface Inputs {
  readonly row: ParsedRow;
  readonly missing: readonly string[];
  readonly refused: Refusal | undefined;
}

const verdictOf = (i: Inputs, nodes: readonly string[], revision: number): PolicyVerdict => ({
  generation: i.row.row.generation,
  mode: i.row.rules[0]?.mode ?? 'enforce',
  onNodes: i.row.rules.length > 0 && i.row.rules.every((r) => r.subjectKind === 'nodes'),
  problems: i.row.problems,
  unsupported: i.row.unsupported,
  warnings: [...i.row.warnings, ...i.missing],
  refused: i.refused,
  nodes,
  revision,
});

const same = (a: Inputs | undefined, b: Inputs): boolean =>
  a?.row === b.row && a.missing === b.missing && a.refused?.reason === b.refused?.reason && a.refused?.message === b.refused?.message;

const refers = (row: ParsedRow): boolean => row.rules.some((r) => r.entries.some((e) => (e.references?.length ?? 0) > 0));
const hosts = (row: ParsedRow): boolean => row.rules.some((r) => r.subjectKind === 'nodes');

/** A replica that does not lead never asks; more than this is remembered as "any". */
const CHANGED_MAX = 200_000;
const noRefusals: ReadonlyMap<string, Refusal> = new Map();

export function createVerdicts(): Verdicts {
  const held = new Map<string, Inputs & { readonly verdict: PolicyVerdict }>();
  /** Policies that name other objects: they are bound anew without a change of their own. */
  const referring = new Set<string>();
  const onHosts = new Set<string>();
  const seating = createSeating();
  let refused = noRefusals;
  let changed = new Set<string>();
  let overflown = false;
  const note = (key: string): void => {
    changed.add(key);
    if (changed.size <= CHANGED_MAX) return;
    overflown = true;
    changed.clear();
  };

  const nodesOf = (compiled: Compiled, key: string): readonly string[] => {
    const nodes = new Set<string>();
    for (const id of compiled.selected(key)) {
      if (!isHostSubject(id)) for (const n of seating.nodesOf(id)) nodes.add(n);
      else {
        const node = compiled.nodeOfHost(id);
        if (node !== undefined) nodes.add(node);
      }
    }
    return [...nodes].sort();
  };
  const mark = (set: Set<string>, key: string, on: boolean): void => void (on ? set.add(key) : set.delete(key));
  const look = (compiled: Compiled, revision: number, key: string, moved: boolean): void => {
    const row = compiled.policies.get(key);
    mark(referring, key, row !== undefined && refers(row));
    mark(onHosts, key, row !== undefined && hosts(row));
    if (row === undefined) {
      note(key);
      return void held.delete(key);
    }
    const old = held.get(key);
    const inputs = { row, missing: compiled.missing(key), refused: refused.get(key) };
    const equal = same(old, inputs);
    if (equal && !moved) return;
    const nodes = nodesOf(compiled, key);
    if (equal && nodes.join() === old?.verdict.nodes.join()) return;
    held.set(key, { ...inputs, verdict: verdictOf(inputs, nodes, revision) });
    note(key);
  };

  return {
    update(compiled, revision, changes, refusals = noRefusals) {
      const moved = new Set<string>(changes.nodes ? onHosts : []);
      for (const id of seating.move(changes.pods)) {
        for (const s of compiled.policiesOn(id as IdentityId))
          moved.add(policyRowKey(s.kind as PolicyKind, s.namespace === '' ? s.name : keyOf(s.namespace, s.name)));
      }
      const keys = new Set([...changes.policies, ...moved, ...refused.keys(), ...refusals.keys()]);
      for (const key of referring) if (held.get(key)?.missing !== compiled.missing(key)) keys.add(key);
      refused = refusals;
      for (const key of keys) look(compiled, revision, key, moved.has(key));
    },
    get: (key) => held.get(key)?.verdict,
    takeChanged() {
      const keys = overflown ? new Set(held.keys()) : changed;
      overflown = false;
      changed = new Set();
      return keys;
    },
  };
}
