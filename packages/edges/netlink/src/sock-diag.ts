// UDP sockets of a network namespace and their end: the kernel's socket diagnostics. Called by the agent when a backend is gone.
import { AF, type Message, NLM } from './message.ts';
import { type Failure, NetlinkSocket } from './socket.ts';

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const UDP = 17;
/** Of UDP sockets those that are connected. */
const ESTABLISHED = 1;
const ID_LENGTH = 48; // struct inet_diag_sockid
const ANY_ID = Buffer.alloc(ID_LENGTH);

export interface UdpSocket {
  /** AF_INET6 also for one that talks IPv4 by a mapped address. */
  readonly af: number;
  /** What `bpf_get_socket_cookie` says. */
  readonly cookie: bigint;
  /** The family is that of the address, 4 for a mapped one. */
  readonly remote: { readonly addr: Uint8Array; readonly port: number; readonly family: 4 | 6 };
  /** struct inet_diag_sockid */
  readonly id: Buffer;
}

/** Sees the namespace it was opened in. The caller closes it. */
export const openSockDiag = (): NetlinkSocket => new NetlinkSocket(0, NETLINK_SOCK_DIAG);

/** struct inet_diag_req_v2 */
function request(af: number, id: Uint8Array): Buffer {
  const b = Buffer.alloc(8 + ID_LENGTH);
  b[0] = af;
  b[1] = UDP;
  b.writeUInt32LE(1 << ESTABLISHED, 4);
  b.set(id, 8);
  return b;
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');

/** 16 bytes, IPv4 in the first four. */
function remoteOf(af: number, bytes: Buffer): Pick<UdpSocket['remote'], 'addr' | 'family'> {
  const mapped = af === AF.v6 && bytes.subarray(0, 12).equals(MAPPED);
  return { addr: mapped ? Buffer.concat([bytes.subarray(12), Buffer.alloc(12)]) : bytes, family: af === AF.v6 && !mapped ? 6 : 4 };
}

function parse(m: Message): UdpSocket | undefined {
  if (m.type !== SOCK_DIAG_BY_FAMILY) return undefined;
  // struct inet_diag_msg: family, state, timer, retrans, then the id
  const id = Buffer.from(m.payload.subarray(4, 4 + ID_LENGTH));
  const af = m.payload[0] ?? AF.any;
  return { af, cookie: id.readBigUInt64LE(40), remote: { ...remoteOf(af, id.subarray(20, 36)), port: id.readUInt16BE(2) }, id };
}

/** Connected UDP sockets, of both families. */
export const listConnectedUdp = (socket: NetlinkSocket): readonly UdpSocket[] =>
  [AF.v4, AF.v6].flatMap((af) => {
    const header = request(af, ANY_ID);
    return socket.dump({ operation: 'udp-list', about: `of family ${af}`, type: SOCK_DIAG_BY_FAMILY, flags: 0, header }, parse);
  });

/** Their owners get ECONNABORTED; one that is gone already is fine. Returns what the kernel refused. */
export const destroyUdp = (socket: NetlinkSocket, sockets: readonly UdpSocket[]): readonly Failure[] =>
  socket.tryExecute(
    sockets.map((s) => ({
      operation: 'udp-destroy',
      about: `socket ${s.cookie}`,
      type: SOCK_DESTROY,
      flags: NLM.ack,
      header: request(s.af, s.id),
      tolerate: ['ENOENT'],
    })),
  );
