// What a node's tables themselves have of a Service, beside what the operator gave it.
import { Axo, handleText, type KeyOf, type ValueOf } from '@axoneme/datapath';
import { type IpAddr, ipBytes, ipFamily, type PortProtocol, protocolNumbers } from '@axoneme/model';
import type { ServiceFrontend, ServiceState } from '@axoneme/proto';
import type { NodeRows } from './node-rows.ts';
import { frontendText, rowSocket } from './text.ts';

export interface NodeFrontend {
  readonly frontend: string;
  /** as compiled, missing, or what differs. */
  readonly state: string;
}
export interface NodeSet {
  readonly set: string;
  /** By index; those behind `count` drain. */
  readonly slots: readonly string[];
  readonly count: number;
  /** Slots that are not there. */
  readonly missing: number;
  /** Entries of the table by slot; undefined: none is used. */
  readonly maglev: { readonly size: number; readonly missingChunks: number; readonly entries: readonly number[] } | undefined;
}
export interface NodeView {
  readonly node: string;
  readonly frontends: readonly NodeFrontend[];
  readonly sets: readonly NodeSet[];
}

export const frontendKey = (f: Pick<ServiceFrontend, 'address' | 'port' | 'protocol'>): KeyOf<'lb_frontend'> => ({
  addr: ipBytes(f.address as IpAddr),
  port: f.port,
  proto: f.protocol === 'ANY' ? 0 : protocolNumbers[f.protocol as PortProtocol],
  family: ipFamily(f.address as IpAddr),
});

const setText = (set: bigint): string => (set === 0n ? '' : handleText(set));

function stateOf(f: ServiceFrontend, row: ValueOf<'lb_frontend'> | undefined): string {
  if (row === undefined) return 'missing';
  const facts: readonly (readonly [name: string, given: unknown, there: unknown])[] = [
    ['set out', f.setOut, setText(row.setOut)],
    ['set in', f.setIn, setText(row.setIn)],
    ['backends out', f.countOut, row.countOut],
    ['backends in', f.countIn, row.countIn],
    ['Maglev size', f.maglevSize, row.maglevSize],
    ['flags', f.flags, row.flags],
    ['affinity', f.affinitySeconds, row.affinityS],
    ['number', f.serviceId, row.serviceId],
  ];
  const wrong = facts.filter(([, given, there]) => given !== there).map(([name, given, there]) => `${name} ${there}, not ${given}`);
  return wrong.length === 0 ? 'as compiled' : wrong.join('; ');
}

interface SetFacts {
  readonly id: bigint;
  readonly count: number;
  readonly draining: number;
  readonly maglevSize: number;
}

/** Sets of the rows that are there. */
function setsOf(frontends: readonly ServiceFrontend[], rows: readonly (ValueOf<'lb_frontend'> | undefined)[]): SetFacts[] {
  const sets = new Map<bigint, SetFacts>();
  for (const [i, row] of rows.entries()) {
    if (row === undefined) continue;
    const f = frontends[i]!;
    for (const [id, count, draining, size] of [
      [row.setOut, row.countOut, f.drainingOut, row.maglevSize],
      [row.setIn, row.countIn, f.drainingIn, 0],
    ] as const) {
      if (id === 0n) continue;
      sets.set(id, { id, count, draining, maglevSize: Math.max(size, sets.get(id)?.maglevSize ?? 0) });
    }
  }
  return [...sets.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

async function readSet(rows: NodeRows, s: SetFacts): Promise<NodeSet> {
  const slots = await rows.find(
    'lb_slot',
    Array.from({ length: s.count + s.draining }, (_, index) => ({ set: s.id, index })),
  );
  return {
    set: handleText(s.id),
    slots: slots.map((v) => (v === undefined ? 'missing' : rowSocket(v.addr, v.port, v.family))),
    count: s.count,
    missing: slots.filter((v) => v === undefined).length,
    maglev: s.maglevSize === 0 ? undefined : await readMaglev(rows, s),
  };
}

async function readMaglev(rows: NodeRows, s: SetFacts): Promise<NodeSet['maglev']> {
  const keys = Array.from({ length: Math.ceil(s.maglevSize / Axo.maglevChunk) }, (_, chunk) => ({ set: s.id, chunk }));
  const chunks = await rows.find('lb_maglev', keys);
  const entries = Array.from({ length: s.count }, () => 0);
  for (const [c, chunk] of chunks.entries())
    for (const slot of chunk?.slot.slice(0, s.maglevSize - c * Axo.maglevChunk) ?? []) if (slot < s.count) entries[slot]! += 1;
  return { size: s.maglevSize, missingChunks: chunks.filter((c) => c === undefined).length, entries };
}

/** `given`: what the operator gives this node. */
export async function readNodeView(rows: NodeRows, node: string, given: ServiceState): Promise<NodeView> {
  const found = await rows.find('lb_frontend', given.frontends.map(frontendKey));
  const sets: NodeSet[] = [];
  for (const s of setsOf(given.frontends, found)) sets.push(await readSet(rows, s));
  return { node, frontends: given.frontends.map((f, i) => ({ frontend: frontendText(f), state: stateOf(f, found[i]) })), sets };
}
