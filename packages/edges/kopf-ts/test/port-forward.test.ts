// The websocket dialect of port-forward against a server written here: two channels a port, the first two bytes of each are the port.
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { connectKube, type KubeClient, listenForward } from '../src/index.ts';

let server: Server;
let client: KubeClient;
let sockets: Duplex[];

const frame = (payload: Buffer): Buffer => {
  const head =
    payload.length < 126 ? Buffer.from([0x82, payload.length]) : Buffer.from([0x82, 126, payload.length >> 8, payload.length & 255]);
  return Buffer.concat([head, payload]);
};

/** Calls back with each client frame: opcode and unmasked payload. */
function readFrames(socket: Duplex, onFrame: (opcode: number, payload: Buffer) => void): void {
  let held = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    for (;;) {
      const short = (held[1] ?? 0) & 127;
      const size = short === 126 ? (held.length >= 4 ? held.readUInt16BE(2) : Number.POSITIVE_INFINITY) : short;
      const at = short === 126 ? 4 : 2;
      if (held.length < 2 || held.length < at + 4 + size) return;
      const mask = held.subarray(at, at + 4);
      const payload = Buffer.from(held.subarray(at + 4, at + 4 + size).map((b, i) => b ^ (mask[i % 4] ?? 0)));
      onFrame((held[0] ?? 0) & 15, payload);
      held = held.subarray(at + 4 + size);
    }
  });
}

beforeEach(async () => {
  sockets = [];
  server = createServer((_req, res) => res.writeHead(404).end('{}'));
  server.on('upgrade', (req, socket: Duplex) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    if (!(req.url ?? '').startsWith('/api/v1/namespaces/n/pods/p/portforward?ports=80'))
      return void socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
    const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    const port = Buffer.from([80, 0]);
    socket.write(frame(Buffer.concat([Buffer.from([0]), port])));
    socket.write(frame(Buffer.concat([Buffer.from([1]), port])));
    readFrames(socket, (opcode, payload) => {
      if (opcode === 8) return void socket.end();
      const said = payload.subarray(1).toString();
      if (said === 'bye') return void socket.end(Buffer.concat([frame(Buffer.from('\0bye!')), Buffer.from([0x88, 0])]));
      socket.write(frame(Buffer.concat([Buffer.from([0]), Buffer.from(said.toUpperCase())])));
    });
  });
  await new Promise<void>((r) => server.listen(0, '127.0.0.1', r));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const text = `clusters: [{name: c, cluster: {server: "${url}"}}]\nusers: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n`;
  client = connectKube({ kind: 'text', text });
});
afterEach(async () => {
  client.close();
  for (const s of sockets) s.destroy();
  server.closeAllConnections();
  await new Promise((r) => server.close(r));
});

const collect = async (d: Duplex): Promise<string> => {
  let text = '';
  for await (const part of d) text += String(part);
  return text;
};

test('bytes go both ways and the end of the pod ends the stream', async () => {
  const d = await client.portForward('n', 'p', 80);
  const all = collect(d);
  d.write('hello ');
  await new Promise<void>((r) => d.once('data', () => r()));
  d.write('bye');
  expect(await all).toBe('HELLO bye!');
});

test('a local port serves any client', async () => {
  const local = await listenForward(() => client.portForward('n', 'p', 80));
  const socket = connect(local.port, local.host);
  const answer = new Promise<string>((r) => socket.once('data', (b) => r(b.toString())));
  socket.write('over tcp');
  expect(await answer).toBe('OVER TCP');
  socket.destroy();
  await local.close();
});

test('a pod that is not there is a plain error', async () => {
  await expect(client.portForward('n', 'absent', 80)).rejects.toMatchObject({ code: 'kube/port-forward', retry: 'later' });
});
