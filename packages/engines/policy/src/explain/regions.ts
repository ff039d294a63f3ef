// What one subject lets through from or to one peer, for every protocol and port at once: intervals with one decision each. From compiled
// rows, never by probing. The rules of precedence are those of lookup.ts; a property test holds the two together. Called by invariants and plan.
import { anyPeer, type IdentityId, reservedIds } from '@axoneme/model';
import type { SubjectSet } from '../layer-plan.ts';
import type { Decision } from '../lookup.ts';
import { lowerBound, type PolicyRow, type PolicyRows, unpackRow } from '../rows.ts';
import type { Direction, RuleId, Tier } from '../rules.ts';
import type { SubjectPolicy } from '../subjects.ts';

export interface RegionKey {
  readonly peer: IdentityId;
  /** Address class of the peer. */
  readonly cls?: IdentityId | undefined;
  readonly direction: Direction;
}

export interface Segment {
  readonly first: number;
  readonly last: number;
  readonly decision: Decision;
}

/** Segments cover 0 to 65535, ascending. Protocols that are not listed have the decision `others` whatever the port. */
export interface Region {
  readonly protocols: ReadonlyMap<number, readonly Segment[]>;
  readonly others: Decision;
}

export const portMax = 65_535;
const noRule = 0 as RuleId;

type Tiers = Readonly<Record<Tier, readonly PolicyRow[]>>;

export function regionOf(subject: SubjectSet, key: RegionKey): Region {
  const { normal, admin, baseline } = subject.layers;
  const tiers: Tiers = { admin: rankedRows(admin, key), normal: rankedRows(normal, key), baseline: rankedRows(baseline, key) };
  const all = [...tiers.admin, ...tiers.normal, ...tiers.baseline];
  const protocols = new Map<number, readonly Segment[]>();
  for (const protocol of [...new Set(all.map((r) => r.protocol))].sort((a, b) => a - b)) {
    if (protocol === 0) continue;
    protocols.set(protocol, segmentsOf(tiers, normal, key, protocol, all));
  }
  return { protocols, others: decideAt(tiers, normal, key, -1, 0) };
}

/** Rows of the layer that speak of the peer, the one that wins over the others first. */
function rankedRows(layer: SubjectPolicy | undefined, key: RegionKey): PolicyRow[] {
  if (layer === undefined) return [];
  const asked = [key.peer, ...(layer.usesClasses && key.cls !== undefined ? [key.cls] : []), anyPeer];
  const found = asked.flatMap((peer, order) => rowsOfPeer(layer.rows, peer, key.direction).map((row) => ({ row, order })));
  found.sort(
    (a, b) =>
      b.row.precedence - a.row.precedence ||
      b.row.prefix.len - a.row.prefix.len ||
      a.order - b.order ||
      Number(a.row.protocol !== 0) - Number(b.row.protocol !== 0),
  );
  return found.map((f) => f.row);
}

function rowsOfPeer(rows: PolicyRows, peer: IdentityId, direction: Direction): PolicyRow[] {
  const out: PolicyRow[] = [];
  for (let i = lowerBound(rows.packed, peer); i < rows.count; i++) {
    const row = unpackRow(rows.packed, i);
    if (row.peer !== peer) break;
    if (row.direction === direction) out.push(row);
  }
  return out;
}

const lastOf = (r: PolicyRow): number => r.prefix.port + (1 << (16 - r.prefix.len)) - 1;

function segmentsOf(tiers: Tiers, normal: SubjectPolicy, key: RegionKey, protocol: number, all: readonly PolicyRow[]): Segment[] {
  const starts = new Set([0]);
  for (const r of all) {
    if (r.protocol !== protocol) continue;
    starts.add(r.prefix.port);
    if (lastOf(r) < portMax) starts.add(lastOf(r) + 1);
  }
  const out: Segment[] = [];
  const ordered = [...starts].sort((a, b) => a - b);
  ordered.forEach((first, i) => {
    const last = (ordered[i + 1] ?? portMax + 1) - 1;
    const decision = decideAt(tiers, normal, key, protocol, first);
    const before = out.at(-1);
    if (before !== undefined && sameDecision(before.decision, decision)) out[out.length - 1] = { ...before, last };
    else out.push({ first, last, decision });
  });
  return out;
}

const sameDecision = (a: Decision, b: Decision): boolean =>
  a.allowed === b.allowed && a.ruleId === b.ruleId && a.reason === b.reason && a.tier === b.tier && a.passedBy === b.passedBy;

/** As `lookup` decides. */
function decideAt(tiers: Tiers, normal: SubjectPolicy, key: RegionKey, protocol: number, port: number): Decision {
  const winner = (tier: Tier): PolicyRow | undefined =>
    tiers[tier].find((r) => r.protocol === 0 || (r.protocol === protocol && r.prefix.port <= port && port <= lastOf(r)));
  const first = winner('admin');
  const passed = first?.verdict === 'pass' ? { passedBy: first.ruleId } : {};
  const byRow = (row: PolicyRow, tier: Tier): Decision => ({
    allowed: row.verdict === 'allow',
    reason: 'row',
    tier,
    ruleId: row.ruleId,
    ...passed,
  });
  if (first !== undefined && first.verdict !== 'pass') return byRow(first, 'admin');
  const row = winner('normal');
  if (row !== undefined) return byRow(row, 'normal');
  if (key.direction === 'ingress' && key.peer === reservedIds.host && normal.allowLocalhost)
    return { allowed: true, reason: 'local-host', ruleId: noRule, ...passed };
  if (normal.defaultDeny[key.direction])
    return { allowed: false, reason: 'default-deny', ruleId: normal.denyRules[key.direction === 'ingress' ? 0 : 1], ...passed };
  const last = winner('baseline');
  return last === undefined ? { allowed: true, reason: 'open', ruleId: noRule, ...passed } : byRow(last, 'baseline');
}

const openDecision: Decision = { allowed: true, reason: 'open', ruleId: noRule };
/** Of an end that is nobody's subject. */
export const openRegion: Region = { protocols: new Map(), others: openDecision };

/** The decision for one packet. */
export function decisionAt(region: Region, protocol: number, port: number): Decision {
  return region.protocols.get(protocol)?.find((s) => s.first <= port && port <= s.last)?.decision ?? region.others;
}
