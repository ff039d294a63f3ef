// Rows of the load balancer's tables from frontends, sets and Maglev tables, whoever compiled them: the operator for a cluster, a stand-alone
// balancer from its file. Called by their mappers.
import {
  type Cidr,
  cidrBase,
  cidrBits,
  cidrFamily,
  type IpAddr,
  ipBytes,
  ipFamily,
  type ProtocolName,
  protocolNumbers,
} from '@axoneme/model';
import type { Row } from './artifact.ts';

export interface BackendLike {
  readonly ip: IpAddr;
  readonly port: number;
  readonly id: number;
}

export interface FrontendLike {
  readonly ip: IpAddr;
  readonly port: number;
  readonly protocol: ProtocolName;
  readonly setIn: bigint;
  readonly setOut: bigint;
  readonly countIn: number;
  readonly countOut: number;
  readonly maglevSize: number;
  readonly serviceId: number;
  readonly affinitySeconds: number;
  readonly flags: number;
}

export const slotRows = (set: bigint, backends: readonly BackendLike[]): Row<'lb_slot'>[] =>
  backends.map((b, index) => [
    { set, index },
    { addr: ipBytes(b.ip), port: b.port, family: ipFamily(b.ip), flags: 0, backendId: b.id },
  ]);

export const frontendRows = (frontends: readonly FrontendLike[]): Row<'lb_frontend'>[] =>
  frontends.map((f) => [
    { addr: ipBytes(f.ip), port: f.port, proto: protocolNumbers[f.protocol], family: ipFamily(f.ip) },
    {
      setOut: f.setOut,
      setIn: f.setIn,
      countOut: f.countOut,
      countIn: f.countIn,
      maglevSize: f.maglevSize,
      serviceId: f.serviceId,
      affinityS: f.affinitySeconds,
      flags: f.flags,
    },
  ]);

/** The last chunk is filled up with zeros, which nothing looks at. */
export function maglevRows(set: bigint, table: Uint16Array, chunkSize: number): Row<'lb_maglev'>[] {
  return Array.from({ length: Math.ceil(table.length / chunkSize) }, (_, chunk): Row<'lb_maglev'> => {
    const slot = Array.from({ length: chunkSize }, () => 0);
    for (const [i, s] of table.subarray(chunk * chunkSize, (chunk + 1) * chunkSize).entries()) slot[i] = s;
    return [{ set, chunk }, { slot }];
  });
}

/** Bits of the key before the address. */
const SOURCE_BITS = 64;

export const sourceRows = (ranges: readonly { readonly serviceId: number; readonly cidr: Cidr }[]): Row<'lb_source'>[] =>
  ranges.map(({ serviceId, cidr }) => [
    { prefixlen: SOURCE_BITS + cidrBits(cidr), serviceId, family: cidrFamily(cidr), addr: ipBytes(cidrBase(cidr)) },
    { allowed: 1 },
  ]);
