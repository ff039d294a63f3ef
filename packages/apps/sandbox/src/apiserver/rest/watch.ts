// Watches: where to start, what a selector makes of a change, bookmarks, WatchList. Writes to a sink; ../http/watch-response.ts is the sink.
import type { Clock, Timer } from '@axoneme/std';
import { nsOf } from '../obj.ts';
import type { Resource } from '../registry.ts';
import { expired, invalid, type StatusError } from '../status-error.ts';
import type { Change } from '../store/collection.ts';
import type { MemoryStore } from '../store/memory.ts';
import type { Predicate } from '../store/selector.ts';
import type { KubeObject } from '../types.ts';
import { requireReached, selectorOf } from './list.ts';

export interface WatchQuery {
  readonly ns: string;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
  readonly sendInitialEvents?: boolean | undefined;
  readonly allowWatchBookmarks?: boolean | undefined;
  readonly timeoutSeconds?: number | undefined;
}

export interface WatchSink {
  event(type: 'ADDED' | 'MODIFIED' | 'DELETED', o: KubeObject): void;
  bookmark(rv: number, initialEnd: boolean): void;
  error(e: StatusError): void;
  end(): void;
}

const bookmarkEveryMs = 30_000;
const timeoutDefaultSeconds = 1800;

/** Throws before anything is sent when the query makes no sense. Returns what ends the watch. */
export function startWatch(store: MemoryStore, clock: Clock, r: Resource, q: WatchQuery, sink: WatchSink): () => void {
  checkQuery(q);
  const match = selectorOf(r, q);
  const rv = Number(q.resourceVersion ?? 0);
  const wanted = (o: KubeObject): boolean => (q.ns === '' || nsOf(o) === q.ns) && (match === undefined || match(o));
  const initial = q.sendInitialEvents ?? (q.resourceVersion === undefined || q.resourceVersion === '' || q.resourceVersion === '0');
  const backlog = initial ? [] : rv > store.rv() ? [] : store.collection(r.storage).since(rv);
  if (q.sendInitialEvents === true) requireReached(store, rv);
  if (backlog === undefined) {
    sink.error(expired(`too old resource version: ${rv} (${store.rv()})`));
    sink.end();
    return () => undefined;
  }
  if (initial) for (const o of store.list(r.storage, q.ns)) if (wanted(o)) sink.event('ADDED', o);
  for (const c of backlog) deliver(c, rv, q.ns, match, sink);
  if (q.sendInitialEvents === true && q.allowWatchBookmarks === true) sink.bookmark(store.rv(), true);
  return live(store, clock, r, q, rv, match, sink);
}

function checkQuery(q: WatchQuery): void {
  const bad = (field: string, message: string): StatusError =>
    invalid('meta.k8s.io', 'ListOptions', '', [{ reason: 'FieldValueForbidden', field, message }]);
  if (q.sendInitialEvents !== undefined && q.resourceVersionMatch !== 'NotOlderThan')
    throw bad('resourceVersionMatch', 'Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  if (q.resourceVersionMatch !== undefined && q.sendInitialEvents === undefined)
    throw bad('resourceVersionMatch', 'Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
  if (q.sendInitialEvents === true && q.allowWatchBookmarks !== true)
    throw bad('sendInitialEvents', 'Forbidden: sendInitialEvents requires setting allowWatchBookmarks to true');
  const rv = q.resourceVersion;
  if (rv !== undefined && rv !== '' && !/^\d+$/.test(rv))
    throw invalid('meta.k8s.io', 'ListOptions', '', [
      {
        field: 'resourceVersion',
        message: `Invalid value: ${JSON.stringify(rv)}: strconv.ParseUint: parsing ${JSON.stringify(rv)}: invalid syntax`,
      },
    ]);
}

/** A change as this watch sees it: an object that starts to match is new, one that stops is gone. */
function deliver(c: Change, after: number, ns: string, match: Predicate | undefined, sink: WatchSink): void {
  if (c.rv <= after || (ns !== '' && nsOf(c.object) !== ns)) return;
  if (match === undefined) {
    sink.event(c.type, c.object);
    return;
  }
  const was = c.previous !== undefined && match(c.previous);
  const is = c.type !== 'DELETED' && match(c.object);
  if (is) sink.event(was ? 'MODIFIED' : 'ADDED', c.object);
  else if (was) sink.event('DELETED', c.type === 'DELETED' ? c.object : departed(c));
}

/** The last matching state with the version of the change that ended it. */
function departed(c: Change): KubeObject {
  const before = c.previous as KubeObject;
  return { ...before, metadata: { ...before.metadata, resourceVersion: String(c.rv) } };
}

function live(
  store: MemoryStore,
  clock: Clock,
  r: Resource,
  q: WatchQuery,
  rv: number,
  match: Predicate | undefined,
  sink: WatchSink,
): () => void {
  const unlisten = store.listen(r.storage, (c) => deliver(c, rv, q.ns, match, sink));
  let bookmark: Timer | undefined;
  const beat = (): void => {
    bookmark = clock.after(bookmarkEveryMs, () => {
      sink.bookmark(store.rv(), false);
      beat();
    });
  };
  if (q.allowWatchBookmarks === true) beat();
  const seconds = q.timeoutSeconds ?? timeoutDefaultSeconds;
  const stop = (): void => {
    unlisten();
    bookmark?.cancel();
    timeout.cancel();
  };
  const timeout = clock.after(seconds * 1000, () => {
    if (q.allowWatchBookmarks === true) sink.bookmark(store.rv(), false);
    stop();
    sink.end();
  });
  return stop;
}
