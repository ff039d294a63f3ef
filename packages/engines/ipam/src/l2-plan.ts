// Who announces which address: what is wanted, who had it, who lives → who has it now. Called by the leading operator. The records are
// durable objects: the plan is a function of them and of the moment, whoever led before.

import type { IpAddr } from '@axoneme/model';
import { hash64 } from '@axoneme/std';
import type { L2Want } from './l2-wants.ts';

export interface L2Record {
  readonly address: IpAddr;
  /** Who is to have it; empty: nobody. */
  readonly node: string;
  /** Who may still announce it; until there is none `node` does not have it yet. */
  readonly former: readonly string[];
  /** Counts owners. */
  readonly epoch: number;
}

export interface L2Moment {
  /** It would take an address that it is given now, and take care of those it has. */
  alive(node: string): boolean;
  /** It was told to stop and has said that it did. */
  stopped(node: string, address: IpAddr): boolean;
  /** Whatever it was allowed has run out, and it is allowed nothing more. */
  lapsed(node: string): boolean;
  /** Nobody can have what has no record. Not so for a leader who has just begun. */
  readonly certain: boolean;
}

/** The one of the living that the address falls to: rendezvous hash, so that one node less moves only what it had. */
export function chooseL2(want: L2Want, alive: (node: string) => boolean): string {
  let best = '';
  let most = -1n;
  for (const node of want.candidates.keys()) {
    const weight = hash64(want.address, '\0', node);
    if ((weight > most || (weight === most && node < best)) && alive(node)) [best, most] = [node, weight];
  }
  return best;
}

/** Records that must be written; undefined: nobody has it any more and nobody is to have it. */
export function planL2(
  wants: ReadonlyMap<IpAddr, L2Want>,
  records: ReadonlyMap<IpAddr, L2Record>,
  moment: L2Moment,
): ReadonlyMap<IpAddr, L2Record | undefined> {
  const out = new Map<IpAddr, L2Record | undefined>();
  for (const want of wants.values()) {
    const held = records.get(want.address);
    if (held !== undefined) move(held, want, moment, out);
    else if (moment.certain) {
      const node = chooseL2(want, moment.alive);
      if (node !== '') out.set(want.address, { address: want.address, node, former: [], epoch: 1 });
    }
  }
  for (const held of records.values()) if (!wants.has(held.address)) move(held, undefined, moment, out);
  return out;
}

function move(held: L2Record, want: L2Want | undefined, m: L2Moment, out: Map<IpAddr, L2Record | undefined>): void {
  const node = nextOwner(held, want, m);
  const ended = (n: string): boolean => m.stopped(n, held.address) || m.lapsed(n);
  const former = held.former.filter((n) => n !== node && !ended(n));
  // it may have it: only time that has passed is proof, for what it says now may be from before it was told
  const leaves = held.node !== '' && held.node !== node && held.former.length === 0 && !m.lapsed(held.node);
  if (leaves) former.push(held.node);
  if (node === '' && former.length === 0) {
    out.set(held.address, undefined);
    return;
  }
  if (node === held.node && former.length === held.former.length) return;
  out.set(held.address, { address: held.address, node, former, epoch: node === held.node || node === '' ? held.epoch : held.epoch + 1 });
}

function nextOwner(held: L2Record, want: L2Want | undefined, m: L2Moment): string {
  if (want === undefined) return '';
  const may = want.candidates.has(held.node);
  if (may && m.alive(held.node)) return held.node;
  const has = held.node !== '' && held.former.length === 0;
  // silent, but it may come back before its time is over: nobody else could have it sooner
  if (may && has && !m.lapsed(held.node)) return held.node;
  const next = chooseL2(want, m.alive);
  // better one who is away than nobody: it has no leave to announce meanwhile
  return next === '' && may ? held.node : next;
}
