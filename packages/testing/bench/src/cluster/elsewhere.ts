// A large cluster next to the real nodes: Node and Pod objects without processes, each pod with labels, so an identity, of its own.
// What of it reaches the real nodes is measured. Called by the cluster bench.
import type { LooseObject } from 'kopf-ts';
import { type Cluster, kinds, NS, realNodes, until } from './cluster.ts';

const PODS_A_NODE = 200;
const AT_ONCE = 16;
const TIMEOUT_MS = 180_000;
const QUIET_MS = 1500;

interface CiliumNode extends LooseObject {
  readonly spec?: { readonly ipam?: { readonly podCIDRs?: readonly string[] } };
}

async function addNode(c: Cluster, n: number): Promise<string> {
  const name = `elsewhere-${n}`;
  await c.kube.create(kinds.nodes, { metadata: { name, labels: { 'kubernetes.io/hostname': name } }, spec: {} } as LooseObject);
  await c.kube.patchStatus(kinds.nodes, { name }, { addresses: [{ type: 'InternalIP', address: `172.31.255.${n + 1}` }] });
  const cidr = await until(`blocks of ${name}`, TIMEOUT_MS, 50, async () => {
    const node = await c.kube.find<CiliumNode>(kinds.ciliumNodes, { name });
    return node?.spec?.ipam?.podCIDRs?.find((x) => !x.includes(':'));
  });
  return cidr.split('/')[0]!.split('.').slice(0, 3).join('.');
}

async function addPod(c: Cluster, index: number, node: string, ip: string): Promise<void> {
  const name = `elsewhere-${index}`;
  await c.kube.create(kinds.pods, {
    metadata: { name, namespace: NS, labels: { app: 'elsewhere', number: String(index) } },
    spec: { nodeName: node, containers: [{ name: 'pause', image: 'pause' }] },
  } as LooseObject);
  await c.kube.patchStatus(kinds.pods, { namespace: NS, name }, { phase: 'Running', podIP: ip, podIPs: [{ ip }] });
}

export interface Elsewhere {
  /** Adds so many pods, each with an identity of its own, and waits until the operator has dealt with all. */
  add(pods: number): Promise<void>;
}

export async function createElsewhere(c: Cluster, podsMax: number): Promise<Elsewhere> {
  const blocks: string[] = [];
  for (let n = 0; n < Math.ceil(podsMax / PODS_A_NODE); n++) blocks.push(await addNode(c, n));
  let made = 0;
  return {
    async add(pods) {
      const before = await identities(c);
      const end = made + pods;
      const worker = async (): Promise<void> => {
        while (made < end) {
          const i = made++;
          const node = Math.floor(i / PODS_A_NODE);
          await addPod(c, i, `elsewhere-${node}`, `${blocks[node]}.${2 + (i % PODS_A_NODE)}`);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
      await until('all identities exist', TIMEOUT_MS, 200, async () => ((await identities(c)) >= before + pods ? true : undefined));
      await settled(c);
    },
  };
}

const identities = async (c: Cluster): Promise<number> => {
  const admin = await c.admin(30_000);
  try {
    return (await admin.getStatus()).identities;
  } finally {
    admin.close();
  }
};

/** Waits until the operator has made no new revision for a while and every real node has the last one. */
export async function settled(c: Cluster): Promise<void> {
  const admin = await c.admin(30_000);
  let last = -1;
  let since = performance.now();
  try {
    await until('the cluster is quiet', TIMEOUT_MS, 100, async () => {
      const s = await admin.getStatus();
      if (s.revision !== last || realNodes(c, s).some((n) => n.ackedRevision < s.revision)) {
        last = s.revision;
        since = performance.now();
      }
      return performance.now() - since > QUIET_MS ? true : undefined;
    });
  } finally {
    admin.close();
  }
}

export interface Sent {
  readonly artifactBytes: number;
  readonly bytes: number;
}

/** Bytes sent to all real nodes since the operator's start. */
export async function sentBytes(c: Cluster): Promise<Sent> {
  const admin = await c.admin(30_000);
  try {
    const nodes = realNodes(c, await admin.getStatus());
    const sum = (of: (n: (typeof nodes)[number]) => number): number => nodes.reduce((a, n) => a + of(n), 0);
    return { artifactBytes: sum((n) => n.artifactBytesSent), bytes: sum((n) => n.bytesSent) };
  } finally {
    admin.close();
  }
}

/** A policy that selects and names pods of elsewhere only. */
export async function editElsewhere(c: Cluster): Promise<void> {
  const peer = { fromEndpoints: [{ matchLabels: { app: 'elsewhere' } }] };
  await c.kube.create(kinds.policies, {
    metadata: { name: 'elsewhere', namespace: NS },
    spec: { endpointSelector: { matchLabels: { app: 'elsewhere', number: '7' } }, ingress: [peer] },
  } as LooseObject);
  await settled(c);
}
