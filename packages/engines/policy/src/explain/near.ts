// Rules that nearly allow a connection, and what each lacks. Called by `axoneme policy why`.
import { cidrContainsIp, matchesSelector } from '@axoneme/model';
import { allTraffic, type Direction, type PeerSelector, type Rule, type RuleEntry, type RuleOrigin, type Tier } from '../rules.ts';
import { selects } from './edit-space.ts';
import { addressOfEnd, hopsOf, type Question, type Scene, type SceneEnd } from './scene.ts';
import { type Hop, judgeHop } from './verdict.ts';
import { peerWords, portsText, requirementText, trafficText } from './words.ts';

export interface NearMiss {
  readonly origin: RuleOrigin;
  readonly tier: Tier;
  /** What would have to hold besides; the fewest of all ways the entry can match. */
  readonly missing: readonly string[];
}

/** Allow entries for the subject of that direction, the nearest first. */
export function nearMisses(scene: Scene, q: Question, direction: Direction, max = 3): NearMiss[] {
  const hop = hopsOf(q).find((h) => h.direction === direction)!;
  const out: (NearMiss & { readonly distance: number })[] = [];
  for (const rule of scene.rules) {
    if (!selects(rule, hop.subject)) continue;
    for (const entry of rule.entries) {
      if (entry.direction !== direction || entry.action !== 'allow') continue;
      const origin = rule.origins.find((o) => o.id === entry.id);
      const missing = [...missingPeer(scene, rule, entry, q, hop), ...missingPort(scene, rule, entry, q, hop)];
      if (origin !== undefined && missing.length > 0)
        out.push({
          origin,
          tier: rule.tier,
          missing,
          distance: missing.length + (entry.peers.some((p) => isSameKind(p, hop.peer)) ? 0 : 1),
        });
    }
  }
  return out
    .sort((a, b) => a.distance - b.distance || (a.origin.text < b.origin.text ? -1 : 1))
    .slice(0, max)
    .map(({ origin, tier, missing }) => ({ origin, tier, missing }));
}

/** Asks the reference about one entry alone. */
function matches(scene: Scene, rule: Rule, entry: RuleEntry, q: Question, hop: Hop): boolean {
  const alone: Rule = {
    ...rule,
    tier: 'normal',
    entries: [{ ...entry, priority: 0 }],
    defaultDeny: { ingress: true, egress: true },
  };
  return judgeHop(scene, [alone], q, hop)?.reason === 'allow';
}

function missingPort(scene: Scene, rule: Rule, entry: RuleEntry, q: Question, hop: Hop): string[] {
  if (matches(scene, rule, { ...entry, peers: [{ kind: 'any' }] }, q, hop)) return [];
  return [entry.ports.length === 0 ? 'it has no port' : `port ${trafficText(q.protocol, q.port)} is not in ${portsText(entry.ports)}`];
}

function missingPeer(scene: Scene, rule: Rule, entry: RuleEntry, q: Question, hop: Hop): string[] {
  if (matches(scene, rule, { ...entry, ports: [allTraffic] }, q, hop)) return [];
  if (entry.peers.length === 0) return ['it has no peer'];
  const ways = entry.peers.map((p) => lacks(p, hop.peer, q));
  // The kind of peer first: no label makes a pod of an address.
  const fitting = ways.filter((_, i) => isSameKind(entry.peers[i]!, hop.peer));
  return (fitting.length > 0 ? fitting : ways).reduce((least, w) => (w.length < least.length ? w : least));
}

/** True if labels or addresses of the peer are what the selector asks for. */
function isSameKind(p: PeerSelector, peer: SceneEnd): boolean {
  if (p.kind === 'any') return true;
  if (p.kind === 'labels')
    return peer.kind === 'pod' && !p.selector.requirements.some((r) => r.source === 'reserved' && r.operator === 'In');
  if (p.kind === 'nodes') return peer.kind === 'node';
  return p.kind === 'block' || peer.kind === 'outside';
}

function lacks(p: PeerSelector, peer: SceneEnd, q: Question): string[] {
  if (p.kind === 'labels' && peer.kind === 'pod' && isSameKind(p, peer)) {
    return p.selector.requirements
      .filter((r) => !matchesSelector({ requirements: [r], text: '' }, peer.labels))
      .map((r) => `${requirementText(r)} is missing on ${peer.name}`);
  }
  const address = addressOfEnd(peer, q.family);
  if ((p.kind === 'cidr' || p.kind === 'block') && address !== undefined && (p.kind === 'block' || peer.kind === 'outside')) {
    const excepted = p.except.find((c) => cidrContainsIp(c, address));
    return [excepted === undefined ? `${address} is not in ${p.cidr}` : `${address} is in the exception ${excepted} of ${p.cidr}`];
  }
  // Of another kind altogether: no label or address would help.
  return [`${peer.name} is not ${peerWords(p)}`];
}
