// What this kernel can do and where its file systems are. Called by the agent at start (Hello carries it) and by `axoneme status`.
import { existsSync, mkdirSync, readFileSync, statfsSync } from 'node:fs';
import { release } from 'node:os';
import { AppError, type Digest, digestOf } from '@axoneme/std';
import { hasTcx } from './attach.ts';
import { MapType, ProgType } from './constants.ts';
import { bpfError, check, errnoFrom } from './errors.ts';
import { closeFd, lastErrno, libbpfHandle, libcHandle } from './ffi.ts';

const BPF_FS_MAGIC = 0xcafe4a11;
const CGROUP2_MAGIC = 0x63677270;
const VMLINUX_BTF = '/sys/kernel/btf/vmlinux';
const HELPER = { redirectNeigh: 152, redirectPeer: 155, getSocketCookie: 46, getNetnsCookie: 122, ringbufReserve: 130 } as const;

export interface KernelFeatures {
  readonly kernel: string;
  readonly libbpf: string;
  readonly btf: boolean;
  /** Digest of the kernel's own BTF; undefined without it. */
  readonly btfDigest: Digest | undefined;
  readonly tcx: boolean;
  readonly clsact: boolean;
  readonly cgroupLink: boolean;
  readonly cgroupSockAddr: boolean;
  readonly redirectPeer: boolean;
  readonly redirectNeigh: boolean;
  readonly netnsCookie: boolean;
  readonly ringbuf: boolean;
  readonly lpmTrie: boolean;
}

export function probeKernel(): KernelFeatures {
  const lib = libbpfHandle();
  const helper = (type: number, id: number): boolean => lib.probe_helper(type, id, null) === 1;
  const btf = existsSync(VMLINUX_BTF);
  return {
    kernel: release(),
    libbpf: `${lib.major}.${lib.minor}`,
    btf,
    btfDigest: btf ? digestOf(readFileSync(VMLINUX_BTF)) : undefined,
    tcx: hasTcx(),
    clsact: lib.probe_prog_type(ProgType.schedCls, null) === 1,
    // a descriptor that is none: EBADF when the command exists
    cgroupLink: errnoFrom(lib.link_create(-1, -1, 10, null)) === 9,
    cgroupSockAddr: lib.probe_prog_type(ProgType.cgroupSockAddr, null) === 1,
    redirectPeer: helper(ProgType.schedCls, HELPER.redirectPeer),
    redirectNeigh: helper(ProgType.schedCls, HELPER.redirectNeigh),
    netnsCookie: helper(ProgType.cgroupSockAddr, HELPER.getNetnsCookie),
    ringbuf: lib.probe_map_type(MapType.ringbuf, null) === 1,
    lpmTrie: lib.probe_map_type(MapType.lpmTrie, null) === 1,
  };
}

/** Names of what Axoneme cannot do without and this kernel lacks; empty = fine. */
export function missingFeatures(f: KernelFeatures): readonly string[] {
  const needed = ['btf', 'clsact', 'cgroupLink', 'cgroupSockAddr', 'redirectPeer', 'redirectNeigh', 'ringbuf', 'lpmTrie'] as const;
  return needed.filter((name) => !f[name]);
}

export const isBpffs = (path: string): boolean => fileSystemType(path) === BPF_FS_MAGIC;
export const isCgroup2 = (path: string): boolean => fileSystemType(path) === CGROUP2_MAGIC;

function fileSystemType(path: string): number {
  return existsSync(path) ? statfsSync(path).type >>> 0 : 0;
}

/** Makes sure a bpffs is mounted at `path` in this mount namespace. */
export function ensureBpffs(path = '/sys/fs/bpf'): void {
  if (isBpffs(path)) return;
  if (!existsSync(path)) mkdirSync(path, { recursive: true });
  check('mount', libcHandle().mount('bpf', path, 'bpf', 0n, null), `bpffs at ${path}`);
}

const CGROUP_ROOTS = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'] as const;

/** The first cgroup v2 mount among the usual places. */
export function findCgroup2(candidates: readonly string[] = CGROUP_ROOTS): string {
  const found = candidates.find(isCgroup2);
  if (found !== undefined) return found;
  throw new AppError({
    code: 'bpf/no-cgroup2',
    message: `no cgroup v2 at ${candidates.join(' or ')}`,
    hint: 'Mount it, or name it with --cgroup-root.',
  });
}

const SOCKET = { inet: 2, datagram: 2, closeOnExec: 0o2000000, level: 1, netnsCookie: 71 } as const;

/** What `bpf_get_netns_cookie` says of sockets of this process. */
export function netnsCookie(): bigint {
  const fd = libcHandle().socket(SOCKET.inet, SOCKET.datagram | SOCKET.closeOnExec, 0);
  if (fd < 0) throw bpfError('socket', lastErrno(), 'for the cookie of this network namespace');
  try {
    const [cookie, length] = [Buffer.alloc(8), Buffer.from([8, 0, 0, 0])];
    if (libcHandle().getsockopt(fd, SOCKET.level, SOCKET.netnsCookie, cookie, length) < 0)
      throw bpfError('netns-cookie', lastErrno(), 'of this network namespace');
    return cookie.readBigUInt64LE();
  } finally {
    closeFd(fd);
  }
}
