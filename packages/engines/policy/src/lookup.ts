// A model of the kernel's policy lookup, on rows only. For tests, for `axoneme policy verdict`, and as the written form of the algorithm.
import { type IdentityId, maskPort, reservedIds } from '@axoneme/model';
import { lowerBound, type PolicyRow, type PolicyRows, rowSize, unpackRow } from './rows.ts';
import type { Direction, RuleId } from './rules.ts';
import type { SubjectPolicy } from './subjects.ts';

export interface PacketKey {
  readonly peer: IdentityId;
  readonly direction: Direction;
  readonly protocol: number;
  /** Destination port, or the ICMP type; 0 for protocols without. */
  readonly port: number;
}

export interface Decision {
  readonly allowed: boolean;
  /** row: a row decided. default-deny: no row, isolated. open: no row, not isolated. local-host: implicit allow. */
  readonly reason: 'row' | 'default-deny' | 'open' | 'local-host';
  /** Deciding rule; 0 if none. */
  readonly ruleId: RuleId;
}

/** Of all rows that match, the highest precedence; ties go to the longer port prefix (protocol 0 is shortest), then to the named peer. */
export function lookup(subject: SubjectPolicy, packet: PacketKey): Decision {
  const direction = packet.direction === 'ingress' ? 0 : 1;
  const row = best(subject.rows, packet);
  if (packet.direction === 'ingress' && packet.peer === reservedIds.host && subject.allowLocalhost && row?.verdict !== 'deny') {
    return { allowed: true, reason: 'local-host', ruleId: row?.ruleId ?? (0 as RuleId) };
  }
  if (row !== undefined) return { allowed: row.verdict === 'allow', reason: 'row', ruleId: row.ruleId };
  if (subject.defaultDeny[packet.direction]) return { allowed: false, reason: 'default-deny', ruleId: subject.denyRules[direction] };
  return { allowed: true, reason: 'open', ruleId: 0 as RuleId };
}

function best(rows: PolicyRows, packet: PacketKey): PolicyRow | undefined {
  const direction = packet.direction === 'ingress' ? 0 : 1;
  let winner: PolicyRow | undefined;
  const consider = (peer: IdentityId, protocol: number, len: number): void => {
    const row = findRow(rows, peer, packet.direction, protocol, len, maskPort(packet.port, len));
    if (row !== undefined && (winner === undefined || row.precedence > winner.precedence)) winner = row;
  };
  // Ordered by the ties: long prefixes first, the named peer before any peer, protocol 0 last.
  for (let len = 16; len >= 0; len--) {
    if ((rows.peerMask[direction] & (1 << len)) !== 0) consider(packet.peer, packet.protocol, len);
    if ((rows.anyMask[direction] & (1 << len)) !== 0) consider(0 as IdentityId, packet.protocol, len);
  }
  if (rows.peerMask[direction] >>> 31 === 1) consider(packet.peer, 0, 0);
  if (rows.anyMask[direction] >>> 31 === 1) consider(0 as IdentityId, 0, 0);
  return winner;
}

/** The row with exactly this key, as a hash map would find it. */
function findRow(
  rows: PolicyRows,
  peer: IdentityId,
  direction: Direction,
  protocol: number,
  len: number,
  port: number,
): PolicyRow | undefined {
  const end = rows.packed.length / rowSize;
  for (let i = lowerBound(rows.packed, peer); i < end; i++) {
    const row = unpackRow(rows.packed, i);
    if (row.peer !== peer) return undefined;
    if (row.direction === direction && row.protocol === protocol && row.prefix.len === len && row.prefix.port === port) return row;
  }
  return undefined;
}
