// Landing requests: who asks, over which address, from which node. Used by the demo.
import type { Sandbox } from '@axoneme/sandbox';

export interface Ship {
  readonly pod: string;
  readonly side: 'tiefighter' | 'xwing';
  readonly node: string;
}

export interface Target {
  readonly name: string;
  readonly family: 4 | 6;
  readonly address: string;
  /** Empty for the Service. */
  readonly node: string;
}

export interface Outcome {
  readonly stage: string;
  readonly ship: string;
  readonly target: string;
  readonly family: 4 | 6;
  readonly path: 'same node' | 'other node' | 'service';
  readonly expected: 'lands' | 'denied';
  readonly actual: 'lands' | 'denied' | 'error';
  readonly detail: string;
}

interface PodJson {
  metadata: { name: string; labels: Record<string, string> };
  spec: { nodeName: string };
  status: { podIPs?: { ip: string }[] };
}

const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);

async function podsOf(sandbox: Sandbox, selector: string): Promise<PodJson[]> {
  const out = await sandbox.kubectl(['get', 'pods', '-l', selector, '-o', 'json']);
  return (JSON.parse(out) as { items: PodJson[] }).items;
}

export async function findShips(sandbox: Sandbox): Promise<Ship[]> {
  const ships: Ship[] = [];
  for (const side of ['tiefighter', 'xwing'] as const) {
    for (const p of await podsOf(sandbox, `class=${side}`)) ships.push({ pod: p.metadata.name, side, node: p.spec.nodeName });
  }
  return ships;
}

export async function findTargets(sandbox: Sandbox): Promise<Target[]> {
  const targets: Target[] = [];
  for (const p of await podsOf(sandbox, 'class=deathstar')) {
    for (const { ip } of p.status.podIPs ?? [])
      targets.push({ name: p.metadata.name, family: familyOf(ip), address: ip, node: p.spec.nodeName });
  }
  const service = JSON.parse(await sandbox.kubectl(['get', 'service', 'deathstar', '-o', 'json'])) as { spec: { clusterIPs: string[] } };
  for (const ip of service.spec.clusterIPs) targets.push({ name: 'service/deathstar', family: familyOf(ip), address: ip, node: '' });
  return targets;
}

/** curl ends with 28 on a connection timeout, which is what a drop looks like from the pod. */
const TIMED_OUT = 28;

async function requestLanding(sandbox: Sandbox, ship: Ship, target: Target): Promise<{ actual: Outcome['actual']; detail: string }> {
  const host = target.family === 6 ? `[${target.address}]` : target.address;
  const curl = ['curl', '-sS', '--connect-timeout', '1.5', '--max-time', '5', '-X', 'POST', `http://${host}/v1/request-landing`];
  const r = await sandbox.kubectlResult(['exec', ship.pod, '--', ...curl]);
  if (r.code === 0 && r.stdout.includes('Ship landed')) return { actual: 'lands', detail: r.stdout.trim() };
  const curlTimedOut = new RegExp(`exit code ${TIMED_OUT}\\b|\\(${TIMED_OUT}\\)`).test(r.stderr);
  return { actual: curlTimedOut ? 'denied' : 'error', detail: r.stderr.trim() || `exit ${r.code}` };
}

/** Every ship asks every target; `allowed` says which side should land. Probes run a few at a time. */
export async function probeAll(
  sandbox: Sandbox,
  stage: string,
  ships: readonly Ship[],
  targets: readonly Target[],
  allowed: (s: Ship) => boolean,
): Promise<Outcome[]> {
  const jobs = ships.flatMap((ship) => targets.map((target) => ({ ship, target })));
  const outcomes: Outcome[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < jobs.length; i = next++) {
      const { ship, target } = jobs[i]!;
      const r = await requestLanding(sandbox, ship, target);
      const path = target.node === '' ? 'service' : target.node === ship.node ? 'same node' : 'other node';
      outcomes[i] = {
        stage,
        ship: ship.pod,
        target: target.name,
        family: target.family,
        path,
        expected: allowed(ship) ? 'lands' : 'denied',
        ...r,
      };
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return outcomes;
}
