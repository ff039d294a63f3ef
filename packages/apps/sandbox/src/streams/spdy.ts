// SPDY/3.1 framing as kubectl's port-forward speaks it, server side: many byte streams over one connection. No flow control windows:
// the client does not use them either; the transport's own back-pressure is obeyed.
import type { Duplex } from 'node:stream';
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';

const WORDS =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin';
const TAIL =
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.';

/** The fixed dictionary of the protocol's header compression: length-prefixed words, then free text. */
export const SPDY_DICTIONARY: Buffer = Buffer.concat([
  ...WORDS.split(' ').map((w) => {
    const text = Buffer.from(w.replace('_', ' '));
    const out = Buffer.alloc(4 + text.length);
    out.writeUInt32BE(text.length);
    text.copy(out, 4);
    return out;
  }),
  Buffer.from(TAIL),
]);

const SYN_STREAM = 1;
const SYN_REPLY = 2;
const RST_STREAM = 3;
const PING = 6;
const GOAWAY = 7;
const FIN = 1;
const FRAME_MAX = 16 << 20;
const CHUNK = 32 << 10;

export type Headers = Readonly<Record<string, string>>;

export interface SpdyStream {
  readonly id: number;
  readonly headers: Headers;
  /** false = the transport is full, wait for `onDrain` of the session. */
  write(data: Buffer): boolean;
  end(): void;
  reset(): void;
  onData: (data: Buffer) => void;
  onEnd: () => void;
}

export interface SpdySession {
  onDrain(handler: () => void): void;
  onClose(handler: () => void): void;
  close(): void;
}

function step(z: Inflate | Deflate, data: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    z.once('error', reject);
    z.write(data, () => {
      z.off('error', reject);
      resolve((z.read() as Buffer | null) ?? Buffer.alloc(0));
    });
  });
}

export function parseHeaders(block: Buffer): Headers {
  const out: Record<string, string> = {};
  let at = 4;
  const text = (): string => {
    const n = block.readUInt32BE(at);
    at += 4 + n;
    return block.toString('utf8', at - n, at);
  };
  for (let i = block.readUInt32BE(0); i > 0; i--) {
    const name = text();
    out[name] = text();
  }
  return out;
}

const control = (type: number, flags: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(0x8003, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE(((flags << 24) | payload.length) >>> 0, 4);
  return Buffer.concat([head, payload]);
};

const u32 = (...values: readonly number[]): Buffer => {
  const b = Buffer.alloc(values.length * 4);
  values.forEach((v, i) => b.writeUInt32BE(v >>> 0, i * 4));
  return b;
};

/** Serves a connection; `onStream` is called for every stream the client opens. */
export function serveSpdy(transport: Duplex, onStream: (s: SpdyStream) => void): SpdySession {
  const options = { dictionary: SPDY_DICTIONARY, flush: constants.Z_SYNC_FLUSH };
  const inflate = createInflate(options);
  const deflate = createDeflate(options);
  const streams = new Map<number, SpdyStream>();
  let pending: Buffer = Buffer.alloc(0);
  let turn: Promise<void> = Promise.resolve();

  const data = (id: number, flags: number, payload: Buffer): boolean =>
    transport.write(Buffer.concat([u32(id, ((flags << 24) | payload.length) >>> 0), payload]));

  function makeStream(id: number, headers: Headers): SpdyStream {
    let ended = false;
    return {
      id,
      headers,
      write(payload) {
        let more = true;
        for (let at = 0; at < payload.length && !ended; at += CHUNK) more = data(id, 0, payload.subarray(at, at + CHUNK));
        return more;
      },
      end() {
        if (!ended) data(id, FIN, Buffer.alloc(0));
        ended = true;
      },
      reset() {
        if (!ended) transport.write(control(RST_STREAM, 0, u32(id, 5)));
        ended = true;
        streams.delete(id);
      },
      onData: () => undefined,
      onEnd: () => undefined,
    };
  }

  async function onControl(type: number, flags: number, payload: Buffer): Promise<void> {
    if (type === PING) transport.write(control(PING, 0, payload));
    else if (type === GOAWAY) transport.end();
    else if (type === RST_STREAM) {
      const id = payload.readUInt32BE(0) & 0x7fffffff;
      streams.get(id)?.onEnd();
      streams.delete(id);
    } else if (type === SYN_STREAM) {
      const id = payload.readUInt32BE(0) & 0x7fffffff;
      const s = makeStream(id, parseHeaders(await step(inflate, payload.subarray(10))));
      streams.set(id, s);
      const reply = await step(deflate, u32(0));
      transport.write(control(SYN_REPLY, 0, Buffer.concat([u32(id), reply])));
      onStream(s);
      if ((flags & FIN) !== 0) s.onEnd();
    }
  }

  async function onFrame(head: Buffer, payload: Buffer): Promise<void> {
    const word = head.readUInt32BE(0);
    const flags = head[4] as number;
    if (word >>> 31 === 1) return onControl(word & 0xffff, flags, payload);
    const s = streams.get(word & 0x7fffffff);
    if (payload.length > 0) s?.onData(payload);
    if ((flags & FIN) !== 0) s?.onEnd();
  }

  async function consume(): Promise<void> {
    while (pending.length >= 8) {
      const length = pending.readUIntBE(5, 3);
      if (length > FRAME_MAX) return void transport.destroy();
      if (pending.length < 8 + length) return;
      const [head, payload] = [pending.subarray(0, 8), pending.subarray(8, 8 + length)];
      pending = pending.subarray(8 + length);
      await onFrame(head, payload);
    }
  }

  transport.on('data', (d: Buffer) => {
    pending = pending.length === 0 ? d : Buffer.concat([pending, d]);
    turn = turn.then(consume).catch(() => void transport.destroy());
  });
  transport.on('error', () => transport.destroy());
  transport.on('close', () => {
    inflate.close();
    deflate.close();
    for (const s of streams.values()) s.onEnd();
    streams.clear();
  });
  return {
    onDrain: (handler) => void transport.on('drain', handler),
    onClose: (handler) => void transport.on('close', handler),
    close: () => transport.end(),
  };
}
