// Turns generated service definitions into grpc-js ones. Called by server and client of this package.
import type { MessageFns } from '@axoneme/proto';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

interface GenericMethod {
  readonly name: string;
  readonly requestType: unknown;
  readonly requestStream: boolean;
  readonly responseType: unknown;
  readonly responseStream: boolean;
}

interface GenericService {
  readonly fullName: string;
  readonly methods: Readonly<Record<string, GenericMethod>>;
}

const asBuffer = (u: Uint8Array): Buffer => Buffer.from(u.buffer, u.byteOffset, u.byteLength);

/** Encodes one message; the result shares no memory with it. */
export function encodeMessage<T>(type: MessageFns<T>, message: T): Buffer {
  return asBuffer(type.encode(message).finish());
}

function codec(type: unknown): { serialize: (m: unknown) => Buffer; deserialize: (b: Buffer) => unknown } {
  const t = type as MessageFns<unknown>;
  // A Buffer is a message that was encoded before, maybe for many streams at once: it goes out as it is.
  return { serialize: (m) => (Buffer.isBuffer(m) ? m : encodeMessage(t, m)), deserialize: (b) => t.decode(b) };
}

export function methodOf<Q, A>(service: GenericService, m: GenericMethod): MethodDefinition<Q, A> {
  const request = codec(m.requestType);
  const response = codec(m.responseType);
  return {
    path: `/${service.fullName}/${m.name}`,
    requestStream: m.requestStream,
    responseStream: m.responseStream,
    requestSerialize: request.serialize as (m: Q) => Buffer,
    requestDeserialize: request.deserialize as (b: Buffer) => Q,
    responseSerialize: response.serialize as (m: A) => Buffer,
    responseDeserialize: response.deserialize as (b: Buffer) => A,
  };
}

export function serviceOf(service: GenericService): ServiceDefinition {
  return Object.fromEntries(Object.entries(service.methods).map(([name, m]) => [name, methodOf(service, m)]));
}
