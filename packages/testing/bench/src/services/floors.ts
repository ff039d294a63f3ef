// Nanoseconds of our programs alone, by BPF_PROG_TEST_RUN: a packet of a flow through a Service to another node, in tc and at the driver, against
// programs of the same hooks that only redirect or send back. Called by the run.
import { type BpfProgram, skBuffContext, xdpContext } from '@axoneme/bpf';
import { inNetns } from '@axoneme/netlink';
import { AppError } from '@axoneme/std';
import { alone, frameTo, untilDone, wrapXdp } from './flood.ts';
import type { Way } from './ways.ts';

const REPEAT = 300_000;
const HEAD = 96;
const PADDING = Buffer.alloc(100, 1);

export interface Cost {
  readonly ours: number;
  readonly floor: number;
}

/** Undisturbed, as floods are. */
export const costOf = (way: Way): Cost => alone(() => untilDone(() => (way.kind === 'tc' ? costInTc(way) : costAtDriver(way))));

function costInTc(way: Way): Cost {
  const { world, client } = way.bed;
  const packet = frameTo(way);
  const context = skBuffContext({ ifindex: client.link.ifindex, ingressIfindex: client.link.ifindex });
  const state = Buffer.alloc(world.map('bench_state').valueSize);
  packet.copy(state, 0, 0, HEAD);
  state.writeUInt32LE(HEAD, HEAD);
  world.map('bench_state').update(Buffer.alloc(4), state);
  const wrapped = (name: string): number => {
    world.map('wrapped').update(Buffer.alloc(4), number(world.program(name)));
    const r = untilDone(() => inNetns(world.netns, () => world.program('bench_wrap').testRun({ packet, context, repeat: REPEAT })));
    if (name === 'from_netdev') mustBe(r.verdict, 7, name);
    return r.durationNs;
  };
  const direct = (name: string): number =>
    untilDone(() => inNetns(world.netns, () => world.program(name).testRun({ packet: PADDING, repeat: REPEAT }).durationNs));
  const wrapper = wrapped('floor_ok') - direct('floor_ok');
  return { ours: wrapped('from_netdev') - wrapper, floor: direct('floor_redirect') };
}

function costAtDriver(way: Way): Cost {
  const { world, client } = way.bed;
  const packet = frameTo(way);
  const context = xdpContext(packet.length, client.link.ifindex);
  const wrapped = (name: string): number => {
    wrapXdp(way, packet, name, 0);
    const r = untilDone(() => inNetns(world.netns, () => world.program('bench_xdp_wrap').testRun({ packet, context, repeat: REPEAT })));
    // to another device
    if (name === 'axo_xdp') mustBe(r.verdict, 4, name);
    return r.durationNs;
  };
  const floor = untilDone(() =>
    inNetns(world.netns, () => world.program('floor_xdp_tx').testRun({ packet: PADDING, repeat: REPEAT }).durationNs),
  );
  const wrapper = wrapped('floor_xdp_tx') - floor;
  return { ours: wrapped('axo_xdp') - wrapper, floor };
}

function number(program: BpfProgram): Buffer {
  const slot = Buffer.alloc(4);
  slot.writeUInt32LE(program.fd);
  return slot;
}

function mustBe(verdict: number, wanted: number, name: string): void {
  if (verdict !== wanted) throw new AppError({ code: 'bench/wrong-verdict', message: `${name}: verdict ${verdict} instead of ${wanted}` });
}
