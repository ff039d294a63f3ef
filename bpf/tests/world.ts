// Two real nodes, three pods and an outside host as network namespaces, with our programs on real veth and VXLAN devices.
import { execFileSync } from 'node:child_process';
import { bpf, createLab, dp, type Lab, netlink } from './kit.ts';
import { IP } from './names.ts';
import { mac } from './packet.ts';

const PREFIX = `axd${process.pid % 10000}`;
const POD_MTU = 1400;
export const ns = (name: string): string => `${PREFIX}-${name}`;

export function sh(line: string): string {
  return execFileSync('/bin/sh', ['-c', line], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
/** A command inside a namespace; its output with errors. Never throws. */
export function tryIn(name: string, line: string): { readonly ok: boolean; readonly out: string } {
  try {
    return { ok: true, out: sh(`ip netns exec ${ns(name)} ${line} 2>&1`) };
  } catch (e) {
    return { ok: false, out: String((e as { stdout?: string }).stdout ?? e) };
  }
}

const ip = (name: string, args: string): string => sh(`ip -n ${ns(name)} ${args}`);
const inNs = <T>(name: string, fn: () => T): T => netlink.inNetns(netlink.netnsPath(ns(name)), fn);
const link = (name: string, dev: string): { ifindex: number; mac: string } => {
  const [row] = JSON.parse(sh(`ip -n ${ns(name)} -j link show ${dev}`)) as [{ ifindex: number; address: string }];
  return { ifindex: row.ifindex, mac: row.address };
};

export interface Node {
  readonly name: string;
  readonly lab: Lab;
  readonly index: number;
}

export function attach(node: string, lab: Lab, dev: string, program: string, direction: 'ingress' | 'egress'): void {
  inNs(node, () => bpf.attachTc(lab.program(program), link(node, dev).ifindex, direction));
}

/** Pod `p` of a node: 10.0.<node>.<n>, fd00:<node>::<n>. */
export function addPod(node: Node, name: string, n: number, identity: number): void {
  const host = `lxc${n}`;
  sh(`ip netns add ${ns(name)}`);
  sh(`ip link add ${host} netns ${ns(node.name)} type veth peer name eth0 netns ${ns(name)}`);
  ip(node.name, `link set ${host} up`);
  ip(name, 'link set lo up');
  ip(name, `link set eth0 mtu ${POD_MTU} up`);
  const [v4, v6, r4, r6] = [`10.0.${node.index}.${n}`, `fd00:${node.index}::${n}`, `10.0.${node.index}.254`, `fd00:${node.index}::fe`];
  ip(name, `addr add ${v4}/32 dev eth0`);
  ip(name, `-6 addr add ${v6}/128 dev eth0 nodad`);
  ip(name, `route add ${r4} dev eth0 scope link`);
  ip(name, `route add default via ${r4} dev eth0`);
  ip(name, `-6 route add ${r6} dev eth0`);
  ip(name, `-6 route add default via ${r6} dev eth0`);
  const [inside, outside] = [link(name, 'eth0'), link(node.name, host)];
  node.lab.pod({ ifindex: outside.ifindex, identity, id: n, ips: [v4, v6], mac: inside.mac, hostMac: outside.mac });
  attach(node.name, node.lab, host, 'from_pod', 'ingress');
  attach(node.name, node.lab, host, 'to_pod', 'egress');
}

function addNode(index: number, flags: number): Node {
  const name = `n${index}`;
  const lab = createLab({ maxEntries: { flow4: 8192, flow6: 8192 } });
  sh(`ip netns add ${ns(name)}`);
  ip(name, 'link set lo up');
  for (const s of ['ipv4.ip_forward=1', 'ipv6.conf.all.forwarding=1', 'ipv4.conf.all.rp_filter=0', 'ipv4.conf.default.rp_filter=0']) {
    sh(`ip netns exec ${ns(name)} sysctl -qw net.${s}`);
  }
  ip(name, 'link add axo_host type veth peer name axo_net');
  ip(name, 'link add axo_vxlan type vxlan external dstport 8472');
  // what the node sends to pods must not be longer than what their devices take
  for (const dev of ['axo_host', 'axo_net']) ip(name, `link set ${dev} mtu ${POD_MTU}`);
  for (const dev of ['axo_host', 'axo_net', 'axo_vxlan']) ip(name, `link set ${dev} up`);
  ip(name, `addr add 10.0.${index}.254/32 dev axo_host`);
  ip(name, `-6 addr add fd00:${index}::fe/128 dev axo_host nodad`);
  ip(name, 'route add 10.0.0.0/16 dev axo_host');
  ip(name, '-6 route add fd00::/16 dev axo_host');
  const [host, net, vxlan] = [link(name, 'axo_host'), link(name, 'axo_net'), link(name, 'axo_vxlan')];
  lab.config({
    nodeIp4: IP(`192.168.9.${index}`),
    routerIp4: IP(`10.0.${index}.254`),
    nodeIp6: IP(`fd99::${index}`),
    routerIp6: IP(`fd00:${index}::fe`),
    ifindexVxlan: vxlan.ifindex,
    ifindexHost: host.ifindex,
    ifindexNet: net.ifindex,
    macHost: mac(host.mac),
    macNet: mac(net.mac),
    flags,
  });
  for (const a of [`192.168.9.${index}`, `fd99::${index}`, `10.0.${index}.254`, `fd00:${index}::fe`]) lab.host(a);
  attach(name, lab, 'axo_host', 'from_host', 'egress');
  attach(name, lab, 'axo_vxlan', 'from_overlay', 'ingress');
  return { name, lab, index };
}

/** A veth pair between two namespaces. */
export function cable(a: string, devA: string, addrA: readonly string[], b: string, devB: string, addrB: readonly string[]): void {
  sh(`ip link add ${devA} netns ${ns(a)} type veth peer name ${devB} netns ${ns(b)}`);
  for (const [name, dev, addrs] of [[a, devA, addrA] as const, [b, devB, addrB] as const]) {
    for (const x of addrs) ip(name, `addr add ${x} dev ${dev} ${x.includes(':') ? 'nodad' : ''}`);
    ip(name, `link set ${dev} up`);
  }
}

export interface World {
  readonly n1: Node;
  readonly n2: Node;
  readonly close: () => void;
}

/**
 * n1 with pods a (1001) and b (1002), n2 with pod c (1003), `out` behind n1. `tunnel`: family of the underlay; 0: none, the nodes route
 * each other's blocks.
 */
export function createWorld(tunnel: 4 | 6 | 0): World {
  const flags = (tunnel === 0 ? 0 : dp.NodeFlag.tunnel) | dp.NodeFlag.masquerade4 | dp.NodeFlag.masquerade6;
  const n1 = addNode(1, flags);
  const n2 = addNode(2, flags);
  sh(`ip netns add ${ns('out')}`);
  ip('out', 'link set lo up');
  cable('n1', 'eth0', ['192.168.9.1/24', 'fd99::1/64'], 'n2', 'eth0', ['192.168.9.2/24', 'fd99::2/64']);
  cable('n1', 'eth1', ['192.168.8.1/24', 'fd98::1/64'], 'out', 'eth0', ['192.168.8.2/24', 'fd98::2/64']);
  ip('out', 'route add 192.168.9.0/24 via 192.168.8.1');
  ip('out', '-6 route add fd99::/64 via fd98::1');
  for (const [node, dev] of [
    [n1, 'eth0'],
    [n1, 'eth1'],
    [n2, 'eth0'],
  ] as const) {
    attach(node.name, node.lab, dev, 'from_netdev', 'ingress');
    attach(node.name, node.lab, dev, 'to_netdev', 'egress');
  }
  for (const x of ['192.168.8.1', 'fd98::1']) n1.lab.host(x);
  if (tunnel === 0) {
    for (const [own, other] of [
      [1, 2],
      [2, 1],
    ]) {
      ip(`n${own}`, `route add 10.0.${other}.0/24 via 192.168.9.${other}`);
      ip(`n${own}`, `-6 route add fd00:${other}::/64 via fd99::${other}`);
    }
  }
  addPod(n1, 'a', 1, 1001);
  addPod(n1, 'b', 2, 1002);
  addPod(n2, 'c', 3, 1003);
  const endOf = (i: number): string | undefined => (tunnel === 0 ? undefined : tunnel === 4 ? `192.168.9.${i}` : `fd99::${i}`);
  for (const { lab } of [n1, n2]) {
    for (const i of [1, 2]) {
      const end = endOf(i);
      lab.ipcache(`10.0.${i}.0/24`, 99, end);
      lab.ipcache(`fd00:${i}::/64`, 99, end);
      lab.ipcache(`192.168.9.${i}/32`, 6, end);
      lab.ipcache(`fd99::${i}/128`, 6, end);
      lab.ipcache(`10.0.${i}.254/32`, 6, end);
      lab.ipcache(`fd00:${i}::fe/128`, 6, end);
    }
    const pods: readonly (readonly [string, number, number])[] = [
      ['1', 1, 1001],
      ['2', 1, 1002],
      ['3', 2, 1003],
    ];
    for (const [n, i, id] of pods) {
      const end = endOf(i);
      lab.ipcache(`10.0.${i}.${n}/32`, id, end);
      lab.ipcache(`fd00:${i}::${n}/128`, id, end);
      lab.policy(id, 0);
    }
    lab.bump();
  }
  return {
    n1,
    n2,
    close: () => {
      for (const n of ['a', 'b', 'c', 'out', 'n1', 'n2']) sh(`ip netns del ${ns(n)} 2>/dev/null || true`);
      n1.lab.close();
      n2.lab.close();
    },
  };
}
