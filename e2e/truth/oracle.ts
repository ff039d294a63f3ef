// The reference evaluator on the cast of the table: a second witness for what cases expect. It reads the same objects as the cluster and
// answers one packet at a time, straight from the rules.
import { createLabels, type IpAddr, type Labels, type NamedPort, podLabels, protocolNumbers } from '@axoneme/model';
import {
  bindRules,
  cidrGroupLabels,
  createReferenceIndex,
  type Judgement,
  type JudgeNode,
  type JudgePod,
  judge,
  judgeHost,
  type PolicyConfig,
  type PolicyObject,
  parseCidrGroup,
  parsePolicy,
  policyKinds,
  type ReferenceIndex,
  type Rule,
  serviceLabels,
  type World,
} from '@axoneme/policy';
import type { Actor, Cast } from './actors.ts';
import type { KubeObject } from './api.ts';
import { type Cell, type Expect, ipOf, type Verdict } from './cell.ts';

const config: PolicyConfig = { mode: 'default', clusterName: 'default', allowLocalhost: true };
const namedPorts = [
  { name: 'http', protocol: 'TCP', port: 80 },
  { name: 'alt', protocol: 'TCP', port: 81 },
  { name: 'quic', protocol: 'UDP', port: 80 },
] as unknown as readonly NamedPort[];

const addressesOf = (a: Actor): IpAddr[] => [a.ipv4, a.ipv6, ...(a.more ?? [])].filter((ip) => ip !== '') as IpAddr[];

const podOf = (a: Actor): JudgePod => ({
  addresses: addressesOf(a),
  labels: podLabels({
    podLabels: { app: a.app },
    namespace: a.ns,
    namespaceLabels: { 'kubernetes.io/metadata.name': a.ns, team: a.ns },
    serviceAccount: 'default',
    cluster: config.clusterName,
  }),
  namedPorts,
});

const nodeLabels = (name: string): Labels =>
  createLabels(
    [
      ['kubernetes.io/hostname', name],
      ['kubernetes.io/os', 'linux'],
    ].map(([key = '', value = '']) => ({ source: 'k8s', key, value })),
  );

const nodeOf = (a: Actor): JudgeNode => ({
  name: a.name,
  labels: a.kind === 'api' ? createLabels([]) : nodeLabels(a.name),
  addresses: addressesOf(a),
  apiServer: a.kind === 'api',
});

interface ServiceSpec {
  readonly selector?: Readonly<Record<string, string>>;
}
interface Slice {
  readonly endpoints: readonly { readonly addresses: readonly string[] }[];
}

function putReferences(refs: ReferenceIndex, objects: readonly KubeObject[]): void {
  for (const o of objects) {
    const { namespace = '', name, labels = {} } = o.metadata;
    if (o.kind === 'CiliumCIDRGroup') {
      const { group } = parseCidrGroup(o as unknown as Parameters<typeof parseCidrGroup>[0]);
      if (group !== undefined) refs.putCidrGroup({ ...group, labels: cidrGroupLabels(name, labels) });
    }
    if (o.kind !== 'Service') continue;
    const slices = objects.filter((s) => s.kind === 'EndpointSlice' && s.metadata.labels?.['kubernetes.io/service-name'] === name);
    const addresses = slices.flatMap((s) => (s as unknown as Slice).endpoints.flatMap((e) => e.addresses)) as IpAddr[];
    refs.putService({ namespace, name, labels: serviceLabels(labels), selector: (o.spec as ServiceSpec).selector, addresses });
  }
}

function rulesOf(objects: readonly KubeObject[]): readonly Rule[] {
  const refs = createReferenceIndex();
  putReferences(refs, objects);
  const rules = objects
    .filter((o) => policyKinds.includes(o.kind))
    .flatMap((o) => {
      const parsed = parsePolicy(o as unknown as PolicyObject, { clusterName: config.clusterName });
      if (!parsed.ok) throw new Error(`${o.kind} ${o.metadata.name}: ${JSON.stringify(parsed.error)}`);
      return parsed.value.rules;
    });
  return bindRules(rules, refs).rules;
}

function verdictOf(j: Judgement | undefined): Verdict {
  if (j === undefined || j.allowed) return 'pass';
  return j.reason === 'default-deny' ? 133 : 181;
}

/** What the reference evaluator says about these objects. */
export function createOracle(cast: Cast, objects: readonly KubeObject[]): Expect {
  const rules = rulesOf(objects);
  const pods = new Map(cast.actors.filter((a) => a.kind === 'pod').map((a) => [a, podOf(a)]));
  const nodes = cast.actors.filter((a) => a.kind === 'host' || a.kind === 'api').map(nodeOf);
  const worldOn = (name: string): World => {
    const host = nodes.find((n) => n.name === name)!;
    return { pods: [...pods.values()], host, nodes: nodes.filter((n) => n !== host) };
  };
  const worlds = new Map(cast.actors.filter((a) => a.kind === 'host').map((a) => [a.name, worldOn(a.name)]));
  const side = (c: Cell, own: Actor, other: Actor, direction: 'ingress' | 'egress'): Verdict => {
    const world = worlds.get(own.node);
    const icmp = c.protocol === 'icmp';
    const protocol = icmp ? (c.family === 4 ? 1 : 58) : protocolNumbers[c.protocol === 'tcp' ? 'TCP' : 'UDP'];
    const packet = { direction, peer: ipOf(other, c.family) as IpAddr, protocol, port: icmp ? (c.family === 4 ? 8 : 128) : c.port };
    if (world === undefined) return 'pass';
    const subject = pods.get(own);
    return verdictOf(subject === undefined ? judgeHost(rules, world, packet, config) : judge(rules, world, { ...packet, subject }, config));
  };
  return (c) => {
    const out = side(c, c.from, c.to, 'egress');
    return out === 'pass' ? side(c, c.to, c.from, 'ingress') : out;
  };
}
