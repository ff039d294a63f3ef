// The kubelet's own HTTPS endpoint, for foreign API servers: exec, attach, port-forward and logs of the pods of all nodes. Nodes relay
// their port 10250 here. It is reachable from inside the fabric only and asks for no credentials, as suits a sandbox.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { createCa, issueServer } from '@axoneme/pki';
import { describeError } from '@axoneme/std';
import type { KubeObject } from '../apiserver/types.ts';
import type { Cache } from '../client/cache.ts';
import type { PodWorker } from '../kubelet/pod-worker.ts';
import { handleAttach, handleExec } from './exec.ts';
import type { StreamDeps } from './install.ts';
import { handleLogs } from './logs.ts';
import { handlePortForward } from './port-forward.ts';

export const KUBELET_PORT = 10250;

interface Target {
  readonly verb: string;
  readonly pod: KubeObject | undefined;
  readonly worker: PodWorker | undefined;
  readonly name: string;
  readonly container: string;
}

function parse(req: IncomingMessage, pods: Cache, d: StreamDeps): Target {
  const [, verb = '', ns = '', name = '', third = '', fourth] = new URL(req.url ?? '/', 'http://x').pathname
    .split('/')
    .map(decodeURIComponent);
  const pod = pods.get(ns, name);
  // with a uid in the path the container comes after it
  return { verb, pod, worker: pod === undefined ? undefined : d.workerOf(pod), name, container: fourth ?? third };
}

export interface KubeletServer {
  readonly port: number;
  close(): void;
}

export async function startKubeletServer(host: string, pods: Cache, d: StreamDeps): Promise<KubeletServer> {
  const own = await issueServer(await createCa({ name: 'axoneme-sandbox-kubelet', days: 30 }), { commonName: 'kubelet', ips: [host] });
  const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    const t = parse(req, pods, d);
    if (t.verb === 'containerLogs') handleLogs(t.worker, t.name, t.container, d.clock.nowMs(), req, res);
    else res.writeHead(t.verb === 'healthz' ? 200 : 404).end();
  };
  const onUpgrade = async (req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const t = parse(req, pods, d);
    socket.on('error', () => socket.destroy());
    if (t.verb === 'exec') await handleExec(d.sbx, t.worker, req, socket, head, t.container);
    else if (t.verb === 'attach') await handleAttach(t.worker, req, socket, head, t.container);
    else if (t.verb === 'portForward') await handlePortForward(d.sbx, t.worker, req, socket, head);
    else socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
  };
  const server = createServer({ cert: own.certPem, key: own.keyPem, keepAlive: true, noDelay: true }, onRequest);
  server.on('upgrade', (req, socket, head) => {
    onUpgrade(req, socket, head).catch((e: unknown) => d.log.warn('kubelet stream failed', { error: describeError(e) }));
  });
  await new Promise<void>((done, failed) => {
    server.once('error', failed);
    server.listen(0, host, done);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
