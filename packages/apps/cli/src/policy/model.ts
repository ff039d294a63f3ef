// A manifest world as the engine wants it: bound rules, ends of connections by name, nodes. Called by the `policy` commands.
import { type Cidr, cidrBits, cidrContainsIp, cidrFamily, type IpAddr, type IpFamily, parseIp } from '@axoneme/model';
import type { PlanState, PolicyConfig, Rule, Scene, SceneEnd, SceneNode } from '@axoneme/policy';
import { AppError } from '@axoneme/std';
import { nodeLabels } from './lints.ts';
import type { ManifestWorld, NodeEntry, Workload, WorldConfig } from './world.ts';

export interface Model {
  readonly world: ManifestWorld;
  readonly scene: Scene;
  /** Addresses of a workload, made up where no pod runs; no prefix that a rule mentions covers those but for length 0. */
  addressesOf(w: Workload): readonly IpAddr[];
  /** `ns/name`, `ns/kind/name`, `world`, `host`, `node`, `node/NAME`, `kube-apiserver`, an address. */
  ends(from: string, to: string): readonly [SceneEnd, SceneEnd];
}

export function createModel(world: ManifestWorld, rules: readonly Rule[], config: WorldConfig): Model {
  const policy: PolicyConfig = { mode: config.enforcement, clusterName: config.clusterName, allowLocalhost: true };
  const free = createAddresses(mentionedPrefixes(rules), world);
  const nodes = world.nodes.map((n) => sceneNode(n, world, free));
  const known = new Set(nodes.flatMap((n) => n.addresses));
  // An API server that is no node of the input is reached by its address all the same.
  const servers: SceneNode[] = [...world.apiServers]
    .filter((a) => !known.has(a))
    .map((a) => ({ name: `kube-apiserver ${a}`, labels: nodeLabels({}), addresses: [a], apiServer: true }));
  const scene: Scene = { rules, nodes: [...nodes, ...servers], config: policy };
  const memo = new Map<Workload, readonly IpAddr[]>();
  const addressesOf = (w: Workload): readonly IpAddr[] => {
    const held = memo.get(w) ?? (w.addresses.length > 0 ? w.addresses : [free(4), free(6)]);
    memo.set(w, held);
    return held;
  };
  const ctx: EndContext = { world, scene, addressesOf, free };
  return { world, scene, addressesOf, ends: (from, to) => placeHosts(endOf(from, ctx), endOf(to, ctx), ctx) };
}

interface EndContext {
  readonly world: ManifestWorld;
  readonly scene: Scene;
  readonly addressesOf: (w: Workload) => readonly IpAddr[];
  readonly free: (family: IpFamily) => IpAddr;
}

/** Port names belong to identities: workloads with equal labels share theirs. */
function workloadEnd(w: Workload, addresses: readonly IpAddr[], world: ManifestWorld): SceneEnd {
  const alike = world.workloads.filter((o) => !o.hostNetwork && o.labels.text === w.labels.text);
  return {
    kind: 'pod',
    name: workloadTitle(w),
    labels: w.labels,
    namedPorts: alike.flatMap((o) => o.namedPorts),
    addresses,
    ...(w.node === undefined ? {} : { node: w.node }),
  };
}

export const workloadTitle = (w: Workload): string => `${w.kind} ${w.namespace}/${w.name}`;

function endOf(text: string, ctx: EndContext): SceneEnd {
  const both = (): IpAddr[] => [ctx.free(4), ctx.free(6)];
  if (text === 'world') return { kind: 'outside', name: 'world', addresses: both() };
  if (text === 'host') return { kind: 'node', name: 'host', local: true, node: unnamedNode(both(), false) };
  if (text === 'node' || text === 'remote-node')
    return { kind: 'node', name: 'any other node', local: false, node: unnamedNode(both(), false) };
  if (text === 'kube-apiserver') {
    const server = ctx.scene.nodes.find((n) => n.apiServer);
    return { kind: 'node', name: text, local: false, node: server ?? unnamedNode(both(), true) };
  }
  const ip = parseIp(text);
  if (ip.ok) return endAt(ip.value, ctx);
  const [first = '', second = '', third] = text.split('/');
  if (first === 'node' && third === undefined) {
    const node = ctx.scene.nodes.find((n) => n.name === second);
    if (node !== undefined) return { kind: 'node', name: `Node ${second}`, local: false, node };
    throw unknownEnd(text, `there is no Node "${second}" in the input`);
  }
  return workloadNamed(text, first, third === undefined ? undefined : second, third ?? second, ctx);
}

function workloadNamed(text: string, namespace: string, kind: string | undefined, name: string, ctx: EndContext): SceneEnd {
  const found = ctx.world.workloads.filter(
    (w) => w.namespace === namespace && w.name === name && (kind === undefined || w.kind.toLowerCase() === kind.toLowerCase()),
  );
  const [one, ...more] = found;
  if (one === undefined) throw unknownEnd(text, `there is no pod or workload "${text}" in the input`);
  if (more.some((w) => w.labels.text !== one.labels.text || w.hostNetwork !== one.hostNetwork)) {
    const kinds = found.map((w) => `${namespace}/${w.kind.toLowerCase()}/${name}`).join(' or ');
    throw new AppError({ code: 'cli/usage', message: `"${text}" could be several workloads`, hint: `write ${kinds}` });
  }
  if (!one.hostNetwork) return workloadEnd(one, ctx.addressesOf(one), ctx.world);
  // It has no network of its own: policy sees its node.
  const node = ctx.scene.nodes.find((n) => n.name === one.node);
  if (node !== undefined) return { kind: 'node', name: `${workloadTitle(one)} on Node ${node.name}`, local: false, node };
  return {
    kind: 'node',
    name: `${workloadTitle(one)} (in the network of its node)`,
    local: false,
    node: unnamedNode([ctx.free(4), ctx.free(6)], false),
  };
}

const unnamedNode = (addresses: readonly IpAddr[], apiServer: boolean): SceneNode => ({
  name: '',
  labels: nodeLabels({}),
  addresses,
  apiServer,
});

/** `host` is the node of the other end; a pod and its own node are local to each other. */
function placeHosts(from: SceneEnd, to: SceneEnd, ctx: EndContext): readonly [SceneEnd, SceneEnd] {
  const settle = (end: SceneEnd, other: SceneEnd): SceneEnd => {
    if (end.kind !== 'node' || other.kind !== 'pod' || other.node === undefined) return end;
    if (!end.local) return end.node.name === other.node ? { ...end, local: true } : end;
    const node = ctx.scene.nodes.find((n) => n.name === other.node);
    return node === undefined ? end : { ...end, name: `host (Node ${node.name})`, node };
  };
  return [settle(from, to), settle(to, from)];
}

/** Whoever has the address. */
function endAt(ip: IpAddr, ctx: EndContext): SceneEnd {
  const owner = ctx.world.workloads.find((w) => !w.hostNetwork && w.addresses.includes(ip));
  if (owner !== undefined) return { ...workloadEnd(owner, [ip], ctx.world), name: `${workloadTitle(owner)} (${ip})` };
  const node = ctx.scene.nodes.find((n) => n.addresses.includes(ip));
  if (node !== undefined) return { kind: 'node', name: `Node ${node.name} (${ip})`, local: false, node: { ...node, addresses: [ip] } };
  return { kind: 'outside', name: ip, addresses: [ip] };
}

const unknownEnd = (text: string, message: string): AppError =>
  new AppError({
    code: 'cli/usage',
    message,
    hint: `write namespace/name, namespace/kind/name, world, host, node, node/name, kube-apiserver or an address instead of "${text.slice(0, 64)}"`,
  });

function sceneNode(n: NodeEntry, world: ManifestWorld, free: (family: IpFamily) => IpAddr): SceneNode {
  return {
    name: n.name,
    labels: nodeLabels(n.labels),
    addresses: n.addresses.length > 0 ? n.addresses : [free(4), free(6)],
    apiServer: n.addresses.some((a) => world.apiServers.has(a)),
  };
}

/** Every prefix of a peer, exceptions included. */
export function mentionedPrefixes(rules: readonly Rule[]): Cidr[] {
  const out = new Set<Cidr>();
  for (const r of rules)
    for (const e of r.entries)
      for (const p of e.peers) if (p.kind === 'cidr' || p.kind === 'block') for (const c of [p.cidr, ...p.except]) out.add(c);
  return [...out];
}

const stride = 0x1_0000;

/**
 * Addresses nobody has and no rule speaks of. Candidates run through blocks in steps, so that one mentioned prefix does not hide all of them;
 * if everything is mentioned, one that only the fewest mention is not searched for: the last candidate has to do.
 */
function createAddresses(prefixes: readonly Cidr[], world: ManifestWorld): (family: IpFamily) => IpAddr {
  const taken = new Set<IpAddr>([
    ...world.workloads.flatMap((w) => w.addresses),
    ...world.nodes.flatMap((n) => n.addresses),
    ...world.apiServers,
  ]);
  const narrow = { 4: [] as Cidr[], 6: [] as Cidr[] };
  for (const c of prefixes) if (cidrBits(c) > 0) narrow[cidrFamily(c)].push(c);
  const next = { 4: 1, 6: 1 };
  const candidate = (family: IpFamily): IpAddr => {
    const n = next[family]++;
    // 198.18.0.0/15 is for benchmarks: hardly anyone's rules name it. Then 240.0.0.0/4.
    const text =
      family === 6
        ? `2001:2::${(n >>> 16).toString(16)}:${(n & 0xffff).toString(16)}`
        : n < stride * 2 - 1
          ? `198.${18 + (n >>> 16)}.${(n >>> 8) & 0xff}.${n & 0xff}`
          : `240.${(n >>> 16) & 0xff}.${(n >>> 8) & 0xff}.${n & 0xff}`;
    const ip = parseIp(text);
    if (!ip.ok) throw ip.error;
    return ip.value;
  };
  return (family) => {
    let ip = candidate(family);
    for (let tries = 0; tries < stride * 4 && (taken.has(ip) || narrow[family].some((c) => cidrContainsIp(c, ip))); tries++)
      ip = candidate(family);
    taken.add(ip);
    return ip;
  };
}

/** Pods of a workload that is in the input stand for it only where addresses count. */
export function planState(model: Model, byAddress: boolean): PlanState {
  const pods = new Map<string, Workload>();
  for (const w of model.world.workloads) if (!w.hostNetwork && (byAddress || !w.owned)) pods.set(workloadTitle(w), w);
  return {
    rules: model.scene.rules,
    config: model.scene.config,
    nodes: model.scene.nodes,
    pods: [...pods].map(([name, w]) => ({
      name,
      labels: w.labels,
      namedPorts: w.namedPorts,
      addresses: w.addresses,
      ...(w.node === undefined ? {} : { node: w.node }),
    })),
  };
}
