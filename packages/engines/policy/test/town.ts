// The cluster of the example policies: its pods, nodes, Services and CIDR groups, and what a set of objects compiles to there, as text.

import { type IdentityId, protocolNumbers, reservedIdentities } from '@axoneme/model';
import {
  bindRules,
  cidrs,
  compileLayers,
  createReferenceIndex,
  type LayerTable,
  layersOf,
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
import { cidrIdentitiesOf, classesOf, config, hostsOf, identitiesOf, ip, type Lab, named, node, nodesOf, pod } from './lab.ts';

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
