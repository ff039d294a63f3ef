// Who takes part in the table of verdicts: nine pods in three namespaces, both nodes, the API server and the world outside.
import type { ChildProcess } from 'node:child_process';
import { AppError } from '@axoneme/std';
import { type Fixture, type PodInfo, until } from '../fixture.ts';
import type { Api, KubeObject } from './api.ts';
import { matrixTool, serveOutside, type Voice, voiceInPod, voiceOutside } from './prober.ts';

export const namespaces = ['shop', 'blog', 'bank'] as const;
export const apps = ['a', 'b', 'c'] as const;

export interface Actor {
  readonly kind: 'pod' | 'host' | 'world' | 'api';
  /** Namespace of a pod; otherwise the kind. */
  readonly ns: string;
  /** Label `app` of a pod. */
  readonly app: string;
  /** `shop/a`, `node-1`, `world`, `api` */
  readonly name: string;
  readonly node: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Undefined: it only answers. */
  readonly voice: Voice | undefined;
  /** Port that answers; undefined: those of the table. */
  readonly onlyPort?: number;
  /** Further addresses its packets may carry. */
  readonly more?: readonly string[];
}

export interface Cast {
  readonly actors: readonly Actor[];
  find(name: string): Actor;
  close(): void;
}

/** What every pod of the table answers. 80/TCP, 81/TCP and 80/UDP have names. */
export const served = ['t80', 't81', 't443', 't8050', 'u80', 'u81', 'u443'] as const;

export const namespaceObject = (name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { team: name } },
});

export function podObject(ns: string, app: string, node: string, extra: Readonly<Record<string, unknown>> = {}): KubeObject {
  const ports = [
    { name: 'http', containerPort: 80, protocol: 'TCP' },
    { name: 'alt', containerPort: 81, protocol: 'TCP' },
    { name: 'quic', containerPort: 80, protocol: 'UDP' },
  ];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: app, namespace: ns, labels: { app } },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'matrix', image: 'axoneme/echo:latest', command: [matrixTool, 'serve', ...served], ports }],
      ...extra,
    },
  };
}

/** Every pod has peers on its own node and on the other one, in its own namespace and in others. */
const nodeOf = (nodes: readonly string[], ns: number, app: number): string => nodes[(ns + app) % nodes.length]!;

async function ready(f: Fixture, ns: string, count: number): Promise<PodInfo[]> {
  return f.ready('app', count, ns);
}

/** Places outside of the cluster. `world` is the sandbox's own; the others have addresses for cases about prefixes. */
const outsiders = [
  { name: 'world', ipv4: '203.0.113.9', ipv6: '2001:db8:ffff::9' },
  { name: 'ext8', ipv4: '10.8.8.8', ipv6: '2001:db8:8::8' },
  { name: 'ext9', ipv4: '10.9.9.9', ipv6: '2001:db8:9::9' },
] as const;

async function placeOutsiders(f: Fixture): Promise<void> {
  for (const o of outsiders.slice(1)) {
    for (const [family, prefix] of [
      ['-4', `${o.ipv4}/32`],
      ['-6', `${o.ipv6}/128`],
    ] as const) {
      await f.sandbox.fabricExec('worldPid', ['ip', family, 'addr', 'replace', prefix, 'dev', 'eth0']);
      await f.sandbox.fabricExec('routerPid', ['ip', family, 'route', 'replace', prefix, 'dev', 'world0']);
    }
  }
}

/** Addresses of a node beside those its object names. */
async function innerAddresses(f: Fixture, node: string): Promise<string[]> {
  const { stdout } = await f.sandbox.nodeExec(node, ['ip', '-o', 'addr']);
  return [...stdout.matchAll(/ inet6? ([^/ ]+)/g)].map((m) => m[1]!).filter((a) => a !== '127.0.0.1' && a !== '::1');
}

/** The world learns where pods live, as a cluster whose pod addresses are routed would tell it. */
async function routePods(f: Fixture, pods: readonly PodInfo[]): Promise<void> {
  const routed = pods.flatMap((p) => {
    const node = f.sandbox.nodes.find((n) => n.name === p.node)!;
    return [
      ['-4', `${p.ipv4}/32`, node.ipv4, '203.0.113.1'],
      ['-6', `${p.ipv6}/128`, node.ipv6, '2001:db8:ffff::1'],
    ];
  });
  for (const [family = '', prefix = '', node = '', gateway = ''] of routed) {
    const a = await f.sandbox.fabricExec('routerPid', ['ip', family, 'route', 'replace', prefix, 'via', node]);
    const b = await f.sandbox.fabricExec('worldPid', ['ip', family, 'route', 'replace', prefix, 'via', gateway]);
    if (a.code !== 0 || b.code !== 0) throw new AppError({ code: 'e2e/route', message: `${prefix}: ${a.stderr}${b.stderr}` });
  }
}

async function apiActor(f: Fixture): Promise<Actor> {
  interface Endpoints {
    readonly subsets: readonly {
      readonly addresses: readonly { readonly ip: string }[];
      readonly ports: readonly { readonly port: number }[];
    }[];
  }
  const { subsets } = await f.json<Endpoints>('get', 'endpoints', 'kubernetes', '-n', 'default');
  const ips = subsets.flatMap((s) => s.addresses.map((a) => a.ip));
  return {
    kind: 'api',
    ns: 'api',
    app: '',
    name: 'api',
    node: '',
    ipv4: ips.find((ip) => !ip.includes(':')) ?? '',
    ipv6: ips.find((ip) => ip.includes(':')) ?? '',
    voice: undefined,
    onlyPort: subsets[0]!.ports[0]!.port,
  };
}

/** Brings everybody up; resolves when every prober answers. */
export async function gather(f: Fixture, api: Api): Promise<Cast> {
  const nodes = f.sandbox.nodes.map((n) => n.name);
  await api.apply(...namespaces.map(namespaceObject), namespaceObject('hosts'));
  await api.apply(...namespaces.flatMap((ns, i) => apps.map((app, j) => podObject(ns, app, nodeOf(nodes, i, j)))));
  await api.apply(...nodes.map((node) => podObject('hosts', node, node, { hostNetwork: true })));
  const pods = (await Promise.all(namespaces.map((ns) => ready(f, ns, apps.length)))).flat();
  await ready(f, 'hosts', nodes.length);
  await routePods(f, pods);
  await placeOutsiders(f);
  const outside: ChildProcess = serveOutside(f, served);
  const inner = new Map(await Promise.all(nodes.map(async (n) => [n, await innerAddresses(f, n)] as const)));
  const actors: Actor[] = [
    ...pods.map(
      (p): Actor => ({
        kind: 'pod',
        ns: p.namespace,
        app: p.name,
        name: `${p.namespace}/${p.name}`,
        node: p.node,
        ipv4: p.ipv4,
        ipv6: p.ipv6,
        voice: voiceInPod(f, p.namespace, p.name),
      }),
    ),
    ...f.sandbox.nodes.map(
      (n): Actor => ({
        kind: 'host',
        ns: 'host',
        app: '',
        name: n.name,
        node: n.name,
        ipv4: n.ipv4,
        ipv6: n.ipv6,
        voice: voiceInPod(f, 'hosts', n.name),
        more: inner.get(n.name) ?? [],
      }),
    ),
    ...outsiders.map((o): Actor => ({ kind: 'world', ns: 'world', app: '', node: '', ...o, voice: voiceOutside(f, o.ipv4, o.ipv6) })),
    await apiActor(f),
  ];
  await Promise.all(
    actors.map((a) =>
      until(
        `${a.name} asks`,
        20_000,
        async () => (await a.voice?.ask([{ protocol: 'icmp', address: '127.0.0.1', port: 0, timeoutMs: 500 }])) ?? [],
      ),
    ),
  );
  return {
    actors,
    find(name) {
      const a = actors.find((x) => x.name === name);
      if (a === undefined) throw new AppError({ code: 'e2e/actor', message: `nobody is called ${name}` });
      return a;
    },
    close() {
      for (const a of actors) a.voice?.close();
      outside.kill('SIGTERM');
    },
  };
}
