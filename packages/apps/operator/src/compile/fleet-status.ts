// What the status of a fleet says of its backends: written by the leader, and read where nobody judges, by replicas that do not lead and by the next
// leader. Called by the compile and the status writer.
import { type BalancedService, type Fleet, judgeBackends, type TargetId } from '@axoneme/service';
import type { DownRow } from '../world/rows.ts';

export interface BackendStatus {
  readonly address: string;
  readonly port: number;
  readonly state: string;
  readonly failing?: true;
  readonly reason?: string;
}

export interface FleetServiceStatus {
  readonly name: string;
  readonly vips: readonly { readonly address: string; readonly port: number; readonly protocol: string }[];
  readonly backends: readonly BackendStatus[];
  readonly remarks: readonly string[];
}

/** Beyond, those of which there is nothing to say are left out: an object has an end. */
const LISTED_MAX = 2_000;
const REMARKS_MAX = 8;
const REASON_MAX = 120;

export function servicesStatus(fleet: Fleet, down: DownRow, remarksOf: (s: BalancedService) => readonly string[]): FleetServiceStatus[] {
  const failing = new Set(down.keys());
  const all = fleet.services.reduce((n, s) => n + s.backends.length, 0) <= LISTED_MAX;
  return fleet.services.map((s) => ({
    name: s.name,
    vips: s.vips.map((v) => ({ address: v.address, port: v.port, protocol: v.protocol })),
    backends: judgeBackends(s, failing)
      .filter((b) => all || b.failing || b.now !== 'active')
      .map((b) => ({
        address: b.address,
        port: b.port,
        state: b.now,
        ...(b.failing ? { failing: true as const } : {}),
        ...(b.target !== undefined && down.has(b.target) ? { reason: (down.get(b.target) ?? '').slice(0, REASON_MAX) } : {}),
      })),
    remarks: remarksOf(s).slice(0, REMARKS_MAX),
  }));
}

type Raw = Readonly<Record<string, unknown>>;
const obj = (v: unknown): Raw => (typeof v === 'object' && v !== null && !Array.isArray(v) ? (v as Raw) : {});
const list = (v: unknown): readonly unknown[] => (Array.isArray(v) ? v : []);
const str = (v: unknown): string => (typeof v === 'string' ? v : '');

/** Total: whatever is written there. */
export function downOfStatus(status: unknown, fleet: Fleet): DownRow {
  const down = new Map<TargetId, string>();
  const services = new Map(fleet.services.map((s) => [s.name, s]));
  for (const raw of list(obj(status).services).map(obj)) {
    const s = services.get(str(raw.name));
    if (s === undefined) continue;
    const failing = new Map(
      list(raw.backends)
        .map(obj)
        .filter((b) => b.failing === true || b.state === 'quarantined')
        .map((b) => [`${str(b.address)} ${typeof b.port === 'number' ? b.port : 0}`, str(b.reason)]),
    );
    if (failing.size === 0) continue;
    for (const b of judgeBackends(s, new Set())) {
      const reason = failing.get(`${b.address} ${b.port}`);
      if (b.target !== undefined && reason !== undefined) down.set(b.target, reason);
    }
  }
  return new Map([...down].sort(([a], [b]) => (a < b ? -1 : 1)));
}
