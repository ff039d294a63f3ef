// Ways from a client to one of two backends: without a Service, by kube-proxy's rules, and by ours at the socket, in tc and at the driver.
// Each has wires of its own, the same ones. Called by the run.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { attachCgroup, attachTcx, attachXdp, type BpfLink, findCgroup2 } from '@axoneme/bpf';
import { addressKey, ipcacheKeyOf, macBytes, type Row } from '@axoneme/datapath';
import { type Cidr, type IpAddr, ipBytes } from '@axoneme/model';
import { inNetns } from '@axoneme/netlink';
import { type Bed, createBed, GATEWAY } from './bed.ts';
import { iptablesRules, nftablesRules, type VirtualService } from './kube-proxy.ts';
import { rowsOf, writeServices } from './rows.ts';

export type WayKind = 'direct' | 'iptables' | 'nftables' | 'socket' | 'tc' | 'xdp';
export type Side = 'inside' | 'outside';

export interface Way {
  readonly kind: WayKind;
  readonly side: Side;
  readonly bed: Bed;
  /** What the client connects to. */
  readonly to: { readonly ip: string; readonly port: number };
  /** Put before the client's command. */
  readonly wrap: readonly string[];
  close(): void;
}

export const CLIENT = { inside: '10.0.8.1', outside: '192.0.2.7' } as const;
export const SERVER_PORT = 7777;
export const SERVICE_PORT = 80;
const OBJECTS: Readonly<Record<WayKind, readonly string[]>> = {
  direct: ['floor'],
  iptables: ['floor'],
  nftables: ['floor'],
  socket: ['sock'],
  tc: ['netdev', 'floor'],
  xdp: ['xdp', 'netdev', 'floor'],
};

/** `n` Services of two backends each; the measured one stands in the middle, where a list is half read on average. */
export function servicesFor(n: number): { readonly all: readonly VirtualService[]; readonly measured: VirtualService } {
  const middle = n >> 1;
  const service = (i: number, protocol: 'tcp' | 'udp' = 'tcp'): VirtualService => {
    const port = i === middle ? SERVER_PORT : 10_000 + i;
    const targets = ['10.0.1.1', '10.0.1.2'].map((ip) => ({ ip, port }));
    const name = `${protocol === 'udp' ? 'u' : 's'}vc-${i.toString(36).padStart(6, '0')}`;
    return { name, vip: `10.96.${i >> 8}.${i & 255}`, port: SERVICE_PORT, protocol, targets };
  };
  const all = Array.from({ length: n }, (_, i) => service(i));
  // the same address for datagrams, right behind
  all.splice(middle + 1, 1, service(middle, 'udp'));
  return { all, measured: all[middle]! };
}

export const inNode = (bed: Bed, command: string, args: readonly string[], input: string): void =>
  inNetns(bed.world.netns, () => void execFileSync(command, args, { input, stdio: ['pipe', 'ignore', 'inherit'], maxBuffer: 1 << 28 }));

export function createWay(kind: WayKind, side: Side, n: number): Way {
  const bed = createBed(OBJECTS[kind], CLIENT[side]);
  const { all, measured } = servicesFor(n);
  const undo: (() => void)[] = [];
  let wrap: readonly string[] = [];
  const links = (all: readonly BpfLink[]): void => {
    for (const l of all) undo.push(() => l.close());
  };
  if (kind === 'iptables') inNode(bed, 'iptables-legacy-restore', ['-w'], iptablesRules(all));
  if (kind === 'nftables') inNode(bed, 'nft', ['-f', '-'], nftablesRules(all));
  if (kind === 'socket' || kind === 'tc' || kind === 'xdp') writeServices(bed.world, rowsOf(all));
  if (kind === 'socket') {
    const cgroup = createCgroup(bed);
    wrap = cgroup.wrap;
    undo.push(cgroup.close);
  }
  if (kind === 'tc' || kind === 'xdp') {
    configureNode(bed);
    links(attachNode(bed, kind));
  }
  return {
    kind,
    side,
    bed,
    to: kind === 'direct' ? { ip: bed.backends[0].ip, port: SERVER_PORT } : { ip: measured.vip, port: measured.port },
    wrap,
    close() {
      for (const u of undo.reverse()) u();
      bed.close();
    },
  };
}

const HOOKS = ['connect4', 'connect6', 'sendmsg4', 'sendmsg6', 'recvmsg4', 'recvmsg6', 'getpeername4', 'getpeername6'];
let cgroups = 0;

function createCgroup(bed: Bed): { readonly wrap: readonly string[]; close(): void } {
  const path = join(findCgroup2(), `axbench-${process.pid}-${++cgroups}`);
  mkdirSync(path);
  const links = HOOKS.map((h) => attachCgroup(bed.world.program(`sock_${h}`), path));
  return {
    wrap: ['sh', '-c', `echo $$ > ${path}/cgroup.procs; exec "$@"`, 'sh'],
    close() {
      for (const l of links) l.close();
      rmdirSync(path);
    },
  };
}

const none = new Uint8Array(16);
const POD_IDENTITY = 10_009;

/** A node with native routing; the backends are pods of other nodes, so that what clients outside send is given the node's address. */
function configureNode(bed: Bed): void {
  const { world } = bed;
  const router = ipBytes(GATEWAY as IpAddr).subarray(0, 4);
  const [first] = bed.backends;
  world.write('node_config', [
    [
      0,
      {
        nodeIp4: router,
        routerIp4: router,
        nodeIp6: none,
        routerIp6: none,
        ifindexVxlan: 0,
        ifindexHost: 0,
        ifindexNet: 0,
        ifindexNetdev: first.link.ifindex,
        macHost: new Uint8Array(6),
        macNet: new Uint8Array(6),
        flags: 0,
        vxlanPort: 8472,
        snatMin: 20_000,
        snatMax: 29_999,
        nodePortMin: 30_000,
        nodePortMax: 32_767,
        pathMtu: 0,
        netnsCookie: 0n,
        eventSample: 0,
        dropSample: 0,
      },
    ],
  ]);
  world.write('endpoint', [
    [
      addressKey(GATEWAY as IpAddr),
      { ifindex: 0, identity: 1, id: 0, flags: 1, mac: macBytes(first.hostMac), hostMac: macBytes(first.hostMac) },
    ],
  ]);
  world.write(
    'ipcache',
    bed.backends.map(
      (b): Row<'ipcache'> => [ipcacheKeyOf(`${b.ip}/32` as Cidr), { identity: POD_IDENTITY, flags: 0, tunnelFamily: 0, tunnel: none }],
    ),
  );
  world.write('generation', [[1, 1]]);
  world.bumpGeneration();
}

function attachNode(bed: Bed, kind: 'tc' | 'xdp'): BpfLink[] {
  const { world } = bed;
  const devices = [bed.client, ...bed.backends].map((e) => e.link.ifindex);
  return inNetns(world.netns, () => {
    if (kind === 'tc')
      return devices.flatMap((i) => [
        attachTcx(world.program('from_netdev'), i, 'ingress'),
        attachTcx(world.program('to_netdev'), i, 'egress'),
      ]);
    for (const i of devices) {
      const row = Buffer.alloc(4);
      row.writeUInt32LE(i);
      world.map('xdp_device').update(row, Buffer.from([1, 0, 0, 0]));
    }
    return devices.map((i) => attachXdp(world.program('axo_xdp'), i, 'native'));
  });
}
