// Leader duty: what is wrong with a Service (fields that were not understood, addresses that were refused, problems on nodes) as Kubernetes Events
// on it. Each is told once while it lasts, and again before Events are forgotten. Called by wiring.ts after compiles and news of nodes.
import type { Clock } from '@axoneme/std';
import type { EventNote, EventRecorder } from 'kopf-ts';
import type { World } from '../world/world.ts';

type Texts = ReadonlyMap<string, readonly string[]>;

export interface ServiceEventDeps {
  readonly world: World;
  readonly clock: Clock;
  readonly events: EventRecorder;
  /** Of the last compile, and of nodes. Another object whenever one of them changed. */
  readonly remarks: () => Texts;
  readonly problems: () => Texts;
  /** Wish for another run after so many milliseconds. */
  readonly later: (ms: number) => void;
  readonly assertLeader: () => void;
}

/** API servers forget Events after an hour. */
const AGAIN_MS = 30 * 60_000;
/** The recorder has no room for all of them at once. */
const BATCH = 15;
const BATCH_MS = 1_000;
/** Of one Service. */
const LISTED_MAX = 8;

/** First match counts. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/health check port|healthCheck/, 'HealthCheckPortUnavailable'],
  [/^SNAT instead of DSR/, 'ForwardingModeNotPossible'],
  [/belongs to/, 'AddressConflict'],
  [/refused/, 'AddressRefused'],
  [/no number of its own/, 'PortNotServed'],
];
export const reasonOf = (remark: string): string => reasons.find(([r]) => r.test(remark))?.[1] ?? 'InvalidField';

function notesOf(remarks: readonly string[]): EventNote[] {
  const note = (message: string, reason: string): EventNote => ({ type: 'Warning', reason, message });
  const shown = remarks.slice(0, LISTED_MAX).map((r) => note(r, reasonOf(r)));
  return remarks.length <= LISTED_MAX ? shown : [...shown, note(`and ${remarks.length - LISTED_MAX} more remarks`, 'MoreRemarks')];
}

interface Told {
  readonly uid: string;
  /** When, by text. */
  readonly at: Map<string, number>;
}

interface Meta {
  readonly uid?: string;
}

export function createServiceEventWriter(d: ServiceEventDeps): () => Promise<void> {
  const told = new Map<string, Told>();
  let seen: readonly [Texts, Texts] | undefined;
  let dueMs = 0;

  const all = (): Map<string, readonly string[]> => {
    const out = new Map<string, readonly string[]>(d.remarks());
    for (const [key, texts] of d.problems()) out.set(key, [...(out.get(key) ?? []), ...texts]);
    return out;
  };
  /** What of a Service has to be told now. */
  const open = (key: string, texts: readonly string[], now: number): readonly [uid: string, notes: EventNote[]] => {
    const uid = (d.world.tables.services.get(key)?.metadata as Meta | undefined)?.uid ?? '';
    const before = told.get(key);
    const at = before?.uid === uid ? before.at : new Map<string, number>();
    const notes = notesOf(texts);
    for (const text of at.keys()) if (!notes.some((n) => n.message === text)) at.delete(text);
    told.set(key, { uid, at });
    return [uid, notes.filter((n) => now - (at.get(n.message) ?? Number.NEGATIVE_INFINITY) >= AGAIN_MS)];
  };

  return async () => {
    const now = d.clock.monotonicMs();
    const inputs = [d.remarks(), d.problems()] as const;
    if (seen?.[0] === inputs[0] && seen[1] === inputs[1] && now < dueMs) return;
    const texts = all();
    for (const key of told.keys()) if (!texts.has(key)) told.delete(key);
    let left = BATCH;
    for (const [key, list] of texts) {
      if (!d.world.tables.services.has(key)) continue;
      const [uid, notes] = open(key, list, now);
      for (const note of notes) {
        if (left === 0) {
          seen = undefined;
          return d.later(BATCH_MS);
        }
        left -= 1;
        d.assertLeader();
        const [namespace = '', name = ''] = key.split('/');
        d.events.record({ apiVersion: 'v1', kind: 'Service', namespace, name, uid }, note);
        told.get(key)?.at.set(note.message, now);
      }
    }
    seen = inputs;
    dueMs = now + AGAIN_MS;
    if (told.size > 0) d.later(AGAIN_MS);
  };
}
