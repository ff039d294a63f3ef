// Leases by time to live: soft claims between operator replicas and clusters (leadership itself is a Kubernetes Lease).
import { type Connection, loadScript } from './connection.ts';
import { list } from './read.ts';
import { keysOf } from './records.ts';

export interface Leases {
  /** Takes or extends. `holder` is who has it now. Throws as Connection does. */
  take(name: string, holder: string, ttlMs: number): Promise<{ readonly held: boolean; readonly holder: string }>;
  /** False when it was not the caller's any more. */
  release(name: string, holder: string): Promise<boolean>;
}

const scripts = { take: loadScript('lease-take'), release: loadScript('lease-release') };

export function createLeases(connection: Connection, cluster: string): Leases {
  const keys = keysOf(cluster);
  return {
    async take(name, holder, ttlMs) {
      const [held, who] = list(await connection.script(scripts.take, [keys.lease(name)], [holder, ttlMs]));
      return { held: held === 1, holder: String(who) };
    },
    release: async (name, holder) => (await connection.script(scripts.release, [keys.lease(name)], [holder])) === 1,
  };
}
