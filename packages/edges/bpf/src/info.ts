// bpf_{map,prog,link}_info by file descriptor. Called by map, program and link handles and by the agent's `bpf` dumps.
import { check } from './errors.ts';
import { libbpfHandle } from './ffi.ts';

export interface MapInfo {
  readonly id: number;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly name: string;
}

export interface ProgInfo {
  readonly id: number;
  readonly type: number;
  readonly name: string;
  /** Hash of the instructions, 16 hex characters: equal code, equal tag. */
  readonly tag: string;
  readonly jitedBytes: number;
  readonly instructionBytes: number;
  readonly verifiedInstructions: number;
  /** Non-zero only while kernel.bpf_stats_enabled is on. */
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
}

export interface LinkInfo {
  readonly id: number;
  readonly type: number;
  readonly progId: number;
  /** For tcx: the device, 0 once it was deleted. */
  readonly ifindex: number;
  /** For cgroup links. */
  readonly cgroupId: bigint;
  readonly attachType: number;
}

const text = (b: Buffer, at: number): string => {
  const end = b.indexOf(0, at);
  return b.toString('utf8', at, end < 0 || end > at + 16 ? at + 16 : end);
};

function read(fd: number, size: number, what: string): Buffer {
  const info = Buffer.alloc(size);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(size);
  check('info', libbpfHandle().obj_info(fd, info, length), what);
  return info;
}

export function mapInfo(fd: number): MapInfo {
  const b = read(fd, 88, 'of a map');
  return {
    type: b.readUInt32LE(0),
    id: b.readUInt32LE(4),
    keySize: b.readUInt32LE(8),
    valueSize: b.readUInt32LE(12),
    maxEntries: b.readUInt32LE(16),
    flags: b.readUInt32LE(20),
    name: text(b, 24),
  };
}

export function progInfo(fd: number): ProgInfo {
  const b = read(fd, 232, 'of a program');
  return {
    type: b.readUInt32LE(0),
    id: b.readUInt32LE(4),
    tag: b.toString('hex', 8, 16),
    jitedBytes: b.readUInt32LE(16),
    instructionBytes: b.readUInt32LE(20),
    name: text(b, 64),
    runTimeNs: b.readBigUInt64LE(192),
    runCount: b.readBigUInt64LE(200),
    verifiedInstructions: b.readUInt32LE(216),
  };
}

const LINK_CGROUP = 3;

export function linkInfo(fd: number): LinkInfo {
  const b = read(fd, 64, 'of a link');
  const type = b.readUInt32LE(0);
  const cgroup = type === LINK_CGROUP;
  return {
    type,
    id: b.readUInt32LE(4),
    progId: b.readUInt32LE(8),
    ifindex: cgroup ? 0 : b.readUInt32LE(16),
    cgroupId: cgroup ? b.readBigUInt64LE(16) : 0n,
    attachType: b.readUInt32LE(cgroup ? 24 : 20),
  };
}
