// Relay stream from the agent's side: answers the operator's questions in chunks. Called by the sync client, which owns the channel.
import { NodeProtocolServiceDefinition, type RelayRequest, type RelayResponse } from '@axoneme/proto';
import { AppError, describeError } from '@axoneme/std';
import { type Client, type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { fromStatus } from '../errors.ts';
import { methodOf } from '../wire.ts';

/** Lines (one JSON document each, no line feed inside) that answer a question; throws AppError for one it cannot answer. */
export type AnswerHandler = (query: string, limit: number, signal: AbortSignal) => AsyncIterable<string> | Iterable<string>;

type Call = ClientDuplexStream<RelayRequest, RelayResponse>;

const chunkBytes = 64 * 1024;

async function send(call: Call, m: Partial<RelayRequest> & { readonly id: number }, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  if (call.write({ nodeName: '', chunk: Buffer.alloc(0), last: false, error: '', ...m })) return;
  await new Promise<void>((resolve) => {
    call.once('drain', resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function answer(call: Call, q: RelayResponse, handle: AnswerHandler, signal: AbortSignal): Promise<void> {
  let lines: string[] = [];
  let size = 0;
  const flush = (last: boolean): Promise<void> => {
    const chunk = Buffer.from(lines.map((l) => `${l}\n`).join(''));
    lines = [];
    size = 0;
    return send(call, { id: q.id, chunk, last }, signal);
  };
  let sent = 0;
  try {
    for await (const line of handle(q.query, q.limit, signal)) {
      if (signal.aborted) return;
      lines.push(line);
      size += line.length;
      if (size >= chunkBytes) await flush(false);
      if (q.limit > 0 && ++sent >= q.limit) break;
    }
    await flush(true);
  } catch (e) {
    await send(call, { id: q.id, last: true, error: describeError(e) || 'unknown error' }, signal);
  }
}

/** Runs until the stream ends; resolves with the reason. */
export async function runRelayStream(client: Client, nodeName: string, handle: AnswerHandler, signal: AbortSignal): Promise<AppError> {
  const method = methodOf<RelayRequest, RelayResponse>(NodeProtocolServiceDefinition, NodeProtocolServiceDefinition.methods.relay);
  const call: Call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, new Metadata());
  const open = new Map<number, AbortController>();
  const reason = await new Promise<AppError>((resolve) => {
    call.on('data', (q: RelayResponse) => {
      if (q.cancel) return open.get(q.id)?.abort();
      const stop = new AbortController();
      open.set(q.id, stop);
      void answer(call, q, handle, stop.signal).finally(() => open.delete(q.id));
    });
    call.on('error', (e) => resolve(fromStatus(e)));
    call.on('end', () => resolve(new AppError({ code: 'stream/unavailable', message: 'the operator closed the stream', retry: 'later' })));
    signal.addEventListener('abort', () => call.cancel(), { once: true });
    if (signal.aborted) return call.cancel();
    call.write({ nodeName, id: 0, chunk: Buffer.alloc(0), last: false, error: '' });
  });
  for (const stop of open.values()) stop.abort();
  return reason;
}
