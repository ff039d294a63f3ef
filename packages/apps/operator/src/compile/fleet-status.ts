// What the status of a fleet says of its backends: written by the leader, and read where nobody judges, by replicas that do not lead and by the next
// leader. Called by the compile and the status writer.
import { type BalancedService, type Fleet, type JudgedBackend, judgeBackends, type TargetId } from '@axoneme/service';
import type { DownRow } from '../world/rows.ts';

export interface BackendStatus {
  readonly address: string;
  readonly port: number;
  readonly state: string;
  readonly failing?: boolean;
  readonly reason?: string;
}

export interface FleetServiceStatus {
  readonly name: string;
  readonly vips: readonly { readonly address: string; readonly port: number; readonly protocol: string }[];
  readonly backends: readonly BackendStatus[];
  readonly remarks: readonly string[];
}

/** Of fleets with more backends only that of which there is something to say, up to a limit: an object has an end. */
const LISTED_MAX = 2_000;
const SAID_MAX = 5_000;
const REMARKS_MAX = 8;
const REASON_MAX = 120;

function backendOf(b: JudgedBackend, down: DownRow): BackendStatus {
  const { address, port, now, failing, target } = b;
  const reason = target === undefined ? undefined : down.get(target)?.slice(0, REASON_MAX);
  return { address, port, state: now, ...(failing ? { failing } : {}), ...(reason === undefined ? {} : { reason }) };
}

export function servicesStatus(fleet: Fleet, down: DownRow, remarksOf: (s: BalancedService) => readonly string[]): FleetServiceStatus[] {
  const failing = new Set(down.keys());
  const all = fleet.services.reduce((n, s) => n + s.backends.length, 0) <= LISTED_MAX;
  let left = SAID_MAX;
  return fleet.services.flatMap((s) => {
    const shown = judgeBackends(s, failing).filter((b) => all || b.failing || b.now !== 'active');
    const backends = shown.slice(0, left).map((b) => backendOf(b, down));
    left -= backends.length;
    const remarks = remarksOf(s).slice(0, REMARKS_MAX);
    if (!all && backends.length + remarks.length === 0) return [];
    const vips = s.vips.map(({ address, port, protocol }) => ({ address, port, protocol }));
    return [{ name: s.name, vips, backends, remarks }];
  });
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
