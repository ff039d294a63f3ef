// The operator dies and comes back: how long until every agent is connected and current again, and what had to be sent. Called by the
// cluster bench.
import { type Cluster, realNodes, until } from './cluster.ts';

export interface Restart {
  /** From the kill, kubelet's pause before it starts the container again included. */
  readonly currentMs: number;
  /** From the moment the new process exists. */
  readonly sinceStartMs: number;
  readonly artifactBytes: number;
}

const TIMEOUT_MS = 120_000;

export async function measureRestart(c: Cluster): Promise<Restart> {
  const old = c.operatorPid();
  const killed = performance.now();
  process.kill(old, 'SIGKILL');
  await until('the operator runs again', TIMEOUT_MS, 10, async () => {
    const pid = c.operatorPid();
    return pid !== 0 && pid !== old ? true : undefined;
  });
  const started = performance.now();
  const artifactBytes = await until('all nodes are current', TIMEOUT_MS, 20, async () => {
    const admin = await c.admin(1000);
    try {
      const s = await admin.getStatus();
      const nodes = realNodes(c, s);
      const current = nodes.length === c.nodes.length && nodes.every((n) => n.connected && n.ackedRevision >= s.revision && s.revision > 0);
      return current ? nodes.reduce((a, n) => a + n.artifactBytesSent, 0) : undefined;
    } catch {
      return undefined; // not there yet
    } finally {
      admin.close();
    }
  });
  const now = performance.now();
  return { currentMs: now - killed, sinceStartMs: now - started, artifactBytes };
}
