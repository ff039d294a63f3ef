// Keeps programs on their hooks. Every attachment has a pin whose name says where it belongs; a restarted agent compares pins with what
// should be and touches only differences. A running attachment is never taken away to be put back. Called by the datapath and endpoints.
import { mkdirSync, readlinkSync, statSync, symlinkSync } from 'node:fs';
import {
  AttachType,
  attachCgroup,
  attachClsact,
  attachTcx,
  attachXdp,
  type BpfLink,
  type BpfProgram,
  detachClsact,
  hasTcx,
  type LinkInfo,
  LinkType,
  pinnedLink,
  queryClsact,
  queryXdp,
  type TcDirection,
  unpin,
  type XdpMode,
} from '@axoneme/bpf';
import { namesIn } from '../store/errno.ts';

export type Hook =
  | { readonly kind: 'tc'; readonly ifindex: number; readonly direction: TcDirection }
  | { readonly kind: 'xdp'; readonly ifindex: number; readonly mode: XdpMode }
  | { readonly kind: 'cgroup'; readonly path: string };

export interface Attachment {
  /** File name below `links`. */
  readonly pin: string;
  readonly program: string;
  readonly hook: Hook;
}

export type LinkOutcome = 'kept' | 'swapped' | 'attached';

export interface Links {
  ensure(a: Attachment): LinkOutcome;
  remove(pin: string): void;
  pins(): readonly string[];
}

const cgroupTypes: Readonly<Record<string, number>> = {
  connect4: AttachType.cgroupInet4Connect,
  connect6: AttachType.cgroupInet6Connect,
  sendmsg4: AttachType.cgroupUdp4Sendmsg,
  sendmsg6: AttachType.cgroupUdp6Sendmsg,
  recvmsg4: AttachType.cgroupUdp4Recvmsg,
  recvmsg6: AttachType.cgroupUdp6Recvmsg,
  getpeername4: AttachType.cgroupInet4Getpeername,
  getpeername6: AttachType.cgroupInet6Getpeername,
  post_bind4: AttachType.cgroupInet4PostBind,
  post_bind6: AttachType.cgroupInet6PostBind,
  release: AttachType.cgroupInetSockRelease,
};

/** `sock_connect4` → the attach type of connect4; undefined for programs that go elsewhere. */
export function cgroupAttachType(program: string): number | undefined {
  const key = Object.keys(cgroupTypes).find((k) => program.endsWith(k));
  return key === undefined ? undefined : cgroupTypes[key];
}

function attachTo(p: BpfProgram, { hook, program }: Attachment): BpfLink {
  if (hook.kind === 'cgroup') return attachCgroup(p, hook.path, cgroupAttachType(program));
  return hook.kind === 'xdp' ? attachXdp(p, hook.ifindex, hook.mode) : attachTcx(p, hook.ifindex, hook.direction);
}

type TcHook = Extract<Hook, { kind: 'tc' }>;

// A filter of clsact is no object that could be pinned. A symbolic link in the pin's place says where it is; it leads nowhere.
const clsactMark = (hook: TcHook): string => `clsact/${hook.ifindex}/${hook.direction}`;

function clsactAt(path: string): TcHook | undefined {
  let mark: string;
  try {
    mark = readlinkSync(path);
  } catch {
    return undefined; // a pin, or nothing
  }
  const [, ifindex, direction] = /^clsact\/(\d+)\/(ingress|egress)$/.exec(mark) ?? [];
  return ifindex === undefined ? undefined : { kind: 'tc', ifindex: Number(ifindex), direction: direction as TcDirection };
}

/** The pin belongs to this hook and still works there. */
function fits(info: LinkInfo, hook: Hook): boolean {
  if (hook.kind === 'cgroup') return info.cgroupId === statSync(hook.path, { bigint: true }).ino;
  if (info.ifindex !== hook.ifindex) return false;
  return hook.kind === 'tc' || (info.type === LinkType.xdp && queryXdp(hook.ifindex)?.mode === hook.mode);
}

/** `tcx`: whether this kernel has it (6.6); without it filters of clsact stand for links. */
export function createLinks(dir: string, program: (name: string) => BpfProgram, tcx = hasTcx()): Links {
  const attach = (a: Attachment): void => {
    const link = attachTo(program(a.program), a);
    try {
      link.pin(`${dir}/${a.pin}`);
    } finally {
      link.close();
    }
  };

  const ensureLink = (a: Attachment): LinkOutcome => {
    const path = `${dir}/${a.pin}`;
    const link = pinnedLink(path);
    if (link) {
      try {
        const info = link.info();
        if (fits(info, a.hook)) {
          const p = program(a.program);
          if (info.progId === p.info().id) return 'kept';
          link.update(p);
          return 'swapped';
        }
        // a device has one XDP link: the one of the other mode goes first
        if (a.hook.kind === 'xdp' && info.ifindex !== 0) link.detach();
      } finally {
        link.close();
      }
      // otherwise its device is gone: nothing runs through it any more
      unpin(path);
    }
    attach(a);
    return 'attached';
  };
  const remove = (pin: string): void => {
    const path = `${dir}/${pin}`;
    const filter = clsactAt(path);
    if (filter) detachClsact(filter.ifindex, filter.direction);
    unpin(path);
  };
  const ensureClsact = (a: Attachment, hook: TcHook): LinkOutcome => {
    const p = program(a.program);
    const path = `${dir}/${a.pin}`;
    const before = clsactAt(path);
    // the device of this name is another one now
    if (before && clsactMark(before) !== clsactMark(hook)) remove(a.pin);
    const now = queryClsact(hook.ifindex, hook.direction);
    if (now !== p.info().id) attachClsact(p, hook.ifindex, hook.direction);
    if (!clsactAt(path)) {
      mkdirSync(dir, { recursive: true });
      symlinkSync(clsactMark(hook), path);
    }
    if (now === undefined) return 'attached';
    return now === p.info().id ? 'kept' : 'swapped';
  };

  return {
    ensure: (a) => (a.hook.kind === 'tc' && !tcx ? ensureClsact(a, a.hook) : ensureLink(a)),
    remove,
    pins: () => namesIn(dir),
  };
}
