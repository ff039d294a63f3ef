// Asks one backend once whether it serves: a real connection, or a real request. Called by the prober.
import { request } from 'node:http';
import { connect } from 'node:net';
import { describeError } from '@axoneme/std';

export interface ProbeSpec {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly check: {
    readonly type: 'tcp' | 'http';
    readonly path: string;
    /** Empty: the address. */
    readonly host: string;
    readonly codes: readonly (readonly [first: number, last: number])[];
    readonly intervalMs: number;
    readonly timeoutMs: number;
    readonly rise: number;
    readonly fall: number;
  };
}

export interface Answer {
  readonly ok: boolean;
  /** Empty when it is. */
  readonly reason: string;
}

/** Never rejects. Nothing of it lives on after the answer. */
export type Ask = (spec: ProbeSpec, signal: AbortSignal) => Promise<Answer>;

interface Conversation {
  end(): void;
}

/** One answer, then the end of the conversation, whatever comes after. */
function once(
  spec: ProbeSpec,
  signal: AbortSignal,
  begin: (answer: (ok: boolean, reason?: string) => void) => Conversation,
): Promise<Answer> {
  return new Promise((resolve) => {
    let answered = false;
    let conversation: Conversation | undefined;
    const answer = (ok: boolean, reason = ''): void => {
      if (answered) return;
      answered = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', stopped);
      conversation?.end();
      resolve({ ok, reason });
    };
    const stopped = (): void => answer(false, 'stopped');
    // a process that was busy elsewhere first sees what came meanwhile
    const timer = setTimeout(() => setImmediate(() => answer(false, `no answer within ${spec.check.timeoutMs} ms`)), spec.check.timeoutMs);
    signal.addEventListener('abort', stopped, { once: true });
    // what a request cannot say, such as a path with a blank, is told before there is one
    try {
      conversation = begin(answer);
    } catch (e) {
      answer(false, text(e as NodeJS.ErrnoException));
    }
    if (signal.aborted) stopped();
  });
}

const text = (e: NodeJS.ErrnoException): string => e.code ?? describeError(e);

const askTcp: Ask = (spec, signal) =>
  once(spec, signal, (answer) => {
    const socket = connect({ host: spec.address, port: spec.port });
    socket.once('connect', () => answer(true));
    socket.on('error', (e) => answer(false, text(e)));
    // a reset leaves nothing waiting on either side
    return { end: () => void socket.resetAndDestroy() };
  });

const askHttp: Ask = (spec, signal) =>
  once(spec, signal, (answer) => {
    const { path, host, codes } = spec.check;
    const headers = { 'user-agent': 'axoneme-probe', connection: 'close', ...(host === '' ? {} : { host }) };
    const r = request({ host: spec.address, port: spec.port, path, headers, agent: false }, (response) => {
      const status = response.statusCode ?? 0;
      const expected = codes.some(([first, last]) => status >= first && status <= last);
      answer(expected, expected ? '' : `status ${status}`);
    });
    r.on('error', (e) => answer(false, text(e)));
    r.end();
    return { end: () => void r.destroy() };
  });

export const ask: Ask = (spec, signal) => (spec.check.type === 'http' ? askHttp(spec, signal) : askTcp(spec, signal));
