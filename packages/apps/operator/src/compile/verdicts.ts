// Per policy object: what the compiler said, on which nodes it matters, and since which revision. Called by the loop; read by the status writer.
import { labelNamespace } from '@axoneme/model';
import { selectsSubject } from '@axoneme/policy';
import type { PolicyVerdict } from '../status/policy-status.ts';
import type { Compiled } from './compiler.ts';
import type { ParsedRow } from './policies.ts';

export interface Verdicts {
  update(compiled: Compiled, revision: number): void;
  get(key: string): PolicyVerdict | undefined;
}

interface Seat {
  readonly identity: Parameters<typeof selectsSubject>[1];
  readonly nodes: Set<string>;
}

/** Identities with pods, and where those pods are. */
function seatsOf(compiled: Compiled): Map<number, Seat> {
  const seats = new Map<number, Seat>();
  for (const p of compiled.pods) {
    if (p.identity === 0 || p.view.row.node === '') continue;
    const seat = seats.get(p.identity) ?? {
      identity: { id: p.identity as Seat['identity']['id'], labels: p.view.labels },
      nodes: new Set<string>(),
    };
    seats.set(p.identity, seat);
    seat.nodes.add(p.view.row.node);
  }
  return seats;
}

interface Seats {
  readonly all: readonly Seat[];
  readonly byNamespace: ReadonlyMap<string, readonly Seat[]>;
}

function indexSeats(compiled: Compiled): Seats {
  const all = [...seatsOf(compiled).values()];
  const byNamespace = new Map<string, Seat[]>();
  for (const seat of all) {
    const ns = labelNamespace(seat.identity.labels) ?? '';
    const list = byNamespace.get(ns);
    if (list === undefined) byNamespace.set(ns, [seat]);
    else list.push(seat);
  }
  return { all, byNamespace };
}

/** A namespaced policy can only select in its namespace, so only those identities are asked. */
function nodesOf(row: ParsedRow, seats: Seats): readonly string[] {
  const nodes = new Set<string>();
  const candidates = row.row.namespace === '' ? seats.all : (seats.byNamespace.get(row.row.namespace) ?? []);
  for (const seat of candidates) {
    if (row.rules.some((r) => selectsSubject(r, seat.identity))) for (const n of seat.nodes) nodes.add(n);
  }
  return [...nodes].sort();
}

const verdictOf = (row: ParsedRow, nodes: readonly string[], revision: number): PolicyVerdict => ({
  generation: row.row.generation,
  problems: row.problems,
  unsupported: row.unsupported,
  warnings: row.warnings,
  nodes,
  revision,
});

export function createVerdicts(): Verdicts {
  const held = new Map<string, { row: ParsedRow; verdict: PolicyVerdict }>();
  let pods: Compiled['pods'] | undefined;
  let seats: Seats = { all: [], byNamespace: new Map() };
  return {
    update(compiled, revision) {
      const moved = compiled.pods !== pods;
      pods = compiled.pods;
      if (moved) seats = indexSeats(compiled);
      for (const key of held.keys()) if (!compiled.policies.has(key)) held.delete(key);
      for (const [key, row] of compiled.policies) {
        const old = held.get(key);
        if (!moved && old?.row === row) continue;
        const nodes = nodesOf(row, seats);
        if (old?.row === row && nodes.join() === old.verdict.nodes.join()) continue;
        held.set(key, { row, verdict: verdictOf(row, nodes, revision) });
      }
    },
    get: (key) => held.get(key)?.verdict,
  };
}
