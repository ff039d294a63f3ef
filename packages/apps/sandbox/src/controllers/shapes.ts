// The parts of workload objects that the controllers read.
import type { KubeObject, ObjectMeta } from '../apiserver/types.ts';
import type { LabelSelector } from '../client/selector.ts';
import { conditionsOf, type PodSpec, phaseOf } from '../kubelet/pod-types.ts';

export interface PodTemplate {
  readonly metadata?: ObjectMeta;
  readonly spec: PodSpec & { readonly nodeSelector?: Readonly<Record<string, string>>; readonly tolerations?: readonly Toleration[] };
}
export interface Toleration {
  readonly key?: string;
  readonly operator?: string;
  readonly value?: string;
  readonly effect?: string;
}
export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}
export interface RollingUpdate {
  readonly maxSurge?: number | string;
  readonly maxUnavailable?: number | string;
}
export interface DeploymentSpec {
  readonly replicas?: number;
  readonly selector: LabelSelector;
  readonly template: PodTemplate;
  readonly strategy?: { readonly type?: string; readonly rollingUpdate?: RollingUpdate };
  readonly paused?: boolean;
  readonly revisionHistoryLimit?: number;
  readonly minReadySeconds?: number;
}
export interface ReplicaSetSpec {
  readonly replicas?: number;
  readonly selector: LabelSelector;
  readonly template: PodTemplate;
}
export interface DaemonSetSpec {
  readonly selector: LabelSelector;
  readonly template: PodTemplate;
  readonly updateStrategy?: { readonly type?: string; readonly rollingUpdate?: RollingUpdate };
}
export interface StatefulSetSpec {
  readonly replicas?: number;
  readonly serviceName?: string;
  readonly selector: LabelSelector;
  readonly template: PodTemplate;
  readonly podManagementPolicy?: string;
  readonly updateStrategy?: { readonly type?: string };
  readonly volumeClaimTemplates?: readonly { readonly metadata: ObjectMeta; readonly spec?: unknown }[];
}
export interface JobSpec {
  readonly parallelism?: number;
  readonly completions?: number;
  readonly backoffLimit?: number;
  readonly suspend?: boolean;
  readonly selector?: LabelSelector;
  readonly template: PodTemplate;
  readonly ttlSecondsAfterFinished?: number;
}
export interface ServicePort {
  readonly name?: string;
  readonly protocol?: string;
  readonly port: number;
  readonly targetPort?: number | string;
  readonly appProtocol?: string;
}
export interface ServiceSpec {
  readonly type?: string;
  readonly selector?: Readonly<Record<string, string>>;
  readonly ports?: readonly ServicePort[];
  readonly clusterIP?: string;
  readonly ipFamilies?: readonly string[];
  readonly publishNotReadyAddresses?: boolean;
}

export const specOf = <T>(o: KubeObject): T => o.spec as T;
export const isReady = (pod: KubeObject): boolean => conditionsOf(pod).some((c) => c.type === 'Ready' && c.status === 'True');
export const isFinished = (pod: KubeObject): boolean => ['Succeeded', 'Failed'].includes(phaseOf(pod));
/** A pod that counts: neither going away nor over. */
export const isActive = (pod: KubeObject): boolean => pod.metadata.deletionTimestamp === undefined && !isFinished(pod);

/** `25%` or a number of `total`. */
export function scaled(value: number | string | undefined, total: number, fallback: number | string, up: boolean): number {
  const v = value ?? fallback;
  if (typeof v === 'number') return v;
  if (!v.endsWith('%')) return Number(v);
  const n = (Number(v.slice(0, -1)) * total) / 100;
  return up ? Math.ceil(n) : Math.floor(n);
}
