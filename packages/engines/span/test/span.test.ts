import { type Cidr, type IdentityId, type IpAddr, parseCidr, parseIp } from '@axoneme/model';
import { type Digest, type NodeName, unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type ArtifactDescriptor,
  computeSpan,
  createSpan,
  diffHeld,
  orderUpserts,
  type SpanChanges,
  type SpanNode,
  type SpanSnapshot,
  type SpanSubject,
  type SpanWorkload,
} from '../src/index.ts';

const cidr = (t: string): Cidr => unwrap(parseCidr(t));
const ip = (t: string): IpAddr => unwrap(parseIp(t));
const id = (n: number): IdentityId => n as IdentityId;
const artifact = (name: string, digest = 'd1', table = 'blob'): ArtifactDescriptor => ({ name, digest: digest as Digest, table });
const node = (n: number, digest = 'c1'): SpanNode => ({
  name: `n${n}` as NodeName,
  podCidrs: [cidr(`10.0.${n}.0/24`)],
  own: [artifact('node/config', digest)],
});
const workload = (key: string, n: number, identity: number, address?: string): SpanWorkload => ({
  key,
  node: `n${n}` as NodeName,
  identity: identity as IdentityId,
  addresses: address === undefined ? [] : [ip(address)],
  artifact: `workload/${key}`,
});

const base: SpanSnapshot = {
  nodes: [node(1), node(2)],
  workloads: [workload('shop/a', 1, 300, '10.0.1.5'), workload('shop/b', 2, 301, '10.0.2.5')],
  subjects: [
    { identity: id(300), policies: ['policy/aa'], peers: [id(301), id(0x0100_0001)] },
    { identity: id(301), policies: [], peers: [] },
  ],
  cidrs: [cidr('203.0.113.0/24')],
  artifacts: [
    'policy/aa',
    'subject/host/n1',
    'subject/5',
    'subject/300',
    'subject/301',
    'ipcache/300',
    'ipcache/301',
    'ipcache/nodes',
    'ipcache/cidr',
    'routes',
    'service/shop/web',
    'backends/ff',
    'workload/shop/a',
    'workload/shop/b',
  ].map((n) => artifact(n)),
};
const names = (s: SpanSnapshot, n: string): string[] =>
  [
    ...(computeSpan(s)
      .get(n as NodeName)
      ?.keys() ?? []),
  ].sort();
const shared = ['backends/ff', 'ipcache/cidr', 'ipcache/nodes', 'node/config', 'routes', 'service/shop/web', 'subject/5'];

describe('what a node holds', () => {
  test('only what its own endpoints need', () => {
    expect(names(base, 'n1')).toEqual([...shared, 'ipcache/301', 'policy/aa', 'subject/300', 'workload/shop/a'].sort());
    expect(names(base, 'n2')).toEqual([...shared, 'subject/301', 'workload/shop/b'].sort());
  });

  test('a node is a workload of itself: it holds its own subject, all layers of it and the peers', () => {
    const host: SpanWorkload = { key: 'host n1', node: 'n1' as NodeName, identity: id(0x0300_0001), addresses: [] };
    const subject = {
      identity: host.identity as IdentityId,
      subject: 'subject/host/n1',
      policies: ['policy/aa', 'policy/aa'],
      peers: [id(301)],
    };
    const s = { ...base, workloads: [host], subjects: [subject] };
    expect(names(s, 'n1')).toEqual([...shared, 'ipcache/301', 'policy/aa', 'subject/host/n1'].sort());
    expect(names(s, 'n2')).toEqual([...shared].sort());
  });

  test('an identity hidden by a CIDR row goes everywhere, one hidden by a shorter row does not', () => {
    expect(names({ ...base, cidrs: [cidr('10.0.1.0/28')] }, 'n2')).toContain('ipcache/300');
    expect(names({ ...base, cidrs: [cidr('10.0.1.0/24')] }, 'n2')).toContain('ipcache/300');
    expect(names({ ...base, cidrs: [cidr('10.0.0.0/16')] }, 'n2')).not.toContain('ipcache/300');
    expect(names({ ...base, cidrs: [cidr('10.0.1.128/25')] }, 'n2')).not.toContain('ipcache/300');
  });
});

test('difference and order', () => {
  const held = new Map([
    ['a', 'x'],
    ['b', 'x'],
    ['c', 'x'],
  ] as [string, Digest][]);
  const desired = new Map([
    ['b', 'y'],
    ['c', 'x'],
    ['d', 'x'],
  ] as [string, Digest][]);
  expect(diffHeld(held, desired)).toEqual({ upserts: ['b', 'd'], removes: ['a'] });
  const tables = ['routes', 'ipcache', 'addr_class', 'subject', 'policy', 'lb_frontend', 'lb_source', 'lb_maglev', 'lb_slot'];
  expect(orderUpserts(tables.map((t) => artifact(t, 'd', t))).map((a) => a.name)).toEqual([...tables].reverse());
});

test('a change reaches the nodes that hold the artifact and no others', () => {
  const span = createSpan();
  span.update(base);
  expect([...span.update({ artifacts: [artifact('ipcache/301', 'd2')] })]).toEqual([['n1', { upserts: ['ipcache/301'], removes: [] }]]);
  expect([...span.update({ artifacts: [artifact('ipcache/301', 'd2')] })]).toEqual([]);
  expect([...span.nodesOf('ipcache/301')]).toEqual(['n1']);
  expect([...span.nodesOf('routes')].sort()).toEqual(['n1', 'n2']);
});

const artifactNames = base.artifacts.map((a) => a.name);
const subjectArb: fc.Arbitrary<SpanSubject> = fc.record({
  identity: fc.constantFrom(1, 5, 300, 301, 302).map(id),
  policies: fc.subarray(['policy/aa', 'policy/bb']),
  subject: fc.constantFrom('subject/host/n1', undefined),
  peers: fc.subarray([300, 301, 302].map(id)),
});
const workloadArb: fc.Arbitrary<SpanWorkload> = fc
  .tuple(
    fc.constantFrom('shop/a', 'shop/b', 'shop/c', 'shop/d'),
    fc.integer({ min: 1, max: 4 }),
    fc.constantFrom(0, 300, 301, 302),
    fc.constantFrom(undefined, '10.0.1.5', '10.0.2.5', '10.9.9.9'),
  )
  .map(([key, n, identity, address]) => workload(key, n, identity, address));
const nodeArb = fc.tuple(fc.integer({ min: 1, max: 4 }), fc.constantFrom('c1', 'c2')).map(([n, digest]) => node(n, digest));
const artifactArb = fc
  .tuple(fc.constantFrom(...artifactNames, 'policy/bb', 'ipcache/302', 'subject/302', 'workload/shop/c'), fc.constantFrom('d1', 'd2'))
  .map(([n, d]) => artifact(n, d));
const cidrsArb = ['10.0.1.0/28', '10.0.1.0/24', '10.0.0.0/16', '10.9.9.9/32', '203.0.113.0/24'].map(cidr);
const changesArb: fc.Arbitrary<SpanChanges> = fc.record(
  {
    nodes: fc.uniqueArray(nodeArb, { selector: (n) => n.name, maxLength: 2 }),
    removedNodes: fc.subarray(['n1', 'n2', 'n3', 'n4'] as NodeName[], { maxLength: 2 }),
    workloads: fc.uniqueArray(workloadArb, { selector: (w) => w.key, maxLength: 3 }),
    removedWorkloads: fc.subarray(['shop/a', 'shop/b', 'shop/c'], { maxLength: 2 }),
    subjects: fc.uniqueArray(subjectArb, { selector: (s) => s.identity, maxLength: 3 }),
    removedSubjects: fc.subarray([1, 300, 301, 302].map(id), { maxLength: 2 }),
    cidrs: fc.subarray(cidrsArb, { maxLength: 2 }),
    removedCidrs: fc.subarray(cidrsArb, { maxLength: 2 }),
    artifacts: fc.uniqueArray(artifactArb, { selector: (a) => a.name, maxLength: 8 }),
    removedArtifacts: fc.subarray(artifactNames, { maxLength: 3 }),
  },
  { requiredKeys: [] },
);

/** Plain maps that mean the same as the changes. */
function follow(
  all: {
    nodes: Map<string, SpanNode>;
    workloads: Map<string, SpanWorkload>;
    subjects: Map<number, SpanSubject>;
    cidrs: Set<Cidr>;
    artifacts: Map<string, ArtifactDescriptor>;
  },
  c: SpanChanges,
): SpanSnapshot {
  for (const k of c.removedNodes ?? []) all.nodes.delete(k);
  for (const k of c.removedWorkloads ?? []) all.workloads.delete(k);
  for (const k of c.removedSubjects ?? []) all.subjects.delete(k);
  for (const k of c.removedCidrs ?? []) all.cidrs.delete(k);
  for (const k of c.removedArtifacts ?? []) all.artifacts.delete(k);
  for (const n of c.nodes ?? []) all.nodes.set(n.name, n);
  for (const w of c.workloads ?? []) all.workloads.set(w.key, w);
  for (const s of c.subjects ?? []) all.subjects.set(s.identity, s);
  for (const x of c.cidrs ?? []) all.cidrs.add(x);
  for (const a of c.artifacts ?? []) all.artifacts.set(a.name, a);
  return {
    nodes: [...all.nodes.values()],
    workloads: [...all.workloads.values()].reverse(),
    subjects: [...all.subjects.values()].reverse(),
    cidrs: [...all.cidrs],
    artifacts: [...all.artifacts.values()].reverse(),
  };
}

const seed = Number(process.env.AXONEME_SEED ?? 0) || Math.floor(Math.random() * 0x7fff_ffff);

test(`after any history the span equals computeSpan, and the differences add up to it (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.array(changesArb, { maxLength: 10 }), (history) => {
      const span = createSpan();
      const all = {
        nodes: new Map<string, SpanNode>(),
        workloads: new Map<string, SpanWorkload>(),
        subjects: new Map<number, SpanSubject>(),
        cidrs: new Set<Cidr>(),
        artifacts: new Map<string, ArtifactDescriptor>(),
      };
      const followed = new Map<string, Set<string>>();
      for (const c of [base, ...history]) {
        const before = new Set(all.nodes.keys());
        const truth = computeSpan(follow(all, c));
        const diffs = span.update(c);
        for (const n of before) if (!truth.has(n as NodeName)) followed.delete(n);
        for (const [n, d] of diffs) {
          const held = followed.get(n) ?? new Set<string>();
          for (const name of d.upserts) held.add(name);
          for (const name of d.removes) held.delete(name);
          followed.set(n, held);
        }
        expect(followed.size).toBe(truth.size);
        for (const [n, held] of truth) {
          expect(Object.fromEntries(span.desired(n)!)).toEqual(Object.fromEntries(held));
          expect([...followed.get(n)!].sort()).toEqual([...held.keys()].sort());
          for (const name of held.keys())
            if (!span.nodesOf(name).has(n) && name !== 'node/config') throw new RangeError(`${name} is on ${n}, the index says no`);
        }
      }
    }),
    { numRuns: 400, seed },
  );
}, 120_000);
