// A watch as a chunked response: one JSON line an event, shared bytes for plain watchers. Called by ./handlers.ts.
import type { ServerResponse } from 'node:http';
import { jsonBytes } from '../obj.ts';
import { apiVersionOf, type Resource } from '../registry.ts';
import { fromStorage } from '../rest/versions.ts';
import type { WatchSink } from '../rest/watch.ts';
import { type IncludeObject, partialObject, tableOf } from '../table/table.ts';
import type { KubeObject } from '../types.ts';
import type { Form } from './negotiate.ts';

const bufferedBytesMax = 64 * 1024 * 1024;
const tail = Buffer.from('}\n');
const heads = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
};

const lines = new WeakMap<KubeObject, Map<string, Buffer>>();

/** The wire bytes of an event, made once for all plain watchers. */
function eventLine(type: keyof typeof heads, o: KubeObject): Buffer {
  let byType = lines.get(o);
  if (byType === undefined) {
    byType = new Map();
    lines.set(o, byType);
  }
  let line = byType.get(type);
  if (line === undefined) {
    line = Buffer.concat([heads[type], jsonBytes(o), tail]);
    byType.set(type, line);
  }
  return line;
}

export interface WatchForm {
  readonly form: Form;
  readonly include: IncludeObject;
  readonly nowMs: () => number;
}

export function createWatchSink(res: ServerResponse, r: Resource, w: WatchForm): WatchSink {
  let first = true;
  const start = (): void => {
    if (res.headersSent) return;
    res.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked', 'cache-control': 'no-cache, private' });
    res.flushHeaders();
  };
  const write = (line: Buffer | string): void => {
    start();
    if (res.destroyed || res.writableEnded) return;
    res.write(line);
    // a reader that fell this far behind re-lists sooner than it catches up
    if (res.writableLength > bufferedBytesMax) res.destroy();
  };
  const shaped = (o: KubeObject): unknown => {
    if (w.form === 'partial') return partialObject(o);
    const t = tableOf(r, [o], {
      include: w.include,
      headers: first,
      nowMs: w.nowMs(),
      listMeta: { resourceVersion: o.metadata.resourceVersion },
    });
    first = false;
    return t;
  };
  return {
    event(type, stored) {
      const o = fromStorage(r, stored);
      if (w.form === 'json' || w.form === 'yaml') write(eventLine(type, o));
      else write(`${JSON.stringify({ type, object: shaped(o) })}\n`);
    },
    bookmark(rv, initialEnd) {
      const metadata = {
        resourceVersion: String(rv),
        creationTimestamp: null,
        ...(initialEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
      };
      const o = { kind: r.kind, apiVersion: apiVersionOf(r), metadata } as unknown as KubeObject;
      write(`${JSON.stringify({ type: 'BOOKMARK', object: w.form === 'json' || w.form === 'yaml' ? o : shaped(o) })}\n`);
    },
    error(e) {
      write(`${JSON.stringify({ type: 'ERROR', object: e.toStatus() })}\n`);
    },
    end() {
      start();
      res.end();
    },
  };
}
