// The same wires for every way of balancing: a client, a node that forwards, two backends, each in its own network namespace.
import { closeSync } from 'node:fs';
import {
  addAddress,
  createNetns,
  createVeth,
  deleteNetns,
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
import { openWorld, type World } from '../world.ts';

export interface End {
  readonly ip: string;
  readonly netns: string;
  /** The node's side. */
  readonly link: Link;
  readonly mac: string;
  readonly hostMac: string;
}

export interface Bed {
  readonly world: World;
  readonly client: End;
  readonly backends: readonly [End, End];
  close(): void;
}

export const GATEWAY = '10.0.9.254';

/** `clientIp`: one of the pods' network, or of the world outside. */
export function createBed(objects: readonly string[], clientIp: string): Bed {
  const world = openWorld(objects);
  const client = createEnd(world, clientIp, 1);
  const backends = [createEnd(world, '10.0.1.1', 2), createEnd(world, '10.0.1.2', 3)] as const;
  const ends = [client, ...backends];
  inNetns(world.netns, () => {
    writeSysctl(['net', 'ipv4', 'ip_forward'], 1);
    for (const name of ['all', ...ends.map((e) => e.link.name)]) writeSysctl(['net', 'ipv4', 'conf', name, 'rp_filter'], 0);
  });
  const lo = getLink(world.socket, 'lo');
  invariant(lo !== undefined, 'lo');
  // what MASQUERADE and our SNAT lend to clients of the outside
  world.socket.execute([setLink('lo', { up: true }), addAddress({ ifindex: lo.ifindex, address: `${GATEWAY}/32` })]);
  world.socket.execute(
    ends.flatMap((e) => [
      setRoute({ to: `${e.ip}/32`, ifindex: e.link.ifindex }),
      setNeighbour({ ifindex: e.link.ifindex, address: e.ip, mac: e.mac }),
    ]),
  );
  return {
    world,
    client,
    backends,
    close() {
      for (const e of ends) deleteNetns(e.netns);
      world.close();
    },
  };
}

function createEnd(world: World, ip: string, n: number): End {
  const netns = `${world.netns}-end${n}`;
  const [mac, hostMac, name] = [`02:00:00:00:01:0${n}`, `02:00:00:00:02:0${n}`, `end${n}`];
  createNetns(netns);
  const fd = openNetns(netns);
  world.socket.execute([createVeth({ name, mac: hostMac, up: true }, { name: 'eth0', mac, netnsFd: fd })]);
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
    addAddress({ ifindex: eth0.ifindex, address: `${ip}/32` }),
    setRoute({ to: '0.0.0.0/0', via: GATEWAY, ifindex: eth0.ifindex, onlink: true }),
    setNeighbour({ ifindex: eth0.ifindex, address: GATEWAY, mac: hostMac }),
  ]);
  socket.close();
  const link = getLink(world.socket, name);
  invariant(link !== undefined, name);
  return { ip, netns, link, mac, hostMac };
}
