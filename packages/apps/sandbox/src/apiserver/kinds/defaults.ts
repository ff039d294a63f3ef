// Defaults that belong to the type: the writer owns them. Called for built-in kinds after normalisation, on every write.
import { asList, asObj, isObj, type Obj } from '../obj.ts';
import type { KubeObject } from '../types.ts';
import { defaultPodSpec } from './pod-defaults.ts';

type Defaulter = (o: KubeObject, spec: Obj) => void;

const put = (o: Obj, key: string, value: unknown): void => {
  if (o[key] === undefined) o[key] = value;
};

function template(spec: Obj): Obj {
  const t = asObj(spec.template);
  if (isObj(t.spec)) defaultPodSpec(t.spec);
  return t;
}

/** In apps/v1 labels of an object default to nothing, but a Job's selector is made by the server. */
function job(o: Obj, spec: Obj): void {
  put(spec, 'completionMode', 'NonIndexed');
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  put(spec, 'parallelism', 1);
  put(spec, 'backoffLimit', spec.backoffLimitPerIndex === undefined ? 6 : 2_147_483_647);
  put(spec, 'suspend', false);
  put(spec, 'podReplacementPolicy', spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed');
  const t = template(spec);
  const labels = asObj(asObj(t.metadata).labels);
  const meta = asObj(o.metadata);
  if (meta.labels === undefined && Object.keys(labels).length > 0) meta.labels = { ...labels };
}

function service(spec: Obj): void {
  put(spec, 'type', 'ClusterIP');
  put(spec, 'sessionAffinity', 'None');
  if (spec.sessionAffinity === 'ClientIP') put(spec, 'sessionAffinityConfig', { clientIP: { timeoutSeconds: 10_800 } });
  const type = spec.type;
  for (const p of asList(spec.ports)) {
    if (!isObj(p)) continue;
    put(p, 'protocol', 'TCP');
    if (p.targetPort === undefined || p.targetPort === 0 || p.targetPort === '') p.targetPort = p.port;
  }
  if (type === 'NodePort' || type === 'LoadBalancer') put(spec, 'externalTrafficPolicy', 'Cluster');
  if (type === 'LoadBalancer') put(spec, 'allocateLoadBalancerNodePorts', true);
  if (type !== 'ExternalName') put(spec, 'internalTrafficPolicy', 'Cluster');
}

function networkPolicy(spec: Obj): void {
  for (const rule of [...asList(spec.ingress), ...asList(spec.egress)]) {
    for (const p of asList(asObj(rule).ports)) if (isObj(p)) put(p, 'protocol', 'TCP');
  }
  if (spec.policyTypes === undefined) spec.policyTypes = spec.egress === undefined ? ['Ingress'] : ['Ingress', 'Egress'];
}

function webhooks(o: Obj): void {
  for (const w of asList(o.webhooks)) {
    if (!isObj(w)) continue;
    put(w, 'failurePolicy', 'Fail');
    put(w, 'matchPolicy', 'Equivalent');
    put(w, 'namespaceSelector', {});
    put(w, 'objectSelector', {});
    put(w, 'timeoutSeconds', 10);
    for (const r of asList(w.rules)) if (isObj(r)) put(r, 'scope', '*');
    const svc = asObj(w.clientConfig).service;
    if (isObj(svc)) put(svc, 'port', 443);
  }
}

function roleRefs(o: Obj): void {
  for (const s of asList(o.subjects)) {
    if (!isObj(s) || s.apiGroup !== undefined) continue;
    if (s.kind === 'User' || s.kind === 'Group') s.apiGroup = 'rbac.authorization.k8s.io';
  }
  const ref = asObj(o.roleRef);
  if (ref.apiGroup === undefined || ref.apiGroup === '') ref.apiGroup = 'rbac.authorization.k8s.io';
}

function crd(spec: Obj): void {
  const names = asObj(spec.names);
  put(names, 'listKind', `${String(names.kind)}List`);
  put(names, 'singular', String(names.kind).toLowerCase());
  put(spec, 'conversion', { strategy: 'None' });
}

const byType: Readonly<Record<string, Defaulter>> = {
  Pod: (_o, spec) => {
    defaultPodSpec(spec);
    put(spec, 'enableServiceLinks', true);
  },
  Namespace: (o) => {
    const { name } = o.metadata;
    if (name !== undefined) o.metadata.labels = { ...o.metadata.labels, 'kubernetes.io/metadata.name': name };
  },
  PodTemplate: (o) => template(o),
  Deployment: (_o, spec) => {
    put(spec, 'replicas', 1);
    put(spec, 'revisionHistoryLimit', 10);
    put(spec, 'progressDeadlineSeconds', 600);
    const strategy = asObj(spec.strategy);
    put(strategy, 'type', 'RollingUpdate');
    if (strategy.type === 'RollingUpdate') {
      put(strategy, 'rollingUpdate', {});
      put(asObj(strategy.rollingUpdate), 'maxUnavailable', '25%');
      put(asObj(strategy.rollingUpdate), 'maxSurge', '25%');
    }
    spec.strategy = strategy;
    template(spec);
  },
  ReplicaSet: (_o, spec) => {
    put(spec, 'replicas', 1);
    template(spec);
  },
  DaemonSet: (_o, spec) => {
    put(spec, 'revisionHistoryLimit', 10);
    const strategy = asObj(spec.updateStrategy);
    put(strategy, 'type', 'RollingUpdate');
    if (strategy.type === 'RollingUpdate') {
      put(strategy, 'rollingUpdate', {});
      put(asObj(strategy.rollingUpdate), 'maxUnavailable', 1);
      put(asObj(strategy.rollingUpdate), 'maxSurge', 0);
    }
    spec.updateStrategy = strategy;
    template(spec);
  },
  StatefulSet: (_o, spec) => {
    put(spec, 'replicas', 1);
    put(spec, 'revisionHistoryLimit', 10);
    put(spec, 'podManagementPolicy', 'OrderedReady');
    put(spec, 'persistentVolumeClaimRetentionPolicy', { whenDeleted: 'Retain', whenScaled: 'Retain' });
    const strategy = asObj(spec.updateStrategy);
    put(strategy, 'type', 'RollingUpdate');
    if (strategy.type === 'RollingUpdate') {
      put(strategy, 'rollingUpdate', {});
      put(asObj(strategy.rollingUpdate), 'partition', 0);
    }
    spec.updateStrategy = strategy;
    template(spec);
  },
  Job: (o, spec) => job(o, spec),
  CronJob: (_o, spec) => {
    put(spec, 'concurrencyPolicy', 'Allow');
    put(spec, 'suspend', false);
    put(spec, 'successfulJobsHistoryLimit', 3);
    put(spec, 'failedJobsHistoryLimit', 1);
    const jobSpec = asObj(asObj(spec.jobTemplate).spec);
    template(jobSpec);
  },
  Service: (_o, spec) => service(spec),
  NetworkPolicy: (_o, spec) => networkPolicy(spec),
  Secret: (o) => {
    put(o, 'type', 'Opaque');
    if (!isObj(o.stringData)) return;
    const data = { ...asObj(o.data) };
    for (const [k, v] of Object.entries(o.stringData)) data[k] = Buffer.from(String(v)).toString('base64');
    o.data = data;
    delete o.stringData;
  },
  Endpoints: (o) => {
    for (const s of asList(o.subsets)) for (const p of asList(asObj(s).ports)) if (isObj(p)) put(p, 'protocol', 'TCP');
  },
  EndpointSlice: (o) => {
    for (const p of asList(o.ports)) {
      if (!isObj(p)) continue;
      put(p, 'name', '');
      put(p, 'protocol', 'TCP');
    }
  },
  PersistentVolumeClaim: (_o, spec) => put(spec, 'volumeMode', 'Filesystem'),
  PersistentVolume: (_o, spec) => {
    put(spec, 'persistentVolumeReclaimPolicy', 'Retain');
    put(spec, 'volumeMode', 'Filesystem');
  },
  StorageClass: (o) => {
    put(o, 'reclaimPolicy', 'Delete');
    put(o, 'volumeBindingMode', 'Immediate');
  },
  PriorityClass: (o) => put(o, 'preemptionPolicy', 'PreemptLowerPriority'),
  HorizontalPodAutoscaler: (_o, spec) => put(spec, 'minReplicas', 1),
  RoleBinding: (o) => roleRefs(o),
  ClusterRoleBinding: (o) => roleRefs(o),
  ValidatingWebhookConfiguration: (o) => webhooks(o),
  MutatingWebhookConfiguration: (o) => webhooks(o),
  CustomResourceDefinition: (_o, spec) => crd(spec),
};

/** Fills defaults in place. */
export function applyDefaults(typeName: string, o: KubeObject): void {
  const fn = byType[typeName];
  if (fn === undefined) return;
  fn(o, isObj(o.spec) ? o.spec : {});
}
