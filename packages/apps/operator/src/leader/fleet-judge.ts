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

const INPUTS = ['fleets', 'nodes', 'probers'] as const;

type Results = ReadonlyMap<string, ReadonlyMap<TargetId, Heard>>;

/** A result from before this does not say how it is now. */
const staleMs = ({ check }: ProbeTarget): number => 3 * (check.intervalMs + check.timeoutMs);

/** What counts of what was heard: fresh results of those who are to ask. */
function freshOf(f: FleetState, results: Results, now: number): Map<string, Map<TargetId, Heard>> {
  const out = new Map<string, Map<TargetId, Heard>>();
  for (const [node, targets] of f.plan) {
    const heard = results.get(node);
    if (heard === undefined) continue;
    const fresh = new Map<TargetId, Heard>();
    for (const t of targets) {
      const o = heard.get(t.id);
      if (o !== undefined && now - o.atMs < staleMs(t)) fresh.set(t.id, o);
    }
    out.set(node, fresh);
  }
  return out;
}

/** With the reason of the first node by name; what failed before keeps its own. */
function downOf(state: HealthState, before: DownRow, fresh: Results): DownRow {
  const nodes = [...fresh.keys()].sort();
  const reason = (id: TargetId): string => {
    const told = nodes.flatMap((n) => {
      const o = fresh.get(n)?.get(id);
      return o === undefined || o.ok || o.reason === '' ? [] : [`node ${n}: ${o.reason}`];
    });
    return told[0] ?? '';
  };
  return new Map([...state.down].sort().map((id) => [id, before.get(id) ?? reason(id)]));
}

const sameKeys = (a: DownRow | undefined, b: DownRow): boolean => a?.size === b.size && [...b.keys()].every((id) => a.has(id));

export function createFleetJudge({ world, clock, log, fleets }: FleetJudgeDeps): FleetJudge {
  const results = new Map<string, Map<TargetId, Heard>>();
  const held = new Map<string, { readonly uid: string; readonly state: HealthState }>();
  const due = new Set<string>();
  let leads = false;
  let planned = false;

  const judge = (f: FleetState): void => {
    const mine = held.get(f.name);
    const before: HealthState = mine?.uid === f.uid ? mine.state : { votes: new Map(), down: new Set(f.down.keys()) };
    const fresh = freshOf(f, results, clock.monotonicMs());
    const alive = new Set(f.alive);
    const nodes = f.selected.map((name) => ({ name, alive: alive.has(name) }));
    const state = judgeHealth(before, { targets: [...f.targets.values()], nodes, observations: fresh, plan: f.plan });
    held.set(f.name, { uid: f.uid, state });
    const row = downOf(state, f.down, fresh);
    for (const [id, reason] of row)
      if (!before.down.has(id)) log.warn('backend of a fleet fails its checks', { fleet: f.name, target: id, reason });
    for (const id of before.down)
      if (!row.has(id) && f.targets.has(id)) log.info('backend of a fleet passes its checks again', { fleet: f.name, target: id });
    if (!sameKeys(world.tables.downTargets.get(f.name), row)) world.set('downTargets', f.name, row);
  };
  const run = (): void => {
    planned = false;
    const names = [...due];
    due.clear();
    if (!leads) return;
    for (const name of names) {
      const f = fleets().get(name);
      if (f !== undefined) judge(f);
      else {
        held.delete(name);
        world.remove('downTargets', name);
      }
    }
  };
  const mark = (names: Iterable<string>): void => {
    if (!leads) return;
    for (const name of names) due.add(name);
    if (planned || due.size === 0) return;
    planned = true;
    clock.after(QUIET_MS, run);
  };
  const forget = (): void => {
    for (const [node, heard] of results) {
      if (!world.tables.nodes.has(node)) results.delete(node);
      for (const id of heard.keys()) if (![...fleets().values()].some((f) => f.targets.has(id))) heard.delete(id);
    }
  };
  /** What changes no vote is nobody's business: most results are of backends that go on serving. */
  const matters = (f: FleetState, before: Heard | undefined, p: ProbeReport): boolean => {
    const target = f.targets.get(p.id);
    if (target === undefined) return false;
    return !p.ok || before?.ok !== true || f.down.has(p.id) || p.streak <= target.check.rise;
  };

  return {
    report(node, probes, full) {
      if (probes.length === 0 && !full) return;
      const now = clock.monotonicMs();
      const before = results.get(node);
      const next = full || before === undefined ? new Map<TargetId, Heard>() : before;
      const asked = [...fleets().values()].filter((f) => f.plan.has(node));
      const news = new Set<string>();
      for (const p of probes) {
        const old = before?.get(p.id);
        for (const f of asked) if (matters(f, old, p)) news.add(f.name);
        next.set(p.id, { ok: p.ok, streak: p.streak, seen: p.seen, reason: p.reason, atMs: now - p.ageMs });
      }
      results.set(node, next);
      mark(news);
    },
    compiled(dirty) {
      if (!INPUTS.some((t) => dirty.has(t))) return;
      forget();
      mark([...fleets().keys(), ...held.keys()]);
    },
    lead(now) {
      if (leads === now) return;
      leads = now;
      held.clear();
      // who does not judge keeps to what the status says
      for (const name of [...world.tables.downTargets.keys()]) world.remove('downTargets', name);
      mark(fleets().keys());
    },
  };
}
