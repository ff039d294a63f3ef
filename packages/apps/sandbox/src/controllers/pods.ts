// Making and finding the pods of a controller. Used by every workload controller.
import type { KubeObject } from '../apiserver/types.ts';
import type { Cache } from '../client/cache.ts';
import { PODS } from '../client/kinds.ts';
import { ignoreNotFound } from '../client/kube-client.ts';
import { nameOf, nsOf, ownedBy, ownerRef, randomSuffix } from '../client/object.ts';
import type { ControllerDeps } from './reconciler.ts';
import type { PodTemplate } from './shapes.ts';

export interface PodMaking {
  readonly owner: KubeObject;
  readonly apiVersion: string;
  readonly kind: string;
  readonly template: PodTemplate;
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

const NAME_PREFIX_MAX = 57;

export const ownedPods = (pods: Cache, owner: KubeObject): KubeObject[] => pods.inNamespace(nsOf(owner)).filter((p) => ownedBy(p, owner));

/** Creates a pod and waits until the cache shows it, so that the next look does not count it as missing. */
export async function createPod(d: ControllerDeps, m: PodMaking): Promise<void> {
  const { owner, template } = m;
  const made = await d.client.create(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: m.name ?? `${nameOf(owner).slice(0, NAME_PREFIX_MAX)}-${randomSuffix()}`,
      ...(m.name === undefined ? { generateName: `${nameOf(owner)}-` } : {}),
      namespace: nsOf(owner),
      labels: { ...template.metadata?.labels, ...m.labels },
      ...(template.metadata?.annotations === undefined ? {} : { annotations: { ...template.metadata.annotations } }),
      ownerReferences: [ownerRef(owner, m.apiVersion, m.kind)],
    },
    spec: { ...structuredClone(template.spec), ...m.spec },
  });
  await d.caches.of(PODS).settle(made);
}

export async function deletePod(d: ControllerDeps, pod: KubeObject): Promise<void> {
  const pods = d.caches.of(PODS);
  const uid = pod.metadata.uid;
  await ignoreNotFound(d.client.delete(PODS, nsOf(pod), nameOf(pod), uid === undefined ? {} : { preconditions: { uid } }));
  // the cache must show the deletion, or the pod would be counted again
  const now = await d.client.get(PODS, nsOf(pod), nameOf(pod));
  if (now !== undefined && now.metadata.uid === uid) await pods.settle(now);
}

/** Marks the controller of a pod dirty; `kind` filters by the owner's kind. */
export function markOwner(kind: string, mark: (key: string) => void): (type: string, pod: KubeObject, previous?: KubeObject) => void {
  return (_type, pod, previous) => {
    for (const o of [pod, previous]) {
      const owner = o?.metadata.ownerReferences?.find((r) => r.controller === true && r.kind === kind);
      if (owner !== undefined) mark(`${nsOf(pod)}/${owner.name}`);
    }
  };
}
