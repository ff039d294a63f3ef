// Devices: veth pairs, VXLAN, state, names. Requests for NetlinkSocket.execute, and the parser of link messages.
import { AF, attributes, formatMac, type Message, type MessageWriter, NLM, parseAddress, parseMac, textOf, u32Of } from './message.ts';
import type { NetlinkSocket, Request } from './socket.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const IFF_UP = 1;
const IFF_RUNNING = 0x40;
const IFLA = {
  address: 1,
  ifname: 3,
  mtu: 4,
  link: 5,
  master: 10,
  linkinfo: 18,
  alias: 20,
  group: 27,
  netnsFd: 28,
  extMask: 29,
  linkNetnsId: 37,
} as const;
const INFO = { kind: 1, data: 2 } as const;
const VETH_PEER = 1;
const SKIP_STATS = 8;
const VXLAN = {
  id: 1,
  link: 3,
  local: 4,
  ttl: 5,
  learning: 7,
  port: 15,
  local6: 17,
  udpCsum: 18,
  zeroCsum6Tx: 19,
  zeroCsum6Rx: 20,
  collectMetadata: 25,
} as const;

export interface Link {
  readonly ifindex: number;
  readonly name: string;
  readonly up: boolean;
  /** Carrier is there too. */
  readonly running: boolean;
  readonly mtu: number;
  readonly mac: string;
  /** `veth`, `vxlan`, …; empty for physical devices. */
  readonly kind: string;
  readonly alias: string;
  /** Index of the lower device or veth peer, 0 if none. */
  readonly peerIfindex: number;
  /** Id of the namespace the peer lives in, when another. */
  readonly peerNetnsId: number | undefined;
  readonly master: number;
}

export interface LinkEnd {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly up?: boolean;
  /** Text other tools show; marks a device as ours. */
  readonly alias?: string;
  /** Descriptor of the network namespace to create it in; default: the socket's. */
  readonly netnsFd?: number;
}

/** A link by index or name. */
export type LinkRef = number | string;

function header(ifindex = 0, flags = 0, change = 0): Buffer {
  const b = Buffer.alloc(16); // struct ifinfomsg
  b.writeInt32LE(ifindex, 4);
  b.writeUInt32LE(flags, 8);
  b.writeUInt32LE(change, 12);
  return b;
}
const endHeader = (e: LinkEnd): Buffer => (e.up === true ? header(0, IFF_UP, IFF_UP) : header());

function fillEnd(m: MessageWriter, e: LinkEnd): void {
  m.text(IFLA.ifname, e.name);
  if (e.mac !== undefined) m.attr(IFLA.address, parseMac(e.mac));
  if (e.mtu !== undefined) m.u32(IFLA.mtu, e.mtu);
  if (e.netnsFd !== undefined) m.u32(IFLA.netnsFd, e.netnsFd);
}

const refHeader = (ref: LinkRef, flags = 0, change = 0): Buffer => header(typeof ref === 'number' ? ref : 0, flags, change);
const fillRef = (m: MessageWriter, ref: LinkRef): void => void (typeof ref === 'string' && m.text(IFLA.ifname, ref));

/** The peer starts down (the kernel cannot raise it before its other end exists): raise it from its own namespace. */
export function createVeth(end: LinkEnd, peer: Omit<LinkEnd, 'up'>): Request {
  return {
    operation: 'veth-create',
    about: `${end.name} with ${peer.name}`,
    type: RTM_NEWLINK,
    flags: NLM.create | NLM.excl,
    header: endHeader(end),
    fill: (m) => {
      fillEnd(m, end);
      m.nest(IFLA.linkinfo, () => {
        m.text(INFO.kind, 'veth').nest(INFO.data, () => m.nest(VETH_PEER, () => fillEnd(m, peer), header()));
      });
    },
  };
}

export interface VxlanSpec extends LinkEnd {
  /** Tunnel id and endpoints come from the BPF program per packet. Such a device serves IPv4 and IPv6 underlays at once. */
  readonly external?: boolean;
  readonly vni?: number;
  readonly port?: number;
  readonly local?: string;
  readonly underlay?: number;
}

export function createVxlan(v: VxlanSpec): Request {
  return {
    operation: 'vxlan-create',
    about: v.name,
    type: RTM_NEWLINK,
    flags: NLM.create | NLM.excl,
    header: endHeader(v),
    fill: (m) => {
      fillEnd(m, v);
      m.nest(IFLA.linkinfo, () => {
        m.text(INFO.kind, 'vxlan').nest(INFO.data, () => fillVxlan(m, v));
      });
    },
  };
}

function fillVxlan(m: MessageWriter, v: VxlanSpec): void {
  if (v.external === true) m.u8(VXLAN.collectMetadata, 1);
  else m.u32(VXLAN.id, v.vni ?? 1);
  m.u16be(VXLAN.port, v.port ?? 8472).u8(VXLAN.learning, 0);
  // over IPv6 the kernel refuses datagrams without checksum unless told otherwise
  m.u8(VXLAN.zeroCsum6Rx, 1).u8(VXLAN.zeroCsum6Tx, 1);
  if (v.underlay !== undefined) m.u32(VXLAN.link, v.underlay);
  if (v.local !== undefined) {
    const a = parseAddress(v.local);
    m.attr(a.af === AF.v4 ? VXLAN.local : VXLAN.local6, a.bytes);
  }
}

export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  /** The device must be down. */
  readonly rename?: string;
  readonly alias?: string;
  /** Moves it into another namespace. */
  readonly netnsFd?: number;
  /** Puts it into a group, for `deleteLinkGroup`. */
  readonly group?: number;
}

export function setLink(ref: LinkRef, c: LinkChange): Request {
  return {
    operation: 'link-set',
    about: `${ref}`,
    type: RTM_NEWLINK,
    flags: 0,
    header: refHeader(ref, c.up === true ? IFF_UP : 0, c.up === undefined ? 0 : IFF_UP),
    fill: (m) => {
      if (c.rename !== undefined && typeof ref === 'number') m.text(IFLA.ifname, c.rename);
      else fillRef(m, ref);
      if (c.mtu !== undefined) m.u32(IFLA.mtu, c.mtu);
      if (c.mac !== undefined) m.attr(IFLA.address, parseMac(c.mac));
      if (c.alias !== undefined) m.text(IFLA.alias, c.alias);
      if (c.netnsFd !== undefined) m.u32(IFLA.netnsFd, c.netnsFd);
      if (c.group !== undefined) m.u32(IFLA.group, c.group);
    },
  };
}

export function deleteLink(ref: LinkRef): Request {
  return { operation: 'link-delete', about: `${ref}`, type: RTM_DELLINK, flags: 0, header: refHeader(ref), fill: (m) => fillRef(m, ref) };
}

/** Deletes every device of a group at once: the kernel waits for its readers once, not per device (20 ms each). */
export function deleteLinkGroup(group: number): Request {
  const fill = (m: MessageWriter): void => void m.u32(IFLA.group, group);
  return { operation: 'link-delete', about: `group ${group}`, type: RTM_DELLINK, flags: 0, header: header(), fill };
}

/** Undefined when there is none. */
export function getLink(socket: NetlinkSocket, ref: LinkRef): Link | undefined {
  const answer = socket.ask({
    operation: 'link-get',
    about: `${ref}`,
    type: RTM_GETLINK,
    flags: 0,
    header: refHeader(ref),
    fill: (m) => {
      fillRef(m, ref);
      m.u32(IFLA.extMask, SKIP_STATS);
    },
  });
  return answer === undefined ? undefined : parseLink(answer);
}

export function listLinks(socket: NetlinkSocket): readonly Link[] {
  const fill = (m: MessageWriter): void => void m.u32(IFLA.extMask, SKIP_STATS);
  return socket.dump({ operation: 'link-list', about: '', type: RTM_GETLINK, flags: 0, header: header(), fill }, parseLink);
}

export function parseLink(m: Message): Link | undefined {
  if (m.type !== RTM_NEWLINK && m.type !== RTM_DELLINK) return undefined;
  const a = attributes(m.payload, 16);
  const flags = m.payload.readUInt32LE(8);
  const info = a.get(IFLA.linkinfo);
  return {
    ifindex: m.payload.readInt32LE(4),
    name: textOf(a.get(IFLA.ifname)) ?? '',
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_RUNNING) !== 0,
    mtu: u32Of(a.get(IFLA.mtu)) ?? 0,
    mac: formatMac(a.get(IFLA.address) ?? Buffer.alloc(0)),
    kind: info === undefined ? '' : (textOf(attributes(info, 0).get(INFO.kind)) ?? ''),
    alias: textOf(a.get(IFLA.alias)) ?? '',
    peerIfindex: u32Of(a.get(IFLA.link)) ?? 0,
    peerNetnsId: u32Of(a.get(IFLA.linkNetnsId)),
    master: u32Of(a.get(IFLA.master)) ?? 0,
  };
}
