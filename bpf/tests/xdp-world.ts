// A node for packets at the driver: a namespace with a device to the clients and one to other nodes, both running `axo_xdp`, routes and
// neighbours to ask, services by hand. Called by the XDP suites.
import { bpf, createLab, dp, type Lab, netlink } from './kit.ts';
import { family, IP, PROTO } from './names.ts';
import { NODE_MAC, type PacketSpec, packet, parse, TCP } from './packet.ts';
import { sh } from './world.ts';

export const FAMILIES = [4, 6] as const;
export type Family = (typeof FAMILIES)[number];

/** `near` is a node on the clients' device, `far` one behind the other device. */
export const PLACE = {
  4: {
    node: '192.168.9.1', router: '10.0.1.254', gateway: '192.168.9.254', client: '203.0.113.7', local: '10.0.1.5', near: '192.168.9.3', nearPod: '10.0.3.5',
    far: '192.168.10.2', farPod: '10.0.2.5', silent: '10.0.4.5', narrow: '10.0.6.5', vip: '198.51.100.10',
  },
  6: {
    node: 'fd99::1', router: 'fd00:1::fe', gateway: 'fd99::fe', client: '2001:db8::7', local: 'fd00:1::5', near: 'fd99::3', nearPod: 'fd00:3::5',
    far: 'fd9a::2', farPod: 'fd00:2::5', silent: 'fd00:4::5', narrow: 'fd00:6::5', vip: '2001:db8:1::10',
  },
} as const; // biome-ignore format: a table
export const MAC = { gateway: '020000000ffe', near: '020000000f33', far: '020000000f22' } as const;
const colons = (m: string): string => m.replaceAll(/(..)(?=.)/g, '$1:');

export interface ServiceSpec {
  readonly vip: string;
  readonly port: number;
  readonly proto?: number;
  readonly backends: readonly (readonly [string, number])[];
  /** Slots behind the count. */
  readonly draining?: readonly (readonly [string, number])[];
  readonly flags?: number;
  readonly set?: bigint;
  readonly id?: number;
  readonly maglev?: readonly number[];
  readonly affinity?: number;
}

function createNetns(name: string): { readonly up: number; readonly down: number } {
  sh(`ip netns add ${name}`);
  const ip = (args: string): string => sh(`ip -n ${name} ${args}`);
  const settings = ['ipv4.ip_forward=1', 'ipv6.conf.all.forwarding=1', 'ipv6.conf.default.accept_dad=0'];
  for (const s of settings) sh(`ip netns exec ${name} sysctl -qw net.${s}`);
  ip('link set lo up');
  for (const d of ['up', 'dn']) {
    ip(`link add ${d}0 mtu 1500 type veth peer name ${d}1`);
    ip(`link set ${d}0 address ${NODE_MAC}`);
    for (const end of [0, 1]) ip(`link set ${d}${end} up`);
  }
  for (const [dev, address] of [
    ['up0', `${PLACE[4].node}/24`],
    ['up0', `${PLACE[6].node}/64 nodad`],
    ['dn0', '192.168.10.1/24'],
    ['dn0', 'fd9a::1/64 nodad'],
  ])
    ip(`addr add ${address} dev ${dev}`);
  for (const f of FAMILIES) {
    const [p, bits] = [PLACE[f], f === 4 ? 24 : 64];
    const route = (to: string, via: string, rest = ''): string => ip(`-${f} route add ${to}/${bits} via ${via} ${rest}`);
    ip(`-${f} route add default via ${p.gateway}`);
    route(f === 4 ? '10.0.2.0' : 'fd00:2::', p.far);
    route(f === 4 ? '10.0.3.0' : 'fd00:3::', p.near);
    route(f === 4 ? '10.0.4.0' : 'fd00:4::', f === 4 ? '192.168.9.4' : 'fd99::4');
    route(f === 4 ? '10.0.6.0' : 'fd00:6::', p.near, 'mtu lock 1300');
    for (const [address, mac, dev] of [
      [p.gateway, MAC.gateway, 'up0'],
      [p.near, MAC.near, 'up0'],
      [p.far, MAC.far, 'dn0'],
    ] as const)
      ip(`neigh replace ${address} lladdr ${colons(mac)} nud permanent dev ${dev}`);
  }
  const index = (d: string): number => (JSON.parse(ip(`-j link show ${d}`)) as [{ ifindex: number }])[0].ifindex;
  return { up: index('up0'), down: index('dn0') };
}

export function servicesOf(lab: Lab) {
  return {
    put: (s: ServiceSpec): void => {
      const v = family(s.vip);
      const set = s.set ?? 1n;
      for (const [index, [ip, port]] of [...s.backends, ...(s.draining ?? [])].entries())
        lab.put(dp.tables.lb_slot, { set, index }, { addr: IP.table(ip), port, family: v, flags: 0, backendId: 100 + index });
      const table = s.maglev ?? [];
      for (let chunk = 0; chunk * 512 < table.length; chunk++) {
        const slot = [...table.slice(chunk * 512, chunk * 512 + 512)];
        while (slot.length < 512) slot.push(0);
        lab.put(dp.tables.lb_maglev, { set, chunk }, { slot });
      }
      const counted = { setOut: set, setIn: set, countOut: s.backends.length, countIn: s.backends.length };
      const affinity = s.affinity === undefined ? 0 : dp.LbFlag.affinity;
      lab.put(
        dp.tables.lb_frontend,
        { addr: IP.table(s.vip), port: s.port, proto: s.proto ?? PROTO.tcp, family: v },
        {
          ...counted,
          maglevSize: table.length,
          serviceId: s.id ?? 7,
          affinityS: s.affinity ?? 0,
          flags: (s.flags ?? dp.LbFlag.external | dp.LbFlag.loadBalancer | dp.LbFlag.reject) | affinity,
        },
      );
    },
    /** Who may use service `id`. */
    source: (id: number, prefix: string, allowed = true): void => {
      const [ip = '', bits = ''] = prefix.split('/');
      const key = { prefixlen: 64 + Number(bits), serviceId: id, family: family(ip), addr: IP.table(ip) };
      lab.put(dp.tables.lb_source, key, { allowed: allowed ? 1 : 0 });
    },
    clear: (): void => {
      const names = ['lb_frontend', 'lb_slot', 'lb_maglev', 'lb_affinity', 'nat4', 'nat6', 'flow4', 'flow6'];
      for (const name of [...names, 'lb_source']) for (const [key] of [...lab.map(name).entries()]) lab.map(name).delete(key);
    },
  };
}

export function createXdpNode(objects: readonly string[] = ['xdp']) {
  const netns = `axx-${process.pid}-${Math.random().toString(36).slice(2, 6)}`;
  const device = createNetns(netns);
  const lab = createLab({ objects, maxEntries: { nat4: 4096, nat6: 4096, flow4: 4096, flow6: 4096 } });
  const inside = <T>(fn: () => T): T => netlink.inNetns(netlink.netnsPath(netns), fn);
  const links = inside(() => [device.up, device.down].map((i) => bpf.attachXdp(lab.program('axo_xdp'), i, 'native')));
  const row = (ifindex: number): Buffer => Buffer.from([ifindex & 255, ifindex >> 8, 0, 0]);
  const allow = (ifindex: number): void => lab.map('xdp_device').update(row(ifindex), row(1));
  for (const i of [device.up, device.down]) allow(i);
  const configure = (flags = 0, more: Partial<dp.NodeConfig> = {}): void => {
    const own = { nodeIp4: IP(PLACE[4].node), routerIp4: IP(PLACE[4].router), nodeIp6: IP(PLACE[6].node), routerIp6: IP(PLACE[6].router) };
    lab.config({ ...own, flags, ...more });
  };
  configure();
  for (const f of FAMILIES) {
    const p = PLACE[f];
    const all = f === 4 ? 32 : 128;
    for (const a of [p.node, p.router]) lab.host(a);
    lab.pod({ ifindex: 77, identity: 1001, id: 1, ips: [p.local], mac: '02:00:00:00:00:01', hostMac: '02:00:00:00:00:0a' });
    for (const [pod, node] of [
      [p.nearPod, p.near],
      [p.farPod, p.far],
      [p.silent, p.near],
      [p.narrow, p.near],
    ] as const)
      lab.ipcache(`${pod}/${all}`, 1003, node);
    for (const node of [p.near, p.far]) lab.ipcache(`${node}/${all}`, 6, node);
  }
  let generation = 0;
  const change = (): void => lab.put(dp.tables.generation, 1, ++generation);
  const services = servicesOf(lab);
  let port = 2000;
  const run = (program: string, frame: Buffer, ifindex = device.up): { verdict: number; packet: Buffer } =>
    inside(() =>
      lab.program(program).testRun({ packet: frame, context: bpf.xdpContext(frame.length, ifindex), outSize: frame.length + 256 }),
    );
  return {
    lab,
    device,
    inside,
    configure,
    ...services,
    put: (s: ServiceSpec): void => {
      services.put(s);
      change();
    },
    forbid: (ifindex: number): void => void lab.map('xdp_device').delete(row(ifindex)),
    allow,
    ip: (args: string): string => sh(`ip -n ${netns} ${args}`),
    /** Services have changed. */
    change,
    freshPort: (): number => ++port,
    run: (frame: Buffer, ifindex?: number) => run('axo_xdp', frame, ifindex),
    close: (): void => {
      for (const l of links) l.close();
      lab.close();
      sh(`ip netns del ${netns}`);
    },
  };
}

export type XdpNode = ReturnType<typeof createXdpNode>;

/** A client's first packet to a service. */
export const opening = (f: Family, to: { readonly vip?: string; readonly port?: number }, s: Partial<PacketSpec> = {}): Buffer =>
  packet({
    src: PLACE[f].client,
    dst: to.vip ?? PLACE[f].vip,
    sport: 4000,
    dport: to.port ?? 80,
    flags: TCP.syn,
    srcMac: colons(MAC.gateway),
    ...s,
  });

/** Address as `parse` tells it. */
export const told = (address: string): string => IP.text(IP(address));
export const seen = (frame: Buffer) => {
  const { src, dst, sport, dport, ttl, dstMac, sumsRight } = parse(frame);
  return { src, dst, sport, dport, ttl, dstMac, sumsRight };
};
