// Which node asks which backend, and what becomes of the answers. A backend is asked by several nodes; one of them alone decides nothing. Pure;
// called where the compile is: by the balancer itself in the profile of one node, by the operator for a fleet.
import { hash64 } from '@axoneme/std';
import type { ProbeTarget, TargetId } from './compile-balancer.ts';

/** How many nodes ask one backend. */
export const probersDefault = 3;

export interface Prober {
  readonly name: string;
  /** Its answers arrive and are fresh. */
  readonly alive: boolean;
}

/** Made once of each pair: fleets plan again whenever a node comes or goes. */
const ranks = new WeakMap<ProbeTarget, Map<string, bigint>>();

function rankOf(t: ProbeTarget, node: string): bigint {
  let mine = ranks.get(t);
  if (mine === undefined) {
    mine = new Map();
    ranks.set(t, mine);
  }
  let rank = mine.get(node);
  if (rank === undefined) {
    rank = hash64(`${t.id}\n${node}`);
    mine.set(node, rank);
  }
  return rank;
}

/** By node: what it asks. The nodes with the highest hash of backend and node: when one leaves only its own questions move. */
export function planProbes(
  targets: readonly ProbeTarget[],
  nodes: readonly string[],
  probers: number = probersDefault,
): ReadonlyMap<string, readonly ProbeTarget[]> {
  const plan = new Map<string, ProbeTarget[]>(nodes.map((n) => [n, []]));
  for (const t of targets) {
    if (nodes.length <= probers) {
      for (const list of plan.values()) list.push(t);
      continue;
    }
    const ranked = nodes.map((name) => ({ name, rank: rankOf(t, name) }));
    ranked.sort((a, b) => (a.rank < b.rank ? 1 : a.rank > b.rank ? -1 : 0));
    for (const { name } of ranked.slice(0, probers)) plan.get(name)!.push(t);
  }
  return plan;
}

/** The last results of a node about a backend: so many in a row that say the same. */
export interface Observation {
  readonly ok: boolean;
  readonly streak: number;
  /** Of failures: the last so many in a row between which the node saw somebody else serve. */
  readonly seen: number;
}

/** By node, then by backend. */
export type Observations = ReadonlyMap<string, ReadonlyMap<TargetId, Observation>>;

export interface HealthState {
  /** What each node holds for true, by `node\ntarget`: the last that came often enough in a row. */
  readonly votes: ReadonlyMap<string, boolean>;
  /** Those whose checks fail. */
  readonly down: ReadonlySet<TargetId>;
}

export const noHealth: HealthState = { votes: new Map(), down: new Set() };

export interface HealthInput {
  readonly targets: readonly ProbeTarget[];
  readonly nodes: readonly Prober[];
  readonly observations: Observations;
  readonly probers?: number | undefined;
  /** `planProbes` of the targets and those who are alive, for who has it already. */
  readonly plan?: ReadonlyMap<string, readonly ProbeTarget[]> | undefined;
}

function settle(before: boolean | undefined, now: Observation | undefined, check: ProbeTarget['check']): boolean | undefined {
  if (now === undefined) return before;
  return now.streak >= (now.ok ? check.rise : check.fall) ? now.ok : before;
}

/** The first failure of a node that is cut off comes right after somebody was seen. */
const seenMin = 2;

interface Poll {
  /** Of those who were to ask. */
  readonly asked: string[];
  readonly up: string[];
  readonly down: string[];
  /** Of `down`: those who saw others serve in the middle of the failures. */
  readonly seeing: string[];
}

/**
 * A backend changes its side by the word of more than half of those who are to ask it. Who has seen nobody serve while it failed is believed when
 * everybody else says so too: it may be him who is cut off. Who leads with less than half of the nodes changes nothing.
 */
export function judgeHealth(before: HealthState, input: HealthInput): HealthState {
  const alive = input.nodes.filter((n) => n.alive).map((n) => n.name);
  const votes = new Map<string, boolean>();
  const polls = new Map<TargetId, Poll>();
  for (const [node, targets] of input.plan ?? planProbes(input.targets, alive, input.probers))
    poll(node, targets, before, input, votes, polls);
  const minority = alive.length * 2 < input.nodes.length;
  const down = new Set<TargetId>();
  for (const t of input.targets) {
    const was = before.down.has(t.id);
    if (minority ? was : isDown(polls.get(t.id), was)) down.add(t.id);
  }
  return { votes, down };
}

/** What one node says of all it is to ask. */
function poll(
  node: string,
  targets: readonly ProbeTarget[],
  before: HealthState,
  input: HealthInput,
  votes: Map<string, boolean>,
  polls: Map<TargetId, Poll>,
): void {
  const seen = input.observations.get(node);
  for (const t of targets) {
    const key = `${node}\n${t.id}`;
    const now = seen?.get(t.id);
    const vote = settle(before.votes.get(key), now, t.check);
    const p = polls.get(t.id) ?? { asked: [], up: [], down: [], seeing: [] };
    polls.set(t.id, p);
    p.asked.push(node);
    if (vote === undefined) continue;
    votes.set(key, vote);
    p[vote ? 'up' : 'down'].push(node);
    if (!vote && now?.ok === false && now.seen >= Math.max(t.check.fall, seenMin)) p.seeing.push(node);
  }
}

function isDown(p: Poll | undefined, was: boolean): boolean {
  if (p === undefined) return was;
  const quorum = Math.floor(p.asked.length / 2) + 1;
  if (p.up.length >= quorum) return false;
  if (p.down.length < quorum) return was;
  const shared = p.asked.length > 1 && p.down.length === p.asked.length;
  return was || shared || p.seeing.length > 0;
}
