// Known holes of others, as tests: families that differ (C13), strangers taken for nodes (C14), echo let in by the way back (C15).
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab, netlink, type PolicyRow, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { type PacketSpec, packet, TCP } from './packet.ts';
import { A, ADDRESS, ab, B, ba, createPods, DENY, echo, echoReply, FAMILIES, type Family, freshPort, icmpProto, open } from './pods.ts';
import { createUplink } from './uplink.ts';
import { sh } from './world.ts';

const NETNS = `axd-entry-${process.pid}`;
const { hasAdmin, hasBaseline } = dp.SubjectFlag;
const L = dp.Layer;
const BLOCK = 0x0200_0001;
const NODE = { nodeIp4: IP(ADDRESS[4].node), nodeIp6: IP(ADDRESS[6].node), ifindexVxlan: 1 };
const TUNNEL = { ...NODE, flags: dp.NodeFlag.tunnel };
const NATIVE = { ...NODE, flags: 0 };
const MASQUERADE = { ...NODE, flags: dp.NodeFlag.tunnel | dp.NodeFlag.masquerade4 | dp.NodeFlag.masquerade6 };
/** Only addresses give these: nobody outside may have one. */
const NODES = new Set([1, 6, 7]);
const API = { 4: '192.168.9.7', 6: 'fd99::7' } as const;
const bits = (f: Family): number => (f === 4 ? 32 : 128);

let lab: Lab;
beforeAll(() => {
  build();
  createUplink(NETNS);
  lab = createPods({ objects: ['pod', 'netdev', 'overlay', 'host', 'floor'] });
  for (const f of FAMILIES) lab.ipcache(`${API[f]}/${bits(f)}`, 7, ADDRESS[4].tunnel);
});
afterAll(() => {
  lab.close();
  sh(`ip netns del ${NETNS}`);
});
beforeEach(() => {
  lab.config(TUNNEL);
  for (const id of [A.identity, B.identity]) for (const layer of Object.values(L)) if (layer !== L.normal) lab.forget(id, layer);
  lab.clearClasses();
  open(lab);
  lab.events();
});

const run = (program: string, frame: Buffer, ifindex: number): number =>
  netlink.inNetns(netlink.netnsPath(NETNS), () => lab.run(program, frame, ifindex)).verdict;
const frameOf = (src: string, dst: string, s: Partial<PacketSpec> = {}): Buffer =>
  packet({ src, dst, sport: freshPort(), dport: 80, flags: TCP.syn, payload: Buffer.alloc(60), ...s });

/** One way for a packet to or from pod a; the peer's identity and what the way is judged as. */
interface Way {
  readonly name: string;
  readonly direction: 'ingress' | 'egress';
  readonly peer: number;
  readonly send: (f: Family) => number;
  readonly config?: typeof NATIVE;
}

const toA = (f: Family, from: 'b' | 'c' | 'router' | 'world'): Buffer => frameOf(ADDRESS[f][from], ADDRESS[f].a);
const fromA = (f: Family, to: 'b' | 'c' | 'node'): Buffer => frameOf(ADDRESS[f].a, ADDRESS[f][to]);
const overlay = (f: Family, outer: string): number => lab.runFromOverlay(toA(f, 'c'), 1003, outer).verdict;

const WAYS: readonly Way[] = [
  { name: 'out to a pod here', direction: 'egress', peer: 1002, send: (f) => run('from_pod', fromA(f, 'b'), A.ifindex) },
  { name: 'in from a pod here', direction: 'ingress', peer: 1002, send: (f) => run('from_pod', toA(f, 'b'), B.ifindex) },
  { name: 'out through the tunnel', direction: 'egress', peer: 1003, send: (f) => run('from_pod', fromA(f, 'c'), A.ifindex) },
  { name: 'in through the tunnel', direction: 'ingress', peer: 1003, send: (f) => overlay(f, ADDRESS[4].tunnel) },
  { name: 'in through a tunnel over IPv6', direction: 'ingress', peer: 1003, send: (f) => overlay(f, ADDRESS[6].tunnel) },
  { name: 'out natively', direction: 'egress', peer: 1003, send: (f) => run('from_pod', fromA(f, 'c'), A.ifindex), config: NATIVE },
  { name: 'in natively', direction: 'ingress', peer: 1003, send: (f) => run('from_netdev', toA(f, 'c'), 1), config: NATIVE },
  { name: 'in through the stack', direction: 'ingress', peer: 1003, send: (f) => run('to_pod', toA(f, 'c'), 1), config: NATIVE },
  { name: 'out to the node', direction: 'egress', peer: 1, send: (f) => run('from_pod', fromA(f, 'node'), A.ifindex) },
  { name: 'in from the node', direction: 'ingress', peer: 1, send: (f) => run('from_host', toA(f, 'router'), 0) },
];

interface Scene {
  readonly name: string;
  readonly flags?: 'deny' | 'audit' | 'none';
  readonly rows?: Partial<Record<'normal' | 'admin' | 'baseline', readonly Omit<PolicyRow, 'direction' | 'peer'>[]>>;
  readonly peer?: 'any' | 'class';
  readonly passes: boolean;
  /** The node's implicit reach decides otherwise. */
  readonly fromNode?: boolean;
}
const tcp80 = { proto: PROTO.tcp, port: 80, rule: 5 };
const SCENES: readonly Scene[] = [
  { name: 'no policy', passes: true },
  { name: 'default deny', flags: 'deny', passes: false, fromNode: true },
  { name: 'an allow row', flags: 'deny', rows: { normal: [tcp80] }, passes: true },
  { name: 'an allow row for another port', flags: 'deny', rows: { normal: [{ ...tcp80, port: 81 }] }, passes: false, fromNode: true },
  { name: 'an allow row for UDP', flags: 'deny', rows: { normal: [{ ...tcp80, proto: PROTO.udp }] }, passes: false, fromNode: true },
  { name: 'an allow row for all', flags: 'deny', rows: { normal: [{}] }, peer: 'any', passes: true },
  { name: 'a deny row', rows: { normal: [{ ...tcp80, verdict: 'deny' }] }, passes: false },
  { name: 'an admin deny', rows: { admin: [{ verdict: 'deny' }], normal: [tcp80] }, passes: false },
  { name: 'an admin allow', flags: 'deny', rows: { admin: [tcp80], normal: [{ verdict: 'deny' }] }, passes: true },
  { name: 'an admin pass', rows: { admin: [{ verdict: 'pass' }], baseline: [{ verdict: 'deny' }] }, passes: false, fromNode: true },
  { name: 'a baseline deny', rows: { baseline: [{ verdict: 'deny' }] }, passes: false, fromNode: true },
  { name: 'a block allowed', flags: 'deny', rows: { normal: [tcp80] }, peer: 'class', passes: true },
  { name: 'a block denied', rows: { normal: [{ ...tcp80, verdict: 'deny' }] }, peer: 'class', passes: false },
  { name: 'audited default deny', flags: 'audit', passes: true },
];

function arrange(way: Way, scene: Scene): void {
  lab.config(way.config ?? TUNNEL);
  for (const f of FAMILIES) lab.addrClass(f === 4 ? '0.0.0.0/0' : '::/0', BLOCK);
  const peer = scene.peer === 'any' ? 0 : scene.peer === 'class' ? BLOCK : way.peer;
  const rows = (name: 'normal' | 'admin' | 'baseline'): PolicyRow[] =>
    (scene.rows?.[name] ?? []).map((r) => ({ ...r, peer, direction: way.direction }));
  lab.policy(A.identity, 0, rows('admin'), [0, 0], L.admin);
  lab.policy(A.identity, 0, rows('baseline'), [0, 0], L.baseline);
  const deny = scene.flags === 'deny' || scene.flags === 'audit' ? DENY[way.direction] : 0;
  const more = (scene.rows?.admin ? hasAdmin : 0) | (scene.rows?.baseline ? hasBaseline : 0);
  lab.policy(A.identity, deny | more | (scene.flags === 'audit' ? dp.SubjectFlag.audit : 0), rows('normal'));
  lab.bump();
}

test.each(WAYS)('C13: $name, IPv4 and IPv6 are judged alike by every policy', (way) => {
  for (const scene of SCENES) {
    const passes = scene.passes || (way.direction === 'ingress' && way.peer === 1 && scene.fromNode === true);
    for (const f of FAMILIES) {
      arrange(way, scene);
      const verdict = way.send(f);
      const e = lab.events().at(-1)!;
      const dropped = e.type === dp.EventType.drop;
      expect([scene.name, f, verdict === VERDICT.drop, dropped]).toEqual([scene.name, f, !passes, !passes]);
      expect([scene.name, f, way.direction === 'egress' ? e.dstIdentity : e.srcIdentity]).toEqual([scene.name, f, way.peer]);
    }
  }
});

describe('C13: IPv4 inside IPv6', () => {
  const mapped = (v4: string): string =>
    `::ffff:${IP(v4)
      .toString('hex')
      .replace(/(....)(....)/, '$1:$2')}`;

  test('a mapped address on the wire is nobody’s: not the pod’s own, not its neighbour’s', () => {
    const own = packet({ src: mapped(ADDRESS[4].a), dst: ADDRESS[6].b, flags: TCP.syn, payload: Buffer.alloc(60) });
    expect(run('from_pod', own, A.ifindex)).toBe(VERDICT.drop);
    expect(lab.events().at(-1)).toMatchObject({ reason: 132 });
    lab.policy(A.identity, DENY.egress, [{ direction: 'egress', peer: B.identity }]);
    lab.bump();
    expect(run('from_pod', frameOf(ADDRESS[6].a, mapped(ADDRESS[4].b)), A.ifindex)).toBe(VERDICT.drop);
    expect(lab.events().at(-1)).toMatchObject({ reason: 133, dstIdentity: 10 });
    lab.policy(A.identity, DENY.ingress, [{ direction: 'ingress', peer: 1003 }]);
    lab.bump();
    lab.config(NATIVE);
    expect(run('from_netdev', frameOf(mapped(ADDRESS[4].c), ADDRESS[6].a), 1)).toBe(VERDICT.drop);
    expect(lab.events().at(-1)).toMatchObject({ reason: 133, srcIdentity: 10 });
  });

  test.each([4, 41, 47])('protocol %i carries nothing past a policy', (proto) => {
    for (const f of FAMILIES) {
      const inner = ab(f === 4 ? 6 : 4).subarray(14);
      expect(run('from_pod', packet({ src: ADDRESS[f].a, dst: ADDRESS[f].b, proto, payload: inner }), A.ifindex)).toBe(VERDICT.drop);
      expect(lab.events().at(-1)).toMatchObject({ reason: 137 });
    }
  });
});

describe.each(FAMILIES)('C14: IPv%i, nobody outside is taken for a node', (f) => {
  const at = ADDRESS[f];
  /** Isolated, but open to what only nodes are. */
  const trusting = (): void => {
    lab.policy(
      A.identity,
      DENY.ingress,
      [...NODES].map((peer) => ({ direction: 'ingress' as const, peer })),
    );
    lab.bump();
  };
  const refused = (verdict: number): void => {
    expect(verdict).toBe(VERDICT.drop);
    const e = lab.events().at(-1)!;
    // by its address, or as the stranger it is
    if (e.reason !== 132 && e.reason !== 172) expect(NODES.has(e.srcIdentity)).toBe(false);
  };

  test('C14: the network to a pod: own addresses, other nodes’, the API server’s, other pods’, the world’s', () => {
    trusting();
    for (const src of [at.node, at.router, at.b, at.tunnel, API[f], at.c, at.world]) refused(run('from_netdev', frameOf(src, at.a), 1));
    lab.config(NATIVE);
    trusting();
    for (const src of [at.node, at.router, at.b, at.world]) refused(run('from_netdev', frameOf(src, at.a), 1));
  });

  test('C14: the network through this node to a pod elsewhere, with an address of ours or of another node', () => {
    for (const src of [at.node, at.router, at.a]) refused(run('from_netdev', frameOf(src, at.c), 1));
    for (const src of [at.tunnel, API[f]]) refused(run('from_host', frameOf(src, at.c), 0));
    // a stranger is passed on as one
    const sport = freshPort();
    expect(run('from_host', frameOf(at.world, at.c, { sport }), 0)).toBe(VERDICT.redirect);
    expect(lab.flow(f, sport, 80)?.ifindexOut).toBe(f === 4 ? 9 : 10);
  });

  test('C14: an answer to a masqueraded flow is one of the world’s, and of nobody else', () => {
    lab.config(MASQUERADE);
    lab.policy(A.identity, DENY.ingress | DENY.egress, [
      { direction: 'egress', peer: f === 4 ? 9 : 10 },
      ...[...NODES].map((peer) => ({ direction: 'ingress' as const, peer })),
    ]);
    lab.bump();
    const sport = freshPort();
    expect(run('from_pod', frameOf(at.a, at.world, { sport }), A.ifindex)).toBe(VERDICT.redirect);
    const port = lab.events().at(-1)!.natPort;
    expect(port).toBeGreaterThan(0);
    const answer = (src: string, flags: number): number => run('from_netdev', frameOf(src, at.node, { sport: 80, dport: port, flags }), 1);
    // to the node's stack, not to the pod: only who was asked may answer, and not with a question
    for (const src of [at.tunnel, API[f], at.router]) expect(answer(src, TCP.ack)).toBe(VERDICT.ok);
    expect(answer(at.world, TCP.syn)).toBe(VERDICT.ok);
    expect(lab.events().filter((e) => e.dstIdentity === A.identity)).toEqual([]);
    expect(answer(at.world, TCP.syn | TCP.ack)).toBe(VERDICT.redirect);
    lab.policy(
      A.identity,
      DENY.ingress | DENY.egress,
      [...NODES].map((peer) => ({ direction: 'ingress', peer })),
    );
    lab.bump();
    expect(answer(at.world, TCP.ack)).toBe(VERDICT.drop);
    expect(lab.events().at(-1)).toMatchObject({ srcIdentity: f === 4 ? 9 : 10, dstIdentity: A.identity });
  });

  test('C14: the tunnel: an outer source that is no node says nothing, whatever the VNI', () => {
    trusting();
    const strangers = ['203.0.113.9', '2001:db8::9', ADDRESS[4].c, ADDRESS[6].c, ADDRESS[4].world];
    for (const outer of strangers) {
      for (const vni of [1, 2, 6, 7, 1003]) {
        const before = lab.dropped(172, 0);
        refused(lab.runFromOverlay(frameOf(at.c, at.a), vni, outer).verdict);
        expect(lab.dropped(172, 0)).toBe(before + 1);
      }
    }
    // of a node: its VNI counts, but nobody elsewhere is this host
    for (const outer of [ADDRESS[4].tunnel, ADDRESS[6].tunnel]) {
      expect(lab.runFromOverlay(frameOf(at.tunnel, at.a), 1, outer).verdict).toBe(VERDICT.redirect);
      expect(lab.events().at(-1)).toMatchObject({ srcIdentity: 6 });
      expect(lab.runFromOverlay(frameOf(at.world, at.a), f === 4 ? 9 : 10, outer).verdict).toBe(VERDICT.drop);
      expect(lab.events().at(-1)).toMatchObject({ reason: 133, srcIdentity: f === 4 ? 9 : 10 });
    }
  });

  test('C14: the stack to a pod: by its address, never as the node', () => {
    trusting();
    expect(run('to_pod', frameOf(at.world, at.a), 0)).toBe(VERDICT.drop);
    expect(lab.events().at(-1)).toMatchObject({ srcIdentity: f === 4 ? 9 : 10 });
  });

  test('C14: a pod cannot claim a node’s address', () => {
    lab.policy(
      B.identity,
      DENY.ingress,
      [...NODES].map((peer) => ({ direction: 'ingress', peer })),
    );
    lab.bump();
    for (const src of [at.node, at.router, at.tunnel, API[f]]) {
      expect(run('from_pod', frameOf(src, at.b), A.ifindex)).toBe(VERDICT.drop);
      expect(lab.events().at(-1)).toMatchObject({ reason: 132, srcIdentity: A.identity });
    }
  });
});

describe.each(FAMILIES)('C15: IPv%i, a may open, b may not', (f) => {
  const proto = icmpProto(f);
  /** Messages of the link, which no policy judges and no other pod sees. */
  const linkTypes = new Set(f === 4 ? [] : [133, 134, 135, 136, 137]);
  const errors = new Set(f === 4 ? [3, 4, 5, 11, 12] : [1, 2, 3, 4]);

  const oneWay = (): void => {
    lab.policy(A.identity, DENY.ingress | DENY.egress, [{ direction: 'egress', peer: B.identity }]);
    lab.policy(B.identity, DENY.ingress | DENY.egress, [{ direction: 'ingress', peer: A.identity }]);
    lab.bump();
  };
  const flush = (): void => {
    for (const name of ['flow4', 'flow6']) for (const [key] of [...lab.map(name).entries()]) lab.map(name).delete(key);
  };

  /** Every type and code from b to a that is delivered. */
  function leaks(id: number): string[] {
    const out: string[] = [];
    for (let type = 0; type < 256; type++) {
      if (linkTypes.has(type)) continue;
      for (const code of type < 20 || type >= 128 ? [0, 1, 2, 3, 4, 5, 13, 255] : [0, 255]) {
        const verdict = lab.run('from_pod', ba(f, { proto, type, code, sport: id }), B.ifindex).verdict;
        if (verdict !== VERDICT.drop) out.push(`${type}/${code}`);
      }
    }
    return out;
  }

  test('C15: without a flow nothing of b reaches a, of any type and code', () => {
    oneWay();
    flush();
    expect(leaks(freshPort())).toEqual([]);
  });

  test('C15: with an echo under way only its answer does', () => {
    oneWay();
    flush();
    const id = freshPort();
    expect(lab.run('from_pod', ab(f, { proto, type: echo(f), sport: id }), A.ifindex).verdict).toBe(VERDICT.redirect);
    const passed = leaks(id);
    expect(new Set(passed.map((p) => Number(p.split('/')[0])))).toEqual(new Set([echoReply(f)]));
    // another echo id: not even that
    expect(leaks(id + 20_000)).toEqual([]);
  });

  test('C15: with a connection under way, or a message without an id, nothing does', () => {
    oneWay();
    flush();
    const sport = freshPort();
    expect(lab.run('from_pod', ab(f, { sport }), A.ifindex).verdict).toBe(VERDICT.redirect);
    expect(leaks(sport)).toEqual([]);
    const type = f === 4 ? 13 : 139;
    expect(lab.run('from_pod', ab(f, { proto, type, code: 0 }), A.ifindex).verdict).toBe(VERDICT.redirect);
    expect(leaks(0).filter((p) => !p.startsWith(`${type}/`) && !p.startsWith(`${type + 1}/`))).toEqual([]);
  });

  test('C15: an error must quote a flow of the two', () => {
    oneWay();
    flush();
    for (const type of errors) {
      const about = ba(f, { sport: freshPort() }).subarray(14, 14 + 48 + (f === 6 ? 20 : 0));
      expect(lab.run('from_pod', ba(f, { proto, type, code: 0, payload: about }), B.ifindex).verdict).toBe(VERDICT.drop);
    }
  });

  test('C15: TCP, UDP and SCTP alike: b opens nothing on the ports of what a opened', () => {
    oneWay();
    flush();
    for (const p of [PROTO.tcp, PROTO.udp, PROTO.sctp]) {
      expect(lab.run('from_pod', ba(f, { proto: p, sport: 80, dport: 40_000 + p }), B.ifindex).verdict).toBe(VERDICT.drop);
      expect(lab.run('from_pod', ab(f, { proto: p, sport: 40_000 + p }), A.ifindex).verdict).toBe(VERDICT.redirect);
      expect(lab.run('from_pod', ba(f, { proto: p, sport: 81, dport: 40_000 + p }), B.ifindex).verdict).toBe(VERDICT.drop);
    }
    expect(lab.run('from_pod', ba(f, { sport: 80, dport: 40_000 + PROTO.tcp, flags: TCP.syn }), B.ifindex).verdict).toBe(VERDICT.drop);
  });
});
