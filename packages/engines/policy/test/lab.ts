// A small cluster for tests: pods, nodes, the outside, and both ways of judging a packet in it.

import {
  type Cidr,
  cidrOfIp,
  createPrefixTable,
  type IdentityId,
  type IpAddr,
  ipFamily,
  type Labels,
  labelsFromMap,
  type NamedPort,
  type Port,
  type PortProtocol,
  parseIp,
  podLabels,
  protocolNumbers,
} from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import {
  type AddressClass,
  type CidrIdentity,
  cidrs,
  classFirst,
  compileLayers,
  type Direction,
  type HostSubject,
  hostFirst,
  type JudgeNode,
  type JudgePod,
  judge,
  type LayerTable,
  lookup,
  type ParsedPolicy,
  type PolicyConfig,
  type PolicyIdentity,
  type PolicyObject,
  parsePolicy,
  planAddressClasses,
  type Rule,
  type World,
} from '../src/index.ts';

export const config: PolicyConfig = { mode: 'default', clusterName: 'main', allowLocalhost: true };
export const ip = (t: string): IpAddr => unwrap(parseIp(t));
export const named = (name: string, port: number, protocol: PortProtocol = 'TCP'): NamedPort => ({ name, port: port as Port, protocol });

export interface LabPod extends JudgePod {
  readonly name: string;
  readonly id: IdentityId;
}

export function pod(
  name: string,
  namespace: string,
  id: number,
  addresses: string[],
  more: { labels?: Record<string, string>; ports?: NamedPort[]; cluster?: string; ns?: Record<string, string> } = {},
): LabPod {
  const labels: Labels = podLabels({
    podLabels: more.labels ?? { app: name },
    namespace,
    namespaceLabels: more.ns ?? { team: namespace },
    serviceAccount: 'default',
    cluster: more.cluster ?? 'main',
  });
  return { name, id: id as IdentityId, labels, addresses: addresses.map(ip), namedPorts: more.ports ?? [] };
}

export const node = (name: string, addresses: string[], labels: Record<string, string>, apiServer = false): JudgeNode => ({
  name,
  labels: labelsFromMap(Object.fromEntries(Object.entries(labels).map(([k, v]) => [`k8s:${k}`, v]))),
  addresses: addresses.map(ip),
  apiServer,
});

export interface Lab {
  readonly pods: readonly LabPod[];
  readonly world: World;
}

export const lab: Lab = (() => {
  const pods = [
    pod('a', 'shop', 1001, ['10.1.1.10', 'fd00:1::10'], { ports: [named('http', 8080), named('dns', 53, 'UDP')] }),
    pod('b', 'shop', 1002, ['10.1.1.1', 'fd00:1::1'], { ports: [named('web', 80), named('http', 8081)] }),
    pod('c', 'blog', 1003, ['10.1.2.1', 'fd00:2::1'], { ports: [named('web', 8088)] }),
    pod('far', 'shop', 65_536 * 2 + 7, ['10.200.0.1'], { labels: { app: 'b' }, cluster: 'other' }),
  ];
  return {
    pods,
    world: {
      pods,
      host: node('n1', ['192.168.0.1'], { zone: 'a' }),
      nodes: [node('n2', ['192.168.0.2'], { zone: 'b' }), node('n3', ['192.168.0.3'], { zone: 'b', role: 'control' }, true)],
    },
  };
})();

export const identitiesOf = (l: Lab): PolicyIdentity[] => l.pods.map((p) => ({ id: p.id, labels: p.labels, namedPorts: p.namedPorts }));
export const cidrIdentitiesOf = (list: readonly Cidr[]): CidrIdentity[] =>
  list.map((cidr, i) => ({ cidr, id: (0x0100_0001 + i) as IdentityId }));

export const nodesOf = (l: Lab): JudgeNode[] => [l.world.host, ...l.world.nodes];
export const hostsOf = (l: Lab): HostSubject[] => nodesOf(l).map((n, i) => ({ id: (hostFirst + 1 + i) as IdentityId, labels: n.labels }));

/** Address classes with numbers, and the table that leads to them. */
export function classesOf(
  rules: readonly Rule[],
  l: Lab,
): { readonly classes: AddressClass[]; readonly resolve: (a: IpAddr) => IdentityId | undefined } {
  const plan = planAddressClasses({ rules, nodes: nodesOf(l) });
  const ids = new Map(plan.classes.map((c, i) => [c.key, (classFirst + 1 + i) as IdentityId]));
  const table = createPrefixTable<IdentityId>();
  for (const r of plan.rows) table.set(r.cidr, ids.get(r.key)!);
  return {
    classes: plan.classes.map(({ key, block, nodes }) => ({ id: ids.get(key)!, block, nodes })),
    resolve: (a) => table.lookup(a)?.value,
  };
}

/** Everything compiled for one world, and how its addresses look to the kernel. */
export interface CompiledWorld {
  readonly table: LayerTable;
  readonly identity: (a: IpAddr) => IdentityId;
  readonly cls: (a: IpAddr) => IdentityId | undefined;
}

export function compileWorld(rules: readonly Rule[], l: Lab, cfg: PolicyConfig): CompiledWorld {
  const cidrIdentities = cidrIdentitiesOf(cidrs(rules));
  const { classes, resolve } = classesOf(rules, l);
  const table = compileLayers({ rules, identities: identitiesOf(l), cidrIdentities, classes, hosts: hostsOf(l) }, cfg);
  return { table, identity: ipcache(l, cidrIdentities), cls: resolve };
}

/** The ipcache as nodes hold it. */
export function ipcache(l: Lab, cidrIds: readonly CidrIdentity[]): (address: IpAddr) => IdentityId {
  const table = createPrefixTable<IdentityId>();
  for (const c of cidrIds) table.set(c.cidr, c.id);
  for (const n of l.world.nodes) for (const a of n.addresses) table.set(cidrOfIp(a), (n.apiServer ? 7 : 6) as IdentityId);
  for (const a of l.world.host.addresses) table.set(cidrOfIp(a), 1 as IdentityId);
  for (const p of l.pods) for (const a of p.addresses) table.set(cidrOfIp(a), p.id);
  return (a) => table.lookup(a)?.value ?? ((ipFamily(a) === 4 ? 9 : 10) as IdentityId);
}

export interface Compiled {
  readonly parsed: readonly ParsedPolicy[];
  readonly table: LayerTable;
  /** `out` or `in` as seen by pod `name`; `peer` is a pod name or an address; `traffic` is `80/TCP`, `icmp/8`. */
  verdict(name: string, direction: Direction, peer: string, traffic: string): string;
}

const wire = (traffic: string): { protocol: number; port: number } => {
  const [left, right] = traffic.split('/') as [string, string];
  if (left === 'icmp') return { protocol: protocolNumbers.ICMP, port: Number(right) };
  if (left === 'icmp6') return { protocol: protocolNumbers.ICMPv6, port: Number(right) };
  return { protocol: protocolNumbers[right as 'TCP'] ?? Number(right), port: Number(left) };
};

/** Parses, compiles, and judges every packet twice: by rows and by rules. Both must agree. */
export function compileLab(objects: readonly PolicyObject[], cfg: PolicyConfig = config, l: Lab = lab): Compiled {
  const parsed = objects.map((o) => {
    const r = parsePolicy(o, { clusterName: 'main' });
    if (!r.ok) throw new TypeError(r.error.map((i) => `${i.path}: ${i.message}`).join('; '));
    return r.value;
  });
  const rules = parsed.flatMap((p) => p.rules);
  const { table, identity, cls } = compileWorld(rules, l, cfg);
  return {
    parsed,
    table,
    verdict(name, direction, peer, traffic) {
      const subject = l.pods.find((p) => p.name === name)!;
      const address = l.pods.find((p) => p.name === peer)?.addresses[0] ?? ip(peer);
      const { protocol, port } = wire(traffic);
      const byRows = lookup(table.subjects.get(subject.id)!, { peer: identity(address), cls: cls(address), direction, protocol, port });
      const byRules = judge(rules, l.world, { subject, direction, peer: address, protocol, port }, cfg);
      const text = byRows.allowed ? 'pass' : byRows.reason === 'default-deny' ? 'drop 133' : 'drop 181';
      if (byRows.allowed !== byRules.allowed) throw new TypeError(`rows say ${text}, rules say ${byRules.reason}`);
      return text;
    },
  };
}

export const cnp = (spec: object, name = 'p', namespace = 'shop'): PolicyObject => ({
  kind: 'CiliumNetworkPolicy',
  metadata: { name, namespace },
  spec,
});
export const ccnp = (spec: object, name = 'p'): PolicyObject => ({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name }, spec });
export const onA = (spec: object, name?: string): PolicyObject => cnp({ endpointSelector: { matchLabels: { app: 'a' } }, ...spec }, name);
export const labelsOf = labelsFromMap;
