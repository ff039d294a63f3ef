// Single calls: certificate signing for agents without one, and the admin service for the command line tool.
import {
  AdminServiceDefinition,
  BootstrapServiceDefinition,
  type GetStatusResponse,
  type ListEndpointsResponse,
  type ListIdentitiesResponse,
  type ListPoliciesRequest,
  type ListPoliciesResponse,
  type ListServicesRequest,
  type ListServicesResponse,
  type ListTableRequest,
  type ListTableResponse,
  type MonitorRequest,
  type MonitorResponse,
  type SignRequest,
  type SignResponse,
  type WatchPolicyRequest,
  type WatchPolicyResponse,
} from '@axoneme/proto';
import { type Client, Metadata, type MethodDefinition } from '@grpc/grpc-js';
import { fromStatus } from '../errors.ts';
import { methodOf } from '../wire.ts';
import { type ClientTls, openChannel, operatorServerName } from './channel.ts';

function unary<Q, A>(client: Client, m: MethodDefinition<Q, A>, request: Q, timeoutMs: number): Promise<A> {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + timeoutMs;
    client.makeUnaryRequest(m.path, m.requestSerialize, m.responseDeserialize, request, new Metadata(), { deadline }, (e, answer) => {
      if (e !== null || answer === undefined) reject(fromStatus(e));
      else resolve(answer);
    });
  });
}

async function* pull<Q, A>(client: Client, m: MethodDefinition<Q, A>, request: Q, signal: AbortSignal | undefined): AsyncGenerator<A> {
  const call = client.makeServerStreamRequest(m.path, m.requestSerialize, m.responseDeserialize, request, new Metadata());
  const stop = (): void => call.cancel();
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted === true) stop();
  try {
    for await (const a of call) yield a as A;
  } catch (e) {
    if (signal?.aborted !== true) throw fromStatus(e);
  } finally {
    signal?.removeEventListener('abort', stop);
    call.cancel();
  }
}

export interface BootstrapCall {
  /** `host:port` of an operator's bootstrap port. */
  readonly endpoint: string;
  readonly caPem: string;
  readonly request: SignRequest;
  readonly timeoutMs?: number;
  readonly serverName?: string;
}

/** Asks for a node certificate. Throws AppError; `retry` says whether trying again makes sense. */
export async function bootstrapSign(o: BootstrapCall): Promise<SignResponse> {
  const client = openChannel(o.endpoint, { caPem: o.caPem }, o.serverName ?? operatorServerName);
  try {
    const m = methodOf<SignRequest, SignResponse>(BootstrapServiceDefinition, BootstrapServiceDefinition.methods.sign);
    return await unary(client, m, o.request, o.timeoutMs ?? 10_000);
  } finally {
    client.close();
  }
}

export interface AdminClient {
  getStatus(): Promise<GetStatusResponse>;
  listIdentities(): Promise<ListIdentitiesResponse>;
  listEndpoints(): Promise<ListEndpointsResponse>;
  listPolicies(request: ListPoliciesRequest): Promise<ListPoliciesResponse>;
  /** Ends when the signal aborts. */
  watchPolicy(request: WatchPolicyRequest, signal?: AbortSignal): AsyncIterable<WatchPolicyResponse>;
  listServices(request: ListServicesRequest, signal?: AbortSignal): AsyncIterable<ListServicesResponse>;
  listTable(request: ListTableRequest, signal?: AbortSignal): AsyncIterable<ListTableResponse>;
  /** Ends when the signal aborts. */
  monitor(request: MonitorRequest, signal?: AbortSignal): AsyncIterable<MonitorResponse>;
  close(): void;
}

export interface AdminClientConfig {
  readonly endpoint: string;
  readonly tls: ClientTls;
  readonly timeoutMs?: number;
  readonly serverName?: string;
}

export function createAdminClient(o: AdminClientConfig): AdminClient {
  const client = openChannel(o.endpoint, o.tls, o.serverName ?? operatorServerName);
  const { methods } = AdminServiceDefinition;
  const ask = <A>(
    m: (typeof methods)['getStatus' | 'listIdentities' | 'listEndpoints' | 'listPolicies'],
    request: object = {},
  ): Promise<A> => unary(client, methodOf<object, A>(AdminServiceDefinition, m), request, o.timeoutMs ?? 15_000);
  return {
    getStatus: () => ask(methods.getStatus),
    listIdentities: () => ask(methods.listIdentities),
    listEndpoints: () => ask(methods.listEndpoints),
    listPolicies: (request) => ask(methods.listPolicies, request),
    watchPolicy: (request, signal) =>
      pull(client, methodOf<WatchPolicyRequest, WatchPolicyResponse>(AdminServiceDefinition, methods.watchPolicy), request, signal),
    listServices: (request, signal) =>
      pull(client, methodOf<ListServicesRequest, ListServicesResponse>(AdminServiceDefinition, methods.listServices), request, signal),
    listTable: (request, signal) =>
      pull(client, methodOf<ListTableRequest, ListTableResponse>(AdminServiceDefinition, methods.listTable), request, signal),
    monitor: (request, signal) =>
      pull(client, methodOf<MonitorRequest, MonitorResponse>(AdminServiceDefinition, methods.monitor), request, signal),
    close: () => client.close(),
  };
}
