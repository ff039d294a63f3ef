// Logical rows of the policy table and their packed, canonical form. The handle of a policy is a hash of that form.

import { type IdentityId, type PortPrefix, portPrefixCovers } from '@axoneme/model';
import { AppError, type Brand, digestOf, hash64 } from '@axoneme/std';
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
  /** Content address; see createPolicyRows. */
  readonly handle: PolicyHandle;
  readonly count: number;
  /** Canonical bytes, `rowSize` each, ascending by peer, direction, protocol, prefix. Of many rows made when first asked for. */
  readonly packed: Buffer;
  /** The same in pieces; many rows are kept by peer >>> `chunkBits`, few in one piece. */
  readonly chunks: readonly RowChunk[];
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

/** Rows that lie together: one peer more or less changes one piece only. */
export interface RowChunk {
  /** peer >>> `chunkBits` of all its rows; 0 where few rows are in one piece. */
  readonly at: number;
  readonly packed: Buffer;
  /** Empty where few rows are in one piece. */
  readonly digest: string;
  readonly peerMask: readonly [number, number];
  readonly anyMask: readonly [number, number];
}

export const chunkBits = 9;
/** Up to this many rows are hashed in one piece. A rule of the handle, so all compilers must agree. */
export const wholeMax = 512;

/** Handle: hash of the bytes; of more than `wholeMax` rows, hash of the digests of the pieces. It depends on the rows alone. */
export function createPolicyRows(packed: Buffer): PolicyRows {
  const count = packed.length / rowSize;
  if (count <= wholeMax) return wholeRows(packed, count);
  return rowsOfChunks(splitRows(packed));
}

function wholeRows(packed: Buffer, count: number): PolicyRows {
  const handle = (count === 0 ? 0n : hash64(packed)) as PolicyHandle;
  const chunk = createChunk(0, packed, '');
  const usesClasses = lowerBound(packed, classFirst) < lowerBound(packed, classLast + 1);
  const { peerMask, anyMask } = chunk;
  return { handle, count, packed, chunks: count === 0 ? [] : [chunk], peerMask, anyMask, usesClasses };
}

/** `chunks` of more than `wholeMax` rows together, each with its digest. */
export function rowsOfChunks(chunks: readonly RowChunk[]): PolicyRows {
  let count = 0;
  let text = 'rows in pieces\n';
  const peerMask: [number, number] = [0, 0];
  const anyMask: [number, number] = [0, 0];
  let usesClasses = false;
  for (const c of chunks) {
    count += c.packed.length / rowSize;
    text += `${c.at} ${c.digest}\n`;
    for (const d of [0, 1] as const) {
      peerMask[d] = (peerMask[d] | c.peerMask[d]) >>> 0;
      anyMask[d] = (anyMask[d] | c.anyMask[d]) >>> 0;
    }
    usesClasses ||= isAddressClass((c.at << chunkBits) as IdentityId);
  }
  let whole: Buffer | undefined;
  return {
    handle: hash64(text) as PolicyHandle,
    count,
    get packed() {
      whole ??= Buffer.concat(chunks.map((c) => c.packed));
      return whole;
    },
    chunks,
    peerMask,
    anyMask,
    usesClasses,
  };
}

function splitRows(packed: Buffer): RowChunk[] {
  const out: RowChunk[] = [];
  for (let from = 0; from < packed.length; ) {
    const at = packed.readUInt32BE(from) >>> chunkBits;
    let to = from + rowSize;
    while (to < packed.length && packed.readUInt32BE(to) >>> chunkBits === at) to += rowSize;
    out.push(chunkOf(at, Buffer.from(packed.subarray(from, to))));
    from = to;
  }
  return out;
}

export const chunkOf = (at: number, packed: Buffer): RowChunk => createChunk(at, packed, digestOf(packed));

function createChunk(at: number, packed: Buffer, digest: string): RowChunk {
  // Rows of peer 0 come first.
  const named = lowerBound(packed, 1) * rowSize;
  return { at, packed, digest, peerMask: maskOf(packed, named, packed.length), anyMask: maskOf(packed, 0, named) };
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

/** The piece a peer's rows are in, if there are any near it. */
export function chunkAt(rows: PolicyRows, peer: IdentityId): RowChunk | undefined {
  if (rows.count <= wholeMax) return rows.chunks[0];
  const at = peer >>> chunkBits;
  let low = 0;
  let high = rows.chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (rows.chunks[middle]!.at < at) low = middle + 1;
    else high = middle;
  }
  return rows.chunks[low]?.at === at ? rows.chunks[low] : undefined;
}

/** Decoded rows in canonical order. Allocates: for encoders and displays, not for hot paths. */
export const rowsOf = (rows: PolicyRows): PolicyRow[] =>
  rows.chunks.flatMap((c) => Array.from({ length: c.packed.length / rowSize }, (_, i) => unpackRow(c.packed, i)));

/** Named peers of the rows, ascending, each once. */
export function mentionedPeers(rows: PolicyRows): IdentityId[] {
  const out: IdentityId[] = [];
  let last = 0;
  for (const { packed } of rows.chunks) {
    for (let at = 0; at < packed.length; at += rowSize) {
      const peer = packed.readUInt32BE(at);
      if (peer !== last) out.push(peer as IdentityId);
      last = peer;
    }
  }
  return out;
}

/** `policy/<handle>` */
export const policyArtifactName = (handle: PolicyHandle): string => `policy/${handle.toString(16).padStart(16, '0')}`;

/** True if every packet that `inner` matches is matched by `outer` too (peers aside). */
export const templateCovers = (outer: RowTemplate, inner: RowTemplate): boolean =>
  outer.direction === inner.direction &&
  (outer.protocol === 0 || (outer.protocol === inner.protocol && portPrefixCovers(outer.prefix, inner.prefix)));
