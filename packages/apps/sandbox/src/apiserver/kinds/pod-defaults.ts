// Defaults of a pod spec, wherever one appears. Changes its argument, which the caller owns. Called by ./defaults.ts.
import { asList, asObj, isObj, type Obj } from '../obj.ts';

const put = (o: Obj, key: string, value: unknown): void => {
  if (o[key] === undefined) o[key] = value;
};

export function defaultPodSpec(spec: Obj): void {
  put(spec, 'restartPolicy', 'Always');
  put(spec, 'terminationGracePeriodSeconds', 30);
  put(spec, 'dnsPolicy', 'ClusterFirst');
  put(spec, 'securityContext', {});
  put(spec, 'schedulerName', 'default-scheduler');
  if (spec.serviceAccountName !== undefined) put(spec, 'serviceAccount', spec.serviceAccountName);
  else if (spec.serviceAccount !== undefined) spec.serviceAccountName = spec.serviceAccount;
  for (const c of [...asList(spec.containers), ...asList(spec.initContainers), ...asList(spec.ephemeralContainers)]) {
    if (isObj(c)) defaultContainer(c, spec.hostNetwork === true);
  }
  for (const v of asList(spec.volumes)) if (isObj(v)) defaultVolume(v);
  for (const t of asList(spec.topologySpreadConstraints)) {
    if (isObj(t)) put(t, 'whenUnsatisfiable', 'DoNotSchedule');
  }
}

function defaultContainer(c: Obj, hostNetwork: boolean): void {
  put(c, 'terminationMessagePath', '/dev/termination-log');
  put(c, 'terminationMessagePolicy', 'File');
  const image = String(c.image ?? '');
  const tag = /:([^/]+)$/.exec(image)?.[1];
  put(c, 'imagePullPolicy', tag === 'latest' || (tag === undefined && !image.includes('@')) ? 'Always' : 'IfNotPresent');
  for (const p of asList(c.ports)) {
    if (!isObj(p)) continue;
    put(p, 'protocol', 'TCP');
    if (hostNetwork) put(p, 'hostPort', p.containerPort);
  }
  for (const e of asList(c.env)) {
    const ref = asObj(asObj(e).valueFrom).fieldRef;
    if (isObj(ref)) put(ref, 'apiVersion', 'v1');
  }
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = c[name];
    if (isObj(probe)) defaultProbe(probe);
  }
  const limits = asObj(asObj(c.resources).limits);
  if (isObj(c.resources) && Object.keys(limits).length > 0) c.resources.requests = { ...limits, ...asObj(c.resources.requests) };
}

function defaultProbe(p: Obj): void {
  put(p, 'timeoutSeconds', 1);
  put(p, 'periodSeconds', 10);
  put(p, 'successThreshold', 1);
  put(p, 'failureThreshold', 3);
  if (isObj(p.httpGet)) {
    put(p.httpGet, 'path', '/');
    put(p.httpGet, 'scheme', 'HTTP');
  }
  if (isObj(p.grpc)) put(p.grpc, 'service', '');
}

const sources = [
  'hostPath',
  'emptyDir',
  'secret',
  'nfs',
  'persistentVolumeClaim',
  'downwardAPI',
  'configMap',
  'projected',
  'csi',
  'ephemeral',
  'image',
];

function defaultVolume(v: Obj): void {
  if (!sources.some((s) => v[s] !== undefined)) v.emptyDir = {};
  for (const s of ['secret', 'configMap', 'downwardAPI', 'projected']) {
    const src = v[s];
    if (isObj(src)) put(src, 'defaultMode', 420);
  }
  if (isObj(v.hostPath)) put(v.hostPath, 'type', '');
  for (const p of asList(asObj(v.projected).sources)) {
    const token = asObj(p).serviceAccountToken;
    if (isObj(token)) put(token, 'expirationSeconds', 3600);
    defaultFieldRefs(asObj(asObj(p).downwardAPI));
  }
  defaultFieldRefs(asObj(v.downwardAPI));
}

function defaultFieldRefs(source: Obj): void {
  for (const item of asList(source.items)) {
    const ref = asObj(item).fieldRef;
    if (isObj(ref)) put(ref, 'apiVersion', 'v1');
  }
}
