// Packets at the driver: clients outside through `axo_xdp`, against a program that only sends back. The same rounds as the tc cases; a
// wrapper restores the packet before every repetition and its own cost is subtracted.
import { execFileSync } from 'node:child_process';
import { attachXdp, type BpfLink, type BpfProgram, XdpVerdict, xdpContext } from '@axoneme/bpf';
import { addressKey, ipcacheKeyOf, LbFlag, NodeFlag, type Row as TableRow } from '@axoneme/datapath';
import { type Cidr, type IpAddr, ipBytes } from '@axoneme/model';
import { addAddress, createVeth, getLink, inNetns, setLink, setNeighbour, setRoute } from '@axoneme/netlink';
import { AppError, invariant } from '@axoneme/std';
import { buildFrame, tcpFlags } from '@axoneme/testkit';
import type { Budget } from '../report.ts';
import type { World } from '../world.ts';

export const TX = 'XDP_TX';
export const XDP_PASS = 'XDP_PASS';
/** What the table alone costs a new flow: one look-up that misses, two rows. */
export const ROWS = 'XDP, two new rows, 60k flows';
const FLOOR_REPEAT = 300_000;
const FLOWS = 60_000;
const HEAD = 96;
const BACKENDS = 100;
const MAGLEV = 16_381;
const TCP = 6;
const PORT = 80;
const PADDING = Buffer.alloc(46);
const ip = (text: string): IpAddr => text as IpAddr; // literals of this file
const FAMILY = {
  4: {
    client: ip('203.0.113.7'),
    vip: ip('198.51.100.10'),
    node: ip('172.16.0.1'),
    gateway: ip('172.16.0.254'),
    pod: (n: number) => ip(`10.9.2.${n}`),
  },
  6: {
    client: ip('2001:db8::7'),
    vip: ip('2001:db8:1::10'),
    node: ip('fd00:ffff::1'),
    gateway: ip('fd00:ffff::fe'),
    pod: (n: number) => ip(`fd09:2::${n.toString(16)}`),
  },
} as const;

export interface XdpCase {
  readonly name: string;
  readonly reference: string;
  readonly budget?: Budget;
  readonly packet: Buffer;
  readonly v6: boolean;
  readonly walk: number;
  readonly repeat: number;
  readonly verdict: number;
  /** A packet that opens the flow of an established case. */
  readonly opener?: Buffer;
  /** The flow's answer is measured: made from what the opener has become. */
  readonly answer?: boolean;
  readonly ipip?: boolean;
}

export interface XdpBench {
  readonly cases: readonly XdpCase[];
  /** Nanoseconds of every series in one round. */
  measure(note: (name: string, ns: number) => void): void;
  close(): void;
}

const frame = (f: 4 | 6, to: IpAddr, flags: number, port = PORT, payload = PADDING): Buffer =>
  buildFrame({ src: FAMILY[f].client, dst: to, l4: { kind: 'tcp', srcPort: 1024, dstPort: port, flags, payload } });

function xdpCases(): readonly XdpCase[] {
  const of = (f: 4 | 6) => ({ v6: f === 6, reference: TX, walk: 0, repeat: FLOOR_REPEAT, verdict: XdpVerdict.tx });
  const max = (ratio: number): Budget => ({ kind: 'max', ratio });
  const [ack, syn] = [tcpFlags.ack, tcpFlags.syn];
  const opened = (f: 4 | 6) => ({ packet: frame(f, FAMILY[f].vip, ack), opener: frame(f, FAMILY[f].vip, syn) });
  const fresh = { walk: FLOWS, repeat: FLOWS };
  const passed = { verdict: XdpVerdict.pass, reference: XDP_PASS };
  return [
    { ...of(4), ...opened(4), name: 'XDP, established, to another node', budget: max(6) },
    { ...of(4), ...opened(4), name: 'XDP, established, answer', answer: true, budget: max(6) },
    { ...of(6), ...opened(6), name: 'XDP, established, IPv6', budget: max(6) },
    { ...of(4), ...opened(4), name: 'XDP, established, IP in IP', ipip: true, budget: max(6) },
    { ...of(4), ...passed, name: 'XDP, no service', packet: frame(4, FAMILY[4].node, ack, 6443) },
    { ...of(4), ...passed, name: 'XDP, answer to a masqueraded pod', packet: frame(4, FAMILY[4].node, ack, 40_000) },
    { ...of(4), ...fresh, name: 'XDP, new flow, Maglev', packet: frame(4, FAMILY[4].vip, syn), budget: max(25) },
    { ...of(6), ...fresh, name: 'XDP, new flow, Maglev, IPv6', packet: frame(6, FAMILY[6].vip, syn), budget: max(25) },
    { ...of(4), ...fresh, name: 'XDP, new flow, Maglev, IP in IP', packet: frame(4, FAMILY[4].vip, syn), ipip: true, budget: max(25) },
  ];
}

/** A device to clients and other nodes in one, its neighbours, and a service of a hundred backends elsewhere. */
function createDevice(world: World): { readonly ifindex: number; readonly links: readonly BpfLink[] } {
  world.socket.execute([createVeth({ name: 'wan0', up: true }, { name: 'wan1' }), setLink('wan1', { up: true })]);
  const link = getLink(world.socket, 'wan0');
  invariant(link !== undefined, 'veth');
  const sysctls = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1', 'net.ipv6.conf.wan0.accept_dad=0'];
  for (const s of sysctls) execFileSync('nsenter', [`--net=${world.netns}`, 'sysctl', '-qw', s]);
  const { ifindex } = link;
  for (const f of [4, 6] as const) {
    const { node, gateway } = FAMILY[f];
    world.socket.execute([
      addAddress({ ifindex, address: `${node}/${f === 4 ? 24 : 64}` }),
      setNeighbour({ ifindex, address: gateway, mac: '02:00:00:00:00:fe' }),
      setRoute({ to: f === 4 ? '0.0.0.0/0' : '::/0', ifindex, via: gateway, protocol: 4, onlink: true }),
    ]);
  }
  const row = Buffer.alloc(4);
  row.writeUInt32LE(ifindex);
  world.map('xdp_device').update(row, Buffer.from([1, 0, 0, 0]));
  return { ifindex, links: [inNetns(world.netns, () => attachXdp(world.program('axo_xdp'), ifindex, 'native'))] };
}

function writeServices(world: World): void {
  for (const f of [4, 6] as const) {
    const { pod, node } = FAMILY[f];
    const set = BigInt(f);
    const all = Array.from({ length: BACKENDS }, (_, i) => pod(i + 1));
    const addr = (a: IpAddr): Uint8Array => addressKey(a).addr;
    world.write('ipcache', all.map((a): TableRow<'ipcache'> => [ipcacheKeyOf(`${a}/${f === 4 ? 32 : 128}` as Cidr), { identity: 10_009, flags: 0, tunnelFamily: 0, tunnel: new Uint8Array(16) }])); // biome-ignore format: one line a table
    world.write('lb_slot', all.map((a, index): TableRow<'lb_slot'> => [{ set, index }, { addr: addr(a), port: 8080, family: f, flags: 0, backendId: index + 1 }])); // biome-ignore format: one line a table
    const chunks = Array.from(
      { length: Math.ceil(MAGLEV / 512) },
      (_, chunk): TableRow<'lb_maglev'> => [
        { set, chunk },
        { slot: Array.from({ length: 512 }, (_s, i) => ((chunk * 512 + i) * 7919) % BACKENDS) },
      ],
    );
    world.write('lb_maglev', chunks);
    world.write('endpoint', [
      [addressKey(node), { ifindex: 0, identity: 1, id: 0, flags: 1, mac: new Uint8Array(6), hostMac: new Uint8Array(6) }],
    ]);
  }
}

/** Who sends how: SNAT to pods of the cluster, or IP in IP as a balancer does. */
function writeFrontends(world: World, ipip: boolean): void {
  for (const f of [4, 6] as const) {
    const set = BigInt(f);
    const counts = { setOut: set, setIn: set, countOut: BACKENDS, countIn: BACKENDS, maglevSize: MAGLEV };
    const flags = LbFlag.external | LbFlag.loadBalancer | (ipip ? LbFlag.dsr : 0);
    const addr = addressKey(FAMILY[f].vip).addr;
    world.write('lb_frontend', [
      [
        { addr, port: PORT, proto: TCP, family: f },
        { ...counts, serviceId: f, affinityS: 0, flags },
      ],
    ]);
  }
}

function configure(world: World, ipip: boolean): void {
  writeFrontends(world, ipip);
  const before = world.read('node_config', 0);
  invariant(before !== undefined, 'the scene has configured the node');
  const flags = NodeFlag.noEvents | (ipip ? NodeFlag.balancer | NodeFlag.dsrIpip : 0);
  world.write('node_config', [[0, { ...before, nodeIp6: ipBytes(FAMILY[6].node), flags }]]);
}

function createRunner(world: World, ifindex: number) {
  return (program: BpfProgram, c: Pick<XdpCase, 'packet' | 'v6' | 'walk' | 'repeat'>) => {
    const state = Buffer.alloc(world.map('xdp_bench_state').valueSize);
    c.packet.copy(state, 0, 0, HEAD);
    for (const [i, n] of [c.packet.length, c.walk, 1, 0, c.v6 ? 1 : 0].entries()) state.writeUInt32LE(n, HEAD + 4 * i);
    world.map('xdp_bench_state').update(Buffer.alloc(4), state);
    const slot = Buffer.alloc(4);
    slot.writeUInt32LE(program.fd);
    world.map('xdp_wrapped').update(Buffer.alloc(4), slot);
    const context = xdpContext(c.packet.length, ifindex);
    return inNetns(world.netns, () => world.program('bench_xdp_wrap').testRun({ packet: c.packet, context, repeat: c.repeat }));
  };
}

/** What a backend answers to what the client's packet has become. */
function answerOf(out: Buffer): Buffer {
  const b = Buffer.from(out);
  out.copy(b, 26, 30, 34);
  out.copy(b, 30, 26, 30);
  out.copy(b, 34, 36, 38);
  out.copy(b, 36, 34, 36);
  out.copy(b, 0, 6, 12);
  out.copy(b, 6, 0, 6);
  b[22] = 64;
  return b;
}

export function createXdpBench(world: World): XdpBench {
  const device = createDevice(world);
  writeServices(world);
  const run = createRunner(world, device.ifindex);
  const ours = world.program('axo_xdp');
  const cases = xdpCases();
  const direct = (name: string): number =>
    inNetns(world.netns, () => world.program(name).testRun({ packet: Buffer.alloc(100, 1), repeat: FLOOR_REPEAT }).durationNs);

  const prepared = (c: XdpCase): XdpCase => {
    for (const map of ['nat4', 'nat6', 'flow4', 'flow6']) world.flush(map);
    world.write('generation', [[1, (world.read('generation', 1) ?? 0) + 1]]);
    configure(world, c.ipip === true);
    if (c.opener === undefined) return c;
    run(ours, { ...c, packet: c.opener, repeat: 1 });
    const out = run(ours, { ...c, repeat: 1 }).packet;
    return c.answer === true ? { ...c, packet: answerOf(out) } : c;
  };
  return {
    cases,
    measure(note) {
      const floor = direct('floor_xdp_tx');
      const bare = { ...cases[0]!, repeat: FLOOR_REPEAT };
      const wrapper = {
        one: run(world.program('floor_xdp_tx'), bare).durationNs - floor,
        walking: run(world.program('floor_xdp_tx'), { ...bare, walk: FLOWS }).durationNs - floor,
      };
      note(TX, floor);
      note(XDP_PASS, direct('floor_xdp_pass'));
      world.flush('floor_nat');
      note(ROWS, run(world.program('floor_xdp_rows'), { ...bare, walk: FLOWS, repeat: FLOWS }).durationNs - wrapper.walking);
      for (const c of cases) {
        const r = run(ours, prepared(c));
        if (r.verdict !== c.verdict)
          throw new AppError({ code: 'bench/wrong-verdict', message: `${c.name}: verdict ${r.verdict} instead of ${c.verdict}` });
        note(c.name, r.durationNs - (c.walk > 0 ? wrapper.walking : wrapper.one));
      }
    },
    close: () => {
      for (const l of device.links) l.close();
    },
  };
}
