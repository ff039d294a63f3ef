// Events as users see them in `kubectl describe`: one object per (object, reason, message), counted up.
import { type Clock, hash32, type Log } from '@axoneme/std';
import type { KubeObject } from '../apiserver/types.ts';
import { EVENTS } from '../client/kinds.ts';
import { isNotFound, type KubeClient } from '../client/kube-client.ts';
import { nameOf, nowIso, nsOf } from '../client/object.ts';

export interface EventRecorder {
  /** Never fails; events are best effort. */
  emit(about: KubeObject, kind: string, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

const SEEN_MAX = 4096;
/** Repeats of one event are written at most this often. */
const REPEAT_MS = 2000;

interface Seen {
  count: number;
  writtenAtMs: number;
}

export function createEventRecorder(
  deps: { readonly client: KubeClient; readonly clock: Clock; readonly log: Log },
  component: string,
  host: string,
): EventRecorder {
  const seen = new Map<string, Seen>();

  async function write(
    about: KubeObject,
    kind: string,
    type: string,
    reason: string,
    message: string,
    name: string,
    count: number,
  ): Promise<void> {
    const now = nowIso(deps.clock.nowMs());
    const ns = nsOf(about) || 'default';
    const ref = {
      apiVersion: about.apiVersion ?? 'v1',
      kind,
      name: nameOf(about),
      namespace: about.metadata.namespace,
      uid: about.metadata.uid,
    };
    if (count > 1) {
      try {
        await deps.client.patch(EVENTS, ns, name, 'merge', { count, lastTimestamp: now });
        return;
      } catch (e) {
        if (!isNotFound(e)) throw e;
      }
    }
    const involvedObject = Object.fromEntries(Object.entries(ref).filter(([, v]) => v !== undefined));
    await deps.client.create(EVENTS, {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace: ns },
      involvedObject,
      type,
      reason,
      message,
      count,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component, host },
      reportingComponent: component,
      reportingInstance: host,
    });
  }

  return {
    emit(about, kind, type, reason, message) {
      const id = `${about.metadata.uid ?? ''}/${reason}/${message}`;
      const name = `${nameOf(about)}.${hash32(id).toString(16).padStart(8, '0')}`;
      const s = seen.get(id) ?? { count: 0, writtenAtMs: Number.NEGATIVE_INFINITY };
      s.count++;
      if (seen.size >= SEEN_MAX) seen.clear();
      seen.set(id, s);
      const now = deps.clock.monotonicMs();
      if (now - s.writtenAtMs < REPEAT_MS) return;
      s.writtenAtMs = now;
      write(about, kind, type, reason, message, name, s.count).catch((e: unknown) =>
        deps.log.debug('event not written', { reason, error: String(e) }),
      );
    },
  };
}
