// Asks backends again and again, at their pace, so many at once. Decides nothing: it counts results in a row; who compiles judges them. After a
// result that says something new it asks again sooner, so that nobody waits whole intervals for the second one; and when one fails it asks some
// others at once, so that it is known whether it is the backend or ourselves. Called by the balancer.
import type { Clock, Timer } from '@axoneme/std';
import { type Ask, ask as askBackend, type ProbeSpec } from './ask.ts';

export interface ProbeResult {
  readonly ok: boolean;
  /** Results in a row that say so. */
  readonly streak: number;
  /** Of the last one; empty when it was good. */
  readonly reason: string;
  readonly latencyMs: number;
  /** Of failures: the last so many in a row between which somebody else was seen to serve. */
  readonly seen: number;
  /** Monotonic. */
  readonly atMs: number;
}

export interface Prober {
  /** What is asked from now on; results of what is still asked are kept. */
  set(specs: readonly ProbeSpec[]): void;
  results(): ReadonlyMap<string, ProbeResult>;
  /** Conversations under way, and questions that wait for room. */
  load(): { readonly asking: number; readonly waiting: number };
  /** Ends all conversations. */
  stop(): void;
}

export interface ProberDeps {
  readonly clock: Clock;
  /** After a result that may change a judgement. */
  readonly onNews: (id: string) => void;
  readonly ask?: Ask;
  readonly askingMax?: number;
}

const askingMaxDefault = 64;
const firstWithinMs = 200;
const soonerBy = 4;
/** Failures beyond those that are needed that still come at the faster pace. */
const soonerMore = 3;
/** Others that are asked when one fails, unless they just answered. */
const witnesses = 3;
const witnessAgeMs = 10;

interface Watched {
  spec: ProbeSpec;
  result: ProbeResult | undefined;
  timer: Timer | undefined;
  gone: boolean;
}

/** Spread, so that a thousand backends are not asked in the same millisecond. */
function firstDelayMs(spec: ProbeSpec): number {
  let sum = 0;
  for (let i = 0; i < spec.id.length; i++) sum = (sum * 31 + spec.id.charCodeAt(i)) >>> 0;
  return sum % Math.min(firstWithinMs, spec.check.intervalMs);
}

export function createProber({ clock, onNews, ask = askBackend, askingMax = askingMaxDefault }: ProberDeps): Prober {
  const watched = new Map<string, Watched>();
  const waiting: Watched[] = [];
  const life = new AbortController();
  let asking = 0;
  let lastOkMs = Number.NEGATIVE_INFINITY;

  const later = (w: Watched, delayMs: number): void => {
    w.timer = clock.after(delayMs, () => {
      w.timer = undefined;
      waiting.push(w);
      work();
    });
  };
  const run = async (w: Watched): Promise<void> => {
    const { spec } = w;
    const started = clock.monotonicMs();
    const { ok, reason } = await ask(spec, life.signal);
    if (w.gone || life.signal.aborted) return;
    const now = clock.monotonicMs();
    const streak = w.result?.ok === ok ? w.result.streak + 1 : 1;
    const sinceMs = streak === 1 || w.result === undefined ? now - w.spec.check.intervalMs : w.result.atMs;
    const seen = !ok && lastOkMs >= sinceMs ? (w.result?.seen ?? 0) + 1 : 0;
    if (ok) lastOkMs = now;
    w.result = { ok, streak, seen, reason, latencyMs: now - started, atMs: now };
    const { rise, fall, intervalMs } = w.spec.check;
    const needed = ok ? rise : fall;
    const soon = streak < needed || (!ok && streak < needed + soonerMore);
    later(w, Math.max(0, started + (soon ? intervalMs / soonerBy : intervalMs) - now));
    if (!ok && soon) callWitnesses(now);
    // failures are believed when others were seen meanwhile: each of them may be the one
    if (!ok || streak <= needed) onNews(spec.id);
  };
  const callWitnesses = (nowMs: number): void => {
    let called = 0;
    for (const w of watched.values()) {
      if (called === witnesses) return;
      if (w.timer === undefined || w.result?.ok !== true || nowMs - w.result.atMs < witnessAgeMs) continue;
      w.timer.cancel();
      later(w, 0);
      called += 1;
    }
  };
  const work = (): void => {
    while (asking < askingMax && !life.signal.aborted) {
      const w = waiting.shift();
      if (w === undefined) return;
      if (w.gone) continue;
      asking += 1;
      void run(w).finally(() => {
        asking -= 1;
        work();
      });
    }
  };

  return {
    set(specs) {
      const wanted = new Map(specs.map((s) => [s.id, s]));
      for (const [id, w] of watched) {
        if (wanted.has(id)) continue;
        w.gone = true;
        w.timer?.cancel();
        watched.delete(id);
      }
      for (const [id, spec] of wanted) {
        const known = watched.get(id);
        if (known !== undefined) {
          known.spec = spec;
          continue;
        }
        const w: Watched = { spec, result: undefined, timer: undefined, gone: false };
        watched.set(id, w);
        later(w, firstDelayMs(spec));
      }
    },
    results: () => new Map([...watched].flatMap(([id, w]) => (w.result === undefined ? [] : [[id, w.result] as const]))),
    load: () => ({ asking, waiting: waiting.length }),
    stop() {
      life.abort();
      for (const w of watched.values()) w.timer?.cancel();
    },
  };
}
