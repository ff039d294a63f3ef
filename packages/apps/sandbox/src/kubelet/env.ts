// A container's environment: literals, downward API, ConfigMap and Secret keys, $(NAME) references.
import { AppError, err, ok, type Result } from '@axoneme/std';
import type { KubeObject } from '../apiserver/types.ts';
import { nameOf, nsOf, uidOf } from '../client/object.ts';
import { type Container, type EnvVar, podSpecOf } from './pod-types.ts';

/** What references resolve against, at one moment. */
export interface PodFacts {
  readonly pod: KubeObject;
  readonly podIps: readonly string[];
  readonly hostIps: readonly string[];
  readonly configMap: (name: string) => KubeObject | undefined;
  readonly secret: (name: string) => KubeObject | undefined;
}

const SUBSCRIPT = /^metadata\.(labels|annotations)\['([^']*)'\]$/;

/** Text of a downward API field; undefined when the field is not supported. */
export function fieldValue(f: PodFacts, path: string): string | undefined {
  const sub = SUBSCRIPT.exec(path);
  if (sub !== null) return f.pod.metadata[sub[1] as 'labels' | 'annotations']?.[sub[2] ?? ''] ?? '';
  const pairs = (m: Record<string, string> | undefined): string =>
    Object.entries(m ?? {})
      .map(([k, v]) => `${k}=${JSON.stringify(v)}`)
      .join('\n');
  const values: Record<string, () => string> = {
    'metadata.name': () => nameOf(f.pod),
    'metadata.namespace': () => nsOf(f.pod),
    'metadata.uid': () => uidOf(f.pod),
    'metadata.labels': () => pairs(f.pod.metadata.labels),
    'metadata.annotations': () => pairs(f.pod.metadata.annotations),
    'spec.nodeName': () => podSpecOf(f.pod).nodeName ?? '',
    'spec.serviceAccountName': () => podSpecOf(f.pod).serviceAccountName ?? 'default',
    'status.podIP': () => f.podIps[0] ?? '',
    'status.podIPs': () => f.podIps.join(','),
    'status.hostIP': () => f.hostIps[0] ?? '',
    'status.hostIPs': () => f.hostIps.join(','),
  };
  return values[path]?.();
}

export function decodeSecret(secret: KubeObject): Record<string, Buffer> {
  const data = (secret.data as Record<string, string> | undefined) ?? {};
  return Object.fromEntries(Object.entries(data).map(([k, v]) => [k, Buffer.from(v, 'base64')]));
}

export function configData(map: KubeObject): Record<string, Buffer> {
  const text = (map.data as Record<string, string> | undefined) ?? {};
  const binary = (map.binaryData as Record<string, string> | undefined) ?? {};
  return {
    ...Object.fromEntries(Object.entries(text).map(([k, v]) => [k, Buffer.from(v)])),
    ...Object.fromEntries(Object.entries(binary).map(([k, v]) => [k, Buffer.from(v, 'base64')])),
  };
}

const missing = (kind: string, name: string): AppError =>
  new AppError({ code: 'sandbox/config', message: `${kind} "${name}" not found`, retry: 'later' });

function fromKey(
  kind: 'configmap' | 'secret',
  f: PodFacts,
  ref: { name?: string; key: string; optional?: boolean },
): Result<string | undefined> {
  const name = ref.name ?? '';
  const object = kind === 'configmap' ? f.configMap(name) : f.secret(name);
  if (object === undefined) return ref.optional === true ? ok(undefined) : err(missing(kind, name));
  const value = (kind === 'configmap' ? configData(object) : decodeSecret(object))[ref.key];
  if (value !== undefined) return ok(value.toString('utf8'));
  return ref.optional === true
    ? ok(undefined)
    : err(new AppError({ code: 'sandbox/config', message: `couldn't find key ${ref.key} in ${kind} ${name}`, retry: 'later' }));
}

/** Replaces $(NAME) by what is defined so far; $$(NAME) stands for itself. */
export function expand(text: string, env: ReadonlyMap<string, string>): string {
  return text.replace(/\$\$|\$\(([^)\s]+)\)/g, (whole, name: string | undefined) => (name === undefined ? '$' : (env.get(name) ?? whole)));
}

function resolveVar(v: EnvVar, c: Container, f: PodFacts, env: ReadonlyMap<string, string>): Result<string | undefined> {
  const from = v.valueFrom;
  if (from === undefined) return ok(expand(v.value ?? '', env));
  if (from.fieldRef !== undefined) return ok(fieldValue(f, from.fieldRef.fieldPath) ?? '');
  if (from.configMapKeyRef !== undefined) return fromKey('configmap', f, from.configMapKeyRef);
  if (from.secretKeyRef !== undefined) return fromKey('secret', f, from.secretKeyRef);
  const [where, what] = (from.resourceFieldRef?.resource ?? '').split('.');
  const limits = where === 'limits' ? c.resources?.limits : c.resources?.requests;
  return ok(limits?.[what ?? ''] ?? '0');
}

/** The environment as a plain record, or the first reference that cannot be resolved. */
export function environmentOf(c: Container, f: PodFacts, base: Readonly<Record<string, string>>): Result<Record<string, string>> {
  const env = new Map(Object.entries(base));
  for (const from of c.envFrom ?? []) {
    const ref = from.configMapRef ?? from.secretRef;
    const name = ref?.name ?? '';
    const object = from.configMapRef === undefined ? f.secret(name) : f.configMap(name);
    if (object === undefined && ref?.optional !== true) return err(missing(from.configMapRef === undefined ? 'secret' : 'configmap', name));
    if (object === undefined) continue;
    const data = from.configMapRef === undefined ? decodeSecret(object) : configData(object);
    for (const [k, v] of Object.entries(data)) env.set(`${from.prefix ?? ''}${k}`, v.toString('utf8'));
  }
  for (const v of c.env ?? []) {
    const value = resolveVar(v, c, f, env);
    if (!value.ok) return value;
    if (value.value !== undefined) env.set(v.name, value.value);
  }
  return ok(Object.fromEntries(env));
}
