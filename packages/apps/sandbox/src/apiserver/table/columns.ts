// Printer columns of the built-in kinds. Called by ./table.ts.
import { asList, asObj, asStr, dig, type Obj } from '../obj.ts';
import type { KubeObject } from '../types.ts';
import { ageOf } from './age.ts';
import { podCells, podColumns } from './pod.ts';

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly priority?: number;
}

export interface Printer {
  readonly columns: readonly Column[];
  cells(o: KubeObject, nowMs: number): readonly unknown[];
}

type CellFn = (o: KubeObject, nowMs: number) => unknown;

/** `Name*` = wide only. The name column comes first and the age where the list says. */
function printer(spec: Readonly<Record<string, CellFn>>): Printer {
  const fns = Object.values(spec);
  return {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      ...Object.keys(spec).map((n) => ({ name: n.replace('*', ''), type: 'string', ...(n.endsWith('*') ? { priority: 1 } : {}) })),
    ],
    cells: (o, now) => [o.metadata.name ?? '', ...fns.map((f) => f(o, now))],
  };
}

const age: CellFn = (o, now) => ageOf(o.metadata.creationTimestamp, now);
const at =
  (...path: string[]): CellFn =>
  (o) => {
    const v = dig(o, ...path);
    return v === undefined || v === null || v === '' ? '<none>' : v;
  };
const count =
  (...path: string[]): CellFn =>
  (o) =>
    Number(dig(o, ...path) ?? 0);
const size =
  (...path: string[]): CellFn =>
  (o) => {
    const v = dig(o, ...path);
    return Array.isArray(v) ? v.length : Object.keys(asObj(v)).length;
  };

export function labelsText(labels: unknown): string {
  const text = Object.entries(asObj(labels))
    .map(([k, v]) => (v === '' ? k : `${k}=${String(v)}`))
    .sort()
    .join(',');
  return text === '' ? '<none>' : text;
}

export function selectorText(sel: unknown): string {
  const parts = Object.entries(asObj(asObj(sel).matchLabels)).map(([k, v]) => `${k}=${String(v)}`);
  for (const e of asList(asObj(sel).matchExpressions).map(asObj)) {
    const values = asList(e.values).join(',');
    if (e.operator === 'Exists') parts.push(String(e.key));
    else if (e.operator === 'DoesNotExist') parts.push(`!${String(e.key)}`);
    else parts.push(`${String(e.key)} ${String(e.operator).toLowerCase()} (${values})`);
  }
  return parts.length === 0 ? '<none>' : parts.sort().join(',');
}

const templateContainers = (o: KubeObject): Obj[] => asList(dig(o, 'spec', 'template', 'spec', 'containers')).map(asObj);
const containers: CellFn = (o) =>
  templateContainers(o)
    .map((c) => c.name)
    .join(',');
const images: CellFn = (o) =>
  templateContainers(o)
    .map((c) => c.image)
    .join(',');
const selector: CellFn = (o) => selectorText(dig(o, 'spec', 'selector'));

function ports(o: KubeObject): string {
  const text = asList(dig(o, 'spec', 'ports'))
    .map(asObj)
    .map((p) => `${p.port}${p.nodePort === undefined ? '' : `:${p.nodePort}`}/${p.protocol}`);
  return text.length === 0 ? '<none>' : text.join(',');
}

function externalIp(o: KubeObject): string {
  const spec = asObj(o.spec);
  if (spec.type === 'ExternalName') return asStr(spec.externalName);
  const lb = asList(dig(o, 'status', 'loadBalancer', 'ingress'))
    .map(asObj)
    .map((i) => i.ip ?? i.hostname);
  const all = [...(spec.type === 'LoadBalancer' ? lb : []), ...asList(spec.externalIPs)];
  return all.length > 0 ? all.join(',') : spec.type === 'LoadBalancer' ? '<pending>' : '<none>';
}

function nodeStatus(o: KubeObject): string {
  const ready = asList(dig(o, 'status', 'conditions'))
    .map(asObj)
    .find((c) => c.type === 'Ready');
  const text = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
  return dig(o, 'spec', 'unschedulable') === true ? `${text},SchedulingDisabled` : text;
}

function nodeRoles(o: KubeObject): string {
  const roles = Object.keys(o.metadata.labels ?? {})
    .filter((k) => k.startsWith('node-role.kubernetes.io/'))
    .map((k) => k.slice('node-role.kubernetes.io/'.length));
  return roles.length === 0 ? '<none>' : roles.sort().join(',');
}

const nodeAddress =
  (type: string): CellFn =>
  (o) =>
    asList(dig(o, 'status', 'addresses'))
      .map(asObj)
      .find((a) => a.type === type)?.address ?? '<none>';

function jobStatus(o: KubeObject): string {
  const done = asList(dig(o, 'status', 'conditions'))
    .map(asObj)
    .filter((c) => c.status === 'True')
    .map((c) => c.type);
  if (done.includes('Complete')) return 'Complete';
  if (done.includes('Failed')) return 'Failed';
  if (o.metadata.deletionTimestamp !== undefined) return 'Terminating';
  return dig(o, 'spec', 'suspend') === true ? 'Suspended' : 'Running';
}

function jobDuration(o: KubeObject, now: number): string {
  const start = dig(o, 'status', 'startTime');
  if (typeof start !== 'string') return '';
  const end = dig(o, 'status', 'completionTime');
  return ageOf(start, typeof end === 'string' ? Date.parse(end) : now);
}

function endpointsText(o: KubeObject): string {
  const all = asList(o.subsets)
    .map(asObj)
    .flatMap((s) =>
      asList(s.addresses)
        .map(asObj)
        .flatMap((a) =>
          asList(s.ports)
            .map(asObj)
            .map((p) => `${a.ip}:${p.port}`),
        ),
    );
  if (all.length === 0) return '<none>';
  return all.length > 3 ? `${all.slice(0, 3).join(',')} + ${all.length - 3} more...` : all.join(',');
}

function sliceEndpoints(o: KubeObject): string {
  const all = asList(o.endpoints)
    .map(asObj)
    .flatMap((e) => asList(e.addresses));
  if (all.length === 0) return '<unset>';
  return all.length > 3 ? `${all.slice(0, 3).join(',')} + ${all.length - 3} more...` : all.join(',');
}

const slicePorts: CellFn = (o) => {
  const all = asList(o.ports).map((p) => asObj(p).port);
  return all.length === 0 ? '<unset>' : all.join(',');
};

const lastSeen: CellFn = (o, now) =>
  ageOf(dig(o, 'series', 'lastObservedTime') ?? o.lastTimestamp ?? o.eventTime ?? o.metadata.creationTimestamp, now);
const eventObject: CellFn = (o) => `${asStr(dig(o, 'involvedObject', 'kind')).toLowerCase()}/${asStr(dig(o, 'involvedObject', 'name'))}`;
const bindingRole: CellFn = (o) => `${asStr(dig(o, 'roleRef', 'kind'))}/${asStr(dig(o, 'roleRef', 'name'))}`;
const iso: CellFn = (o) => o.metadata.creationTimestamp ?? '';

const plain = printer({ Age: age });

const byStorage: Readonly<Record<string, Printer>> = {
  '/pods': { columns: podColumns, cells: podCells },
  '/namespaces': printer({ Status: at('status', 'phase'), Age: age }),
  '/nodes': printer({
    Status: nodeStatus,
    Roles: nodeRoles,
    Age: age,
    Version: at('status', 'nodeInfo', 'kubeletVersion'),
    'Internal-IP*': nodeAddress('InternalIP'),
    'External-IP*': nodeAddress('ExternalIP'),
    'OS-Image*': at('status', 'nodeInfo', 'osImage'),
    'Kernel-Version*': at('status', 'nodeInfo', 'kernelVersion'),
    'Container-Runtime*': at('status', 'nodeInfo', 'containerRuntimeVersion'),
  }),
  '/services': printer({
    Type: at('spec', 'type'),
    'Cluster-IP': at('spec', 'clusterIP'),
    'External-IP': externalIp,
    'Port(s)': ports,
    Age: age,
    'Selector*': (o) => labelsText(dig(o, 'spec', 'selector')),
  }),
  '/configmaps': printer({ Data: (o) => Object.keys({ ...asObj(o.data), ...asObj(o.binaryData) }).length, Age: age }),
  '/secrets': printer({ Type: at('type'), Data: size('data'), Age: age }),
  '/serviceaccounts': printer({ Secrets: size('secrets'), Age: age }),
  '/endpoints': printer({ Endpoints: endpointsText, Age: age }),
  '/events': {
    columns: [
      { name: 'Last Seen', type: 'string' },
      { name: 'Type', type: 'string' },
      { name: 'Reason', type: 'string' },
      { name: 'Object', type: 'string' },
      { name: 'Message', type: 'string' },
      { name: 'Name', type: 'string', format: 'name', priority: 1 },
    ],
    cells: (o, now) => [
      lastSeen(o, now),
      o.type ?? '',
      o.reason ?? '',
      eventObject(o, now),
      String(o.message ?? '').trim(),
      o.metadata.name ?? '',
    ],
  },
  '/persistentvolumeclaims': printer({
    Status: at('status', 'phase'),
    Volume: at('spec', 'volumeName'),
    StorageClass: at('spec', 'storageClassName'),
    Age: age,
  }),
  '/persistentvolumes': printer({ Status: at('status', 'phase'), StorageClass: at('spec', 'storageClassName'), Age: age }),
  '/resourcequotas': printer({
    Request: (o) =>
      Object.entries(asObj(dig(o, 'spec', 'hard')))
        .map(([k, v]) => `${k}: ${String(asObj(dig(o, 'status', 'used'))[k] ?? 0)}/${String(v)}`)
        .join(', '),
    Age: age,
  }),
  'apps/deployments': printer({
    Ready: (o) => `${count('status', 'readyReplicas')(o, 0)}/${count('spec', 'replicas')(o, 0)}`,
    'Up-to-date': count('status', 'updatedReplicas'),
    Available: count('status', 'availableReplicas'),
    Age: age,
    'Containers*': containers,
    'Images*': images,
    'Selector*': selector,
  }),
  'apps/replicasets': printer({
    Desired: count('spec', 'replicas'),
    Current: count('status', 'replicas'),
    Ready: count('status', 'readyReplicas'),
    Age: age,
    'Containers*': containers,
    'Images*': images,
    'Selector*': selector,
  }),
  'apps/daemonsets': printer({
    Desired: count('status', 'desiredNumberScheduled'),
    Current: count('status', 'currentNumberScheduled'),
    Ready: count('status', 'numberReady'),
    'Up-to-date': count('status', 'updatedNumberScheduled'),
    Available: count('status', 'numberAvailable'),
    'Node Selector': (o) => labelsText(dig(o, 'spec', 'template', 'spec', 'nodeSelector')),
    Age: age,
    'Containers*': containers,
    'Images*': images,
    'Selector*': selector,
  }),
  'apps/statefulsets': printer({
    Ready: (o) => `${count('status', 'readyReplicas')(o, 0)}/${count('spec', 'replicas')(o, 0)}`,
    Age: age,
    'Containers*': containers,
    'Images*': images,
  }),
  'batch/jobs': printer({
    Status: jobStatus,
    Completions: (o) => `${count('status', 'succeeded')(o, 0)}/${Number(dig(o, 'spec', 'completions') ?? 1)}`,
    Duration: jobDuration,
    Age: age,
    'Containers*': containers,
    'Images*': images,
    'Selector*': selector,
  }),
  'batch/cronjobs': printer({
    Schedule: at('spec', 'schedule'),
    Timezone: at('spec', 'timeZone'),
    Suspend: (o) => (dig(o, 'spec', 'suspend') === true ? 'True' : 'False'),
    Active: size('status', 'active'),
    'Last Schedule': (o, now) =>
      dig(o, 'status', 'lastScheduleTime') === undefined ? '<none>' : ageOf(dig(o, 'status', 'lastScheduleTime'), now),
    Age: age,
  }),
  'networking.k8s.io/networkpolicies': printer({ 'Pod-Selector': (o) => selectorText(dig(o, 'spec', 'podSelector')), Age: age }),
  'networking.k8s.io/ingresses': printer({
    Class: at('spec', 'ingressClassName'),
    Hosts: (o) =>
      asList(dig(o, 'spec', 'rules'))
        .map((x) => asObj(x).host ?? '*')
        .join(',') || '*',
    Address: (o) =>
      asList(dig(o, 'status', 'loadBalancer', 'ingress'))
        .map((x) => asObj(x).ip ?? asObj(x).hostname)
        .join(','),
    Ports: (o) => (asList(dig(o, 'spec', 'tls')).length > 0 ? '80, 443' : '80'),
    Age: age,
  }),
  'policy/poddisruptionbudgets': printer({
    'Min Available': (o) => dig(o, 'spec', 'minAvailable') ?? 'N/A',
    'Max Unavailable': (o) => dig(o, 'spec', 'maxUnavailable') ?? 'N/A',
    'Allowed Disruptions': count('status', 'disruptionsAllowed'),
    Age: age,
  }),
  'rbac.authorization.k8s.io/roles': printer({ 'Created At': iso }),
  'rbac.authorization.k8s.io/clusterroles': printer({ 'Created At': iso }),
  'rbac.authorization.k8s.io/rolebindings': printer({ Role: bindingRole, Age: age }),
  'rbac.authorization.k8s.io/clusterrolebindings': printer({ Role: bindingRole, Age: age }),
  'storage.k8s.io/storageclasses': printer({
    Provisioner: at('provisioner'),
    ReclaimPolicy: at('reclaimPolicy'),
    VolumeBindingMode: at('volumeBindingMode'),
    Age: age,
  }),
  'scheduling.k8s.io/priorityclasses': printer({ Value: at('value'), 'Global-Default': (o) => o.globalDefault === true, Age: age }),
  'coordination.k8s.io/leases': printer({ Holder: at('spec', 'holderIdentity'), Age: age }),
  'discovery.k8s.io/endpointslices': printer({ AddressType: at('addressType'), Ports: slicePorts, Endpoints: sliceEndpoints, Age: age }),
  'apiextensions.k8s.io/customresourcedefinitions': printer({ 'Created At': iso }),
  'admissionregistration.k8s.io/validatingwebhookconfigurations': printer({ Webhooks: size('webhooks'), Age: age }),
  'admissionregistration.k8s.io/mutatingwebhookconfigurations': printer({ Webhooks: size('webhooks'), Age: age }),
  'autoscaling/horizontalpodautoscalers': printer({
    Reference: (o) => `${asStr(dig(o, 'spec', 'scaleTargetRef', 'kind'))}/${asStr(dig(o, 'spec', 'scaleTargetRef', 'name'))}`,
    MinPods: at('spec', 'minReplicas'),
    MaxPods: at('spec', 'maxReplicas'),
    Replicas: count('status', 'currentReplicas'),
    Age: age,
  }),
};

export const builtinPrinter = (storage: string): Printer => byStorage[storage] ?? plain;
