// Questions to nodes (`axoneme bpf … list`): asked down the Relay stream, answered in chunks. Called by the operator's admin handlers.
import type { RelayRequest, RelayResponse } from '@axoneme/proto';
import { AppError, type Clock, type NodeName, type Timer } from '@axoneme/std';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { toStatus } from '../errors.ts';

export type RelayCall = ServerDuplexStream<RelayRequest, RelayResponse>;

export interface RelayConfig {
  /** Longest silence of a node inside an answer. */
  readonly silenceMs: number;
  /** Questions under way at one node. */
  readonly questionsMax: number;
}

export const relayDefaults: RelayConfig = { silenceMs: 15_000, questionsMax: 16 };

export interface Relay {
  accept(node: NodeName, call: RelayCall): void;
  /** Lines of the node's answer. Throws `stream/unavailable`, `stream/timeout`, `stream/busy` or what the node said. */
  ask(node: NodeName, query: string, limit: number): AsyncIterable<string>;
}

interface Question {
  readonly chunks: Buffer[];
  last: boolean;
  error: AppError | undefined;
  wake: () => void;
}

interface RelayStream {
  readonly call: RelayCall;
  readonly questions: Map<number, Question>;
}

/** Unread chunks of one answer after which the stream is not read any further. */
const chunksMax = 32;

function take(stream: RelayStream, m: RelayRequest): void {
  const q = stream.questions.get(m.id);
  if (q === undefined) return;
  if (m.chunk.length > 0) q.chunks.push(m.chunk);
  if (m.error !== '') q.error = new AppError({ code: 'stream/node-refused', message: m.error });
  q.last ||= m.last || m.error !== '';
  if (q.chunks.length >= chunksMax) stream.call.pause();
  q.wake();
}

export function createRelay(clock: Clock, config: RelayConfig): Relay {
  const streams = new Map<NodeName, RelayStream>();
  let lastId = 0;

  const next = async (stream: RelayStream, q: Question): Promise<Buffer | undefined> => {
    let timer: Timer | undefined;
    while (q.chunks.length === 0 && !q.last) {
      const silent = await new Promise<boolean>((resolve) => {
        timer = clock.after(config.silenceMs, () => resolve(true));
        q.wake = () => resolve(false);
      });
      timer?.cancel();
      if (silent) throw new AppError({ code: 'stream/timeout', message: 'the node does not answer', retry: 'later' });
    }
    const chunk = q.chunks.shift();
    if (stream.call.isPaused()) stream.call.resume();
    if (chunk === undefined && q.error !== undefined) throw q.error;
    return chunk;
  };

  async function* ask(node: NodeName, query: string, limit: number): AsyncGenerator<string> {
    const stream = streams.get(node);
    if (stream === undefined) {
      throw new AppError({ code: 'stream/unavailable', message: `node ${node} is not connected to this operator`, retry: 'later' });
    }
    if (stream.questions.size >= config.questionsMax) {
      throw new AppError({ code: 'stream/busy', message: `node ${node} is answering too many questions`, retry: 'later' });
    }
    const id = ++lastId;
    const q: Question = { chunks: [], last: false, error: undefined, wake: () => undefined };
    stream.questions.set(id, q);
    stream.call.write({ id, query, limit, cancel: false });
    try {
      let rest = Buffer.alloc(0);
      for (let chunk = await next(stream, q); chunk !== undefined; chunk = await next(stream, q)) {
        const text = Buffer.concat([rest, chunk]);
        let from = 0;
        for (let nl = text.indexOf(10, from); nl >= 0; nl = text.indexOf(10, from)) {
          if (nl > from) yield text.toString('utf8', from, nl);
          from = nl + 1;
        }
        rest = text.subarray(from);
      }
      if (rest.length > 0) yield rest.toString('utf8');
    } finally {
      stream.questions.delete(id);
      // nobody else reads for a question that ended early: left paused, the stream would be deaf to all that follow
      if (stream.call.isPaused()) stream.call.resume();
      if (!q.last) stream.call.write({ id, query: '', limit: 0, cancel: true });
    }
  }

  return {
    ask,
    accept(node, call) {
      const stream: RelayStream = { call, questions: new Map() };
      streams.get(node)?.call.emit('error', toStatus(new AppError({ code: 'stream/replaced', message: 'a newer relay stream took over' })));
      streams.set(node, stream);
      const gone = (): void => {
        if (streams.get(node) === stream) streams.delete(node);
        for (const q of stream.questions.values()) {
          q.error ??= new AppError({ code: 'stream/unavailable', message: `node ${node} went away`, retry: 'later' });
          q.last = true;
          q.wake();
        }
      };
      call.on('data', (m: RelayRequest) => take(stream, m));
      call.on('cancelled', gone);
      call.on('close', gone);
      call.on('end', () => {
        gone();
        call.end();
      });
    },
  };
}
