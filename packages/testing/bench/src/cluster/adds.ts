// A hundred pods created at once on one node: how long the agent takes for each CNI ADD and what CPU it costs. Called by the cluster bench.
import { type Cluster, kinds, NS, until } from './cluster.ts';
import { cpuMsOf } from './processes.ts';
import { countOf, difference, type Histogram, histogramQuantile, parseHistogram } from './scrape.ts';

export interface Adds {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of the agent from the first request to the last pod's readiness, by the number of pods. */
  readonly cpuMsEach: number;
  /** From the creation of the Deployment until all its pods are ready. */
  readonly readyMs: number;
}

const NAME = 'crowd';
const TIMEOUT_MS = 180_000;

const deployment = (replicas: number, node: string) => ({
  metadata: { name: NAME, namespace: NS },
  spec: {
    replicas,
    selector: { matchLabels: { app: NAME } },
    template: {
      metadata: { labels: { app: NAME } },
      spec: {
        nodeSelector: { 'kubernetes.io/hostname': node },
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'pause', image: 'pause', command: ['sleep', 'infinity'] }],
      },
    },
  },
});

interface Crowd {
  readonly metadata: { readonly name: string };
  readonly status?: { readonly readyReplicas?: number };
}

export async function measureAdds(c: Cluster, pods: number): Promise<Adds> {
  const node = c.nodes.at(-1)!;
  const agent = c.agentPid(node);
  const adds = async (command = 'ADD'): Promise<Histogram> =>
    parseHistogram(await c.metrics(node), 'axoneme_agent_cni_seconds', { command, result: 'ok' });
  const [before, cpuBefore, begin] = [await adds(), cpuMsOf(agent), performance.now()];
  await c.kube.create(kinds.deployments, deployment(pods, node.name));
  await until('all pods of the crowd are ready', TIMEOUT_MS, 100, async () => {
    const d = await c.kube.get<Crowd>(kinds.deployments, { namespace: NS, name: NAME });
    return d.status?.readyReplicas === pods ? true : undefined;
  });
  const readyMs = performance.now() - begin;
  const cpuMs = cpuMsOf(agent) - cpuBefore;
  const seen = difference(await adds(), before);
  return {
    p50Ms: histogramQuantile(seen, 0.5) * 1000,
    p99Ms: histogramQuantile(seen, 0.99) * 1000,
    cpuMsEach: cpuMs / countOf(seen),
    readyMs,
  };
}

/** Takes the crowd away and waits until its node has forgotten it. */
export async function removeCrowd(c: Cluster): Promise<void> {
  await c.kube.delete(kinds.deployments, { namespace: NS, name: NAME }, { propagationPolicy: 'Background' });
  await until('the crowd is gone', TIMEOUT_MS, 100, async () => {
    const left = await c.kube.list(kinds.pods, { namespace: NS, labelSelector: `app=${NAME}` });
    return left.items.length === 0 ? true : undefined;
  });
}
