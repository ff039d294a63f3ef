// Leader duty: who announces which address on the local network. Plans from what is wanted and from the Leases, writes Leases, and gives nodes
// that ask leave to go on. One owner of an address at any time: see "Addresses on the local network" in docs/design/services.md.

import { createL2Fence, type L2Moment, type L2Record, planL2 } from '@axoneme/ipam';
import type { IpAddr } from '@axoneme/model';
import type { Clock, Digest, Log } from '@axoneme/std';
import type { L2Part } from '../compile/l2.ts';
import type { L2LeaseRow } from '../world/rows.ts';
import type { World } from '../world/world.ts';
import type { L2Store } from './l2-store.ts';

export interface L2DutyDeps {
  readonly world: World;
  readonly part: Pick<L2Part, 'wants' | 'content' | 'digest' | 'record'>;
  /** What a node certainly holds as `l2/leases`; undefined while that is not certain. */
  readonly holding: (node: string) => { readonly digest: Digest | undefined } | undefined;
  readonly store: L2Store;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
}

export interface L2Duty {
  run(): Promise<void>;
  /** Milliseconds a node that asks may go on; 0: no answer. */
  ask(node: string): number;
  connected(node: string): void;
  disconnected(node: string): void;
  /** It said anything. */
  sign(node: string): void;
}

/** Two clocks differ by less within a validity. */
const MARGIN_MS = 100;
/** Other replicas look at the Lease every 2 s, tell it within a quarter of a second, and nodes ask a second later (leader-seeker.ts). */
const FIND_MS = 6000;
const WRITES_AT_ONCE = 16;
/** A node that has not stopped by then takes no commits: it gets no more leave. */
const STUBBORN_MS = 10_000;

/** Written, or tried to; until the compile has what became of it nobody new is given leave by the old state. */
interface Pending {
  readonly next: L2Record | undefined;
  readonly before: L2LeaseRow | undefined;
  /** It is not known whether the write arrived, or will. */
  doubtful: boolean;
}

const same = (a: L2Record | undefined, b: L2Record | undefined): boolean =>
  a?.node === b?.node && a?.epoch === b?.epoch && a?.former.join() === b?.former.join();

/** A record that somebody took away: whoever it named may still announce. */
const orphan = (r: L2Record): L2Record => ({ ...r, node: '', former: [...new Set([...r.former, r.node])].filter(Boolean) });

export function createL2Duty(d: L2DutyDeps, validMs: number): L2Duty {
  const fence = createL2Fence({ validMs, marginMs: MARGIN_MS, findMs: FIND_MS }, d.clock.monotonicMs());
  const pending = new Map<IpAddr, Pending>();
  /** As of the last look, with those whose object is gone. */
  let known = new Map<IpAddr, L2Record>();
  /** Since when a node is asked to stop, by node and address. */
  let leaving = new Map<string, number>();
  const now = (): number => d.clock.monotonicMs();
  const keyOf = (name: string): string => `${d.store.namespace}/${name}`;

  /** It holds what the Leases say, no more and no less, and nothing is on its way to it. */
  const settled = (node: string): boolean => {
    const h = d.holding(node);
    return h !== undefined && h.digest === d.part.digest(node);
  };
  const stays = (node: string, address: IpAddr): boolean => {
    const p = pending.get(address);
    return p === undefined || (!p.doubtful && p.next?.node === node && p.next.former.length === 0);
  };
  const rows = (): Map<IpAddr, L2LeaseRow> => new Map([...d.world.tables.l2Leases.values()].map((l) => [l.record.address, l]));
  const forget = (held: ReadonlyMap<IpAddr, L2LeaseRow>): void => {
    for (const [address, p] of pending) {
      const row = held.get(address);
      if (row?.resourceVersion !== p.before?.resourceVersion && same(d.part.record(address), row?.record)) pending.delete(address);
    }
  };
  const recordsOf = (held: ReadonlyMap<IpAddr, L2LeaseRow>): Map<IpAddr, L2Record> => {
    const out = new Map([...held].map(([address, row]) => [address, row.record]));
    for (const [address, r] of known) if (!out.has(address)) out.set(address, orphan(r));
    return out;
  };
  const moment = (at: number): L2Moment => ({
    alive: (node) => d.world.tables.nodes.has(node) && fence.alive(node, d.part.content(node).size > 0, at),
    stopped: (node, address) => fence.isConnected(node) && settled(node) && !d.part.content(node).has(address),
    lapsed: (node) => fence.lapsed(node, at),
    certain: fence.certain(at),
  });

  const noteLeaving = (records: ReadonlyMap<IpAddr, L2Record>): void => {
    const next = new Map<string, number>();
    for (const r of records.values())
      for (const node of r.former) {
        const key = `${node} ${r.address}`;
        next.set(key, leaving.get(key) ?? now());
      }
    leaving = next;
  };
  const stubborn = (node: string): boolean =>
    [...leaving].some(([key, since]) => key.startsWith(`${node} `) && now() - since > STUBBORN_MS);

  const write = async (address: IpAddr, p: Pending): Promise<void> => {
    const written = await d.store.write(p.next, p.before, d.part.wants().get(address)?.services ?? []);
    if (written === 'refused') {
      // it is not as we know it: the watch tells how it is
      return;
    }
    p.doubtful = false;
    const node = p.next?.node ?? '';
    if (p.before?.record.node !== node || p.before.record.former.length !== p.next?.former.length)
      d.log.info('address moves on the local network', { address, node, former: p.next?.former ?? [], epoch: p.next?.epoch ?? 0 });
    if (written !== undefined) {
      known.set(address, written.record);
      d.world.set('l2Leases', keyOf(written.name), written);
      return;
    }
    known.delete(address);
    if (p.before === undefined) pending.delete(address);
    else d.world.remove('l2Leases', keyOf(p.before.name));
  };
  // every record is written anew before anybody gets leave by it: what a former leader wrote meanwhile is seen first, what it still writes is late
  for (const [address, row] of rows()) pending.set(address, { next: row.record, before: row, doubtful: true });

  return {
    async run() {
      const held = rows();
      forget(held);
      const records = recordsOf(held);
      known = new Map(records);
      noteLeaving(records);
      const plan = new Map(planL2(d.part.wants(), records, moment(now())));
      // what may have been written or not is written again, as it should be
      for (const [address, p] of pending) if (p.doubtful && !plan.has(address)) plan.set(address, held.get(address)?.record);
      const due = [...plan].map(([address, next]): [IpAddr, Pending] => [address, { next, before: held.get(address), doubtful: true }]);
      // before anything is written: from now on nobody who loses an address is given leave
      for (const [address, p] of due) pending.set(address, p);
      const failures: unknown[] = [];
      for (let i = 0; i < due.length; i += WRITES_AT_ONCE) {
        const done = await Promise.allSettled(due.slice(i, i + WRITES_AT_ONCE).map(([address, p]) => write(address, p)));
        for (const r of done) if (r.status === 'rejected') failures.push(r.reason);
      }
      if (failures.length > 0) throw failures[0];
    },
    ask(node) {
      const holds = [...d.part.content(node)].every((a) => stays(node, a)) && settled(node);
      return stubborn(node) ? 0 : fence.ask(node, holds, now());
    },
    connected: (node) => fence.connected(node, now()),
    disconnected: fence.disconnected,
    sign: (node) => fence.sign(node, now()),
  };
}
