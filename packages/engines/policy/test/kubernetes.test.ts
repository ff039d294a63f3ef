// NetworkPolicy with the meaning Kubernetes gives it.
import { describe, expect, test } from '@jest/globals';
import { type PolicyObject, parsePolicy, policyKey } from '../src/index.ts';
import { admitted, askTown, everyone, object, otherNode, outside, rulesInTown, thisNode } from './town.ts';

const api = { matchLabels: { app: 'api' } };
const knp = (spec: object): PolicyObject => object('NetworkPolicy', { podSelector: api, ...spec });
const from = (...peers: object[]): PolicyObject => knp({ ingress: [{ from: peers }] });
const local = everyone.filter((p) => !p.startsWith('other:'));
const inShop = local.filter((p) => p.startsWith('shop/'));
const reach = (o: PolicyObject, traffic = '80/TCP'): string[] => admitted(askTown([o]), 'shop/api', 'ingress', traffic);

describe('peers', () => {
  test('an empty rule, an absent from and an empty from are anyone', () => {
    const all = [...everyone, thisNode, otherNode, outside];
    expect(reach(knp({ ingress: [{}] }))).toEqual(all);
    expect(reach(from())).toEqual(all);
    expect(reach(knp({ ingress: [{ ports: [{ port: 80 }] }] }))).toEqual(all);
  });

  test('no rule isolates; the node of the pod still reaches it', () => {
    expect(reach(knp({}))).toEqual([thisNode]);
    expect(reach(knp({ ingress: [] }))).toEqual([thisNode]);
  });

  test('podSelector stays in the namespace, {} is every pod of it', () => {
    expect(reach(from({ podSelector: { matchLabels: { app: 'web' } } }))).toEqual(['shop/web', thisNode]);
    expect(reach(from({ podSelector: {} }))).toEqual([...inShop, thisNode]);
    expect(reach(from({ podSelector: { matchLabels: { app: 'blog' } } }))).toEqual([thisNode]);
  });

  test('namespaceSelector selects by namespace label; {} is every pod that has a namespace, and never a node or the outside', () => {
    expect(reach(from({ namespaceSelector: { matchLabels: { team: 'front' } } }))).toEqual(['blog/blog', thisNode]);
    expect(reach(from({ namespaceSelector: {} }))).toEqual([...local, thisNode]);
    expect(reach(from({ namespaceSelector: { matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['platform'] }] } }))).toEqual([
      ...inShop,
      'blog/blog',
      thisNode,
    ]);
  });

  test('both in one item are ANDed, in two items ORed', () => {
    const namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } };
    const podSelector = { matchLabels: { app: 'web' } };
    expect(reach(from({ namespaceSelector, podSelector }))).toEqual([thisNode]);
    expect(reach(from({ namespaceSelector }, { podSelector }))).toEqual(['shop/web', 'monitoring/prometheus', thisNode]);
  });

  test('a pod of another cluster with the same labels is not selected', () => {
    expect(reach(from({ podSelector: { matchLabels: { app: 'web' } } }))).not.toContain('other:shop/web');
  });
});

describe('ipBlock', () => {
  test('P7: matches pods, nodes and the outside alike', () => {
    expect(reach(from({ ipBlock: { cidr: '0.0.0.0/0' } }))).toEqual([...everyone, thisNode, otherNode, outside]);
    expect(reach(from({ ipBlock: { cidr: '10.1.2.0/24' } }))).toEqual([
      'shop/db',
      'blog/blog',
      'monitoring/prometheus',
      'kube-system/dns',
      thisNode,
    ]);
    expect(reach(from({ ipBlock: { cidr: '192.168.0.2/32' } }))).toEqual([thisNode, otherNode]);
  });

  test('except takes out, for pods too', () => {
    expect(reach(from({ ipBlock: { cidr: '10.1.0.0/16', except: ['10.1.1.0/24'] } }))).toEqual([
      'shop/db',
      'blog/blog',
      'monitoring/prometheus',
      'kube-system/dns',
      thisNode,
    ]);
  });

  test('alone it admits nobody else: no pod of the namespace comes in with it', () => {
    expect(reach(from({ ipBlock: { cidr: '203.0.113.0/24' } }))).toEqual([thisNode, outside]);
  });
});

describe('ports', () => {
  const pass = (ports: object[], traffic: string): string =>
    askTown([knp({ ingress: [{ ports }] })])('shop/api', 'ingress', 'shop/web', traffic);
  test.each<[object, string, string]>([
    [{ port: 80 }, '80/TCP', 'pass'],
    [{ port: 80 }, '80/UDP', 'drop 133'],
    [{ port: 80 }, '81/TCP', 'drop 133'],
    [{ protocol: 'UDP' }, '5/UDP', 'pass'],
    [{ protocol: 'UDP' }, '5/TCP', 'drop 133'],
    [{}, '5/TCP', 'pass'],
    [{}, '5/UDP', 'drop 133'],
    [{ port: 'http' }, '8080/TCP', 'pass'],
    [{ port: 'http' }, '80/TCP', 'drop 133'],
    [{ port: 'nobody' }, '80/TCP', 'drop 133'],
    [{ port: 80, endPort: 90 }, '90/TCP', 'pass'],
    [{ port: 80, endPort: 90 }, '91/TCP', 'drop 133'],
    [{ port: 80, endPort: 80, protocol: 'SCTP' }, '80/SCTP', 'pass'],
  ])('%j and %s: %s', (port, traffic, expected) => {
    expect(pass([port], traffic)).toBe(expected);
  });

  test('absent and empty are every protocol, ICMP too', () => {
    expect(pass([], 'icmp/8')).toBe('pass');
    expect(askTown([from({ podSelector: {} })])('shop/api', 'ingress', 'shop/web', 'icmp/8')).toBe('pass');
  });
});

describe('policyTypes', () => {
  const isolates = (spec: object): object => rulesInTown([knp(spec)])[0]!.defaultDeny;
  test.each<[object, object]>([
    [{}, { ingress: true, egress: false }],
    [{ egress: [] }, { ingress: true, egress: false }],
    [{ egress: [{}] }, { ingress: true, egress: true }],
    [{ policyTypes: ['Egress'] }, { ingress: false, egress: true }],
    [{ policyTypes: ['Ingress', 'Egress'] }, { ingress: true, egress: true }],
    [
      { policyTypes: ['Ingress'], egress: [{}] },
      { ingress: true, egress: false },
    ],
    [{ policyTypes: [] }, { ingress: true, egress: false }],
  ])('%j isolates %j', (spec, expected) => {
    expect(isolates(spec)).toEqual(expected);
  });

  test('rules of a direction that is not listed are ignored, and said to be', () => {
    const o = knp({ policyTypes: ['Egress'], ingress: [{ from: [{ podSelector: {} }] }], egress: [{}] });
    const r = parsePolicy(o, { clusterName: 'main' });
    expect(r.ok && r.value.rules[0]!.entries.map((e) => e.direction)).toEqual(['egress']);
    expect(r.ok && r.value.issues.map((i) => [i.severity, i.path])).toEqual([['lint', 'spec.ingress']]);
    expect(askTown([o])('shop/api', 'ingress', outside, '80/TCP')).toBe('pass');
  });
});

test('several policies are ORed, with CiliumNetworkPolicies too', () => {
  const cilium = object('CiliumNetworkPolicy', { endpointSelector: api, ingress: [{ fromEntities: ['world'] }] });
  const ask = askTown([from({ podSelector: { matchLabels: { app: 'web' } } }), cilium]);
  expect(admitted(ask, 'shop/api', 'ingress', '80/TCP')).toEqual(['shop/web', thisNode, outside]);
});

test('rule ids name kind, namespace, object and rule', () => {
  const [rule] = rulesInTown([knp({ ingress: [{}, {}], egress: [{}] })]);
  expect(policyKey(rule!.source)).toBe('NetworkPolicy/shop/p');
  expect(rule!.origins.map((o) => o.text)).toEqual([
    'NetworkPolicy/shop/p#ingress[0]',
    'NetworkPolicy/shop/p#ingress[1]',
    'NetworkPolicy/shop/p#ingress',
    'NetworkPolicy/shop/p#egress[0]',
    'NetworkPolicy/shop/p#egress',
  ]);
});
