// Report streams: endpoint events, flows and counters of nodes, taken one batch at a time. Called by the node server.
import type { ReportRequest, ReportResponse } from '@axoneme/proto';
import { AppError, type Log, type NodeName } from '@axoneme/std';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { toStatus } from '../errors.ts';

export type ReportHandler = (node: NodeName, report: ReportRequest) => void | Promise<void>;

export interface Reports {
  accept(node: NodeName, call: ServerDuplexStream<ReportRequest, ReportResponse>): void;
  /** Tells all agents whether anybody watches flows. */
  setWantFlows(want: boolean): void;
}

interface ReportStream {
  readonly call: ServerDuplexStream<ReportRequest, ReportResponse>;
  acked: number;
}

export function createReports(handle: ReportHandler, log: Log): Reports {
  const streams = new Map<NodeName, ReportStream>();
  let wantFlows = false;
  const answer = (s: ReportStream): void => void s.call.write({ ackedSequence: s.acked, wantFlows });
  return {
    accept(node, call) {
      const stream: ReportStream = { call, acked: 0 };
      streams
        .get(node)
        ?.call.emit('error', toStatus(new AppError({ code: 'stream/replaced', message: 'a newer report stream took over' })));
      streams.set(node, stream);
      const gone = (): void => {
        if (streams.get(node) === stream) streams.delete(node);
      };
      call.on('cancelled', gone);
      call.on('close', gone);
      call.on('end', () => {
        gone();
        call.end();
      });
      call.on('data', (report: ReportRequest) => {
        // One at a time: the next batch is not read before this one is stored, so a busy operator slows the agents down.
        call.pause();
        Promise.resolve()
          .then(() => handle(node, report))
          .then(() => {
            stream.acked = report.sequence;
            answer(stream);
            call.resume();
          })
          .catch((error: unknown) => {
            log.error('report cannot be stored', { node, error });
            call.emit('error', toStatus(error));
          });
      });
      answer(stream);
    },
    setWantFlows(want) {
      if (want === wantFlows) return;
      wantFlows = want;
      for (const s of streams.values()) answer(s);
    },
  };
}
