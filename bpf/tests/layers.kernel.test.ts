// Layers of policy between two pods of one node and with the outside, through from_pod and from_netdev, for both families: tiers, passes,
// ties, address classes, shadows, audits.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab, type PolicyRow, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { type PacketSpec, packet, TCP } from './packet.ts';
import { A, ADDRESS, ab, B, createPods, DENY, FAMILIES, type Family, freshPort, open } from './pods.ts';

const { hasAdmin, hasBaseline, hasShadow } = dp.SubjectFlag;
const L = dp.Layer;
const BLOCK = 0x0200_0001;
const INNER = 0x0200_0002;
const NODES = 0x0200_0003;

let lab: Lab;
beforeAll(() => {
  build();
  lab = createPods();
});
afterAll(() => lab.close());
beforeEach(() => {
  open(lab);
  lab.clearClasses();
  lab.config({ nodeIp4: IP(ADDRESS[4].node), flags: dp.NodeFlag.tunnel });
  for (const id of [A.identity, B.identity]) for (const layer of Object.values(L)) if (layer !== L.normal) lab.forget(id, layer);
  lab.events();
});

type Rows = readonly Omit<PolicyRow, 'direction'>[];
interface Layers {
  readonly flags?: number;
  readonly normal?: Rows;
  readonly admin?: Rows;
  readonly baseline?: Rows;
}

/** The three layers of `a` in one direction, enforced ones or those of its shadow. */
function layers(direction: 'ingress' | 'egress', l: Layers, base: number = L.normal, extra = 0): void {
  const rows = (list: Rows = []): PolicyRow[] => list.map((r) => ({ ...r, direction }));
  if (l.admin !== undefined) lab.policy(A.identity, 0, rows(l.admin), [0, 0], base + L.admin);
  if (l.baseline !== undefined) lab.policy(A.identity, 0, rows(l.baseline), [0, 0], base + L.baseline);
  const flags = (l.flags ?? 0) | (l.admin === undefined ? 0 : hasAdmin) | (l.baseline === undefined ? 0 : hasBaseline) | extra;
  lab.policy(A.identity, flags, rows(l.normal), base === L.normal ? [901, 902] : [911, 912], base);
  lab.bump();
}

interface Outcome {
  readonly passed: boolean;
  readonly reason: number;
  readonly rule: number;
  readonly event: dp.Event;
}

/** Pod a to an address. */
function out(f: Family, dst: string = ADDRESS[f].b, s: Partial<PacketSpec> = {}): Outcome {
  const frame = packet({ src: ADDRESS[f].a, dst, sport: freshPort(), dport: 80, flags: TCP.syn, payload: Buffer.alloc(60), ...s });
  const { verdict } = lab.run('from_pod', frame, A.ifindex);
  const event = lab.events().at(-1)!;
  return { passed: verdict !== VERDICT.drop, reason: event.reason, rule: event.ruleId[1], event };
}

/** An address elsewhere to pod a, routed natively. */
function into(f: Family, src: string, s: Partial<PacketSpec> = {}): Outcome {
  lab.config({ nodeIp4: IP(ADDRESS[4].node), flags: 0 });
  const frame = packet({ src, dst: ADDRESS[f].a, sport: freshPort(), dport: 80, flags: TCP.syn, payload: Buffer.alloc(60), ...s });
  const { verdict } = lab.run('from_netdev', frame, 1);
  const event = lab.events().at(-1)!;
  return { passed: verdict !== VERDICT.drop, reason: event.reason, rule: event.ruleId[0], event };
}

const yes = (rule: number) => ({ passed: true, rule });
const denied = (rule: number) => ({ passed: false, reason: 181, rule });
const isolated = (rule: number) => ({ passed: false, reason: 133, rule });
const b = B.identity;

describe.each(FAMILIES)('IPv%i', (f) => {
  test.each<[string, Layers, object]>([
    ['admin allow beats a normal deny', { admin: [{ peer: b, rule: 1 }], normal: [{ peer: b, verdict: 'deny', rule: 2 }] }, yes(1)],
    ['admin deny beats a normal allow', { admin: [{ verdict: 'deny', rule: 1 }], normal: [{ peer: b, rule: 2 }] }, denied(1)],
    ['admin allow beats default deny', { flags: DENY.egress, admin: [{ peer: b, rule: 1 }] }, yes(1)],
    [
      'pass leaves it to a normal row',
      { admin: [{ peer: b, verdict: 'pass', rule: 1 }], normal: [{ verdict: 'deny', rule: 2 }] },
      denied(2),
    ],
    ['pass leaves it to default deny', { flags: DENY.egress, admin: [{ verdict: 'pass', rule: 1 }] }, isolated(902)],
    ['pass leaves it to baseline', { admin: [{ verdict: 'pass', rule: 1 }], baseline: [{ verdict: 'deny', rule: 3 }] }, denied(3)],
    ['pass leaves it open', { admin: [{ verdict: 'pass', rule: 1 }] }, yes(0)],
    ['no admin row, a normal one', { admin: [{ peer: 7777, verdict: 'deny', rule: 1 }], normal: [{ peer: b, rule: 2 }] }, yes(2)],
    ['a normal row beats baseline', { normal: [{ peer: b, rule: 2 }], baseline: [{ verdict: 'deny', rule: 3 }] }, yes(2)],
    ['default deny comes before a baseline allow', { flags: DENY.egress, baseline: [{ peer: b, rule: 3 }] }, isolated(902)],
    ['baseline denies the open', { baseline: [{ peer: b, verdict: 'deny', rule: 3 }] }, denied(3)],
    ['baseline allows', { baseline: [{ peer: b, rule: 3 }] }, yes(3)],
    [
      'isolated the other way, baseline still speaks',
      { flags: DENY.ingress, baseline: [{ peer: b, verdict: 'deny', rule: 3 }] },
      denied(3),
    ],
    ['a redirect nobody serves blocks', { normal: [{ peer: b, verdict: 'redirect', rule: 2 }] }, denied(2)],
  ])('%s', (_name, l, expected) => {
    layers('egress', l);
    expect(out(f)).toMatchObject(expected);
  });

  test('inside the admin tier the lower priority decides, whatever it says', () => {
    const list: Rows = [
      { peer: b, rule: 1, priority: 5, verdict: 'allow' },
      { peer: b, proto: PROTO.tcp, rule: 2, priority: 4, verdict: 'deny' },
      { peer: b, proto: PROTO.tcp, port: 443, rule: 3, priority: 3, verdict: 'pass' },
      { rule: 4, proto: PROTO.tcp, port: 8080, priority: 0xff_ffff, verdict: 'deny' },
    ];
    layers('egress', { admin: list, baseline: [{ verdict: 'deny', rule: 9 }] });
    expect(out(f)).toMatchObject(denied(2));
    expect(out(f, undefined, { dport: 443 })).toMatchObject(denied(9));
    expect(out(f, undefined, { proto: PROTO.udp })).toMatchObject(yes(1));
    expect(out(f, undefined, { dport: 8080 })).toMatchObject(denied(2));
  });

  test('deny over pass over redirect over allow at one priority', () => {
    const tie = (...verdicts: readonly PolicyRow['verdict'][]): Rows =>
      verdicts.map((verdict, i) => ({ verdict: verdict!, peer: [b, 0, b, 0][i]!, ...(i < 2 ? {} : { proto: PROTO.tcp }), rule: 10 + i }));
    layers('egress', { admin: tie('pass', 'deny'), normal: [{ rule: 2 }] });
    expect(out(f)).toMatchObject(denied(11));
    layers('egress', { admin: tie('allow', 'pass'), normal: [{ verdict: 'deny', rule: 2 }] });
    expect(out(f)).toMatchObject(denied(2));
    layers('egress', { normal: tie('allow', 'redirect') });
    expect(out(f)).toMatchObject(denied(11));
  });

  test('the node reaches its pod past default deny and baseline, not past an admin or normal deny', () => {
    const host = (): Outcome => {
      const frame = packet({ src: ADDRESS[f].router, dst: ADDRESS[f].a, sport: freshPort(), dport: 80, flags: TCP.syn });
      const { verdict } = lab.run('from_host', frame, 0);
      const event = lab.events().at(-1)!;
      return { passed: verdict !== VERDICT.drop, reason: event.reason, rule: event.ruleId[0], event };
    };
    layers('ingress', { flags: DENY.ingress });
    expect(host()).toMatchObject(yes(0));
    layers('ingress', { baseline: [{ verdict: 'deny', rule: 3 }] });
    expect(host()).toMatchObject(yes(0));
    layers('ingress', { admin: [{ peer: 1, verdict: 'pass', rule: 1 }], baseline: [{ verdict: 'deny', rule: 3 }] });
    expect(host()).toMatchObject(yes(0));
    layers('ingress', { admin: [{ peer: 1, verdict: 'deny', rule: 1 }], normal: [{ rule: 2 }] });
    expect(host()).toMatchObject(denied(1));
    layers('ingress', { admin: [{ peer: 1, rule: 1 }], normal: [{ peer: 1, verdict: 'deny', rule: 2 }] });
    expect(host()).toMatchObject(yes(1));
  });

  describe('address classes', () => {
    const block = f === 4 ? '10.0.0.0/8' : 'fd00::/8';
    const inner = f === 4 ? '10.0.2.0/24' : 'fd00:2::/64';
    const everything = f === 4 ? '0.0.0.0/0' : '::/0';

    test('a block is over pods here and elsewhere, nodes and the outside alike, by the longest prefix', () => {
      lab.addrClass(everything, NODES);
      lab.addrClass(block, BLOCK);
      lab.addrClass(inner, INNER);
      layers('egress', {
        flags: DENY.egress,
        normal: [
          { peer: BLOCK, rule: 1 },
          { peer: NODES, proto: PROTO.tcp, port: 80, rule: 2 },
        ],
      });
      expect(out(f)).toMatchObject(yes(1)); // pod b
      expect(out(f, ADDRESS[f].c)).toMatchObject(isolated(902)); // a longer prefix: another class
      expect(out(f, ADDRESS[f].router)).toMatchObject(yes(1));
      expect(out(f, ADDRESS[f].node)).toMatchObject(f === 4 ? yes(2) : yes(1));
      expect(out(f, f === 4 ? '198.51.100.1' : '2001:db8::1').event.ruleId[1]).toBe(2);
      expect(out(f, f === 4 ? '198.51.100.1' : '2001:db8::1', { dport: 81 })).toMatchObject(isolated(902));
    });

    test('ingress: from pods elsewhere, other nodes and the world', () => {
      lab.addrClass(inner, INNER);
      lab.ipcache(f === 4 ? '192.168.9.3/32' : 'fd99::3/128', 6);
      lab.addrClass(f === 4 ? '192.168.9.3/32' : 'fd99::3/128', NODES);
      const world = ADDRESS[f].world;
      lab.addrClass(`${world}/${f === 4 ? 32 : 128}`, BLOCK);
      layers('ingress', {
        flags: DENY.ingress,
        normal: [
          { peer: INNER, verdict: 'deny', rule: 1 },
          { peer: 1003, rule: 2 },
          { peer: NODES, rule: 3 },
          { peer: BLOCK, rule: 4 },
        ],
      });
      expect(into(f, ADDRESS[f].c)).toMatchObject(denied(1));
      expect(into(f, f === 4 ? '192.168.9.3' : 'fd99::3')).toMatchObject(yes(3));
      expect(into(f, world)).toMatchObject(yes(4));
      expect(into(f, f === 4 ? '8.8.8.9' : '2001:db8::9')).toMatchObject(isolated(901));
    });

    test('of a tie the identity is named, then the class, then everybody; a longer port prefix comes first', () => {
      lab.addrClass(block, BLOCK);
      const tie = (...rows: Rows) => {
        layers('egress', { normal: rows });
        return out(f).rule;
      };
      expect(tie({ peer: b, rule: 1 }, { peer: BLOCK, rule: 2 }, { rule: 3 })).toBe(1);
      expect(tie({ peer: BLOCK, rule: 2 }, { rule: 3 })).toBe(2);
      const tcp80 = { proto: PROTO.tcp, port: 80 };
      expect(tie({ peer: b, rule: 1 }, { peer: BLOCK, rule: 2, ...tcp80 }, { rule: 3 })).toBe(2);
      expect(tie({ peer: b, rule: 1 }, { peer: BLOCK, rule: 2 }, { rule: 3, ...tcp80 })).toBe(3);
    });

    test('classes are asked in every tier, and only where a layer has rows for them', () => {
      lab.addrClass(block, BLOCK);
      layers('egress', { admin: [{ peer: BLOCK, verdict: 'deny', rule: 1 }], normal: [{ peer: b, rule: 2 }] });
      expect(out(f)).toMatchObject(denied(1));
      layers('egress', { normal: [{ peer: 7777, rule: 2 }], baseline: [{ peer: BLOCK, verdict: 'deny', rule: 3 }] });
      expect(out(f)).toMatchObject(denied(3));
    });
  });

  describe('shadow', () => {
    const S = dp.Shadow;
    const shadowed = (o: Outcome) => ({
      shadow: o.event.shadow[1],
      rule: o.event.shadowRule[1],
      told: (o.event.flags & dp.EventFlag.shadow) !== 0,
    });
    const counted = (verdict: number, rule: number): bigint =>
      lab.counters().find((c) => c.subject === A.identity && c.dirVerdict === (0x80 | verdict) && c.ruleId === rule)?.packets ?? 0n;

    test.each<[string, Layers, Layers, boolean, number, number]>([
      ['agrees to pass', {}, { normal: [{ peer: b, rule: 21 }] }, true, S.same, 0],
      ['agrees to drop, for another reason', { flags: DENY.egress }, { normal: [{ verdict: 'deny', rule: 22 }] }, false, S.same, 0],
      ['would isolate', {}, { flags: DENY.egress }, true, S.defaultDeny, 912],
      ['would deny by a row', { normal: [{ peer: b, rule: 2 }] }, { normal: [{ verdict: 'deny', rule: 23 }] }, true, S.deny, 23],
      ['would deny in the admin tier', { normal: [{ rule: 2 }] }, { admin: [{ verdict: 'deny', rule: 24 }] }, true, S.deny, 24],
      ['would deny in the baseline tier', {}, { baseline: [{ verdict: 'deny', rule: 25 }] }, true, S.deny, 25],
      ['would pass by a row', { flags: DENY.egress }, { flags: DENY.egress, normal: [{ rule: 26 }] }, false, S.pass, 26],
      ['would pass in the admin tier', { flags: DENY.egress }, { flags: DENY.egress, admin: [{ rule: 27 }] }, false, S.pass, 27],
      ['would leave it open', { normal: [{ verdict: 'deny', rule: 2 }] }, {}, false, S.pass, 0],
    ])('%s; the packet’s fate is that of what is enforced', (_name, enforced, shadow, passes, verdict, rule) => {
      const before = counted(dp.CountVerdict.shadowDrop, rule) + counted(dp.CountVerdict.shadowAllow, rule);
      layers('egress', shadow, L.shadowNormal);
      layers('egress', enforced, L.normal, hasShadow);
      const o = out(f);
      expect(o.passed).toBe(passes);
      expect(shadowed(o)).toEqual({ shadow: verdict, rule, told: verdict !== S.same });
      const kind = verdict === S.pass ? dp.CountVerdict.shadowAllow : dp.CountVerdict.shadowDrop;
      if (verdict !== S.same) expect(counted(kind, rule)).toBe(before + 1n);
    });

    test('an established flow that the shadow would drop is told once it is judged again, and goes on', () => {
      const sport = freshPort();
      expect(out(f, undefined, { sport }).passed).toBe(true);
      layers('egress', { flags: DENY.egress }, L.shadowNormal);
      layers('egress', {}, L.normal, hasShadow);
      const o = out(f, undefined, { sport, flags: TCP.ack });
      expect(o).toMatchObject({ passed: true, event: { type: dp.EventType.verdict } });
      expect(o.event.flags & dp.EventFlag.rejudged).toBeTruthy();
      expect(shadowed(o)).toEqual({ shadow: S.defaultDeny, rule: 912, told: true });
      lab.run('from_pod', ab(f, { sport, flags: TCP.ack }), A.ifindex);
      expect(lab.events()).toEqual([]);
    });

    test('ingress has its own place in the event', () => {
      layers('ingress', { flags: DENY.ingress }, L.shadowNormal);
      layers('ingress', {}, L.normal, hasShadow);
      expect(into(f, ADDRESS[f].c).event).toMatchObject({ shadow: Uint8Array.from([S.defaultDeny, 0]), shadowRule: [911, 0] });
    });

    test('classes count in the shadow alone', () => {
      lab.addrClass(f === 4 ? '10.0.0.0/8' : 'fd00::/8', BLOCK);
      layers('egress', { normal: [{ peer: BLOCK, verdict: 'deny', rule: 28 }] }, L.shadowNormal);
      layers('egress', {}, L.normal, hasShadow);
      expect(shadowed(out(f))).toMatchObject({ shadow: S.deny, rule: 28 });
    });
  });

  describe('audit', () => {
    const audited = (o: Outcome): boolean => (o.event.flags & dp.EventFlag.audit) !== 0 && o.event.type === dp.EventType.verdict;
    const audit = (on: boolean): void => lab.pod({ ...A, ips: [ADDRESS[4].a, ADDRESS[6].a], flags: on ? dp.EndpointFlag.audit : 0 });
    const drops: readonly [string, Layers, number][] = [
      ['default deny', { flags: DENY.egress }, 902],
      ['a deny row', { normal: [{ peer: b, verdict: 'deny', rule: 2 }] }, 2],
      ['an admin deny', { admin: [{ verdict: 'deny', rule: 1 }] }, 1],
      ['a baseline deny', { baseline: [{ verdict: 'deny', rule: 3 }] }, 3],
    ];

    test.each(drops)('of the endpoint: %s passes and is told with its rule', (_name, l, rule) => {
      layers('egress', l);
      expect(out(f).passed).toBe(false);
      audit(true);
      lab.bump();
      const o = out(f);
      expect(o).toMatchObject({ passed: true, rule });
      expect(audited(o)).toBe(true);
      expect(lab.counters().some((c) => c.ruleId === rule && c.dirVerdict === (0x80 | dp.CountVerdict.audit))).toBe(true);
      audit(false);
      lab.bump();
      expect(out(f).passed).toBe(false);
    });

    test('of the endpoint it is that endpoint’s alone, in both directions', () => {
      audit(true);
      lab.policy(B.identity, DENY.ingress);
      layers('egress', {});
      expect(out(f)).toMatchObject({ passed: false, reason: 133 });
      layers('ingress', { flags: DENY.ingress });
      const o = into(f, ADDRESS[f].c);
      expect(o).toMatchObject({ passed: true, rule: 901 });
      expect(audited(o)).toBe(true);
      audit(false);
    });

    test.each(drops)('of the node: %s passes everywhere', (_name, l, rule) => {
      lab.config({ nodeIp4: IP(ADDRESS[4].node), flags: dp.NodeFlag.tunnel | dp.NodeFlag.audit });
      layers('egress', l);
      const o = out(f);
      expect(o).toMatchObject({ passed: true, rule });
      expect(audited(o)).toBe(true);
    });

    test('what is allowed is no audit, and what is no question of policy stays dropped', () => {
      lab.config({ nodeIp4: IP(ADDRESS[4].node), flags: dp.NodeFlag.tunnel | dp.NodeFlag.audit });
      layers('egress', { flags: DENY.egress, normal: [{ peer: b, rule: 2 }] });
      const o = out(f);
      expect(o).toMatchObject({ passed: true, rule: 2 });
      expect(audited(o)).toBe(false);
      expect(lab.run('from_pod', packet({ src: ADDRESS[f].c, dst: ADDRESS[f].b }), A.ifindex).verdict).toBe(VERDICT.drop);
      expect(lab.events().at(-1)).toMatchObject({ reason: 132 });
    });
  });
});
