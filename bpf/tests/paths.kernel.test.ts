// Every way in and out of a node for both families: tunnel, host, stack, network, masquerade, and errors about them.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { bpf, build, dp, type Lab, netlink, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { icmpError, packet, parse, TCP } from './packet.ts';
import { A, ADDRESS, ab, B, between, createPods, DENY, echo, echoReply, FAMILIES, freshPort, icmpProto, open } from './pods.ts';
import { createUplink } from './uplink.ts';
import { sh } from './world.ts';

const NETNS = `axd-paths-${process.pid}`;
const NODE = { nodeIp4: IP(ADDRESS[4].node), nodeIp6: IP(ADDRESS[6].node), flags: dp.NodeFlag.tunnel, ifindexVxlan: 1 };
const MASQUERADE = NODE.flags | dp.NodeFlag.masquerade4 | dp.NodeFlag.masquerade6;
let lab: Lab;
let uplink = 0;

/** An uplink with default routes, and the cluster's routes to axo_host. */
function createNetns(): void {
  const { ifindex, index, ip } = createUplink(NETNS);
  uplink = ifindex;
  ip('link add axo_host type veth peer name axo_net');
  for (const d of ['axo_host', 'axo_net']) ip(`link set ${d} up`);
  ip('route add 10.0.0.0/16 dev axo_host');
  ip('-6 route add fd00::/16 dev axo_host');
  ip('route add unreachable 203.0.113.0/24');
  ip('-6 route add unreachable 2001:db8:dead::/48');
  Object.assign(NODE, { ifindexHost: index('axo_host'), ifindexNet: index('axo_net') });
}

beforeAll(() => {
  build();
  createNetns();
  lab = createPods({ objects: ['pod', 'netdev', 'overlay', 'host', 'floor'] });
});
afterAll(() => {
  lab.close();
  sh(`ip netns del ${NETNS}`);
});
beforeEach(() => {
  lab.config(NODE);
  open(lab);
  lab.events();
});

/** A test run inside the namespace with routes. */
const run = (program: string, frame: Buffer, ifindex: number = A.ifindex): { verdict: number; packet: Buffer } =>
  netlink.inNetns(netlink.netnsPath(NETNS), () => lab.run(program, frame, ifindex));
const last = (): dp.Event | undefined => lab.events().at(-1);
const allowFromC = (direction: 'ingress' | 'egress') => ({ direction, peer: 1003, proto: PROTO.tcp, port: 80, rule: 41 }) as const;

describe.each(FAMILIES)('IPv%i', (f) => {
  const at = ADDRESS[f];
  const toPort = (program: string, src: string, dport: number, s = {}): { verdict: number; packet: Buffer } =>
    run(program, packet({ src, dst: at.a, sport: freshPort(), dport, flags: TCP.syn, payload: Buffer.alloc(60), ...s }), 1);

  describe('tunnel', () => {
    test('a pod elsewhere is reached through the tunnel with the sender’s identity', () => {
      const sport = freshPort();
      const r = run('from_pod', between(f, 'a', 'c', { sport }));
      expect(r.verdict).toBe(VERDICT.redirect);
      expect(parse(r.packet)).toMatchObject({ ttl: 63, sumsRight: true });
      expect(lab.flow(f, sport, 80)).toMatchObject({
        action: dp.FlowAction.tunnel,
        ifindexOut: 1001,
        addr: new Uint8Array(IP.table(ADDRESS[4].tunnel)),
      });
      expect(last()).toMatchObject({ srcIdentity: 1001, dstIdentity: 1003, dstEndpoint: 0, nextHop: dp.FlowAction.tunnel });
      expect(run('from_pod', between(f, 'a', 'c', { sport, flags: TCP.ack })).verdict).toBe(VERDICT.redirect);
      lab.policy(1001, DENY.egress);
      lab.bump();
      expect(run('from_pod', between(f, 'a', 'c', { sport, flags: TCP.ack })).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 133, dstIdentity: 1003 });
    });

    test('an IPv6 underlay is taken for what it is', () => {
      lab.ipcache(`${at.c}/${f === 4 ? 32 : 128}`, 1003, ADDRESS[6].tunnel);
      const sport = freshPort();
      expect(run('from_pod', between(f, 'a', 'c', { sport })).verdict).toBe(VERDICT.redirect);
      expect(lab.flow(f, sport, 80)).toMatchObject({ addr: new Uint8Array(IP(ADDRESS[6].tunnel)) });
      expect(lab.flow(f, sport, 80)!.flags & dp.FlowFlag.v6Underlay).toBeTruthy();
      lab.ipcache(`${at.c}/${f === 4 ? 32 : 128}`, 1003, ADDRESS[4].tunnel);
    });

    test('an address of this node’s block without an endpoint leads nowhere', () => {
      expect(run('from_pod', packet({ src: at.a, dst: f === 4 ? '10.0.1.77' : 'fd00:1::77' })).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 151 });
      expect(run('from_pod', packet({ src: at.a, dst: f === 4 ? '10.0.9.9' : 'fd00:9::9' })).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 151 }); // the cluster's route, but nobody's block
    });

    test.each([
      ['no policy', 0, [], VERDICT.redirect, 0],
      ['an allow row for the identity in the VNI', DENY.ingress, [allowFromC('ingress')], VERDICT.redirect, 0],
      ['default deny', DENY.ingress, [], VERDICT.drop, 133],
      ['a deny row', 0, [{ ...allowFromC('ingress'), verdict: 'deny' as const }], VERDICT.drop, 181],
    ])('from the tunnel with %s', (_name, flags, rows, verdict, reason) => {
      lab.policy(1001, flags, rows);
      lab.bump();
      const sport = freshPort();
      const r = lab.runFromOverlay(between(f, 'c', 'a', { sport }), 1003);
      expect(r.verdict).toBe(verdict);
      expect(last()).toMatchObject({ reason, srcIdentity: 1003, dstIdentity: 1001, dstEndpoint: 1, hook: dp.Hook.fromOverlay });
      if (verdict === VERDICT.drop) return;
      expect(parse(r.packet)).toMatchObject({ dstMac: '020000000001', srcMac: '02000000000a', ttl: 63, sumsRight: true });
      expect(lab.runFromOverlay(between(f, 'c', 'a', { sport, flags: TCP.ack }), 1003).verdict).toBe(VERDICT.redirect);
      expect(lab.events()).toEqual([]);
      lab.policy(1001, DENY.egress | flags, rows);
      lab.bump();
      expect(run('from_pod', between(f, 'a', 'c', { sport: 80, dport: sport, flags: TCP.ack })).verdict).toBe(VERDICT.redirect);
    });

    test('another identity, no identity, no target', () => {
      lab.policy(1001, DENY.ingress, [allowFromC('ingress')]);
      lab.bump();
      expect(lab.runFromOverlay(between(f, 'c', 'a', {}), 1004).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 133, srcIdentity: 1004 });
      expect(run('from_overlay', between(f, 'c', 'a', {})).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 147 });
      const lost = packet({ src: at.c, dst: f === 4 ? '10.0.1.78' : 'fd00:1::78', payload: Buffer.alloc(60) });
      expect(lab.runFromOverlay(lost, 1003).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 151 });
    });

    test('a pod elsewhere gets new labels: what began under the old identity ends with it, whichever node knows first', () => {
      const known = (identity: number): void => {
        lab.ipcache(`${at.c}/${f === 4 ? 32 : 128}`, identity, ADDRESS[4].tunnel);
        lab.bump();
      };
      lab.policy(1001, DENY.ingress, [allowFromC('ingress')]);
      const sport = freshPort();
      const send = (identity: number, flags: number): number =>
        lab.runFromOverlay(between(f, 'c', 'a', { sport, flags }), identity).verdict;
      known(1003);
      expect(send(1003, TCP.syn)).toBe(VERDICT.redirect);
      for (const here of [1004, 99]) {
        known(here);
        // the node of the sender does not know yet
        expect(send(1003, TCP.ack)).toBe(VERDICT.redirect);
        expect(send(1003, TCP.ack)).toBe(VERDICT.redirect);
        expect(send(1004, TCP.ack)).toBe(VERDICT.drop);
      }
      known(1003);
      expect(send(1003, TCP.ack)).toBe(VERDICT.redirect);
    });

    test('a reply from the tunnel passes, and no longer once the rule is gone', () => {
      lab.policy(1001, DENY.egress | DENY.ingress, [allowFromC('egress')]);
      lab.bump();
      const sport = freshPort();
      const answer = (): number => lab.runFromOverlay(between(f, 'c', 'a', { sport: 80, dport: sport, flags: TCP.ack }), 1003).verdict;
      expect(answer()).toBe(VERDICT.drop);
      expect(run('from_pod', between(f, 'a', 'c', { sport })).verdict).toBe(VERDICT.redirect);
      expect(answer()).toBe(VERDICT.redirect);
      lab.bump();
      expect(answer()).toBe(VERDICT.redirect);
      lab.policy(1001, DENY.egress | DENY.ingress);
      lab.bump();
      expect(answer()).toBe(VERDICT.drop);
    });

    test('nobody forges tunnel packets: not a pod to a node, not inside the tunnel', () => {
      const forged = { proto: PROTO.udp, dport: 8472, payload: Buffer.alloc(60) };
      for (const dst of [at.node, at.world, at.router]) {
        expect(run('from_pod', packet({ src: at.a, dst, ...forged })).verdict).toBe(VERDICT.drop);
        expect(last()).toMatchObject({ reason: 170 });
      }
      expect(lab.runFromOverlay(packet({ src: at.c, dst: at.node, ...forged }), 1003).verdict).toBe(VERDICT.drop);
      expect(run('from_pod', ab(f, forged)).verdict).toBe(VERDICT.redirect);
    });

    test('to an address of the node itself: up the stack', () => {
      expect(lab.runFromOverlay(packet({ src: at.c, dst: at.router, payload: Buffer.alloc(60) }), 1003).verdict).toBe(VERDICT.ok);
    });
  });

  describe('host', () => {
    test('the node reaches its pods past default deny, not past a deny row; the pod answers', () => {
      lab.policy(1001, DENY.ingress | DENY.egress);
      lab.bump();
      const sport = freshPort();
      const frame = packet({ src: at.router, dst: at.a, sport, dport: 80, flags: TCP.syn });
      const r = run('from_host', frame, 0);
      expect(r.verdict).toBe(VERDICT.redirect);
      expect(parse(r.packet)).toMatchObject({ dstMac: '020000000001', ttl: 64 });
      expect(last()).toMatchObject({ srcIdentity: 1, dstIdentity: 1001 });
      expect(run('from_pod', packet({ src: at.a, dst: at.router, sport: 80, dport: sport, flags: TCP.syn | TCP.ack })).verdict).toBe(
        VERDICT.ok,
      );
      lab.policy(1001, DENY.ingress, [{ direction: 'ingress', peer: 1, verdict: 'deny', rule: 5 }]);
      lab.bump();
      expect(run('from_host', frame, 0).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 181, ruleId: [5, 0] });
    });

    test('a pod reaches its node as identity 1, if its egress allows', () => {
      const to = (dport: number): number =>
        run('from_pod', packet({ src: at.a, dst: at.node, sport: freshPort(), dport, flags: TCP.syn })).verdict;
      expect(to(6443)).toBe(VERDICT.ok);
      lab.policy(1001, DENY.egress, [{ direction: 'egress', peer: 1, proto: PROTO.tcp, port: 6443 }]);
      lab.bump();
      expect(to(6443)).toBe(VERDICT.ok);
      expect(to(22)).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 133, dstIdentity: 1 });
    });

    test('the node reaches pods elsewhere through the tunnel as a remote node', () => {
      const sport = freshPort();
      expect(run('from_host', packet({ src: at.router, dst: at.c, sport, dport: 80, flags: TCP.syn }), 0).verdict).toBe(VERDICT.redirect);
      expect(lab.flow(f, sport, 80)).toMatchObject({ action: dp.FlowAction.tunnel, ifindexOut: 6 });
    });

    test('to_pod judges what the stack delivers itself, and believes from_host', () => {
      lab.policy(1001, DENY.ingress);
      lab.bump();
      expect(toPort('to_pod', at.router, 80).verdict).toBe(VERDICT.ok);
      expect(toPort('to_pod', at.world, 80).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 133, srcIdentity: f === 4 ? 9 : 10, hook: dp.Hook.toPod });
      const marked = bpf.skBuffContext({ mark: 0x0a50e000 });
      const frame = packet({ src: at.world, dst: at.a });
      expect(lab.program('to_pod').testRun({ packet: frame, context: marked }).verdict).toBe(VERDICT.ok);
    });
  });

  describe('network', () => {
    test('native packets are judged by the address they come from, and strangers stay outside', () => {
      lab.config({ ...NODE, flags: 0 });
      lab.policy(1001, DENY.ingress, [allowFromC('ingress')]);
      lab.bump();
      expect(toPort('from_netdev', at.c, 80).verdict).toBe(VERDICT.redirect);
      expect(toPort('from_netdev', at.c, 81).verdict).toBe(VERDICT.drop);
      expect(toPort('from_netdev', at.world, 80).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 133, srcIdentity: f === 4 ? 9 : 10 });
      expect(toPort('from_netdev', at.b, 80).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 132 });
    });

    test('the node’s own traffic is left alone', () => {
      expect(run('from_netdev', packet({ src: at.world, dst: at.node }), 1).verdict).toBe(VERDICT.ok);
      expect(run('to_netdev', packet({ src: at.node, dst: at.world }), 0).verdict).toBe(VERDICT.ok);
      expect(lab.events()).toEqual([]);
    });

    test('native routing: the routing table gives the next hop, the address stays', () => {
      lab.config({ ...NODE, flags: 0 });
      lab.ipcache(`${f === 4 ? '172.20.0.0/16' : 'fd55::/16'}`, 1003);
      const sport = freshPort();
      const dst = f === 4 ? '172.20.0.7' : 'fd55::7';
      const r = run('from_pod', packet({ src: at.a, dst, sport, dport: 80, flags: TCP.syn }));
      expect(r.verdict).toBe(VERDICT.redirect);
      expect(parse(r.packet)).toMatchObject({ src: IP.text(IP(at.a)), ttl: 63, sumsRight: true });
      const gateway = f === 4 ? '192.168.9.254' : 'fd99::fe';
      expect(lab.flow(f, sport, 80)).toMatchObject({
        action: dp.FlowAction.neigh,
        ifindexOut: uplink,
        addr: new Uint8Array(IP.table(gateway)),
      });
      expect(run('from_netdev', packet({ src: dst, dst: at.a, sport: 80, dport: sport, flags: TCP.syn | TCP.ack }), uplink).verdict).toBe(
        VERDICT.redirect,
      );
    });

    test('an unreachable route is a drop', () => {
      expect(run('from_pod', packet({ src: at.a, dst: f === 4 ? '203.0.113.5' : '2001:db8:dead::5' })).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 169 });
    });
  });

  describe('masquerade', () => {
    const nodeText = IP.text(IP(at.node));
    const podText = IP.text(IP(at.a));
    const out = (s = {}): { verdict: number; packet: Buffer } =>
      run('from_pod', packet({ src: at.a, dst: at.world, dport: 443, flags: TCP.syn, ...s }));
    beforeEach(() => lab.config({ ...NODE, flags: MASQUERADE }));

    test.each([
      ['TCP', PROTO.tcp],
      ['UDP', PROTO.udp],
    ])('%s leaves with the node’s address and comes back', (_name, proto) => {
      lab.policy(1001, DENY.ingress);
      lab.bump();
      const sport = freshPort();
      const there = out({ sport, proto });
      expect(there.verdict).toBe(VERDICT.redirect);
      const got = parse(there.packet);
      expect(got).toMatchObject({ src: nodeText, dport: 443, ttl: 63, sumsRight: true });
      expect(got.sport).toBeGreaterThanOrEqual(20000);
      expect(got.sport).toBeLessThanOrEqual(29999);
      expect(last()).toMatchObject({ dstIdentity: f === 4 ? 9 : 10, natPort: got.sport, nextHop: dp.FlowAction.neigh });
      const again = parse(out({ sport, proto, flags: TCP.ack }).packet);
      expect(again).toMatchObject({ src: nodeText, sport: got.sport, sumsRight: true });
      const back = (): { verdict: number; packet: Buffer } =>
        run('from_netdev', packet({ src: at.world, dst: at.node, proto, sport: 443, dport: got.sport, flags: TCP.syn | TCP.ack }), uplink);
      for (const _ of [1, 2]) {
        const b = back();
        expect(b.verdict).toBe(VERDICT.redirect);
        expect(parse(b.packet)).toMatchObject({ dst: podText, dport: sport, dstMac: '020000000001', ttl: 63, sumsRight: true });
      }
      lab.bump();
      expect(parse(back().packet)).toMatchObject({ dst: podText, dport: sport, sumsRight: true });
      expect(parse(out({ sport, proto, flags: TCP.ack }).packet)).toMatchObject({ src: nodeText, sport: got.sport });
      lab.policy(1001, DENY.egress);
      lab.bump();
      expect(back().verdict).toBe(VERDICT.drop);
      expect(out({ sport, proto, flags: TCP.ack }).verdict).toBe(VERDICT.drop);
    });

    test('a node without an address of the family cannot masquerade', () => {
      lab.config({ ...NODE, flags: MASQUERADE, nodeIp4: new Uint8Array(4), nodeIp6: new Uint8Array(16) });
      expect(out({ sport: freshPort() }).verdict).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 167 });
    });

    test('the port survives the expiry of our side', () => {
      const sport = freshPort();
      const first = parse(out({ sport, proto: PROTO.udp }).packet).sport;
      const codec = f === 4 ? dp.flow4Key : dp.flow6Key;
      const table = lab.map(f === 4 ? 'flow4' : 'flow6');
      for (const [k, v] of [...table.entries()]) {
        if (codec.decode(k).sport === sport) table.update(k, dp.flowValue.encode({ ...dp.flowValue.decode(v), expires: 1 }));
      }
      lab.events();
      expect(parse(out({ sport, proto: PROTO.udp }).packet)).toMatchObject({ src: nodeText, sport: first });
      expect(last()).toMatchObject({ type: dp.EventType.verdict });
    });

    test('what went through the stack is masqueraded on its way out', () => {
      // forwarding off where the pod's packet is judged: the stack would route it
      const sport = freshPort();
      const frame = packet({ src: at.a, dst: at.world, sport, dport: 443, flags: TCP.syn });
      expect(lab.run('from_pod', frame, A.ifindex).verdict).toBe(VERDICT.ok);
      const got = run('to_netdev', frame, 0);
      expect(got.verdict).toBe(VERDICT.ok);
      expect(parse(got.packet)).toMatchObject({ src: nodeText, dport: 443, ttl: 64, sumsRight: true });
      const back = packet({ src: at.world, dst: at.node, sport: 443, dport: parse(got.packet).sport, flags: TCP.syn | TCP.ack });
      expect(parse(run('from_netdev', back, uplink).packet)).toMatchObject({ dst: podText, dport: sport, sumsRight: true });
      const unjudged = packet({ src: at.b, dst: at.world, sport, dport: 443, flags: TCP.syn });
      expect(run('to_netdev', unjudged, 0).verdict).toBe(VERDICT.drop);
    });

    test('echo by its id', () => {
      const id = freshPort();
      const got = parse(out({ proto: icmpProto(f), type: echo(f), sport: id }).packet);
      expect(got).toMatchObject({ src: nodeText, sumsRight: true });
      const reply = packet({ src: at.world, dst: at.node, proto: icmpProto(f), type: echoReply(f), sport: got.sport });
      expect(parse(run('from_netdev', reply, uplink).packet)).toMatchObject({ dst: podText, sport: id, sumsRight: true });
    });

    test('two pods with one source port do not collide; when the range is exhausted there are other ports', () => {
      lab.config({ ...NODE, flags: MASQUERADE, snatMin: 25000, snatMax: 25001 });
      const from = (src: string, sport: number, ifindex: number): { verdict: number; packet: Buffer } =>
        run('from_pod', packet({ src, dst: at.world, sport, dport: 8443, flags: TCP.syn }), ifindex);
      const ports = [from(at.a, 500, A.ifindex), from(at.b, 500, B.ifindex)].map((r) => parse(r.packet).sport);
      expect(ports.toSorted()).toEqual([25000, 25001]);
      const third = parse(from(at.a, 501, A.ifindex).packet);
      expect(third).toMatchObject({ src: nodeText, dport: 8443, sumsRight: true });
      expect(third.sport >= 1024 && third.sport !== 25000 && third.sport !== 25001).toBe(true);
    });

    test('an error about a masqueraded packet finds the pod, with the packet it sent inside', () => {
      const sport = freshPort();
      const sent = out({ sport, proto: PROTO.udp });
      const error = icmpError(at.world, at.node, sent.packet, 28);
      const r = run('from_netdev', error, uplink);
      expect(r.verdict).toBe(VERDICT.redirect);
      const got = parse(r.packet);
      expect(got).toMatchObject({ dst: podText, dstMac: '020000000001', sumsRight: true });
      const inner = got.l4.subarray(8);
      expect(IP.text(f === 4 ? inner.subarray(12, 16) : inner.subarray(8, 24))).toBe(podText);
      expect(inner.readUInt16BE(f === 4 ? 20 : 40)).toBe(sport);
    });

    test('an error of a pod about an answer from outside leaves with the node’s address', () => {
      const sport = freshPort();
      const sent = parse(out({ sport, proto: PROTO.udp }).packet);
      const answer = packet({ src: at.world, dst: at.node, proto: PROTO.udp, sport: 443, dport: sent.sport });
      const delivered = run('from_netdev', answer, uplink).packet;
      const r = run('from_pod', icmpError(at.a, at.world, delivered, 28));
      expect(r.verdict).toBe(VERDICT.redirect);
      const got = parse(r.packet);
      expect(got).toMatchObject({ src: nodeText, sumsRight: true });
      const inner = got.l4.subarray(8);
      expect(IP.text(f === 4 ? inner.subarray(16, 20) : inner.subarray(24, 40))).toBe(nodeText);
      expect(inner.readUInt16BE(f === 4 ? 22 : 42)).toBe(sent.sport);
    });

    test('SCTP with its own checksum; nodes of the cluster do not see the address of the node', () => {
      const r = out({ proto: PROTO.sctp });
      expect(r.verdict).toBe(VERDICT.redirect);
      expect(parse(r.packet)).toMatchObject({ src: nodeText, sumsRight: true });
      const peerNode = f === 4 ? '192.168.9.3' : 'fd99::3';
      lab.ipcache(`${peerNode}/${f === 4 ? 32 : 128}`, 6);
      expect(parse(run('from_pod', packet({ src: at.a, dst: peerNode })).packet)).toMatchObject({ src: podText });
    });
  });

  test('errors about known flows pass without a rule, others need one', () => {
    lab.policy(1001, DENY.egress | DENY.ingress, [allowFromC('egress'), { direction: 'egress', peer: 1002 }]);
    lab.policy(1002, DENY.egress | DENY.ingress, [{ direction: 'ingress', peer: 1001 }]);
    lab.bump();
    const sent = ab(f, { proto: PROTO.udp, sport: freshPort() });
    expect(run('from_pod', icmpError(at.b, at.a, sent), B.ifindex).verdict).toBe(VERDICT.drop);
    expect(run('from_pod', sent).verdict).toBe(VERDICT.redirect);
    expect(run('from_pod', icmpError(at.b, at.a, sent), B.ifindex).verdict).toBe(VERDICT.redirect);
    const away = between(f, 'a', 'c', { sport: freshPort() });
    expect(run('from_pod', away).verdict).toBe(VERDICT.redirect);
    expect(lab.runFromOverlay(icmpError(at.c, at.a, away, 60), 1003).verdict).toBe(VERDICT.redirect);
    expect(lab.runFromOverlay(icmpError(at.c, at.b, away, 60), 1003).verdict).toBe(VERDICT.drop);
  });
});
