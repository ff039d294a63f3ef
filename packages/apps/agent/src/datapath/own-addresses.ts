// Every address this node answers to, wherever it sits: traffic to and from them is the node's own and falls under its host policy. Called by
// the datapath when it configures the network.
import { type Link, listAddresses, listLinks, type NetlinkSocket } from '@axoneme/netlink';

const oursPrefix = 'axo';
const linkScope = 253;
const loopback = /^(127\.|::1$)/;

/** Link-local ones count on the devices towards the others only: elsewhere they repeat and nobody routes to them. */
export function ownAddresses(socket: NetlinkSocket, devices: readonly Link[]): readonly string[] {
  const foreign = new Set(
    listLinks(socket)
      .filter((l) => !l.name.startsWith(oursPrefix))
      .map((l) => l.ifindex),
  );
  const towards = new Set(devices.map((d) => d.ifindex));
  return listAddresses(socket)
    .filter((a) => foreign.has(a.ifindex) && !loopback.test(a.address) && (a.scope !== linkScope || towards.has(a.ifindex)))
    .map((a) => a.address);
}
