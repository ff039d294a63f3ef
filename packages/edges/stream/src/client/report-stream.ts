// Report stream from the agent's side: batches up, acknowledged sequences down. Called by the sync client, which owns the channel.
import { NodeProtocolServiceDefinition, type ReportRequest, type ReportResponse } from '@axoneme/proto';
import { AppError } from '@axoneme/std';
import { type Client, type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { fromStatus } from '../errors.ts';
import { methodOf } from '../wire.ts';

export type ReportBody = Omit<ReportRequest, 'sequence'>;

export interface ReportHandlers {
  /** A fresh link: nothing sent before counts, the next report must be full. */
  linkUp(): void;
  linkDown(): void;
  acked(sequence: number): void;
  wantFlows(want: boolean): void;
}

export interface ReportLink {
  /** Sequence given to the batch; undefined when it cannot be taken now (no link, or too many unanswered): keep it and try later. */
  send(body: ReportBody): number | undefined;
}

/** Batches that may be unanswered at once. */
const unansweredMax = 8;

export interface ReportStream extends ReportLink {
  /** Runs until the stream ends; resolves with the reason. */
  run(client: Client, signal: AbortSignal): Promise<AppError>;
}

export function createReportStream(handlers: ReportHandlers): ReportStream {
  let call: ClientDuplexStream<ReportRequest, ReportResponse> | undefined;
  let sequence = 0;
  let acked = 0;
  let up = false;
  const method = methodOf<ReportRequest, ReportResponse>(NodeProtocolServiceDefinition, NodeProtocolServiceDefinition.methods.report);
  const take = (m: ReportResponse): void => {
    if (!up) {
      up = true;
      handlers.linkUp();
    }
    handlers.wantFlows(m.wantFlows);
    if (m.ackedSequence > acked) {
      acked = m.ackedSequence;
      handlers.acked(acked);
    }
  };
  return {
    send(body) {
      if (!up || call === undefined || sequence - acked >= unansweredMax) return undefined;
      call.write({ ...body, sequence: ++sequence });
      return sequence;
    },
    async run(client, signal) {
      const mine = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, new Metadata());
      call = mine;
      // Batches lost with the last link are not waited for; sequences go on, so that an old answer is never taken for a new one.
      acked = sequence;
      const reason = await new Promise<AppError>((resolve) => {
        mine.on('data', take);
        mine.on('error', (e) => resolve(fromStatus(e)));
        mine.on('end', () =>
          resolve(new AppError({ code: 'stream/unavailable', message: 'the operator closed the stream', retry: 'later' })),
        );
        signal.addEventListener('abort', () => mine.cancel(), { once: true });
        if (signal.aborted) mine.cancel();
      });
      call = undefined;
      if (up) {
        up = false;
        handlers.linkDown();
      }
      return reason;
    },
  };
}
