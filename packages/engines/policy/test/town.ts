// The cluster of the example policies: its pods, nodes, Services and CIDR groups, and what a set of objects compiles to there, as text.

import { type IdentityId, protocolNumbers, reservedIdentities } from '@axoneme/model';
import {
  bindRules,
  cidrs,
  compileLayers,
  createReferenceIndex,
  type Direction,
  judge,
  type LayerTable,
  layersOf,
  lookup,
  type PolicyObject,
  type PolicyRow,
  parseCidrGroup,
  parsePolicy,
  type ReferencedService,
  type ReferenceIndex,
  type Rule,
  type RuleId,
  renderIssue,
  rowsOf,
  type SubjectPolicy,
  serviceLabels,
} from '../src/index.ts';
import {
  cidrIdentitiesOf,
  classesOf,
  compileWorld,
  config,
  hostsOf,
  identitiesOf,
  ip,
  type Lab,
  named,
  node,
  nodesOf,
  pod,
} from './lab.ts';

const namespaceLabels = (name: string, team: string): Record<string, string> => ({ 'kubernetes.io/metadata.name': name, team });
const shop = { ns: namespaceLabels('shop', 'shop') };

const pods = [
  pod('shop/web', 'shop', 1001, ['10.1.1.1', 'fd00:1::1'], { ...shop, labels: { app: 'web' }, ports: [named('http', 80)] }),
  pod('shop/api', 'shop', 1002, ['10.1.1.2', 'fd00:1::2'], { ...shop, labels: { app: 'api' }, ports: [named('http', 8080)] }),
  pod('shop/db', 'shop', 1003, ['10.1.2.3', 'fd00:2::3'], { ...shop, labels: { app: 'db' } }),
  pod('blog/blog', 'blog', 1004, ['10.1.2.4'], { ns: namespaceLabels('blog', 'front'), labels: { app: 'blog' } }),
  pod('monitoring/prometheus', 'monitoring', 1005, ['10.1.2.5'], {
    ns: namespaceLabels('monitoring', 'platform'),
    labels: { app: 'prometheus' },
  }),
  pod('kube-system/dns', 'kube-system', 1006, ['10.1.2.6'], {
    ns: namespaceLabels('kube-system', 'platform'),
    labels: { 'k8s-app': 'kube-dns' },
    ports: [named('dns', 53, 'UDP')],
  }),
  pod('other:shop/web', 'shop', 65_536 * 2 + 7, ['10.200.0.1'], { ...shop, labels: { app: 'web' }, cluster: 'other' }),
];

export const town: Lab = {
  pods,
  world: {
    pods,
    host: node('edge1', ['192.168.0.1'], { role: 'edge' }),
    nodes: [node('worker1', ['192.168.0.2'], { role: 'worker' }), node('control1', ['192.168.0.3'], { role: 'control-plane' }, true)],
  },
};

const service = (
  name: string,
  labels: Record<string, string>,
  selector: Record<string, string> | undefined,
  addresses: string[] = [],
): ReferencedService => ({ namespace: 'shop', name, labels: serviceLabels(labels), selector, addresses: addresses.map(ip) });

export const services: readonly ReferencedService[] = [
  service('web', { exposure: 'public' }, { app: 'web' }),
  service('db', { exposure: 'internal' }, { app: 'db' }),
  service('mainframe', {}, undefined, ['192.0.2.77', '2001:db8::77']),
  service('nowhere', {}, undefined),
];

/** Services of the town and the CIDR groups among the objects. */
export function referencesOfTown(objects: readonly PolicyObject[]): ReferenceIndex {
  const groups = objects.filter((o) => o.kind === 'CiliumCIDRGroup').map((o) => parseCidrGroup(o).group);
  return createReferenceIndex(services, groups);
}

/** Rules of the objects, bound to what the town has. Throws if an object is refused. */
export function rulesInTown(objects: readonly PolicyObject[], references: ReferenceIndex = referencesOfTown(objects)): Rule[] {
  return objects
    .filter((o) => o.kind !== 'CiliumCIDRGroup')
    .flatMap((o) => {
      const parsed = parsePolicy(o, { clusterName: 'main' });
      if (!parsed.ok) throw new TypeError(`${o.metadata.name}: ${parsed.error.map(renderIssue).join('; ')}`);
      return bindRules(parsed.value.rules, references).rules;
    });
}

export type Ask = (subject: string, direction: Direction, peer: string, traffic: string) => string;

/** Judges by rows and by rules; both must agree. `peer`: name of a pod, or an address. `traffic`: `80/TCP`, `icmp/8`. */
export function askTown(objects: readonly PolicyObject[], references?: ReferenceIndex): Ask {
  const rules = rulesInTown(objects, references);
  const { table, identity, cls } = compileWorld(rules, town, config);
  return (name, direction, peer, traffic) => {
    const subject = town.pods.find((p) => p.name === name)!;
    const address = town.pods.find((p) => p.name === peer)?.addresses[0] ?? ip(peer);
    const [left, right] = traffic.split('/') as [string, string];
    const icmp = left === 'icmp';
    const packet = {
      direction,
      protocol: icmp ? protocolNumbers.ICMP : protocolNumbers[right as 'TCP'],
      port: Number(icmp ? right : left),
    };
    const byRows = lookup(table.subjects.get(subject.id)!, { ...packet, peer: identity(address), cls: cls(address) });
    const byRules = judge(rules, town.world, { ...packet, subject, peer: address }, config);
    if (byRows.allowed !== byRules.allowed) throw new TypeError(`rows say ${byRows.reason}, rules say ${byRules.reason}`);
    return byRows.allowed ? 'pass' : byRows.reason === 'default-deny' ? 'drop 133' : 'drop 181';
  };
}

export const everyone = ['shop/web', 'shop/api', 'shop/db', 'blog/blog', 'monitoring/prometheus', 'kube-system/dns', 'other:shop/web'];
export const outside = '203.0.113.9';
export const thisNode = '192.168.0.1';
export const otherNode = '192.168.0.2';

/** Peers that pass, of all pods, nodes and one outside. */
export const admitted = (ask: Ask, subject: string, direction: Direction, traffic: string): string[] =>
  [...everyone, thisNode, otherNode, outside].filter((p) => ask(subject, direction, p, traffic) === 'pass');

export const object = (kind: string, spec: object, metadata: object = {}): PolicyObject => ({
  kind,
  metadata: { name: 'p', ...(kind === 'NetworkPolicy' || kind === 'CiliumNetworkPolicy' ? { namespace: 'shop' } : {}), ...metadata },
  spec,
});
/** On the API pod of the shop. */
export const onApi = (spec: object): PolicyObject =>
  object('CiliumNetworkPolicy', { endpointSelector: { matchLabels: { app: 'api' } }, ...spec });

export interface TownResult {
  readonly lines: readonly string[];
  readonly rules: readonly Rule[];
}

/** Issues, missing references, and the rows of every subject in words. Throws if an object is refused. */
export function describe(objects: readonly PolicyObject[]): TownResult {
  const lines: string[] = [];
  const rules: Rule[] = [];
  const references = referencesOfTown(objects);
  for (const o of objects.filter((x) => x.kind !== 'CiliumCIDRGroup')) {
    const parsed = parsePolicy(o, { clusterName: 'main' });
    if (!parsed.ok) throw new TypeError(`${o.metadata.name}: ${parsed.error.map(renderIssue).join('; ')}`);
    lines.push(...parsed.value.issues.map((i) => `${i.severity} ${renderIssue(i)}`));
    const bound = bindRules(parsed.value.rules, references);
    lines.push(...bound.missing.map((m) => `missing ${m}`));
    rules.push(...bound.rules);
  }
  return { lines: [...lines, ...describeTable(rules)], rules };
}

function describeTable(rules: readonly Rule[]): string[] {
  const cidrIdentities = cidrIdentitiesOf(cidrs(rules));
  const { classes } = classesOf(rules, town);
  const table = compileLayers({ rules, identities: identitiesOf(town), cidrIdentities, classes, hosts: hostsOf(town) }, config);
  const names = new Map<IdentityId, string>([
    [0 as IdentityId, 'anyone'],
    ...reservedIdentities.map((r) => [r.id, r.name] as const),
    ...town.pods.map((p) => [p.id, p.name] as const),
    ...cidrIdentities.map((c) => [c.id, c.cidr] as const),
    ...hostsOf(town).map((h, i) => [h.id, `node ${nodesOf(town)[i]!.name}`] as const),
    ...classes.map((c) => [c.id, `block ${c.block ?? '-'}${c.nodes.map((n) => ` node[${n}]`).join('')}`] as const),
  ]);
  return [...table.subjects].flatMap(([id, set]) =>
    layersOf(set).flatMap(([layer, policy]) => describeLayer(`${names.get(id) ?? id} ${layer}`, policy, table, names)),
  );
}

function describeLayer(title: string, policy: SubjectPolicy, table: LayerTable, names: ReadonlyMap<IdentityId, string>): string[] {
  const isolated = (['ingress', 'egress'] as const).filter((d) => policy.defaultDeny[d]);
  // Endpoints without labels yet are always isolated; it says nothing about the policies.
  if (policy.rows.count === 0 && (isolated.length === 0 || title.startsWith('init '))) return [];
  const groups = new Map<string, string[]>();
  for (const row of rowsOf(policy.rows)) {
    const text = rowText(row, table);
    const peers = groups.get(text) ?? [];
    peers.push(names.get(row.peer) ?? String(row.peer));
    groups.set(text, peers);
  }
  return [
    '',
    `${title}${isolated.length === 0 ? '' : `: isolated at ${isolated.join(' and ')}`}`,
    ...[...groups].map(([text, peers]) => `  ${text}: ${peers.join(', ')}`),
  ];
}

const protocolNames = new Map<number, string>(Object.entries(protocolNumbers).map(([name, n]) => [n, name]));
const level = (row: PolicyRow): string => (row.precedence >>> 8 === 0xff_ffff ? '' : ` priority ${0xff_ffff - (row.precedence >>> 8)}`);

function rowText(row: PolicyRow, table: LayerTable): string {
  const { port, len } = row.prefix;
  const ports = len === 0 ? '' : len === 16 ? ` ${port}` : ` ${port}-${port + 2 ** (16 - len) - 1}`;
  const traffic = row.protocol === 0 ? 'everything' : `${protocolNames.get(row.protocol) ?? row.protocol}${ports}`;
  return `${row.direction} ${row.verdict} ${traffic}${level(row)} [${originText(row.ruleId, table)}]`;
}

function originText(id: RuleId, table: LayerTable): string {
  const o = table.origins.get(id);
  if (o === undefined) return String(id);
  return `${o.text}${o.description === undefined ? '' : ` "${o.description}"`}${o.log === undefined ? '' : ` log ${o.log}`}`;
}
