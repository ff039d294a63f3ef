// One end of a bench's wires: a network namespace with one address, a default route to the node and MACs that are known. Called by `pods` and `services`.
import { closeSync } from 'node:fs';
import {
  addAddress,
  createNetns,
  createVeth,
  getLink,
  inNetns,
  type Link,
  NetlinkSocket,
  openNetns,
  setLink,
  setNeighbour,
  setRoute,
  writeSysctl,
} from '@axoneme/netlink';
import { invariant } from '@axoneme/std';
import type { World } from './world.ts';

export interface End {
  readonly ip: string;
  readonly netns: string;
  /** The node's side. */
  readonly link: Link;
  readonly mac: string;
  readonly hostMac: string;
}

/** `name`: of its namespace and of the node's device, followed by `n` (one digit), as are its MACs. Whoever calls deletes the namespace. */
export function createEnd(
  world: World,
  o: { readonly name: string; readonly n: number; readonly ip: string; readonly gateway: string },
): End {
  const [netns, device] = [`${world.netns}-${o.name}${o.n}`, `${o.name}${o.n}`];
  const [mac, hostMac] = [`02:00:00:00:01:0${o.n}`, `02:00:00:00:02:0${o.n}`];
  createNetns(netns);
  const fd = openNetns(netns);
  world.socket.execute([createVeth({ name: device, mac: hostMac, up: true }, { name: 'eth0', mac, netnsFd: fd })]);
  closeSync(fd);
  const socket = inNetns(netns, () => {
    writeSysctl(['net', 'ipv4', 'tcp_tw_reuse'], 1);
    writeSysctl(['net', 'ipv4', 'ip_local_port_range'], '1024 65535');
    return new NetlinkSocket();
  });
  const eth0 = getLink(socket, 'eth0');
  invariant(eth0 !== undefined, 'eth0');
  socket.execute([
    setLink('lo', { up: true }),
    setLink('eth0', { up: true }),
    addAddress({ ifindex: eth0.ifindex, address: `${o.ip}/32` }),
    setRoute({ to: '0.0.0.0/0', via: o.gateway, ifindex: eth0.ifindex, onlink: true }),
    setNeighbour({ ifindex: eth0.ifindex, address: o.gateway, mac: hostMac }),
  ]);
  socket.close();
  const link = getLink(world.socket, device);
  invariant(link !== undefined, device);
  return { ip: o.ip, netns, link, mac, hostMac };
}
