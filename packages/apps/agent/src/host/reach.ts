// Whether an operator can be reached by somebody who has no connection yet. Called by the host guard.
import { connect } from 'node:tls';
import { type ClientTls, operatorServerName } from '@axoneme/stream';

const handshakeMs = 3_000;

function split(endpoint: string): { readonly host: string; readonly port: number } {
  const at = endpoint.lastIndexOf(':');
  return { host: endpoint.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(endpoint.slice(at + 1)) };
}

/** One TLS handshake: packets went both ways, and it was an operator that answered. */
function handshake(endpoint: string, tls: ClientTls, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({
      ...split(endpoint),
      servername: operatorServerName,
      ca: tls.caPem,
      minVersion: 'TLSv1.2',
      ...(tls.certPem === undefined ? {} : { cert: tls.certPem }),
      ...(tls.keyPem === undefined ? {} : { key: tls.keyPem }),
      ALPNProtocols: ['h2'],
    });
    const settle = (reached: boolean): void => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      resolve(reached);
    };
    const abort = (): void => settle(false);
    signal.addEventListener('abort', abort);
    socket.setTimeout(handshakeMs, abort);
    socket.once('secureConnect', () => settle(true));
    socket.once('error', abort);
    if (signal.aborted) abort();
  });
}

/** Any of them will do. */
export async function operatorReachable(endpoints: readonly string[], tls: ClientTls, signal: AbortSignal): Promise<boolean> {
  const answers = await Promise.all(endpoints.map((e) => handshake(e, tls, signal)));
  return answers.includes(true);
}
