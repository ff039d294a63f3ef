// Addresses of devices, both families. Requests for NetlinkSocket.execute, and the parser of address messages.
import { attributes, formatAddress, type Message, NLM, parseAddress } from './message.ts';
import type { NetlinkSocket, Request } from './socket.ts';

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const IFA = { address: 1, local: 2 } as const;
const NO_DAD = 2;
const SCOPES = { global: 0, link: 253, host: 254 } as const;

export interface InterfaceAddress {
  readonly ifindex: number;
  readonly address: string;
  readonly bits: number;
  readonly scope: number;
}

export interface AddressSpec {
  readonly ifindex: number;
  /** `10.0.0.1/32`, `fd00::1/128`. */
  readonly address: string;
  /** IPv6 duplicate detection would hold the address back for a second; default off, we hand out unique addresses. */
  readonly duplicateDetection?: boolean;
  readonly scope?: keyof typeof SCOPES;
}

function header(af: number, bits: number, flags: number, scope: number, ifindex: number): Buffer {
  const b = Buffer.alloc(8); // struct ifaddrmsg
  b[0] = af;
  b[1] = bits;
  b[2] = flags;
  b[3] = scope;
  b.writeUInt32LE(ifindex, 4);
  return b;
}

function request(s: AddressSpec, type: number, flags: number, operation: string): Request {
  const a = parseAddress(s.address);
  const noDad = a.bytes.length === 16 && s.duplicateDetection !== true ? NO_DAD : 0;
  return {
    operation,
    about: `${s.address} of ifindex ${s.ifindex}`,
    type,
    flags,
    header: header(a.af, a.bits, noDad, SCOPES[s.scope ?? 'global'], s.ifindex),
    fill: (m) => void m.attr(IFA.local, a.bytes).attr(IFA.address, a.bytes),
  };
}

/** Adds or refreshes. */
export const addAddress = (s: AddressSpec): Request => request(s, RTM_NEWADDR, NLM.create | NLM.replace, 'address-add');
export const deleteAddress = (s: AddressSpec): Request => request(s, RTM_DELADDR, 0, 'address-delete');

export function listAddresses(socket: NetlinkSocket, ifindex?: number): readonly InterfaceAddress[] {
  const dump: Request = { operation: 'address-list', about: '', type: RTM_GETADDR, flags: 0, header: header(0, 0, 0, 0, ifindex ?? 0) };
  return socket.dump(dump, (m) => {
    const a = parseInterfaceAddress(m);
    return ifindex === undefined || a?.ifindex === ifindex ? a : undefined;
  });
}

export function parseInterfaceAddress(m: Message): InterfaceAddress | undefined {
  if (m.type !== RTM_NEWADDR && m.type !== RTM_DELADDR) return undefined;
  const a = attributes(m.payload, 8);
  const bytes = a.get(IFA.local) ?? a.get(IFA.address);
  if (bytes === undefined) return undefined;
  return {
    ifindex: m.payload.readUInt32LE(4),
    address: formatAddress(m.payload[0]!, bytes),
    bits: m.payload[1]!,
    scope: m.payload[3]!,
  };
}
