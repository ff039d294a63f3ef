// Random tables of one node, and what its programs make of a client's first packet or connection, as one line of text. Called by
// explain.kernel.test.ts, which holds `axoneme service explain` against it.
import type { NodeRows } from '../../packages/apps/cli/src/service/node-rows.ts';
import type { Dice } from './dice.ts';
import { bpf, dp, type Lab, netlink, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { packet, parse, TCP } from './packet.ts';
import { A, createPods, FAMILIES, type Family, open } from './pods.ts';
import { createUplink } from './uplink.ts';
import { sh } from './world.ts';

const { LbFlag, NodeFlag, NatFlag, NatVia } = dp;

/** Who and what is where. `loose` has an identity of a prefix and no node, `odd` is behind a node and nobody's pod. */
export const PLACES = {
  4: {
    any: '0.0.0.0', a: '10.0.1.1', b: '10.0.1.2', own: '192.168.9.1', router: '10.0.1.254', node: '192.168.9.2', api: '192.168.9.7', pod: '10.0.2.3', unlisted: '10.0.2.77',
    odd: '10.0.2.99', loose: '198.51.100.9', world: '203.0.113.5', world2: '203.0.113.200', vip: '192.0.2.10', vip2: '192.0.2.11', cluster: '10.96.0.1',
  },
  6: {
    any: '::', a: 'fd00:1::1', b: 'fd00:1::2', own: 'fd99::1', router: 'fd00:1::fe', node: 'fd99::2', api: 'fd99::7', pod: 'fd00:2::3', unlisted: 'fd00:2::77',
    odd: 'fd00:2::99', loose: '2001:db8:9::9', world: '2001:db8::5', world2: '2001:db8::8005', vip: '2001:db8:1::10', vip2: '2001:db8:1::11', cluster: 'fd96::1',
  },
} as const; // biome-ignore format: a table
type Places = Record<keyof (typeof PLACES)[4], string>;
const PORTS = [80, 81, 30_080] as const;
const VXLAN = 8472;
const AGES_S = [5, 100];
const AFFINITY_S = 60;
/** What a frontend can be, with what is always said of that kind. */
const KINDS: readonly (readonly [places: readonly (keyof Places)[], flags: number])[] = [
  [['cluster'], 0],
  [['any'], LbFlag.nodePort | LbFlag.external],
  [['vip', 'vip2', 'b'], LbFlag.loadBalancer | LbFlag.external],
  [['vip', 'loose'], LbFlag.externalIp | LbFlag.external],
  [['any', 'own', 'node'], LbFlag.hostPort | LbFlag.external],
  [['cluster', 'vip2', 'world'], LbFlag.localRedirect],
];
const EXTRAS = [LbFlag.sourceRanges, LbFlag.reject, LbFlag.outLocal, LbFlag.affinity, LbFlag.skipOwn];

/** Reasons for drops that are of services; others are of what the packet is without them. */
const ENDS: readonly number[] = [dp.Drop.noServiceBackend, dp.Drop.sourceRange, dp.Drop.natNoMapping, dp.Drop.encapProhibited];

export interface Setting {
  readonly flags: number;
  /** The node at the other end of the tunnel, if there is one. */
  readonly sender: string | undefined;
  /** Frontends' addresses, ports and protocols. */
  readonly fronts: readonly (readonly [address: string, port: number, proto: number])[];
}

export interface Asked {
  readonly client: string;
  readonly sport: number;
  readonly to: string;
  readonly port: number;
  readonly proto: number;
}

export function createRandomNode() {
  const netns = `axe-${process.pid}`;
  const uplink = createUplink(netns).ifindex;
  const lab = createPods({
    objects: ['pod', 'netdev', 'overlay', 'host', 'sock', 'floor'],
    maxEntries: { nat4: 256, nat6: 256, flow4: 256, flow6: 256 },
  });
  const clear = (...names: string[]): void => {
    for (const name of names) for (const [k] of [...lab.map(name).entries()]) lab.map(name).delete(k);
  };
  return {
    lab,
    rows: rowsOf(lab),
    /** Every table anew. */
    shuffle: (f: Family, d: Dice, cookies: readonly [node: bigint, pod: bigint]): Setting => {
      clear(
        'lb_frontend',
        'lb_slot',
        'lb_maglev',
        'lb_source',
        'lb_affinity',
        'ipcache',
        'endpoint_netns',
        'nat4',
        'nat6',
        'flow4',
        'flow6',
      );
      const setting = putNode(lab, f, d, cookies);
      const fronts = putServices(lab, f, d, cookies);
      open(lab);
      return { ...setting, fronts };
    },
    /** What a packet becomes, from where one of that client would come; `sender`: the node whose pods come out of the tunnel. */
    send: (f: Family, q: Asked, sender: string | undefined): string => {
      clear('nat4', 'nat6', 'flow4', 'flow6');
      lab.events();
      const frame = packet({
        src: q.client,
        dst: q.to,
        sport: q.sport,
        dport: q.port,
        proto: q.proto,
        flags: TCP.syn,
        payload: Buffer.alloc(60),
        srcMac: A.mac,
      });
      const elsewhere = [PLACES[f].pod, PLACES[f].unlisted] as string[];
      const run = (): { verdict: number; packet: Buffer } => {
        if (q.client === PLACES[f].a) return test('from_pod', frame, A.ifindex, 1);
        return sender !== undefined && elsewhere.includes(q.client)
          ? lab.runFromOverlay(frame, 1003, sender)
          : test('from_netdev', frame, uplink, uplink);
      };
      const test = (name: string, of: Buffer, ingressIfindex: number, ifindex: number): { verdict: number; packet: Buffer } => {
        const r = lab
          .program(name)
          .testRun({ packet: of, context: bpf.skBuffContext({ ingressIfindex, ifindex }), outSize: of.length + 256 });
        return { verdict: r.verdict, packet: r.packet };
      };
      const r = netlink.inNetns(netlink.netnsPath(netns), run);
      return outcome(lab, f, q, frame, r);
    },
    /** What the socket programs have made of one connection: where it goes, if it was theirs. */
    connected: (f: Family, q: Asked, error: string | undefined): string => {
      const made = [...lab.map('lb_sock').entries()].map(([k, v]) => ({ ...dp.lbSockKey.decode(k), was: dp.lbSockValue.decode(v) }));
      clear('lb_sock');
      const [peer] = made;
      if (peer === undefined) return error === 'ECONNREFUSED' ? 'refused' : 'no service';
      const asked = socketText(IP.table(q.to), q.port, f);
      const right = made.length === 1 && peer.proto === q.proto && socketText(peer.was.addr, peer.was.port, f) === asked;
      return `local ${socketText(peer.addr, peer.port, f)}${right ? '' : ' and something else'}`;
    },
    close: (): void => {
      lab.close();
      sh(`ip netns del ${netns}`);
    },
  };
}

/** Rows as an agent would send them. */
function rowsOf(lab: Lab): NodeRows {
  const codecs = dp.tables as unknown as Record<
    string,
    { key: { encode(k: unknown): Uint8Array }; value: { decode(b: Uint8Array): never } }
  >;
  const rows: NodeRows = {
    find: async (table, keys) =>
      keys.map((k) => {
        const value = lab.map(table).lookup(codecs[table]!.key.encode(k));
        return value === undefined ? undefined : codecs[table]!.value.decode(value);
      }),
    one: async (table, key) => (await rows.find(table, [key]))[0],
    list: async (table) => [...lab.map(table).entries()].flatMap(([k, v]) => dp.displayRows(table, k, v)),
    nowNs: () => process.hrtime.bigint(),
  };
  return rows;
}

function putNode(lab: Lab, f: Family, d: Dice, [netnsCookie, pod]: readonly [bigint, bigint]) {
  const p = PLACES[f];
  const tunnel = d.once(2);
  const nameless = d.once(6);
  const balancer = d.once(8);
  let flags = tunnel ? NodeFlag.tunnel : 0;
  if (d.once(2)) flags |= NodeFlag.podServices;
  if (balancer) flags |= NodeFlag.balancer | (d.once(2) ? NodeFlag.dsrIpip : 0);
  const [v4, v6] = [PLACES[4], PLACES[6]];
  const router = d.once(6) ? {} : { routerIp4: IP(v4.router), routerIp6: IP(v6.router) };
  const own = nameless ? {} : { nodeIp4: IP(v4.own), nodeIp6: IP(v6.own) };
  lab.config({ ...own, ...router, flags, ifindexVxlan: 1, vxlanPort: d.once(4) ? 0 : VXLAN, netnsCookie });
  const all = f === 4 ? 32 : 128;
  const behind = tunnel || d.once(3) ? PLACES[d.of([4, 4, 6] as const)].node : undefined;
  lab.ipcache(f === 4 ? '10.0.2.0/24' : 'fd00:2::/64', 99, behind);
  lab.ipcache(`${p.pod}/${all}`, 1003, behind);
  lab.ipcache(`${p.odd}/${all}`, d.of([4, 8, 0x0100_0005]), behind);
  for (const v of FAMILIES) lab.ipcache(`${PLACES[v].node}/${v === 4 ? 32 : 128}`, 6, behind);
  lab.ipcache(`${p.api}/${all}`, 7);
  lab.ipcache(`${p.loose}/${all}`, 0x0100_0001);
  lab.put(dp.tables.endpoint_netns, { cookie: pod }, { ip4: IP(v4.a), ip6: IP(v6.a) } as never);
  return { flags, sender: tunnel ? behind : undefined };
}

const BACKENDS: readonly (keyof Places)[] = [
  'a',
  'b',
  'own',
  'router',
  'node',
  'api',
  'pod',
  'pod',
  'unlisted',
  'odd',
  'loose',
  'world',
  'world2',
];

function putServices(lab: Lab, f: Family, d: Dice, cookies: readonly [bigint, bigint]): Setting['fronts'] {
  const p: Places = PLACES[f];
  let set = 1n;
  const putSet = (): readonly [bigint, number, readonly (readonly [string, number])[]] => {
    const backends = Array.from(
      { length: d.of([0, 1, 1, 2, 3, 4]) },
      (_, i) => [p[d.of(BACKENDS)], d.once(12) ? VXLAN : 8080 + i] as const,
    );
    const drains = d.once(3) ? 1 : 0;
    for (let index = 0; index < backends.length + drains; index++) {
      const [ip, port] = backends[index] ?? [p.pod, 9090];
      lab.put(dp.tables.lb_slot, { set, index }, { addr: IP.table(ip), port, family: f, flags: 0, backendId: 100 + index });
    }
    return backends.length === 0 && d.once(2) ? [0n, 0, []] : [set++, backends.length, backends];
  };
  let serviceId = 0;
  const fronts: [string, number, number][] = [];
  for (const proto of [PROTO.tcp, PROTO.udp]) {
    for (let n = 0; n < 7; n++) {
      const [places, always] = d.of(KINDS);
      const [addr, port] = [p[d.of(places)], d.of(PORTS)];
      let flags = always;
      for (const extra of d.some(EXTRAS)) flags |= extra;
      if (d.once(2)) flags |= LbFlag.dsr | (d.once(2) ? LbFlag.ipip : 0);
      if (flags & LbFlag.sourceRanges && d.once(2)) flags |= LbFlag.sourceRangesDeny;
      const [setOut, countOut, out] = putSet();
      const [setIn, countIn] = d.once(2) ? [setOut, countOut] : putSet();
      const maglevSize = d.once(2) ? 0 : d.of([251, 1021]);
      if (maglevSize > 0) putMaglev(lab, d, maglevSize, [setOut, countOut], [setIn, countIn]);
      serviceId++;
      fronts.push([addr, port, proto]);
      for (const range of d.some(
        f === 4 ? ['203.0.113.0/25', '203.0.113.128/25', '198.51.100.0/24'] : ['2001:db8::/113', '2001:db8::8000/113', '2001:db8:9::/48'],
      )) {
        const [ip = '', bits = ''] = range.split('/');
        lab.put(
          dp.tables.lb_source,
          { prefixlen: 64 + Number(bits), serviceId, family: f, addr: IP.table(ip) },
          { allowed: d.once(6) ? 0 : 1 },
        );
      }
      const frontend = {
        setOut,
        setIn,
        countOut,
        countIn,
        maglevSize,
        serviceId,
        affinityS: flags & LbFlag.affinity ? AFFINITY_S : 0,
        flags,
      };
      lab.put(dp.tables.lb_frontend, { addr: IP.table(addr), port, proto, family: f }, frontend);
      if (flags & LbFlag.affinity) putAffinity(lab, f, d, { proto, serviceId, set: d.once(3) ? 999n : setOut, backends: out }, cookies);
    }
  }
  for (const at of d.some([p.vip, p.vip2, p.own])) {
    const none = { setOut: 0n, setIn: 0n, countOut: 0, countIn: 0, maglevSize: 0, serviceId: 0, affinityS: 0 };
    lab.put(
      dp.tables.lb_frontend,
      { addr: IP.table(at), port: 0, proto: 0, family: f },
      { ...none, flags: LbFlag.blackhole | LbFlag.external },
    );
  }
  lab.bump();
  return fronts;
}

function putMaglev(lab: Lab, d: Dice, size: number, ...sets: (readonly [bigint, number])[]): void {
  for (const [set, count] of sets) {
    if (count === 0) continue;
    for (let chunk = 0; chunk * 512 < size; chunk++) {
      if (d.once(8)) continue;
      lab.put(dp.tables.lb_maglev, { set, chunk }, { slot: Array.from({ length: 512 }, () => d.below(count)) });
    }
  }
}

interface Had {
  readonly proto: number;
  readonly serviceId: number;
  readonly set: bigint;
  readonly backends: readonly (readonly [string, number])[];
}

/** What some clients had: still there, in no set any more, or too long ago. */
function putAffinity(lab: Lab, f: Family, d: Dice, had: Had, cookies: readonly bigint[]): void {
  const p = PLACES[f];
  const ago = (): bigint => process.hrtime.bigint() - BigInt(d.of(AGES_S)) * 1_000_000_000n;
  const addresses = [p.world, p.loose, p.pod, p.a].map((ip) => [dp.AffinityScope.address, IP.table(ip)] as const);
  const spaces = cookies.map((cookie) => {
    const client = Buffer.alloc(16);
    client.writeBigUInt64LE(cookie);
    return [dp.AffinityScope.netns, client] as const;
  });
  for (const [scope, client] of d.some([...addresses, ...spaces])) {
    const index = d.below(had.backends.length + 1);
    const known = had.backends[index];
    // of the set it is told to be of there is nobody who is not in it
    const [ip, port] = known ?? [p.unlisted, 7777];
    const value = { set: known === undefined ? 999n : had.set, lastNs: ago(), addr: IP.table(ip), port, family: f, backendId: 100 + index };
    lab.put(dp.tables.lb_affinity, { serviceId: had.serviceId, family: f, proto: had.proto, scope, client }, value);
  }
}

const socketText = (addr: Uint8Array, port: number, f: Family): string => {
  const ip = dp.addressText(addr, f) ?? '';
  return f === 6 ? `[${ip}]:${port}` : `${ip}:${port}`;
};

/** The words of explain.kernel.test.ts. What the row says must be what the packet has become. */
function outcome(lab: Lab, f: Family, q: Asked, frame: Buffer, r: { readonly verdict: number; readonly packet: Buffer }): string {
  const row = rowOf(lab, f, q.sport);
  if (row === undefined) {
    const reason = lab.events().at(-1)?.reason ?? 0;
    if (r.verdict === VERDICT.drop) return ENDS.includes(reason) ? `drop ${reason}` : 'no service';
    if (parse(r.packet).proto === (f === 4 ? PROTO.icmp : PROTO.icmp6)) return 'refused';
    return endsOf(r.packet) === endsOf(frame) ? 'no service' : 'changed';
  }
  const backend = socketText(row.daddr, row.dport, f);
  const fate = r.verdict === VERDICT.drop ? ` and drop ${lab.events().at(-1)?.reason}` : become(f, q, frame, r.packet, row);
  if (row.action === NatVia.ipip) return `ipip ${backend}${fate}`;
  const by = row.action === NatVia.tunnel ? ` by ${dp.addressText(row.hop, row.flags & NatFlag.v6Hop ? 6 : 4)}` : '';
  if (row.flags & NatFlag.dsr) return `dsr ${backend}${by}${fate}`;
  if (row.action === NatVia.local) return `${row.flags & NatFlag.stack ? 'stack' : 'local'} ${backend}${fate}`;
  return `snat ${backend} as ${dp.addressText(row.saddr, f)}${by}${fate}`;
}

const endsOf = (packet: Buffer): string => {
  const { src, sport, dst, dport } = parse(packet);
  return [src, sport, dst, dport].join();
};

/** Empty: the packet is what the row says. */
function become(f: Family, q: Asked, frame: Buffer, packet: Buffer, row: dp.NatValue): string {
  const text = (a: Uint8Array): string => IP.text(f === 4 ? a.subarray(0, 4) : a);
  if (row.action === NatVia.ipip) {
    const { src, dst, proto } = parse(packet);
    const outer = [text(IP(PLACES[f].own)), text(row.daddr), f === 4 ? 4 : 41];
    const inner = parse(Buffer.concat([packet.subarray(0, 14), packet.subarray(f === 4 ? 34 : 54)]));
    return [src, dst, proto, inner.dst, inner.sport].join() === [...outer, text(IP(q.to)), q.sport].join() ? '' : ' and something else';
  }
  if (row.flags & NatFlag.dsr) return packet.length === frame.length + (f === 4 ? 8 : 24) ? '' : ' and something else';
  const { src, sport, dst, dport, sumsRight } = parse(packet);
  const said = [text(row.saddr), row.sport, text(row.daddr), row.dport, true];
  return [src, sport, dst, dport, sumsRight].join() === said.join() ? '' : ' and something else';
}

function rowOf(lab: Lab, f: Family, sport: number): dp.NatValue | undefined {
  const codec = f === 4 ? dp.flow4Key : dp.flow6Key;
  for (const [k, v] of lab.map(f === 4 ? 'nat4' : 'nat6').entries()) {
    const row = dp.natValue.decode(v);
    if (codec.decode(k).sport === sport && !(row.flags & NatFlag.reply)) return row;
  }
  return undefined;
}
