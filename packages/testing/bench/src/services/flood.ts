// Packets a second of one core: frames are made at the client's device by BPF_PROG_TEST_RUN (live frames), as a driver would receive them, and
// counted where they arrive. What is at the driver or in tc sees them there; rules of the kernel see them in its stack.
import { execFileSync } from 'node:child_process';
import { attachTcx, attachXdp, type BpfLink, xdpContext } from '@axoneme/bpf';
import type { IpAddr } from '@axoneme/model';
import { getLink, inNetns, NetlinkSocket } from '@axoneme/netlink';
import { AppError, invariant } from '@axoneme/std';
import { buildFrame } from '@axoneme/testkit';
import { CLIENT, type Way } from './ways.ts';

const BATCH = 64;
const FRAMES = 300_000;
/** Few enough that those of all rounds leave most ports of the node free towards two backends. */
const FLOWS = 4_000;
const WARM = 2_000;
const TRIES = 5;
const CPU = '1';
const HEAD = 96;
const UDP_CHECKSUM_AT = 40;
const PAYLOAD = Buffer.alloc(64);

export interface Flood {
  readonly way: Way;
  /** Packets a second that reached a backend, of one flow. */
  packets(): number;
  /** The same, each packet the first of a flow; `round` makes them flows that never were. */
  flows(round: number): number;
  close(): void;
}

export function createFlood(way: Way): Flood {
  const { bed, kind } = way;
  const { world } = bed;
  const links: BpfLink[] = [];
  const atDriver = kind === 'xdp';
  if (!atDriver) links.push(inNetns(world.netns, () => attachXdp(world.program('floor_xdp_pass'), bed.client.link.ifindex, 'native')));
  for (const b of bed.backends) {
    const ifindex = eth0Of(b.netns);
    const sink = (): BpfLink =>
      atDriver ? attachXdp(world.program('floor_xdp_sink'), ifindex, 'native') : attachTcx(world.program('floor_sink'), ifindex, 'ingress');
    links.push(inNetns(b.netns, sink));
  }
  const context = xdpContext(frameTo(way).length, bed.client.link.ifindex);
  /** Seconds of the loop in the kernel; what it costs to prepare and to end a run is none of its business. */
  const send = (packet: Buffer, repeat: number): number => {
    const r = inNetns(world.netns, () => world.program('bench_xdp_wrap').testRun({ packet, context, repeat, liveBatch: BATCH }));
    return (r.durationNs * repeat) / 1e9;
  };
  const rate = (packet: Buffer, repeat: number): number => {
    const before = sunkIn(way);
    const seconds = send(packet, repeat);
    const arrived = sunkIn(way) - before;
    if (arrived < repeat * 0.9)
      throw new AppError({ code: 'bench/no-traffic', message: `${kind}: ${arrived} of ${repeat} frames arrived` });
    return arrived / seconds;
  };
  const program = atDriver ? 'axo_xdp' : 'floor_xdp_pass';
  return {
    way,
    packets: () =>
      alone(() => {
        const packet = frameTo(way);
        wrapXdp(way, packet, program, 0);
        untilDone(() => send(packet, WARM));
        return untilDone(() => rate(packet, FRAMES));
      }),
    flows: (round) =>
      alone(() =>
        untilDone((attempt) => {
          const packet = frameTo(way, round * TRIES + attempt);
          wrapXdp(way, packet, program, FLOWS);
          return rate(packet, FLOWS);
        }),
      ),
    close() {
      for (const l of links) l.close();
    },
  };
}

/** A signal ends a run early: once more. */
export function untilDone<T>(run: (attempt: number) => T): T {
  for (let n = 1; ; n++) {
    try {
      return run(n);
    } catch (e) {
      if (n === TRIES || !(e instanceof AppError) || e.fields.errnoName !== 'EINTR') throw e;
    }
  }
}

/** Memory of frames is used again as it was left: a program writes each anew and then runs the one that is measured. */
export function wrapXdp(way: Way, packet: Buffer, name: string, walk: number): void {
  const { world } = way.bed;
  const state = Buffer.alloc(world.map('xdp_bench_state').valueSize);
  packet.copy(state, 0, 0, HEAD);
  for (const [i, n] of [packet.length, walk, 1].entries()) state.writeUInt32LE(n, HEAD + 4 * i);
  world.map('xdp_bench_state').update(Buffer.alloc(4), state);
  const slot = Buffer.alloc(4);
  slot.writeUInt32LE(world.program(name).fd);
  world.map('xdp_wrapped').update(Buffer.alloc(4), slot);
}

function eth0Of(netns: string): number {
  const socket = inNetns(netns, () => new NetlinkSocket());
  const link = getLink(socket, 'eth0');
  socket.close();
  invariant(link !== undefined, 'eth0');
  return link.ifindex;
}

/** Of client number `n`. */
export function frameTo(way: Way, n = 0): Buffer {
  const { client } = way.bed;
  const frame = buildFrame({
    src: (n === 0 ? CLIENT[way.side] : `198.18.${n >> 8}.${n & 255}`) as IpAddr,
    dst: way.to.ip as IpAddr,
    l4: { kind: 'udp', srcPort: 4000, dstPort: way.to.port, payload: PAYLOAD },
  });
  // none: ports change under way
  frame.writeUInt16BE(0, UDP_CHECKSUM_AT);
  const mac = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex');
  mac(client.hostMac).copy(frame, 0);
  mac(client.mac).copy(frame, 6);
  return frame;
}

function sunkIn(way: Way): number {
  const map = way.bed.world.map('sunk');
  const value = map.lookup(Buffer.alloc(4));
  invariant(value !== undefined, 'an array has all its rows');
  return Number(map.percpuSum(value));
}

/** Of the whole machine only this thread runs on its core meanwhile. */
export function alone<T>(run: () => T): T {
  const pid = String(process.pid);
  execFileSync('taskset', ['-cp', CPU, pid], { stdio: 'ignore' });
  execFileSync('chrt', ['-f', '-p', '10', pid]);
  try {
    return run();
  } finally {
    execFileSync('chrt', ['-o', '-p', '0', pid]);
  }
}
