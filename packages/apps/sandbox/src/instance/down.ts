// Takes a sandbox down from its record alone. Works whether its process is alive, was killed, or never came up.
import { existsSync, rmSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@axoneme/std';
import { destroyCgroup } from '../nodes/cgroup.ts';
import { run } from '../nodes/run.ts';
import { isAlive, type ProcessMark, readState } from './state.ts';

const POLITE_MS = 4000;
const POLL_MS = 20;
const LINK_TIMEOUT_MS = 10_000;

async function endProcess(mark: ProcessMark): Promise<void> {
  for (const [signal, patienceMs] of [
    ['SIGTERM', POLITE_MS],
    ['SIGKILL', POLITE_MS],
  ] as const) {
    if (!isAlive(mark)) return;
    process.kill(mark.pid, signal);
    const deadline = Date.now() + patienceMs;
    while (isAlive(mark) && Date.now() < deadline) await delay(POLL_MS);
  }
}

const linkExists = async (name: string): Promise<boolean> =>
  existsSync(`/sys/class/net/${name}`) || networkInterfaces()[name] !== undefined;

/** The link dies with the fabric's namespace, which the kernel removes in its own time: not done before it is gone. */
async function removeLink(name: string): Promise<void> {
  await run('ip', ['link', 'del', name]);
  const deadline = Date.now() + LINK_TIMEOUT_MS;
  while (await linkExists(name)) {
    if (Date.now() > deadline) throw new AppError({ code: 'sandbox/link-stays', message: `link ${name} does not go away` });
    await delay(POLL_MS);
  }
}

/** Returns false when there was nothing to take down. */
export async function takeDown(stateDir: string): Promise<boolean> {
  const state = readState(stateDir);
  if (state === undefined) return false;
  await endProcess(state.daemon);
  await destroyCgroup(state.cgroup);
  if (state.hostLink !== undefined) await removeLink(state.hostLink);
  rmSync(stateDir, { recursive: true, force: true });
  return true;
}
