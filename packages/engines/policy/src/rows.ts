// Logical rows of the policy table and their packed, canonical form. The handle of a policy is a hash of that form.

import { type IdentityId, type PortPrefix, portPrefixCovers } from '@axoneme/model';
import { AppError, type Brand, hash64 } from '@axoneme/std';
import { type Action, type Direction, priorityMax, type RuleId } from './rules.ts';

/** Name of an immutable set of rows. 0 is the empty set. */
export type PolicyHandle = Brand<bigint, 'PolicyHandle'>;
/** pass: the next tier decides. */
export type Verdict = 'allow' | 'deny' | 'pass';

export interface PolicyRow {
  /** 0 = any peer. */
  readonly peer: IdentityId;
  readonly direction: Direction;
  /** 0 = every protocol, then the prefix is that of every port. */
  readonly protocol: number;
  readonly prefix: PortPrefix;
  /** Low 8 bits: deny 255, pass 3, redirect 2, allow 1. Upper 24 bits: inverted priority. Unsigned. */
  readonly precedence: number;
  readonly verdict: Verdict;
  /** 0 until redirects exist. */
  readonly proxyPort: number;
  readonly ruleId: RuleId;
}

/** Everything but the peer: many peers share one. */
export type RowTemplate = Omit<PolicyRow, 'peer'>;

export const precedences: Readonly<Record<Action, number>> = { deny: 255, pass: 3, redirect: 2, allow: 1 };

/** A lower priority is stronger, so it is inverted. Out of range is refused: cutting it off would make two priorities one. */
export function precedenceOf(action: Action, priority: number): number {
  if (!Number.isInteger(priority) || priority < 0 || priority > priorityMax)
    throw new AppError({ code: 'policy/priority-out-of-range', message: 'priority of a rule is out of range', fields: { priority } });
  return (priorityMax - priority) * 0x100 + precedences[action];
}

/** Peer, direction, protocol, length, pad, port, pad | precedence, rule id, proxy port, verdict, pad. Big-endian, so bytes sort as rows do. */
export const rowSize = 24;
const verdictNumbers = { allow: 1, deny: 2, pass: 4 } as const;
const verdictNames: readonly (Verdict | undefined)[] = [undefined, 'allow', 'deny', undefined, 'pass'];

/** Number that orders templates and is equal for equal keys. */
export const templateKey = (direction: Direction, protocol: number, prefix: PortPrefix): number =>
  (((direction === 'egress' ? 1 : 0) * 256 + protocol) * 32 + prefix.len) * 65_536 + prefix.port;

export function packTemplates(templates: readonly RowTemplate[]): Buffer {
  const out = Buffer.alloc(templates.length * rowSize);
  templates.forEach((t, i) => {
    const at = i * rowSize;
    out[at + 4] = t.direction === 'egress' ? 1 : 0;
    out[at + 5] = t.protocol;
    out[at + 6] = t.prefix.len;
    out.writeUInt16BE(t.prefix.port, at + 8);
    out.writeUInt32BE(t.precedence, at + 12);
    out.writeUInt32BE(t.ruleId, at + 16);
    out.writeUInt16BE(t.proxyPort, at + 20);
    out[at + 22] = verdictNumbers[t.verdict];
  });
  return out;
}

/** Copies packed templates to `at` for one peer; returns the end. */
export function writePeerRows(into: Buffer, at: number, peer: IdentityId, templates: Buffer): number {
  templates.copy(into, at);
  const end = at + templates.length;
  for (let row = at; row < end; row += rowSize) into.writeUInt32BE(peer, row);
  return end;
}

export function unpackRow(packed: Buffer, index: number): PolicyRow {
  const at = index * rowSize;
  return {
    peer: packed.readUInt32BE(at) as IdentityId,
    direction: packed[at + 4] === 1 ? 'egress' : 'ingress',
    protocol: packed[at + 5]!,
    prefix: { port: packed.readUInt16BE(at + 8), len: packed[at + 6]! },
    precedence: packed.readUInt32BE(at + 12),
    ruleId: packed.readUInt32BE(at + 16) as RuleId,
    proxyPort: packed.readUInt16BE(at + 20),
    verdict: verdictNames[packed[at + 22]!]!,
  };
}

/** Index of the first row whose peer is not below `peer`. */
export function lowerBound(packed: Buffer, peer: number): number {
  let low = 0;
  let high = packed.length / rowSize;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (packed.readUInt32BE(middle * rowSize) < peer) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The rows of one policy; shared by all subjects with the same handle. Immutable. */
export interface PolicyRows {
  readonly handle: PolicyHandle;
  readonly count: number;
  /** Canonical bytes, `rowSize` each, ascending by peer, direction, protocol, prefix. */
  readonly packed: Buffer;
  /** By direction, ingress first: bit n = rows of a named peer with prefix length n, bit 31 = rows of protocol 0. */
  readonly peerMask: readonly [number, number];
  /** The same for rows of any peer. */
  readonly anyMask: readonly [number, number];
  /** Some peer is an address class. */
  readonly usesClasses: boolean;
}

/** Numbers of address classes. */
export const classFirst = 0x0200_0000;
export const classLast = 0x02ff_ffff;
export const isAddressClass = (id: IdentityId): boolean => id >= classFirst && id <= classLast;

export function createPolicyRows(packed: Buffer): PolicyRows {
  // Rows of peer 0 come first.
  const named = lowerBound(packed, 1) * rowSize;
  const anyMask = maskOf(packed, 0, named);
  const peerMask = maskOf(packed, named, packed.length);
  const handle = (packed.length === 0 ? 0n : hash64(packed)) as PolicyHandle;
  const usesClasses = lowerBound(packed, classFirst) < lowerBound(packed, classLast + 1);
  return { handle, count: packed.length / rowSize, packed, peerMask, anyMask, usesClasses };
}

function maskOf(packed: Buffer, from: number, to: number): [number, number] {
  const mask: [number, number] = [0, 0];
  for (let at = from; at < to; at += rowSize) {
    const bit = 1 << (packed[at + 5] === 0 ? 31 : packed[at + 6]!);
    if (packed[at + 4] === 0) mask[0] |= bit;
    else mask[1] |= bit;
  }
  return [mask[0] >>> 0, mask[1] >>> 0];
}

export const noRows: PolicyRows = createPolicyRows(Buffer.alloc(0));

/** Decoded rows in canonical order. Allocates: for encoders and displays, not for hot paths. */
export const rowsOf = (rows: PolicyRows): PolicyRow[] => Array.from({ length: rows.count }, (_, i) => unpackRow(rows.packed, i));

/** Named peers of the rows, ascending, each once. */
export function mentionedPeers(rows: PolicyRows): IdentityId[] {
  const out: IdentityId[] = [];
  let last = 0;
  for (let at = 0; at < rows.packed.length; at += rowSize) {
    const peer = rows.packed.readUInt32BE(at);
    if (peer !== last) out.push(peer as IdentityId);
    last = peer;
  }
  return out;
}

/** `policy/<handle>` */
export const policyArtifactName = (handle: PolicyHandle): string => `policy/${handle.toString(16).padStart(16, '0')}`;

/** True if every packet that `inner` matches is matched by `outer` too (peers aside). */
export const templateCovers = (outer: RowTemplate, inner: RowTemplate): boolean =>
  outer.direction === inner.direction &&
  (outer.protocol === 0 || (outer.protocol === inner.protocol && portPrefixCovers(outer.prefix, inner.prefix)));
