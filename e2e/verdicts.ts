// The verdict on floods that ran while something was killed, restarted or replaced: every allowed packet answered, no forbidden one.
// Used by all suites that keep traffic flowing.
import { expect } from '@jest/globals';
import type { FloodResult } from './fixture.ts';

/** A flood with fewer packets proves nothing. */
const SENT_MIN = 100;

export interface Floods {
  readonly allowed: readonly FloodResult[];
  readonly forbidden: readonly FloodResult[];
}

export function judgeFloods({ allowed, forbidden }: Floods): void {
  for (const r of allowed) {
    expect(r.sent).toBeGreaterThan(SENT_MIN);
    expect(r).toMatchObject({ received: r.sent, failed: 0 });
  }
  for (const r of forbidden) {
    expect(r.sent).toBeGreaterThan(SENT_MIN);
    expect(r.received).toBe(0);
  }
}

/** Only `client` reaches `web`; everybody else is a stranger. */
export const clientsOnly = (name: string): string =>
  JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name },
    spec: { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'client' } }] }] },
  });
