// TCP to a port of a pod through the API server's websocket. Called by the CLI (to reach operator and agents).
import { createServer } from 'node:net';
import { Duplex, PassThrough, Writable } from 'node:stream';
import { AppError, describeError } from '@axoneme/std';
import { PortForward } from '@kubernetes/client-node';
import type { LoadedKubeConfig } from './config.ts';

export interface ForwardTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

interface Socket {
  close(): void;
  addEventListener(type: 'close', fn: () => void): void;
}

/** A byte stream to the port. Ends when the pod closes; destroying it closes the websocket. Throws `kube/port-forward`. */
export async function openPortForward(config: LoadedKubeConfig, t: ForwardTarget): Promise<Duplex> {
  const toPod = new PassThrough();
  const complaints: Buffer[] = [];
  let socket: Socket | undefined;
  const duplex = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _enc, done) => void toPod.write(chunk, () => done()),
    final: (done) => {
      toPod.end();
      done();
    },
    destroy: (e, done) => {
      toPod.destroy();
      socket?.close();
      done(e);
    },
  });
  const fromPod = new Writable({
    write: (chunk: Buffer, _enc, done) => {
      duplex.push(chunk);
      done();
    },
  });
  const errors = new Writable({
    write: (chunk: Buffer, _enc, done) => {
      if (chunk.length > 0 && complaints.length < 16) complaints.push(chunk);
      done();
    },
  });
  try {
    socket = (await new PortForward(config.native, false).portForward(
      t.namespace,
      t.pod,
      [t.port],
      fromPod,
      errors,
      toPod,
    )) as unknown as Socket;
  } catch (cause) {
    const reason = (cause as { message?: string }).message ?? describeError(cause);
    throw new AppError({
      code: 'kube/port-forward',
      message: `cannot forward to ${t.namespace}/${t.pod}:${t.port}: ${reason}`,
      retry: 'later',
      cause,
    });
  }
  socket.addEventListener('close', () => {
    if (complaints.length === 0) return void duplex.push(null);
    duplex.destroy(new AppError({ code: 'kube/port-forward', message: Buffer.concat(complaints).toString('utf8'), retry: 'later' }));
  });
  return duplex;
}

export interface LocalForward {
  readonly host: '127.0.0.1';
  readonly port: number;
  close(): Promise<void>;
}

/** Listens on a loopback port; every connection gets its own stream to the pod. */
export function listenForward(open: () => Promise<Duplex>): Promise<LocalForward> {
  const live = new Set<Duplex>();
  const server = createServer({ allowHalfOpen: false }, (local) => {
    live.add(local);
    local.on('close', () => live.delete(local));
    local.on('error', () => undefined);
    local.pause();
    open().then(
      (remote) => {
        remote.on('error', () => local.destroy());
        remote.on('close', () => local.destroy());
        local.on('close', () => remote.destroy());
        local.pipe(remote);
        remote.pipe(local);
      },
      () => local.destroy(),
    );
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const at = server.address();
      resolve({
        host: '127.0.0.1',
        port: at !== null && typeof at === 'object' ? at.port : 0,
        close: () =>
          new Promise((done) => {
            for (const s of live) s.destroy();
            server.close(() => done());
          }),
      });
    });
  });
}
