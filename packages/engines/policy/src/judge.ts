// Reference evaluator: one packet straight from the rules and addresses, never through identities or rows. Slow and plain on purpose.
import {
  type Cidr,
  cidrContainsIp,
  type IpAddr,
  ipFamily,
  type Labels,
  matchesSelector,
  type NamedPort,
  protocolNumbers,
  reservedLabels,
} from '@axoneme/model';
import { type Direction, type PeerSelector, type PortMatch, peerText, portText, type Rule, type RuleEntry, type RuleId } from './rules.ts';
import type { PolicyConfig } from './subjects.ts';

export interface JudgePod {
  readonly addresses: readonly IpAddr[];
  readonly labels: Labels;
  readonly namedPorts: readonly NamedPort[];
}

export interface World {
  readonly pods: readonly JudgePod[];
  /** Addresses of the subject's own node. */
  readonly hostAddresses: readonly IpAddr[];
  /** Addresses of the other nodes. */
  readonly nodes: readonly { readonly addresses: readonly IpAddr[]; readonly apiServer: boolean }[];
}

export interface Packet {
  /** The enforced pod. */
  readonly subject: JudgePod;
  readonly direction: Direction;
  /** The other end. */
  readonly peer: IpAddr;
  readonly protocol: number;
  /** Destination port or ICMP type. */
  readonly port: number;
}

export interface Judgement {
  readonly allowed: boolean;
  readonly reason: 'deny' | 'blocked' | 'allow' | 'local-host' | 'default-deny' | 'open';
  /** Every rule that could be named for this outcome. */
  readonly rules: readonly RuleId[];
}

interface Peer {
  readonly labels: Labels;
  readonly namedPorts: readonly NamedPort[];
  readonly isHost: boolean;
  /** Set if the address is outside the cluster. */
  readonly outside: IpAddr | undefined;
}

export function judge(rules: readonly Rule[], world: World, packet: Packet, config: PolicyConfig): Judgement {
  if (config.mode === 'never') return { allowed: true, reason: 'open', rules: [] };
  const peer = findPeer(world, packet.peer);
  const mine = rules.filter((r) => matchesSelector(r.subject, packet.subject.labels));
  const isolating = mine.filter((r) => r.defaultDeny[packet.direction]);
  const isolated = config.mode === 'always' || packet.subject.labels.text === 'reserved:init=;' || isolating.length > 0;
  const entries = mine.flatMap((r) => r.entries).filter((e) => e.direction === packet.direction);
  const matching = (test: (e: RuleEntry) => boolean): RuleId[] =>
    entries.filter((e) => test(e) && entryMatches(e, peer, packet)).map((e) => e.id);
  const denied = matching((e) => e.action === 'deny');
  if (denied.length > 0) return { allowed: false, reason: 'deny', rules: denied };
  const blocked = entries
    .filter((e) => e.action === 'redirect' && (e.condition !== 'l7' || isolated) && blocks(e, entries, peer, packet))
    .map((e) => e.id);
  if (blocked.length > 0) return { allowed: false, reason: 'blocked', rules: blocked };
  const allowed = matching((e) => e.action === 'allow');
  if (packet.direction === 'ingress' && peer.isHost && config.allowLocalhost)
    return { allowed: true, reason: 'local-host', rules: allowed };
  if (allowed.length > 0) return { allowed: true, reason: 'allow', rules: allowed };
  if (isolated) return { allowed: false, reason: 'default-deny', rules: isolating.map((r) => r.defaultDenyIds[packet.direction]) };
  return { allowed: true, reason: 'open', rules: [] };
}

function findPeer(world: World, ip: IpAddr): Peer {
  const inside = (labels: Labels, namedPorts: readonly NamedPort[] = [], isHost = false): Peer => ({
    labels,
    namedPorts,
    isHost,
    outside: undefined,
  });
  const pod = world.pods.find((p) => p.addresses.includes(ip));
  if (pod !== undefined) return inside(pod.labels, pod.namedPorts);
  if (world.hostAddresses.includes(ip)) return inside(reservedLabels('host'), [], true);
  const node = world.nodes.find((n) => n.addresses.includes(ip));
  if (node !== undefined) return inside(reservedLabels(node.apiServer ? 'kube-apiserver' : 'remote-node'));
  return { labels: reservedLabels(ipFamily(ip) === 4 ? 'world-ipv4' : 'world-ipv6'), namedPorts: [], isHost: false, outside: ip };
}

const entryMatches = (e: RuleEntry, peer: Peer, packet: Packet): boolean =>
  e.peers.some((p) => peerMatches(p, peer)) && e.ports.some((p) => portMatches(p, e.direction, peer, packet));

/** A conditional entry blocks unless an unconditional one says the same for the same selector and port. */
function blocks(e: RuleEntry, entries: readonly RuleEntry[], peer: Peer, packet: Packet): boolean {
  return e.peers.some(
    (s) =>
      peerMatches(s, peer) &&
      e.ports.some((p) => portMatches(p, e.direction, peer, packet) && !(e.condition === 'l7' && isPlainToo(s, p, entries))),
  );
}

const isPlainToo = (selector: PeerSelector, port: PortMatch, entries: readonly RuleEntry[]): boolean =>
  entries.some(
    (e) =>
      e.action === 'allow' &&
      e.peers.some((s) => peerText(s) === peerText(selector)) &&
      e.ports.some((p) => portText(p) === portText(port)),
  );

function peerMatches(selector: PeerSelector, peer: Peer): boolean {
  switch (selector.kind) {
    case 'any':
      return true;
    case 'labels':
      return matchesSelector(selector.selector, peer.labels);
    case 'cidr': {
      const ip = peer.outside;
      const inside = (c: Cidr): boolean => ip !== undefined && cidrContainsIp(c, ip);
      return inside(selector.cidr) && !selector.except.some(inside);
    }
    case 'block':
    case 'nodes':
      return false;
  }
}

function portMatches(port: PortMatch, direction: Direction, peer: Peer, packet: Packet): boolean {
  if (port.kind === 'range')
    return port.protocol === 0 || (port.protocol === packet.protocol && packet.port >= port.first && packet.port <= port.last);
  const owner = direction === 'ingress' ? packet.subject.namedPorts : peer.namedPorts;
  return owner.some(
    (n) =>
      n.name === port.name &&
      n.port === packet.port &&
      protocolNumbers[n.protocol] === packet.protocol &&
      (port.protocol === 0 || port.protocol === packet.protocol),
  );
}
