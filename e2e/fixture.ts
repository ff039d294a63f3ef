// One sandbox for a suite, and small verbs on it: wait for a condition, run curl or the traffic tool in a pod, read JSON. Used by all suites.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findSandbox, type Sandbox, upSandbox } from '@axoneme/sandbox';
import { AppError } from '@axoneme/std';
import { jest } from '@jest/globals';

const run = promisify(execFile);
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const floodTool = path.join(root, 'e2e/native/build/flood');

/** For suites that wait for people's commands on a busy machine: one retry, with the first failure printed. Call it in beforeAll. */
export const allowOneRetry = (): unknown => jest.retryTimes(1, { logErrorsBeforeRetry: true });
/** For suites about verdicts: one wrong packet is one too many, so nothing is tried twice. */
export const allowNoRetry = (): unknown => jest.retryTimes(0);

export interface PodInfo {
  readonly name: string;
  readonly namespace: string;
  readonly node: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface FloodResult {
  readonly sent: number;
  readonly received: number;
  readonly failed: number;
  readonly gapMaxMs: number;
  /** Unix milliseconds; 0 = never. */
  readonly firstOkUnixMs: number;
  readonly lastOkUnixMs: number;
}

/** Polls until `probe` returns something other than undefined; the error names what was awaited and what was last seen. */
export async function until<T>(what: string, timeoutMs: number, probe: () => Promise<T | undefined>, everyMs = 50): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last = '';
  for (;;) {
    try {
      const v = await probe();
      if (v !== undefined) return v;
    } catch (e) {
      last = e instanceof Error ? e.message : String(e);
    }
    if (performance.now() > end) throw new AppError({ code: 'e2e/timeout', message: `${what}: not within ${timeoutMs} ms ${last}` });
    await new Promise((r) => setTimeout(r, everyMs));
  }
}

export interface Fixture {
  readonly sandbox: Sandbox;
  kubectl(...args: string[]): Promise<string>;
  /** Exit code and both streams, never throws. */
  kubectlResult(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  apply(yaml: string): Promise<string>;
  json<T>(...args: string[]): Promise<T>;
  pods(selector: string, namespace?: string): Promise<PodInfo[]>;
  /** Every pod of the selector is Ready. */
  ready(selector: string, count: number, namespace?: string): Promise<PodInfo[]>;
  /** HTTP status text of a GET from a pod, or `timeout`/`refused`. */
  curl(from: PodInfo, url: string): Promise<string>;
  flood(from: PodInfo, kind: 'udp' | 'tcp' | 'connect', address: string, port: number, rate: number, seconds: number): Promise<FloodResult>;
  cli(...args: string[]): Promise<string>;
  /** True when the pod of the selector on that node has a process. */
  runs(namespace: string, selector: string, node: string): Promise<true | undefined>;
  /** SIGKILL to every process of a pod's containers. */
  killPod(namespace: string, name: string): Promise<void>;
  signalPod(namespace: string, name: string, signal: NodeJS.Signals): Promise<void>;
}

interface PodJson {
  metadata: { name: string; namespace: string; deletionTimestamp?: string };
  spec: { nodeName?: string };
  status: { podIPs?: { ip: string }[]; conditions?: { type: string; status: string }[] };
}

const podOf = (p: PodJson): PodInfo => {
  const ips = (p.status.podIPs ?? []).map((i) => i.ip);
  return {
    name: p.metadata.name,
    namespace: p.metadata.namespace,
    node: p.spec.nodeName ?? '',
    ipv4: ips.find((i) => !i.includes(':')) ?? '',
    ipv6: ips.find((i) => i.includes(':')) ?? '',
  };
};

export const urlHost = (ip: string): string => (ip.includes(':') ? `[${ip}]` : ip);

export function createFixture(sandbox: Sandbox): Fixture {
  const kubectl = (...args: string[]): Promise<string> => sandbox.kubectl(args);
  const kubectlResult = (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> => sandbox.kubectlResult(args);
  const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await kubectl(...args, '-o', 'json')) as T;
  const podsJson = async (selector: string, namespace: string): Promise<PodJson[]> =>
    (await json<{ items: PodJson[] }>('get', 'pods', '-n', namespace, '-l', selector)).items.filter(
      (p) => p.metadata.deletionTimestamp === undefined,
    );
  const signalPod = async (namespace: string, name: string, signal: NodeJS.Signals): Promise<void> => {
    const { metadata } = await json<{ metadata: { uid: string } }>('get', 'pod', '-n', namespace, name);
    const pids = processesOf(sandbox.id, metadata.uid);
    if (pids.length === 0) throw new AppError({ code: 'e2e/no-process', message: `${namespace}/${name} has no process` });
    for (const pid of pids) process.kill(pid, signal);
  };
  return {
    sandbox,
    kubectl,
    kubectlResult,
    json,
    apply: (yaml) => sandbox.kubectl(['apply', '-f', '-'], { input: yaml }),
    pods: async (selector, namespace = 'default') => (await podsJson(selector, namespace)).map(podOf),
    ready: (selector, count, namespace = 'default') =>
      until(
        `${count} ready pods of ${selector}`,
        60_000,
        async () => {
          const items = await podsJson(selector, namespace);
          const up = items.filter((p) => p.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'));
          return items.length === count && up.length === count ? up.map(podOf) : undefined;
        },
        250,
      ),
    async curl(from, url) {
      const r = await kubectlResult(
        'exec',
        '-n',
        from.namespace,
        from.name,
        '--',
        'curl',
        '-s',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        '--connect-timeout',
        '1',
        '--max-time',
        '3',
        url,
      );
      if (r.code === 0) return r.stdout.trim();
      return /exit code 28/.test(r.stderr) ? 'timeout' : /exit code 7/.test(r.stderr) ? 'refused' : `error: ${r.stderr.trim()}`;
    },
    async flood(from, kind, address, port, rate, seconds) {
      const out = await kubectl(
        'exec',
        '-n',
        from.namespace,
        from.name,
        '--',
        floodTool,
        kind,
        address,
        String(port),
        String(rate),
        String(seconds),
      );
      return JSON.parse(out) as FloodResult;
    },
    async runs(namespace, selector, node) {
      const { items } = await json<{ items: { metadata: { uid: string }; spec: { nodeName?: string } }[] }>(
        'get',
        'pods',
        '-n',
        namespace,
        '-l',
        selector,
      );
      const pod = items.find((p) => p.spec.nodeName === node);
      return pod !== undefined && processesOf(sandbox.id, pod.metadata.uid).length > 0 ? true : undefined;
    },
    killPod: (namespace, name) => signalPod(namespace, name, 'SIGKILL'),
    signalPod,
    async cli(...args) {
      const argv = [path.join(root, 'packages/apps/cli/src/main.ts'), '--kubeconfig', sandbox.kubeconfigPath, ...args];
      return (await run(process.execPath, argv, { timeout: 30_000, maxBuffer: 16 << 20 })).stdout;
    },
  };
}

const CGROUP_ROOTS = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'];

/** Processes in the cgroups of one pod of one sandbox. Other sandboxes come and go meanwhile and are not looked at. */
function processesOf(sandboxId: string, podUid: string): number[] {
  const root = CGROUP_ROOTS.find((r) => fs.existsSync(path.join(r, 'cgroup.procs'))) ?? CGROUP_ROOTS[0]!;
  const own = fs.readdirSync(root).filter((d) => d.endsWith(`-${sandboxId}`));
  const pods = own.flatMap((d) => directoriesBelow(path.join(root, d)).filter((p) => p.includes(podUid)));
  return pods.flatMap((d) => readLines(path.join(d, 'cgroup.procs')).map(Number));
}

function directoriesBelow(dir: string): string[] {
  try {
    const children = fs.readdirSync(dir, { withFileTypes: true }).filter((e) => e.isDirectory());
    return children.flatMap((e) => [path.join(dir, e.name), ...directoriesBelow(path.join(dir, e.name))]);
  } catch {
    // a container ended while we looked
    return [];
  }
}

function readLines(file: string): string[] {
  try {
    return fs.readFileSync(file, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}

/** What a cluster looks like whose installation does not end. */
async function describeTrouble(sandbox: Sandbox): Promise<string> {
  const asked = [
    ['get', 'pods', '-A', '-o', 'wide'],
    ['get', 'events', '-A'],
    ['describe', 'pods', '-n', 'axoneme-system', '-l', 'app.kubernetes.io/component=redis'],
    ['logs', '-n', 'axoneme-system', '-l', 'app.kubernetes.io/component=redis', '--tail=20'],
    ['logs', '-n', 'axoneme-system', '-l', 'app.kubernetes.io/component=agent', '--tail=60'],
    ['logs', '-n', 'axoneme-system', '-l', 'app.kubernetes.io/component=operator', '--tail=40'],
  ];
  const told: string[] = [];
  for (const args of asked) {
    const r = await sandbox.kubectlResult(args);
    told.push(`$ kubectl ${args.join(' ')}\n${r.stdout}${r.stderr}`);
  }
  return told.join('\n');
}

/**
 * AXONEME_KUBECONFIG names the API server of somebody else to run a suite against; its cluster should be empty. An installation that does not
 * become ready is described on standard error and tried once more on a new sandbox.
 */
export async function upFixture(name: string, nodes: number, helmArgs: readonly string[] = []): Promise<Fixture> {
  const kubeconfig = process.env.AXONEME_KUBECONFIG;
  const id = `${name}${process.pid}`;
  const up = (keepOnFailure: boolean): Promise<Sandbox> =>
    upSandbox({ id, nodes, helmArgs, keepOnFailure, ...(kubeconfig === undefined ? {} : { kubeconfig }) });
  try {
    return createFixture(await up(true));
  } catch (e) {
    const stuck = findSandbox(id);
    process.stderr.write(`${String(e)}\n${stuck === undefined ? '' : await describeTrouble(stuck)}\nonce more\n`);
    await stuck?.down();
    return createFixture(await up(false));
  }
}

/** A Deployment spread over the nodes: `app` label, built-in echo server on 80 (HTTP) and 7 (TCP and UDP echo). */
export const echoApp = (
  app: string,
  replicas: number,
  extraLabels: Readonly<Record<string, string>> = {},
  namespace = 'default',
): string => {
  const labels = { app, ...extraLabels };
  return JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: app, namespace },
    spec: {
      replicas,
      selector: { matchLabels: { app } },
      template: {
        metadata: { labels },
        spec: {
          containers: [
            {
              name: 'echo',
              image: 'axoneme/echo:latest',
              ports: [
                { name: 'http', containerPort: 80 },
                { name: 'echo', containerPort: 7 },
              ],
            },
          ],
        },
      },
    },
  });
};
