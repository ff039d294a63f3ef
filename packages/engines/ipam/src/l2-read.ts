// CiliumL2AnnouncementPolicies and Services as plain objects → what the plan needs of them. Called by the operator.

import { compileSelector, createLabels, type IpAddr, type Labels, matchAllSelector, parseIp, type Selector } from '@axoneme/model';
import { isOurs } from './lb-read.ts';

/** Conditions of a policy that cannot be read; users of Cilium know the names. */
export type L2Problem = 'io.cilium/bad-node-selector' | 'io.cilium/bad-service-selector' | 'io.cilium/bad-interface-regex';

export interface L2Policy {
  readonly name: string;
  readonly externalIps: boolean;
  readonly loadBalancerIps: boolean;
  readonly services: Selector;
  readonly nodes: Selector;
  /** Regular expressions over names of devices; none: every device. */
  readonly interfaces: readonly string[];
  /** A policy with any has no effect. */
  readonly problems: ReadonlyMap<L2Problem, string>;
}

export interface L2Service {
  /** `namespace/name`. */
  readonly key: string;
  readonly createdMs: number;
  /** With the pseudo labels of namespace and name. */
  readonly labels: Labels;
  /** Only nodes with a backend may have its addresses. */
  readonly local: boolean;
  readonly externalIps: readonly IpAddr[];
  readonly loadBalancerIps: readonly IpAddr[];
}

const CLASS = 'io.cilium/l2-announcer';

type Json = Readonly<Record<string, unknown>>;
const obj = (v: unknown): Json => (v !== null && typeof v === 'object' && !Array.isArray(v) ? (v as Json) : {});
const list = (v: unknown): readonly unknown[] => (Array.isArray(v) ? v : []);
const str = (v: unknown): string => (typeof v === 'string' ? v : '');
const ips = (texts: readonly unknown[]): IpAddr[] =>
  texts.flatMap((t) => {
    const ip = parseIp(str(t));
    return ip.ok ? [ip.value] : [];
  });
/** As the kernel's own objects have them, so that selectors of any source match. */
export const l2Labels = (labels: Json): Labels =>
  createLabels(Object.entries(labels).map(([key, value]) => ({ source: 'k8s', key, value: str(value) })));

export function readL2Policy(raw: unknown): L2Policy {
  const spec = obj(obj(raw).spec);
  const problems = new Map<L2Problem, string>();
  const selector = (v: unknown, problem: L2Problem): Selector => {
    if (v === undefined || v === null) return matchAllSelector;
    const s = compileSelector(obj(v));
    if (s.ok) return s.value;
    problems.set(problem, s.error.message);
    return matchAllSelector;
  };
  const interfaces = list(spec.interfaces).map(str);
  const wrong = interfaces.flatMap((text) => {
    try {
      new RegExp(text);
      return [];
    } catch (e) {
      return [(e as Error).message];
    }
  });
  if (wrong.length > 0) problems.set('io.cilium/bad-interface-regex', wrong.join('; '));
  return {
    name: str(obj(obj(raw).metadata).name),
    externalIps: spec.externalIPs === true,
    loadBalancerIps: spec.loadBalancerIPs === true,
    services: selector(spec.serviceSelector, 'io.cilium/bad-service-selector'),
    nodes: selector(spec.nodeSelector, 'io.cilium/bad-node-selector'),
    interfaces,
    problems,
  };
}

/** Undefined for Services without such addresses, and for those that somebody else announces. */
export function readL2Service(raw: unknown): L2Service | undefined {
  const meta = obj(obj(raw).metadata);
  const spec = obj(obj(raw).spec);
  const className = str(spec.loadBalancerClass);
  if (className !== '' && className !== CLASS) return undefined;
  const externalIps = ips(list(spec.externalIPs));
  const ingress = spec.type === 'LoadBalancer' ? list(obj(obj(obj(raw).status).loadBalancer).ingress).map(obj) : [];
  const loadBalancerIps = ips(ingress.filter(isOurs).map((i) => i.ip));
  if (externalIps.length + loadBalancerIps.length === 0) return undefined;
  const names = { 'io.kubernetes.service.namespace': meta.namespace, 'io.kubernetes.service.name': meta.name };
  return {
    key: `${str(meta.namespace)}/${str(meta.name)}`,
    createdMs: Date.parse(str(meta.creationTimestamp)) || 0,
    labels: l2Labels({ ...obj(meta.labels), ...names }),
    local: spec.externalTrafficPolicy === 'Local',
    externalIps,
    loadBalancerIps,
  };
}
