// `npm run bench -- packet`: nanoseconds a packet of our programs against a program that only redirects, in one process,
// round by round, by BPF_PROG_TEST_RUN. The wrapper restores the packet before every repetition; its own cost is subtracted.
import { Worker } from 'node:worker_threads';
import { type BpfProgram, skBuffContext } from '@axoneme/bpf';
import { inNetns } from '@axoneme/netlink';
import { AppError, invariant } from '@axoneme/std';
import { pinMainThread, waitForCalm } from '../quiet.ts';
import { createReport, type Report, type Row, rowOf, type Series } from '../report.ts';
import { openWorld, type World } from '../world.ts';
import { type Case, casesOf, FLOWS } from './cases.ts';
import { createScene, type Scene } from './scene.ts';
import { createXdpBench, ROWS, TX, XDP_PASS, type XdpBench, type XdpCase } from './xdp.ts';

export interface PacketOptions {
  readonly rounds: number;
  readonly progress: (line: string) => void;
}

const FLOOR = 'redirect';
const OK = 'return TC_ACT_OK';
const LRU = 'LRU lookup + redirect';
const HEAD = 96; // bench_state.head
const FLOOR_REPEAT = 300_000;
const MEASURE_CPU = 1;

interface Bench {
  readonly world: World;
  readonly scene: Scene;
  /** Mean ns of the wrapper with `program` in its slot. */
  wrapped(
    program: BpfProgram,
    c: Pick<Case, 'packet' | 'ifindex' | 'v6' | 'walk' | 'stride' | 'repeat'>,
  ): { readonly ns: number; readonly verdict: number };
  direct(name: string): number;
  readonly eventsRead: () => number;
  readonly xdp: XdpBench;
}

export async function runPacketBench(options: PacketOptions): Promise<Report> {
  const world = openWorld(['pod', 'overlay', 'xdp', 'floor']);
  const counter = new SharedArrayBuffer(4);
  const drain = await startDrain(world, counter);
  let bench: Bench | undefined;
  try {
    pinMainThread(MEASURE_CPU);
    bench = createBench(world, new Int32Array(counter));
    return await measure(bench, options);
  } finally {
    bench?.xdp.close();
    drain.postMessage('stop');
    await new Promise((r) => drain.once('exit', r));
    world.close();
  }
}

function startDrain(world: World, counter: SharedArrayBuffer): Promise<Worker> {
  const worker = new Worker(new URL('./drain-worker.ts', import.meta.url), { workerData: { path: `${world.pins}/events`, counter } });
  return new Promise((resolve, reject) => {
    worker.once('message', () => resolve(worker));
    worker.once('error', reject);
  });
}

function createBench(world: World, counter: Int32Array): Bench {
  const scene = createScene(world);
  const wrapper = world.program('bench_wrap');
  const slot = Buffer.alloc(4);
  return {
    world,
    scene,
    eventsRead: () => Atomics.load(counter, 0),
    xdp: createXdpBench(world),
    wrapped(program, c) {
      const state = Buffer.alloc(world.map('bench_state').valueSize);
      c.packet.copy(state, 0, 0, HEAD);
      state.writeUInt32LE(HEAD, HEAD);
      state.writeUInt32LE(c.walk, HEAD + 4);
      state.writeUInt32LE(c.stride, HEAD + 8);
      state.writeUInt32LE(c.v6 ? 1 : 0, HEAD + 16);
      world.map('bench_state').update(Buffer.alloc(4), state);
      slot.writeUInt32LE(program.fd);
      world.map('wrapped').update(Buffer.alloc(4), slot);
      const context = skBuffContext({ ifindex: c.ifindex, ingressIfindex: c.ifindex });
      const run = inNetns(world.netns, () => wrapper.testRun({ packet: c.packet, context, repeat: c.repeat }));
      return { ns: run.durationNs, verdict: run.verdict };
    },
    direct: (name) =>
      inNetns(world.netns, () => world.program(name).testRun({ packet: Buffer.alloc(100, 1), repeat: FLOOR_REPEAT }).durationNs),
  };
}

/** Brings the flow table and policy into the state the case asks for. */
function prepare(b: Bench, c: Case): void {
  b.scene.setPolicy(c.policyRows, c.extra);
  b.scene.setEvents(c.events);
  for (const map of ['flow4', 'flow6']) b.world.flush(map);
  if (c.flows === 'fresh') return;
  // open the flow, or all of them, then let one packet of each settle it
  const opener = openingPacket(b.scene, c);
  b.wrapped(b.world.program('from_pod'), { ...opener, walk: c.walk, stride: 1, repeat: Math.max(1, c.walk) });
  b.wrapped(b.world.program('from_pod'), { ...c, stride: 1, repeat: Math.max(2, c.walk) });
}

const TCP_FLAGS_AT = { 4: 14 + 20 + 13, 6: 14 + 40 + 13 } as const;
const SYN = 2;

/** The SYN that opened the case's flow: the case's own packet, or for a reply the same with its ends exchanged. */
function openingPacket(scene: Scene, c: Case): Pick<Case, 'packet' | 'ifindex' | 'v6'> {
  const reply = c.ifindex === scene.b.ifindex;
  const packet = Buffer.from(c.packet);
  if (reply) {
    invariant(!c.v6, 'reply cases are IPv4');
    c.packet.copy(packet, 26, 30, 34);
    c.packet.copy(packet, 30, 26, 30);
    c.packet.copy(packet, 34, 36, 38);
    c.packet.copy(packet, 36, 34, 36);
  }
  packet[TCP_FLAGS_AT[c.v6 ? 6 : 4]] = SYN;
  return { packet, ifindex: reply ? scene.a.ifindex : c.ifindex, v6: c.v6 };
}

async function measure(b: Bench, options: PacketOptions): Promise<Report> {
  const cases = casesOf(b.scene);
  const samples = new Map<string, number[]>();
  const note = (name: string, ns: number): void => void samples.set(name, [...(samples.get(name) ?? []), ns]);
  const busy: number[] = [];
  let events = 0;
  for (let round = 0; round < options.rounds; round++) {
    busy.push(await waitForCalm());
    const empty = wrapperCost(b, cases[0]!);
    note(OK, b.direct('floor_ok'));
    note(FLOOR, b.direct('floor_redirect'));
    note(LRU, b.wrapped(b.world.program('floor_lru'), cases[0]!).ns - empty.one);
    b.world.flush('floor_flow');
    note(
      'LRU insert, 60k new flows',
      b.wrapped(b.world.program('floor_lru'), { ...cases[0]!, walk: FLOWS, stride: 1, repeat: FLOWS }).ns - empty.walking,
    );
    note('LRU lookup + redirect, 60k flows at random', lruRandom(b, cases[0]!) - empty.walking);
    for (const c of cases) {
      prepare(b, c);
      const before = b.eventsRead();
      const r = b.wrapped(b.world.program(c.program), c);
      if (r.verdict !== c.verdict) {
        throw new AppError({
          code: 'bench/wrong-verdict',
          message: `${c.name}: verdict ${r.verdict} instead of ${c.verdict}`,
          hint: dropsOf(b.world),
        });
      }
      note(c.name, r.ns - (c.walk > 0 ? empty.walking : empty.one));
      if (c.events) events += b.eventsRead() - before;
      await new Promise((done) => setImmediate(done));
    }
    b.xdp.measure(note);
    options.progress(`round ${round + 1} of ${options.rounds}, machine ${Math.round(busy.at(-1)! * 100)} % busy before it`);
  }
  return createReport('Datapath, ns a packet', options.rounds, rowsOf(samples, [...cases, ...b.xdp.cases]), [
    `Reference: a program that only redirects. Wrapper cost subtracted. 10k ipcache rows, 116 endpoints, default deny with an allowing row on both ends.`,
    `Events read by a second thread while the packets ran: ${events}, lost in the ring: ${lostEvents(b.world)}.`,
    `units = (cost - "${OK}") / ("${LRU}" - "${OK}"): what a program adds, in flow-table lookups; the overhead of the test run itself is out of it.`,
    `Machine busy before the rounds: ${busy.map((x) => `${Math.round(x * 100)} %`).join(', ')}.`,
  ]);
}

function wrapperCost(b: Bench, c: Case): { readonly one: number; readonly walking: number } {
  const ok = b.world.program('floor_ok');
  const bare = b.direct('floor_ok');
  return {
    one: b.wrapped(ok, { ...c, repeat: FLOOR_REPEAT }).ns - bare,
    walking: b.wrapped(ok, { ...c, walk: FLOWS, stride: 1, repeat: FLOOR_REPEAT }).ns - bare,
  };
}

function lruRandom(b: Bench, c: Case): number {
  const lru = b.world.program('floor_lru');
  return b.wrapped(lru, { ...c, walk: FLOWS, stride: 7919, repeat: FLOOR_REPEAT }).ns;
}

function rowsOf(samples: ReadonlyMap<string, readonly number[]>, cases: readonly (Case | XdpCase)[]): readonly Row[] {
  const [ok, lru, pass] = [samples.get(OK)!, samples.get(LRU)!, samples.get(XDP_PASS)!];
  const atDriver = new Set([TX, XDP_PASS, ROWS, ...cases.filter((c) => !('program' in c)).map((c) => c.name)]);
  return [...samples].map(([name, values]) => {
    const c = cases.find((x) => x.name === name);
    const referenceName = c?.reference ?? (atDriver.has(name) ? TX : FLOOR);
    const nothing = atDriver.has(name) ? pass : ok;
    const reference = samples.get(referenceName)!;
    const series: Series = {
      name,
      samples: values,
      reference,
      referenceName,
      unit: 'ns',
      units: values.map((v, i) => (v - nothing[i]!) / (lru[i]! - ok[i]!)),
    };
    return rowOf(c?.budget === undefined ? series : { ...series, budget: c.budget });
  });
}

function lostEvents(world: World): bigint {
  const map = world.map('events_lost');
  return map.percpuSum(map.lookup(Buffer.alloc(4))!);
}

/** Non-zero drop counters, for the message of a case that went wrong. */
function dropsOf(world: World): string {
  const map = world.map('drops');
  const found = [...map.entries()].flatMap(([k, v]) => {
    const n = map.percpuSum(v);
    return n === 0n ? [] : [`drop ${k.readUInt32LE(0) >> 1}: ${n}`];
  });
  return found.join(', ') || 'no drops were counted';
}
