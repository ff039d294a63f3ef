// Per policy object: what the compiler said, on which nodes it matters, and since which revision. Called by the loop; read by the status writer.
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

function nodesOf(row: ParsedRow, seats: ReadonlyMap<number, Seat>): readonly string[] {
  const nodes = new Set<string>();
  for (const seat of seats.values()) {
    if (row.rules.some((r) => selectsSubject(r, seat.identity))) for (const n of seat.nodes) nodes.add(n);
  }
  return [...nodes].sort();
}

export function createVerdicts(): Verdicts {
  const held = new Map<string, { row: ParsedRow; verdict: PolicyVerdict }>();
  return {
    update(compiled, revision) {
      const seats = seatsOf(compiled);
      for (const key of held.keys()) if (!compiled.policies.has(key)) held.delete(key);
      for (const [key, row] of compiled.policies) {
        const old = held.get(key);
        const nodes = nodesOf(row, seats);
        const same = old?.row === row && nodes.join() === old.verdict.nodes.join();
        if (same) continue;
        const verdict = {
          generation: row.row.generation,
          problems: row.problems,
          unsupported: row.unsupported,
          warnings: row.warnings,
          nodes,
          revision,
        };
        held.set(key, { row, verdict });
      }
    },
    get: (key) => held.get(key)?.verdict,
  };
}
