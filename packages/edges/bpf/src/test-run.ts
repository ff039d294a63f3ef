// BPF_PROG_TEST_RUN: one packet in, verdict and packet out, timing over many repetitions. Called by packet tests and the bench.
import { check } from './errors.ts';
import { addressOf, libbpfHandle } from './ffi.ts';

const OPTS_SIZE = 80; // struct bpf_test_run_opts since libbpf 0.7
const LIVE_FRAMES = 2; // BPF_F_TEST_XDP_LIVE_FRAMES
/** struct __sk_buff as the kernel takes it in ctx. */
export const SK_BUFF_SIZE = 192;

export interface TestRunInput {
  readonly packet?: Uint8Array;
  /** Program context (`skBuffContext` for tc programs, `xdpContext` for XDP). */
  readonly context?: Uint8Array;
  readonly repeat?: number;
  /** Room for the packet that comes out; default: input + 256. */
  readonly outSize?: number;
  readonly cpu?: number;
  /** XDP only: packets that really leave, so many at a time. Nothing comes back; `context` must name a device that runs XDP natively. */
  readonly liveBatch?: number;
}

export interface TestRunResult {
  /** The program's return value as a signed number (TC_ACT_SHOT = 2, TC_ACT_REDIRECT = 7, TC_ACT_UNSPEC = -1; `XdpVerdict`). */
  readonly verdict: number;
  readonly packet: Buffer;
  readonly context: Buffer | undefined;
  /** Mean over the repetitions. */
  readonly durationNs: number;
}

export function testRun(fd: number, input: TestRunInput): TestRunResult {
  const opts = Buffer.alloc(OPTS_SIZE);
  const live = input.liveBatch !== undefined;
  const outSize = live ? 0 : (input.outSize ?? (input.packet === undefined ? 0 : input.packet.length + 256));
  const out = Buffer.alloc(outSize);
  const contextOut = input.context === undefined || live ? undefined : Buffer.alloc(input.context.length);
  opts.writeBigUInt64LE(BigInt(OPTS_SIZE), 0);
  if (input.packet !== undefined) {
    opts.writeBigUInt64LE(addressOf(input.packet), 8);
    opts.writeUInt32LE(input.packet.length, 24);
  }
  if (outSize > 0) {
    opts.writeBigUInt64LE(addressOf(out), 16);
    opts.writeUInt32LE(outSize, 28);
  }
  if (input.context !== undefined) {
    opts.writeBigUInt64LE(addressOf(input.context), 32);
    opts.writeUInt32LE(input.context.length, 48);
  }
  if (contextOut !== undefined) {
    opts.writeBigUInt64LE(addressOf(contextOut), 40);
    opts.writeUInt32LE(contextOut.length, 52);
  }
  if (live) {
    opts.writeUInt32LE(LIVE_FRAMES, 68);
    opts.writeUInt32LE(input.liveBatch, 76);
  }
  opts.writeInt32LE(input.repeat ?? 1, 60);
  opts.writeUInt32LE(input.cpu ?? 0, 72);
  check('test-run', libbpfHandle().test_run(fd, opts), `of ${input.packet?.length ?? 0} bytes`);
  return {
    verdict: opts.readInt32LE(56),
    packet: out.subarray(0, Math.min(outSize, opts.readUInt32LE(28))),
    context: contextOut,
    durationNs: opts.readUInt32LE(64),
  };
}

export interface SkBuff {
  readonly mark?: number;
  readonly priority?: number;
  readonly ifindex?: number;
  readonly ingressIfindex?: number;
  readonly cb?: readonly number[];
  readonly gsoSegs?: number;
  readonly gsoSize?: number;
}

const AT = { mark: 8, priority: 32, ingressIfindex: 36, ifindex: 40, cb: 48, gsoSegs: 164, gsoSize: 176 } as const;

/** Context for SCHED_CLS runs. `ifindex` must exist in the current namespace; default 1 (lo). */
export function skBuffContext(s: SkBuff): Buffer {
  const b = Buffer.alloc(SK_BUFF_SIZE);
  b.writeUInt32LE(s.mark ?? 0, AT.mark);
  b.writeUInt32LE(s.priority ?? 0, AT.priority);
  b.writeUInt32LE(s.ingressIfindex ?? 0, AT.ingressIfindex);
  b.writeUInt32LE(s.ifindex ?? 0, AT.ifindex);
  for (const [i, v] of (s.cb ?? []).entries()) b.writeUInt32LE(v, AT.cb + 4 * i);
  b.writeUInt32LE(s.gsoSegs ?? 0, AT.gsoSegs);
  b.writeUInt32LE(s.gsoSize ?? 0, AT.gsoSize);
  return b;
}

const XDP_MD_SIZE = 24;

/** Context for XDP runs with `length` bytes of packet. The device must exist in the current namespace and run XDP natively; 0 = lo. */
export function xdpContext(length: number, ifindex = 0): Buffer {
  const b = Buffer.alloc(XDP_MD_SIZE);
  b.writeUInt32LE(length, 4);
  b.writeUInt32LE(ifindex, 12);
  return b;
}

export function readSkBuff(b: Buffer): {
  readonly mark: number;
  readonly priority: number;
  readonly ifindex: number;
  readonly cb: readonly number[];
} {
  return {
    mark: b.readUInt32LE(AT.mark),
    priority: b.readUInt32LE(AT.priority),
    ifindex: b.readUInt32LE(AT.ifindex),
    cb: [0, 1, 2, 3, 4].map((i) => b.readUInt32LE(AT.cb + 4 * i)),
  };
}
