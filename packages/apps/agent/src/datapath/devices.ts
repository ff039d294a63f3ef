// Finds the devices through which this node reaches the others: those that hold a node address, else those of the default routes.
// Called by the datapath before it configures the network.
import { type Link, listAddresses, listLinks, listRoutes, type NetlinkSocket } from '@axoneme/netlink';
import { AppError } from '@axoneme/std';

const oursPrefix = 'axo';

/** The primary device first. Errors: `agent/no-device`. */
export function findDevices(socket: NetlinkSocket, wanted: readonly string[], nodeAddresses: readonly string[]): readonly Link[] {
  const links = listLinks(socket).filter((l) => !l.name.startsWith(oursPrefix));
  if (wanted.length > 0) {
    const found = wanted.map((name) => links.find((l) => l.name === name));
    const missing = wanted.find((_, i) => found[i] === undefined);
    if (missing !== undefined)
      throw new AppError({ code: 'agent/no-device', message: `this node has no device ${missing}`, hint: 'see --devices' });
    return found.filter((l) => l !== undefined);
  }
  const holders = new Map(listAddresses(socket).map((a) => [a.address, a.ifindex]));
  const byAddress = nodeAddresses.map((a) => holders.get(a));
  const byRoute = listRoutes(socket)
    .filter((r) => r.to.endsWith('/0') && r.ifindex > 0 && r.type === 1)
    .map((r) => r.ifindex);
  const indexes = [...new Set([...byAddress, ...byRoute])];
  const devices = indexes.map((i) => links.find((l) => l.ifindex === i)).filter((l) => l !== undefined && l.name !== 'lo');
  if (devices.length > 0) return devices as Link[];
  throw new AppError({
    code: 'agent/no-device',
    message: `no device holds a node address (${nodeAddresses.join(', ')}) or a default route`,
    retry: 'later',
    hint: 'name the devices with --devices',
  });
}
