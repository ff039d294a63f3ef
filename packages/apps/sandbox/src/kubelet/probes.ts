// Probes of one container: exec inside it, HTTP and TCP from the node. Until the first success a readiness probe runs more often than
// its period, so that a pod that is ready is seen as ready.
import type { Clock, Timer } from '@axoneme/std';
import type { Container, ContainerPort, HttpGet, Probe } from './pod-types.ts';

export interface ProbeRunner {
  /** Runs argv in the container; resolves to its exit code and output. */
  exec(argv: readonly string[], timeoutMs: number): Promise<{ readonly code: number; readonly output: string }>;
  /** Runs one of sbx's probes, or any program, in the node's network. */
  fromNode(argv: readonly string[], timeoutMs: number): Promise<{ readonly code: number; readonly output: string }>;
  readonly podIp: () => string;
}

export interface ProbeSink {
  readonly onReady: (ready: boolean) => void;
  readonly onStarted: () => void;
  readonly onUnhealthy: (kind: 'Liveness' | 'Startup', message: string) => void;
  readonly onFailure: (kind: string, message: string) => void;
}

const EAGER_MS = 500;

export function portNumber(port: number | string, ports: readonly ContainerPort[]): number | undefined {
  if (typeof port === 'number') return port;
  return /^\d+$/.test(port) ? Number(port) : ports.find((p) => p.name === port)?.containerPort;
}

function httpArgv(h: HttpGet, c: Container, ip: string, timeoutMs: number): string[] | undefined {
  const port = portNumber(h.port, c.ports ?? []);
  if (port === undefined) return undefined;
  const host = h.host ?? ip;
  const path = h.path?.startsWith('/') === true ? h.path : `/${h.path ?? ''}`;
  if (h.scheme !== 'HTTPS') return ['httpprobe', host, String(port), String(timeoutMs), path];
  const shown = host.includes(':') ? `[${host}]` : host;
  return ['exec', 'curl', '-gksSf', '-o', '/dev/null', '-m', String(Math.ceil(timeoutMs / 1000)), `https://${shown}:${port}${path}`];
}

async function probeOnce(p: Probe, c: Container, r: ProbeRunner): Promise<{ readonly ok: boolean; readonly message: string }> {
  const timeoutMs = (p.timeoutSeconds ?? 1) * 1000;
  let result = { code: 0, output: '' };
  if (p.exec !== undefined) result = await r.exec(p.exec.command ?? [], timeoutMs);
  else if (p.httpGet !== undefined) {
    const argv = httpArgv(p.httpGet, c, r.podIp(), timeoutMs);
    if (argv === undefined) return { ok: false, message: `unknown port ${p.httpGet.port}` };
    result = await r.fromNode(argv, timeoutMs + EAGER_MS);
  } else {
    const port = p.grpc?.port ?? portNumber(p.tcpSocket?.port ?? 0, c.ports ?? []);
    result = await r.fromNode(['tcpprobe', p.tcpSocket?.host ?? r.podIp(), String(port ?? 0), String(timeoutMs)], timeoutMs + EAGER_MS);
  }
  return { ok: result.code === 0, message: result.output.trim() };
}

interface LoopState {
  successes: number;
  failures: number;
  ever: boolean;
  /** Before the first period is over a failure is nothing to report: the program is still starting. */
  early: boolean;
}

/** Runs one probe until `signal` aborts or `onResult` says it has seen enough. */
function loop(
  p: Probe,
  c: Container,
  r: ProbeRunner,
  clock: Clock,
  signal: AbortSignal,
  onResult: (ok: boolean, s: LoopState, message: string) => boolean,
): void {
  const s: LoopState = { successes: 0, failures: 0, ever: false, early: true };
  const startedMs = clock.monotonicMs();
  const periodMs = (p.periodSeconds ?? 10) * 1000;
  let timer: Timer | undefined;
  signal.addEventListener('abort', () => timer?.cancel(), { once: true });
  const tick = async (): Promise<void> => {
    if (signal.aborted) return;
    const { ok, message } = await probeOnce(p, c, r);
    if (signal.aborted) return;
    s.successes = ok ? s.successes + 1 : 0;
    s.failures = ok ? 0 : s.failures + 1;
    s.ever ||= ok;
    s.early = !s.ever && clock.monotonicMs() - startedMs < periodMs;
    if (onResult(ok, s, message)) return;
    timer = clock.after(s.ever ? periodMs : Math.min(EAGER_MS, periodMs), () => void tick());
  };
  timer = clock.after((p.initialDelaySeconds ?? 0) * 1000, () => void tick());
}

/** Starts the probes of a container that has just started; they end with `signal`. */
export function startProbes(c: Container, r: ProbeRunner, sink: ProbeSink, clock: Clock, signal: AbortSignal): void {
  const afterStart = (): void => {
    sink.onStarted();
    if (c.readinessProbe === undefined) sink.onReady(true);
    else {
      const p = c.readinessProbe;
      loop(p, c, r, clock, signal, (ok, s, message) => {
        if (!ok && !s.early) sink.onFailure('Readiness', message);
        if (s.successes >= (p.successThreshold ?? 1)) sink.onReady(true);
        else if (s.failures >= (p.failureThreshold ?? 3)) sink.onReady(false);
        return false;
      });
    }
    if (c.livenessProbe !== undefined) watchHealth('Liveness', c.livenessProbe, c, r, sink, clock, signal, () => false);
  };
  if (c.startupProbe === undefined) {
    afterStart();
    return;
  }
  watchHealth('Startup', c.startupProbe, c, r, sink, clock, signal, () => {
    afterStart();
    return true;
  });
}

function watchHealth(
  kind: 'Liveness' | 'Startup',
  p: Probe,
  c: Container,
  r: ProbeRunner,
  sink: ProbeSink,
  clock: Clock,
  signal: AbortSignal,
  onSuccess: () => boolean,
): void {
  const startedMs = clock.monotonicMs();
  const patienceMs = (p.failureThreshold ?? 3) * (p.periodSeconds ?? 10) * 1000;
  loop(p, c, r, clock, signal, (ok, s, message) => {
    if (ok) return onSuccess();
    if (!s.early) sink.onFailure(kind, message);
    // before the first success probes come early: count time, not tries
    const over = s.ever ? s.failures >= (p.failureThreshold ?? 3) : clock.monotonicMs() - startedMs >= patienceMs;
    if (over) sink.onUnhealthy(kind, message);
    return over;
  });
}
