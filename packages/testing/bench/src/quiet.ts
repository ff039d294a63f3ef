// Keeps other work out of the numbers: one core for the measuring thread, and a wait for the machine to calm down.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Pins the main thread; threads and processes started before keep both cores, those started later inherit this one. */
export function pinMainThread(cpu: number): void {
  execFileSync('taskset', ['-cp', String(cpu), String(process.pid)], { stdio: 'ignore' });
}

function busyJiffies(): { readonly busy: number; readonly total: number } {
  const fields = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.trim().split(/\s+/).slice(1).map(Number);
  const total = fields.reduce((a, b) => a + b, 0);
  return { busy: total - fields[3]! - fields[4]!, total };
}

const PROBE_MS = 200;

/** Waits until the machine is less busy than `limit`, at most `maxMs`. Returns the last busy share seen. */
export async function waitForCalm(limit = 0.15, maxMs = 10_000): Promise<number> {
  const end = Date.now() + maxMs;
  for (;;) {
    const a = busyJiffies();
    await new Promise((r) => setTimeout(r, PROBE_MS));
    const b = busyJiffies();
    const share = (b.busy - a.busy) / Math.max(1, b.total - a.total);
    if (share < limit || Date.now() > end) return share;
  }
}
