// Node IPAM: Services of class io.cilium/node have addresses of nodes in their status. Pure; called by the leading operator.

import {
  compareIp,
  compileSelector,
  type IpAddr,
  type IpFamily,
  ipFamily,
  type LabelSelector,
  labelsFromMap,
  matchAllSelector,
  matchesSelector,
  type Selector,
} from '@axoneme/model';
import { readFamilies } from './lb-read.ts';

export interface NodeIpamNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly internal: readonly IpAddr[];
  readonly external: readonly IpAddr[];
  /** Ready, and nobody is about to take it away. */
  readonly serves: boolean;
}

export interface NodeIpamService {
  /** `namespace/name`. */
  readonly key: string;
  readonly families: readonly IpFamily[];
  /** Only nodes with a backend count. */
  readonly local: boolean;
  /** Undefined: it cannot be read, see `problem`. */
  readonly nodes: Selector | undefined;
  readonly problem: string | undefined;
}

export const NODE_LABELS_ANNOTATION = 'io.cilium.nodeipam/match-node-labels';
const CLASS = 'io.cilium/node';
/** On nodes that no load balancer uses. */
const EXCLUDED_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';

type Json = Readonly<Record<string, unknown>>;
const obj = (v: unknown): Json => (v !== null && typeof v === 'object' && !Array.isArray(v) ? (v as Json) : {});
const str = (v: unknown): string => (typeof v === 'string' ? v : '');

/** Undefined for Services of others. `unclassed`: those without class are ours too. */
export function readNodeIpamService(raw: unknown, o: { readonly unclassed: boolean }): NodeIpamService | undefined {
  const meta = obj(obj(raw).metadata);
  const spec = obj(obj(raw).spec);
  if (spec.type !== 'LoadBalancer' || (meta.deletionTimestamp !== undefined && meta.deletionTimestamp !== null)) return undefined;
  const className = str(spec.loadBalancerClass);
  if (className !== CLASS && !(className === '' && o.unclassed)) return undefined;
  const selector = parseSelectorText(str(obj(meta.annotations)[NODE_LABELS_ANNOTATION]));
  return {
    key: `${str(meta.namespace)}/${str(meta.name)}`,
    families: readFamilies(spec),
    local: spec.externalTrafficPolicy === 'Local',
    nodes: typeof selector === 'string' ? undefined : selector,
    problem: typeof selector === 'string' ? selector : undefined,
  };
}

const SETS: Readonly<Record<string, 'In' | 'NotIn'>> = { in: 'In', notin: 'NotIn' };

/** As kubectl writes selectors: `a=b,c!=d,e in (f,g),h notin (i),j,!k`. The selector, or what is wrong with it. */
function parseSelectorText(text: string): Selector | string {
  if (text.trim() === '') return matchAllSelector;
  const matchExpressions: NonNullable<LabelSelector['matchExpressions']>[number][] = [];
  // commas between brackets belong to the set
  for (const part of text.split(/,(?![^(]*\))/).map((p) => p.trim())) {
    const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(part);
    const value = /^([^\s=!]+)\s*(==|=|!=)\s*(\S*)$/.exec(part);
    const bare = /^(!?)\s*([^\s=!(),]+)$/.exec(part);
    if (set !== null) {
      const values = (set[3] ?? '').split(',').map((v) => v.trim());
      matchExpressions.push({ key: set[1] ?? '', operator: SETS[set[2] ?? ''] ?? 'In', values });
    } else if (value !== null) {
      matchExpressions.push({ key: value[1] ?? '', operator: value[2] === '!=' ? 'NotIn' : 'In', values: [value[3] ?? ''] });
    } else if (bare !== null) matchExpressions.push({ key: bare[2] ?? '', operator: bare[1] === '!' ? 'DoesNotExist' : 'Exists' });
    else return `${NODE_LABELS_ANNOTATION}: ${JSON.stringify(part)} is no part of a selector`;
  }
  const compiled = compileSelector({ matchExpressions });
  return compiled.ok ? compiled.value : `${NODE_LABELS_ANNOTATION}: ${compiled.error.message}`;
}

/** Addresses the Service is to have, IPv4 first: external ones if any of its nodes has one, else internal ones. Undefined: those it has. */
export function planNodeAddresses(
  service: NodeIpamService,
  nodes: Iterable<NodeIpamNode>,
  backendNodes: (service: string) => ReadonlySet<string>,
): readonly IpAddr[] | undefined {
  const { nodes: selector } = service;
  if (selector === undefined) return undefined;
  const backends = service.local ? backendNodes(service.key) : undefined;
  const mine = [...nodes].filter(
    (n) =>
      n.serves &&
      n.labels[EXCLUDED_LABEL] === undefined &&
      backends?.has(n.name) !== false &&
      matchesSelector(selector, labelsFromMap(n.labels)),
  );
  const wanted = (ips: readonly IpAddr[]): IpAddr[] => ips.filter((ip) => service.families.includes(ipFamily(ip)));
  const external = mine.flatMap((n) => wanted(n.external));
  const found = external.length > 0 ? external : mine.flatMap((n) => wanted(n.internal));
  return [...new Set(found)].sort((a, b) => ipFamily(a) - ipFamily(b) || compareIp(a, b));
}
