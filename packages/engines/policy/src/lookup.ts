// A model of the kernel's policy lookup over all layers, on rows only. For tests, for `axoneme policy verdict`, and as the written form of
// the algorithm.
import { anyPeer, type IdentityId, maskPort, reservedIds } from '@axoneme/model';
import type { SubjectLayers, SubjectSet } from './layer-plan.ts';
import { chunkAt, lowerBound, type PolicyRow, type PolicyRows, rowSize, unpackRow } from './rows.ts';
import type { Direction, RuleId, Tier } from './rules.ts';
import type { SubjectPolicy } from './subjects.ts';

export interface PacketKey {
  readonly peer: IdentityId;
  /** Address class of the peer's address, if it has one; only asked where the layer's rows name classes. */
  readonly cls?: IdentityId | undefined;
  readonly direction: Direction;
  readonly protocol: number;
  /** Destination port, or the ICMP type; 0 for protocols without. */
  readonly port: number;
}

export interface Decision {
  readonly allowed: boolean;
  /** row: a row decided. default-deny: no row, isolated. open: no row, not isolated. local-host: no row, implicit allow. */
  readonly reason: 'row' | 'default-deny' | 'open' | 'local-host';
  /** Tier of the row that decided. */
  readonly tier?: Tier | undefined;
  /** Deciding rule; 0 if none. */
  readonly ruleId: RuleId;
  /** Row of tier admin that left the packet to the next tiers. */
  readonly passedBy?: RuleId | undefined;
}

const noRule = 0 as RuleId;
const numberOf = (d: Direction): 0 | 1 => (d === 'ingress' ? 0 : 1);

/** What is enforced. */
export const lookup = (subject: SubjectSet, packet: PacketKey): Decision =>
  decide({ normal: subject.layers.normal, admin: subject.layers.admin, baseline: subject.layers.baseline }, packet);

/** What would be enforced if every shadow policy that selects the subject were; undefined if none does. */
export function lookupShadow(subject: SubjectSet, packet: PacketKey): Decision | undefined {
  const { shadow: normal, shadowAdmin: admin, shadowBaseline: baseline } = subject.layers;
  return normal === undefined ? undefined : decide({ normal, admin, baseline }, packet);
}

type Tiers = { readonly [K in Tier]: SubjectLayers[K] | undefined } & { readonly normal: SubjectPolicy };

function decide({ admin, normal, baseline }: Tiers, packet: PacketKey): Decision {
  const first = admin === undefined ? undefined : findRow(admin, packet);
  const passed = first?.verdict === 'pass' ? { passedBy: first.ruleId } : {};
  if (first !== undefined && first.verdict !== 'pass') return byRow(first, 'admin', passed);
  const row = findRow(normal, packet);
  if (row !== undefined) return byRow(row, 'normal', passed);
  // Before default deny and before tier baseline.
  if (packet.direction === 'ingress' && packet.peer === reservedIds.host && normal.allowLocalhost)
    return { allowed: true, reason: 'local-host', ruleId: noRule, ...passed };
  if (normal.defaultDeny[packet.direction])
    return { allowed: false, reason: 'default-deny', ruleId: normal.denyRules[numberOf(packet.direction)], ...passed };
  const last = baseline === undefined ? undefined : findRow(baseline, packet);
  if (last !== undefined) return byRow(last, 'baseline', passed);
  return { allowed: true, reason: 'open', ruleId: noRule, ...passed };
}

const byRow = (row: PolicyRow, tier: Tier, passed: { readonly passedBy?: RuleId }): Decision => ({
  allowed: row.verdict === 'allow',
  reason: 'row',
  tier,
  ruleId: row.ruleId,
  ...passed,
});

/**
 * One layer: of all rows that match, the highest precedence; ties go to the longer port prefix, then to the named peer (identity, then
 * class), then to protocol 0.
 */
export function findRow({ rows, usesClasses }: SubjectPolicy, packet: PacketKey): PolicyRow | undefined {
  const direction = numberOf(packet.direction);
  const [peerMask, anyMask] = [rows.peerMask[direction], rows.anyMask[direction]];
  const asked: (readonly [IdentityId, number])[] = [[packet.peer, peerMask]];
  if (usesClasses && packet.cls !== undefined) asked.push([packet.cls, peerMask]);
  asked.push([anyPeer, anyMask]);
  let winner: PolicyRow | undefined;
  const consider = (peer: IdentityId, protocol: number, len: number): void => {
    const row = exactRow(rows, peer, packet.direction, protocol, len, maskPort(packet.port, len));
    if (row !== undefined && (winner === undefined || row.precedence > winner.precedence)) winner = row;
  };
  // Ordered by the ties: long prefixes first. Protocol 0 has the shortest prefix there is.
  for (let len = 16; len >= 0; len--) {
    for (const [peer, mask] of asked) {
      if (len === 0 && mask >>> 31 === 1) consider(peer, 0, 0);
      if ((mask & (1 << len)) !== 0) consider(peer, packet.protocol, len);
    }
  }
  return winner;
}

const nothing = Buffer.alloc(0);

/** The row with exactly this key, as a hash map would find it. */
function exactRow(
  rows: PolicyRows,
  peer: IdentityId,
  direction: Direction,
  protocol: number,
  len: number,
  port: number,
): PolicyRow | undefined {
  const packed = chunkAt(rows, peer)?.packed ?? nothing;
  const end = packed.length / rowSize;
  for (let i = lowerBound(packed, peer); i < end; i++) {
    const row = unpackRow(packed, i);
    if (row.peer !== peer) return undefined;
    if (row.direction === direction && row.protocol === protocol && row.prefix.len === len && row.prefix.port === port) return row;
  }
  return undefined;
}
