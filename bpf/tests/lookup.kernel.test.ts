// The programs' verdicts equal those of the written form of the algorithm (lookup of the policy engine) for random layers and packets.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import * as engine from '../../packages/engines/policy/src/index.ts';
import { maskPort } from '../../packages/ground/model/src/index.ts';
import { build, dp, type Lab } from './kit.ts';
import { packet, TCP } from './packet.ts';
import { A, ADDRESS, B, createPods, type Family, freshPort } from './pods.ts';

const ENOUGH = Number(process.env.AXO_PACKETS ?? 3000);
const PACKETS = 10;
const CLASS = { all: 0x0200_0001, cluster: 0x0200_0002, remote: 0x0200_0003 } as const;
const CIDR = 0x0100_0001;

/** Who is at the other end: address, identity, class. */
const ENDS = {
  4: [
    [ADDRESS[4].b, B.identity, CLASS.cluster],
    [ADDRESS[4].c, 1003, CLASS.remote],
    [ADDRESS[4].router, 1, CLASS.cluster],
    [ADDRESS[4].world, 9, CLASS.all],
    ['198.51.100.7', CIDR, CLASS.all],
    ['192.168.9.2', 6, CLASS.all],
  ],
  6: [
    [ADDRESS[6].b, B.identity, CLASS.cluster],
    [ADDRESS[6].c, 1003, CLASS.remote],
    [ADDRESS[6].router, 1, CLASS.cluster],
    [ADDRESS[6].world, 10, undefined], // no class at all
    ['2001:db8:7::7', CIDR, undefined],
    ['fd99::2', 6, CLASS.cluster],
  ],
} as const;
const PEERS = [0, 1, 6, 9, 10, B.identity, 1003, CIDR, ...Object.values(CLASS), 7777];
const PORTS = [0, 8, 13, 80, 81, 128, 139, 443, 1024, 2047, 8080, 65_535];

let lab: Lab;
beforeAll(() => {
  build();
  lab = createPods();
  // native routing: every end may come in from the network
  lab.config({ flags: 0 });
  lab.addrClass('0.0.0.0/0', CLASS.all);
  lab.addrClass('10.0.0.0/8', CLASS.cluster);
  lab.addrClass('10.0.2.0/24', CLASS.remote);
  lab.addrClass('fd00::/8', CLASS.cluster);
  lab.addrClass('fd00:2::/64', CLASS.remote);
  for (const [net, id] of [
    ['198.51.100.0/24', CIDR],
    ['2001:db8:7::/48', CIDR],
    ['192.168.9.2/32', 6],
    ['fd99::2/128', 6],
  ] as const)
    lab.ipcache(net, id);
});
afterAll(() => lab.close());

type Layer = engine.SubjectPolicy;
interface RowSpec {
  readonly peer: number;
  readonly egress: boolean;
  readonly protocol: number;
  readonly len: number;
  readonly port: number;
  readonly action: engine.Action;
  readonly priority: number;
}

const rowArb = (actions: readonly engine.Action[], priorities: number): fc.Arbitrary<RowSpec> =>
  fc.record({
    peer: fc.constantFrom(...PEERS),
    egress: fc.boolean(),
    protocol: fc.constantFrom(0, 1, 6, 6, 17, 58, 132),
    len: fc.constantFrom(0, 1, 5, 6, 10, 15, 16, 16),
    port: fc.constantFrom(...PORTS),
    action: fc.constantFrom(...actions),
    priority: fc.nat(priorities),
  });

/** Rows become a layer as the compiler makes one: sorted, one per key, ids of their own. */
function layer(specs: readonly RowSpec[], deny: { readonly ingress: boolean; readonly egress: boolean }, firstRule: number): Layer {
  const templates = specs.map((s, i): { peer: number; t: engine.RowTemplate } => ({
    peer: s.peer,
    t: {
      direction: s.egress ? 'egress' : 'ingress',
      protocol: s.protocol,
      prefix: s.protocol === 0 ? { port: 0, len: 0 } : { port: maskPort(s.port, s.len), len: s.len },
      precedence: engine.precedenceOf(s.action, s.priority),
      verdict: s.action === 'redirect' ? 'deny' : s.action,
      proxyPort: 0,
      ruleId: (firstRule + i) as engine.RuleId,
    },
  }));
  const keyed = new Map(templates.map((x) => [`${x.peer} ${engine.templateKey(x.t.direction, x.t.protocol, x.t.prefix)}`, x]));
  const packed = [...keyed.values()]
    .map(({ peer, t }) => {
      const row = engine.packTemplates([t]);
      row.writeUInt32BE(peer, 0);
      return row;
    })
    .sort((a, b) => a.compare(b));
  const rows = engine.createPolicyRows(Buffer.concat(packed));
  const denyRules = [deny.ingress ? firstRule + 900 : 0, deny.egress ? firstRule + 901 : 0] as unknown as Layer['denyRules'];
  return {
    identity: A.identity as Layer['identity'],
    rows,
    usesClasses: rows.usesClasses,
    defaultDeny: deny,
    denyRules,
    allowLocalhost: true,
  };
}

const normalRows = fc.array(rowArb(['allow', 'deny', 'redirect'], 0), { maxLength: 8 });
const adminRows = fc.option(fc.array(rowArb(['allow', 'deny', 'pass'], 3), { minLength: 1, maxLength: 8 }), { nil: undefined });
const baselineRows = fc.option(fc.array(rowArb(['allow', 'deny'], 3), { minLength: 1, maxLength: 6 }), { nil: undefined });
const denyArb = fc.record({ ingress: fc.boolean(), egress: fc.boolean() });
const none = { ingress: false, egress: false } as const;
const tiersArb = (first: number) =>
  fc.tuple(normalRows, denyArb, adminRows, baselineRows).map(([n, deny, a, b]) => ({
    normal: layer(n, deny, first),
    admin: a && layer(a, none, first + 1000),
    baseline: b && layer(b, none, first + 2000),
  }));
const subjectArb: fc.Arbitrary<engine.SubjectSet> = fc
  .tuple(tiersArb(10_000), fc.option(tiersArb(20_000), { nil: undefined }))
  .map(([real, shadow]) => ({
    identity: A.identity as Layer['identity'],
    layers: {
      ...(real as engine.SubjectLayers),
      ...(shadow && ({ shadow: shadow.normal, shadowAdmin: shadow.admin, shadowBaseline: shadow.baseline } as object)),
    },
  }));

const packetArb = fc.record({
  family: fc.constantFrom(4 as const, 6 as const),
  egress: fc.boolean(),
  end: fc.nat(5),
  protocol: fc.constantFrom(6, 6, 17, 132, 1),
  port: fc.constantFrom(...PORTS.slice(2)),
  type: fc.nat(2),
});
type PacketSpec = typeof packetArb extends fc.Arbitrary<infer T> ? T : never;

const TYPES: Readonly<Record<Family, readonly number[]>> = { 4: [8, 0, 13], 6: [128, 129, 139] };
const protoOf = (p: PacketSpec): number => (p.protocol === 1 && p.family === 6 ? 58 : p.protocol);

let code = 0;

/** Sends it the way such a packet comes, and tells the event. */
function send(p: PacketSpec): dp.Event {
  const [other, identity] = ENDS[p.family][p.end]!;
  const own = ADDRESS[p.family].a;
  // messages without an id are flows by type and code
  const base = p.protocol === 1 ? { type: TYPES[p.family][p.type]!, code: ++code % 256 } : { dport: p.port, flags: TCP.syn };
  const frame = packet({
    src: p.egress ? own : other,
    dst: p.egress ? other : own,
    proto: protoOf(p),
    sport: freshPort(),
    payload: Buffer.alloc(60),
    ...base,
  });
  if (p.egress) lab.run('from_pod', frame, A.ifindex);
  else if (identity === B.identity) lab.run('from_pod', frame, B.ifindex);
  else if (identity === 1) lab.run('from_host', frame, 0);
  else lab.run('from_netdev', frame, 1);
  return lab.events().at(-1)!;
}

/** Handles of the subject before: their rows go. */
let written: Uint8Array[] = [];

function write(set: engine.SubjectSet): void {
  const present = new Map(engine.layersOf(set));
  const wanted: Uint8Array[] = [];
  for (const [i, name] of engine.layerNames.entries()) {
    const l = present.get(name);
    if (l === undefined) {
      lab.forget(A.identity, i);
      continue;
    }
    // layers of one subject may not share handles here: they are deleted one by one
    const handle = (l.rows.handle & ~7n) | BigInt(i);
    for (const r of engine.rowsOf(l.rows)) {
      const key = { handle, peer: r.peer, proto: r.protocol, dirPlen: dp.dirPlen(r.direction, r.prefix.len), port: r.prefix.port };
      wanted.push(dp.policyKey.encode(key));
      lab.put(dp.tables.policy, key, {
        precedence: r.precedence,
        ruleId: r.ruleId,
        proxyPort: 0,
        verdict: dp.Verdict[r.verdict],
        flags: 0,
      });
    }
    const base = i < 3 ? 0 : 3;
    const has = (n: number): boolean => present.has(engine.layerNames[n]!);
    const flag = dp.SubjectFlag;
    const flags =
      (l.defaultDeny.ingress ? flag.denyIngress : 0) |
      (l.defaultDeny.egress ? flag.denyEgress : 0) |
      (i === base && has(base + 1) ? flag.hasAdmin : 0) |
      (i === base && has(base + 2) ? flag.hasBaseline : 0) |
      (i === 0 && has(3) ? flag.hasShadow : 0) |
      (l.usesClasses ? flag.classes : 0);
    lab.put(
      dp.tables.subject,
      { identity: A.identity, layer: i },
      { handle, denyRule: l.denyRules, peerMask: l.rows.peerMask, anyMask: l.rows.anyMask, flags },
    );
  }
  const kept = new Set(wanted.map((k) => Buffer.from(k).toString('hex')));
  for (const k of written) if (!kept.has(Buffer.from(k).toString('hex'))) lab.map('policy').delete(k);
  written = wanted;
  for (const name of ['flow4', 'flow6']) for (const [key] of [...lab.map(name).entries()]) lab.map(name).delete(key);
  lab.bump();
}

function expected(set: engine.SubjectSet, p: PacketSpec) {
  const [, peer, cls] = ENDS[p.family][p.end]!;
  const key = {
    peer,
    cls,
    direction: p.egress ? 'egress' : 'ingress',
    protocol: protoOf(p),
    port: p.protocol === 1 ? TYPES[p.family][p.type]! : p.port,
  } as engine.PacketKey;
  const real = engine.lookup(set, key);
  const shadow = engine.lookupShadow(set, key);
  const verdictOf = (d: engine.Decision): number => (d.allowed ? 0 : d.reason === 'default-deny' ? 133 : 181);
  const differ = shadow !== undefined && shadow.allowed !== real.allowed;
  const kind = shadow === undefined ? 0 : !differ ? 1 : shadow.allowed ? 4 : shadow.reason === 'default-deny' ? 2 : 3;
  return { reason: verdictOf(real), rule: real.ruleId, shadow: kind, shadowRule: differ ? shadow.ruleId : 0 };
}

test(`the kernel and the written algorithm agree on ${ENOUGH} random packets, over all layers, families and ways`, () => {
  let seen = 0;
  const kinds = new Map<string, number>();
  fc.assert(
    fc.property(subjectArb, fc.array(packetArb, { minLength: PACKETS, maxLength: PACKETS }), (set, packets) => {
      write(set);
      for (const p of packets) {
        const e = send(p);
        const d = p.egress ? 1 : 0;
        // what has no route here was allowed nevertheless
        const reason = e.reason === 133 || e.reason === 181 ? e.reason : 0;
        const want = expected(set, p);
        expect({ reason, rule: e.ruleId[d], shadow: e.shadow[d], shadowRule: e.shadowRule[d] }).toEqual(want);
        seen++;
        const kind = `${want.reason}/${want.shadow}`;
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      }
    }),
    { numRuns: ENOUGH / PACKETS, ...(process.env.AXO_SEED === undefined ? {} : { seed: Number(process.env.AXO_SEED) }) },
  );
  expect(seen).toBeGreaterThanOrEqual(ENOUGH);
  // every outcome has been met often
  for (const reason of [0, 133, 181]) for (const shadow of [0, 1]) expect(kinds.get(`${reason}/${shadow}`)).toBeGreaterThan(20);
  for (const kind of ['0/2', '0/3', '133/4', '181/4']) expect(kinds.get(kind)).toBeGreaterThan(20);
}, 120_000);
