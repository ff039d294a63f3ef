// Reference evaluator: one packet straight from the rules and addresses, never through identities, classes or rows. Slow and plain on purpose.
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
import {
  type Action,
  type Direction,
  type PeerSelector,
  type PortMatch,
  peerText,
  portText,
  type Rule,
  type RuleEntry,
  type RuleId,
  type Tier,
} from './rules.ts';
import type { PolicyConfig } from './subjects.ts';

export interface JudgePod {
  readonly addresses: readonly IpAddr[];
  readonly labels: Labels;
  readonly namedPorts: readonly NamedPort[];
}

export interface JudgeNode {
  readonly name: string;
  /** Of the Node object, source `k8s`. */
  readonly labels: Labels;
  readonly addresses: readonly IpAddr[];
  /** Runs an API server. */
  readonly apiServer: boolean;
}

export interface World {
  readonly pods: readonly JudgePod[];
  /** The subject's own node. */
  readonly host: JudgeNode;
  readonly nodes: readonly JudgeNode[];
}

export interface HostPacket {
  readonly direction: Direction;
  /** The other end. */
  readonly peer: IpAddr;
  readonly protocol: number;
  /** Destination port or ICMP type. */
  readonly port: number;
}

export interface Packet extends HostPacket {
  /** The enforced pod. */
  readonly subject: JudgePod;
}

export interface Judgement {
  readonly allowed: boolean;
  readonly reason: 'deny' | 'blocked' | 'allow' | 'local-host' | 'default-deny' | 'open';
  /** Where entries decided. */
  readonly tier?: Tier | undefined;
  /** Every rule that could be named for this outcome. */
  readonly rules: readonly RuleId[];
}

interface Peer {
  readonly address: IpAddr;
  readonly labels: Labels;
  readonly namedPorts: readonly NamedPort[];
  readonly isHost: boolean;
  /** The node that has the address, the local one included. */
  readonly node: JudgeNode | undefined;
  readonly isOutside: boolean;
}

/** One end of the packet whose policy is asked. */
interface Side {
  readonly packet: HostPacket;
  readonly peer: Peer;
  readonly ports: readonly NamedPort[];
  /** Isolated whatever the rules say. */
  readonly closed: boolean;
  readonly freeHost: boolean;
}

const open: Judgement = { allowed: true, reason: 'open', rules: [] };

/** What is enforced for a pod. */
export function judge(rules: readonly Rule[], world: World, packet: Packet, config: PolicyConfig): Judgement {
  const mine = config.mode === 'never' ? [] : enforcedOf(podRules(rules, packet));
  return judgeSide(mine, podSide(world, packet, config));
}

/** What would be enforced if every shadow policy that selects the pod were; undefined if none does. */
export function judgeShadow(rules: readonly Rule[], world: World, packet: Packet, config: PolicyConfig): Judgement | undefined {
  const mine = podRules(rules, packet);
  return config.mode === 'never' || !hasShadow(mine) ? undefined : judgeSide(mine, podSide(world, packet, config));
}

/** What is enforced for the node `world.host`; undefined if it is not enforced at all. Loopback is never asked about. */
export function judgeHost(rules: readonly Rule[], world: World, packet: HostPacket, config: PolicyConfig): Judgement | undefined {
  const mine = hostRules(rules, world);
  return config.mode === 'never' || mine.length === 0 ? undefined : judgeSide(enforcedOf(mine), hostSide(world, packet));
}

export function judgeHostShadow(rules: readonly Rule[], world: World, packet: HostPacket, config: PolicyConfig): Judgement | undefined {
  const mine = hostRules(rules, world);
  return config.mode === 'never' || !hasShadow(mine) ? undefined : judgeSide(mine, hostSide(world, packet));
}

const podRules = (rules: readonly Rule[], packet: Packet): Rule[] =>
  rules.filter((r) => r.subjectKind === 'endpoints' && matchesSelector(r.subject, packet.subject.labels));
const hostRules = (rules: readonly Rule[], world: World): Rule[] =>
  rules.filter((r) => r.subjectKind === 'nodes' && matchesSelector(r.subject, world.host.labels));
const enforcedOf = (rules: readonly Rule[]): Rule[] => rules.filter((r) => r.mode === 'enforce');
const hasShadow = (rules: readonly Rule[]): boolean => rules.some((r) => r.mode === 'shadow');

const podSide = (world: World, packet: Packet, config: PolicyConfig): Side => ({
  packet,
  peer: findPeer(world, packet.peer),
  ports: packet.subject.namedPorts,
  closed: config.mode === 'always' || (config.mode === 'default' && packet.subject.labels.text === 'reserved:init=;'),
  freeHost: config.allowLocalhost,
});
const hostSide = (world: World, packet: HostPacket): Side => ({
  packet,
  peer: findPeer(world, packet.peer),
  ports: [],
  closed: false,
  freeHost: false,
});

/** Admin, normal, default deny, baseline. */
function judgeSide(rules: readonly Rule[], side: Side): Judgement {
  const { direction } = side.packet;
  const of = (tier: Tier): Rule[] => rules.filter((r) => r.tier === tier);
  const admin = judgeTier(of('admin'), 'admin', side, true);
  if (admin !== undefined && admin !== 'pass') return admin;
  const isolating = of('normal').filter((r) => r.defaultDeny[direction]);
  const isolated = side.closed || isolating.length > 0;
  const normal = judgeTier(of('normal'), 'normal', side, isolated);
  if (normal !== undefined && normal !== 'pass') return normal;
  if (direction === 'ingress' && side.peer.isHost && side.freeHost) return { allowed: true, reason: 'local-host', rules: [] };
  if (isolated) return { allowed: false, reason: 'default-deny', rules: isolating.map((r) => r.defaultDenyIds[direction]) };
  const baseline = judgeTier(of('baseline'), 'baseline', side, true);
  return baseline === undefined || baseline === 'pass' ? open : baseline;
}

/** Strongest first. */
const strength: readonly Action[] = ['deny', 'pass', 'redirect', 'allow'];

/** `restricted`: an L7 condition has something to restrict. */
function judgeTier(rules: readonly Rule[], tier: Tier, side: Side, restricted: boolean): Judgement | 'pass' | undefined {
  const entries = rules.flatMap((r) => r.entries).filter((e) => e.direction === side.packet.direction);
  const matching = entries.filter((e) => (e.condition === 'l7' ? restricted && isRestricted(e, entries, side) : entryMatches(e, side)));
  const priority = Math.min(...matching.map((e) => e.priority));
  const first = matching.filter((e) => e.priority === priority);
  const action = strength.find((a) => first.some((e) => e.action === a));
  if (action === undefined) return undefined;
  if (action === 'pass') return 'pass';
  const reason = action === 'redirect' ? 'blocked' : action;
  return { allowed: action === 'allow', reason, tier, rules: first.filter((e) => e.action === action).map((e) => e.id) };
}

function findPeer(world: World, ip: IpAddr): Peer {
  const node = [world.host, ...world.nodes].find((n) => n.addresses.includes(ip));
  const peer = (labels: Labels, more: Partial<Peer> = {}): Peer => ({
    address: ip,
    labels,
    namedPorts: [],
    isHost: false,
    node,
    isOutside: false,
    ...more,
  });
  const pod = world.pods.find((p) => p.addresses.includes(ip));
  if (pod !== undefined) return peer(pod.labels, { namedPorts: pod.namedPorts, node: undefined });
  if (node === world.host) return peer(reservedLabels('host'), { isHost: true });
  if (node !== undefined) return peer(reservedLabels(node.apiServer ? 'kube-apiserver' : 'remote-node'));
  return peer(reservedLabels(ipFamily(ip) === 4 ? 'world-ipv4' : 'world-ipv6'), { isOutside: true });
}

const entryMatches = (e: RuleEntry, side: Side): boolean =>
  e.peers.some((s) => peerMatches(s, side.peer) && e.ports.some((p) => portMatches(p, e, s, side)));

/** An L7 entry restricts unless a plain one of the same priority says the same for the same selector and port. */
const isRestricted = (e: RuleEntry, entries: readonly RuleEntry[], side: Side): boolean =>
  e.peers.some((s) => peerMatches(s, side.peer) && e.ports.some((p) => portMatches(p, e, s, side) && !isPlainToo(e, s, p, entries)));

const isPlainToo = (of: RuleEntry, selector: PeerSelector, port: PortMatch, entries: readonly RuleEntry[]): boolean =>
  entries.some(
    (e) =>
      e.action === 'allow' &&
      e.priority === of.priority &&
      e.peers.some((s) => peerText(s) === peerText(selector)) &&
      e.ports.some((p) => portText(p) === portText(port)),
  );

function peerMatches(selector: PeerSelector, peer: Peer): boolean {
  const within = (c: Cidr): boolean => cidrContainsIp(c, peer.address);
  switch (selector.kind) {
    case 'any':
      return true;
    case 'labels':
      return matchesSelector(selector.selector, peer.labels);
    case 'cidr':
      return peer.isOutside && within(selector.cidr) && !selector.except.some(within);
    case 'block':
      return within(selector.cidr) && !selector.except.some(within);
    case 'nodes':
      return peer.node !== undefined && matchesSelector(selector.selector, peer.node.labels);
  }
}

function portMatches(port: PortMatch, e: RuleEntry, selector: PeerSelector, side: Side): boolean {
  const { packet } = side;
  if (port.kind === 'range')
    return port.protocol === 0 || (port.protocol === packet.protocol && packet.port >= port.first && packet.port <= port.last);
  // A name is nobody's where the peer is an address: such an allow is nothing, and what closes closes every port.
  if (packet.direction === 'egress' && (selector.kind === 'block' || selector.kind === 'nodes'))
    return (e.action === 'deny' || e.action === 'redirect') && (port.protocol === 0 || port.protocol === packet.protocol);
  const owner = packet.direction === 'ingress' ? side.ports : side.peer.namedPorts;
  return owner.some(
    (n) =>
      n.name === port.name &&
      n.port === packet.port &&
      protocolNumbers[n.protocol] === packet.protocol &&
      (port.protocol === 0 || port.protocol === packet.protocol),
  );
}
