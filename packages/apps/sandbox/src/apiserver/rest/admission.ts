// Admission: what the server itself adds to pods, then hooks of the sandbox and webhooks. Called by ./write.ts and ./delete.ts.
import { asList, asObj, clone, isObj, type Obj } from '../obj.ts';
import { forbidden } from '../status-error.ts';
import type { MemoryStore } from '../store/memory.ts';
import type { AdmissionHook, KubeObject } from '../types.ts';
import type { Webhooks } from '../webhooks/run.ts';
import type { Admission } from './env.ts';

export interface AdmissionHooks {
  readonly mutating: AdmissionHook[];
  readonly validating: AdmissionHook[];
}

export function createAdmission(store: MemoryStore, hooks: AdmissionHooks, webhooks: Webhooks, uuid: () => string): Admission {
  return {
    async mutate(r, warnings) {
      let object = r.object;
      if (r.gvr.group === '' && r.gvr.resource === 'pods' && r.operation === 'CREATE' && r.subresource === '' && object !== undefined)
        object = admitPod(store, object, uuid);
      for (const hook of hooks.mutating) {
        const out = await hook({ ...r, object });
        if (out === undefined) continue;
        if (isObject(out)) object = out;
        else warnings.push(...out.warnings);
      }
      return webhooks.mutate({ ...r, object }, warnings);
    },
    concerns: (gvr) => hooks.validating.length > 0 || webhooks.concerns(gvr),
    async validate(r, warnings) {
      for (const hook of hooks.validating) {
        const out = await hook(r);
        if (out !== undefined && !isObject(out)) warnings.push(...out.warnings);
      }
      await webhooks.validate(r, warnings);
    },
  };
}

type HookResult = Exclude<Awaited<ReturnType<AdmissionHook>>, undefined>;

const isObject = (v: HookResult): v is KubeObject => 'metadata' in v;

/** Service account, its token volume, priority and the usual tolerations. */
function admitPod(store: MemoryStore, pod: KubeObject, uuid: () => string): KubeObject {
  const out = clone(pod);
  const spec = asObj(out.spec);
  const ns = out.metadata.namespace ?? '';
  spec.serviceAccountName ??= 'default';
  spec.serviceAccount ??= spec.serviceAccountName;
  const account = store.get('/serviceaccounts', ns, String(spec.serviceAccountName));
  if (account === undefined && spec.serviceAccountName !== 'default') {
    throw forbidden(
      { group: '', resource: 'pods' },
      out.metadata.name ?? '',
      `error looking up service account ${ns}/${String(spec.serviceAccountName)}: serviceaccount "${String(spec.serviceAccountName)}" not found`,
    );
  }
  if (spec.imagePullSecrets === undefined && account?.imagePullSecrets !== undefined)
    spec.imagePullSecrets = clone(account.imagePullSecrets);
  if (
    spec.automountServiceAccountToken !== false &&
    (spec.automountServiceAccountToken === true || account?.automountServiceAccountToken !== false)
  )
    addTokenVolume(spec, uuid);
  addPriority(store, out, spec);
  addTolerations(spec);
  return out;
}

const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';

function addTokenVolume(spec: Obj, uuid: () => string): void {
  const volumes = asList(spec.volumes);
  if (volumes.some((v) => String(asObj(v).name).startsWith('kube-api-access-'))) return;
  const name = `kube-api-access-${uuid().slice(0, 5)}`;
  let used = false;
  for (const c of [...asList(spec.containers), ...asList(spec.initContainers)]) {
    if (!isObj(c)) continue;
    const mounts = asList(c.volumeMounts);
    if (mounts.some((m) => asObj(m).mountPath === tokenPath)) continue;
    c.volumeMounts = [...mounts, { name, readOnly: true, mountPath: tokenPath }];
    used = true;
  }
  if (!used) return;
  const sources = [
    { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
    { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
  ];
  spec.volumes = [...volumes, { name, projected: { sources, defaultMode: 420 } }];
}

const systemPriorities: Readonly<Record<string, number>> = {
  'system-cluster-critical': 2_000_000_000,
  'system-node-critical': 2_000_001_000,
};

function addPriority(store: MemoryStore, pod: KubeObject, spec: Obj): void {
  const name = typeof spec.priorityClassName === 'string' ? spec.priorityClassName : '';
  const found =
    name === ''
      ? store.list('scheduling.k8s.io/priorityclasses', '').find((c) => c.globalDefault === true)
      : store.get('scheduling.k8s.io/priorityclasses', '', name);
  if (name !== '' && found === undefined && systemPriorities[name] === undefined) {
    throw forbidden({ group: '', resource: 'pods' }, pod.metadata.name ?? '', `no PriorityClass with name ${name} was found`);
  }
  spec.priority ??= found?.value ?? systemPriorities[name] ?? 0;
  spec.preemptionPolicy ??= found?.preemptionPolicy ?? 'PreemptLowerPriority';
}

function addTolerations(spec: Obj): void {
  const have = asList(spec.tolerations).map(asObj);
  const added: Obj[] = [];
  for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
    const covered = have.some((t) => (t.key === key || t.key === undefined) && (t.effect === 'NoExecute' || t.effect === undefined));
    if (!covered) added.push({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 });
  }
  if (added.length > 0) spec.tolerations = [...have, ...added];
}
