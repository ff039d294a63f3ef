import type { IpAddr } from '@axoneme/model';
import { expect, test } from '@jest/globals';
import { NODE_LABELS_ANNOTATION, type NodeIpamNode, planNodeAddresses, readNodeIpamService } from '../src/index.ts';

type Json = Readonly<Record<string, unknown>>;
const node = (
  name: string,
  internal: string[],
  external: string[] = [],
  labels: Record<string, string> = {},
  serves = true,
): NodeIpamNode => ({
  name,
  labels: { 'kubernetes.io/hostname': name, ...labels },
  internal: internal as IpAddr[],
  external: external as IpAddr[],
  serves,
});
const read = (spec: Json, annotation?: string, more: Json = {}) =>
  readNodeIpamService(
    {
      metadata: {
        namespace: 'ns',
        name: 's',
        ...(annotation === undefined ? {} : { annotations: { [NODE_LABELS_ANNOTATION]: annotation } }),
        ...more,
      },
      spec: { type: 'LoadBalancer', loadBalancerClass: 'io.cilium/node', ...spec },
    },
    { unclassed: false },
  );
const plan = (nodes: readonly NodeIpamNode[], spec: Json = {}, annotation?: string, backends: readonly string[] = []) =>
  planNodeAddresses(read(spec, annotation)!, nodes, () => new Set(backends));

const three = [
  node('n2', ['172.30.0.2', 'fd30::2']),
  node('n1', ['172.30.0.1', 'fd30::1'], [], { zone: 'a', edge: '' }),
  node('n3', ['172.30.0.3'], [], { zone: 'b' }),
];

test('Services of the class, and without class where that is asked for', () => {
  expect(read({ type: 'NodePort' })).toBeUndefined();
  expect(read({ loadBalancerClass: 'io.cilium/l2-announcer' })).toBeUndefined();
  expect(read({ loadBalancerClass: undefined })).toBeUndefined();
  expect(readNodeIpamService({ metadata: {}, spec: { type: 'LoadBalancer' } }, { unclassed: true })).toBeDefined();
  expect(read({}, undefined, { deletionTimestamp: '2026-01-01T00:00:00Z' })).toBeUndefined();
});

test('internal addresses of every family of the Service; external ones if there are any', () => {
  expect(plan(three)).toEqual(['172.30.0.1', '172.30.0.2', '172.30.0.3']);
  expect(plan(three, { ipFamilies: ['IPv6', 'IPv4'] })).toEqual(['172.30.0.1', '172.30.0.2', '172.30.0.3', 'fd30::1', 'fd30::2']);
  expect(plan([...three, node('n4', ['172.30.0.4'], ['203.0.113.4', '2001:db8::4'])])).toEqual(['203.0.113.4']);
  // an external address of a family the Service does not have is none
  expect(plan([...three, node('n4', [], ['2001:db8::4'])])).toEqual(['172.30.0.1', '172.30.0.2', '172.30.0.3']);
});

test('not of nodes that are away, leaving or excluded; with policy Local of those with backends', () => {
  const excluded = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' };
  expect(plan([...three, node('n4', ['172.30.0.4'], [], excluded), node('n5', ['172.30.0.5'], [], {}, false)])).toEqual([
    '172.30.0.1',
    '172.30.0.2',
    '172.30.0.3',
  ]);
  expect(plan(three, { externalTrafficPolicy: 'Local' }, undefined, ['n3', 'n9'])).toEqual(['172.30.0.3']);
  expect(plan(three, { externalTrafficPolicy: 'Local' })).toEqual([]);
});

test.each([
  ['zone=a', ['172.30.0.1']],
  ['zone==b', ['172.30.0.3']],
  ['zone!=a', ['172.30.0.2', '172.30.0.3']],
  ['zone in (a, b)', ['172.30.0.1', '172.30.0.3']],
  ['zone notin (a,b)', ['172.30.0.2']],
  ['zone, !edge', ['172.30.0.3']],
  ['kubernetes.io/hostname in (n1,n2),edge', ['172.30.0.1']],
  [' ', ['172.30.0.1', '172.30.0.2', '172.30.0.3']],
])('selector %s', (text, expected) => {
  expect(plan(three, {}, text)).toEqual(expected);
});

test.each(['zone near a', 'zone in a', '=a', 'a=b c'])('selector %s cannot be read: what it has stays', (text) => {
  expect(plan(three, {}, text)).toBeUndefined();
  expect(read({}, text)!.problem).toContain(NODE_LABELS_ANNOTATION);
});
