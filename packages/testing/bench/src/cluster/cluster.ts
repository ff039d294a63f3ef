// A sandbox of real nodes, started and stopped by its command line, with clients of its API server and of its operator.
// Called by the cluster bench.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { GetStatusResponse } from '@axoneme/proto';
import { AppError } from '@axoneme/std';
import { type AdminClient, type ClientTls, createAdminClient } from '@axoneme/stream';
import { connectKube, type KubeClient, type LooseObject, type Resource, resources } from 'kopf-ts';
import { ROOT } from '../report.ts';
import { netnsOf, processesOf } from './processes.ts';

const exec = promisify(execFile);
export const SYSTEM = 'axoneme-system';
export const NS = 'default';
const ADMIN_PORT = 9445;
const HEALTH_PORT = 9879;
const UP_TIMEOUT_MS = 300_000;

const cilium = (plural: string, kind: string, namespaced: boolean): Resource => ({
  group: 'cilium.io',
  version: 'v2',
  plural,
  kind,
  namespaced,
});
export const kinds = {
  ...resources,
  deployments: { group: 'apps', version: 'v1', plural: 'deployments', kind: 'Deployment', namespaced: true },
  policies: cilium('ciliumnetworkpolicies', 'CiliumNetworkPolicy', true),
  ciliumNodes: cilium('ciliumnodes', 'CiliumNode', false),
  identities: cilium('ciliumidentities', 'CiliumIdentity', false),
} as const;

export interface BenchNode {
  readonly name: string;
  readonly ipv4: string;
  readonly holderPid: number;
}

export interface Cluster {
  readonly nodes: readonly BenchNode[];
  readonly kube: KubeClient;
  /** A new connection to the operator's admin service. */
  admin(timeoutMs?: number): Promise<AdminClient>;
  agentPid(node: BenchNode): number;
  /** 0 while there is none. */
  operatorPid(): number;
  /** The agent's metrics, asked from inside its node. */
  metrics(node: BenchNode): Promise<string>;
  down(): Promise<void>;
}

/** Polls until the probe gives something. */
export async function until<T>(what: string, timeoutMs: number, everyMs: number, probe: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new AppError({ code: 'bench/timeout', message: `${what}: not within ${timeoutMs} ms` });
    await new Promise((r) => setTimeout(r, everyMs));
  }
}

/** Status of the nodes that have an agent. */
export const realNodes = (c: Cluster, s: GetStatusResponse): GetStatusResponse['nodes'] =>
  s.nodes.filter((n) => c.nodes.some((own) => own.name === n.name));

async function adminTls(kube: KubeClient): Promise<ClientTls> {
  const secret = await kube.get<LooseObject>(kinds.secrets, { namespace: SYSTEM, name: 'axoneme-cli' });
  const data = secret.data as Readonly<Record<string, string>>;
  const text = (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString();
  return { certPem: text('tls.crt'), keyPem: text('tls.key'), caPem: text('ca.crt') };
}

interface OperatorPod extends LooseObject {
  readonly status?: { readonly podIP?: string };
}

export async function upCluster(nodeCount: number, progress: (line: string) => void): Promise<Cluster> {
  const id = `bench${process.pid}`;
  const cli = (...args: string[]) =>
    exec(process.execPath, [join(ROOT, 'packages/apps/sandbox/src/main.ts'), ...args, '--id', id], { cwd: ROOT, timeout: UP_TIMEOUT_MS });
  const down = async (): Promise<void> => void (await cli('down'));
  progress(`starting a sandbox of ${nodeCount} nodes`);
  try {
    await cli('up', '--nodes', String(nodeCount));
  } catch (e) {
    await down();
    throw e;
  }
  const dir = join(ROOT, '.sandbox', id);
  const { nodes } = JSON.parse(readFileSync(join(dir, 'sandbox.json'), 'utf8')) as { readonly nodes: readonly BenchNode[] };
  const kube = connectKube({ kind: 'file', path: join(dir, 'kubeconfig') }, { userAgent: 'axoneme-bench' });
  const tls = await adminTls(kube);
  return {
    nodes,
    kube,
    async admin(timeoutMs = 2000) {
      const pods = await kube.list<OperatorPod>(kinds.pods, { namespace: SYSTEM, labelSelector: 'app.kubernetes.io/component=operator' });
      return createAdminClient({ endpoint: `${pods.items[0]?.status?.podIP ?? ''}:${ADMIN_PORT}`, tls, timeoutMs });
    },
    agentPid(node) {
      const netns = netnsOf(node.holderPid);
      return processesOf(id, 'agent').find((pid) => netnsOf(pid) === netns) ?? 0;
    },
    operatorPid: () => processesOf(id, 'operator')[0] ?? 0,
    async metrics(node) {
      const url = `http://127.0.0.1:${HEALTH_PORT}/metrics`;
      return (await exec('nsenter', ['-t', String(node.holderPid), '-n', 'curl', '-sf', url], { maxBuffer: 16 << 20 })).stdout;
    },
    async down() {
      kube.close();
      await down();
    },
  };
}
