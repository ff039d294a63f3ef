// The sandbox as one process: API server (or a client of a foreign one), controllers, fabric, nodes and their kubelets.
import { mkdirSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import { type Clock, describeError, hash32, type Log } from '@axoneme/std';
import { type ApiServer, createApiServer } from '../apiserver/index.ts';
import type { KubeObject } from '../apiserver/types.ts';
import { type Caches, createCaches } from '../client/cache.ts';
import { connectExternal, type ExternalCluster } from '../client/external.ts';
import { CONFIG_MAPS, NODES, PODS, SECRETS, SERVICES } from '../client/kinds.ts';
import { ignoreNotFound, type KubeClient } from '../client/kube-client.ts';
import { nameOf, nsOf } from '../client/object.ts';
import { createStoreClient } from '../client/store-client.ts';
import { type ControllerManager, startControllers } from '../controllers/manager.ts';
import { createImageRegistry, repoRoot } from '../images/registry.ts';
import type { ClusterFacts } from '../kubelet/deps.ts';
import { createKubelet, type Kubelet } from '../kubelet/kubelet.ts';
import { podSpecOf } from '../kubelet/pod-types.ts';
import type { PodWorker } from '../kubelet/pod-worker.ts';
import { buildNative, type NativePrograms } from '../native/build.ts';
import { hostAddress, hostLink } from '../nodes/addresses.ts';
import { cgroupMount, createCgroup, destroyCgroup } from '../nodes/cgroup.ts';
import { createFabric, type Fabric } from '../nodes/fabric.ts';
import { startHolder } from '../nodes/holder.ts';
import { createNode, type SandboxNode } from '../nodes/node.ts';
import { installStreams, type StreamDeps } from '../streams/install.ts';
import { KUBELET_PORT, startKubeletServer } from '../streams/kubelet-server.ts';
import { CLUSTER_DOMAIN, createDns, createKubernetesService, createNamespaces } from './cluster-objects.ts';
import { kubeconfigPath, markProcess, type NodeRecord, type SandboxState, sandboxesDir, writeState } from './state.ts';

export interface SandboxConfig {
  readonly id: string;
  readonly stateDir: string;
  readonly nodes: number;
  /** kubeconfig of an API server to use instead of the embedded one. */
  readonly kubeconfig?: string;
}

export interface SandboxDeps {
  readonly log: Log;
  readonly clock: Clock;
}

export interface RunningSandbox {
  readonly kubeconfigPath: string;
  readonly nodes: readonly SandboxNode[];
  readonly client: KubeClient;
  readonly workerOf: (pod: KubeObject) => PodWorker | undefined;
  /** Ends API server and controllers; processes and namespaces are left to `takeDown`. */
  stop(): Promise<void>;
}

interface Cluster {
  readonly client: KubeClient;
  readonly facts: Omit<ClusterFacts, 'visible'>;
  readonly kubeconfig: string;
  readonly url: string;
  readonly api: ApiServer | undefined;
  readonly close: () => void;
}

const SERVICE_CIDRS = { serviceCidrV4: '10.96.0.0/16', serviceCidrV6: 'fd00:10:96::/112' };
/** Trees that nodes do not share with the machine; a checkout below one of them must be bound in. */
const PRIVATE_TREES = ['/tmp/', '/var/', '/opt/', '/run/', '/etc/'];

const hasAddress = (a: string): boolean =>
  Object.values(networkInterfaces())
    .flat()
    .some((i) => i?.address === a);

const visibleDirs = (dirs: readonly string[]): string[] => dirs.filter((d) => PRIVATE_TREES.some((t) => `${d}/`.startsWith(t)));

async function embedded(d: SandboxDeps, subnet: number, signal: AbortSignal): Promise<Cluster> {
  const host = hostAddress(subnet);
  const v6 = hasAddress(host.v6) ? host.v6 : undefined;
  const api = createApiServer(
    { log: d.log.child({ part: 'apiserver' }), clock: d.clock },
    { ...SERVICE_CIDRS, addresses: v6 === undefined ? [host.v4] : [host.v4, v6], clusterName: 'axoneme-sandbox' },
  );
  await api.start(signal);
  const client = createStoreClient(api);
  await createNamespaces(client);
  await createKubernetesService(client, { v4: host.v4, port: api.port });
  return {
    client,
    api,
    url: api.url,
    kubeconfig: api.kubeconfig(),
    facts: { apiHost: host.v4, apiPort: api.port, caPem: api.caPem, domain: CLUSTER_DOMAIN },
    close: () => undefined,
  };
}

async function external(d: SandboxDeps, kubeconfig: string, subnet: number): Promise<Cluster> {
  const c: ExternalCluster = await connectExternal(kubeconfig, hostAddress(subnet).v4, d);
  await createNamespaces(c.client);
  return {
    client: c.client,
    api: undefined,
    url: c.url,
    kubeconfig: c.kubeconfig,
    facts: { apiHost: c.podHost, apiPort: c.podPort, caPem: c.podCaPem, domain: CLUSTER_DOMAIN },
    close: c.close,
  };
}

async function startNodes(
  c: SandboxConfig,
  d: SandboxDeps,
  native: NativePrograms,
  cgroup: string,
  fabric: Fabric,
  cluster: Cluster,
  caches: Caches,
): Promise<{ nodes: SandboxNode[]; kubelets: Kubelet[] }> {
  const repo = repoRoot();
  const visible = visibleDirs([repo, dirname(native.sbx)]);
  const images = createImageRegistry({ native, repo, node: process.execPath });
  const nodes: SandboxNode[] = [];
  for (let index = 0; index < c.nodes; index++) {
    const name = `node-${index + 1}`;
    const dir = join(c.stateDir, 'nodes', name);
    nodes.push(await createNode({ name, index, sbx: native.sbx, dir, cgroup: join(cgroup, name), visible }, fabric));
  }
  for (const gvr of [PODS, CONFIG_MAPS, SECRETS, SERVICES, NODES]) await caches.of(gvr).synced();
  const base = {
    client: cluster.client,
    caches,
    clock: d.clock,
    log: d.log,
    images,
    sbx: native.sbx,
    cluster: { ...cluster.facts, visible },
  };
  const kubelets = nodes.map((node) =>
    createKubelet({ ...base, node }, { labels: { 'axoneme.io/sandbox': c.id }, nameIsAddress: cluster.api !== undefined }),
  );
  for (const k of kubelets) await k.start();
  return { nodes, kubelets };
}

/** A foreign API server calls the kubelet on the node's address. */
async function serveKubelets(
  host: string,
  native: NativePrograms,
  nodes: readonly SandboxNode[],
  caches: Caches,
  streams: StreamDeps,
): Promise<void> {
  const server = await startKubeletServer(host, caches.of(PODS), streams);
  for (const n of nodes) {
    await startHolder(
      native.sbx,
      [...n.enter(), 'session', 'exec', native.forward, String(KUBELET_PORT), host, String(server.port)],
      false,
    );
  }
}

const recordOf = (n: SandboxNode): NodeRecord => ({ name: n.name, ipv4: n.address.v4, ipv6: n.address.v6, holderPid: n.holder.pid });

/** A foreign cluster keeps no pods that seem to run and no nodes that are gone. */
async function leave(client: KubeClient, nodes: readonly SandboxNode[]): Promise<void> {
  const ours = new Set(nodes.map((n) => n.name));
  const pods = (await client.list(PODS).catch(() => [])).filter((p) => ours.has(podSpecOf(p).nodeName ?? ''));
  const gone = (what: Promise<unknown>): Promise<unknown> => ignoreNotFound(what).catch(() => undefined);
  await Promise.all(pods.map((p) => gone(client.delete(PODS, nsOf(p), nameOf(p), { gracePeriodSeconds: 0 }))));
  await Promise.all(nodes.map((n) => gone(client.delete(NODES, '', n.name))));
}

/** Brings the sandbox up inside this process. On failure the record on disk tells `takeDown` what to remove. */
export async function runSandbox(c: SandboxConfig, d: SandboxDeps): Promise<RunningSandbox> {
  const cgroup = join(cgroupMount(), `axoneme-sandbox-${c.id}`);
  const base: SandboxState = {
    id: c.id,
    phase: 'starting',
    daemon: markProcess(process.pid),
    cgroup,
    external: c.kubeconfig !== undefined,
    nodes: [],
    startedAtMs: d.clock.nowMs(),
  };
  mkdirSync(c.stateDir, { recursive: true });
  writeState(c.stateDir, base);
  const native = buildNative(join(sandboxesDir(), 'bin'));
  const fabricCgroup = createCgroup(join(cgroup, 'fabric'));
  const fabric = await createFabric({ sbx: native.sbx, demo: native.demo, cgroup: fabricCgroup }, hash32(c.id) % 256);
  const link = {
    sbx: native.sbx,
    subnet: fabric.subnet,
    hostLink: hostLink(fabric.subnet),
    fabric: { routerPid: fabric.router.pid, worldPid: fabric.world.pid },
  };
  writeState(c.stateDir, { ...base, ...link });

  const abort = new AbortController();
  const cluster =
    c.kubeconfig === undefined ? await embedded(d, fabric.subnet, abort.signal) : await external(d, c.kubeconfig, fabric.subnet);
  const caches = createCaches(cluster.client, d.clock);
  const controllers: ControllerManager = await startControllers(
    { client: cluster.client, caches, clock: d.clock, log: d.log },
    cluster.facts.caPem,
    c.kubeconfig !== undefined,
  );
  const { nodes, kubelets } = await startNodes(c, d, native, cgroup, fabric, cluster, caches);
  const workerOf = (pod: KubeObject): PodWorker | undefined =>
    kubelets.find((k) => k.nodeName === podSpecOf(pod).nodeName)?.worker(pod.metadata.uid ?? '');
  const streams = { sbx: native.sbx, clock: d.clock, log: d.log, workerOf };
  if (cluster.api !== undefined) installStreams(cluster.api, streams);
  else await serveKubelets(hostAddress(fabric.subnet).v4, native, nodes, caches, streams);
  await createDns(cluster.client).catch((e: unknown) => d.log.warn('cluster DNS not created', { error: describeError(e) }));
  writeFileSync(kubeconfigPath(c.stateDir), cluster.kubeconfig, { mode: 0o600 });
  writeState(c.stateDir, { ...base, ...link, phase: 'up', apiUrl: cluster.url, nodes: nodes.map(recordOf) });
  d.log.info('sandbox is up', { id: c.id, nodes: nodes.length, api: cluster.url, controllers: controllers.names });
  return {
    kubeconfigPath: kubeconfigPath(c.stateDir),
    nodes,
    client: cluster.client,
    workerOf,
    async stop() {
      controllers.stop();
      for (const k of kubelets) k.stop();
      if (c.kubeconfig !== undefined) await leave(cluster.client, nodes);
      caches.stop();
      cluster.close();
      abort.abort();
      // while this process lives it is the parent who buries the dead
      await destroyCgroup(cgroup);
    },
  };
}
