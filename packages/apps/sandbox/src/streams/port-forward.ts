// port-forward: byte streams to ports on a pod's own loopback. Two dialects: kubectl's SPDY (inside a WebSocket or after a plain
// upgrade) and the channel protocol of JavaScript clients.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream } from 'ws';
import type { PodWorker } from '../kubelet/pod-worker.ts';
import { acceptWebSocket, channelsOf } from './channels.ts';
import { type SpdyStream, serveSpdy } from './spdy.ts';

const TUNNEL = 'SPDY/3.1+portforward.k8s.io';
const CHANNEL = ['v4.channel.k8s.io', 'portforward.k8s.io'];

type Open = (port: number) => ChildProcessWithoutNullStreams;

function opener(sbx: string, worker: PodWorker): Open {
  return (port) => spawn(sbx, [...worker.networkSteps(), 'relay', String(port)], { stdio: ['pipe', 'pipe', 'pipe'] });
}

function forward(open: Open, port: number, data: SpdyStream, error: SpdyStream | undefined, onDrain: (resume: () => void) => void): void {
  const child = open(port);
  let said = '';
  child.stdin.on('error', () => undefined);
  child.stderr.setEncoding('utf8').on('data', (d: string) => {
    said += d;
  });
  child.stdout.on('data', (d: Buffer) => {
    if (data.write(d)) return;
    child.stdout.pause();
    onDrain(() => child.stdout.resume());
  });
  child.on('close', (code) => {
    if (code !== 0 && said !== '') error?.write(Buffer.from(said));
    data.end();
    error?.end();
  });
  data.onData = (d) => child.stdin.write(d);
  data.onEnd = () => child.stdin.end();
}

function serveTunnel(transport: Duplex, open: Open): void {
  const errors = new Map<string, SpdyStream>();
  const waiting: (() => void)[] = [];
  const session = serveSpdy(transport, (s) => {
    const id = s.headers.requestid ?? '';
    if (s.headers.streamtype === 'error') {
      errors.set(id, s);
      return;
    }
    forward(open, Number(s.headers.port ?? 0), s, errors.get(id), (resume) => waiting.push(resume));
    errors.delete(id);
  });
  session.onDrain(() => {
    for (const resume of waiting.splice(0)) resume();
  });
}

async function serveChannels(req: IncomingMessage, socket: Duplex, head: Buffer, open: Open): Promise<void> {
  const query = new URL(req.url ?? '/', 'http://x').searchParams;
  // an API server passes `ports` on to the kubelet as `port`
  const ports = [...query.getAll('ports'), ...query.getAll('port')].flatMap((p) => p.split(',')).map(Number);
  const ch = channelsOf(await acceptWebSocket(req, socket, head, CHANNEL));
  const children = ports.map((port, i) => {
    const child = open(port);
    const number = Buffer.alloc(2);
    number.writeUInt16LE(port);
    ch.send(2 * i, number);
    ch.send(2 * i + 1, number);
    ch.pipe(2 * i, child.stdout);
    ch.pipe(2 * i + 1, child.stderr);
    child.stdin.on('error', () => undefined);
    child.on('close', () => ch.close());
    return child;
  });
  ch.onMessage((channel, data) => children[channel >> 1]?.stdin.write(data));
  ch.onClose(() => {
    for (const c of children) c.kill();
  });
}

export async function handlePortForward(
  sbx: string,
  worker: PodWorker | undefined,
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  if (worker === undefined || worker.ips.length === 0) {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    return;
  }
  const open = opener(sbx, worker);
  const offered = (req.headers['sec-websocket-protocol'] ?? '').split(',').map((p) => p.trim());
  if (offered.includes(TUNNEL)) {
    const ws = await acceptWebSocket(req, socket, head, [TUNNEL]);
    serveTunnel(createWebSocketStream(ws), open);
  } else if (/spdy\/3\.1/i.test(req.headers.upgrade ?? '')) {
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n',
    );
    serveTunnel(socket, open);
  } else await serveChannels(req, socket, head, open);
}
