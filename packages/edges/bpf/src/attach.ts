// Puts programs on hooks: TCX where the kernel has it, clsact otherwise; cgroup links; and tells what is attached.
// Called by the agent's attach loop. TC functions act in the calling thread's network namespace.
import { closeSync, openSync } from 'node:fs';
import { AttachType, type TcDirection } from './constants.ts';
import { bpfError, check, E, errnoFrom } from './errors.ts';
import { addressOf, closeFd, libbpfHandle, libcHandle } from './ffi.ts';
import { BpfLink, type BpfProgram } from './handles.ts';
import { type LinkInfo, linkInfo } from './info.ts';

const tcxType = (d: TcDirection): number => (d === 'ingress' ? AttachType.tcxIngress : AttachType.tcxEgress);

const LINK_CREATE = 28;
const PROG_QUERY = 16;
export const TcxOrder = { before: 1 << 3, after: 1 << 4 } as const;

/** Appends to the device's chain, or puts the program first with `TcxOrder.before`. Pin the link to outlive the process. */
export function attachTcx(program: BpfProgram, ifindex: number, direction: TcDirection, order = 0): BpfLink {
  const attr = Buffer.alloc(64);
  attr.writeUInt32LE(program.fd, 0);
  attr.writeUInt32LE(ifindex, 4);
  attr.writeUInt32LE(tcxType(direction), 8);
  attr.writeUInt32LE(order, 12);
  return new BpfLink(check('attach-tcx', libcHandle().bpf(LINK_CREATE, attr), `${program.name} to ifindex ${ifindex} ${direction}`));
}

export interface TcxState {
  /** In order of execution; linkIds[i] is 0 for a program attached without a link. */
  readonly progIds: readonly number[];
  readonly linkIds: readonly number[];
  /** Changes with every attach and detach. */
  readonly revision: bigint;
}

const QUERY_MAX = 64;

/** What runs on a device's TCX hook. Throws EINVAL on kernels without TCX. */
export function queryTcx(ifindex: number, direction: TcDirection): TcxState {
  const attr = Buffer.alloc(64);
  const progs = Buffer.alloc(4 * QUERY_MAX);
  const links = Buffer.alloc(4 * QUERY_MAX);
  attr.writeUInt32LE(ifindex, 0);
  attr.writeUInt32LE(tcxType(direction), 4);
  attr.writeBigUInt64LE(addressOf(progs), 16);
  attr.writeUInt32LE(QUERY_MAX, 24);
  attr.writeBigUInt64LE(addressOf(links), 40);
  const r = libcHandle().bpf(PROG_QUERY, attr);
  if (r < 0 && errnoFrom(r) !== E.NOENT) throw bpfError('query', errnoFrom(r), `ifindex ${ifindex} ${direction}`);
  const count = r < 0 ? 0 : attr.readUInt32LE(24);
  const ids = (b: Buffer): number[] => Array.from({ length: count }, (_, i) => b.readUInt32LE(4 * i));
  return { progIds: ids(progs), linkIds: ids(links), revision: attr.readBigUInt64LE(56) };
}

/** `cgroup` is a directory of cgroup v2. The attach type is the program's own (`SEC("cgroup/connect4")`). */
export function attachCgroup(program: BpfProgram, cgroup: string, attachType = program.attachType): BpfLink {
  const dir = openSync(cgroup, 'r');
  try {
    const fd = libbpfHandle().link_create(program.fd, dir, attachType, null);
    return new BpfLink(check('attach-cgroup', fd, `${program.name} to ${cgroup}`));
  } finally {
    closeSync(dir);
  }
}

const POINT = { ingress: 1, egress: 2 } as const;
/** One filter of ours per hook: handle 1, priority 1. */
const OUR_FILTER = { handle: 1, priority: 1 } as const;
const REPLACE = 1;

function tcHook(ifindex: number, point: number): Buffer {
  const b = Buffer.alloc(24);
  b.writeBigUInt64LE(24n, 0);
  b.writeInt32LE(ifindex, 8);
  b.writeInt32LE(point, 12);
  return b;
}

function tcOpts(progFd: number, flags: number, filter: { readonly handle: number; readonly priority: number } = OUR_FILTER): Buffer {
  const b = Buffer.alloc(32);
  b.writeBigUInt64LE(32n, 0);
  b.writeInt32LE(progFd, 8);
  b.writeUInt32LE(flags, 12);
  b.writeUInt32LE(filter.handle, 20);
  b.writeUInt32LE(filter.priority, 24);
  return b;
}

/** Creates the clsact qdisc when missing and sets or replaces our filter. Stays until detached or the device goes. */
export function attachClsact(program: BpfProgram, ifindex: number, direction: TcDirection): void {
  const made = libbpfHandle().tc_hook_create(tcHook(ifindex, POINT.ingress | POINT.egress));
  if (made < 0 && errnoFrom(made) !== E.EXIST) check('clsact', made, `on ifindex ${ifindex}`);
  const r = libbpfHandle().tc_attach(tcHook(ifindex, POINT[direction]), tcOpts(program.fd, REPLACE));
  check('attach-tc', r, `${program.name} to ifindex ${ifindex} ${direction}`);
}

/** No filter, no clsact qdisc (EINVAL), no device any more. */
const nothingThere = (errno: number): boolean => errno === E.NOENT || errno === E.INVAL || errno === E.NODEV;

/** Program id of our clsact filter, or undefined. */
export function queryClsact(ifindex: number, direction: TcDirection): number | undefined {
  const opts = tcOpts(0, 0);
  const r = libbpfHandle().tc_query(tcHook(ifindex, POINT[direction]), opts);
  if (r === 0) return opts.readUInt32LE(16);
  const errno = errnoFrom(r);
  if (nothingThere(errno)) return undefined;
  throw bpfError('query', errno, `clsact of ifindex ${ifindex}`);
}

export function detachClsact(ifindex: number, direction: TcDirection): boolean {
  const r = libbpfHandle().tc_detach(tcHook(ifindex, POINT[direction]), tcOpts(0, 0));
  if (r === 0) return true;
  const errno = errnoFrom(r);
  if (nothingThere(errno)) return false;
  throw bpfError('detach', errno, `clsact of ifindex ${ifindex}`);
}

export type TcAttachment = { readonly kind: 'tcx'; readonly link: BpfLink } | { readonly kind: 'clsact'; readonly ifindex: number };

/** TCX, or clsact when this kernel has no TCX (before 6.6). */
export function attachTc(program: BpfProgram, ifindex: number, direction: TcDirection): TcAttachment {
  if (hasTcx()) return { kind: 'tcx', link: attachTcx(program, ifindex, direction) };
  attachClsact(program, ifindex, direction);
  return { kind: 'clsact', ifindex };
}

let tcx: boolean | undefined;
/** Asks the kernel once, by querying the hook of an interface that always exists. */
export function hasTcx(): boolean {
  if (tcx === undefined) {
    try {
      queryTcx(1, 'ingress');
      tcx = true;
    } catch {
      tcx = false;
    }
  }
  return tcx;
}

/** Every BPF link of the machine, for finding strangers and leftovers. */
export function listLinks(): readonly LinkInfo[] {
  const lib = libbpfHandle();
  const links: LinkInfo[] = [];
  const next = Buffer.alloc(4);
  for (let id = 0; lib.link_next_id(id, next) === 0; ) {
    id = next.readUInt32LE(0);
    const fd = lib.link_by_id(id);
    if (fd < 0) continue; // gone meanwhile
    try {
      links.push(linkInfo(fd));
    } finally {
      closeFd(fd);
    }
  }
  return links;
}
