// The node as a subject of policy: every way to and from its own stack, for both families and every kind of traffic.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab, type PolicyRow, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { type PacketSpec, packet, TCP } from './packet.ts';
import { A, ADDRESS, createPods, DENY, echo, echoReply, FAMILIES, type Family, freshPort, icmpProto, open } from './pods.ts';

const HOST = 1;
const base = {
  nodeIp4: IP(ADDRESS[4].node),
  nodeIp6: IP(ADDRESS[6].node),
  ifindexVxlan: 1,
  ifindexHost: 1,
  ifindexNet: 1,
};
const enforced = dp.NodeFlag.tunnel | dp.NodeFlag.hostPolicy;
const PEER = { 4: { node: '192.168.9.2', stranger: '192.168.9.77' }, 6: { node: 'fd99::2', stranger: 'fd99::77' } } as const;
let lab: Lab;

beforeAll(() => {
  build();
  lab = createPods({ objects: ['pod', 'netdev', 'overlay', 'host', 'floor'] });
  for (const f of FAMILIES) lab.ipcache(`${PEER[f].node}/${f === 4 ? 32 : 128}`, 6, ADDRESS[4].tunnel);
});
afterAll(() => lab.close());
beforeEach(() => {
  lab.config({ ...base, flags: enforced });
  lab.forget(HOST);
  open(lab);
  lab.events();
});

const given = (flags: number, rows: readonly PolicyRow[] = []): void => {
  lab.policy(HOST, flags, rows);
  lab.bump();
};
const last = (): dp.Event | undefined => lab.events().at(-1);
const BOTH = DENY.ingress | DENY.egress;

interface Path {
  readonly name: string;
  readonly direction: 'ingress' | 'egress';
  readonly peer: number;
  /** Sends from the opener to the other end, or back. */
  readonly send: (f: Family, s: Partial<PacketSpec>, back?: boolean) => number;
  readonly pass: number;
  readonly passBack: number;
  /** Native routing: without a tunnel. */
  readonly native?: true;
}

const frame = (src: string, dst: string, s: Partial<PacketSpec>): Buffer => packet({ src, dst, payload: Buffer.alloc(60), ...s });
const overlay = (b: Buffer): number => lab.runFromOverlay(b, 1003).verdict;
const program = (name: string, b: Buffer, ifindex = 0): number => lab.run(name, b, ifindex).verdict;

const PATHS: readonly Path[] = [
  {
    name: 'network → node',
    direction: 'ingress',
    peer: 6,
    send: (f, s, back) =>
      back
        ? program('to_netdev', frame(ADDRESS[f].node, PEER[f].node, s))
        : program('from_netdev', frame(PEER[f].node, ADDRESS[f].node, s), 1),
    pass: VERDICT.ok,
    passBack: VERDICT.ok,
  },
  {
    name: 'node → network',
    direction: 'egress',
    peer: 6,
    send: (f, s, back) =>
      back
        ? program('from_netdev', frame(PEER[f].node, ADDRESS[f].node, s), 1)
        : program('to_netdev', frame(ADDRESS[f].node, PEER[f].node, s)),
    pass: VERDICT.ok,
    passBack: VERDICT.ok,
  },
  {
    name: 'pod here → node',
    direction: 'ingress',
    peer: 1001,
    send: (f, s, back) =>
      back
        ? program('from_host', frame(ADDRESS[f].node, ADDRESS[f].a, s))
        : program('from_pod', frame(ADDRESS[f].a, ADDRESS[f].node, s), A.ifindex),
    pass: VERDICT.ok,
    passBack: VERDICT.redirect,
  },
  {
    name: 'node → pod here',
    direction: 'egress',
    peer: 1001,
    send: (f, s, back) =>
      back
        ? program('from_pod', frame(ADDRESS[f].a, ADDRESS[f].router, s), A.ifindex)
        : program('from_host', frame(ADDRESS[f].router, ADDRESS[f].a, s)),
    pass: VERDICT.redirect,
    passBack: VERDICT.ok,
  },
  {
    name: 'node → pod here, past from_host',
    direction: 'egress',
    peer: 1001,
    send: (f, s, back) =>
      back
        ? program('from_pod', frame(ADDRESS[f].a, ADDRESS[f].node, s), A.ifindex)
        : program('to_pod', frame(ADDRESS[f].node, ADDRESS[f].a, s)),
    pass: VERDICT.ok,
    passBack: VERDICT.ok,
  },
  {
    name: 'pod elsewhere → node, tunnel',
    direction: 'ingress',
    peer: 1003,
    send: (f, s, back) =>
      back ? program('from_host', frame(ADDRESS[f].node, ADDRESS[f].c, s)) : overlay(frame(ADDRESS[f].c, ADDRESS[f].node, s)),
    pass: VERDICT.ok,
    passBack: VERDICT.redirect,
  },
  {
    name: 'node → pod elsewhere, tunnel',
    direction: 'egress',
    peer: 1003,
    send: (f, s, back) =>
      back ? overlay(frame(ADDRESS[f].c, ADDRESS[f].router, s)) : program('from_host', frame(ADDRESS[f].router, ADDRESS[f].c, s)),
    pass: VERDICT.redirect,
    passBack: VERDICT.ok,
  },
  {
    name: 'pod elsewhere → node, native',
    direction: 'ingress',
    peer: 1003,
    send: (f, s, back) =>
      back
        ? program('to_netdev', frame(ADDRESS[f].node, ADDRESS[f].c, s))
        : program('from_netdev', frame(ADDRESS[f].c, ADDRESS[f].node, s), 1),
    pass: VERDICT.ok,
    passBack: VERDICT.ok,
    native: true,
  },
  {
    name: 'node → pod elsewhere, native',
    direction: 'egress',
    peer: 1003,
    send: (f, s, back) =>
      back
        ? program('from_netdev', frame(ADDRESS[f].c, ADDRESS[f].node, s), 1)
        : program('to_netdev', frame(ADDRESS[f].node, ADDRESS[f].c, s)),
    pass: VERDICT.ok,
    passBack: VERDICT.ok,
    native: true,
  },
];

interface Kind {
  readonly name: string;
  readonly row: (f: Family) => Partial<PolicyRow>;
  readonly there: (f: Family, port: number) => Partial<PacketSpec>;
  readonly more: (f: Family, port: number) => Partial<PacketSpec>;
  readonly back: (f: Family, port: number) => Partial<PacketSpec>;
}
const KINDS: readonly Kind[] = [
  {
    name: 'TCP',
    row: () => ({ proto: PROTO.tcp, port: 22 }),
    there: (_f, sport) => ({ sport, dport: 22, flags: TCP.syn }),
    more: (_f, sport) => ({ sport, dport: 22, flags: TCP.ack }),
    back: (_f, sport) => ({ sport: 22, dport: sport, flags: TCP.syn | TCP.ack }),
  },
  {
    name: 'UDP',
    row: () => ({ proto: PROTO.udp, port: 53 }),
    there: (_f, sport) => ({ proto: PROTO.udp, sport, dport: 53 }),
    more: (_f, sport) => ({ proto: PROTO.udp, sport, dport: 53 }),
    back: (_f, sport) => ({ proto: PROTO.udp, sport: 53, dport: sport }),
  },
  {
    name: 'echo',
    row: (f) => ({ proto: icmpProto(f), port: echo(f) }),
    there: (f, sport) => ({ proto: icmpProto(f), type: echo(f), sport }),
    more: (f, sport) => ({ proto: icmpProto(f), type: echo(f), sport }),
    back: (f, sport) => ({ proto: icmpProto(f), type: echoReply(f), sport }),
  },
];

describe.each(FAMILIES)('IPv%i', (f) => {
  describe.each(PATHS)('$name', (path) => {
    const dir = path.direction === 'egress' ? 1 : 0;
    beforeEach(() => {
      if (path.native) lab.config({ ...base, flags: enforced & ~dp.NodeFlag.tunnel });
    });

    test.each(KINDS)('$name: not enforced, default deny, deny, allow, answers, and back', (kind) => {
      const row = { direction: path.direction, peer: path.peer, ...kind.row(f) } as PolicyRow;
      const port = freshPort();
      const there = (): number => path.send(f, kind.there(f, port));
      const back = (): number => path.send(f, kind.back(f, port), true);

      given(BOTH);
      expect(there()).toBe(VERDICT.drop);
      const ids = dir === 1 ? { srcIdentity: HOST } : { dstIdentity: HOST };
      expect(last()).toMatchObject({ reason: 133, direction: dir, ruleId: dir === 1 ? [0, 902] : [901, 0], ...ids });
      // nothing was left behind that would let an answer through
      expect(back()).toBe(VERDICT.drop);

      given(BOTH, [{ ...row, verdict: 'deny', rule: 77 }]);
      expect(there()).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 181, direction: dir, ruleId: dir === 1 ? [0, 77] : [77, 0], ...ids });

      given(BOTH, [{ ...row, rule: 78 }]);
      expect(there()).toBe(path.pass);
      expect(last()).toMatchObject({ type: dp.EventType.verdict, reason: 0, ...ids });
      expect(back()).toBe(path.passBack);
      expect(path.send(f, kind.more(f, port))).toBe(path.pass);
      expect(back()).toBe(path.passBack);
      expect(lab.events()).toEqual([]);

      // judged again after a change, from either side
      lab.bump();
      expect(back()).toBe(path.passBack);
      expect(path.send(f, kind.more(f, port))).toBe(path.pass);
      given(BOTH);
      expect(back()).toBe(VERDICT.drop);
      expect(last()).toMatchObject({ reason: 133, direction: dir });
      expect(back()).toBe(VERDICT.drop);
      expect(path.send(f, kind.more(f, port))).toBe(VERDICT.drop);

      // the other direction alone is no business of this flow's
      given(dir === 1 ? DENY.ingress : DENY.egress);
      expect(path.send(f, kind.more(f, port))).toBe(path.pass);
      expect(back()).toBe(path.passBack);

      given(BOTH);
      lab.forget(HOST);
      lab.bump();
      expect(there()).toBe(path.pass);
      expect(back()).toBe(path.passBack);
    });

    test('an audited node lets pass what it would drop, and says so', () => {
      given(BOTH | dp.SubjectFlag.audit);
      expect(path.send(f, { sport: freshPort(), dport: 22, flags: TCP.syn })).toBe(path.pass);
      const e = last();
      expect(e).toMatchObject({ type: dp.EventType.verdict, reason: 133 });
      expect((e?.flags ?? 0) & dp.EventFlag.audit).toBeTruthy();
      expect(lab.counters()).toContainEqual(
        expect.objectContaining({ subject: HOST, peer: path.peer, port: 22, dirVerdict: (dir << 7) | dp.CountVerdict.audit }),
      );
    });
  });
});
