// The record of one sandbox on disk: enough for `down` to remove every trace without the process that made them.
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AppError } from '@axoneme/std';
import { repoRoot } from '../images/registry.ts';

export type Phase = 'starting' | 'up' | 'failed';

export interface NodeRecord {
  readonly name: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly holderPid: number;
}

/** Processes that hold what lies between the nodes. */
export interface FabricRecord {
  readonly routerPid: number;
  readonly worldPid: number;
}

export interface SandboxState {
  readonly id: string;
  readonly phase: Phase;
  readonly error?: string;
  readonly daemon: ProcessMark;
  readonly cgroup: string;
  /** The program that enters nodes. */
  readonly sbx?: string;
  readonly hostLink?: string;
  readonly subnet?: number;
  readonly fabric?: FabricRecord;
  readonly apiUrl?: string;
  readonly external: boolean;
  readonly nodes: readonly NodeRecord[];
  readonly startedAtMs: number;
}

export interface ProcessMark {
  readonly pid: number;
  /** Start time in clock ticks since boot: tells a process from a later one with the same number. */
  readonly startedTicks: string;
}

const ID = /^[a-z0-9][a-z0-9-]{0,40}$/;
const FILE = 'sandbox.json';

export const sandboxesDir = (): string => join(repoRoot(), '.sandbox');

export function stateDirOf(id: string, explicit: string | undefined): string {
  if (!ID.test(id))
    throw new AppError({
      code: 'sandbox/bad-id',
      message: `"${id}" is not a sandbox id`,
      hint: 'lower-case letters, digits and dashes, at most 41',
    });
  return explicit === undefined ? join(sandboxesDir(), id) : resolve(explicit);
}

export const kubeconfigPath = (stateDir: string): string => join(stateDir, 'kubeconfig');
export const logPath = (stateDir: string): string => join(stateDir, 'sandbox.log');

export function writeState(stateDir: string, state: SandboxState): void {
  mkdirSync(stateDir, { recursive: true });
  const tmp = join(stateDir, `.${FILE}.${process.pid}`);
  writeFileSync(tmp, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(tmp, join(stateDir, FILE));
}

export function readState(stateDir: string): SandboxState | undefined {
  try {
    return JSON.parse(readFileSync(join(stateDir, FILE), 'utf8')) as SandboxState;
  } catch {
    return undefined;
  }
}

/** Ids of sandboxes in the default place. */
export function knownSandboxes(): string[] {
  try {
    return readdirSync(sandboxesDir()).filter((d) => readState(join(sandboxesDir(), d)) !== undefined);
  } catch {
    return [];
  }
}

export function markProcess(pid: number): ProcessMark {
  return { pid, startedTicks: startTicks(pid) ?? '' };
}

function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // the name in parentheses may hold spaces
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

export const isAlive = (m: ProcessMark): boolean => m.startedTicks !== '' && startTicks(m.pid) === m.startedTicks;
