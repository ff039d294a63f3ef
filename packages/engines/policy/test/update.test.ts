// The incremental compiler against compileAll, after every step of random histories.

import type { Cidr, IdentityId } from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type CidrIdentity,
  cidrs,
  compileAll,
  createPolicyCompiler,
  type ParsedPolicy,
  type PolicyConfig,
  type PolicyIdentity,
  type PolicyKey,
  type PolicyTable,
  parsePolicy,
} from '../src/index.ts';
import { podArb, policyArb } from './arbitraries.ts';

const runs = Number(process.env.AXONEME_RUNS ?? 400);
const seed = Number(process.env.AXONEME_SEED ?? 0) || Math.floor(Math.random() * 0x7fff_ffff);

type Step =
  | { readonly kind: 'policies'; readonly put: readonly ParsedPolicy[]; readonly withCidrs: boolean }
  | { readonly kind: 'dropPolicy'; readonly n: number }
  | { readonly kind: 'identities'; readonly put: readonly PolicyIdentity[] }
  | { readonly kind: 'dropIdentity'; readonly n: number }
  | { readonly kind: 'syncCidrs' }
  | { readonly kind: 'dropCidr'; readonly n: number };

const parsedArb = fc
  .integer({ min: 0, max: 4 })
  .chain((n) => policyArb(`p${n}`))
  .map((o) => unwrap(parsePolicy(o, { clusterName: 'main' }) as never) as ParsedPolicy);
const identityArb = fc
  .integer({ min: 0, max: 5 })
  .chain(podArb)
  .map((p): PolicyIdentity => ({ id: p.id, labels: p.labels, namedPorts: p.namedPorts }));
const stepArb: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('policies' as const),
      put: fc.array(parsedArb, { minLength: 1, maxLength: 2 }),
      withCidrs: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('dropPolicy' as const), n: fc.nat() }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('identities' as const), put: fc.array(identityArb, { minLength: 1, maxLength: 3 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('dropIdentity' as const), n: fc.nat() }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'syncCidrs' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('dropCidr' as const), n: fc.nat() }) },
);

const shownSubject = (s: {
  identity: IdentityId;
  rows: { handle: bigint; packed: Buffer; peerMask: unknown; anyMask: unknown };
  defaultDeny: unknown;
  denyRules: unknown;
}) =>
  `${s.identity} ${s.rows.handle} ${s.rows.packed.toString('hex')} ${JSON.stringify([s.rows.peerMask, s.rows.anyMask, s.defaultDeny, s.denyRules])}`;
const shown = (t: PolicyTable) => ({
  subjects: [...t.subjects.values()].map(shownSubject).sort(),
  policies: [...t.policies.keys()].map(String).sort(),
  origins: [...t.origins].sort(([a], [b]) => a - b),
  collisions: t.collisions,
});

function play(steps: readonly Step[], cfg: PolicyConfig): void {
  const compiler = createPolicyCompiler(cfg);
  const policies = new Map<PolicyKey, ParsedPolicy>();
  const identities = new Map<IdentityId, PolicyIdentity>();
  const cidrIds = new Map<Cidr, CidrIdentity>();
  const subjects = new Map(compiler.table().subjects);
  const handles = new Set(compiler.table().policies.keys());
  let nextCidr = 0x0100_0001;
  const wantedCidrs = (): CidrIdentity[] => {
    for (const c of cidrs([...policies.values()].flatMap((p) => p.rules)))
      if (!cidrIds.has(c)) cidrIds.set(c, { cidr: c, id: nextCidr++ as IdentityId });
    return [...cidrIds.values()];
  };
  const apply = (step: Step) => {
    switch (step.kind) {
      case 'policies': {
        for (const p of step.put) policies.set(p.key, p);
        return compiler.update({
          policies: [...new Map(step.put.map((p) => [p.key, p])).values()],
          ...(step.withCidrs ? { cidrIdentities: wantedCidrs() } : {}),
        });
      }
      case 'dropPolicy': {
        const key = [...policies.keys()][step.n % Math.max(1, policies.size)];
        if (key !== undefined) policies.delete(key);
        return compiler.update({ removedPolicies: key === undefined ? [] : [key] });
      }
      case 'identities': {
        for (const i of step.put) identities.set(i.id, i);
        return compiler.update({ identities: step.put });
      }
      case 'dropIdentity': {
        const id = [...identities.keys()][step.n % Math.max(1, identities.size)];
        if (id !== undefined) identities.delete(id);
        return compiler.update({ removedIdentities: id === undefined ? [] : [id] });
      }
      case 'syncCidrs':
        return compiler.update({ cidrIdentities: wantedCidrs() });
      case 'dropCidr': {
        const c = [...cidrIds.values()][step.n % Math.max(1, cidrIds.size)];
        if (c !== undefined) cidrIds.delete(c.cidr);
        return compiler.update({ removedCidrIdentities: c === undefined ? [] : [c.id] });
      }
    }
  };
  for (const step of steps) {
    const delta = apply(step);
    for (const p of delta.addedPolicies) handles.add(p.handle);
    for (const s of delta.subjects) subjects.set(s.identity, s);
    for (const id of delta.removedSubjects) subjects.delete(id);
    for (const h of delta.removedPolicies) handles.delete(h);
    const truth = shown(
      compileAll(
        {
          rules: [...policies.values()].flatMap((p) => p.rules).reverse(),
          identities: [...identities.values()].reverse(),
          cidrIdentities: [...cidrIds.values()].reverse(),
        },
        cfg,
      ),
    );
    expect(shown(compiler.table())).toEqual(truth);
    // Following the deltas alone leads to the same place.
    expect([...subjects.values()].map(shownSubject).sort()).toEqual(truth.subjects);
    expect([...handles].map(String).sort()).toEqual(truth.policies);
  }
}

test(`update equals compileAll after every step (seed ${seed}, ${runs} histories)`, () => {
  const cfg = fc
    .constantFrom<PolicyConfig['mode']>('default', 'default', 'always', 'never')
    .map((mode): PolicyConfig => ({ mode, clusterName: 'main', allowLocalhost: true }));
  fc.assert(fc.property(fc.array(stepArb, { minLength: 1, maxLength: 12 }), cfg, play), { numRuns: runs, seed });
}, 120_000);

test('two names in two namespaces do not meet', () => {
  const rule = (namespace: string) =>
    unwrap(
      parsePolicy(
        { kind: 'CiliumNetworkPolicy', metadata: { name: 'same', namespace }, spec: { endpointSelector: {}, ingress: [{}] } },
        { clusterName: 'main' },
      ) as never,
    ) as ParsedPolicy;
  const compiler = createPolicyCompiler({ mode: 'default', clusterName: 'main', allowLocalhost: true });
  compiler.update({ policies: [rule('shop'), rule('blog')] });
  compiler.update({ removedPolicies: [rule('blog').key] });
  expect([...compiler.table().origins.values()].map((o) => o.namespace)).toContain('shop');
  expect([...compiler.table().origins.values()].map((o) => o.namespace)).not.toContain('blog');
});
