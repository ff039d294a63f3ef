// Admin service for the command line tool; the operator supplies the answers. Called by the node server.
import type {
  GetStatusResponse,
  ListEndpointsResponse,
  ListIdentitiesResponse,
  ListPoliciesRequest,
  ListPoliciesResponse,
  ListServicesRequest,
  ListServicesResponse,
  ListTableRequest,
  ListTableResponse,
  MonitorRequest,
  MonitorResponse,
  WatchPolicyRequest,
  WatchPolicyResponse,
} from '@axoneme/proto';
import { AppError, type Log } from '@axoneme/std';
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData, UntypedServiceImplementation } from '@grpc/grpc-js';
import { toStatus } from '../errors.ts';
import type { PeerNames } from './peer.ts';

export interface AdminHandlers {
  getStatus(): Promise<GetStatusResponse> | GetStatusResponse;
  listIdentities(): Promise<ListIdentitiesResponse> | ListIdentitiesResponse;
  listEndpoints(): Promise<ListEndpointsResponse> | ListEndpointsResponse;
  /** Throw AppError `stream/not-found` for an unknown node or table. */
  listTable(request: ListTableRequest, signal: AbortSignal): AsyncIterable<ListTableResponse>;
  listPolicies(request: ListPoliciesRequest): Promise<ListPoliciesResponse> | ListPoliciesResponse;
  /** Throw AppError `stream/not-found` for an unknown node or Service. */
  listServices(request: ListServicesRequest, signal: AbortSignal): AsyncIterable<ListServicesResponse>;
  /** Ends when the signal aborts. */
  watchPolicy(request: WatchPolicyRequest, signal: AbortSignal): AsyncIterable<WatchPolicyResponse>;
  /** Ends when the signal aborts. */
  monitor(request: MonitorRequest, signal: AbortSignal): AsyncIterable<MonitorResponse>;
}

type Unary<Q, A> = (call: ServerUnaryCall<Q, A>, done: sendUnaryData<A>) => void;

export function adminImplementation(h: AdminHandlers, isAdmin: (peer: PeerNames) => boolean, log: Log): UntypedServiceImplementation {
  const check = (call: { getAuthContext(): { sslPeerCertificate?: PeerNames } }): void => {
    const peer = call.getAuthContext().sslPeerCertificate;
    if (peer === undefined || !isAdmin(peer))
      throw new AppError({ code: 'stream/forbidden', message: 'this certificate may not use the admin service' });
  };
  const report = (e: unknown): ReturnType<typeof toStatus> => {
    if (!(e instanceof AppError)) log.error('admin request failed', { error: e });
    return toStatus(e);
  };
  const unary =
    <Q, A>(answer: (q: Q) => Promise<A> | A): Unary<Q, A> =>
    (call, done) => {
      Promise.resolve()
        .then(() => {
          check(call);
          return answer(call.request);
        })
        .then(
          (a) => done(null, a),
          (e: unknown) => done(report(e)),
        );
    };
  const stream =
    <Q, A>(answer: (q: Q, signal: AbortSignal) => AsyncIterable<A>) =>
    (call: ServerWritableStream<Q, A>): void => {
      call.on('error', () => undefined);
      pour(call, answer, check).catch((e: unknown) => call.emit('error', report(e)));
    };
  return {
    getStatus: unary(() => h.getStatus()),
    listIdentities: unary(() => h.listIdentities()),
    listEndpoints: unary(() => h.listEndpoints()),
    listPolicies: unary((q: ListPoliciesRequest) => h.listPolicies(q)),
    watchPolicy: stream((q: WatchPolicyRequest, signal) => h.watchPolicy(q, signal)),
    listServices: stream((q: ListServicesRequest, signal) => h.listServices(q, signal)),
    listTable: stream((q: ListTableRequest, signal) => h.listTable(q, signal)),
    monitor: stream((q: MonitorRequest, signal) => h.monitor(q, signal)),
  };
}

/** Writes answers at the pace of the reader; stops asking when it is gone. */
async function pour<Q, A>(
  call: ServerWritableStream<Q, A>,
  answer: (q: Q, signal: AbortSignal) => AsyncIterable<A>,
  check: (call: ServerWritableStream<Q, A>) => void,
): Promise<void> {
  check(call);
  const gone = new AbortController();
  call.on('cancelled', () => gone.abort());
  call.on('close', () => gone.abort());
  for await (const a of answer(call.request, gone.signal)) {
    if (gone.signal.aborted) break;
    if (call.write(a)) continue;
    await new Promise<void>((resolve) => {
      call.once('drain', resolve);
      gone.signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }
  call.end();
}
