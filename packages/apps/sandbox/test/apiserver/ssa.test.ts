// Ownership: set algebra, what a value owns, apply, conflicts, pruning, plain updates.
import { describe, expect, test } from '@jest/globals';
import { kindSchema } from '../../src/apiserver/schema/builtin.ts';
import {
  difference,
  emptySet,
  fromFieldsV1,
  intersection,
  isEmptySet,
  pathsOf,
  sameSet,
  toFieldsV1,
  union,
} from '../../src/apiserver/ssa/field-set.ts';
import { applyConfig, readManagers, trackUpdate, type Writer } from '../../src/apiserver/ssa/managers.ts';
import { compare, setOf, zeroValue } from '../../src/apiserver/ssa/walk.ts';
import type { KubeObject } from '../../src/apiserver/types.ts';

const deployment = kindSchema('Deployment');
const configMap = kindSchema('ConfigMap');
const writer = (name: string): Writer => ({ name, apiVersion: 'v1', subresource: '', time: '2026-01-01T00:00:00Z' });
const cm = (data: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'x', namespace: 'd' },
  data,
});

describe('field sets', () => {
  const a = fromFieldsV1({ 'f:spec': { 'f:a': {}, 'f:b': { '.': {}, 'f:c': {} } } });
  const b = fromFieldsV1({ 'f:spec': { 'f:b': { 'f:c': {} } } });

  test('FieldsV1 goes in and out unchanged', () => {
    const v1 = { 'f:a': {}, 'f:l': { 'k:{"name":"x"}': { '.': {}, 'f:image': {} } } };
    expect(toFieldsV1(fromFieldsV1(v1))).toEqual(v1);
  });

  test('a leaf and "." mean the same', () => {
    expect(isEmptySet(difference(fromFieldsV1({ 'f:x': {} }), fromFieldsV1({ 'f:x': { '.': {}, 'f:y': {} } })))).toBe(true);
  });

  test('union, difference and intersection fit together', () => {
    expect(sameSet(union(difference(a, b), intersection(a, b)), a)).toBe(true);
    expect(pathsOf(difference(a, b)).sort()).toEqual(['.spec.a', '.spec.b']);
    expect(pathsOf(intersection(a, b))).toEqual(['.spec.b.c']);
    expect(isEmptySet(difference(a, a))).toBe(true);
    expect(sameSet(union(a, emptySet), a)).toBe(true);
  });
});

describe('sets of values', () => {
  test('keyed lists own items by key, with the default of a missing key', () => {
    const v = { spec: { template: { spec: { containers: [{ name: 'web', ports: [{ containerPort: 80 }] }] } } } };
    expect(pathsOf(setOf(v, deployment))).toContain(
      '.spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].containerPort',
    );
  });

  test('atomic structs are one field', () => {
    expect(pathsOf(setOf({ spec: { selector: { matchLabels: { a: 'b' } } } }, deployment))).toEqual(['.spec.selector']);
  });

  test('a create is compared with the zero struct', () => {
    const c = compare(zeroValue(deployment), { spec: { template: { spec: { containers: [{ name: 'a' }] } } } }, deployment);
    expect(pathsOf(c.added).sort()).toEqual(['.spec.template.spec.containers[name="a"]', '.spec.template.spec.containers[name="a"].name']);
  });
});

describe('apply', () => {
  test('dropped fields go unless somebody else owns them', () => {
    const one = applyConfig(undefined, cm({ a: '1', b: '2' }), configMap, writer('kubectl'), false);
    const two = applyConfig(one, cm({ b: '2' }), configMap, writer('helm'), false);
    const three = applyConfig(two, cm({}), configMap, writer('kubectl'), false);
    expect(three.data).toEqual({ b: '2' });
    expect(readManagers(three).map((m) => m.name)).toContain('helm');
  });

  test('a changed value of another owner is a conflict that names owner and field', () => {
    const one = applyConfig(undefined, cm({ a: '1' }), configMap, writer('kubectl'), false);
    expect(() => applyConfig(one, cm({ a: '2' }), configMap, writer('helm'), false)).toThrow(
      'Apply failed with 1 conflict: conflict with "kubectl": .data.a',
    );
    const forced = applyConfig(one, cm({ a: '2' }), configMap, writer('helm'), true);
    expect(forced.data).toEqual({ a: '2' });
    expect(readManagers(forced).map((m) => [m.name, pathsOf(m.set)])).toEqual([['helm', ['.data.a']]]);
  });

  test('equal values are shared without conflict', () => {
    const one = applyConfig(undefined, cm({ a: '1' }), configMap, writer('kubectl'), false);
    const two = applyConfig(one, cm({ a: '1' }), configMap, writer('helm'), false);
    expect(
      readManagers(two)
        .map((m) => m.name)
        .sort(),
    ).toEqual(['helm', 'kubectl']);
  });

  test('a plain update takes over what it changes', () => {
    const one = applyConfig(undefined, cm({ a: '1', b: '1' }), configMap, writer('kubectl'), false);
    const two = trackUpdate(one, { ...one, data: { a: '2', b: '1' } }, configMap, writer('edit'), undefined);
    expect(readManagers(two).map((m) => [m.name, m.operation, pathsOf(m.set)])).toEqual([
      ['kubectl', 'Apply', ['.data.b']],
      ['edit', 'Update', ['.data.a']],
    ]);
  });

  test('a re-apply changes nothing', () => {
    const one = applyConfig(undefined, cm({ a: '1' }), configMap, writer('kubectl'), false);
    expect(applyConfig(one, cm({ a: '1' }), configMap, { ...writer('kubectl'), time: 'later' }, false)).toEqual(one);
  });

  test('duplicate keys are refused', () => {
    const bad = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'x' },
      spec: { template: { spec: { containers: [{ name: 'a' }, { name: 'a' }] } } },
    };
    expect(() => applyConfig(undefined, bad, deployment, writer('kubectl'), false)).toThrow('duplicate entries for key');
  });
});
