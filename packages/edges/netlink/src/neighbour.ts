// Permanent neighbour entries. Requests for NetlinkSocket.execute, and the parser of neighbour messages.
import { attributes, formatAddress, formatMac, type Message, NLM, parseAddress, parseMac } from './message.ts';
import type { NetlinkSocket, Request } from './socket.ts';

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const NDA = { dst: 1, lladdr: 2 } as const;
const PERMANENT = 0x80;

export interface NeighbourSpec {
  readonly ifindex: number;
  readonly address: string;
  readonly mac: string;
}

export interface Neighbour extends NeighbourSpec {
  readonly permanent: boolean;
}

function header(af: number, ifindex: number): Buffer {
  const b = Buffer.alloc(12); // struct ndmsg
  b[0] = af;
  b.writeInt32LE(ifindex, 4);
  b.writeUInt16LE(PERMANENT, 8);
  return b;
}

/** Adds or replaces. */
export function setNeighbour(s: NeighbourSpec): Request {
  const a = parseAddress(s.address);
  return {
    operation: 'neighbour-set',
    about: `${s.address} on ifindex ${s.ifindex}`,
    type: RTM_NEWNEIGH,
    flags: NLM.create | NLM.replace,
    header: header(a.af, s.ifindex),
    fill: (m) => void m.attr(NDA.dst, a.bytes).attr(NDA.lladdr, parseMac(s.mac)),
  };
}

export function deleteNeighbour(s: Omit<NeighbourSpec, 'mac'>): Request {
  const a = parseAddress(s.address);
  return {
    operation: 'neighbour-delete',
    about: `${s.address} on ifindex ${s.ifindex}`,
    type: RTM_DELNEIGH,
    flags: 0,
    header: header(a.af, s.ifindex),
    fill: (m) => void m.attr(NDA.dst, a.bytes),
  };
}

export function listNeighbours(socket: NetlinkSocket, ifindex?: number): readonly Neighbour[] {
  return socket.dump({ operation: 'neighbour-list', about: '', type: RTM_GETNEIGH, flags: 0, header: Buffer.alloc(12) }, (m) => {
    const n = parseNeighbour(m);
    return ifindex === undefined || n?.ifindex === ifindex ? n : undefined;
  });
}

function parseNeighbour(m: Message): Neighbour | undefined {
  if (m.type !== RTM_NEWNEIGH) return undefined;
  const a = attributes(m.payload, 12);
  const dst = a.get(NDA.dst);
  if (dst === undefined) return undefined;
  return {
    ifindex: m.payload.readInt32LE(4),
    address: formatAddress(m.payload[0]!, dst),
    mac: formatMac(a.get(NDA.lladdr) ?? Buffer.alloc(0)),
    permanent: (m.payload.readUInt16LE(8) & PERMANENT) !== 0,
  };
}
