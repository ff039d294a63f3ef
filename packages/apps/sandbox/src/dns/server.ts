// Answers DNS questions over UDP and TCP, IPv4 and IPv6.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { createServer, type Server, type Socket as TcpSocket } from 'node:net';
import { describeError, type Log } from '@axoneme/std';
import { AUTHORITATIVE_ANSWER, decode, encode, type Packet, RECURSION_AVAILABLE, RECURSION_DESIRED, TRUNCATED_RESPONSE } from 'dns-packet';
import { resolve, soaOf, type ZoneView } from './zone.ts';

const NXDOMAIN = 3;
const UDP_MAX = 1232;
const MESSAGE_MAX = 65_535;
const IDLE_MS = 10_000;

/** The reply to one request. */
export function reply(view: ZoneView, request: Packet): Packet {
  const q = request.questions?.[0];
  const flags = AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | ((request.flags ?? 0) & RECURSION_DESIRED);
  const base: Packet = { ...(request.id === undefined ? {} : { id: request.id }), type: 'response', questions: request.questions ?? [] };
  if (q === undefined) return { ...base, flags };
  const a = resolve(view, q.name, q.type);
  return {
    ...base,
    flags: flags | (a.exists ? 0 : NXDOMAIN),
    answers: a.answers,
    additionals: a.additionals,
    ...(a.answers.length === 0 ? { authorities: [soaOf(view.domain)] } : {}),
  };
}

function udpReply(view: ZoneView, request: Packet): Buffer {
  const full = reply(view, request);
  const bytes = encode(full);
  if (bytes.length <= UDP_MAX) return bytes;
  return encode({ ...full, flags: (full.flags ?? 0) | TRUNCATED_RESPONSE, answers: [], additionals: [] });
}

function serveUdp(view: ZoneView, port: number, type: 'udp4' | 'udp6', log: Log): Promise<Socket> {
  const socket = createSocket({ type, ipv6Only: type === 'udp6' });
  socket.on('message', (data: Buffer, from: RemoteInfo) => {
    try {
      socket.send(udpReply(view, decode(data)), from.port, from.address);
    } catch (e) {
      log.debug('request not understood', { error: describeError(e) });
    }
  });
  return new Promise((done, failed) => {
    socket.once('error', failed);
    socket.bind(port, () => {
      socket.off('error', failed);
      socket.on('error', (e) => log.warn('udp socket failed', { error: describeError(e) }));
      done(socket);
    });
  });
}

function onConnection(view: ZoneView, socket: TcpSocket): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (d: Buffer) => {
    pending = Buffer.concat([pending, d]);
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const size = pending.readUInt16BE(0);
      try {
        const out = encode(reply(view, decode(pending.subarray(2, 2 + size))));
        const head = Buffer.alloc(2);
        head.writeUInt16BE(out.length);
        socket.write(Buffer.concat([head, out]));
      } catch {
        socket.destroy();
      }
      pending = pending.subarray(2 + size);
    }
    if (pending.length > MESSAGE_MAX) socket.destroy();
  });
}

function serveTcp(view: ZoneView, port: number): Promise<Server> {
  const server = createServer((s) => onConnection(view, s));
  return new Promise((done, failed) => {
    server.once('error', failed);
    server.listen(port, '::', () => done(server));
  });
}

export interface DnsServer {
  close(): void;
}

export async function startDnsServer(view: ZoneView, port: number, log: Log): Promise<DnsServer> {
  const sockets = [await serveUdp(view, port, 'udp4', log), await serveUdp(view, port, 'udp6', log)];
  const tcp = await serveTcp(view, port);
  return {
    close() {
      for (const s of sockets) s.close();
      tcp.close();
    },
  };
}
