// The same wires for every way of balancing: a client, a node that forwards, two backends, each in its own network namespace.
import { addAddress, deleteNetns, getLink, inNetns, setLink, setNeighbour, setRoute, writeSysctl } from '@axoneme/netlink';
import { invariant } from '@axoneme/std';
import { createEnd, type End } from '../end.ts';
import { openWorld, type World } from '../world.ts';

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
  const end = (ip: string, n: number): End => createEnd(world, { name: 'end', n, ip, gateway: GATEWAY });
  const client = end(clientIp, 1);
  const backends = [end('10.0.1.1', 2), end('10.0.1.2', 3)] as const;
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
