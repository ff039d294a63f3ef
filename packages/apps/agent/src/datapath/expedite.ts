// Runs a short piece of work with expedited RCU grace periods. Attaching to a TCX hook waits for one grace period with the kernel's network
// lock held: 10 ms and more, for every pod and direction. Expedited it is 0.2 ms. Called by the datapath around attachments.
import { readFileSync, writeFileSync } from 'node:fs';

const knob = '/sys/kernel/rcu_expedited';

/** `fn` is synchronous. Without access to the knob it just runs, slower. */
export function expedited<T>(fn: () => T): T {
  if (!write('1', '0')) return fn();
  try {
    return fn();
  } finally {
    write('0', '1');
  }
}

/** An agent that was killed inside `expedited` left the knob on; who wants it on for good says so on the kernel's command line. */
export function settleExpedited(): void {
  try {
    if (!readFileSync('/proc/cmdline', 'utf8').includes('rcu_expedited')) write('0', '1');
  } catch {
    // no such knob
  }
}

/** Sets the knob if it reads `from`; an administrator who set it keeps it. */
function write(to: string, from: string): boolean {
  try {
    if (readFileSync(knob, 'utf8').trim() !== from) return false;
    writeFileSync(knob, to);
    return true;
  } catch {
    return false;
  }
}
