// Reads one watch stream: bytes → lines → events. Knows nothing of caches; the reflector drives it.
import type { IncomingMessage } from 'node:http';
import type { Clock } from '@axoneme/std';
import { errorFromSocket, errorFromStatusObject, kubeError } from './errors.ts';
import type { KubeObject } from './resource.ts';

export interface WatchEvent<T extends KubeObject = KubeObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
}

export const lineBytesMax = 16 * 1024 * 1024;
const eventTypes: ReadonlySet<string> = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']);

/** Splits a byte stream at newlines without copying more than the unfinished line. */
export function createLineSplitter(onLine: (line: string) => void): (chunk: Buffer) => void {
  let pending: Buffer[] = [];
  let size = 0;
  return (chunk) => {
    let from = 0;
    for (let nl = chunk.indexOf(10, from); nl !== -1; nl = chunk.indexOf(10, from)) {
      const part = chunk.subarray(from, nl);
      const line = pending.length === 0 ? part.toString('utf8') : Buffer.concat([...pending, part]).toString('utf8');
      pending = [];
      size = 0;
      from = nl + 1;
      if (line.trim() !== '') onLine(line);
    }
    if (from < chunk.length) {
      size += chunk.length - from;
      if (size > lineBytesMax) throw kubeError('kube/garbage', 'a watch event exceeds the size limit', 'later', { lineBytesMax });
      pending.push(from === 0 ? chunk : chunk.subarray(from));
    }
  };
}

/** Throws `kube/garbage` for what is no event and the server's own error for an ERROR event. */
export function parseWatchLine(line: string, request: string): WatchEvent {
  let v: {
    readonly type?: unknown;
    readonly object?: { readonly metadata?: { readonly resourceVersion?: unknown; readonly name?: unknown } };
  };
  try {
    v = JSON.parse(line);
  } catch {
    throw kubeError('kube/garbage', 'a watch line is not JSON', 'later', { request, start: line.slice(0, 80) });
  }
  if (v?.type === 'ERROR') throw errorFromStatusObject(v.object, request);
  const meta = v?.object?.metadata;
  const named = v?.type === 'BOOKMARK' || (typeof meta?.name === 'string' && meta.name !== '');
  if (typeof v?.type !== 'string' || !eventTypes.has(v.type) || typeof meta?.resourceVersion !== 'string' || !named) {
    throw kubeError('kube/garbage', 'a watch line is not an event', 'later', { request, start: line.slice(0, 80) });
  }
  return v as unknown as WatchEvent;
}

export interface ReadWatchOptions {
  readonly request: string;
  readonly signal?: AbortSignal;
  /** Ends the watch with `kube/idle` when nothing at all arrived for so long. */
  readonly idleMs: number;
  readonly clock: Clock;
}

/** Resolves when the server ends the stream cleanly; rejects with AppError otherwise. Every event before the end is delivered. */
export function readWatch(res: IncomingMessage, o: ReadWatchOptions, onEvent: (e: WatchEvent) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer = o.clock.after(o.idleMs, () =>
      finish(kubeError('kube/idle', `the watch was silent for ${o.idleMs} ms`, 'later', { request: o.request })),
    );
    let done = false;
    const onAbort = (): void => finish(kubeError('kube/aborted', 'the watch was stopped', 'never', { request: o.request }));
    const finish = (e?: unknown): void => {
      if (done) return;
      done = true;
      timer.cancel();
      o.signal?.removeEventListener('abort', onAbort);
      res.destroy();
      if (e === undefined) resolve();
      else reject(e);
    };
    const split = createLineSplitter((line) => {
      if (!done) onEvent(parseWatchLine(line, o.request));
    });
    if (o.signal?.aborted === true) return onAbort();
    o.signal?.addEventListener('abort', onAbort, { once: true });
    res.on('data', (chunk: Buffer) => {
      timer.cancel();
      timer = o.clock.after(o.idleMs, () =>
        finish(kubeError('kube/idle', `the watch was silent for ${o.idleMs} ms`, 'later', { request: o.request })),
      );
      if (done) return timer.cancel();
      try {
        split(chunk);
      } catch (e) {
        finish(e);
      }
    });
    res.on('end', () => finish());
    res.on('error', (e) => finish(errorFromSocket(e, o.request)));
    res.on('close', () => finish(kubeError('kube/unreachable', 'the watch connection closed', 'later', { request: o.request })));
  });
}
