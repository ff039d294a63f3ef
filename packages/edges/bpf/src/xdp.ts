// Programs at the device driver: XDP links, native or generic, and what is attached. Called by the agent's attach loop and by packet tests.
// Functions act in the calling thread's network namespace.
import { AttachType } from './constants.ts';
import { check } from './errors.ts';
import { libbpfHandle, libcHandle } from './ffi.ts';
import { BpfLink, type BpfProgram } from './handles.ts';

/** `native`: in the driver, before there is an skb. `generic`: after it, on every device, for little gain. */
export type XdpMode = 'native' | 'generic';

const LINK_CREATE = 28;
const FLAG: Readonly<Record<XdpMode, number>> = { generic: 1 << 1, native: 1 << 2 };

/**
 * A device has one XDP link. Pin it to outlive the process. Errors: `bpf/attach-xdp` with EOPNOTSUPP where the driver has no XDP, EBUSY or
 * EEXIST where another program is, ERANGE or EINVAL where the device's MTU or features do not allow it.
 */
export function attachXdp(program: BpfProgram, ifindex: number, mode: XdpMode): BpfLink {
  const attr = Buffer.alloc(64);
  attr.writeUInt32LE(program.fd, 0);
  attr.writeUInt32LE(ifindex, 4);
  attr.writeUInt32LE(AttachType.xdp, 8);
  attr.writeUInt32LE(FLAG[mode], 12);
  return new BpfLink(check('attach-xdp', libcHandle().bpf(LINK_CREATE, attr), `${program.name} to ifindex ${ifindex} (${mode})`));
}

export interface XdpState {
  readonly progId: number;
  readonly mode: XdpMode | 'offload';
}

const QUERY_SIZE = 32;
const MODES: Readonly<Record<number, XdpState['mode']>> = { 1: 'native', 2: 'generic', 3: 'offload' };
const AT = { native: 12, offload: 16, generic: 20, mode: 24 } as const;

/** What runs on a device, the driver's program first; undefined when nothing does. */
export function queryXdp(ifindex: number): XdpState | undefined {
  const opts = Buffer.alloc(QUERY_SIZE);
  opts.writeBigUInt64LE(BigInt(QUERY_SIZE), 0);
  check('query-xdp', libbpfHandle().xdp_query(ifindex, 0, opts), `ifindex ${ifindex}`);
  const several = (['native', 'offload', 'generic'] as const).find((m) => opts.readUInt32LE(AT[m]) !== 0);
  const mode = MODES[opts.readUInt8(AT.mode)] ?? several;
  return mode === undefined ? undefined : { progId: opts.readUInt32LE(AT[mode]), mode };
}
