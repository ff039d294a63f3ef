// Where a pod may run: selectors, affinity, taints, readiness. Pure. Used by the scheduler and by DaemonSets.
import type { KubeObject } from '../apiserver/types.ts';
import { type LabelSelector, labelsMatch, selectorMatches } from '../client/selector.ts';
import { conditionsOf } from '../kubelet/pod-types.ts';
import type { Taint, Toleration } from './shapes.ts';

interface NodeTerm {
  readonly matchExpressions?: LabelSelector['matchExpressions'];
  readonly matchFields?: readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] }[];
}
export interface PodTerm {
  readonly labelSelector?: LabelSelector;
  readonly topologyKey: string;
  readonly namespaces?: readonly string[];
}
export interface PlacementSpec {
  readonly nodeName?: string;
  readonly hostNetwork?: boolean;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly tolerations?: readonly Toleration[];
  readonly schedulerName?: string;
  readonly schedulingGates?: readonly unknown[];
  readonly affinity?: {
    readonly nodeAffinity?: {
      readonly requiredDuringSchedulingIgnoredDuringExecution?: { readonly nodeSelectorTerms?: readonly NodeTerm[] };
    };
    readonly podAffinity?: { readonly requiredDuringSchedulingIgnoredDuringExecution?: readonly PodTerm[] };
    readonly podAntiAffinity?: { readonly requiredDuringSchedulingIgnoredDuringExecution?: readonly PodTerm[] };
  };
  readonly containers?: readonly { readonly ports?: readonly { readonly hostPort?: number; readonly protocol?: string }[] }[];
}

export const NOT_READY: Taint = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };
const UNSCHEDULABLE: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

export const nodeReady = (node: KubeObject): boolean => conditionsOf(node).some((c) => c.type === 'Ready' && c.status === 'True');

const tolerates = (t: Toleration, taint: Taint): boolean => {
  if (t.effect !== undefined && t.effect !== '' && t.effect !== taint.effect) return false;
  if (t.key === undefined || t.key === '') return t.operator === 'Exists';
  return t.key === taint.key && (t.operator === 'Exists' || (t.value ?? '') === (taint.value ?? ''));
};

/** The node's taints with those its state implies. */
export function taintsOf(node: KubeObject): readonly Taint[] {
  const spec = (node.spec ?? {}) as { taints?: readonly Taint[]; unschedulable?: boolean };
  return [...(spec.taints ?? []), ...(nodeReady(node) ? [] : [NOT_READY]), ...(spec.unschedulable === true ? [UNSCHEDULABLE] : [])];
}

/** Why the pod may not run there because of taints; undefined if it may. */
export function untolerated(spec: PlacementSpec, node: KubeObject): Taint | undefined {
  return taintsOf(node)
    .filter((t) => t.effect === 'NoSchedule' || t.effect === 'NoExecute')
    .find((taint) => !(spec.tolerations ?? []).some((t) => tolerates(t, taint)));
}

/** nodeSelector and required node affinity. */
export function selectsNode(spec: PlacementSpec, node: KubeObject): boolean {
  if (!labelsMatch(spec.nodeSelector ?? {}, node.metadata.labels)) return false;
  const terms = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms === undefined) return true;
  return terms.some((t) => {
    const fields = (t.matchFields ?? []).every((f) => f.key === 'metadata.name' && (f.values ?? []).includes(node.metadata.name ?? ''));
    const labels = t.matchExpressions === undefined || selectorMatches({ matchExpressions: t.matchExpressions }, node.metadata.labels);
    return fields && labels && (t.matchFields !== undefined || t.matchExpressions !== undefined);
  });
}

export interface Neighbour {
  readonly pod: KubeObject;
  readonly node: KubeObject;
}

/** Whether some pod the term selects lives in the same topology domain as `node`. */
export function hasNeighbour(term: PodTerm, namespace: string, node: KubeObject, others: readonly Neighbour[]): boolean {
  const domain = node.metadata.labels?.[term.topologyKey];
  if (domain === undefined) return false;
  return others.some(
    (o) =>
      o.node.metadata.labels?.[term.topologyKey] === domain &&
      (term.namespaces ?? [namespace]).includes(o.pod.metadata.namespace ?? '') &&
      selectorMatches(term.labelSelector, o.pod.metadata.labels),
  );
}
