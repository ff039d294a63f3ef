import { unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import {
  compileSelector,
  createLabels,
  type IdentityId,
  icmpTypeByName,
  identityLabels,
  identityScope,
  type LabelSelector,
  labelNamespace,
  labelsFromMap,
  labelsToMap,
  matchesSelector,
  parseDottedKey,
  parseLabel,
  parseLabelFilter,
  parseLabels,
  podLabels,
  reservedIdOf,
  reservedIds,
  reservedLabels,
} from '../src/index.ts';

const matches = (s: LabelSelector, map: Record<string, string>) => matchesSelector(unwrap(compileSelector(s)), labelsFromMap(map));

describe('labels', () => {
  test('forms', () => {
    expect(unwrap(parseLabel('k8s:app=x=y'))).toEqual({ source: 'k8s', key: 'app', value: 'x=y' });
    expect(unwrap(parseLabel('reserved:host'))).toEqual({ source: 'reserved', key: 'host', value: '' });
    expect(unwrap(parseLabel('app'))).toEqual({ source: 'unspec', key: 'app', value: '' });
    expect(parseDottedKey('k8s.app.kubernetes.io/name')).toEqual({ source: 'k8s', key: 'app.kubernetes.io/name' });
    expect(parseLabel('k8s:=x').ok).toBe(false);
  });

  test('rendering does not depend on the order', () => {
    const a = unwrap(parseLabels(['k8s:b=1', 'k8s:a=2', 'reserved:x']));
    const b = unwrap(parseLabels(['reserved:x', 'k8s:a=2', 'k8s:b=1']));
    expect(a.text).toBe('k8s:a=2;k8s:b=1;reserved:x=;');
    expect(b.text).toBe(a.text);
    expect(labelsFromMap(labelsToMap(a)).text).toBe(a.text);
  });

  test('a pod cannot write labels that the system derives', () => {
    const labels = podLabels({
      podLabels: {
        app: 'x',
        'io.kubernetes.pod.namespace': 'kube-system',
        'io.cilium.k8s.policy.cluster': 'other',
        'io.cilium.k8s.namespace.labels.team': 'root',
      },
      namespace: 'shop',
      namespaceLabels: { tier: 'web' },
      serviceAccount: 'default',
      cluster: 'c1',
    });
    expect(labelNamespace(labels)).toBe('shop');
    expect(labels.text).toBe(
      'k8s:app=x;k8s:io.cilium.k8s.namespace.labels.tier=web;k8s:io.cilium.k8s.policy.cluster=c1;k8s:io.cilium.k8s.policy.serviceaccount=default;k8s:io.kubernetes.pod.namespace=shop;',
    );
  });

  test('the default filter keeps what makes an identity', () => {
    const keys = [
      'app',
      'app.kubernetes.io/name',
      'io.kubernetes.pod.namespace',
      'io.cilium.k8s.policy.cluster',
      'io.kubernetes.container.hash',
      'kubernetes.io/metadata.name',
      'pod-template-hash',
      'controller-revision-hash',
      'statefulset.kubernetes.io/pod-name',
      'topology.kubernetes.io/zone',
      'failure-domain.beta.kubernetes.io/zone',
      'k8s.io/x',
      'batch.kubernetes.io/job-completion-index',
      'job-name',
    ];
    const kept = identityLabels(createLabels(keys.map((key) => ({ source: 'k8s', key, value: 'v' })))).list.map((l) => l.key);
    expect(kept).toEqual(['app', 'app.kubernetes.io/name', 'io.cilium.k8s.policy.cluster', 'io.kubernetes.pod.namespace', 'job-name']);
  });

  test('one user include makes the filter a whitelist', () => {
    const filter = unwrap(parseLabelFilter(['k8s:team']));
    const kept = identityLabels(unwrap(parseLabels(['k8s:app=x', 'k8s:team=y', 'k8s:io.kubernetes.pod.namespace=n'])), filter);
    expect(kept.text).toBe('k8s:io.kubernetes.pod.namespace=n;k8s:team=y;');
    expect(parseLabelFilter(['(']).ok).toBe(false);
  });
});

describe('selectors', () => {
  const pod = { 'k8s:app': 'a', 'k8s:tier': 'web' };
  test.each<[string, LabelSelector, boolean]>([
    ['empty matches all', {}, true],
    ['any source', { matchLabels: { app: 'a' } }, true],
    ['named source', { matchLabels: { 'k8s:app': 'a' } }, true],
    ['other source', { matchLabels: { 'reserved:app': 'a' } }, false],
    ['In', { matchExpressions: [{ key: 'app', operator: 'In', values: ['b', 'a'] }] }, true],
    ['NotIn', { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['a'] }] }, false],
    ['NotIn lacking the key', { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['a'] }] }, true],
    ['Exists', { matchExpressions: [{ key: 'tier', operator: 'Exists' }] }, true],
    ['DoesNotExist', { matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] }, false],
    ['all must hold', { matchLabels: { app: 'a' }, matchExpressions: [{ key: 'tier', operator: 'In', values: ['db'] }] }, false],
  ])('%s', (_name, selector, expected) => expect(matches(selector, pod)).toBe(expected));

  test.each<[string, LabelSelector]>([
    ['empty In', { matchExpressions: [{ key: 'a', operator: 'In', values: [] }] }],
    ['absent In values', { matchExpressions: [{ key: 'a', operator: 'In' }] }],
    ['values on Exists', { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['x'] }] }],
    ['unknown operator', { matchExpressions: [{ key: 'a', operator: 'Gt', values: ['1'] }] }],
    ['bad key', { matchLabels: { 'a b': 'x' } }],
    ['empty key', { matchLabels: { 'k8s:': 'x' } }],
    ['bad value', { matchLabels: { a: 'x y' } }],
  ])('%s is refused', (_name, selector) => expect(compileSelector(selector).ok).toBe(false));

  test('equal meaning, equal text', () => {
    const a = unwrap(compileSelector({ matchLabels: { b: '1', a: '2' } }));
    const b = unwrap(
      compileSelector({
        matchExpressions: [
          { key: 'a', operator: 'In', values: ['2', '2'] },
          { key: 'b', operator: 'In', values: ['1'] },
        ],
      }),
    );
    expect(a.text).toBe(b.text);
  });
});

test('reserved identities are found by their labels', () => {
  expect(reservedIdOf(reservedLabels('kube-apiserver'))).toBe(7);
  expect(reservedIdOf(unwrap(parseLabels(['reserved:host'])))).toBe(reservedIds.host);
  expect(reservedIdOf(unwrap(parseLabels(['reserved:host', 'k8s:a=b'])))).toBeUndefined();
  expect([1, 99, 256, 65535, 65536 * 3 + 5, 0x0100_0001, 0x0200_0001].map((n) => identityScope(n as IdentityId))).toEqual([
    'reserved',
    'reserved',
    'cluster',
    'cluster',
    'cluster',
    'cidr',
    'node',
  ]);
});

test('type names belong to a family', () => {
  expect(icmpTypeByName(4, 'EchoRequest')).toBe(8);
  expect(icmpTypeByName(6, 'EchoRequest')).toBe(128);
  expect(icmpTypeByName(4, 'PacketTooBig')).toBeUndefined();
  expect(icmpTypeByName(4, 'toString')).toBeUndefined();
});
