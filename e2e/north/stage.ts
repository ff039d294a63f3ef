// What the matrix of Services is asked on: backends on both nodes, pods and nodes and the world as clients, Services of every shape with
// addresses of their own, and the world's routes to those.
import { WORLD } from '@axoneme/sandbox';
import { AppError } from '@axoneme/std';
import { type Fixture, until } from '../fixture.ts';
import type { Asker, Backend, Cell, Family, Ground, Kind, Mode, NodePlace, Place, Policy, Protocol, ServiceShape } from './rule.ts';
import { type Client, clientInPod, clientOnNode, clientOutside, whoTool } from './who.ts';

export const POD_PORT = 80;
const HOST_NETWORK_PORT = 8085;
export const HOST_PORT = 8090;
/** Where the world's routes to addresses of Services lead: one prefix for all of a family. */
const prefixes = ['198.51.100.0/24', '2001:db8:77::/64'] as const;

/** Backends of a place: pods on both nodes, of one node, in the nodes' own network. */
const backendPods = [
  { name: 'b1', node: 0, host: false },
  { name: 'b2', node: 0, host: false },
  { name: 'b3', node: 1, host: false },
  { name: 'h1', node: 0, host: true },
  { name: 'h2', node: 1, host: true },
] as const;
const labelsOf: Readonly<Record<Place, Readonly<Record<string, string>>>> = {
  both: { back: 'pod' },
  one: { back: 'pod', on: 'node-1' },
  host: { back: 'host' },
};

export interface Numbered {
  readonly shape: ServiceShape;
  /** Last part of its addresses. */
  readonly number: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

export const shapes = (list: readonly (readonly [Place, Policy, Policy])[], modes: readonly Mode[]): Numbered[] =>
  list
    .flatMap(([place, external, internal]) =>
      modes.map((mode): ServiceShape => {
        const name = `${place}-${external[0]}${internal[0]}-${mode}`.toLowerCase();
        return { name, place, external, internal, mode };
      }),
    )
    .map((shape, i) => ({ shape, number: 10 + i }));

const loadBalancerIps = (n: number): readonly [string, string] => [`198.51.100.${n}`, `2001:db8:77::${n}`];
const externalIps = (n: number): readonly [string, string] => [`198.51.100.${100 + n}`, `2001:db8:77::${100 + n}`];

export function podObject(
  name: string,
  node: string,
  labels: Readonly<Record<string, string>>,
  extra: object,
  command: readonly string[],
): object {
  const ports = (extra as { ports?: unknown }).ports;
  const { ports: _, ...spec } = extra as { ports?: unknown };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'who', image: 'axoneme/echo:latest', command: [...command], ...(ports === undefined ? {} : { ports }) }],
      ...spec,
    },
  };
}

export function serviceObject({ shape, number, annotations }: Numbered): object {
  const targetPort = shape.place === 'host' ? HOST_NETWORK_PORT : POD_PORT;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: shape.name,
      annotations: {
        'lbipam.cilium.io/ips': loadBalancerIps(number).join(),
        'service.cilium.io/forwarding-mode': shape.mode,
        ...annotations,
      },
    },
    spec: {
      type: 'LoadBalancer',
      ipFamilyPolicy: 'RequireDualStack',
      externalTrafficPolicy: shape.external,
      internalTrafficPolicy: shape.internal,
      externalIPs: externalIps(number),
      selector: labelsOf[shape.place],
      ports: [
        { name: 'tcp', protocol: 'TCP', port: 80, targetPort },
        { name: 'udp', protocol: 'UDP', port: 80, targetPort },
      ],
    },
  };
}

const pool = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumLoadBalancerIPPool',
  metadata: { name: 'north' },
  spec: { blocks: prefixes.map((cidr) => ({ cidr })) },
};

interface ServiceJson {
  metadata: { name: string };
  spec: { clusterIPs: string[]; ports: { protocol: Protocol; nodePort: number }[] };
  status: { loadBalancer?: { ingress?: { ip: string }[] } };
}

export interface Target {
  readonly address: string;
  readonly port: number;
}

export interface Stage extends Ground {
  readonly fixture: Fixture;
  readonly askers: readonly Asker[];
  readonly services: readonly Numbered[];
  clientOf(a: Asker): Client;
  targetOf(c: Cell): Target;
  /** Leads the world to every address of a Service by this node. */
  routeBy(node: NodePlace): Promise<void>;
  /** The same by several nodes. */
  routeByAll(): Promise<void>;
  close(): void;
}

async function nodePlaces(f: Fixture): Promise<NodePlace[]> {
  return Promise.all(
    f.sandbox.nodes.map(async (n) => {
      const { stdout } = await f.sandbox.nodeExec(n.name, ['ip', '-o', 'addr', 'show', 'dev', 'axo_host', 'scope', 'global']);
      const found = [...stdout.matchAll(/ inet6? ([^/ ]+)/g)].map((m) => m[1]!);
      return {
        name: n.name,
        ipv4: n.ipv4,
        ipv6: n.ipv6,
        router4: found.find((a) => !a.includes(':')) ?? '',
        router6: found.find((a) => a.includes(':')) ?? '',
      };
    }),
  );
}

async function placePods(f: Fixture): Promise<{ backends: Backend[]; askers: Asker[] }> {
  const nodes = f.sandbox.nodes;
  const serve = (name: string, port: number): string[] => [whoTool, 'serve', name, `t${port}`, `u${port}`];
  const hostPorts = ['TCP', 'UDP'].map((protocol) => ({ containerPort: POD_PORT, hostPort: HOST_PORT, protocol }));
  await f.apply(
    list([
      pool,
      ...backendPods.map((b) =>
        podObject(
          b.name,
          nodes[b.node]!.name,
          { north: 'backend', back: b.host ? 'host' : 'pod', on: nodes[b.node]!.name },
          b.host ? { hostNetwork: true } : {},
          serve(b.name, b.host ? HOST_NETWORK_PORT : POD_PORT),
        ),
      ),
      podObject('p1', nodes[0]!.name, { north: 'backend' }, { ports: hostPorts }, serve('p1', POD_PORT)),
      ...nodes.map((n, i) => podObject(`c${i + 1}`, n.name, { north: 'client' }, {}, ['sleep', 'infinity'])),
    ]),
  );
  const backends = (await f.ready('north=backend', backendPods.length + 1)).map(
    (p): Backend => ({ name: p.name, node: p.node, ipv4: p.ipv4, ipv6: p.ipv6, hostNetwork: p.name.startsWith('h') }),
  );
  const clients = (await f.ready('north=client', nodes.length)).map(
    (p): Asker => ({ kind: 'pod', name: p.name, node: p.node, ipv4: p.ipv4, ipv6: p.ipv6 }),
  );
  return {
    backends,
    askers: [
      ...clients,
      ...nodes.map((n): Asker => ({ kind: 'node', name: n.name, node: n.name, ipv4: n.ipv4, ipv6: n.ipv6 })),
      { kind: 'outside', name: 'outside', node: '', ipv4: WORLD.v4, ipv6: WORLD.v6 },
    ],
  };
}

export const list = (items: readonly object[]): string => items.map((o) => JSON.stringify(o)).join('\n---\n');

/** Resolves when every Service has the addresses that it asks for. */
async function placeServices(f: Fixture, services: readonly Numbered[]): Promise<Map<string, ServiceJson>> {
  await f.apply(list(services.map((s) => serviceObject(s))));
  return until('Services have addresses', 30_000, async () => {
    const { items } = await f.json<{ items: ServiceJson[] }>('get', 'services');
    const found = new Map(items.map((s) => [s.metadata.name, s]));
    return services.every((s) => (found.get(s.shape.name)?.status.loadBalancer?.ingress ?? []).length === 2) ? found : undefined;
  });
}

const hostPortShape: ServiceShape = { name: 'host-port', place: 'one', external: 'Local', internal: 'Cluster', mode: 'snat' };

export async function openStage(f: Fixture, services: readonly Numbered[]): Promise<Stage> {
  const { backends, askers } = await placePods(f);
  const objects = await placeServices(f, services);
  const nodes = await nodePlaces(f);
  const clients = new Map<string, Client>();
  for (const a of askers)
    clients.set(
      a.name,
      a.kind === 'pod' ? clientInPod(f, 'default', a.name) : a.kind === 'node' ? clientOnNode(f, a.node) : clientOutside(f),
    );
  const routeTo = async (names: readonly string[]): Promise<void> => {
    for (const p of prefixes) await f.sandbox.route(p, names);
  };
  const named = (names: readonly string[]): Backend[] => backends.filter((b) => names.includes(b.name));
  const placed: Readonly<Record<Place, readonly string[]>> = { both: ['b1', 'b2', 'b3'], one: ['b1', 'b2'], host: ['h1', 'h2'] };
  return {
    fixture: f,
    nodes,
    askers,
    services,
    backendsOf: (s) => named(s === hostPortShape ? ['p1'] : placed[s.place]),
    clientOf: (a) => clients.get(a.name)!,
    targetOf: (c) => targetOf(c, services, objects),
    routeBy: (n) => routeTo([n.name]),
    routeByAll: () => routeTo(nodes.map((n) => n.name)),
    close() {
      for (const c of clients.values()) c.close();
    },
  };
}

function targetOf(c: Cell, services: readonly Numbered[], objects: ReadonlyMap<string, ServiceJson>): Target {
  const at = c.family === 4 ? 0 : 1;
  const nodeAddress = c.family === 4 ? c.via?.ipv4 : c.via?.ipv6;
  if (c.kind === 'HostPort') return { address: nodeAddress!, port: HOST_PORT };
  const object = objects.get(c.service.name);
  const number = services.find((s) => s.shape === c.service)?.number;
  if (object === undefined || number === undefined) throw new AppError({ code: 'e2e/service', message: `no Service ${c.service.name}` });
  switch (c.kind) {
    case 'ClusterIP':
      return { address: object.spec.clusterIPs.find((ip) => ip.includes(':') === (c.family === 6))!, port: 80 };
    case 'NodePort':
      return { address: nodeAddress!, port: object.spec.ports.find((p) => p.protocol === c.protocol)!.nodePort };
    case 'LoadBalancer':
      return { address: loadBalancerIps(number)[at], port: 80 };
    case 'ExternalIP':
      return { address: externalIps(number)[at], port: 80 };
  }
}

const families: readonly Family[] = [4, 6];
const protocols: readonly Protocol[] = ['TCP', 'UDP'];

/** Every way to ask a Service: inside it matters only for ports of nodes which node is asked, outside always. */
export function cellsOf(g: Ground, askers: readonly Asker[], service: ServiceShape, kind: Kind): Cell[] {
  const ofNode = kind === 'NodePort' || kind === 'HostPort';
  return askers.flatMap((asker) => {
    const vias = ofNode || (asker.kind === 'outside' && kind !== 'ClusterIP') ? g.nodes : [undefined];
    return vias.flatMap((via) =>
      families.flatMap((family) => protocols.map((protocol): Cell => ({ service, kind, family, protocol, asker, via }))),
    );
  });
}

export const hostPortCells = (g: Ground, askers: readonly Asker[]): Cell[] => cellsOf(g, askers, hostPortShape, 'HostPort');
