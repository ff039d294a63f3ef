// Labels and label sets: parsing, stable rendering, and the labels of a pod. Called by identity, policy and the operator's sources.
import { fail, ok, type Result } from '@axoneme/std';

/** `any` is a wildcard in selectors and never the source of a stored label. */
export interface Label {
  readonly source: string;
  readonly key: string;
  readonly value: string;
}

/** An immutable, sorted, duplicate-free set; `text` names it: equal sets have equal text. */
export interface Labels {
  readonly list: readonly Label[];
  /** `source:key=value;` for each label in order. */
  readonly text: string;
  /** Values by `source:key`, and for the wildcard by `any:key`. */
  readonly index: ReadonlyMap<string, readonly string[]>;
}

export const labelKeys = {
  namespace: 'io.kubernetes.pod.namespace',
  namespaceLabelPrefix: 'io.cilium.k8s.namespace.labels.',
  cluster: 'io.cilium.k8s.policy.cluster',
  serviceAccount: 'io.cilium.k8s.policy.serviceaccount',
} as const;

const sourceText = /^[a-z][a-z0-9-]*$/;

/** `k8s:app=x`, `reserved:host`, `app=x` (source `defaultSource`). Only the first `=` separates. */
export function parseLabel(text: string, defaultSource = 'unspec'): Result<Label> {
  const equals = text.indexOf('=');
  const { source, key } = parseLabelKey(equals < 0 ? text : text.slice(0, equals), defaultSource);
  if (key === '')
    return fail({ code: 'model/invalid-label', message: `label "${text.slice(0, 64)}" has no key`, hint: 'write source:key=value' });
  return ok({ source, key, value: equals < 0 ? '' : text.slice(equals + 1) });
}

/** Splits `k8s:app` into source and key; a key without source has `defaultSource`. */
export function parseLabelKey(text: string, defaultSource = 'any'): { readonly source: string; readonly key: string } {
  const colon = text.indexOf(':');
  const source = colon < 0 ? '' : text.slice(0, colon);
  return sourceText.test(source) ? { source, key: text.slice(colon + 1) } : { source: defaultSource, key: text };
}

/** The dotted form `k8s.app` that some dumps use; the first dot separates. */
export function parseDottedKey(text: string): { readonly source: string; readonly key: string } {
  const dot = text.indexOf('.');
  return dot <= 0 ? { source: 'any', key: text } : { source: text.slice(0, dot), key: text.slice(dot + 1) };
}

export const renderLabel = (l: Label): string => (l.value === '' ? `${l.source}:${l.key}` : `${l.source}:${l.key}=${l.value}`);

/** Later labels win over earlier ones with the same source and key. */
export function createLabels(labels: Iterable<Label>): Labels {
  const byKey = new Map<string, Label>();
  for (const l of labels) byKey.set(`${l.source}:${l.key}`, l);
  const list = [...byKey.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, l]) => l);
  const index = new Map<string, string[]>();
  for (const l of list) {
    index.set(`${l.source}:${l.key}`, [l.value]);
    const any = index.get(`any:${l.key}`);
    if (any === undefined) index.set(`any:${l.key}`, [l.value]);
    else any.push(l.value);
  }
  return { list, text: list.map((l) => `${l.source}:${l.key}=${l.value};`).join(''), index };
}

export const noLabels: Labels = createLabels([]);

/** From the map form of CiliumIdentity `security-labels`: `{"k8s:app": "x"}`. */
export function labelsFromMap(map: Readonly<Record<string, string>>): Labels {
  return createLabels(Object.entries(map).map(([k, value]) => ({ ...parseLabelKey(k, 'unspec'), value })));
}

/** Inverse of `labelsFromMap`. */
export function labelsToMap(labels: Labels): Record<string, string> {
  return Object.fromEntries(labels.list.map((l) => [`${l.source}:${l.key}`, l.value]));
}

/** Inverse of `text`, and accepts any list of label texts. */
export function parseLabels(texts: readonly string[], defaultSource = 'unspec'): Result<Labels> {
  const out: Label[] = [];
  for (const t of texts) {
    const l = parseLabel(t, defaultSource);
    if (!l.ok) return l;
    out.push(l.value);
  }
  return ok(createLabels(out));
}

export const hasLabel = (labels: Labels, source: string, key: string): boolean => labels.index.has(`${source}:${key}`);
/** First value of the label, or undefined; `any` as source looks in all sources. */
export const labelValue = (labels: Labels, source: string, key: string): string | undefined => labels.index.get(`${source}:${key}`)?.[0];
/** The namespace a pod identity belongs to; undefined for everything that is no pod. */
export const labelNamespace = (labels: Labels): string | undefined => labelValue(labels, 'k8s', labelKeys.namespace);

export interface PodLabelSource {
  readonly podLabels: Readonly<Record<string, string>>;
  readonly namespace: string;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly cluster: string;
}

/** All labels of a pod before filtering. What the user wrote can never pose as what we derive: such keys are left out. */
export function podLabels(pod: PodLabelSource): Labels {
  const k8s = (key: string, value: string): Label => ({ source: 'k8s', key, value });
  const own = Object.entries(pod.podLabels).filter(([key]) => key !== labelKeys.namespace && !key.startsWith('io.cilium.k8s.'));
  return createLabels([
    ...own.map(([key, value]) => k8s(key, value)),
    ...Object.entries(pod.namespaceLabels).map(([key, value]) => k8s(labelKeys.namespaceLabelPrefix + key, value)),
    k8s(labelKeys.namespace, pod.namespace),
    k8s(labelKeys.serviceAccount, pod.serviceAccount),
    k8s(labelKeys.cluster, pod.cluster),
  ]);
}
