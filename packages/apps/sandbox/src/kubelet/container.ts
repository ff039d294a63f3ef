// One container through its life: start, restart with backoff, stop. Reports every change; knows nothing of pods or of the API.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { type Backoff, type Clock, createBackoff } from '@axoneme/std';
import { createCgroup, destroyCgroup } from '../nodes/cgroup.ts';
import { writeSteps } from '../nodes/holder.ts';
import { openPipes, type Pipes } from '../nodes/pipes.ts';
import { createLogFile, type LogFile } from './log-file.ts';

export type ContainerState =
  | { readonly kind: 'waiting'; readonly reason: string; readonly message?: string }
  | { readonly kind: 'running'; readonly startedAtMs: number; readonly pid: number }
  | {
      readonly kind: 'terminated';
      readonly exitCode: number;
      readonly signal?: number;
      readonly reason: string;
      readonly message?: string;
      readonly startedAtMs: number;
      readonly finishedAtMs: number;
    };

export type Terminated = Extract<ContainerState, { kind: 'terminated' }>;
export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

/** What a start needs; made anew before every start because tokens, ConfigMaps and addresses change. */
export type LaunchPlan =
  | { readonly ok: true; readonly steps: readonly string[]; readonly env: Readonly<Record<string, string>>; readonly stdin: boolean }
  | { readonly ok: false; readonly reason: string; readonly message: string };

export interface ContainerConfig {
  readonly name: string;
  readonly sbx: string;
  /** cgroup directory on the machine. */
  readonly cgroup: string;
  /** Directory for steps, log and pid file. */
  readonly dir: string;
  readonly restartPolicy: RestartPolicy;
  readonly plan: () => Promise<LaunchPlan>;
  readonly onChange: () => void;
}

export interface ContainerRuntime {
  readonly name: string;
  readonly cgroup: string;
  state(): ContainerState;
  lastTermination(): Terminated | undefined;
  restartCount(): number;
  /** The running process, else undefined. */
  child(): ChildProcess | undefined;
  /** Standard streams of the running process. */
  pipes(): Pipes | undefined;
  log(): LogFile | undefined;
  previousLogPath(): string | undefined;
  /** Runs until the restart policy says it is over, or `signal` aborts. */
  run(signal: AbortSignal): Promise<Terminated | undefined>;
  /** SIGTERM now, SIGKILL after the grace. Resolves when nothing is left. */
  stop(graceMs: number, before?: () => Promise<void>): Promise<void>;
  /** Ends the current run; the restart policy decides what follows. */
  restart(graceMs: number): Promise<void>;
}

const RESTART_BASE_MS = 400;
const RESTART_MAX_MS = 8000;
const STABLE_MS = 20_000;
const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};
const EXIT_SBX = 125;
/** A pipe that somebody outside the container keeps open is not waited for. */
const DRAIN_MS = 500;

class Container implements ContainerRuntime {
  readonly name: string;
  readonly cgroup: string;
  readonly #c: ContainerConfig;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  #state: ContainerState = { kind: 'waiting', reason: 'ContainerCreating' };
  #last: Terminated | undefined;
  #restarts = 0;
  #child: ChildProcess | undefined;
  #pipes: Pipes | undefined;
  #exited: Promise<void> = Promise.resolve();
  #log: LogFile | undefined;
  #logNumber = 0;

  constructor(c: ContainerConfig, clock: Clock) {
    this.name = c.name;
    this.cgroup = c.cgroup;
    this.#c = c;
    this.#clock = clock;
    this.#backoff = createBackoff({ baseMs: RESTART_BASE_MS, maxMs: RESTART_MAX_MS });
  }

  state = (): ContainerState => this.#state;
  lastTermination = (): Terminated | undefined => this.#last;
  restartCount = (): number => this.#restarts;
  child = (): ChildProcess | undefined => this.#child;
  pipes = (): Pipes | undefined => this.#pipes;
  log = (): LogFile | undefined => this.#log;
  previousLogPath = (): string | undefined => (this.#logNumber > 1 ? this.#logPath(this.#logNumber - 1) : undefined);
  #logPath = (n: number): string => `${this.#c.dir}/${n - 1}.log`;

  #set(state: ContainerState): void {
    this.#state = state;
    this.#c.onChange();
  }

  async run(signal: AbortSignal): Promise<Terminated | undefined> {
    while (!signal.aborted) {
      const t = await this.#runOnce(signal);
      if (signal.aborted) return this.#last;
      if (t !== undefined) {
        const again = this.#c.restartPolicy === 'Always' || (this.#c.restartPolicy === 'OnFailure' && t.exitCode !== 0);
        if (!again) return t;
        if (t.finishedAtMs - t.startedAtMs > STABLE_MS) this.#backoff.reset();
      }
      await this.#pause(t, signal);
    }
    return this.#last;
  }

  /** First restart at once, later ones with growing pauses, as users know it. */
  async #pause(t: Terminated | undefined, signal: AbortSignal): Promise<void> {
    if (t !== undefined) this.#restarts++;
    if (this.#restarts === 1 && t !== undefined) return;
    const delayMs = this.#backoff.nextMs();
    if (t !== undefined) {
      this.#set({ kind: 'waiting', reason: 'CrashLoopBackOff', message: `back-off ${delayMs}ms restarting failed container=${this.name}` });
    }
    await this.#clock.sleep(delayMs, signal);
  }

  /** One process from start to end; undefined when it could not be started. */
  async #runOnce(signal: AbortSignal): Promise<Terminated | undefined> {
    const plan = await this.#c.plan();
    if (signal.aborted) return undefined;
    if (!plan.ok) {
      this.#set({ kind: 'waiting', reason: plan.reason, message: plan.message });
      return undefined;
    }
    createCgroup(this.cgroup);
    const log = createLogFile(this.#logPath(++this.#logNumber), this.#clock);
    this.#log = log;
    const startedAtMs = this.#clock.nowMs();
    const file = writeSteps(`${this.#c.dir}/steps`, plan.steps);
    const pipes = await openPipes(this.#c.sbx, plan.stdin);
    const child = spawn(this.#c.sbx, [file], { stdio: [...pipes.stdio], env: { ...plan.env }, detached: true });
    pipes.started();
    const done = Promise.withResolvers<Terminated>();
    this.#exited = done.promise.then(() => undefined);
    pipes.stdout.on('data', (d: Buffer) => log.write('stdout', d));
    pipes.stderr.on('data', (d: Buffer) => log.write('stderr', d));
    child.on('error', (e) => done.resolve(this.#terminated(EXIT_SBX, null, startedAtMs, e.message)));
    child.on('exit', (code, sig) => {
      // as when process 1 of a real container ends: whatever it left behind ends too
      void destroyCgroup(this.cgroup)
        .catch(() => undefined)
        .then(() => Promise.race([pipes.drained(), this.#clock.sleep(DRAIN_MS)]))
        .then(() => done.resolve(this.#terminated(code, sig, startedAtMs, lastWords(log, code))));
    });
    if (child.pid !== undefined) {
      this.#child = child;
      this.#pipes = pipes;
      writeFileSync(`${this.#c.dir}/pid`, `${child.pid}\n`);
      this.#set({ kind: 'running', startedAtMs, pid: child.pid });
    }
    const t = await done.promise;
    log.end();
    this.#child = undefined;
    this.#pipes = undefined;
    this.#last = t;
    this.#set(t);
    return t;
  }

  #terminated(code: number | null, sig: NodeJS.Signals | null, startedAtMs: number, message: string | undefined): Terminated {
    const signal = sig === null ? undefined : (SIGNALS[sig] ?? 0);
    const exitCode = code ?? 128 + (signal ?? 0);
    const reason = exitCode === 0 ? 'Completed' : exitCode === EXIT_SBX || exitCode === 127 || exitCode === 126 ? 'StartError' : 'Error';
    return {
      kind: 'terminated',
      exitCode,
      reason,
      startedAtMs,
      finishedAtMs: this.#clock.nowMs(),
      ...(signal === undefined ? {} : { signal }),
      ...(message === undefined ? {} : { message }),
    };
  }

  async stop(graceMs: number, before?: () => Promise<void>): Promise<void> {
    const child = this.#child;
    if (child !== undefined) {
      const timer = this.#clock.after(graceMs, () => void destroyCgroup(this.cgroup).catch(() => undefined));
      if (before !== undefined) await Promise.race([before(), this.#exited]);
      if (graceMs > 0) child.kill('SIGTERM');
      await this.#exited;
      timer.cancel();
    }
    await destroyCgroup(this.cgroup);
  }

  async restart(graceMs: number): Promise<void> {
    await this.stop(graceMs);
  }
}

function lastWords(log: LogFile, code: number | null): string | undefined {
  if (code !== EXIT_SBX && code !== 126 && code !== 127) return undefined;
  return log.lines().at(-1)?.text;
}

export const createContainer = (c: ContainerConfig, clock: Clock): ContainerRuntime => new Container(c, clock);
