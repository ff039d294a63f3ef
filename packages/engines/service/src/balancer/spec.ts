// What a stand-alone load balancer is to do: services with their own addresses, backends and health checks, without pods or nodes. Made by
// read-spec.ts from a file or an object, compiled by compile-balancer.ts.
import type { Cidr, IpAddr, Port, PortProtocol } from '@axoneme/model';
import type { Algorithm } from '../inputs.ts';
import type { MaglevSize } from '../maglev.ts';

export interface Vip {
  readonly address: IpAddr;
  readonly port: Port;
  readonly protocol: PortProtocol;
}

export interface BalancedBackend {
  readonly address: IpAddr;
  readonly port: Port;
  /** Of 100; 0 as state maintenance: no new flows, those it has go on. */
  readonly weight: number;
  readonly state: 'active' | 'maintenance';
}

export interface HealthCheck {
  readonly type: 'tcp' | 'http';
  /** 0: the backend's own. */
  readonly port: number;
  readonly path: string;
  /** Empty: the backend's address. */
  readonly host: string;
  /** First and last of each range. */
  readonly codes: readonly (readonly [first: number, last: number])[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Results in a row until it is believed. */
  readonly rise: number;
  readonly fall: number;
}

export interface BalancedService {
  readonly name: string;
  readonly vips: readonly Vip[];
  readonly backends: readonly BalancedBackend[];
  readonly algorithm: Algorithm;
  readonly mode: 'snat' | 'dsr';
  /** 0: none. */
  readonly affinitySeconds: number;
  /** Undefined: everybody may. */
  readonly sourceRanges: readonly Cidr[] | undefined;
  readonly health: HealthCheck | undefined;
}

export interface BalancerSpec {
  /** One for all: tables are shared by services with equal backends. */
  readonly maglevSize: MaglevSize;
  readonly noBackend: 'reject' | 'drop';
  readonly services: readonly BalancedService[];
}

export const healthDefaults = { intervalMs: 1000, timeoutMs: 500, rise: 2, fall: 2, codes: [[200, 399]] } as const;
