// Lists: selectors, resourceVersion rules, pages from one snapshot. Called by ../http/handlers.ts.
import { nameOf, nsOf } from '../obj.ts';
import type { Resource } from '../registry.ts';
import { badRequest, expired, invalid, StatusError } from '../status-error.ts';
import { keyOf } from '../store/collection.ts';
import type { MemoryStore } from '../store/memory.ts';
import { fieldPredicate, labelPredicate, type Predicate } from '../store/selector.ts';
import type { KubeObject } from '../types.ts';

export interface ListQuery {
  readonly ns: string;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
}

export interface ListResult {
  readonly items: readonly KubeObject[];
  readonly resourceVersion: number;
  readonly continue: string;
  readonly remaining: number | undefined;
}

export function selectorOf(r: Resource, q: Pick<ListQuery, 'labelSelector' | 'fieldSelector'>): Predicate | undefined {
  const label = labelPredicate(q.labelSelector);
  const field = fieldPredicate(q.fieldSelector, r);
  if (label === undefined) return field;
  return field === undefined ? label : (o) => label(o) && field(o);
}

/** Stored objects (storage version) in order of key. */
export function listObjects(store: MemoryStore, r: Resource, q: ListQuery): ListResult {
  checkVersion(store, q);
  const match = selectorOf(r, q);
  const token = q.continue === undefined || q.continue === '' ? undefined : readToken(q.continue);
  const now = store.rv();
  const exact = q.resourceVersionMatch === 'Exact' ? Number(q.resourceVersion) : undefined;
  const rv = token?.rv ?? exact ?? now;
  const all = rv === now ? store.list(r.storage, q.ns) : snapshot(store, r, q.ns, rv);
  const fromKey = token?.start;
  const rest = fromKey === undefined ? all : all.filter((o) => keyOf(nsOf(o), nameOf(o)) > fromKey);
  const matching = match === undefined ? rest : rest.filter(match);
  const limit = q.limit ?? 0;
  if (limit <= 0 || matching.length <= limit) return { items: matching, resourceVersion: rv, continue: '', remaining: undefined };
  const items = matching.slice(0, limit);
  const last = items.at(-1) as KubeObject;
  return {
    items,
    resourceVersion: rv,
    continue: writeToken({ rv, start: keyOf(nsOf(last), nameOf(last)) }),
    remaining: match === undefined ? matching.length - limit : undefined,
  };
}

function checkVersion(store: MemoryStore, q: ListQuery): void {
  const { resourceVersion: rv, resourceVersionMatch: rule } = q;
  if (rule !== undefined && rule !== 'Exact' && rule !== 'NotOlderThan')
    throw badRequest(`resourceVersionMatch Unsupported value: ${rule}`);
  if (rule !== undefined && (rv === undefined || rv === '')) {
    throw invalid('meta.k8s.io', 'ListOptions', '', [
      {
        reason: 'FieldValueForbidden',
        field: 'resourceVersionMatch',
        message: 'Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided',
      },
    ]);
  }
  if (rv === undefined || rv === '') return;
  if (!/^\d+$/.test(rv))
    throw invalid('meta.k8s.io', 'ListOptions', '', [
      {
        field: 'resourceVersion',
        message: `Invalid value: ${JSON.stringify(rv)}: strconv.ParseUint: parsing ${JSON.stringify(rv)}: invalid syntax`,
      },
    ]);
  requireReached(store, Number(rv));
}

export function requireReached(store: MemoryStore, rv: number): void {
  if (rv <= store.rv()) return;
  throw new StatusError(504, 'Timeout', `Too large resource version: ${rv}, current: ${store.rv()}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

/** The collection as it was, by undoing what happened since. */
function snapshot(store: MemoryStore, r: Resource, ns: string, rv: number): KubeObject[] {
  const changes = store.collection(r.storage).since(rv);
  if (changes === undefined)
    throw expired(
      'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
    );
  const objects = new Map(store.list(r.storage, ns).map((o) => [keyOf(nsOf(o), nameOf(o)), o]));
  for (const c of [...changes].reverse()) {
    if (ns !== '' && nsOf(c.object) !== ns) continue;
    const key = keyOf(nsOf(c.object), nameOf(c.object));
    if (c.previous === undefined) objects.delete(key);
    else objects.set(key, c.previous);
  }
  return [...objects.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, o]) => o);
}

interface Token {
  readonly rv: number;
  readonly start: string;
}

const writeToken = (t: Token): string => Buffer.from(JSON.stringify(t)).toString('base64url');

function readToken(text: string): Token {
  try {
    const t = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Token;
    if (typeof t.rv === 'number' && typeof t.start === 'string') return t;
  } catch {
    // said below
  }
  throw badRequest('continue key is not valid');
}
