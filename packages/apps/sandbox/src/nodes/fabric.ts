// The network between nodes: a namespace with a bridge that is also the router, a leg to the machine (API server), and a second
// namespace that plays the world outside the cluster. The world knows no pod addresses, so only masqueraded traffic comes back.
import { networkInterfaces } from 'node:os';
import { AppError } from '@axoneme/std';
import { hostAddress, hostLink, nodeAddress, routerAddress, WORLD } from './addresses.ts';
import { type Holder, startHolder } from './holder.ts';
import { mustRun, run } from './run.ts';

export interface FabricConfig {
  readonly sbx: string;
  readonly demo: string;
  /** cgroup directory for the fabric's own processes. */
  readonly cgroup: string;
}

export interface Fabric {
  readonly subnet: number;
  readonly router: Holder;
  readonly world: Holder;
  /** Joins a node's namespace to the bridge and gives it its addresses and default routes. */
  connect(index: number, node: Holder): Promise<void>;
  disconnect(index: number): Promise<void>;
}

const SUBNETS = 256;
const ROUTER_SYSCTLS = [
  ['/proc/sys/net/ipv4/ip_forward', '1'],
  ['/proc/sys/net/ipv6/conf/all/forwarding', '1'],
  ['/proc/sys/net/ipv6/conf/default/forwarding', '1'],
] as const;
/** Duplicate address detection would make every link wait a second. */
export const QUIET_SYSCTLS = [
  ['/proc/sys/net/ipv6/conf/all/accept_dad', '0'],
  ['/proc/sys/net/ipv6/conf/default/accept_dad', '0'],
  ['/proc/sys/net/ipv6/conf/default/accept_ra', '0'],
] as const;

export const sysctlSteps = (list: readonly (readonly [string, string])[]): string[] =>
  list.flatMap(([path, value]) => ['trywrite', path, value]);
export const FORWARDING_STEPS = sysctlSteps([...QUIET_SYSCTLS, ...ROUTER_SYSCTLS]);

/** Runs iproute2 commands inside a namespace, all or nothing as far as iproute2 goes. */
export function ipBatch(sbx: string, pid: number, lines: readonly string[]): Promise<string> {
  return mustRun('configure network', sbx, ['joinpid', String(pid), 'n', 'exec', 'ip', '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

const taken = (subnet: number): boolean =>
  Object.values(networkInterfaces())
    .flat()
    .some((a) => a?.address.startsWith(`172.30.${subnet}.`) === true);

/** Claims a free subnet by creating its host link: the kernel refuses a second link of one name. */
async function claimSubnet(preferred: number, routerPid: number): Promise<number> {
  for (let i = 0; i < SUBNETS; i++) {
    // never 0: fd30:0:0:0::b has a shorter form, and tools print that one
    const subnet = 1 + ((preferred + i) % (SUBNETS - 1));
    if (taken(subnet)) continue;
    const r = await run('ip', ['link', 'add', hostLink(subnet), 'type', 'veth', 'peer', 'name', 'host0', 'netns', String(routerPid)]);
    if (r.code === 0) return subnet;
    if (!/exists/i.test(r.stderr))
      throw new AppError({ code: 'sandbox/fabric', message: `cannot create a veth pair: ${r.stderr.trim()}`, hint: 'run as root' });
  }
  throw new AppError({ code: 'sandbox/no-subnet', message: 'no free subnet in 172.30.0.0/16', hint: 'take another sandbox down' });
}

async function configureHost(subnet: number): Promise<void> {
  const link = hostLink(subnet);
  const a = hostAddress(subnet);
  await mustRun('host address', 'ip', ['addr', 'add', `${a.v4}/24`, 'dev', link]);
  await mustRun('host link', 'ip', ['link', 'set', link, 'up']);
  // a machine without IPv6 still has a usable sandbox
  await run('ip', ['addr', 'add', `${a.v6}/64`, 'dev', link, 'nodad']);
}

async function configureRouter(c: FabricConfig, subnet: number, router: Holder, world: Holder): Promise<void> {
  const a = routerAddress(subnet);
  await ipBatch(c.sbx, router.pid, [
    'link add br0 type bridge mcast_snooping 0 forward_delay 0',
    'link set br0 up',
    `addr add ${a.v4}/24 dev br0`,
    `addr add ${a.v6}/64 dev br0 nodad`,
    'link set host0 master br0 up',
    `link add world0 type veth peer name eth0 netns ${world.pid}`,
    `addr add ${WORLD.gatewayV4}/24 dev world0`,
    `addr add ${WORLD.gatewayV6}/64 dev world0 nodad`,
    'link set world0 up',
  ]);
  await ipBatch(c.sbx, world.pid, [
    `addr add ${WORLD.v4}/24 dev eth0`,
    `addr add ${WORLD.v6}/64 dev eth0 nodad`,
    'link set eth0 up',
    `route add 172.30.${subnet}.0/24 via ${WORLD.gatewayV4}`,
    `route add fd30:0:0:${subnet.toString(16)}::/64 via ${WORLD.gatewayV6}`,
  ]);
}

async function connectNode(c: FabricConfig, subnet: number, router: Holder, index: number, node: Holder): Promise<void> {
  const a = nodeAddress(subnet, index);
  const gw = routerAddress(subnet);
  await ipBatch(c.sbx, router.pid, [`link add n${index} type veth peer name eth0 netns ${node.pid}`, `link set n${index} master br0 up`]);
  await ipBatch(c.sbx, node.pid, [
    `addr add ${a.v4}/24 dev eth0`,
    `addr add ${a.v6}/64 dev eth0 nodad`,
    'link set eth0 up',
    `route add default via ${gw.v4} src ${a.v4}`,
    `route add ::/0 via ${gw.v6} src ${a.v6}`,
  ]);
}

export async function createFabric(c: FabricConfig, preferredSubnet: number): Promise<Fabric> {
  const base = ['cgroup', c.cgroup, 'unshare', 'n', 'loup', ...FORWARDING_STEPS];
  const router = await startHolder(c.sbx, [...base, 'hold']);
  const world = await startHolder(c.sbx, [...base, 'hold']);
  const subnet = await claimSubnet(preferredSubnet, router.pid);
  await configureHost(subnet);
  await configureRouter(c, subnet, router, world);
  const server = ['cgroup', c.cgroup, 'joinpid', String(world.pid), 'n', 'unshare', 'u', 'hostname', 'world', 'session'];
  await startHolder(
    c.sbx,
    [...server, 'exec', c.demo, '--mode', 'world', '--http', '80', '--http', '443', '--http', '8080', '--echo', '7'],
    false,
  );
  return {
    subnet,
    router,
    world,
    connect: (index, node) => connectNode(c, subnet, router, index, node),
    disconnect: async (index) => {
      await run(c.sbx, ['joinpid', String(router.pid), 'n', 'exec', 'ip', 'link', 'del', `n${index}`]);
    },
  };
}
