// Small helpers on Kubernetes objects, shared by kubelet and controllers.
import type { KubeObject, ObjectMeta, OwnerReference } from '../apiserver/types.ts';

export const nsOf = (o: KubeObject): string => o.metadata.namespace ?? '';
export const nameOf = (o: KubeObject): string => o.metadata.name ?? '';
export const uidOf = (o: KubeObject): string => o.metadata.uid ?? '';
/** `namespace/name`, or the name alone for cluster-scoped objects. */
export const keyOf = (o: { readonly metadata: ObjectMeta }): string =>
  o.metadata.namespace === undefined || o.metadata.namespace === ''
    ? (o.metadata.name ?? '')
    : `${o.metadata.namespace}/${o.metadata.name}`;
export const splitKey = (key: string): readonly [string, string] => {
  const at = key.indexOf('/');
  return at < 0 ? ['', key] : [key.slice(0, at), key.slice(at + 1)];
};
export const isTerminating = (o: KubeObject): boolean =>
  o.metadata.deletionTimestamp !== undefined && o.metadata.deletionTimestamp !== null;
export const controllerOf = (o: KubeObject): OwnerReference | undefined => o.metadata.ownerReferences?.find((r) => r.controller === true);
export const ownedBy = (o: KubeObject, owner: KubeObject): boolean => controllerOf(o)?.uid === owner.metadata.uid;

export function ownerRef(owner: KubeObject, apiVersion: string, kind: string): OwnerReference {
  return { apiVersion, kind, name: nameOf(owner), uid: uidOf(owner), controller: true, blockOwnerDeletion: true };
}

/** Deep copy of an object from a cache, to be changed and written. */
export const copyOf = <T>(o: T): T => structuredClone(o);

export const nowIso = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** Random lower-case suffix as generateName would add. */
export function randomSuffix(length = 5): string {
  const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
  let out = '';
  for (let i = 0; i < length; i++) out += alphabet[Math.floor(Math.random() * alphabet.length)];
  return out;
}
