// The probes of a node of load balancer fleets: what artifact `lb/probes` says is asked, and what comes of it waits here until the reporter can
// tell it, only the newest of each target. Created by wiring.
import type { ProbeReport } from '@axoneme/proto';
import type { Clock, Log } from '@axoneme/std';
import type { Ask, ProbeSpec } from './ask.ts';
import { createProber, type ProbeResult } from './prober.ts';
import { readProbes } from './targets.ts';

export interface DueProbes {
  readonly reports: readonly ProbeReport[];
  /** They are on their way. */
  sent(): void;
}

export interface NodeProbes {
  /** Artifact `lb/probes`; undefined: gone, nothing is asked any more. */
  set(blob: Buffer | undefined): void;
  /** The listener hears that something is to be told soon. */
  onNews(listener: () => void): void;
  /** What is to be told now: what is new, and what the operator would soon not believe any more; all there is if `full`. */
  due(full: boolean): DueProbes;
  status(): { readonly targets: number; readonly answered: number; readonly failing: number };
  stop(): void;
}

interface Told {
  /** Of the result. */
  readonly atMs: number;
  readonly toldMs: number;
}

const reasonMax = 200;
const none: DueProbes = { reports: [], sent: () => undefined };

/** Whoever hears nothing of a target for three rounds does not believe what he has heard (packages/apps/balancer does so). */
const refreshMs = (s: ProbeSpec): number => s.check.intervalMs + s.check.timeoutMs;

export function createNodeProbes({ clock, log, ask }: { readonly clock: Clock; readonly log: Log; readonly ask?: Ask }): NodeProbes {
  const listeners: (() => void)[] = [];
  let specs: ReadonlyMap<string, ProbeSpec> = new Map();
  const told = new Map<string, Told>();
  const news = new Set<string>();
  const prober = createProber({
    clock,
    onNews(id) {
      news.add(id);
      for (const l of listeners) l();
    },
    ...(ask === undefined ? {} : { ask }),
  });

  const isDue = (id: string, r: ProbeResult, nowMs: number): boolean => {
    const last = told.get(id);
    if (last === undefined || news.has(id)) return true;
    const spec = specs.get(id);
    return last.atMs !== r.atMs && spec !== undefined && nowMs - last.toldMs >= refreshMs(spec);
  };

  return {
    set(blob) {
      const read = blob === undefined ? undefined : readProbes(blob);
      if (read?.ok === false) log.error('stored probes cannot be read, nothing is asked', { reason: read.error.message });
      specs = new Map((read?.ok ? read.value : []).map((s) => [s.id, s]));
      prober.set([...specs.values()]);
      for (const id of [...told.keys(), ...news]) {
        if (specs.has(id)) continue;
        told.delete(id);
        news.delete(id);
      }
    },
    onNews(listener) {
      listeners.push(listener);
    },
    due(full) {
      if (specs.size === 0) return none;
      const nowMs = clock.monotonicMs();
      const chosen = [...prober.results()].filter(([id, r]) => full || isDue(id, r, nowMs));
      return {
        reports: chosen.map(([id, r]) => ({
          id,
          ok: r.ok,
          streak: r.streak,
          seen: r.seen,
          reason: r.reason.slice(0, reasonMax),
          ageMs: Math.max(0, Math.round(nowMs - r.atMs)),
        })),
        sent() {
          for (const [id, r] of chosen) {
            told.set(id, { atMs: r.atMs, toldMs: nowMs });
            news.delete(id);
          }
        },
      };
    },
    status() {
      const results = [...prober.results().values()];
      return { targets: specs.size, answered: results.length, failing: results.filter((r) => !r.ok).length };
    },
    stop: () => prober.stop(),
  };
}
