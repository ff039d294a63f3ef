// The incremental compiler against the plain one, after every step of random histories.

import type { Cidr, IdentityId } from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type AddressClass,
  type CidrIdentity,
  type ClassNode,
  cidrs,
  classFirst,
  compileLayers,
  createLayeredCompiler,
  type HostSubject,
  hostFirst,
  type LayeredDelta,
  type LayerTable,
  layersOf,
  type ParsedPolicy,
  type PolicyChanges,
  type PolicyConfig,
  type PolicyIdentity,
  type PolicyKey,
  parsePolicy,
  planAddressClasses,
  policyKey,
  type Rule,
  type SubjectSet,
  type Tier,
} from '../src/index.ts';
import { podArb, policyArb } from './arbitraries.ts';
import { patience, scaled, seed } from './check.ts';
import { hostRuleArb, selector, tierRuleArb } from './ir.ts';
import { ip, node } from './lab.ts';

const runs = scaled(500);

type Policy = Pick<ParsedPolicy, 'key' | 'rules'>;
type Step =
  | { readonly kind: 'policies'; readonly put: readonly Policy[]; readonly withPeers: boolean }
  | { readonly kind: 'dropPolicy'; readonly n: number }
  | { readonly kind: 'identities'; readonly put: readonly PolicyIdentity[] }
  | { readonly kind: 'dropIdentity'; readonly n: number }
  | { readonly kind: 'nodes'; readonly n: number; readonly labels: Readonly<Record<string, string>> }
  | { readonly kind: 'dropHost'; readonly n: number }
  | { readonly kind: 'syncPeers' }
  | { readonly kind: 'dropCidr'; readonly n: number }
  | { readonly kind: 'dropClass'; readonly n: number };

const numberArb = fc.integer({ min: 0, max: 4 });
const parsedArb: fc.Arbitrary<Policy> = numberArb
  .chain((n) => policyArb(`p${n}`))
  .map((o) => unwrap(parsePolicy(o, { clusterName: 'main' }) as never) as ParsedPolicy);
const ruleArb: fc.Arbitrary<Policy> = fc
  .tuple(numberArb, fc.constantFrom<Tier | 'host'>('admin', 'normal', 'baseline', 'host'))
  .chain(([n, kind]) => (kind === 'host' ? hostRuleArb(`r${n}`) : tierRuleArb(`r${n}`, kind)))
  .map((r: Rule) => ({ key: policyKey(r.source), rules: [r] }));
const identityArb = fc
  .integer({ min: 0, max: 5 })
  .chain(podArb)
  .map((p): PolicyIdentity => ({ id: p.id, labels: p.labels, namedPorts: p.namedPorts }));
const dropArb = <K extends Step['kind']>(kind: K) => fc.record({ kind: fc.constant(kind), n: fc.nat() });
const stepArb: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('policies' as const),
      put: fc.array(fc.oneof(parsedArb, ruleArb), { minLength: 1, maxLength: 3 }),
      withPeers: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: dropArb('dropPolicy') },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('identities' as const), put: fc.array(identityArb, { minLength: 1, maxLength: 3 }) }),
  },
  { weight: 2, arbitrary: dropArb('dropIdentity') },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('nodes' as const),
      n: fc.nat({ max: 2 }),
      labels: fc.constantFrom<Record<string, string>>({ zone: 'a' }, { zone: 'b', role: 'control' }, {}),
    }),
  },
  { weight: 1, arbitrary: dropArb('dropHost') },
  { weight: 3, arbitrary: fc.constant({ kind: 'syncPeers' as const }) },
  { weight: 1, arbitrary: dropArb('dropCidr') },
  { weight: 1, arbitrary: dropArb('dropClass') },
);

const shownSubject = (s: SubjectSet): string =>
  layersOf(s)
    .map(([name, l]) => {
      const flags = JSON.stringify([l.rows.peerMask, l.rows.anyMask, l.defaultDeny, l.denyRules, l.usesClasses, l.allowLocalhost]);
      return `${s.identity} ${name} ${l.rows.handle} ${l.rows.packed.toString('hex')} ${flags}`;
    })
    .join('\n');
const shown = (t: LayerTable) => ({
  subjects: [...t.subjects.values()].map(shownSubject).sort(),
  policies: [...t.policies.keys()].map(String).sort(),
  origins: [...t.origins].sort(([a], [b]) => a - b),
  collisions: t.collisions,
});

/** What the operator holds: objects, numbers it gave, nodes. */
function createCluster() {
  const policies = new Map<PolicyKey, Policy>();
  const identities = new Map<IdentityId, PolicyIdentity>();
  const cidrIds = new Map<Cidr, CidrIdentity>();
  const classes = new Map<string, AddressClass>();
  const nodes = new Map<number, ClassNode>();
  const hosts = new Map<IdentityId, HostSubject>();
  let nextCidr = 0x0100_0001;
  let nextClass = classFirst + 1;
  const rules = (): Rule[] => [...policies.values()].flatMap((p) => p.rules);
  /** Gives what the rules mention numbers. */
  const peers = (): PolicyChanges => {
    for (const c of cidrs(rules())) if (!cidrIds.has(c)) cidrIds.set(c, { cidr: c, id: nextCidr++ as IdentityId });
    for (const { key, block, nodes: texts } of planAddressClasses({ rules: rules(), nodes: [...nodes.values()] }).classes)
      if (!classes.has(key)) classes.set(key, { id: nextClass++ as IdentityId, block, nodes: texts });
    return { cidrIdentities: [...cidrIds.values()], classes: [...classes.values()] };
  };
  /** Removes the n-th; what a caller would tell the compiler about it. */
  const drop = <K, V>(map: Map<K, V>, n: number): V[] => {
    const key = [...map.keys()][n % Math.max(1, map.size)];
    const value = key === undefined ? undefined : map.get(key);
    if (key !== undefined) map.delete(key);
    return value === undefined ? [] : [value];
  };
  const apply = (step: Step): PolicyChanges => {
    switch (step.kind) {
      case 'policies':
        for (const p of step.put) policies.set(p.key, p);
        return { policies: [...new Map(step.put.map((p) => [p.key, p])).values()], ...(step.withPeers ? peers() : {}) };
      case 'dropPolicy':
        return { removedPolicies: drop(policies, step.n).map((p) => p.key) };
      case 'identities':
        for (const i of step.put) identities.set(i.id, i);
        return { identities: step.put };
      case 'dropIdentity':
        return { removedIdentities: drop(identities, step.n).map((i) => i.id) };
      case 'nodes': {
        const addresses = [`192.168.0.${step.n + 1}`, `fd01::${step.n + 1}`];
        const n = node(`n${step.n}`, addresses, step.labels);
        const host = { id: (hostFirst + 1 + step.n) as IdentityId, labels: n.labels };
        nodes.set(step.n, { name: n.name, labels: n.labels, addresses: addresses.map(ip) });
        hosts.set(host.id, host);
        return { hosts: [host], ...peers() };
      }
      case 'dropHost':
        return { removedHosts: drop(hosts, step.n).map((h) => h.id) };
      case 'syncPeers':
        return peers();
      case 'dropCidr':
        return { removedCidrIdentities: drop(cidrIds, step.n).map((c) => c.id) };
      case 'dropClass':
        return { removedClasses: drop(classes, step.n).map((c) => c.id) };
    }
  };
  /** The same objects in reverse: order must not matter. */
  const snapshot = () => ({
    rules: rules().reverse(),
    identities: [...identities.values()].reverse(),
    cidrIdentities: [...cidrIds.values()].reverse(),
    classes: [...classes.values()].reverse(),
    hosts: [...hosts.values()].reverse(),
  });
  return { apply, snapshot };
}

function play(steps: readonly Step[], cfg: PolicyConfig): void {
  const compiler = createLayeredCompiler(cfg);
  const cluster = createCluster();
  const subjects = new Map(compiler.table().subjects);
  const handles = new Set(compiler.table().policies.keys());
  const follow = (delta: LayeredDelta): void => {
    for (const p of delta.addedPolicies) handles.add(p.handle);
    for (const s of delta.subjects) subjects.set(s.identity, s);
    for (const id of delta.removedSubjects) subjects.delete(id);
    for (const h of delta.removedPolicies) handles.delete(h);
  };
  for (const step of steps) {
    follow(compiler.update(cluster.apply(step)));
    const truth = shown(compileLayers(cluster.snapshot(), cfg));
    expect(shown(compiler.table())).toEqual(truth);
    // Following the deltas alone leads to the same place.
    expect([...subjects.values()].map(shownSubject).sort()).toEqual(truth.subjects);
    expect([...handles].map(String).sort()).toEqual(truth.policies);
  }
}

test(
  `update equals compileLayers after every step (seed ${seed}, ${runs} histories)`,
  () => {
    const cfg = fc
      .constantFrom<PolicyConfig['mode']>('default', 'default', 'default', 'always', 'never')
      .map((mode): PolicyConfig => ({ mode, clusterName: 'main', allowLocalhost: true }));
    fc.assert(fc.property(fc.array(stepArb, { minLength: 1, maxLength: 12 }), cfg, play), { numRuns: runs, seed });
  },
  patience,
);

test(`policies with one subject selector leave one by one, and each takes its rows with it (seed ${seed})`, () => {
  const one = selector({ matchLabels: { app: 'a' } });
  const sameArb = fc.array(
    fc.constantFrom<Tier>('admin', 'normal', 'normal', 'baseline').chain((t) => tierRuleArb('r', t)),
    { minLength: 2, maxLength: 5 },
  );
  const cfg: PolicyConfig = { mode: 'default', clusterName: 'main', allowLocalhost: true };
  fc.assert(
    fc.property(sameArb, fc.array(identityArb, { minLength: 2, maxLength: 4 }), (list, some) => {
      const identities = [...new Map(some.map((i) => [i.id, i])).values()];
      const rules = list.map((r, i) => ({ ...r, subject: one, source: { ...r.source, name: `r${i}` } }));
      const compiler = createLayeredCompiler(cfg);
      compiler.update({ identities, policies: rules.map((r) => ({ key: policyKey(r.source), rules: [r] })) });
      for (let left = rules.length - 1; left >= 0; left--) {
        compiler.update({ removedPolicies: [policyKey(rules[left]!.source)] });
        const truth = compileLayers({ rules: rules.slice(0, left), identities, cidrIdentities: [] }, cfg);
        expect(shown(compiler.table())).toEqual(shown(truth));
      }
    }),
    { numRuns: scaled(100), seed },
  );
});

test('two names in two namespaces do not meet', () => {
  const rule = (namespace: string) =>
    unwrap(
      parsePolicy(
        { kind: 'CiliumNetworkPolicy', metadata: { name: 'same', namespace }, spec: { endpointSelector: {}, ingress: [{}] } },
        { clusterName: 'main' },
      ) as never,
    ) as ParsedPolicy;
  const compiler = createLayeredCompiler({ mode: 'default', clusterName: 'main', allowLocalhost: true });
  compiler.update({ policies: [rule('shop'), rule('blog')] });
  compiler.update({ removedPolicies: [rule('blog').key] });
  expect([...compiler.table().origins.values()].map((o) => o.namespace)).toContain('shop');
  expect([...compiler.table().origins.values()].map((o) => o.namespace)).not.toContain('blog');
});
