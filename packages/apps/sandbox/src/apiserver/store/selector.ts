// Label and field selectors: parsing and matching. Used by list, watch and the in-process client.
import { dig } from '../obj.ts';
import type { Resource } from '../registry.ts';
import { badRequest } from '../status-error.ts';
import type { KubeObject } from '../types.ts';

export type Predicate = (o: KubeObject) => boolean;

interface Requirement {
  readonly key: string;
  readonly op: 'in' | 'notin' | 'exists' | '!' | '>' | '<';
  readonly values: readonly string[];
}

/** undefined = matches everything. */
export function labelPredicate(text: string | undefined): Predicate | undefined {
  if (text === undefined || text.trim() === '') return undefined;
  const reqs = parseLabelSelector(text);
  return (o) => reqs.every((r) => matches(r, o.metadata.labels ?? {}));
}

export function parseLabelSelector(text: string): Requirement[] {
  const parts = splitOutsideParens(text);
  return parts.map((p) => parseRequirement(p.trim(), text));
}

function splitOutsideParens(text: string): string[] {
  const out: string[] = [];
  let depth = 0;
  let cur = '';
  for (const ch of text) {
    if (ch === '(') depth++;
    else if (ch === ')') depth--;
    if (ch === ',' && depth === 0) {
      out.push(cur);
      cur = '';
    } else cur += ch;
  }
  out.push(cur);
  return out;
}

const keyPattern = '[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?';

function parseRequirement(p: string, whole: string): Requirement {
  let m = new RegExp(`^(${keyPattern})\\s*(==|=|!=|>|<)\\s*([-A-Za-z0-9_.]*)$`).exec(p);
  if (m !== null) {
    const op = m[3] === '!=' ? 'notin' : m[3] === '>' || m[3] === '<' ? m[3] : 'in';
    return { key: m[1] as string, op, values: [m[4] ?? ''] };
  }
  m = new RegExp(`^(${keyPattern})\\s+(in|notin)\\s*\\(([^)]*)\\)$`).exec(p);
  if (m !== null) return { key: m[1] as string, op: m[3] as 'in' | 'notin', values: (m[4] ?? '').split(',').map((v) => v.trim()) };
  m = new RegExp(`^(!?)\\s*(${keyPattern})$`).exec(p);
  if (m !== null) return { key: m[2] as string, op: m[1] === '!' ? '!' : 'exists', values: [] };
  throw badRequest(`unable to parse requirement: invalid label selector ${JSON.stringify(whole)}`);
}

function matches(r: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const v = Object.hasOwn(labels, r.key) ? labels[r.key] : undefined;
  switch (r.op) {
    case 'in':
      return v !== undefined && r.values.includes(v);
    case 'notin':
      return v === undefined || !r.values.includes(v);
    case 'exists':
      return v !== undefined;
    case '!':
      return v === undefined;
    case '>':
      return v !== undefined && Number(v) > Number(r.values[0]);
    case '<':
      return v !== undefined && Number(v) < Number(r.values[0]);
  }
}

const objectRef = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];
const byKind: Readonly<Record<string, readonly string[]>> = {
  '/pods': [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  '/nodes': ['spec.unschedulable'],
  '/namespaces': ['status.phase'],
  '/secrets': ['type'],
  '/services': ['spec.clusterIP', 'spec.type'],
  '/events': [
    ...objectRef.flatMap((k) => [`involvedObject.${k}`, `regarding.${k}`]),
    'reason',
    'reportingComponent',
    'reportingController',
    'source',
    'type',
  ],
  'apps/replicasets': ['status.replicas'],
  'batch/jobs': ['status.successful'],
  'certificates.k8s.io/certificatesigningrequests': ['spec.signerName'],
};

/** undefined = matches everything. Unknown fields are refused, as clients expect. */
export function fieldPredicate(text: string | undefined, r: Resource): Predicate | undefined {
  if (text === undefined || text.trim() === '') return undefined;
  const allowed = ['metadata.name', 'metadata.namespace', ...(byKind[r.storage] ?? []), ...(r.custom?.selectable ?? [])];
  const reqs = text.split(',').map((p) => {
    const m = /^\s*([^=!]+?)\s*(!=|==|=)\s*(.*?)\s*$/.exec(p);
    if (m === null) throw badRequest(`invalid field selector ${JSON.stringify(text)}`);
    const path = m[1] as string;
    if (!allowed.includes(path)) throw badRequest(`field label not supported: ${path}`);
    return { path, negate: m[2] === '!=', want: m[3] ?? '' };
  });
  return (o) => reqs.every((q) => (fieldValue(o, q.path) === q.want) !== q.negate);
}

function fieldValue(o: KubeObject, path: string): string {
  if (path === 'status.successful') return String(dig(o, 'status', 'succeeded') ?? 0);
  if (path === 'source') return String(dig(o, 'source', 'component') ?? dig(o, 'reportingComponent') ?? '');
  const real = path.startsWith('regarding.')
    ? path.replace('regarding', 'involvedObject')
    : path === 'reportingController'
      ? 'reportingComponent'
      : path;
  const v = dig(o, ...real.split('.'));
  return v === undefined || v === null ? (path === 'spec.unschedulable' || path === 'spec.hostNetwork' ? 'false' : '') : String(v);
}

/** Does a LabelSelector object select these labels? For controllers and webhooks. */
export function selectorMatches(sel: unknown, labels: Readonly<Record<string, string>>): boolean {
  const must = (dig(sel, 'matchLabels') ?? {}) as Record<string, string>;
  for (const [k, v] of Object.entries(must)) if (labels[k] !== v) return false;
  const exprs = (dig(sel, 'matchExpressions') ?? []) as { key: string; operator: string; values?: string[] }[];
  const ops: Readonly<Record<string, Requirement['op']>> = { In: 'in', NotIn: 'notin', Exists: 'exists', DoesNotExist: '!' };
  return exprs.every((e) => matches({ key: e.key, op: ops[e.operator] ?? 'in', values: e.values ?? [] }, labels));
}
