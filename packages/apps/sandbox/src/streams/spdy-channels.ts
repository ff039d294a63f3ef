// exec and attach over plain SPDY, as kubelets are asked by API servers: one SPDY stream per standard stream, shown as Channels.
import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { type Channels, ERROR, RESIZE, STDERR, STDIN, STDOUT } from './channels.ts';
import { type SpdyStream, serveSpdy } from './spdy.ts';

const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
const CHANNEL_OF: Readonly<Record<string, number>> = { stdin: STDIN, stdout: STDOUT, stderr: STDERR, error: ERROR, resize: RESIZE };
const HEADER = 'x-stream-protocol-version';

/** Answers the upgrade with the first protocol both know; undefined if there is none. */
function negotiate(req: IncomingMessage, socket: Duplex): string | undefined {
  const raw = req.headersDistinct[HEADER] ?? [];
  const offered = raw.flatMap((v) => v.split(',')).map((v) => v.trim());
  const chosen = PROTOCOLS.find((p) => offered.includes(p));
  if (chosen === undefined) {
    socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
    return undefined;
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${chosen}\r\n\r\n`,
  );
  return chosen;
}

/** Resolves when the client has opened all `wanted` streams. */
export function acceptSpdy(req: IncomingMessage, socket: Duplex, wanted: number): Promise<Channels | undefined> {
  const protocol = negotiate(req, socket);
  if (protocol === undefined) return Promise.resolve(undefined);
  const streams = new Map<number, SpdyStream>();
  const waiting: Readable[] = [];
  // the client writes as soon as it may, which is before anybody listens
  const early: (() => void)[] = [];
  let onMessage: (channel: number, data: Buffer) => void = (channel, data) => void early.push(() => onMessage(channel, data));
  let onHalfClose: (channel: number) => void = (channel) => void early.push(() => onHalfClose(channel));
  const { promise, resolve } = Promise.withResolvers<Channels>();
  const session = serveSpdy(socket, (s) => {
    const channel = CHANNEL_OF[s.headers.streamtype ?? ''];
    if (channel === undefined) return s.reset();
    streams.set(channel, s);
    s.onData = (d) => onMessage(channel, d);
    s.onEnd = () => onHalfClose(channel);
    if (streams.size === wanted) resolve(channels);
  });
  session.onDrain(() => {
    for (const r of waiting.splice(0)) r.resume();
  });
  const send = (channel: number, data: Buffer | string): boolean =>
    streams.get(channel)?.write(typeof data === 'string' ? Buffer.from(data) : data) ?? true;
  const replay = (): void => {
    for (const again of early.splice(0)) again();
  };
  const channels: Channels = {
    protocol,
    send: (channel, data) => void send(channel, data),
    pipe(channel, from) {
      from.on('data', (d: Buffer) => {
        if (send(channel, d)) return;
        from.pause();
        waiting.push(from);
      });
    },
    onMessage(handler) {
      onMessage = handler;
      queueMicrotask(replay);
    },
    onHalfClose(handler) {
      onHalfClose = handler;
    },
    onClose: (handler) => session.onClose(handler),
    close() {
      for (const s of streams.values()) s.end();
      session.close();
    },
  };
  return promise;
}
