// The node's own network objects: the axo_host/axo_net pair, the VXLAN device, router addresses, routes, sysctls. `ensure` compares and
// changes only what differs, so it serves first start, restart and repair alike. Called by the datapath.
import {
  addAddress,
  createVeth,
  createVxlan,
  deleteAddress,
  deleteLink,
  deleteRoute,
  getLink,
  type Link,
  listAddresses,
  listRoutes,
  type NetlinkSocket,
  OUR_PROTOCOL,
  type RouteSpec,
  setLink,
  setNeighbour,
  setRoute,
  tolerate,
  writeSysctl,
} from '@axoneme/netlink';
import { AppError, invariant, type Log } from '@axoneme/std';
import { familyOf } from '../endpoints/address.ts';
import { type NodeView, primary } from './node-view.ts';
import { ownAddresses } from './own-addresses.ts';

export const hostName = 'axo_host';
export const netName = 'axo_net';
export const vxlanName = 'axo_vxlan';
/** Next hop of all cluster routes, so that the node needs one neighbour entry instead of one per pod. */
const gateway = 'fe80::a:0';
const mainTable = 254;
const vxlanOverhead4 = 50;
const vxlanOverhead6 = 70;

export interface NodeNetwork {
  readonly host: Link;
  readonly net: Link;
  readonly vxlan: Link | undefined;
  readonly devices: readonly Link[];
  /** Everything this node answers to, whether the cluster knows of it or not. */
  readonly addresses: readonly string[];
  /** For pods and cluster routes. */
  readonly mtu: number;
}

/** Packets of pods must still fit the device with the tunnel header around them. */
export function podMtu(view: NodeView, deviceMtu: number): number {
  if (view.mtu > 0) return view.mtu;
  if (!view.tunnel) return deviceMtu;
  return deviceMtu - (primary(view, 4) === '' ? vxlanOverhead6 : vxlanOverhead4);
}

function setSysctls(device: string): void {
  const v4 = (name: string, value: number): void => void writeSysctl(['net', 'ipv4', 'conf', device, name], value);
  const v6 = (name: string, value: number): void => void writeSysctl(['net', 'ipv6', 'conf', device, name], value);
  v4('forwarding', 1);
  v4('rp_filter', 0);
  v4('accept_local', 1);
  v4('send_redirects', 0);
  v6('forwarding', 1);
  v6('accept_ra', 0);
  v6('accept_dad', 0);
}

/** Also for the host side of pod pairs. A node without IPv6 has no such files. */
export function prepareDevice(device: string): void {
  try {
    setSysctls(device);
  } catch (e) {
    if (!(e instanceof AppError) || !e.message.includes('ENOENT')) throw e;
  }
}

function nodeSysctls(): void {
  const set = (...path: readonly (string | number)[]): void => {
    const value = path.at(-1) as number;
    try {
      writeSysctl(path.slice(0, -1) as string[], value);
    } catch (e) {
      if (!(e instanceof AppError) || !e.message.includes('ENOENT')) throw e;
    }
  };
  set('net', 'ipv4', 'ip_forward', 1);
  // the strictest of `all` and the device counts; source addresses are verified by our programs
  set('net', 'ipv4', 'conf', 'all', 'rp_filter', 0);
  set('net', 'ipv6', 'conf', 'all', 'forwarding', 1);
}

const mustGet = (socket: NetlinkSocket, name: string): Link => {
  const link = getLink(socket, name);
  invariant(link !== undefined, 'a device that was just made is there');
  return link;
};

function ensureHostPair(socket: NetlinkSocket, mtu: number, log: Log): { host: Link; net: Link } {
  let host = getLink(socket, hostName);
  const net = getLink(socket, netName);
  if (!host || !net || host.peerIfindex !== net.ifindex) {
    const rest = [host, net].filter((l) => l !== undefined).map((l) => tolerate(deleteLink(l.ifindex), 'ENODEV'));
    socket.execute([...rest, createVeth({ name: hostName, mtu }, { name: netName, mtu })]);
    log.info('host device pair created', { host: hostName, net: netName });
    host = mustGet(socket, hostName);
  }
  for (const name of [hostName, netName]) prepareDevice(name);
  const ends = [hostName, netName].map((n) => mustGet(socket, n));
  socket.execute(ends.filter((l) => !l.up || l.mtu !== mtu).map((l) => setLink(l.ifindex, { up: true, mtu })));
  const made = { host: mustGet(socket, hostName), net: mustGet(socket, netName) };
  socket.execute([setNeighbour({ ifindex: made.host.ifindex, address: gateway, mac: made.net.mac })]);
  return made;
}

function ensureVxlan(socket: NetlinkSocket, view: NodeView, mtu: number, log: Log): Link | undefined {
  // the kernel does not tell the port back in a link message, so the alias remembers it
  const alias = `axoneme vxlan ${view.vxlanPort}`;
  const now = getLink(socket, vxlanName);
  if (now && (!view.tunnel || now.kind !== 'vxlan' || now.alias !== alias)) {
    socket.execute([tolerate(deleteLink(now.ifindex), 'ENODEV')]);
    log.info('tunnel device removed', { device: vxlanName });
  }
  if (!view.tunnel) return undefined;
  if (!getLink(socket, vxlanName)) {
    socket.execute([createVxlan({ name: vxlanName, external: true, port: view.vxlanPort })]);
    socket.execute([setLink(mustGet(socket, vxlanName).ifindex, { alias })]);
    log.info('tunnel device created', { device: vxlanName, port: view.vxlanPort });
  }
  prepareDevice(vxlanName);
  const link = mustGet(socket, vxlanName);
  if (!link.up || link.mtu !== mtu) socket.execute([setLink(link.ifindex, { up: true, mtu })]);
  return mustGet(socket, vxlanName);
}

function ensureAddresses(socket: NetlinkSocket, view: NodeView, host: Link): void {
  const wanted = new Set([view.router4 && `${view.router4}/32`, view.router6 && `${view.router6}/128`].filter((a) => a !== ''));
  const linkLocal = 253;
  const now = listAddresses(socket, host.ifindex).filter((a) => a.scope !== linkLocal);
  const have = new Set(now.map((a) => `${a.address}/${a.bits}`));
  socket.execute([
    ...[...wanted].filter((a) => !have.has(a)).map((address) => addAddress({ ifindex: host.ifindex, address })),
    ...[...have]
      .filter((a) => !wanted.has(a))
      .map((address) => tolerate(deleteAddress({ ifindex: host.ifindex, address }), 'EADDRNOTAVAIL')),
  ]);
}

/** Routes of ours: all pod ranges through axo_host; with native routing the other nodes' blocks through their nodes. Pure. */
export function desiredRoutes(view: NodeView, n: { readonly hostIfindex: number; readonly mtu: number }): RouteSpec[] {
  const routerOf = (cidr: string): string => (familyOf(cidr) === 4 ? view.router4 : view.router6);
  const inside = [...new Set([...view.clusterCidrs, ...view.blocks])].filter((c) => routerOf(c) !== '');
  const remote = view.tunnel
    ? []
    : view.remotes.flatMap((node) =>
        node.blocks.flatMap((to): RouteSpec[] => {
          const via = node.addresses.find((a) => familyOf(a) === familyOf(to));
          return via === undefined ? [] : [{ to, via }];
        }),
      );
  return [...inside.map((to) => ({ to, ifindex: n.hostIfindex, via: gateway, onlink: true, src: routerOf(to), mtu: n.mtu })), ...remote];
}

function ensureRoutes(socket: NetlinkSocket, view: NodeView, host: Link, mtu: number, log: Log): void {
  const now = new Map(listRoutes(socket, { table: mainTable, protocol: OUR_PROTOCOL }).map((r) => [r.to, r]));
  const wanted = desiredRoutes(view, { hostIfindex: host.ifindex, mtu });
  const names = new Set(wanted.map((r) => r.to));
  const differs = (r: RouteSpec): boolean => {
    const have = now.get(r.to);
    return (
      !have || have.via !== r.via || (r.ifindex !== undefined && have.ifindex !== r.ifindex) || have.mtu !== r.mtu || have.src !== r.src
    );
  };
  for (const f of socket.tryExecute(wanted.filter(differs).map(setRoute))) {
    log.warn('route refused by the kernel', { route: f.about, errno: f.errnoName, reason: f.text });
  }
  const stale = [...now.values()].filter((r) => !names.has(r.to));
  socket.tryExecute(stale.map((r) => tolerate(deleteRoute({ to: r.to, ifindex: r.ifindex, metric: r.metric }), 'ESRCH')));
}

export function ensureNetwork(socket: NetlinkSocket, view: NodeView, devices: readonly Link[], log: Log): NodeNetwork {
  const device = devices[0];
  invariant(device !== undefined, 'at least one device was found');
  const mtu = podMtu(view, device.mtu);
  nodeSysctls();
  const { host, net } = ensureHostPair(socket, mtu, log);
  const vxlan = ensureVxlan(socket, view, device.mtu, log);
  ensureAddresses(socket, view, host);
  ensureRoutes(socket, view, host, mtu, log);
  return { host, net, vxlan, devices, mtu, addresses: ownAddresses(socket, devices) };
}
