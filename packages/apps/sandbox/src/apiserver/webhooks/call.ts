// One AdmissionReview over HTTPS. Called by ./run.ts.
import { request } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import { AppError } from '@axoneme/std';
import { asObj, asStr, isObj, type Obj } from '../obj.ts';
import type { ServiceDial } from '../types.ts';

const answerBytesMax = 4 * 1024 * 1024;

export interface CallTarget {
  readonly clientConfig: Obj;
  readonly timeoutSeconds: number;
}

interface Address {
  readonly url: URL;
  readonly servername: string;
  readonly socket: Duplex | undefined;
}

async function addressOf(c: Obj, timeoutSeconds: number, dial: ServiceDial): Promise<Address> {
  if (typeof c.url === 'string') {
    const url = new URL(c.url);
    url.searchParams.set('timeout', `${timeoutSeconds}s`);
    return { url, servername: url.hostname, socket: undefined };
  }
  const service = asObj(c.service);
  const [ns, name] = [asStr(service.namespace), asStr(service.name)];
  const port = Number(service.port ?? 443);
  const host = `${name}.${ns}.svc`;
  const url = new URL(`https://${host}:${port}${asStr(service.path) || '/'}`);
  url.searchParams.set('timeout', `${timeoutSeconds}s`);
  return { url, servername: host, socket: await dial(ns, name, port) };
}

/** Posts the review and returns `response`. Rejects on anything but a well-formed answer in time. */
export async function callWebhook(t: CallTarget, review: Obj, dial: ServiceDial): Promise<Obj> {
  const { url, servername, socket } = await addressOf(t.clientConfig, t.timeoutSeconds, dial);
  const ca = t.clientConfig.caBundle;
  const tls = { servername, ...(typeof ca === 'string' ? { ca: Buffer.from(ca, 'base64').toString('utf8') } : {}) };
  const body = Buffer.from(JSON.stringify(review));
  const text = await new Promise<string>((resolve, reject) => {
    const req = request(
      url,
      {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', 'content-length': body.length },
        signal: AbortSignal.timeout(t.timeoutSeconds * 1000),
        ...tls,
        // an agent would dial by itself
        ...(socket === undefined ? { agent: false as const } : { createConnection: () => connect({ socket, ...tls }) }),
      },
      (res) => {
        const chunks: Buffer[] = [];
        let size = 0;
        res.on('data', (b: Buffer) => {
          size += b.length;
          if (size > answerBytesMax) res.destroy(new AppError({ code: 'apiserver/webhook', message: 'the answer is too large' }));
          chunks.push(b);
        });
        res.on('error', reject);
        res.on('end', () => {
          if (res.statusCode === 200) resolve(Buffer.concat(chunks).toString('utf8'));
          else reject(new AppError({ code: 'apiserver/webhook', message: `an error on the server (status ${res.statusCode})` }));
        });
      },
    );
    req.on('error', reject);
    req.end(body);
  }).finally(() => socket?.destroy());
  const answer: unknown = JSON.parse(text);
  const response = asObj(answer).response;
  if (!isObj(response) || response.uid !== asObj(review.request).uid)
    throw new AppError({ code: 'apiserver/webhook', message: 'expected response.uid to be that of the request' });
  return response;
}
