// `axoneme lb run`: puts the balancer together and runs it until it is told to stop. What is in the kernel goes on without it. Called by the
// command line and by tests.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assertAlone, type BalancerNode, type BalancerNodeConfig, createBalancerNode, removeBalancer } from '@axoneme/agent';
import { AppError, describeError, type Log, systemClock } from '@axoneme/std';
import { createHealthRegistry, createLog, createMetrics, createTelemetryServer, type LogLevel, type Metrics } from '@axoneme/telemetry';
import { type Balancer, createBalancer } from './balancer.ts';
import { serveControl } from './control.ts';
import { followFile } from './follow-file.ts';
import { createMemory, type Memory } from './memory.ts';
import { problemsError, problemText, readStateFile } from './state-file.ts';
import { readServices, readStatus } from './status.ts';

export interface LbOptions extends Omit<BalancerNodeConfig, 'name' | 'objectsDir'> {
  readonly file: string;
  readonly socket: string;
  /** 127.0.0.1 port of health and metrics; 0 chooses one, -1 turns it off. */
  readonly healthPort: number;
  /** Empty: those of this checkout or image. */
  readonly objectsDir: string;
  readonly logLevel: LogLevel;
}

const createLbLog = (level: LogLevel): Log => createLog({ app: 'balancer', level, format: process.stderr.isTTY ? 'pretty' : 'json' });

const verifyMs = 300_000;
const builtObjects = fileURLToPath(new URL('../../../../bpf/build', import.meta.url));

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AppError({ code: 'cli/no-file', message: `${path} cannot be read: ${describeError(cause)}`, hint: 'see --file', cause });
  }
};

interface Running {
  readonly node: BalancerNode;
  readonly balancer: Balancer;
  readonly memory: Memory;
  readonly log: Log;
  readonly file: string;
  /** Why the file as it is now does not run. */
  problems: readonly string[];
}

const vipsOf = (b: Balancer): ReadonlySet<string> => new Set(b.spec.services.flatMap((s) => s.vips.map((v) => v.address)));

/** A file that is wrong, or cannot be written, changes nothing. */
async function takeText(r: Running, text: string): Promise<boolean> {
  const read = readStateFile(text);
  const done = read.ok ? await r.balancer.take(read.spec) : undefined;
  if (read.ok && done?.ok) {
    r.problems = [];
    r.memory.keepGood(text);
    r.node.configure(vipsOf(r.balancer));
    r.log.info('file in force', { file: r.file, services: read.spec.services.length });
    return true;
  }
  r.problems = read.ok ? [done?.ok === false ? describeError(done.error) : ''] : read.problems.map((p) => problemText(r.file, p));
  r.log.error('file not taken, the one before stays in force', { file: r.file, problems: r.problems });
  return false;
}

/** The first file has to be right, unless an earlier run left one that was. */
async function begin(r: Running): Promise<string> {
  const text = readText(r.file);
  if (await takeText(r, text)) return text;
  const read = readStateFile(text);
  const earlier = r.node.adopted ? r.memory.lastGood() : undefined;
  const before = earlier === undefined ? undefined : readStateFile(earlier);
  if (before?.ok !== true) {
    if (!read.ok) throw problemsError(r.file, read.problems);
    throw new AppError({ code: 'balancer/not-written', message: r.problems.join('\n') });
  }
  const done = await r.balancer.take(before.spec);
  if (!done.ok) throw done.error;
  r.node.configure(vipsOf(r.balancer));
  return text;
}

function observe(metrics: Metrics, r: Running): void {
  const { balancer, node } = r;
  node.observe(metrics);
  metrics.observed({ name: 'lb_backends', help: 'Backends by service and state.', labels: ['service', 'state'] }, () => {
    const found = new Map<string, [{ service: string; state: string }, number]>();
    for (const s of readServices(balancer, node, 0, false))
      for (const { state } of s.backends) {
        const at = `${s.name} ${state}`;
        found.set(at, [{ service: s.name, state }, (found.get(at)?.[1] ?? 0) + 1]);
      }
    return found.values();
  });
  metrics.observed({ name: 'lb_failing_targets', help: 'Targets of probes that fail.' }, () => balancer.down.size);
  metrics.observed({ name: 'lb_probes_waiting', help: 'Probes that wait for room.' }, () => node.prober.load().waiting);
  metrics.observed({ name: 'lb_file_in_force', help: 'Whether the file as it is now is in force.' }, () =>
    r.problems.length === 0 ? 1 : 0,
  );
  metrics.observed({ name: 'lb_maglev_tables_computed', help: 'Maglev tables computed since the start.' }, () => balancer.tablesComputed());
}

/** Rejects when it cannot run here. */
async function start(o: LbOptions, log: Log): Promise<Running & { readonly text: string }> {
  await assertAlone(o.socket);
  const memory = createMemory(o.stateDir, log);
  const config = { ...o, name: 'balancer', objectsDir: o.objectsDir === '' ? builtObjects : o.objectsDir };
  let news = (): void => undefined;
  const node = await createBalancerNode(config, () => news(), log);
  const balancer = createBalancer({ node, clock: systemClock, log, onDown: memory.keepDown }, memory.down());
  news = balancer.poke;
  const r: Running = { node, balancer, memory, log, file: o.file, problems: [] };
  try {
    return Object.assign(r, { text: await begin(r) });
  } catch (e) {
    stop(r);
    throw e;
  }
}

function stop(r: Running): void {
  r.balancer.stop();
  r.node.prober.stop();
}

/** Health, metrics and the socket; returns what ends the socket. */
async function serve(r: Running, o: LbOptions, signal: AbortSignal): Promise<() => void> {
  const { balancer, node, log } = r;
  const health = createHealthRegistry();
  health.register({ name: 'datapath', health: () => node.health() });
  health.register({ name: 'acceleration', health: () => node.xdp() });
  health.register({ name: 'tables', health: () => balancer.health() });
  health.register({
    name: 'file',
    health: () => (r.problems.length === 0 ? { state: 'ok' } : { state: 'degraded', reason: r.problems[0] ?? '' }),
  });
  const components = () =>
    health.components().map((c) => ({ name: c.name, state: c.health.state, reason: c.health.state === 'ok' ? '' : c.health.reason }));
  const status = () =>
    readStatus(balancer, node, { file: o.file, problems: r.problems, components: components(), nowMs: systemClock.monotonicMs() });
  const control = await serveControl(o.socket, { status, explain: balancer.explain }, log);
  const metrics = createMetrics({ process: true });
  observe(metrics, r);
  if (o.healthPort >= 0) {
    const server = createTelemetryServer({ health, metrics, log }, { host: '127.0.0.1', port: o.healthPort });
    await server.start(signal);
    log.info('health and metrics served', { port: server.port() });
  }
  return control.stop;
}

/** Follows the file, the machine's addresses and whoever touches our tables; returns what waits for the work at hand. */
function follow(r: Running, text: string, signal: AbortSignal): () => Promise<unknown> {
  const { balancer, node, log, file } = r;
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = (work: () => unknown): void => {
    turn = turn.then(work).catch((e: unknown) => log.error('the balancer stumbled', { error: e }));
  };
  const lost = (reason: string): void => {
    r.problems = [`${file}: ${reason}`];
    log.error('file cannot be read, what it said last stays in force', { file, reason });
  };
  followFile(file, text, { text: (now) => inTurn(() => takeText(r, now)), lost }, { clock: systemClock, signal });
  node.watch(signal, () => {
    inTurn(() => node.configure(vipsOf(balancer)));
    balancer.poke();
  });
  const verify = setInterval(() => {
    const drift = node.verify();
    if (drift > 0) log.error('kernel tables were changed by somebody else and have been repaired', { rows: drift });
  }, verifyMs);
  signal.addEventListener('abort', () => clearInterval(verify));
  return () => turn;
}

/** Resolves when `signal` aborts and everything that ran is stopped; rejects when it cannot run here. */
export async function runLb(o: LbOptions, signal: AbortSignal, log: Log = createLbLog(o.logLevel)): Promise<void> {
  const r = await start(o, log);
  const life = new AbortController();
  try {
    const close = await serve(r, o, life.signal);
    const settled = follow(r, r.text, life.signal);
    log.info('balancing', { file: o.file, devices: r.node.devices, adopted: r.node.adopted });
    await new Promise<void>((resolve) => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true })));
    log.info('stopping, the datapath goes on', {});
    life.abort();
    close();
    await settled();
  } finally {
    life.abort();
    stop(r);
  }
}

/** Takes a stopped balancer off this machine. Errors: `agent/already-running`. */
export async function removeLb(o: Pick<LbOptions, 'socket' | 'bpffs' | 'stateDir' | 'devices'>): Promise<readonly string[]> {
  await assertAlone(o.socket);
  return removeBalancer(o);
}
