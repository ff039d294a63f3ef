// References → peers: what exists, what does not, and who has to be bound again.
import { parseCidr } from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import {
  bindRules,
  type CidrGroup,
  cidrGroupLabels,
  createReferenceIndex,
  hasReferences,
  type PolicyObject,
  parsePolicy,
  peerText,
  type ReferencedService,
  type References,
  type Rule,
  referencesOf,
  serviceLabels,
  usesCidrGroup,
  usesService,
} from '../src/index.ts';
import { ip } from './lab.ts';
import { admitted, askTown, onApi, outside, services } from './town.ts';

const service = (namespace: string, name: string, more: Partial<ReferencedService> = {}): ReferencedService => ({
  namespace,
  name,
  labels: serviceLabels({}),
  addresses: [],
  ...more,
});
const group = (name: string, cidrs: string[], labels: Record<string, string> = {}): CidrGroup => ({
  name,
  labels: cidrGroupLabels(name, labels),
  cidrs: cidrs.map((c) => unwrap(parseCidr(c))),
});
const rulesOf = (o: PolicyObject): readonly Rule[] => {
  const r = parsePolicy(o, { clusterName: 'main' });
  if (!r.ok) throw new TypeError(r.error[0]!.message);
  return r.value.rules;
};
const toServices = (...items: object[]): PolicyObject => onApi({ egress: [{ toServices: items }] });
const toGroups = (...items: object[]): PolicyObject => onApi({ egress: [{ toCIDRSet: items }] });
const named = (serviceName: string, namespace?: string): object => ({
  k8sService: { serviceName, ...(namespace === undefined ? {} : { namespace }) },
});
const bound = (o: PolicyObject, refs: References): { peers: string[]; missing: readonly string[] } => {
  const b = bindRules(rulesOf(o), refs);
  return { peers: b.rules.flatMap((r) => r.entries.flatMap((e) => e.peers.map(peerText))), missing: b.missing };
};
const none = createReferenceIndex();

describe('Services', () => {
  const refs = createReferenceIndex([
    service('shop', 'web', { selector: { app: 'web' }, labels: serviceLabels({ tier: 'front' }) }),
    service('blog', 'web', { selector: { app: 'blog' }, labels: serviceLabels({ tier: 'front' }) }),
    service('shop', 'old', { addresses: ['192.0.2.9', 'fd00::9', '192.0.2.9'].map(ip) }),
    service('shop', 'empty'),
    service('shop', 'all', { selector: {} }),
  ]);
  const web = (app: string, namespace: string): string =>
    `labels k8s:app In "${app}",k8s:io.cilium.k8s.policy.cluster In "main",k8s:io.kubernetes.pod.namespace In "${namespace}"`;

  test('with a selector: its pods in its namespace, of this cluster', () => {
    expect(bound(toServices(named('web', 'shop')), refs)).toEqual({ peers: [web('web', 'shop')], missing: [] });
  });

  test('an empty namespace is every namespace', () => {
    expect(bound(toServices(named('web')), refs).peers).toEqual([web('blog', 'blog'), web('web', 'shop')]);
    expect(bound(toServices(named('web', '')), refs).peers).toEqual([web('blog', 'blog'), web('web', 'shop')]);
  });

  test('without selector: its addresses, each once', () => {
    expect(bound(toServices(named('old', 'shop')), refs)).toEqual({ peers: ['block 192.0.2.9/32 ', 'block fd00::9/128 '], missing: [] });
  });

  test('by label, in one namespace and in all', () => {
    const selector = { matchLabels: { tier: 'front' } };
    expect(bound(toServices({ k8sServiceSelector: { selector } }), refs).peers).toHaveLength(2);
    expect(bound(toServices({ k8sServiceSelector: { selector, namespace: 'blog' } }), refs).peers).toEqual([web('blog', 'blog')]);
  });

  test('an empty selector is none', () => {
    expect(bound(toServices(named('all', 'shop')), refs).missing).toEqual(['Service shop/all has neither a selector nor addresses']);
  });

  test('a selector on labels that no identity has is told: its pods cannot be found', () => {
    const one = createReferenceIndex([service('shop', 'db-0', { selector: { 'statefulset.kubernetes.io/pod-name': 'db-0' } })]);
    expect(bound(toServices(named('db-0', 'shop')), one).missing).toEqual([
      'Service shop/db-0 selects pods by "statefulset.kubernetes.io/pod-name", a label that is no part of identities',
    ]);
  });

  test('what names nothing is nobody, and is told', () => {
    expect(bound(toServices(named('ghost', 'shop'), named('ghost'), named('empty', 'shop')), refs)).toEqual({
      peers: [],
      missing: [
        'Service shop/empty has neither a selector nor addresses',
        'Service shop/ghost does not exist',
        'no namespace has a Service ghost',
      ],
    });
    expect(
      bound(toServices({ k8sServiceSelector: { selector: { matchLabels: { tier: 'x' } }, namespace: 'shop' } }), refs).missing,
    ).toEqual(['no Service in namespace shop has the labels tier=x']);
  });
});

describe('CIDR groups', () => {
  const refs = createReferenceIndex(
    [],
    [
      group('a', ['10.0.0.0/8', '192.0.2.0/24'], { kind: 'partner' }),
      group('b', ['198.51.100.0/24'], { kind: 'partner' }),
      group('empty', []),
    ],
  );
  test('by name and by label', () => {
    expect(bound(toGroups({ cidrGroupRef: 'a' }), refs).peers).toEqual(['cidr 10.0.0.0/8 ', 'cidr 192.0.2.0/24 ']);
    expect(bound(toGroups({ cidrGroupSelector: { matchLabels: { kind: 'partner' } } }), refs).peers).toHaveLength(3);
    expect(bound(toGroups({ cidrGroupSelector: { matchExpressions: [{ key: 'kind', operator: 'DoesNotExist' }] } }), refs)).toEqual({
      peers: [],
      missing: [],
    });
    expect(
      bound(toGroups({ cidrGroupSelector: { matchLabels: { 'cidrgroup:io.cilium.policy.cidrgroupname/b': '' } } }), refs).peers,
    ).toEqual(['cidr 198.51.100.0/24 ']);
  });

  test('exceptions: inside a prefix, around it, elsewhere', () => {
    expect(bound(toGroups({ cidrGroupRef: 'a', except: ['10.1.0.0/16', '192.0.0.0/16', '203.0.113.0/24'] }), refs).peers).toEqual([
      'cidr 10.0.0.0/8 10.1.0.0/16',
    ]);
  });

  test('many prefixes and exceptions are bound soon', () => {
    const many = Array.from({ length: 20_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
    const refs = createReferenceIndex([], [group('many', many)]);
    const o = toGroups({ cidrGroupRef: 'many', except: many.slice(0, 10_000).map((c) => c.replace('.0/24', '.128/25')) });
    const started = process.cpuUsage();
    expect(bound(o, refs).peers.filter((p) => p.endsWith('/25'))).toHaveLength(10_000);
    expect(process.cpuUsage(started).user / 1e6).toBeLessThan(5);
  });

  test('a missing group is nobody, and is told; an empty one is nobody', () => {
    expect(bound(toGroups({ cidrGroupRef: 'ghost' }), refs)).toEqual({ peers: [], missing: ['CiliumCIDRGroup ghost does not exist'] });
    expect(bound(toGroups({ cidrGroupRef: 'empty' }), refs)).toEqual({ peers: [], missing: [] });
    expect(bound(toGroups({ cidrGroupSelector: { matchLabels: { kind: 'x' } } }), refs).missing).toEqual([
      'no CiliumCIDRGroup has the labels kind=x',
    ]);
  });
});

describe('shape', () => {
  test('a rule without references is the same object', () => {
    const rules = rulesOf(onApi({ ingress: [{ fromEndpoints: [{}] }] }));
    expect(bindRules(rules, none).rules).toBe(rules);
    const mixed = [...rules, ...rulesOf(toServices(named('web', 'shop')))];
    expect(bindRules(mixed, none).rules[0]).toBe(rules[0]);
  });

  test('a bound rule has no references, and keeps its entries, ids and ports', () => {
    const [rule] = rulesOf(
      onApi({ egress: [{ toServices: [named('web', 'shop')], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] }] }),
    );
    const [after] = bindRules([rule!], createReferenceIndex(services)).rules;
    expect(after!.entries.map((e) => [e.id, e.ports, e.references, e.peers.length])).toEqual([
      [rule!.entries[0]!.id, rule!.entries[0]!.ports, undefined, 1],
    ]);
    expect('references' in after!.entries[0]!).toBe(false);
  });

  test('the order in which things came to exist does not show', () => {
    const all = [
      service('b', 'x', { selector: { a: '1' } }),
      service('a', 'x', { selector: { a: '2' } }),
      service('c', 'x', { addresses: [ip('192.0.2.1')] }),
    ];
    const o = toServices(named('x'));
    expect(bound(o, createReferenceIndex(all))).toEqual(bound(o, createReferenceIndex([...all].reverse())));
  });

  test('an index forgets what is dropped and knows what is put', () => {
    const refs = createReferenceIndex();
    refs.putService(service('shop', 'web', { selector: { app: 'old' } }));
    refs.putService(service('shop', 'web', { selector: { app: 'web' } }));
    refs.putService(service('blog', 'web', { selector: { app: 'blog' } }));
    refs.dropService('blog', 'web');
    refs.dropService('blog', 'never');
    refs.putCidrGroup(group('g', ['10.0.0.0/8']));
    expect([...refs.servicesNamed('', 'web')].map((s) => s.selector)).toEqual([{ app: 'web' }]);
    expect([...refs.servicesIn('blog')]).toEqual([]);
    refs.dropCidrGroup('g');
    expect([...refs.cidrGroups()]).toEqual([]);
  });
});

test('only rules that a Service or a group counts for are to be bound again', () => {
  const byName = referencesOf(rulesOf(toServices(named('web', 'shop'))));
  const anywhere = referencesOf(rulesOf(toServices(named('web'))));
  const byLabel = referencesOf(rulesOf(toServices({ k8sServiceSelector: { selector: { matchLabels: { a: 'b' } } } })));
  const labelled = service('blog', 'other', { labels: serviceLabels({ a: 'b' }) });
  expect([byName, anywhere, byLabel].map((k) => usesService(k, service('shop', 'web')))).toEqual([true, true, false]);
  expect([byName, anywhere, byLabel].map((k) => usesService(k, service('blog', 'web')))).toEqual([false, true, false]);
  expect([byName, anywhere, byLabel].map((k) => usesService(k, labelled))).toEqual([false, false, true]);
  const groups = referencesOf(rulesOf(toGroups({ cidrGroupRef: 'g' }, { cidrGroupSelector: { matchLabels: { x: 'y' } } })));
  expect(usesCidrGroup(groups, group('g', []))).toBe(true);
  expect(usesCidrGroup(groups, group('h', [], { x: 'y' }))).toBe(true);
  expect(usesCidrGroup(groups, group('h', []))).toBe(false);
  expect(hasReferences(byName)).toBe(true);
  expect(hasReferences(referencesOf(rulesOf(onApi({ ingress: [{}] }))))).toBe(false);
});

describe('closed', () => {
  const tcp80 = { toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] };
  test.each([
    ['a Service', { toServices: [named('ghost', 'shop')] }],
    ['Services by label', { toServices: [{ k8sServiceSelector: { selector: { matchLabels: { no: 'such' } } } }] }],
    ['a Service without anything', { toServices: [named('nowhere', 'shop')] }],
    ['a group', { toCIDRSet: [{ cidrGroupRef: 'ghost' }] }],
    ['groups by label', { toCIDRSet: [{ cidrGroupSelector: { matchLabels: { no: 'such' } } }] }],
  ])('%s that does not exist admits nobody, with ports or without', (_name, peers) => {
    for (const entry of [peers, { ...peers, ...tcp80 }]) {
      expect(admitted(askTown([onApi({ egress: [entry] })]), 'shop/api', 'egress', '80/TCP')).toEqual([]);
    }
  });

  test('nor does the deny of it deny anybody else', () => {
    const o = onApi({ egress: [{ toEntities: ['all'] }], egressDeny: [{ toServices: [named('ghost', 'shop')], ...tcp80 }] });
    expect(askTown([o])('shop/api', 'egress', outside, '80/TCP')).toBe('pass');
  });
});
