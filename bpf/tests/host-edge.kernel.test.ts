// An enforced node: what is never judged, what is not the node's, what belongs to a flow, odd protocols. Default deny both ways unless said.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { bpf, build, dp, type Lab, netlink, type PolicyRow, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { icmpError, type PacketSpec, packet, parse, TCP, whoHas } from './packet.ts';
import { A, ADDRESS, createPods, DENY, echo, FAMILIES, freshPort, icmpProto, open } from './pods.ts';
import { sh } from './world.ts';

const NETNS = `axd-host-${process.pid}`;
const HOST = 1;
const BOTH = DENY.ingress | DENY.egress;
const enforced = dp.NodeFlag.tunnel | dp.NodeFlag.hostPolicy;
const MORE = {
  4: {
    peer: '192.168.9.2',
    api: '192.168.9.3',
    second: '192.168.7.1',
    broadcast: '192.168.9.255',
    many: '224.0.0.251',
    link: '192.168.9.7',
  },
  6: { peer: 'fd99::2', api: 'fd99::3', second: 'fd97::1', broadcast: 'ff02::1', many: 'ff02::fb', link: 'fe80::7' },
} as const;
const base = { nodeIp4: IP(ADDRESS[4].node), nodeIp6: IP(ADDRESS[6].node), ifindexVxlan: 1, ifindexHost: 0, ifindexNet: 0 };
let lab: Lab;
let uplink = 0;

/** Addresses and routes to ask: an uplink with a second address that the datapath was not told of, and a default route. */
function createNetns(): void {
  sh(`ip netns add ${NETNS}`);
  const ip = (args: string): string => sh(`ip -n ${NETNS} ${args}`);
  for (const s of ['ipv4.ip_forward=1', 'ipv6.conf.all.forwarding=1']) sh(`ip netns exec ${NETNS} sysctl -qw net.${s}`);
  ip('link set lo up');
  ip('link add up0 type veth peer name up1');
  ip('link add axo_host type veth peer name axo_net');
  for (const d of ['up0', 'up1', 'axo_host', 'axo_net']) ip(`link set ${d} up`);
  for (const a of ['192.168.9.1/24', '192.168.7.1/24']) ip(`addr add ${a} brd + dev up0`);
  for (const a of ['fd99::1/64', 'fd97::1/64']) ip(`-6 addr add ${a} dev up0 nodad`);
  ip('route add default via 192.168.9.254');
  ip('-6 route add default via fd99::fe dev up0');
  const index = (d: string): number => (JSON.parse(ip(`-j link show ${d}`)) as [{ ifindex: number }])[0].ifindex;
  uplink = index('up0');
  Object.assign(base, { ifindexHost: index('axo_host'), ifindexNet: index('axo_net') });
}

beforeAll(() => {
  build();
  createNetns();
  lab = createPods({ objects: ['pod', 'netdev', 'overlay', 'host', 'floor'] });
  for (const f of FAMILIES) {
    lab.ipcache(`${MORE[f].peer}/${f === 4 ? 32 : 128}`, 6, ADDRESS[4].tunnel);
    lab.ipcache(`${MORE[f].api}/${f === 4 ? 32 : 128}`, 7);
  }
});
afterAll(() => {
  lab.close();
  sh(`ip netns del ${NETNS}`);
});
beforeEach(() => {
  lab.config({ ...base, flags: enforced });
  open(lab);
  given(BOTH);
  lab.events();
});

const given = (flags: number, rows: readonly PolicyRow[] = []): void => {
  lab.policy(HOST, flags, rows);
  lab.bump();
};
const run = (program: string, frame: Buffer, ifindex = uplink): { verdict: number; packet: Buffer } =>
  netlink.inNetns(netlink.netnsPath(NETNS), () => lab.run(program, frame, ifindex));
const comes = (frame: Buffer): number => run('from_netdev', frame).verdict;
const leaves = (frame: Buffer): number => run('to_netdev', frame, 0).verdict;
const last = (): dp.Event | undefined => lab.events().at(-1);

describe.each(FAMILIES)('IPv%i', (f) => {
  const at = ADDRESS[f];
  const more = MORE[f];
  const to = (s: Partial<PacketSpec>, src: string = at.world, dst: string = at.node): Buffer =>
    packet({ src, dst, sport: freshPort(), dport: 22, flags: TCP.syn, payload: Buffer.alloc(60), ...s });
  const from = (s: Partial<PacketSpec>, dst: string = at.world): Buffer => to(s, at.node, dst);

  test('a node that is no subject costs nothing: no entry, no event, no count', () => {
    const quiet = (): void => {
      const sport = freshPort();
      expect([comes(to({ sport })), leaves(from({ sport }))]).toEqual([VERDICT.ok, VERDICT.ok]);
      expect([lab.flow(f, sport, 22), lab.events()]).toEqual([undefined, []]);
    };
    lab.config({ ...base, flags: dp.NodeFlag.tunnel });
    quiet();
    // the flag without the row: between two writes of the agent
    lab.config({ ...base, flags: enforced });
    lab.forget(HOST);
    expect([comes(to({})), leaves(from({}))]).toEqual([VERDICT.ok, VERDICT.ok]);
    const events = lab.events();
    expect(events.filter((e) => e.reason !== 0)).toEqual([]);
  });

  const upkeep: readonly (readonly [string, Partial<PacketSpec>, Partial<PacketSpec>])[] =
    f === 4
      ? [
          ['DHCP', { proto: PROTO.udp, sport: 67, dport: 68 }, { proto: PROTO.udp, sport: 68, dport: 67 }],
          ['DHCP, served here', { proto: PROTO.udp, sport: 68, dport: 67 }, { proto: PROTO.udp, sport: 67, dport: 68 }],
          ['IGMP', { proto: 2 }, { proto: 2 }],
        ]
      : [
          ['DHCP', { proto: PROTO.udp, sport: 547, dport: 546 }, { proto: PROTO.udp, sport: 546, dport: 547 }],
          ['DHCP from any port', { proto: PROTO.udp, sport: 33000, dport: 546 }, { proto: PROTO.udp, sport: 33000, dport: 547 }],
          ...[130, 131, 132, 133, 134, 135, 136, 137, 143].map(
            (type) => [`ICMPv6 ${type}`, { proto: PROTO.icmp6, type }, { proto: PROTO.icmp6, type }] as const,
          ),
        ];
  test.each(upkeep)('%s is never judged', (_name, inwards, outwards) => {
    expect([comes(to(inwards, more.link)), leaves(from(outwards, more.link))]).toEqual([VERDICT.ok, VERDICT.ok]);
    expect(lab.events()).toEqual([]);
  });

  test('ARP and neighbour solicitations neither; what only looks like it is', () => {
    for (const program of ['from_netdev', 'to_netdev']) expect(run(program, whoHas(more.peer, at.node)).verdict).toBe(VERDICT.ok);
    expect(lab.events()).toEqual([]);
    const fake = f === 4 ? { proto: PROTO.udp, sport: 53, dport: 68 } : { proto: PROTO.udp, sport: 546, dport: 53 };
    expect(comes(to(fake))).toBe(VERDICT.drop);
    expect(comes(to({ proto: icmpProto(f), type: f === 4 ? 13 : 139 }))).toBe(VERDICT.drop);
  });

  test('the tunnel between nodes is never judged, tunnel packets of and to strangers are', () => {
    const tunnel = { proto: PROTO.udp, sport: 40000, dport: 8472 };
    for (const node of [more.peer, more.api]) {
      expect([comes(to(tunnel, node)), leaves(from(tunnel, node))]).toEqual([VERDICT.ok, VERDICT.ok]);
      const frag = { id: freshPort(), offset: 0, more: true };
      // its fragments too
      expect(leaves(from({ ...tunnel, frag }, node))).toBe(VERDICT.ok);
      expect(leaves(from({ ...tunnel, frag: { ...frag, offset: 100, more: false } }, node))).toBe(VERDICT.ok);
    }
    expect(lab.events()).toEqual([]);
    expect([comes(to(tunnel)), leaves(from(tunnel))]).toEqual([VERDICT.drop, VERDICT.drop]);
    // somebody on the path says that a packet of the tunnel was too large
    expect(comes(icmpError(at.world, at.node, from(tunnel, more.peer), 60))).toBe(VERDICT.ok);
    expect(comes(icmpError(at.world, at.node, from({ proto: PROTO.udp }, more.peer), 60))).toBe(VERDICT.drop);
  });

  test('errors about an allowed flow pass both ways, others need a rule', () => {
    given(BOTH, [
      { direction: 'ingress', proto: PROTO.udp, port: 53 },
      { direction: 'egress', proto: PROTO.udp, port: 123 },
    ]);
    const asked = to({ proto: PROTO.udp, dport: 53 });
    const asking = from({ proto: PROTO.udp, dport: 123 });
    expect([leaves(icmpError(at.node, at.world, asked, 28)), comes(icmpError(at.world, at.node, asking, 28))]).toEqual([
      VERDICT.drop,
      VERDICT.drop,
    ]);
    expect([comes(asked), leaves(asking)]).toEqual([VERDICT.ok, VERDICT.ok]);
    expect([leaves(icmpError(at.node, at.world, asked, 28)), comes(icmpError(at.world, at.node, asking, 28))]).toEqual([
      VERDICT.ok,
      VERDICT.ok,
    ]);
    // a router on the way, not the peer itself
    expect(comes(icmpError(f === 4 ? '9.9.9.9' : '2001:db8::99', at.node, asking, 28))).toBe(VERDICT.ok);
  });

  test('what the node passes on is not its own', () => {
    expect(comes(to({}, at.world, f === 4 ? '9.9.9.9' : '2001:db8::9'))).toBe(VERDICT.ok);
    expect(lab.events()).toEqual([]);
  });

  test('every address of the node is the node, told of or not; so are broadcasts and groups', () => {
    for (const dst of [at.router, more.second, more.broadcast, more.many]) {
      expect([dst, comes(to({ proto: PROTO.udp, dport: 5353 }, at.world, dst))]).toEqual([dst, VERDICT.drop]);
      expect(last()).toMatchObject({ reason: 133, srcIdentity: f === 4 ? 9 : 10, dstIdentity: HOST, direction: 0 });
    }
    given(BOTH, [{ direction: 'ingress', proto: PROTO.udp, port: 5353 }]);
    for (const dst of [more.second, more.broadcast, more.many]) {
      expect([dst, comes(to({ proto: PROTO.udp, dport: 5353 }, at.world, dst))]).toEqual([dst, VERDICT.ok]);
    }
    expect(leaves(from({ proto: PROTO.udp, dport: 5353 }, more.many))).toBe(VERDICT.drop);
  });

  test('nobody outside has an address of ours', () => {
    given(0);
    // a pod elsewhere would come through the tunnel; its node may come plain
    for (const src of [at.node, at.router, at.a, at.c]) {
      expect([src, comes(to({}, src))]).toEqual([src, VERDICT.drop]);
      expect(last()).toMatchObject({ reason: 132 });
    }
    expect(comes(to({}, more.peer))).toBe(VERDICT.ok);
    lab.config({ ...base, flags: enforced & ~dp.NodeFlag.tunnel });
    expect(comes(to({}, at.c))).toBe(VERDICT.ok);
  });

  test('a protocol without ports is judged by its number', () => {
    const gre = { proto: 47 };
    expect([comes(to(gre)), leaves(from(gre))]).toEqual([VERDICT.drop, VERDICT.drop]);
    given(BOTH, [{ direction: 'ingress', peer: f === 4 ? 9 : 10 }]);
    expect(leaves(from(gre))).toBe(VERDICT.drop);
    expect(comes(to(gre))).toBe(VERDICT.ok);
    expect(leaves(from(gre))).toBe(VERDICT.ok); // the answer
    expect(leaves(from(gre, more.peer))).toBe(VERDICT.drop);
  });

  test('fragments follow their first one', () => {
    given(BOTH, [{ direction: 'ingress', proto: PROTO.udp, port: 53 }]);
    const piece = (dport: number, id: number, offset: number, sport: number): number =>
      comes(to({ proto: PROTO.udp, sport, dport, frag: { id, offset, more: offset === 0 } }));
    const [id, sport] = [freshPort(), freshPort()];
    expect([piece(53, id, 0, sport), piece(53, id, 100, sport)]).toEqual([VERDICT.ok, VERDICT.ok]);
    expect([piece(54, id + 1, 0, sport), piece(54, id + 1, 100, sport)]).toEqual([VERDICT.drop, VERDICT.drop]);
  });

  test('a stump is dropped, not let in', () => {
    expect(comes(to({}).subarray(0, f === 4 ? 36 : 56))).toBe(VERDICT.drop);
    expect(last()).toMatchObject({ reason: 135 });
  });

  test('a class of addresses can be a peer', () => {
    const key = { prefixlen: f === 4 ? 64 : 160, family: f, addr: IP.table(at.world) };
    const cls = 0x02000007;
    lab.put(dp.tables.addr_class, key, { class: cls });
    const classes = BOTH | dp.SubjectFlag.classes;
    given(classes, [
      { direction: 'ingress', peer: cls, proto: PROTO.tcp, port: 22 },
      { direction: 'egress', peer: cls, proto: PROTO.tcp, port: 443 },
    ]);
    expect([comes(to({})), leaves(from({ dport: 443 }))]).toEqual([VERDICT.ok, VERDICT.ok]);
    expect([comes(to({}, more.peer)), leaves(from({ dport: 443 }, more.peer))]).toEqual([VERDICT.drop, VERDICT.drop]);
    lab.map('addr_class').delete(dp.tables.addr_class.key.encode(key));
  });

  describe('masquerade', () => {
    const flags = enforced | dp.NodeFlag.masquerade4 | dp.NodeFlag.masquerade6;
    const text = (address: string): string => IP.text(IP(address));
    beforeEach(() => lab.config({ ...base, flags }));
    const out = (s: Partial<PacketSpec>): { verdict: number; packet: Buffer } =>
      run('from_pod', packet({ src: at.a, dst: at.world, dport: 443, flags: TCP.syn, payload: Buffer.alloc(60), ...s }), A.ifindex);

    test.each([
      ['TCP', PROTO.tcp],
      ['UDP', PROTO.udp],
    ])('%s of a pod under the node’s address is the pod’s, there and back', (_name, proto) => {
      const sport = freshPort();
      const there = out({ sport, proto });
      expect(there.verdict).toBe(VERDICT.redirect);
      const sent = parse(there.packet);
      expect(sent.src).toBe(text(at.node));
      // on the device it carries our mark
      const marked = bpf.skBuffContext({ mark: 0x0a50e000 });
      expect(lab.program('to_netdev').testRun({ packet: there.packet, context: marked }).verdict).toBe(VERDICT.ok);
      const answer = to({ proto, sport: 443, dport: sent.sport, flags: TCP.syn | TCP.ack });
      for (const _ of [1, 2]) {
        expect(parse(run('from_netdev', answer).packet)).toMatchObject({ dst: text(at.a), dport: sport, sumsRight: true });
      }
      lab.bump();
      expect(parse(run('from_netdev', answer).packet)).toMatchObject({ dst: text(at.a), dport: sport });
      // the same ports, but the node's own: nothing there
      expect(comes(to({ proto, sport: 443, dport: sent.sport - 1, flags: TCP.ack }))).toBe(VERDICT.drop);
    });

    test('through the stack: marked by nobody, judged where it left the pod', () => {
      const sport = freshPort();
      const frame = packet({ src: at.a, dst: at.world, sport, dport: 443, flags: TCP.syn });
      // forwarding off where the pod's packet is judged: the stack would route it
      expect(lab.run('from_pod', frame, A.ifindex).verdict).toBe(VERDICT.ok);
      for (const _ of [1, 2])
        expect(parse(run('to_netdev', frame, 0).packet)).toMatchObject({ src: text(at.node), dport: 443, sumsRight: true });
    });

    test('an error about it finds the pod', () => {
      const sport = freshPort();
      const sent = out({ sport, proto: PROTO.udp });
      const r = run('from_netdev', icmpError(at.world, at.node, sent.packet, 28));
      expect(r.verdict).toBe(VERDICT.redirect);
      expect(parse(r.packet)).toMatchObject({ dst: text(at.a), sumsRight: true });
    });

    test('echo too; and the node’s own echo is judged', () => {
      const id = freshPort();
      const sent = parse(out({ proto: icmpProto(f), type: echo(f), sport: id }).packet);
      const reply = to({ proto: icmpProto(f), type: f === 4 ? 0 : 129, sport: sent.sport });
      expect(parse(run('from_netdev', reply).packet)).toMatchObject({ dst: text(at.a), sport: id });
      expect(leaves(from({ proto: icmpProto(f), type: echo(f), sport: id }))).toBe(VERDICT.drop);
    });
  });

  test('both ends are judged where both are here', () => {
    given(0);
    lab.policy(A.identity, DENY.ingress | DENY.egress, [{ direction: 'egress', peer: HOST, proto: PROTO.tcp, port: 6443 }]);
    lab.bump();
    const pod = (dport: number): number => run('from_pod', to({ dport }, at.a), A.ifindex).verdict;
    expect([pod(6443), pod(22)]).toEqual([VERDICT.ok, VERDICT.drop]);
    expect(last()).toMatchObject({ direction: 1, reason: 133 });
    given(DENY.ingress);
    expect([pod(6443), pod(22)]).toEqual([VERDICT.drop, VERDICT.drop]);
    given(BOTH, [{ direction: 'ingress', peer: A.identity, proto: PROTO.tcp, port: 6443, rule: 5 }]);
    expect([pod(6443), pod(22)]).toEqual([VERDICT.ok, VERDICT.drop]);
    // the node reaches its own pods past their default deny, but not past its own
    const down = (): number => run('from_host', to({ dport: 80 }, at.router, at.a), 0).verdict;
    expect(down()).toBe(VERDICT.drop);
    expect(last()).toMatchObject({ direction: 1, reason: 133, srcIdentity: HOST });
    given(BOTH, [{ direction: 'egress', peer: A.identity }]);
    expect(down()).toBe(VERDICT.redirect);
  });
});
