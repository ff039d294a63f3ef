// Per policy object: what the compiler said, on which nodes it matters, and since which revision. Called by the loop; read by the status parts.
import { type IdentityId, type Labels, labelNamespace } from '@axoneme/model';
import { selectsSubject } from '@axoneme/policy';
import type { PolicyVerdict, Refusal } from '../status/policy-status.ts';
import type { Tables } from '../world/world.ts';
import type { Compiled } from './compiler.ts';
import { nodeLabels } from './hosts.ts';
import type { ParsedRow } from './policies.ts';

export interface Verdicts {
  /** `refusals`: by key of the table, what a gate did not let through. */
  update(compiled: Compiled, revision: number, tables?: Tables, refusals?: ReadonlyMap<string, Refusal>): void;
  get(key: string): PolicyVerdict | undefined;
}

/** A subject and the nodes it is on. */
interface Seat {
  readonly identity: { readonly id: IdentityId; readonly labels: Labels };
  readonly nodes: Set<string>;
}

/** Identities with pods, and where those pods are. */
function podSeats(compiled: Compiled): Seat[] {
  const seats = new Map<number, Seat>();
  for (const p of compiled.pods) {
    if (p.identity === 0 || p.view.row.node === '') continue;
    const seat = seats.get(p.identity) ?? { identity: { id: p.identity as IdentityId, labels: p.view.labels }, nodes: new Set<string>() };
    seats.set(p.identity, seat);
    seat.nodes.add(p.view.row.node);
  }
  return [...seats.values()];
}

/** Nodes as subjects of host policies. */
function hostSeats(compiled: Compiled, tables: Tables | undefined): Seat[] {
  return [...(tables?.nodes.values() ?? [])].flatMap((row) => {
    const id = compiled.hostId(row.name);
    return id === undefined ? [] : [{ identity: { id: id as IdentityId, labels: nodeLabels(row) }, nodes: new Set([row.name]) }];
  });
}

interface Seats {
  readonly pods: readonly Seat[];
  readonly byNamespace: ReadonlyMap<string, readonly Seat[]>;
  readonly hosts: readonly Seat[];
}

function indexSeats(compiled: Compiled, tables: Tables | undefined): Seats {
  const pods = podSeats(compiled);
  return { pods, byNamespace: Map.groupBy(pods, (s) => labelNamespace(s.identity.labels) ?? ''), hosts: hostSeats(compiled, tables) };
}

/** A namespaced policy can only select in its namespace, so only those identities are asked. */
function nodesOf(row: ParsedRow, seats: Seats): readonly string[] {
  const nodes = new Set<string>();
  const pods = row.row.namespace === '' ? seats.pods : (seats.byNamespace.get(row.row.namespace) ?? []);
  for (const rule of row.rules) {
    for (const seat of rule.subjectKind === 'nodes' ? seats.hosts : pods) {
      if (selectsSubject(rule, seat.identity)) for (const n of seat.nodes) nodes.add(n);
    }
  }
  return [...nodes].sort();
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

export function createVerdicts(): Verdicts {
  const held = new Map<string, Inputs & { readonly verdict: PolicyVerdict }>();
  let pods: Compiled['pods'] | undefined;
  let nodes: Compiled['nodes'] | undefined;
  let seats: Seats = { pods: [], byNamespace: new Map(), hosts: [] };
  return {
    update(compiled, revision, tables, refusals) {
      const moved = compiled.pods !== pods || compiled.nodes !== nodes;
      pods = compiled.pods;
      nodes = compiled.nodes;
      if (moved) seats = indexSeats(compiled, tables);
      for (const key of held.keys()) if (!compiled.policies.has(key)) held.delete(key);
      for (const [key, row] of compiled.policies) {
        const old = held.get(key);
        const inputs = { row, missing: compiled.missing(key), refused: refusals?.get(key) };
        if (!moved && same(old, inputs)) continue;
        const on = nodesOf(row, seats);
        if (same(old, inputs) && on.join() === old?.verdict.nodes.join()) continue;
        held.set(key, { ...inputs, verdict: verdictOf(inputs, on, revision) });
      }
    },
    get: (key) => held.get(key)?.verdict,
  };
}
