// Policy between two pods of one node, through from_pod, for both families: who wins, who counts, what a change does.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { portPrefixes } from '../../packages/ground/model/src/index.ts';
import { build, dp, type Lab, type PolicyRow, VERDICT } from './kit.ts';
import { PROTO } from './names.ts';
import { type PacketSpec, parse, TCP } from './packet.ts';
import { A, ab, B, ba, createPods, DENY, echo, echoReply, FAMILIES, freshPort, icmpProto, open } from './pods.ts';

let lab: Lab;
beforeAll(() => {
  build();
  lab = createPods();
});
afterAll(() => lab.close());
beforeEach(() => {
  open(lab);
  lab.events();
});

/** Rules of a's egress and b's ingress. */
function given(egress: readonly Omit<PolicyRow, 'direction'>[] | 'none', ingress: readonly Omit<PolicyRow, 'direction'>[] | 'none'): void {
  lab.policy(1001, egress === 'none' ? 0 : DENY.egress, egress === 'none' ? [] : egress.map((r) => ({ ...r, direction: 'egress' })));
  lab.policy(1002, ingress === 'none' ? 0 : DENY.ingress, ingress === 'none' ? [] : ingress.map((r) => ({ ...r, direction: 'ingress' })));
  lab.bump();
}

/** Sends a → b and tells the event. */
function send(f: 4 | 6, s: Partial<PacketSpec> = {}): { verdict: number; event: dp.Event | undefined } {
  const { verdict } = lab.run('from_pod', ab(f, s), A.ifindex);
  return { verdict, event: lab.events().at(-1) };
}
const allow = { peer: 1002, proto: PROTO.tcp, port: 80, rule: 71 };
const allowIn = { peer: 1001, proto: PROTO.tcp, port: 80, rule: 72 };

describe.each(FAMILIES)('IPv%i', (f) => {
  test('without policy a packet reaches the other pod: MACs, hop limit, event', () => {
    const r = lab.run('from_pod', ab(f, { sport: 999 }), A.ifindex);
    expect(r.verdict).toBe(VERDICT.redirect);
    expect(parse(r.packet)).toMatchObject({ dstMac: '020000000002', srcMac: '02000000000b', ttl: 63, sumsRight: true });
    expect(lab.events()).toMatchObject([
      {
        type: dp.EventType.verdict,
        srcIdentity: 1001,
        dstIdentity: 1002,
        srcEndpoint: 1,
        dstEndpoint: 2,
        family: f,
        reason: 0,
        ruleId: [0, 0],
        nextHop: 1,
      },
    ]);
    expect(lab.flow(f, 999, 80)).toMatchObject({ ifindexIn: A.ifindex, ifindexOut: B.ifindex, action: dp.FlowAction.pod });
  });

  test('rows on both ends allow, and both are named', () => {
    given([allow], [allowIn]);
    expect(send(f)).toMatchObject({ verdict: VERDICT.redirect, event: { ruleId: [72, 71], type: dp.EventType.verdict } });
  });

  test.each([
    ['default deny at the source', [] as const, 'none' as const, 133, [0, 902], 1],
    ['default deny at the target', 'none' as const, [] as const, 133, [901, 0], 0],
    ['deny row at the source', [{ verdict: 'deny' as const, rule: 66 }, allow], 'none' as const, 181, [0, 66], 1],
    ['deny row at the target', 'none' as const, [allowIn, { ...allowIn, peer: 0, verdict: 'deny' as const, rule: 67 }], 181, [67, 0], 0],
  ])('%s', (_name, egress, ingress, reason, ruleId, direction) => {
    given(egress, ingress);
    const before = lab.dropped(reason, direction as 0 | 1);
    expect(send(f)).toMatchObject({ verdict: VERDICT.drop, event: { type: dp.EventType.drop, reason, ruleId, direction } });
    expect(lab.dropped(reason, direction as 0 | 1)).toBe(before + 1);
  });

  test('the exact port, protocol and peer matter', () => {
    given([allow], 'none');
    expect(send(f, { dport: 81 }).verdict).toBe(VERDICT.drop);
    expect(send(f, { proto: PROTO.udp }).verdict).toBe(VERDICT.drop);
    expect(send(f, { proto: PROTO.sctp }).verdict).toBe(VERDICT.drop);
    given([{ ...allow, peer: 1003 }], 'none');
    expect(send(f).verdict).toBe(VERDICT.drop);
    given([{ ...allow, proto: PROTO.sctp }], 'none');
    expect(send(f, { proto: PROTO.sctp }).verdict).toBe(VERDICT.redirect);
  });

  test('port ranges are prefixes; the longer prefix wins a tie, then the named peer', () => {
    const range = (first: number, last: number, rule: number, peer = 1002): PolicyRow[] =>
      portPrefixes(first, last).map(({ port, len }) => ({ direction: 'egress', peer, proto: PROTO.tcp, rule, port, plen: len }));
    given([...range(1000, 2999, 11), ...range(2000, 2000, 12), ...range(1000, 1999, 13, 0)], 'none');
    for (const [dport, verdict, rule] of [
      [999, 2, 902],
      [1000, 7, 11],
      [1999, 7, 13],
      [2000, 7, 12],
      [2999, 7, 11],
      [3000, 2, 902],
    ] as const) {
      expect([dport, send(f, { dport })]).toMatchObject([dport, { verdict, event: { ruleId: [0, rule] } }]);
    }
  });

  test('a deny for a range beats an allow for the port; any protocol and any peer match', () => {
    given([allow, { peer: 0, proto: PROTO.tcp, port: 64, plen: 10, verdict: 'deny', rule: 21 }], 'none');
    expect(send(f)).toMatchObject({ verdict: VERDICT.drop, event: { reason: 181, ruleId: [0, 21] } });
    given([{ rule: 22 }], [{ peer: 1001, rule: 23 }]);
    expect(send(f, { proto: PROTO.udp, dport: 5353 })).toMatchObject({ verdict: VERDICT.redirect, event: { ruleId: [23, 22] } });
  });

  test('ICMP is judged by type, its reply passes, another type does not', () => {
    given([{ peer: 1002, proto: icmpProto(f), port: echo(f), rule: 31 }], 'none');
    const id = freshPort();
    const ping = { proto: icmpProto(f), sport: id };
    expect(send(f, ping)).toMatchObject({ verdict: VERDICT.redirect, event: { ruleId: [0, 31], sport: id } });
    expect(lab.run('from_pod', ba(f, { ...ping, type: echoReply(f) }), B.ifindex).verdict).toBe(VERDICT.redirect);
    expect(send(f, { ...ping, type: f === 4 ? 13 : 139 }).verdict).toBe(VERDICT.drop);
    lab.policy(1002, DENY.egress);
    lab.bump();
    expect(lab.run('from_pod', ba(f, { ...ping, sport: id + 5000, type: echoReply(f) }), B.ifindex).verdict).toBe(VERDICT.drop);
    expect(lab.run('from_pod', ba(f, { ...ping, type: echo(f) }), B.ifindex).verdict).toBe(VERDICT.drop);
  });

  test('replies pass although b may not open anything; b cannot open a connection on the same ports', () => {
    given([allow], [allowIn]);
    lab.policy(1002, DENY.egress | DENY.ingress, [{ ...allowIn, direction: 'ingress' }]);
    const sport = freshPort();
    const answer = (flags: number): number => lab.run('from_pod', ba(f, { sport: 80, dport: sport, flags }), B.ifindex).verdict;
    expect(answer(TCP.syn | TCP.ack)).toBe(VERDICT.drop);
    expect(send(f, { sport }).verdict).toBe(VERDICT.redirect);
    expect(answer(TCP.syn | TCP.ack)).toBe(VERDICT.redirect);
    expect(answer(TCP.ack)).toBe(VERDICT.redirect);
    expect(answer(TCP.syn)).toBe(VERDICT.drop);
    lab.events();
    expect(send(f, { sport, flags: TCP.ack })).toEqual({ verdict: VERDICT.redirect, event: undefined });
  });

  test('a change reaches a live connection in both directions', () => {
    given([allow], [allowIn]);
    const sport = freshPort();
    const answer = (): number => lab.run('from_pod', ba(f, { sport: 80, dport: sport, flags: TCP.ack }), B.ifindex).verdict;
    send(f, { sport });
    expect(answer()).toBe(VERDICT.redirect);
    lab.bump();
    expect(answer()).toBe(VERDICT.redirect);
    expect(send(f, { sport, flags: TCP.ack })).toEqual({ verdict: VERDICT.redirect, event: undefined });
    expect(answer()).toBe(VERDICT.redirect);
    given([allow], []);
    expect(answer()).toBe(VERDICT.drop);
    expect(lab.events().at(-1)).toMatchObject({ reason: 133, flags: expect.any(Number), srcIdentity: 1002 });
    // not even again: an answer does not become the start of something that egress of b would allow
    expect(answer()).toBe(VERDICT.drop);
    expect(send(f, { sport, flags: TCP.ack }).verdict).toBe(VERDICT.drop);
    given([allow], [allowIn]);
    expect(send(f, { sport, flags: TCP.ack }).verdict).toBe(VERDICT.redirect);
    given([], [allowIn]);
    expect(send(f, { sport, flags: TCP.ack })).toMatchObject({ verdict: VERDICT.drop, event: { flags: expect.any(Number), direction: 1 } });
    expect(answer()).toBe(VERDICT.drop);
  });

  test('established packets are silent, counted in the flow, and a new SYN is a new flow', () => {
    const sport = freshPort();
    send(f, { sport });
    expect(send(f, { sport }).event).toBeUndefined(); // a repeated SYN
    for (let i = 0; i < 10; i++) expect(send(f, { sport, flags: TCP.ack }).event).toBeUndefined();
    expect(lab.flow(f, sport, 80)).toMatchObject({ packets: 12n, flags: 0 });
    expect(send(f, { sport, flags: TCP.fin | TCP.ack }).event).toBeUndefined();
    expect(lab.flow(f, sport, 80)?.flags).toBe(dp.FlowFlag.closing);
    expect(send(f, { sport }).event).toMatchObject({ type: dp.EventType.verdict });
    expect(lab.flow(f, sport, 80)).toMatchObject({ packets: 1n, flags: dp.FlowFlag.syn });
  });

  test('a subject nobody knows is dropped, unless there is a row for init', () => {
    lab.forget(1001);
    lab.bump();
    expect(send(f)).toMatchObject({ verdict: VERDICT.drop, event: { reason: 165, direction: 1 } });
    lab.policy(5, 0);
    lab.bump();
    expect(send(f).verdict).toBe(VERDICT.redirect);
    lab.policy(5, DENY.egress);
    lab.bump();
    expect(send(f)).toMatchObject({ verdict: VERDICT.drop, event: { reason: 133 } });
    lab.forget(5);
  });

  test('audit lets pass and says so', () => {
    lab.policy(1001, DENY.egress | dp.SubjectFlag.audit);
    lab.bump();
    const { verdict, event } = send(f);
    expect(verdict).toBe(VERDICT.redirect);
    expect(event!.flags & dp.EventFlag.audit).toBeTruthy();
    expect(lab.counters().some((c) => c.subject === 1001 && c.dirVerdict === (dp.CountVerdict.egress | dp.CountVerdict.audit))).toBe(true);
  });

  test('a flood is counted exactly', () => {
    const dport = f === 4 ? 7004 : 7006;
    given([allow], 'none');
    const before = lab.dropped(133, 1);
    const packets = Array.from({ length: 500 }, () => ab(f, { dport }));
    for (const p of packets) lab.run('from_pod', p, A.ifindex);
    const row = lab.counters().find((c) => c.subject === 1001 && c.port === dport);
    expect(row).toMatchObject({ peer: 1002, ruleId: 902, proto: PROTO.tcp, dirVerdict: 0x80 | dp.CountVerdict.defaultDeny, packets: 500n });
    expect(row!.bytes).toBe(BigInt(packets.reduce((n, p) => n + p.length, 0)));
    expect(lab.dropped(133, 1)).toBe(before + 500);
    expect(lab.events().filter((e) => e.dport === dport)).toHaveLength(500);
  });
});
