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

/** Of all rows that match, the highest precedence; ties go to the longer port prefix, then to the named peer, then to protocol 0. */
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
  // Ordered by the ties: long prefixes first, the named peer before any peer. Protocol 0 has the shortest prefix there is.
  for (let len = 16; len >= 0; len--) {
    for (const [peer, mask] of [
      [packet.peer, rows.peerMask[direction]],
      [0 as IdentityId, rows.anyMask[direction]],
    ] as const) {
      if (len === 0 && mask >>> 31 === 1) consider(peer, 0, 0);
      if ((mask & (1 << len)) !== 0) consider(peer, packet.protocol, len);
    }
  }
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
