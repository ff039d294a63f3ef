// Pools and Services from their plain JSON. Nothing in it makes a reader fail: what is wrong is left out and named. Called by the operator.

import {
  cidrBits,
  cidrFamily,
  compileSelector,
  createLabels,
  familyBits,
  type IpAddr,
  type IpFamily,
  ipFamily,
  ipToBigint,
  type Labels,
  matchAllSelector,
  parseCidr,
  parseIp,
} from '@axoneme/model';
import { canonicalJson } from '@axoneme/std';
import { cidrRange } from './blocks.ts';
import type { LbPool, LbRange } from './lb-pools.ts';
import type { LbService } from './lb-sharing.ts';

type Json = Readonly<Record<string, unknown>>;

export interface LbReadOptions {
  /** Whether Services without a class are ours. */
  readonly unclassed: boolean;
}

/** On Services: whether they have the addresses they ask for. */
export const LB_CONDITION = 'cilium.io/IPAMRequestSatisfied';
const CLASSES: readonly string[] = ['io.cilium/bgp-control-plane', 'io.cilium/l2-announcer'];

const obj = (v: unknown): Json => (v !== null && typeof v === 'object' && !Array.isArray(v) ? (v as Json) : {});
const list = (v: unknown): readonly Json[] => (Array.isArray(v) ? v.map(obj) : []);
const str = (v: unknown): string => (typeof v === 'string' ? v : '');
const words = (s: string): string[] =>
  s
    .split(',')
    .map((w) => w.trim())
    .filter(Boolean);
const quote = (v: unknown): string => (JSON.stringify(v) ?? 'nothing').slice(0, 60);
const createdMs = (meta: Json): number => Date.parse(str(meta.creationTimestamp)) || 0;
const addresses = (texts: readonly string[]): IpAddr[] => [
  ...new Set(
    texts.flatMap((t) => {
      const ip = parseIp(t);
      return ip.ok ? [ip.value] : [];
    }),
  ),
];

export function readLbPool(raw: unknown): LbPool {
  const meta = obj(obj(raw).metadata);
  const spec = obj(obj(raw).spec);
  const problems: string[] = [];
  const ranges = list(spec.blocks).flatMap((b, i) => {
    const range = readBlock(b, spec.allowFirstLastIPs === 'No');
    if (typeof range !== 'string') return [range];
    problems.push(`spec.blocks[${i}]: ${range}`);
    return [];
  });
  const selector =
    spec.serviceSelector === undefined || spec.serviceSelector === null ? undefined : compileSelector(obj(spec.serviceSelector));
  if (selector?.ok === false) problems.push(`spec.serviceSelector: ${selector.error.message}`);
  return {
    name: str(meta.name),
    createdMs: createdMs(meta),
    ranges,
    selector: selector === undefined ? matchAllSelector : selector.ok ? selector.value : undefined,
    disabled: spec.disabled === true,
    problems,
  };
}

/** The range, or what is wrong with the block. */
function readBlock(b: Json, skipEnds: boolean): LbRange | string {
  if (b.cidr !== undefined && (b.start !== undefined || b.stop !== undefined)) return 'has both cidr and start or stop';
  if (b.cidr !== undefined) {
    const cidr = parseCidr(str(b.cidr));
    if (!cidr.ok) return `${quote(b.cidr)} is not a prefix`;
    const family = cidrFamily(cidr.value);
    const { first, last } = cidrRange(cidr.value);
    const inner = skipEnds && cidrBits(cidr.value) < familyBits(family) - 1;
    return inner ? { family, first: first + 1n, last: last - 1n } : { family, first, last };
  }
  const start = parseIp(str(b.start));
  const stop = parseIp(str(b.stop ?? b.start));
  if (!start.ok) return `start ${quote(b.start)} is not an address`;
  if (!stop.ok) return `stop ${quote(b.stop)} is not an address`;
  const range = { family: ipFamily(start.value), first: ipToBigint(start.value), last: ipToBigint(stop.value) };
  if (ipFamily(stop.value) !== range.family) return 'start and stop are of different families';
  return range.first > range.last ? `start ${start.value} is behind stop ${stop.value}` : range;
}

/** Undefined for Services that have nothing to do with load balancer addresses. */
export function readLbService(raw: unknown, o: LbReadOptions): LbService | undefined {
  const meta = obj(obj(raw).metadata);
  const spec = obj(obj(raw).spec);
  const status = obj(obj(raw).status);
  const marked = list(status.conditions).some((c) => c.type === LB_CONDITION);
  const balanced = spec.type === 'LoadBalancer';
  if (!balanced && !marked) return undefined;
  const className = str(spec.loadBalancerClass);
  const mine = balanced && (className === '' ? o.unclassed : CLASSES.includes(className));
  const leaving = meta.deletionTimestamp !== undefined && meta.deletionTimestamp !== null;
  const annotations = obj(meta.annotations);
  const annotation = (name: string, old: string): string => str(annotations[`lbipam.cilium.io/${name}`] ?? annotations[`io.cilium/${old}`]);
  const wishes = words(annotation('ips', 'lb-ipam-ips') || str(spec.loadBalancerIP));
  return {
    key: `${str(meta.namespace)}/${str(meta.name)}`,
    namespace: str(meta.namespace),
    createdMs: createdMs(meta),
    standing: mine ? (leaving ? 'leaving' : 'ours') : marked && !leaving ? 'released' : 'other',
    marked,
    families: readFamilies(spec),
    pinned: wishes.length > 0,
    requested: addresses(wishes),
    problems: wishes.filter((w) => !parseIp(w).ok).map((w) => `${quote(w)} is not an address`),
    sharingKey: annotation('sharing-key', 'lb-ipam-sharing-key'),
    sharingNamespaces: new Set(words(annotation('sharing-cross-namespace', 'lb-ipam-sharing-cross-namespace'))),
    ports: new Set(list(spec.ports).map((p) => `${String(p.port)}/${str(p.protocol) || 'TCP'}`)),
    local: spec.externalTrafficPolicy === 'Local',
    backends: canonicalJson(obj(spec.selector)),
    labels: readLabels(meta),
    held: addresses(
      list(obj(status.loadBalancer).ingress)
        .filter(isOurs)
        .map((i) => str(i.ip)),
    ),
  };
}

/** Entries of mode Proxy, and names, are somebody else's. */
export const isOurs = (i: Json): boolean => typeof i.ip === 'string' && (i.ipMode === undefined || i.ipMode === null || i.ipMode === 'VIP');

/** Families of addresses that a Service of type LoadBalancer is to have. */
export function readFamilies(spec: Json): IpFamily[] {
  const named = Array.isArray(spec.ipFamilies) ? spec.ipFamilies : [];
  const ips = addresses(Array.isArray(spec.clusterIPs) ? spec.clusterIPs.map(str) : [str(spec.clusterIP)]);
  const policy = str(spec.ipFamilyPolicy);
  const has = (f: IpFamily): boolean =>
    policy === 'RequireDualStack' ||
    (named.length > 0
      ? named.includes(`IPv${f}`)
      : ips.length > 0
        ? ips.some((ip) => ipFamily(ip) === f)
        : policy === 'PreferDualStack' || f === 4);
  return ([4, 6] as const).filter(has);
}

function readLabels(meta: Json): Labels {
  const labels = { ...obj(meta.labels), 'io.kubernetes.service.namespace': meta.namespace, 'io.kubernetes.service.name': meta.name };
  return createLabels(Object.entries(labels).map(([key, value]) => ({ source: 'k8s', key, value: str(value) })));
}
