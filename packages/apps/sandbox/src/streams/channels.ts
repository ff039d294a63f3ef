// Kubernetes' channel protocol over WebSocket: the first byte of every binary message says which stream it belongs to. Accepts the
// upgrade and hands out a small duplex; used by exec, attach and port-forward.
import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';

export const STDIN = 0;
export const STDOUT = 1;
export const STDERR = 2;
export const ERROR = 3;
export const RESIZE = 4;
const CLOSE = 255;
const BUFFERED_MAX = 1 << 20;
const PAYLOAD_MAX = 32 << 20;

export interface Channels {
  readonly protocol: string;
  send(channel: number, data: Buffer | string): void;
  /** Forwards everything a stream says; the stream waits while the socket is full. */
  pipe(channel: number, from: Readable): void;
  onMessage(handler: (channel: number, data: Buffer) => void): void;
  /** The client will send no more on this channel (v5). */
  onHalfClose(handler: (channel: number) => void): void;
  onClose(handler: () => void): void;
  close(): void;
}

const server = (protocols: readonly string[]): WebSocketServer =>
  new WebSocketServer({
    noServer: true,
    maxPayload: PAYLOAD_MAX,
    perMessageDeflate: false,
    handleProtocols: (offered) => protocols.find((p) => offered.has(p)) ?? false,
  });

/** Completes a WebSocket upgrade; a client that offers none of `protocols` is refused by the handshake. */
export function acceptWebSocket(req: IncomingMessage, socket: Duplex, head: Buffer, protocols: readonly string[]): Promise<WebSocket> {
  return new Promise((resolve) => server(protocols).handleUpgrade(req, socket, head, resolve));
}

export function channelsOf(ws: WebSocket): Channels {
  ws.on('error', () => ws.terminate());
  const send = (channel: number, data: Buffer | string, done?: () => void): void => {
    if (ws.readyState !== ws.OPEN) {
      done?.();
      return;
    }
    ws.send(Buffer.concat([Buffer.from([channel]), typeof data === 'string' ? Buffer.from(data) : data]), { binary: true }, () => done?.());
  };
  return {
    protocol: ws.protocol,
    send: (channel, data) => send(channel, data),
    pipe(channel, from) {
      from.on('data', (d: Buffer) => {
        if (ws.bufferedAmount < BUFFERED_MAX) {
          send(channel, d);
          return;
        }
        from.pause();
        send(channel, d, () => from.resume());
      });
    },
    onMessage(handler) {
      ws.on('message', (raw: Buffer) => {
        if (raw.length > 0 && raw[0] !== CLOSE) handler(raw[0] as number, raw.subarray(1));
      });
    },
    onHalfClose(handler) {
      ws.on('message', (raw: Buffer) => {
        if (raw[0] === CLOSE && raw.length > 1) handler(raw[1] as number);
      });
    },
    onClose(handler) {
      ws.on('close', handler);
    },
    close: () => ws.close(1000),
  };
}
