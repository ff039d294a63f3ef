// A network namespace with a routing table to ask: forwarding, one uplink, default routes of both families. For packet tests.
import { NODE_MAC } from './packet.ts';
import { sh } from './world.ts';

export interface Uplink {
  readonly ifindex: number;
  /** `ip -n <namespace> <args>` */
  ip(args: string): string;
  index(device: string): number;
}

/** 192.168.9.1 and fd99::1 on `up0`, whose other end is `up1`; the next hops .254 and ::fe are nobody. Whoever calls deletes the namespace. */
export function createUplink(netns: string): Uplink {
  sh(`ip netns add ${netns}`);
  const ip = (args: string): string => sh(`ip -n ${netns} ${args}`);
  const index = (device: string): number => (JSON.parse(ip(`-j link show ${device}`)) as [{ ifindex: number }])[0].ifindex;
  for (const s of ['ipv4.ip_forward=1', 'ipv6.conf.all.forwarding=1']) sh(`ip netns exec ${netns} sysctl -qw net.${s}`);
  ip('link set lo up');
  ip('link add up0 type veth peer name up1');
  ip(`link set up0 address ${NODE_MAC}`);
  for (const d of ['up0', 'up1']) ip(`link set ${d} up`);
  ip('addr add 192.168.9.1/24 dev up0');
  ip('-6 addr add fd99::1/64 dev up0 nodad');
  ip('route add default via 192.168.9.254');
  ip('-6 route add default via fd99::fe dev up0');
  return { ifindex: index('up0'), ip, index };
}
