// This node's key and certificate: made once, signed by the operator against the projected token, renewed in time, kept in the state
// directory. A living thing, started by wiring; the operator link reads `tls` for each attempt.
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { AppError, type Clock, createBackoff, describeError, digestOf, type Health, type Living, type Log } from '@axoneme/std';
import { bootstrapSign, type ClientTls } from '@axoneme/stream';
import { replaceFile } from '../store/durable.ts';
import type { Trust } from './trust.ts';

export interface NodeIdentity extends Living {
  /** Throws `agent/no-certificate` before the first signing. */
  tls(): ClientTls;
  /** Resolves when there is a certificate. */
  ready(): Promise<void>;
  /** Runs when a new certificate is there. */
  onRenewed(listener: () => void): void;
  /** Look again now: trust changed. */
  poke(): void;
}

export interface IdentityDeps {
  readonly nodeName: string;
  readonly stateDir: string;
  readonly tokenFile: string;
  readonly trust: Trust;
  readonly clock: Clock;
  readonly log: Log;
}

interface Stored {
  readonly keyPem: string;
  readonly certPem: string;
  /** Digest of the CA bundle it was signed under; another bundle asks for a new certificate. */
  readonly ca: string;
}

const file = 'identity.json';
const longestWaitMs = 3_600_000;

/** Two thirds into the life of a certificate. */
function renewAtMs(certPem: string): number {
  const c = new X509Certificate(certPem);
  const from = c.validFromDate.getTime();
  return from + ((c.validToDate.getTime() - from) * 2) / 3;
}

/** Undefined when there is none, or key and certificate are no pair. */
function load(stateDir: string): Stored | undefined {
  try {
    const s = JSON.parse(readFileSync(`${stateDir}/${file}`, 'utf8')) as Stored;
    const own = createPublicKey(createPrivateKey(s.keyPem)).export({ type: 'spki', format: 'der' });
    return new X509Certificate(s.certPem).publicKey.export({ type: 'spki', format: 'der' }).equals(own) ? s : undefined;
  } catch {
    return undefined;
  }
}

export function createNodeIdentity(d: IdentityDeps): NodeIdentity {
  const backoff = createBackoff({ baseMs: 250, maxMs: 15_000 });
  const listeners: (() => void)[] = [];
  let stored = load(d.stateDir);
  let health: Health = { state: 'degraded', reason: 'no node certificate yet' };
  let turn = 0;
  let wake = new AbortController();

  /** Milliseconds until the certificate should be replaced; 0 = now. */
  const dueInMs = (): number => {
    const caPem = d.trust.now()?.caPem;
    if (!stored || (caPem !== undefined && stored.ca !== digestOf(caPem))) return 0;
    return Math.max(0, renewAtMs(stored.certPem) - d.clock.nowMs());
  };
  const sign = async (): Promise<void> => {
    const trust = d.trust.now();
    const endpoint = trust?.bootstrapEndpoints[turn++ % Math.max(1, trust.bootstrapEndpoints.length)];
    if (!trust || endpoint === undefined) {
      throw new AppError({
        code: 'agent/no-trust',
        message: 'no CA or operator address is known yet',
        retry: 'later',
        hint: 'the operator writes the ConfigMap axoneme-trust',
      });
    }
    const token = readFileSync(d.tokenFile, 'utf8').trim();
    // needed once in months: not worth 8 MB of every agent's memory
    const { createCsr } = await import('@axoneme/pki');
    const { csrPem, keyPem } = await createCsr({ commonName: d.nodeName });
    const answer = await bootstrapSign({ endpoint, caPem: trust.caPem, request: { csrPem, token, nodeName: d.nodeName } });
    const next = { keyPem, certPem: answer.certificatePem, ca: digestOf(trust.caPem) };
    await replaceFile(d.stateDir, file, JSON.stringify(next));
    stored = next;
    d.log.info('node certificate signed', { endpoint, notAfter: new Date(answer.notAfterUnixMs).toISOString() });
    for (const l of listeners) l();
  };
  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      let waitMs = dueInMs();
      if (waitMs === 0) {
        try {
          await sign();
          backoff.reset();
          continue;
        } catch (e) {
          waitMs = backoff.nextMs();
          if (!stored) health = { state: 'degraded', reason: `no node certificate: ${describeError(e)}` };
          d.log.warn('node certificate not signed', { error: e, retryMs: waitMs });
        }
      } else health = { state: 'ok' };
      wake = new AbortController();
      await d.clock.sleep(Math.min(waitMs, longestWaitMs), AbortSignal.any([signal, wake.signal]));
    }
  };
  return {
    name: 'node-identity',
    health: () => health,
    tls() {
      const caPem = d.trust.now()?.caPem;
      if (stored && caPem !== undefined) return { caPem, certPem: stored.certPem, keyPem: stored.keyPem };
      throw new AppError({ code: 'agent/no-certificate', message: 'this node has no certificate yet', retry: 'later' });
    },
    ready: () => (stored ? Promise.resolve() : new Promise((resolve) => listeners.push(resolve))),
    onRenewed: (l) => void listeners.push(l),
    poke: () => wake.abort(),
    async start(signal) {
      void run(signal);
    },
  };
}
