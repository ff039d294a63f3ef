// The words cases are written in: policy objects, who is meant, what is expected.
import type { Actor } from './actors.ts';
import type { KubeObject } from './api.ts';
import type { Cell, Expect } from './cell.ts';
import type { MatchOptions, Table } from './table.ts';
import { isLocalHost } from './table.ts';

export interface Step {
  readonly what: string;
  act(t: Table): Promise<void>;
  readonly expect: Expect;
}

export interface Case {
  readonly name: string;
  /** Applied in order, removed in reverse. A function: addresses are needed. */
  readonly objects: readonly KubeObject[] | ((t: Table) => readonly KubeObject[]);
  readonly expect: Expect;
  readonly match?: MatchOptions;
  /** The API server refuses the last object with such a message; nothing is enforced. */
  readonly refused?: RegExp;
  /** Conditions of the last object that must be there. */
  readonly conditions?: Readonly<Record<string, readonly ['True' | 'False', RegExp]>>;
  /** What happens after the table was as expected. */
  readonly steps?: readonly Step[];
  /** Puts back what the steps changed. */
  after?(t: Table): Promise<void>;
}

export type Spec = Readonly<Record<string, unknown>>;

export const cnp = (name: string, spec: Spec, namespace = 'shop', annotations: Readonly<Record<string, string>> = {}): KubeObject => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name, namespace, annotations },
  spec,
});
export const ccnp = (name: string, spec: Spec): KubeObject => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumClusterwideNetworkPolicy',
  metadata: { name },
  spec,
});
export const knp = (name: string, spec: Spec, namespace = 'shop'): KubeObject => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, namespace },
  spec,
});

const admin = (version: string, kind: string, name: string, spec: Spec): KubeObject => ({
  apiVersion: `policy.networking.k8s.io/${version}`,
  kind,
  metadata: { name },
  spec,
});
export const anp = (name: string, priority: number, spec: Spec): KubeObject =>
  admin('v1alpha1', 'AdminNetworkPolicy', name, { priority, ...spec });
export const banp = (spec: Spec): KubeObject => admin('v1alpha1', 'BaselineAdminNetworkPolicy', 'default', spec);
export const cnp2 = (name: string, tier: 'Admin' | 'Baseline', priority: number, spec: Spec): KubeObject =>
  admin('v1alpha2', 'ClusterNetworkPolicy', name, { tier, priority, ...spec });

/** A pod or a namespace of the table, to be labelled. */
export const podRef = (ns: string, name: string): KubeObject => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: ns } });
export const namespaceRef = (name: string): KubeObject => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });

export const app = (name: string): Spec => ({ matchLabels: { app: name } });
export const inNamespace = (ns: string, labels: Readonly<Record<string, string>> = {}): Spec => ({
  matchLabels: { 'k8s:io.kubernetes.pod.namespace': ns, ...labels },
});
export const ports = (...list: readonly (string | Spec)[]): Spec[] => [
  { ports: list.map((p) => (typeof p === 'string' ? { port: p.split('/')[0]!, protocol: p.split('/')[1] ?? 'TCP' } : p)) },
];

export type Who = (a: Actor) => boolean;
export type When = (c: Cell) => boolean;

export const nobody: When = () => false;
export const named =
  (...names: readonly string[]): Who =>
  (a) =>
    names.includes(a.name);
export const pods: Who = (a) => a.kind === 'pod';
export const podsOf =
  (...ns: readonly string[]): Who =>
  (a) =>
    a.kind === 'pod' && ns.includes(a.ns);
export const world: Who = (a) => a.kind === 'world';
export const hosts: Who = (a) => a.kind === 'host';
export const sentBy =
  (who: Who, when: When = () => true): When =>
  (c) =>
    who(c.from) && when(c);
export const to =
  (who: Who, when: When = () => true): When =>
  (c) =>
    who(c.to) && when(c);
export const on =
  (...list: readonly string[]): When =>
  (c) =>
    list.includes(c.protocol === 'icmp' ? 'icmp' : `${c.port}/${c.protocol}`);
export const any =
  (...whens: readonly When[]): When =>
  (c) =>
    whens.some((w) => w(c));

export const open: Expect = () => 'pass';

/** What a pod that is isolated at ingress lets in: what is allowed, and its own host unless that is denied. */
export const ingress =
  (subject: Who, allowed: When, denied: When = nobody): Expect =>
  (c) => {
    if (c.to.kind !== 'pod' || !subject(c.to)) return 'pass';
    if (denied(c)) return 181;
    return isLocalHost(c) || allowed(c) ? 'pass' : 133;
  };

export const egress =
  (subject: Who, allowed: When, denied: When = nobody): Expect =>
  (c) => {
    if (c.from.kind !== 'pod' || !subject(c.from)) return 'pass';
    if (denied(c)) return 181;
    return allowed(c) ? 'pass' : 133;
  };

/** A packet meets the egress of its source first: the first drop counts. */
export const both =
  (...list: readonly Expect[]): Expect =>
  (c) => {
    for (const e of list) {
      const v = e(c);
      if (v !== 'pass') return v;
    }
    return 'pass';
  };

/** Drops of these cells carry another reason. */
export const exceptFor =
  (when: When, verdict: 'pass' | number, otherwise: Expect): Expect =>
  (c) =>
    when(c) ? verdict : otherwise(c);
