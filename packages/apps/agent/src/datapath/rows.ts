// Rows the agent itself writes: node configuration, endpoints by address and by device. Pure; the layouts are the codecs' of
// contracts/datapath. Called by the datapath and the endpoint manager.
import {
  EndpointFlag,
  endpointIfKey,
  endpointIfValue,
  endpointKey,
  endpointNetnsKey,
  endpointNetnsValue,
  endpointValue,
  macBytes,
  NodeFlag,
  nodeConfig,
} from '@axoneme/datapath';
import { familyOf, ipBytes16, ipBytesOf } from '../endpoints/address.ts';
import type { NodeNetwork } from './network.ts';
import { type NodeView, primary } from './node-view.ts';

export interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

export const hostIdentity = 1;
export const initIdentity = 5;
const noMac = new Uint8Array(6);

const bytes = (address: string, length: 4 | 16): Uint8Array =>
  address === '' ? new Uint8Array(length) : Uint8Array.from(ipBytesOf(address));

/** Source ports for masquerade: beside what the node's own sockets use. */
export interface PortRange {
  readonly min: number;
  readonly max: number;
}

const portMin = 16384;
const portMax = 65535;
const rangeMin = 4096;

/** Of `ranges` what is outside of `taken`. */
const without = (ranges: readonly PortRange[], taken: PortRange): PortRange[] =>
  ranges
    .flatMap((r) => [
      { min: r.min, max: Math.min(r.max, taken.min - 1) },
      { min: Math.max(r.min, taken.max + 1), max: r.max },
    ])
    .filter((r) => r.min <= r.max);

const sizeOf = (r: PortRange): number => r.max - r.min + 1;

/**
 * The highest ports that neither sockets of the node nor Services may have, if they are enough; else the longest run of such ports.
 * `local`: ip_local_port_range.
 */
export function masqueradePorts(local: string | undefined, nodePorts: PortRange): PortRange {
  const [low = 32768, high = 60999] = (local ?? '').split(/\s+/).filter(Boolean).map(Number);
  const free = without(without([{ min: portMin, max: portMax }], { min: low, max: high }), nodePorts);
  const longest = [...free].sort((a, b) => sizeOf(b) - sizeOf(a))[0];
  return free.findLast((r) => sizeOf(r) >= rangeMin) ?? longest ?? { min: portMin, max: 29_999 };
}

/** Without pods nothing else is in the way: the longest run of ports that sockets of the machine are not given by themselves. */
export function balancerPorts(local: string | undefined): PortRange {
  const [low = 32768, high = 60999] = (local ?? '').split(/\s+/).filter(Boolean).map(Number);
  const free = without([{ min: 1024, max: portMax }], { min: low, max: high });
  return free.sort((a, b) => sizeOf(b) - sizeOf(a))[0] ?? { min: 1024, max: portMax };
}

/** Largest packet of a pod of this node that reaches every other one in one piece. */
export const pathMtu = (view: Pick<NodeView, 'pathMtu'>, n: Pick<NodeNetwork, 'mtu'>): number =>
  Math.min(view.pathMtu === 0 ? n.mtu : view.pathMtu, n.mtu, 0xffff);

/** `enforced`: the node is a subject of policy. `netnsCookie`: of this agent's own namespace, which is the node's. */
export function nodeConfigRow(
  view: NodeView,
  n: NodeNetwork,
  { ports, enforced, netnsCookie }: { readonly ports: PortRange; readonly enforced: boolean; readonly netnsCookie: bigint },
): Row {
  const flags =
    (view.tunnel ? NodeFlag.tunnel : 0) |
    (view.masquerade4 ? NodeFlag.masquerade4 : 0) |
    (view.masquerade6 ? NodeFlag.masquerade6 : 0) |
    (view.policyAudit ? NodeFlag.audit : 0) |
    (view.podServices ? NodeFlag.podServices : 0) |
    (view.dsrIpip ? NodeFlag.dsrIpip : 0) |
    (view.balancer === true ? NodeFlag.balancer : 0) |
    (enforced ? NodeFlag.hostPolicy : 0);
  const value = nodeConfig.encode({
    nodeIp4: bytes(primary(view, 4), 4),
    routerIp4: bytes(view.router4, 4),
    nodeIp6: bytes(primary(view, 6), 16),
    routerIp6: bytes(view.router6, 16),
    ifindexVxlan: n.vxlan?.ifindex ?? 0,
    ifindexHost: n.host.ifindex,
    ifindexNet: n.net.ifindex,
    ifindexNetdev: n.devices[0]?.ifindex ?? 0,
    macHost: macBytes(n.host.mac),
    macNet: macBytes(n.net.mac),
    flags,
    vxlanPort: view.vxlanPort,
    snatMin: ports.min,
    snatMax: ports.max,
    nodePortMin: view.nodePorts.min,
    nodePortMax: view.nodePorts.max,
    pathMtu: pathMtu(view, n),
    netnsCookie,
    eventSample: 0,
    dropSample: 0,
  });
  return { key: Buffer.alloc(4), value: Buffer.from(value) };
}

const addressKey = (address: string): Buffer => Buffer.from(endpointKey.encode({ addr: ipBytes16(address), family: familyOf(address) }));

/** Addresses of this node and its routers: traffic to them belongs to the host. */
export function hostRows(view: NodeView, n: NodeNetwork): Row[] {
  const addresses = new Set([...view.addresses, view.router4, view.router6, ...n.addresses].filter((a) => a !== ''));
  const value = Buffer.from(
    endpointValue.encode({
      ifindex: n.host.ifindex,
      identity: hostIdentity,
      id: 0,
      flags: EndpointFlag.host,
      mac: macBytes(n.host.mac),
      hostMac: macBytes(n.net.mac),
    }),
  );
  return [...addresses].map((a) => ({ key: addressKey(a), value }));
}

export interface PodInterface {
  readonly id: number;
  readonly identity: number;
  /** What policy would drop of it passes. */
  readonly audit: boolean;
  readonly ifindex: number;
  readonly mac: string;
  readonly hostMac: string;
  /** Empty when the pod has none of the family. */
  readonly ipv4: string;
  readonly ipv6: string;
  /** Of the pod's network namespace; 0 = unknown. */
  readonly netnsCookie: bigint;
}

const podFlags = (p: PodInterface): number => (p.audit ? EndpointFlag.audit : 0);

export const podAddressKeys = (p: Pick<PodInterface, 'ipv4' | 'ipv6'>): Buffer[] =>
  [p.ipv4, p.ipv6].filter((a) => a !== '').map(addressKey);
export const podIfKey = (ifindex: number): Buffer => Buffer.from(endpointIfKey.encode({ ifindex }));

export function podAddressRows(p: PodInterface): Row[] {
  const ends = { mac: p.mac === '' ? noMac : macBytes(p.mac), hostMac: p.hostMac === '' ? noMac : macBytes(p.hostMac) };
  const value = Buffer.from(endpointValue.encode({ ifindex: p.ifindex, identity: p.identity, id: p.id, flags: podFlags(p), ...ends }));
  return podAddressKeys(p).map((key) => ({ key, value }));
}

export function podIfRow(p: PodInterface): Row {
  const value = endpointIfValue.encode({
    identity: p.identity,
    id: p.id,
    flags: podFlags(p),
    mac: macBytes(p.mac),
    hostMac: macBytes(p.hostMac),
    ip4: bytes(p.ipv4, 4),
    ip6: bytes(p.ipv6, 16),
  });
  return { key: podIfKey(p.ifindex), value: Buffer.from(value) };
}

export const podNetnsKey = (cookie: bigint): Buffer => Buffer.from(endpointNetnsKey.encode({ cookie }));

/** None while the namespace is unknown. */
export function podNetnsRows(p: PodInterface): Row[] {
  if (p.netnsCookie === 0n) return [];
  const value = Buffer.from(endpointNetnsValue.encode({ ip4: bytes(p.ipv4, 4), ip6: bytes(p.ipv6, 16) }));
  return [{ key: podNetnsKey(p.netnsCookie), value }];
}
