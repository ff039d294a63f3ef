// Who says on the nodes' network that he has an address: e2e/native/owners.c asks all the time, from an address and a MAC that nobody has.
import path from 'node:path';
import readline from 'node:readline';
import { type Fixture, root } from './fixture.ts';

const tool = path.join(root, 'e2e/native/build/owners');

export interface Claim {
  /** The clock of `performance.now()` has another beginning: this is CLOCK_MONOTONIC, as process.hrtime. */
  readonly ms: number;
  readonly mac: string;
  readonly address: string;
}

export interface OwnerWatch {
  claims(): readonly Claim[];
  close(): void;
}

export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

export function watchOwners(f: Fixture, addresses: readonly string[], everyMs = 25): OwnerWatch {
  const child = f.sandbox.fabricStart('routerPid', [tool, 'br0', String(everyMs), ...addresses]);
  const claims: Claim[] = [];
  readline.createInterface({ input: child.stdout! }).on('line', (line) => {
    const [ms = '', mac = '', address = ''] = line.split(' ');
    claims.push({ ms: Number(ms), mac, address });
  });
  return {
    claims: () => claims,
    close() {
      child.stdin?.end();
      child.kill('SIGTERM');
    },
  };
}

/** Longest time without anybody, from `sinceMs` on. */
export function longestSilence(claims: readonly Claim[], address: string, sinceMs: number, untilMs: number): number {
  const times = claims.filter((c) => c.address === address && c.ms >= sinceMs).map((c) => c.ms);
  return Math.round(Math.max(...[...times, untilMs].map((ms, i) => ms - (times[i - 1] ?? sinceMs))));
}

/** Owners one after the other, as they were heard: who comes again after another one is named again. */
export function ownersInTurn(claims: readonly Claim[], address: string): string[] {
  const macs = claims.filter((c) => c.address === address).map((c) => c.mac);
  return macs.filter((mac, i) => mac !== macs[i - 1]);
}
