import { compileSelector, type IdentityId } from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import { expect, test } from '@jest/globals';
import { createMultiMap, leastCrowded, waysTo } from '../src/label-index.ts';

test('the least crowded way decides: one app name in thousands of namespaces must not be looked through', () => {
  const ways = waysTo(unwrap(compileSelector({ matchLabels: { app: 'web', 'k8s:io.kubernetes.pod.namespace': 'shop' } })));
  const index = createMultiMap<string, IdentityId>();
  for (let i = 0; i < 100; i++) index.add('app=web', i as IdentityId);
  index.add('io.kubernetes.pod.namespace=shop', 1 as IdentityId);
  expect(leastCrowded(ways, index)).toEqual(['io.kubernetes.pod.namespace=shop']);
  for (let i = 0; i < 200; i++) index.add('io.kubernetes.pod.namespace=shop', i as IdentityId);
  expect(leastCrowded(ways, index)).toEqual(['app=web']);
});

test('a selector that no label narrows looks everywhere', () => {
  const ways = waysTo(unwrap(compileSelector({ matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] })));
  expect(ways).toEqual([['*']]);
});
