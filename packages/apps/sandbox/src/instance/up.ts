// `up` from outside: starts the sandbox's process in the background, waits for it, installs Axoneme with Helm, hands out a handle.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@axoneme/std';
import { repoRoot } from '../images/registry.ts';
import { type RunOptions, type RunResult, run } from '../nodes/run.ts';
import { takeDown } from './down.ts';
import { type Inside, insideOf } from './inside.ts';
import { type FabricRecord, isAlive, kubeconfigPath, logPath, type NodeRecord, readState, type SandboxState, stateDirOf } from './state.ts';

export interface UpOptions {
  /** Default `default`. Several sandboxes with different ids run side by side. */
  readonly id?: string;
  readonly nodes?: number;
  readonly stateDir?: string;
  /** Use this API server instead of the embedded one. */
  readonly kubeconfig?: string;
  /** Install charts/axoneme; default true if the chart exists. */
  readonly install?: boolean;
  /** Extra arguments for `helm upgrade --install`, e.g. `['--set', 'tunnel=geneve']`. */
  readonly helmArgs?: readonly string[];
  /** Leave the sandbox running when the installation fails, to look at it. */
  readonly keepOnFailure?: boolean;
  readonly onProgress?: (text: string) => void;
}

export interface Sandbox extends Inside {
  readonly id: string;
  readonly stateDir: string;
  readonly kubeconfigPath: string;
  readonly nodes: readonly NodeRecord[];
  readonly fabric: FabricRecord | undefined;
  /** Standard output; a non-zero exit code is thrown. */
  kubectl(args: readonly string[], opts?: RunOptions): Promise<string>;
  kubectlResult(args: readonly string[], opts?: RunOptions): Promise<RunResult>;
  helm(args: readonly string[], opts?: RunOptions): Promise<RunResult>;
  /** A tool on this cluster that keeps running; the caller ends it. */
  start(tool: 'kubectl' | 'helm', args: readonly string[]): ChildProcess;
  /** Installs or upgrades charts/axoneme and waits for it. */
  install(helmArgs?: readonly string[]): Promise<void>;
  down(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
const COMMAND_TIMEOUT_MS = 180_000;
const NAMESPACE = 'axoneme-system';

export const chartDir = (): string => join(repoRoot(), 'charts/axoneme');

function toolPath(name: string): string {
  const own = join(repoRoot(), '.tools/bin', name);
  return existsSync(own) ? own : name;
}

const logTail = (stateDir: string): string => {
  try {
    return readFileSync(logPath(stateDir), 'utf8').trim().split('\n').slice(-5).join('\n');
  } catch {
    return '';
  }
};

async function waitUntilUp(stateDir: string, exited: () => boolean): Promise<SandboxState> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const state = readState(stateDir);
    if (state?.phase === 'up') return state;
    if (state?.phase === 'failed' || exited() || Date.now() > deadline) {
      const why = state?.error ?? (exited() ? logTail(stateDir) : 'not up in time');
      await takeDown(stateDir);
      throw new AppError({ code: 'sandbox/start-failed', message: `the sandbox did not start: ${why}` });
    }
    await delay(POLL_MS);
  }
}

function startProcess(id: string, stateDir: string, o: UpOptions): () => boolean {
  mkdirSync(stateDir, { recursive: true });
  const log = openSync(logPath(stateDir), 'a');
  const args = [
    '--disable-warning=ExperimentalWarning',
    join(import.meta.dirname, '../main.ts'),
    'run',
    '--id',
    id,
    '--state-dir',
    stateDir,
    '--nodes',
    String(o.nodes ?? 3),
  ];
  if (o.kubeconfig !== undefined) args.push('--kubeconfig', resolve(o.kubeconfig));
  const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', log, log], cwd: repoRoot() });
  let exited = false;
  child.on('exit', () => {
    exited = true;
  });
  child.unref();
  return () => exited;
}

/** A handle on a sandbox that is up. */
export function attachSandbox(state: SandboxState, stateDir: string): Sandbox {
  const env = (): Record<string, string> => ({
    ...(process.env as Record<string, string>),
    PATH: `${join(repoRoot(), '.tools/bin')}:${process.env.PATH ?? ''}`,
    KUBECONFIG: kubeconfigPath(stateDir),
    KUBECACHEDIR: join(stateDir, 'kube-cache'),
    HELM_CACHE_HOME: join(stateDir, 'helm/cache'),
    HELM_CONFIG_HOME: join(stateDir, 'helm/config'),
    HELM_DATA_HOME: join(stateDir, 'helm/data'),
  });
  const tool = (name: string, args: readonly string[], o: RunOptions = {}): Promise<RunResult> =>
    run(toolPath(name), args, { timeoutMs: COMMAND_TIMEOUT_MS, ...o, env: { ...env(), ...o.env } });
  const must = async (name: string, args: readonly string[], o?: RunOptions): Promise<string> => {
    const r = await tool(name, args, o);
    if (r.code === 0) return r.stdout;
    throw new AppError({ code: 'sandbox/command-failed', message: `${name} ${args.join(' ')}: ${(r.stderr || r.stdout).trim()}` });
  };
  return {
    id: state.id,
    stateDir,
    kubeconfigPath: kubeconfigPath(stateDir),
    nodes: state.nodes,
    fabric: state.fabric,
    kubectl: (args, o) => must('kubectl', args, o),
    kubectlResult: (args, o) => tool('kubectl', args, o),
    helm: (args, o) => tool('helm', args, o),
    start: (name, args) => spawn(toolPath(name), args, { env: env() }),
    ...insideOf(state),
    async install(helmArgs = []) {
      const args = [
        'upgrade',
        '--install',
        'axoneme',
        chartDir(),
        '-n',
        NAMESPACE,
        '--create-namespace',
        '--wait',
        '--timeout',
        '150s',
        ...helmArgs,
      ];
      await must('helm', args);
    },
    async down() {
      await takeDown(stateDir);
    },
  };
}

export async function upSandbox(o: UpOptions = {}): Promise<Sandbox> {
  const id = o.id ?? 'default';
  const stateDir = stateDirOf(id, o.stateDir);
  const say = o.onProgress ?? ((): void => undefined);
  const held = readState(stateDir);
  if (held !== undefined && isAlive(held.daemon))
    throw new AppError({ code: 'sandbox/already-up', message: `sandbox ${id} is up already`, hint: `npm run sandbox -- down --id ${id}` });
  if (held !== undefined) await takeDown(stateDir);
  mkdirSync(dirname(stateDir), { recursive: true });
  say(`starting API server and ${o.nodes ?? 3} nodes`);
  const exited = startProcess(id, stateDir, o);
  const sandbox = attachSandbox(await waitUntilUp(stateDir, exited), stateDir);
  if (o.install === false || !existsSync(join(chartDir(), 'Chart.yaml'))) return sandbox;
  say('installing charts/axoneme with Helm');
  try {
    await sandbox.install(o.helmArgs);
  } catch (e) {
    if (o.keepOnFailure !== true) await sandbox.down();
    throw e;
  }
  return sandbox;
}

/** The sandbox with this id, if it is up. */
export function findSandbox(id: string, stateDir?: string): Sandbox | undefined {
  const dir = stateDirOf(id, stateDir);
  const state = readState(dir);
  return state !== undefined && state.phase === 'up' && isAlive(state.daemon) ? attachSandbox(state, dir) : undefined;
}
