// Classes of bugs that were security holes elsewhere, each as a property. The names are those of the list in the requirements.

import { isDeepStrictEqual } from 'node:util';
import { type IdentityId, type IpAddr, labelKeys, podLabels } from '@axoneme/model';
import { canonicalJson } from '@axoneme/std';
import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import {
  compileLayers,
  lookup,
  type PeerSelector,
  type PolicyConfig,
  type PolicyObject,
  parsePolicy,
  type Rule,
  type RuleEntry,
  rowsOf,
} from '../src/index.ts';
import { patience, scaled, seed } from './check.ts';
import { anyone, type EntrySpec, everyPort, makeRule, pods, rulesArb, selector, tcp } from './ir.ts';
import { objectsArb } from './kinds.ts';
import { compileWorld, config, identitiesOf, ip, lab } from './lab.ts';

jest.setTimeout(patience);
const a = 1001 as IdentityId;

const parse = (object: PolicyObject, clusterName = 'main', defaultLocalCluster = true): readonly Rule[] => {
  const parsed = parsePolicy(object, { clusterName, defaultLocalCluster });
  if (!parsed.ok) throw new TypeError(parsed.error.map((i) => `${i.path}: ${i.message}`).join('; '));
  return parsed.value.rules;
};

describe('absent and empty', () => {
  const blocks = [
    { cidr: '203.0.113.0/24' },
    { cidr: '10.9.0.0/16', except: ['10.9.9.0/24'] },
    { cidr: '10.1.1.0/24' },
    { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] },
    { cidr: 'fd00:2::/64' },
  ];
  test(`C1: an ipBlock alone admits no pod outside the block, for every configuration (seed ${seed})`, () => {
    const cfgArb = fc.record({
      clusterName: fc.constantFrom('main', 'other', 'prod-eu', 'default', ''),
      defaultLocalCluster: fc.boolean(),
      mode: fc.constantFrom<PolicyConfig['mode']>('default', 'always'),
      allowLocalhost: fc.boolean(),
    });
    const ports = fc.constantFrom<object>({}, { ports: [] }, { ports: [{ port: 80 }] });
    fc.assert(
      fc.property(cfgArb, fc.constantFrom(...blocks), ports, fc.constantFrom('ingress', 'egress'), (c, block, p, direction) => {
        const field = direction === 'ingress' ? 'from' : 'to';
        const spec = {
          podSelector: {},
          policyTypes: ['Ingress', 'Egress'],
          [direction]: [{ [field]: [{ ipBlock: block }], ...p }],
        };
        const rules = parse(
          { kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'shop' }, spec },
          c.clusterName,
          c.defaultLocalCluster,
        );
        const w = compileWorld(rules, lab, { ...c, clusterName: 'main' });
        const set = w.table.subjects.get(a)!;
        // No row for an identity, whoever it is: only classes.
        for (const row of rowsOf(set.layers.normal.rows)) expect(row.peer).toBeGreaterThanOrEqual(0x0200_0000);
        for (const pod of lab.pods) {
          for (const address of pod.addresses) {
            const inside =
              { '10.1.1.0/24': address.startsWith('10.1.1.'), 'fd00:2::/64': address.startsWith('fd00:2:') }[block.cidr] ?? false;
            const outsideOfAll = block.cidr === '0.0.0.0/0' && address === '10.200.0.1' ? false : inside;
            const packet = { peer: w.identity(address), cls: w.cls(address), protocol: 6, port: 80 };
            expect(lookup(set, { ...packet, direction: direction as 'ingress' }).allowed).toBe(outsideOfAll);
          }
        }
      }),
      { numRuns: scaled(300), seed },
    );
  });

  /** Without fields that are `undefined`: those mean absent on both sides. */
  const plain = (r: Rule): unknown => JSON.parse(JSON.stringify(r));

  /** Every list of a rule that can be empty, emptied. */
  const emptied = (r: Rule): Rule[] =>
    r.entries.flatMap((e, i) =>
      [{ peers: [] }, { ports: [] }].map((change) => ({
        ...r,
        entries: r.entries.map((o, j): RuleEntry => (i === j ? { ...e, ...change } : o)),
      })),
    );

  test(`C2: every node of the intermediate form survives JSON, and an empty list never becomes an absent one (seed ${seed})`, () => {
    const rulesOf = (objects: PolicyObject[]): Rule[] => objects.flatMap((o) => [...parse(o)]);
    fc.assert(
      fc.property(fc.oneof(rulesArb, objectsArb.map(rulesOf)), (rules) => {
        for (const rule of [...rules, ...rules.flatMap(emptied)]) {
          for (const text of [JSON.stringify(rule), canonicalJson(rule)]) {
            const back = JSON.parse(text) as Rule;
            if (!isDeepStrictEqual(back, plain(rule))) throw new RangeError(`changed by JSON: ${text}`);
            back.entries.forEach((e, n) => {
              const was = rule.entries[n]!;
              if (
                !Array.isArray(e.peers) ||
                !Array.isArray(e.ports) ||
                e.peers.length !== was.peers.length ||
                e.ports.length !== was.ports.length
              )
                throw new RangeError(`a list was lost: ${text}`);
            });
          }
        }
        const back = JSON.parse(JSON.stringify(rules)) as Rule[];
        const handles = (list: readonly Rule[]): string =>
          [...compileWorld(list, lab, config).table.subjects.values()].map((s) => s.layers.normal.rows.packed.toString('hex')).join();
        expect(handles(back)).toBe(handles(rules));
      }),
      { numRuns: scaled(150), seed },
    );
  });

  test('C2: a peer set that is empty matches nothing, in every action and tier', () => {
    const identities = identitiesOf(lab);
    for (const tier of ['admin', 'normal', 'baseline'] as const) {
      for (const action of ['allow', 'deny', 'pass', 'redirect'] as const) {
        for (const lists of [
          { peers: [], ports: [everyPort] },
          { peers: [anyone], ports: [] },
          { peers: [], ports: [] },
        ]) {
          const entries: EntrySpec[] = (['ingress', 'egress'] as const).map((direction) => ({ direction, action, ...lists }));
          const rule = makeRule({ name: 'empty', tier, subject: selector({}), entries });
          const { policies } = compileLayers({ rules: [JSON.parse(JSON.stringify(rule)) as Rule], identities, cidrIdentities: [] }, config);
          expect(policies.size).toBe(0);
        }
      }
    }
  });
});

describe('L7', () => {
  const spec = (entries: readonly EntrySpec[]): Rule =>
    makeRule({ name: 'l7', subject: selector({ matchLabels: { app: 'a' } }), entries, deny: { ingress: true, egress: true } });
  const appB = pods({ matchLabels: { app: 'b' } });
  const appC = pods({ matchLabels: { app: 'c' } });
  const ends: readonly PeerSelector[] = [appB, appC, anyone, pods({})];
  const allowed = (rules: readonly Rule[], peer: number, port: number): boolean => {
    const set = compileWorld(rules, lab, config).table.subjects.get(a)!;
    return lookup(set, { peer: peer as IdentityId, direction: 'ingress', protocol: 6, port }).allowed;
  };

  test(`C3: rules merged admit no more than the rules one by one, and an allow-all for one peer frees no other (seed ${seed})`, () => {
    const entryArb = fc
      .record({
        l7: fc.boolean(),
        peers: fc.subarray([...ends], { minLength: 1, maxLength: 2 }),
        port: fc.constantFrom(everyPort, tcp(80), tcp(81), tcp(80, 81)),
      })
      .map(({ l7, peers, port }): EntrySpec => {
        const rest = { direction: 'ingress' as const, peers, ports: [port] };
        return l7 ? { ...rest, action: 'redirect', condition: 'l7' } : { ...rest, action: 'allow' };
      });
    let merged = 0;
    fc.assert(
      fc.property(fc.array(entryArb, { minLength: 1, maxLength: 4 }), (entries) => {
        for (const peer of [1002, 1003]) {
          for (const port of [80, 81, 82]) {
            const together = allowed([spec(entries)], peer, port);
            const single = entries.map((e) => allowed([spec([e])], peer, port));
            if (together && !single.includes(true)) throw new RangeError(`peer ${peer} port ${port} is opened by the merge`);
            // Without conditions in the way the merge is exactly the union.
            if (!entries.some((e) => e.condition === 'l7') && together !== single.includes(true))
              throw new RangeError('the merge is not the union');
            if (together) merged++;
          }
        }
      }),
      { numRuns: scaled(400), seed },
    );
    expect(merged).toBeGreaterThan(0);
  });

  test('C4: ranges, ports and L7 in a small space, all of it: an L7 rule is never bypassed by a wider L4 rule', () => {
    const low = 79;
    const high = 83;
    let blocked = 0;
    let combinations = 0;
    for (let first = low; first <= high; first++) {
      for (let last = first; last <= high; last++) {
        for (let l7First = low; l7First <= high; l7First++) {
          for (const l7Last of [l7First, l7First + 1]) {
            for (const l4Peer of ends) {
              for (const l7Peer of ends) {
                combinations++;
                const l4: EntrySpec = { direction: 'ingress', action: 'allow', peers: [l4Peer], ports: [tcp(first, last)] };
                const l7: EntrySpec = {
                  direction: 'ingress',
                  action: 'redirect',
                  condition: 'l7',
                  peers: [l7Peer],
                  ports: [tcp(l7First, l7Last)],
                };
                blocked += checkL7(l4, l7, [low, high + 2]);
              }
            }
          }
        }
      }
    }
    expect(combinations).toBe(2400);
    expect(blocked).toBeGreaterThan(1000);
  });

  const selects = (peer: PeerSelector, id: number): boolean => (peer === appB ? id === 1002 : peer === appC ? id === 1003 : true);

  function checkL7(l4: EntrySpec, l7: EntrySpec, [from, to]: readonly [number, number]): number {
    const set = compileWorld([spec([l4, l7])], lab, config).table.subjects.get(a)!;
    const inside = (e: EntrySpec, id: number, port: number): boolean => {
      const p = e.ports[0]!;
      return p.kind === 'range' && selects(e.peers[0]!, id) && port >= p.first && port <= p.last;
    };
    const range = (e: EntrySpec): string => JSON.stringify(e.ports);
    // The same peers and ports with and without L7: the plain one wins.
    const equal = l4.peers[0] === l7.peers[0] && range(l4) === range(l7);
    let blocked = 0;
    for (const id of [1002, 1003]) {
      for (let port = from; port <= to; port++) {
        const got = lookup(set, { peer: id as IdentityId, direction: 'ingress', protocol: 6, port }).allowed;
        const want = inside(l4, id, port) && (equal || !inside(l7, id, port));
        if (got !== want) throw new RangeError(`${id}:${port} ${JSON.stringify([l4, l7])}: ${got}`);
        if (inside(l4, id, port) && !got) blocked++;
      }
    }
    return blocked;
  }
});

describe('labels', () => {
  const derived = Object.values(labelKeys);
  const keyArb = fc.oneof(
    fc.constantFrom(...derived, `${labelKeys.namespaceLabelPrefix}team`, `${labelKeys.namespaceLabelPrefix}kubernetes.io/metadata.name`),
    fc.constantFrom(
      'io.cilium.k8s.',
      'io.cilium.k8s.policy',
      'k8s:io.kubernetes.pod.namespace',
      'reserved:host',
      'reserved:init',
      'cidr:10.0.0.0-8',
      'any:app',
      'app',
    ),
    fc.tuple(fc.constantFrom('', 'k8s:', 'any:', 'reserved:', 'io.cilium.k8s.'), fc.string({ maxLength: 12 })).map(([p, k]) => p + k),
  );
  const runs = scaled(2000);
  test(`C7: labels a user can write never equal derived ones (seed ${seed}, ${runs} runs)`, () => {
    fc.assert(
      fc.property(fc.dictionary(keyArb, fc.constantFrom('', 'blog', 'shop', 'admin', 'other'), { maxKeys: 6 }), (written) => {
        const of = (own: Record<string, string>) =>
          podLabels({ podLabels: own, namespace: 'shop', namespaceLabels: { team: 'shop' }, serviceAccount: 'default', cluster: 'main' });
        const isDerived = (key: string): boolean => key === labelKeys.namespace || key.startsWith('io.cilium.k8s.');
        const only = (l: ReturnType<typeof of>) => l.list.filter((x) => x.source !== 'k8s' || isDerived(x.key));
        // What is derived is the same whatever the user wrote, and nothing else has another source.
        expect(only(of(written))).toEqual(only(of({})));
        const posing = of(written);
        const rules = parse({
          kind: 'CiliumClusterwideNetworkPolicy',
          metadata: { name: 'p' },
          spec: {
            endpointSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'blog' } },
            ingress: [{ fromEndpoints: [{ matchLabels: { 'io.cilium.k8s.namespace.labels.team': 'blog' } }] }],
          },
        });
        const identities = [{ id: 2000 as IdentityId, labels: posing }, ...identitiesOf(lab)];
        const { subjects } = compileLayers({ rules, identities, cidrIdentities: [] }, config);
        expect(subjects.get(2000 as IdentityId)!.layers.normal.defaultDeny.ingress).toBe(false);
        expect(rowsOf(subjects.get(1003 as IdentityId)!.layers.normal.rows).map((r) => r.peer)).not.toContain(2000);
      }),
      { numRuns: runs, seed },
    );
  });
});

/** Kept so that the fixture's addresses stay what C1 says of them. */
test('the fixture has a pod inside and one outside of each pod block', () => {
  const addresses: IpAddr[] = lab.pods.flatMap((p) => [...p.addresses]);
  expect(addresses).toEqual(expect.arrayContaining(['10.1.1.10', '10.1.2.1', 'fd00:1::10', 'fd00:2::1'].map(ip)));
});
