// Who announces which address: what is wanted, who had it, who lives → who has it now. Called by the leading operator. The records are
// durable objects: the plan is a function of them and of the moment, whoever led before.

import type { IpAddr } from '@axoneme/model';
import { hash32 } from '@axoneme/std';
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

/** Candidates with their lots, drawn once for all addresses that have the same ones. */
interface Draw {
  readonly names: readonly string[];
  readonly lots: Uint32Array;
}

type Draws = (candidates: L2Want['candidates']) => Draw;

function createDraws(): Draws {
  const known = new Map<L2Want['candidates'], Draw>();
  return (candidates) => {
    let draw = known.get(candidates);
    if (draw === undefined) {
      const names = [...candidates.keys()].sort();
      draw = { names, lots: Uint32Array.from(names, (n) => hash32(n)) };
      known.set(candidates, draw);
    }
    return draw;
  };
}

function mixed(a: number, b: number): number {
  let h = a ^ Math.imul(b, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The one of the living that the address falls to: rendezvous hash, so that one node less moves only what it had. */
export function chooseL2(want: L2Want, alive: (node: string) => boolean, draws: Draws = createDraws()): string {
  const own = hash32(want.address);
  const { names, lots } = draws(want.candidates);
  let best = '';
  let most = -1;
  for (let i = 0; i < names.length; i++) {
    const weight = mixed(own, lots[i] ?? 0);
    // of equal weights the first by name
    if (weight > most && alive(names[i] ?? '')) [best, most] = [names[i] ?? '', weight];
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
  const choose = createChoice(moment.alive);
  for (const want of wants.values()) {
    const held = records.get(want.address);
    if (held !== undefined) move(held, want, moment, choose, out);
    else if (moment.certain) {
      const node = choose(want);
      if (node !== '') out.set(want.address, { address: want.address, node, former: [], epoch: 1 });
    }
  }
  for (const held of records.values()) if (!wants.has(held.address)) move(held, undefined, moment, choose, out);
  return out;
}

type Choice = (want: L2Want) => string;

function createChoice(alive: L2Moment['alive']): Choice {
  const draws = createDraws();
  return (want) => chooseL2(want, alive, draws);
}

function move(held: L2Record, want: L2Want | undefined, m: L2Moment, choose: Choice, out: Map<IpAddr, L2Record | undefined>): void {
  const node = nextOwner(held, want, m, choose);
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

function nextOwner(held: L2Record, want: L2Want | undefined, m: L2Moment, choose: Choice): string {
  if (want === undefined) return '';
  const may = want.candidates.has(held.node);
  if (may && m.alive(held.node)) return held.node;
  const has = held.node !== '' && held.former.length === 0;
  // silent, but it may come back before its time is over: nobody else could have it sooner
  if (may && has && !m.lapsed(held.node)) return held.node;
  const next = choose(want);
  // better one who is away than nobody: it has no leave to announce meanwhile
  return next === '' && may ? held.node : next;
}
