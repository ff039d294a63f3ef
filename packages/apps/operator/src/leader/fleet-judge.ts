// Leader duty: which backends of load balancer fleets fail their checks, by what the fleets' nodes report. What is believed is a row of the world
// that the next compile follows, and is written into the status. Results are kept by every replica: whoever leads next has heard them.
// Called by wiring.ts.
import type { ProbeReport } from '@axoneme/proto';
import { type HealthState, judgeHealth, type Observation, type ProbeTarget, type TargetId } from '@axoneme/service';
import type { Clock, Log } from '@axoneme/std';
import type { FleetState } from '../compile/fleets.ts';
import type { DownRow } from '../world/rows.ts';
import type { Dirty, World } from '../world/world.ts';

export interface FleetJudge {
  /** `full`: it knows no more than this. */
  report(node: string, probes: readonly ProbeReport[], full: boolean): void;
  /** After a compile: fleets, their nodes and who asks may be others. */
  compiled(dirty: Dirty): void;
  /** From now on this replica judges, beginning with what the status says; or no more. */
  lead(leads: boolean): void;
}

export interface FleetJudgeDeps {
  readonly world: World;
  readonly clock: Clock;
  readonly log: Log;
  /** As of the last compile. */
  readonly fleets: () => ReadonlyMap<string, FleetState>;
}

/** Agents without it check nothing. */
export const PROBES_FEATURE = 'probes';
/** Results that come together are judged together. */
const QUIET_MS = 5;

interface Heard extends Observation {
  readonly reason: string;
  readonly atMs: number;
}

/** `part` is about `targets` alone. */
function merged(before: HealthState, part: HealthState, targets: readonly ProbeTarget[]): HealthState {
  const down = new Set(before.down);
  for (const { id } of targets) if (!part.down.has(id)) down.delete(id);
  for (const id of part.down) down.add(id);
  // votes of others are as they were; those of nodes that ask no more are left out when the whole is judged
  const votes = before.votes as Map<string, boolean>;
  for (const [key, vote] of part.votes) votes.set(key, vote);
  return { votes, down };
}

const INPUTS = ['fleets', 'nodes', 'probers'] as const;

type Results = ReadonlyMap<string, ReadonlyMap<TargetId, Heard>>;

/** A result from before this does not say how it is now. */
const staleMs = ({ check }: ProbeTarget): number => 3 * (check.intervalMs + check.timeoutMs);

/** Who asks a target. */
type Askers = ReadonlyMap<TargetId, readonly string[]>;

/** Of a plan: made once. */
function createAskers(): (plan: FleetState['plan']) => Askers {
  const memo = new WeakMap<FleetState['plan'], Askers>();
  return (plan) => {
    const known = memo.get(plan);
    if (known !== undefined) return known;
    const askers = new Map<TargetId, string[]>();
    for (const [node, targets] of plan)
      for (const { id } of targets) {
        const list = askers.get(id);
        if (list === undefined) askers.set(id, [node]);
        else list.push(node);
      }
    memo.set(plan, askers);
    return askers;
  };
}

/** The part of a plan that is about some targets, and what counts of what was heard of them: fresh results of those who are to ask. */
function partOf(targets: readonly ProbeTarget[], askers: Askers, results: Results, now: number) {
  const plan = new Map<string, ProbeTarget[]>();
  const fresh = new Map<string, Map<TargetId, Heard>>();
  for (const t of targets)
    for (const node of askers.get(t.id) ?? []) {
      const list = plan.get(node) ?? [];
      plan.set(node, list);
      list.push(t);
      const heard = results.get(node)?.get(t.id);
      if (heard === undefined || now - heard.atMs >= staleMs(t)) continue;
      const mine = fresh.get(node) ?? new Map<TargetId, Heard>();
      fresh.set(node, mine);
      mine.set(t.id, heard);
    }
  return { plan, fresh };
}

/** Of the first node by name that says why. */
function reasonOf(id: TargetId, fresh: Results): string {
  for (const node of [...fresh.keys()].sort()) {
    const heard = fresh.get(node)?.get(id);
    if (heard?.ok === false && heard.reason !== '') return `node ${node}: ${heard.reason}`;
  }
  return '';
}

const sameKeys = (a: DownRow | undefined, b: DownRow): boolean => a?.size === b.size && [...b.keys()].every((id) => a.has(id));

export function createFleetJudge({ world, clock, log, fleets }: FleetJudgeDeps): FleetJudge {
  const results = new Map<string, Map<TargetId, Heard>>();
  const held = new Map<string, { readonly uid: string; readonly state: HealthState }>();
  /** Targets that news are of; undefined: all of the fleet. */
  const due = new Map<string, Set<TargetId> | undefined>();
  const askersOf = createAskers();
  let leads = false;
  let planned = false;

  /** Only what news are of: a fleet may have very many backends. */
  const judge = (f: FleetState, some: ReadonlySet<TargetId> | undefined): void => {
    const mine = held.get(f.name);
    const known = mine?.uid === f.uid;
    const before: HealthState = known ? mine.state : { votes: new Map(), down: new Set(f.down.keys()) };
    const whole = some === undefined || !known;
    const targets = whole ? [...f.targets.values()] : [...some].flatMap((id) => f.targets.get(id) ?? []);
    const { plan, fresh } = partOf(targets, askersOf(f.plan), results, clock.monotonicMs());
    const alive = new Set(f.alive);
    const nodes = f.selected.map((name) => ({ name, alive: alive.has(name) }));
    const part = judgeHealth(before, { targets, nodes, observations: fresh, plan });
    const state = whole ? part : merged(before, part, targets);
    held.set(f.name, { uid: f.uid, state });
    follow(f, before.down, state.down, fresh);
  };
  const follow = (f: FleetState, before: ReadonlySet<TargetId>, now: ReadonlySet<TargetId>, fresh: Results): void => {
    const row = new Map([...now].sort().map((id) => [id, f.down.get(id) ?? reasonOf(id, fresh)]));
    for (const [target, reason] of row)
      if (!before.has(target)) log.warn('backend of a fleet fails its checks', { fleet: f.name, target, reason });
    for (const target of before)
      if (!row.has(target) && f.targets.has(target)) log.info('backend of a fleet passes its checks again', { fleet: f.name, target });
    if (!sameKeys(world.tables.downTargets.get(f.name), row)) world.set('downTargets', f.name, row);
  };
  const run = (): void => {
    planned = false;
    const names = [...due];
    due.clear();
    if (!leads) return;
    for (const [name, some] of names) {
      const f = fleets().get(name);
      if (f !== undefined) judge(f, some);
      else {
        held.delete(name);
        world.remove('downTargets', name);
      }
    }
  };
  const wake = (): void => {
    if (planned || due.size === 0) return;
    planned = true;
    clock.after(QUIET_MS, run);
  };
  const markAll = (names: Iterable<string>): void => {
    if (!leads) return;
    for (const name of names) due.set(name, undefined);
    wake();
  };
  const mark = (fleet: string, id: TargetId): void => {
    if (!leads || (due.has(fleet) && due.get(fleet) === undefined)) return;
    const some = due.get(fleet) ?? new Set<TargetId>();
    due.set(fleet, some.add(id));
    wake();
  };
  const forget = (): void => {
    for (const [node, heard] of results) {
      if (!world.tables.nodes.has(node)) results.delete(node);
      for (const id of heard.keys()) if (![...fleets().values()].some((f) => f.targets.has(id))) heard.delete(id);
    }
  };
  /** What says what is believed already is nobody's business: most results are of backends that go on serving. */
  const matters = (f: FleetState, node: string, p: ProbeReport): boolean => {
    if (!f.targets.has(p.id)) return false;
    const state = held.get(f.name)?.state;
    return state === undefined || state.votes.get(`${node}\n${p.id}`) !== p.ok || state.down.has(p.id) === p.ok;
  };

  return {
    report(node, probes, full) {
      if (probes.length === 0 && !full) return;
      const now = clock.monotonicMs();
      const before = results.get(node);
      const next = full || before === undefined ? new Map<TargetId, Heard>() : before;
      const asked = [...fleets().values()].filter((f) => f.plan.has(node));
      for (const p of probes) {
        for (const f of asked) if (matters(f, node, p)) mark(f.name, p.id);
        next.set(p.id, { ok: p.ok, streak: p.streak, seen: p.seen, reason: p.reason, atMs: now - p.ageMs });
      }
      results.set(node, next);
    },
    compiled(dirty) {
      if (!INPUTS.some((t) => dirty.has(t))) return;
      forget();
      markAll([...fleets().keys(), ...held.keys()]);
    },
    lead(now) {
      if (leads === now) return;
      leads = now;
      held.clear();
      // who does not judge keeps to what the status says
      for (const name of [...world.tables.downTargets.keys()]) world.remove('downTargets', name);
      markAll(fleets().keys());
    },
  };
}
