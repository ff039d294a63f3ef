// The stand-alone balancer at work: a spec and results of probes in, rows of this node out. One thing at a time; what comes meanwhile waits for
// the next turn. A spec that cannot be written leaves the one before. Called by run.ts.
import type { BalancerNode } from '@axoneme/agent';
import type { IpAddr } from '@axoneme/model';
import {
  type BalancerSpec,
  compileBalancer,
  createMaglevTables,
  type Explanation,
  explainBalancer,
  type HealthState,
  judgeHealth,
  noHealth,
  type Observation,
  probeTargets,
  type TargetId,
  type Tuple,
} from '@axoneme/service';
import { type Clock, createBackoff, describeError, type Health, type Log, ok, type Result, type Timer } from '@axoneme/std';
import { createPacker } from './artifacts.ts';

export interface BalancerDeps {
  readonly node: BalancerNode;
  readonly clock: Clock;
  readonly log: Log;
  /** Told whenever another set of backends fails its checks. */
  readonly onDown: (down: ReadonlySet<TargetId>) => void;
}

export interface Balancer {
  /** Brings a new spec into the kernel, or says why not. */
  take(spec: BalancerSpec): Promise<Result<void>>;
  /** Something may be to do: results, addresses. */
  poke(): void;
  readonly spec: BalancerSpec;
  readonly down: ReadonlySet<TargetId>;
  explain(tuple: Tuple): Explanation;
  /** Maglev tables computed since the start. */
  tablesComputed(): number;
  health(): Health;
  stop(): void;
}

const empty: BalancerSpec = { maglevSize: 16_381, noBackend: 'reject', services: [] };
/** The name does not matter: it asks everything. */
const self = 'here';

/** `down`: what failed its checks when this balancer last ran. */
export function createBalancer({ node, clock, log, onDown }: BalancerDeps, down: ReadonlySet<TargetId>): Balancer {
  const tables = createMaglevTables();
  const packer = createPacker(tables);
  const backoff = createBackoff({ baseMs: 200, maxMs: 5_000 });
  let spec = empty;
  let health: HealthState = { ...noHealth, down };
  let held = '';
  let problem = '';
  let queue: Promise<unknown> = Promise.resolve();
  let asked: Timer | undefined;
  let stopped = false;

  const judge = (s: BalancerSpec): HealthState => {
    const now = clock.monotonicMs();
    const targets = probeTargets(s);
    const fresh = new Map<TargetId, Observation>();
    const results = node.prober.results();
    for (const t of targets) {
      const r = results.get(t.id);
      // a result from before this machine slept says nothing
      if (r !== undefined && now - r.atMs < 3 * (t.check.intervalMs + t.check.timeoutMs)) fresh.set(t.id, r);
    }
    return judgeHealth(health, { targets, nodes: [{ name: self, alive: true }], observations: new Map([[self, fresh]]) });
  };
  const factsOf = (s: BalancerSpec, h: HealthState): string => JSON.stringify([s, [...h.down].sort(), node.own]);

  /** Errors: those of the node's tables. */
  const write = async (s: BalancerSpec): Promise<Result<void>> => {
    const next = judge(s);
    const facts = factsOf(s, next);
    if (facts !== held) {
      const started = clock.monotonicMs();
      const done = await node.hold(packer.pack(compileBalancer(s, next.down, node.own as IpAddr[]), s.maglevSize));
      if (!done.ok) return done;
      held = facts;
      const { revision, changed, removed } = done.value;
      log.info('tables written', { revision, changed, removed, tookMs: Math.round(clock.monotonicMs() - started) });
    }
    tell(s, health.down, next.down);
    health = next;
    spec = s;
    node.prober.set(probeTargets(s));
    return ok(undefined);
  };
  const tell = (s: BalancerSpec, before: ReadonlySet<TargetId>, now: ReadonlySet<TargetId>): void => {
    const known = new Set(probeTargets(s).map((t) => t.id));
    const results = node.prober.results();
    for (const id of now) if (!before.has(id)) log.warn('backend fails its checks', { target: id, reason: results.get(id)?.reason ?? '' });
    for (const id of before) if (!now.has(id) && known.has(id)) log.info('backend passes its checks again', { target: id });
    if (now.size !== before.size || [...now].some((id) => !before.has(id))) onDown(now);
  };
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = queue.then(work);
    queue = next.catch(() => undefined);
    return next;
  };
  const poke = (afterMs = 0): void => {
    if (stopped) return;
    asked ??= clock.after(afterMs, () => {
      asked = undefined;
      void inTurn(() => write(spec)).then(
        (done) => settle(done.ok ? '' : describeError(done.error)),
        (e: unknown) => settle(describeError(e)),
      );
    });
  };
  const settle = (why: string): void => {
    if (why === '') backoff.reset();
    else log.error('tables not written', { reason: why });
    problem = why;
    if (why !== '') poke(backoff.nextMs());
  };

  return {
    take: (s) => inTurn(() => write(s)),
    poke: () => poke(),
    get spec() {
      return spec;
    },
    get down() {
      return health.down;
    },
    explain: (tuple) => explainBalancer(spec, health.down, tuple, tables, node.own as IpAddr[]),
    tablesComputed: () => tables.computed(),
    health: () => (problem === '' ? { state: 'ok' } : { state: 'degraded', reason: problem }),
    stop() {
      stopped = true;
      asked?.cancel();
    },
  };
}
