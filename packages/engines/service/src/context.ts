// What a Service is compiled in: who owns what, which addresses are the cluster's, how it is configured. Made by the compiler.
import type { ObjectKey } from '@axoneme/model';
import type { NodeName } from '@axoneme/std';
import type { Candidate } from './backends.ts';
import type { Claims } from './claims.ts';
import type { DsrRoom } from './dsr-room.ts';
import type { AddressGuard } from './guard.ts';
import type { ServiceConfig, ServiceInput } from './inputs.ts';

/** What a port of a Service becomes on nodes with pods of a local redirect. */
export interface PortRedirect {
  readonly policy: ObjectKey;
  readonly skipOwn: boolean;
  readonly byNode: ReadonlyMap<NodeName, readonly Candidate[]>;
}

export interface CompileContext {
  readonly claims: Claims;
  readonly guard: AddressGuard;
  readonly config: ServiceConfig;
  readonly dsrRoom: DsrRoom;
  /** By `port/PROTOCOL`. */
  readonly redirectsOf: (service: ServiceInput) => ReadonlyMap<string, PortRedirect>;
}
