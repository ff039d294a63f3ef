// Ports, protocols and the masked port prefixes of the policy table. Called by policy, service and the row mappers.
import { type Brand, fail, ok, type Result } from '@axoneme/std';

/** 1–65535. */
export type Port = Brand<number, 'Port'>;
export type PortProtocol = 'TCP' | 'UDP' | 'SCTP';

/** IANA protocol numbers by name; `ANY` is the wildcard of the policy table. */
export const protocolNumbers = { ANY: 0, ICMP: 1, IGMP: 2, TCP: 6, UDP: 17, ICMPv6: 58, VRRP: 112, SCTP: 132 } as const;
export type ProtocolName = keyof typeof protocolNumbers;

const namesByNumber = new Map<number, ProtocolName>(Object.entries(protocolNumbers).map(([name, n]) => [n, name as ProtocolName]));

/** `TCP`, `ICMPv6`, … or the number as text. */
export const protocolName = (n: number): string => namesByNumber.get(n) ?? String(n);

export function parsePortProtocol(text: string): Result<PortProtocol> {
  if (text === 'TCP' || text === 'UDP' || text === 'SCTP') return ok(text);
  return fail({ code: 'model/invalid-protocol', message: `unknown protocol "${text.slice(0, 32)}"`, hint: 'use TCP, UDP or SCTP' });
}

export function parsePort(value: number | string): Result<Port> {
  const n = typeof value === 'number' ? value : /^[0-9]{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isInteger(n) && n >= 1 && n <= 65535) return ok(n as Port);
  return fail({ code: 'model/invalid-port', message: `port ${String(value).slice(0, 32)} is not valid`, hint: 'a port is 1 to 65535' });
}

/** A masked port: the first `len` bits of `port`; the others are zero. `{port: 0, len: 0}` is every port. */
export interface PortPrefix {
  readonly port: number;
  readonly len: number;
}

export const anyPort: PortPrefix = { port: 0, len: 0 };
export const onePort = (port: number): PortPrefix => ({ port, len: 16 });

/** The fewest prefixes that together are exactly `first`…`last`, both included; ascending. */
export function portPrefixes(first: number, last: number): readonly PortPrefix[] {
  const out: PortPrefix[] = [];
  let at = first;
  while (at <= last) {
    let size = at === 0 ? 65536 : at & -at;
    while (at + size - 1 > last) size >>= 1;
    out.push({ port: at, len: 16 - Math.log2(size) });
    at += size;
  }
  return out;
}

export const maskPort = (port: number, len: number): number => (len === 0 ? 0 : port & (0xffff << (16 - len)) & 0xffff);
export const portInPrefix = (prefix: PortPrefix, port: number): boolean => maskPort(port, prefix.len) === prefix.port;
/** True if every port of `inner` is in `outer`. */
export const portPrefixCovers = (outer: PortPrefix, inner: PortPrefix): boolean =>
  outer.len <= inner.len && maskPort(inner.port, outer.len) === outer.port;
