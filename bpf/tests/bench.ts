// Nanoseconds per packet of the datapath, as ratios to a program that only redirects, in the same run.
// Method: BPF_PROG_TEST_RUN of a wrapper that restores the packet's headers and tail-calls the program; the wrapper's own
// cost (measured around "return OK") is subtracted. Usage: node bpf/tests/bench.ts [rounds] [repetitions]
import { bpf, build, createLab, dp } from './kit.ts';
import { packet, type PacketSpec, TCP } from './packet.ts';

const ROUNDS = Number(process.argv[2] ?? 5);
const REPEAT = Number(process.argv[3] ?? 200_000);
const FLOWS = 60_000;
const m = '02:00:00:00:00:0';
build();
const lab = createLab({
  objects: ['pod', 'overlay', 'netdev', 'floor'],
  maxEntries: { flow4: 262_144, flow6: 131_072, events: 16 << 20 },
});
const NODE = { nodeIp4: Buffer.from([172, 16, 0, 1]), ifindexVxlan: 1, flags: dp.NodeFlag.tunnel };

function setup(): void {
  lab.pod({ ifindex: 11, identity: 1001, id: 1, ips: ['10.0.1.1', 'fd00:1::1'], mac: `${m}1`, hostMac: `${m}a` });
  lab.pod({ ifindex: 12, identity: 1002, id: 2, ips: ['10.0.1.2', 'fd00:1::2'], mac: `${m}2`, hostMac: `${m}b` });
  for (let i = 3; i < 112; i++)
    lab.pod({ ifindex: 100 + i, identity: 2000 + i, id: i, ips: [`10.0.1.${i}`], mac: `${m}3`, hostMac: `${m}c` });
  for (let i = 0; i < 10_000; i++) lab.ipcache(`10.9.${i >> 8}.${i & 255}/32`, 3000 + i, '172.16.0.3');
  lab.ipcache('10.0.2.5/32', 1003, '172.16.0.2');
  lab.ipcache('fd00:2::5/128', 1003, '172.16.0.2');
  rows(100);
}

/** n rows on each side of which one is for the measured flow. */
function rows(n: number): void {
  const side = (direction: 'ingress' | 'egress', peer: number) => [
    { direction, peer, proto: 6, port: 80, rule: 7 },
    ...Array.from({ length: n - 1 }, (_, i) => ({ direction, peer: 5000 + i, proto: 6, port: 80 + (i % 50) })),
  ];
  lab.policy(1001, 3, [...side('egress', 1002), { direction: 'egress', peer: 1003, proto: 6, port: 80, rule: 8 }]);
  lab.policy(1002, 3, [...side('ingress', 1001), { direction: 'ingress', peer: 1003, proto: 6, port: 80, rule: 9 }]);
  lab.bump();
}

const HEAD = 96;
interface Case {
  readonly program: string;
  readonly spec: PacketSpec;
  readonly walk?: number;
  readonly repeat?: number;
  readonly vni?: number;
  readonly ifindex?: number;
}

const wrapper = lab.program('bench_wrap');
function state(frame: Buffer, c: Pick<Case, 'walk' | 'vni'>): void {
  const b = Buffer.alloc(HEAD + 32);
  frame.copy(b, 0, 0, HEAD);
  b.writeUInt32LE(c.walk ?? 0, HEAD + 4);
  b.writeUInt32LE(7919, HEAD + 8);
  b.writeUInt32LE(frame.readUInt16BE(12) === 0x86dd ? 1 : 0, HEAD + 16);
  b.writeUInt32LE(c.vni ?? 0, HEAD + 20);
  lab.map('bench_state').update(Buffer.alloc(4), b);
}

function time(c: Case): number {
  const v6 = c.spec.src.includes(':');
  const frame = packet({ flags: TCP.ack, sport: 1234, dport: 80, payload: Buffer.alloc(v6 ? 26 : 46), ...c.spec });
  state(frame, c);
  const fd = Buffer.alloc(4);
  fd.writeUInt32LE(lab.program(c.program).fd);
  lab.map('wrapped').update(Buffer.alloc(4), fd);
  const context = bpf.skBuffContext({ ingressIfindex: c.ifindex ?? 11 });
  return wrapper.testRun({ packet: frame, context, repeat: c.repeat ?? REPEAT }).durationNs;
}

function flush(): void {
  for (const name of ['flow4', 'flow6', 'floor_flow']) for (const _ of lab.map(name).takeChunks(16384));
}
const drain = (): number => lab.events().length;

const A = { src: '10.0.1.1', dst: '10.0.1.2' };
const A6 = { src: 'fd00:1::1', dst: 'fd00:1::2' };
const C = { src: '10.0.1.1', dst: '10.0.2.5' };
const events = (on: boolean): void => lab.config({ ...NODE, flags: NODE.flags | (on ? 0 : dp.NodeFlag.noEvents) });

interface Row {
  readonly name: string;
  readonly budget?: number;
  readonly baseline: 'wrap' | 'none' | 'wrap-vni';
  readonly measure: () => number;
}

const est = (spec: PacketSpec, walk?: number, program = 'from_pod', extra: Partial<Case> = {}): number => {
  const c: Case = { program, spec, ...(walk === undefined ? {} : { walk }), ...extra };
  time({ ...c, repeat: walk ?? 10 });
  return time(c);
};
const fresh = (spec: PacketSpec, on: boolean): number => {
  events(on);
  flush();
  drain();
  const ns = time({ program: 'from_pod', spec: { ...spec, flags: TCP.syn }, walk: FLOWS, repeat: FLOWS - 1 });
  if (on && drain() !== FLOWS - 1) throw new TypeError('events are missing');
  events(false);
  return ns;
};
const denied = (on: boolean): number => {
  events(on);
  drain();
  const ns = time({ program: 'from_pod', spec: { ...A, dport: 81, flags: TCP.syn }, repeat: FLOWS });
  if (on && drain() !== FLOWS) throw new TypeError('events are missing');
  events(false);
  return ns;
};
const withRows = (n: number): number => {
  rows(n);
  return est(A);
};
const direct = (program: string): number =>
  lab.program(program).testRun({ packet: packet(A), context: bpf.skBuffContext({ ingressIfindex: 11 }), repeat: REPEAT }).durationNs;

const CASES: readonly Row[] = [
  { name: 'floor: return OK', baseline: 'none', measure: () => direct('floor_ok') },
  { name: 'floor: redirect', baseline: 'none', measure: () => direct('floor_redirect') },
  { name: 'floor: LRU + redirect', baseline: 'wrap', measure: () => est(A, undefined, 'floor_lru') },
  { name: 'floor: LRU + redirect, 60k flows', baseline: 'wrap', measure: () => est(A, FLOWS, 'floor_lru') },
  { name: 'floor: LRU insert', baseline: 'wrap', measure: () => (flush(), time({ program: 'floor_lru', spec: A, walk: FLOWS, repeat: FLOWS - 1 })) },
  { name: 'est A→B, same node', budget: 4, baseline: 'wrap', measure: () => est(A) },
  { name: 'est A→B, same node, IPv6', budget: 4, baseline: 'wrap', measure: () => est(A6) },
  { name: 'est A→B, 60k flows', budget: 12, baseline: 'wrap', measure: () => est(A, FLOWS) },
  { name: 'est A→B, 60k flows, IPv6', budget: 12, baseline: 'wrap', measure: () => est(A6, FLOWS) },
  { name: 'est A→C, tunnel', budget: 4, baseline: 'wrap', measure: () => est(C) },
  { name: 'est C→B, from the overlay', baseline: 'wrap-vni', measure: () => est({ src: '10.0.2.5', dst: '10.0.1.2' }, undefined, 'from_overlay', { vni: 1003 }) },
  { name: 'new A→B, no events', budget: 20, baseline: 'wrap', measure: () => fresh(A, false) },
  { name: 'new A→B, events read', budget: 30, baseline: 'wrap', measure: () => fresh(A, true) },
  { name: 'new A→B, no events, IPv6', baseline: 'wrap', measure: () => fresh(A6, false) },
  { name: 'denied, no events', budget: 8, baseline: 'wrap', measure: () => denied(false) },
  { name: 'denied, events read', budget: 15, baseline: 'wrap', measure: () => denied(true) },
  { name: 'est A→B, 1 row a side', baseline: 'wrap', measure: () => withRows(1) },
  { name: 'est A→B, 100 rows a side', baseline: 'wrap', measure: () => withRows(100) },
  { name: 'est A→B, 10000 rows a side', baseline: 'wrap', measure: () => withRows(10_000) },
];

const median = (x: readonly number[]): number => [...x].sort((a, b) => a - b)[x.length >> 1]!;

function main(): void {
  setup();
  events(false);
  const only = process.argv[4];
  const cases = CASES.filter((c) => only === undefined || c.name.startsWith('floor') || c.name.includes(only));
  const ns = new Map<string, number[]>(cases.map((c) => [c.name, []]));
  const ratio = new Map<string, number[]>(cases.map((c) => [c.name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    const ok = direct('floor_ok');
    const floor = direct('floor_redirect');
    const base = { none: 0, wrap: est(A, undefined, 'floor_ok') - ok, 'wrap-vni': est(A, undefined, 'floor_ok', { vni: 5 }) - ok };
    for (const c of cases) {
      const t = c.measure() - base[c.baseline];
      ns.get(c.name)!.push(t);
      ratio.get(c.name)!.push(t / floor);
    }
    rows(100);
  }
  for (const c of cases) {
    const r = ratio.get(c.name)!;
    const text = `${Math.min(...r).toFixed(1)} / ${median(r).toFixed(1)} / ${Math.max(...r).toFixed(1)}`;
    const budget = c.budget === undefined ? '' : `  budget ${c.budget} ${median(r) <= c.budget ? 'met' : 'MISSED'}`;
    process.stdout.write(`${c.name.padEnd(36)} ${String(Math.round(median(ns.get(c.name)!))).padStart(5)} ns  x floor ${text}${budget}\n`);
  }
}

try {
  main();
} finally {
  lab.close();
}
