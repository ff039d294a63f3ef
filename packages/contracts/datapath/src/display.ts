// Rows as plain JSON for people and scripts: addresses as text, numbers with names beside them. Called by `axoneme bpf … list`.
import { addressText, cidrOfIpcacheKey, macText, parseDirPlen, portRange, verdictText } from './address.ts';
import { unpackRows } from './artifact.ts';
import { dropReasonText } from './drops.ts';
import {
  AffinityScope,
  CountVerdict,
  FlowAction,
  FlowFlag,
  FlowOrigin,
  Layer,
  LbFlag,
  NatFlag,
  NatVia,
  NodeFlag,
  SubjectFlag,
} from './gen/index.ts';
import { type KeyOf, type TableName, tables, type ValueOf } from './tables.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type JsonRow = Readonly<Record<string, Json>>;

const PROTOCOLS: Readonly<Record<number, string>> = { 0: 'any', 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6', 132: 'sctp' };
export const protocolText = (p: number): string => PROTOCOLS[p] ?? String(p);
export const handleText = (h: bigint): string => h.toString(16).padStart(16, '0');
export const ruleText = (id: number): string => id.toString(16).padStart(8, '0');

/** Names of the set bits. */
export function flagNames(flags: number, names: Readonly<Record<string, number>>): readonly string[] {
  return Object.entries(names).flatMap(([name, bit]) => ((flags & bit) === 0 ? [] : [name]));
}
const nameOf = (value: number, names: Readonly<Record<string, number>>): string =>
  Object.entries(names).find(([, n]) => n === value)?.[0] ?? String(value);

/** `normal`, `shadow admin`: which of a subject's rows it is. */
export const layerText = (layer: number): string => nameOf(layer, Layer).replace(/[A-Z]/g, (c) => ` ${c.toLowerCase()}`);

function portText(proto: number, port: number, plen: number): Json {
  if (plen === 0) return 'any';
  if (proto === 1 || proto === 58) return `type ${port}`;
  const [first, last] = portRange(port, plen);
  return first === last ? first : `${first}-${last}`;
}

const ip4Text = (n: number): string => `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`;
const num = (n: bigint): number => Number(n); // counters: beyond 2^53 the last digits do not matter to a reader

function flowRow(v: ValueOf<'flow4'>): JsonRow {
  const origin = v.ifindexIn >= 0xffff_ff00 ? nameOf(v.ifindexIn, FlowOrigin) : v.ifindexIn;
  const v6 = v.addr.subarray(4).some((b) => b !== 0);
  return {
    action: nameOf(v.action, FlowAction),
    flags: flagNames(v.flags, FlowFlag),
    generation: v.generation,
    in: origin,
    out: v.ifindexOut,
    target: v.addr.some((b) => b !== 0) ? (addressText(v.addr, v6 ? 6 : 4) ?? null) : null,
    port: v.port,
    dmac: macText(v.dmac),
    smac: macText(v.smac),
    expires: v.expires,
    packets: num(v.packets),
    bytes: num(v.bytes),
  };
}

const socketText = (addr: Uint8Array, port: number, family: number): string =>
  family === 6 ? `[${addressText(addr, 6) ?? ''}]:${port}` : `${addressText(addr, 4) ?? ''}:${port}`;

function natRow(v: ValueOf<'nat4'>, family: 4 | 6): JsonRow {
  return {
    to: (v.flags & NatFlag.dst) === 0 ? null : socketText(v.daddr, v.dport, family),
    as: (v.flags & NatFlag.src) === 0 ? null : socketText(v.saddr, v.sport, family),
    action: nameOf(v.action, NatVia),
    flags: flagNames(v.flags, NatFlag),
    hop: v.hop.some((b) => b !== 0) ? (addressText(v.hop, (v.flags & NatFlag.v6Hop) === 0 ? 4 : 6) ?? null) : null,
    out: v.ifindexOut,
    service: ruleText(v.serviceId),
    backend: ruleText(v.backendId),
    set: handleText(v.set),
    revision: v.revision,
    expires: v.expires,
  };
}

type Renderers = { readonly [N in TableName]: (k: KeyOf<N>, v: ValueOf<N>) => JsonRow };

const endpoint = (v: Omit<ValueOf<'endpoint'>, 'ifindex'>): JsonRow => ({
  identity: v.identity,
  endpoint: v.id,
  flags: v.flags,
  mac: macText(v.mac),
  hostMac: macText(v.hostMac),
});

const renderers: Renderers = {
  policy: (k, v) => {
    const { direction, plen } = parseDirPlen(k.dirPlen);
    return {
      handle: handleText(k.handle),
      direction,
      peer: k.peer === 0 ? 'any' : k.peer,
      protocol: protocolText(k.proto),
      port: portText(k.proto, k.port, plen),
      verdict: verdictText(v.verdict),
      precedence: v.precedence,
      rule: ruleText(v.ruleId),
    };
  },
  subject: (k, v) => ({
    identity: k.identity,
    layer: layerText(k.layer),
    handle: handleText(v.handle),
    flags: flagNames(v.flags, SubjectFlag),
    denyRules: { ingress: ruleText(v.denyRule[0]), egress: ruleText(v.denyRule[1]) },
    peerMask: v.peerMask.map((m) => `0x${m.toString(16)}`),
    anyMask: v.anyMask.map((m) => `0x${m.toString(16)}`),
  }),
  ipcache: (k, v) => ({
    cidr: cidrOfIpcacheKey(k),
    identity: v.identity,
    tunnel: addressText(v.tunnel, v.tunnelFamily) ?? null,
    flags: v.flags,
  }),
  addr_class: (k, v) => ({ cidr: cidrOfIpcacheKey(k), class: v.class }),
  lb_frontend: (k, v) => ({
    address: addressText(k.addr, k.family) ?? '',
    port: k.port,
    protocol: protocolText(k.proto),
    sets: { out: handleText(v.setOut), in: handleText(v.setIn) },
    backends: { out: v.countOut, in: v.countIn },
    maglevSize: v.maglevSize,
    flags: flagNames(v.flags, LbFlag),
    affinityS: v.affinityS,
    service: ruleText(v.serviceId),
  }),
  lb_slot: (k, v) => ({
    set: handleText(k.set),
    index: k.index,
    address: addressText(v.addr, v.family) ?? '',
    port: v.port,
    backend: ruleText(v.backendId),
  }),
  lb_maglev: (k, v) => ({ set: handleText(k.set), chunk: k.chunk, slots: v.slot }),
  lb_source: (k, v) => ({
    service: ruleText(k.serviceId),
    cidr: `${addressText(k.addr, k.family) ?? ''}/${k.prefixlen - 64}`,
    allowed: v.allowed !== 0,
  }),
  endpoint: (k, v) => ({ address: addressText(k.addr, k.family) ?? '', ifindex: v.ifindex, ...endpoint(v) }),
  endpoint_if: (k, v) => ({
    ifindex: k.ifindex,
    ipv4: v.ip4.some((b) => b !== 0) ? (addressText(v.ip4, 4) ?? null) : null,
    ipv6: v.ip6.some((b) => b !== 0) ? (addressText(v.ip6, 6) ?? null) : null,
    ...endpoint(v),
  }),
  endpoint_netns: (k, v) => ({
    cookie: handleText(k.cookie),
    ipv4: v.ip4.some((b) => b !== 0) ? (addressText(v.ip4, 4) ?? null) : null,
    ipv6: v.ip6.some((b) => b !== 0) ? (addressText(v.ip6, 6) ?? null) : null,
  }),
  node_config: (_k, v) => ({
    nodeIpv4: addressText(v.nodeIp4, 4) ?? null,
    nodeIpv6: addressText(v.nodeIp6, 6) ?? null,
    routerIpv4: addressText(v.routerIp4, 4) ?? null,
    routerIpv6: addressText(v.routerIp6, 6) ?? null,
    flags: flagNames(v.flags, NodeFlag),
    ifindex: { vxlan: v.ifindexVxlan, host: v.ifindexHost, net: v.ifindexNet, netdev: v.ifindexNetdev },
    vxlanPort: v.vxlanPort,
    snatPorts: `${v.snatMin}-${v.snatMax}`,
    nodePorts: `${v.nodePortMin}-${v.nodePortMax}`,
    pathMtu: v.pathMtu,
  }),
  generation: (k, v) => ({ index: k, generation: v }),
  flow4: (k, v) => ({
    source: `${ip4Text(k.saddr)}:${k.sport}`,
    destination: `${ip4Text(k.daddr)}:${k.dport}`,
    protocol: protocolText(k.proto),
    ...flowRow(v),
  }),
  flow6: (k, v) => ({
    source: `[${addressText(k.saddr, 6)}]:${k.sport}`,
    destination: `[${addressText(k.daddr, 6)}]:${k.dport}`,
    protocol: protocolText(k.proto),
    ...flowRow(v),
  }),
  nat4: (k, v) => ({
    source: `${ip4Text(k.saddr)}:${k.sport}`,
    destination: `${ip4Text(k.daddr)}:${k.dport}`,
    protocol: protocolText(k.proto),
    ...natRow(v, 4),
  }),
  nat6: (k, v) => ({
    source: socketText(k.saddr, k.sport, 6),
    destination: socketText(k.daddr, k.dport, 6),
    protocol: protocolText(k.proto),
    ...natRow(v, 6),
  }),
  l2_announce: (k, v) => ({
    ifindex: k.ifindex,
    address: addressText(k.addr, k.family) ?? '',
    mac: macText(v.mac),
    untilNs: num(v.untilNs),
  }),
  counters: (k, v) => ({
    subject: k.subject,
    peer: k.peer,
    direction: (k.dirVerdict & CountVerdict.egress) === 0 ? 'ingress' : 'egress',
    verdict: nameOf(k.dirVerdict & 0x7f, CountVerdict),
    protocol: protocolText(k.proto),
    port: k.port,
    rule: ruleText(k.ruleId),
    packets: num(v.packets),
    bytes: num(v.bytes),
  }),
  drops: (k, v) => ({
    reason: dropReasonText(k >> 1),
    number: k >> 1,
    direction: (k & 1) === 0 ? 'ingress' : 'egress',
    packets: num(v.packets),
    bytes: num(v.bytes),
  }),
  lb_affinity: (k, v) => ({
    service: ruleText(k.serviceId),
    client:
      k.scope === AffinityScope.netns
        ? `netns ${new DataView(k.client.buffer, k.client.byteOffset).getBigUint64(0, true)}`
        : (addressText(k.client, k.family) ?? ''),
    protocol: protocolText(k.proto),
    backend: `${addressText(v.addr, v.family) ?? ''}:${v.port}`,
    backendId: ruleText(v.backendId),
    set: handleText(v.set),
    lastNs: Number(v.lastNs),
  }),
  lb_sock: (k, v) => ({
    cookie: handleText(k.cookie),
    backend: `${addressText(k.addr, k.family) ?? ''}:${k.port}`,
    frontend: `${addressText(v.addr, v.family) ?? ''}:${v.port}`,
    protocol: protocolText(k.proto),
    service: ruleText(v.serviceId),
  }),
};

/** One decoded row as JSON. */
export function displayRow<N extends TableName>(name: N, key: KeyOf<N>, value: ValueOf<N>): JsonRow {
  return renderers[name](key, value);
}

/** Packed rows of a table as JSON. Values of per-CPU tables must be summed first (`sumPerCpu`). */
export function displayRows(name: TableName, keys: Uint8Array, values: Uint8Array): JsonRow[] {
  return unpackRows(name, keys, values).map(([k, v]) => displayRow(name, k, v));
}

/** Adds the u64 fields of the slots of a per-CPU value: `counters`, `drops`, `events_lost` hold nothing but u64. */
export function sumPerCpu(value: Uint8Array, size: number): Uint8Array {
  const words = size / 8;
  const sums = new BigUint64Array(words);
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  for (let at = 0; at + size <= value.length; at += size) for (let w = 0; w < words; w++) sums[w]! += view.getBigUint64(at + 8 * w, true);
  return new Uint8Array(sums.buffer);
}

export const isPerCpu = (name: TableName): boolean => name === 'counters' || name === 'drops';
export const valueSize = (name: TableName): number => tables[name].value.size;
