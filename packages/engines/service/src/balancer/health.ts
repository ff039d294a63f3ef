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
    const ranked = nodes.map((name) => ({ name, rank: hash64(`${t.id}\n${name}`) }));
    ranked.sort((a, b) => (a.rank < b.rank ? 1 : a.rank > b.rank ? -1 : 0));
    for (const { name } of ranked.slice(0, probers)) plan.get(name)!.push(t);
  }
  return plan;
}

/** The last results of a node about a backend: so many in a row that say the same. */
export interface Observation {
  readonly ok: boolean;
  readonly streak: number;
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
}

function settle(before: boolean | undefined, now: Observation | undefined, check: ProbeTarget['check']): boolean | undefined {
  if (now === undefined) return before;
  return now.streak >= (now.ok ? check.rise : check.fall) ? now.ok : before;
}

interface Poll {
  /** Of those who were to ask. */
  readonly asked: readonly string[];
  readonly up: readonly string[];
  readonly down: readonly string[];
}

/**
 * A backend changes its side by the word of more than half of those who are to ask it. Who sees nothing but failures is believed when everybody
 * else says so too: it may be him who is cut off. Who leads with less than half of the nodes changes nothing.
 */
export function judgeHealth(before: HealthState, input: HealthInput): HealthState {
  const alive = input.nodes.filter((n) => n.alive).map((n) => n.name);
  const plan = planProbes(input.targets, alive, input.probers);
  const votes = new Map<string, boolean>();
  const polls = new Map<TargetId, { asked: string[]; up: string[]; down: string[] }>();
  const blind = new Set<string>();
  for (const [node, targets] of plan) {
    let seen = 0;
    let failures = 0;
    for (const t of targets) {
      const key = `${node}\n${t.id}`;
      const vote = settle(before.votes.get(key), input.observations.get(node)?.get(t.id), t.check);
      const poll = polls.get(t.id) ?? { asked: [], up: [], down: [] };
      polls.set(t.id, poll);
      poll.asked.push(node);
      if (vote === undefined) continue;
      votes.set(key, vote);
      poll[vote ? 'up' : 'down'].push(node);
      seen += 1;
      if (!vote) failures += 1;
    }
    if (seen > 0 && seen === failures) blind.add(node);
  }
  const minority = alive.length * 2 < input.nodes.length;
  const down = new Set<TargetId>();
  for (const t of input.targets) {
    const was = before.down.has(t.id);
    if (minority ? was : isDown(polls.get(t.id), was, blind)) down.add(t.id);
  }
  return { votes, down };
}

function isDown(poll: Poll | undefined, was: boolean, blind: ReadonlySet<string>): boolean {
  if (poll === undefined) return was;
  const quorum = Math.floor(poll.asked.length / 2) + 1;
  if (poll.up.length >= quorum) return false;
  if (poll.down.length < quorum) return was;
  const seeing = poll.down.some((n) => !blind.has(n));
  const shared = poll.asked.length > 1 && poll.down.length === poll.asked.length;
  return seeing || shared ? true : was;
}
