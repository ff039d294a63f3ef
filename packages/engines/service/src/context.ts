// What a Service is compiled in: who owns what, which addresses are the cluster's, how it is configured. Made by the compiler.
import type { Claims } from './claims.ts';
import type { DsrRoom } from './dsr-room.ts';
import type { AddressGuard } from './guard.ts';
import type { ServiceConfig } from './inputs.ts';
import type { Redirects } from './redirects.ts';

export interface CompileContext {
  readonly claims: Claims;
  readonly guard: AddressGuard;
  readonly config: ServiceConfig;
  readonly dsrRoom: DsrRoom;
  readonly redirects: Redirects;
}
