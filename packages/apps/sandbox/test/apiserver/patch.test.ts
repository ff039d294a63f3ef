// Strategic merge patch, normal form, quantities, selectors, JSONPath, names: the pure parts.
import { describe, expect, test } from '@jest/globals';
import { applyDefaults, prune } from '../../src/apiserver/crd/prune.ts';
import { rootSchema } from '../../src/apiserver/crd/structural.ts';
import { mergePatch } from '../../src/apiserver/patch/merge.ts';
import { strategicMerge } from '../../src/apiserver/patch/strategic.ts';
import { kindSchema } from '../../src/apiserver/schema/builtin.ts';
import { normalize, type TypeProblem } from '../../src/apiserver/schema/normalize.ts';
import { canonicalQuantity } from '../../src/apiserver/schema/quantity.ts';
import { unknownFields } from '../../src/apiserver/schema/unknown.ts';
import { labelPredicate } from '../../src/apiserver/store/selector.ts';
import { humanDuration } from '../../src/apiserver/table/age.ts';
import { jsonPath } from '../../src/apiserver/table/jsonpath.ts';

const pod = kindSchema('Pod');
const deployment = kindSchema('Deployment');

describe('strategic merge patch', () => {
  const target = {
    spec: {
      containers: [
        { name: 'a', image: '1' },
        { name: 'b', image: '1' },
      ],
      volumes: [{ name: 'v', emptyDir: {} }],
    },
  };

  test('list items merge by key', () => {
    expect(
      strategicMerge(
        target,
        {
          spec: {
            containers: [
              { name: 'b', image: '2' },
              { name: 'c', image: '3' },
            ],
          },
        },
        pod,
      ),
    ).toMatchObject({
      spec: {
        containers: [
          { name: 'a', image: '1' },
          { name: 'b', image: '2' },
          { name: 'c', image: '3' },
        ],
      },
    });
  });

  test('$patch: delete and replace', () => {
    expect(strategicMerge(target, { spec: { containers: [{ name: 'a', $patch: 'delete' }] } }, pod)).toMatchObject({
      spec: { containers: [{ name: 'b', image: '1' }] },
    });
    expect(strategicMerge(target, { spec: { containers: [{ $patch: 'replace' }, { name: 'z' }] } }, pod)).toMatchObject({
      spec: { containers: [{ name: 'z' }] },
    });
  });

  test('$setElementOrder reorders, $retainKeys drops the rest', () => {
    const patch = {
      spec: {
        '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }],
        volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }],
      },
    };
    expect(strategicMerge(target, patch, pod)).toEqual({
      spec: {
        containers: [
          { name: 'b', image: '1' },
          { name: 'a', image: '1' },
        ],
        volumes: [{ name: 'v', hostPath: { path: '/x' } }],
      },
    });
  });

  test('primitive merge lists and their deletions', () => {
    const o = { metadata: { finalizers: ['a', 'b'] } };
    expect(strategicMerge(o, { metadata: { finalizers: ['c'], '$deleteFromPrimitiveList/finalizers': ['a'] } }, pod)).toEqual({
      metadata: { finalizers: ['b', 'c'] },
    });
  });

  test('merge patch replaces lists and drops nulls', () => {
    expect(mergePatch({ a: [1, 2], b: { c: 1, d: 2 } }, { a: [3], b: { c: null } })).toEqual({ a: [3], b: { d: 2 } });
  });
});

describe('normal form of built-in kinds', () => {
  test('empty optional values go, plain structs appear, pointers stay', () => {
    const problems: TypeProblem[] = [];
    const out = normalize(
      {
        metadata: { name: 'x', finalizers: [] },
        spec: { replicas: 0, minReadySeconds: 0, selector: {}, template: { spec: { containers: [{ name: 'a' }] } } },
      },
      deployment,
      problems,
    );
    expect(problems).toEqual([]);
    expect(out).toEqual({
      metadata: { name: 'x' },
      spec: { replicas: 0, selector: {}, strategy: {}, template: { metadata: {}, spec: { containers: [{ name: 'a', resources: {} }] } } },
      status: {},
    });
  });

  test('type errors are reported with their path', () => {
    const problems: TypeProblem[] = [];
    normalize({ metadata: {}, spec: { replicas: 'two' } }, deployment, problems);
    expect(problems).toEqual([{ path: 'spec.replicas', got: 'string', want: 'int32' }]);
  });

  test('unknown fields are found anywhere', () => {
    expect(unknownFields({ spec: { containers: [{ name: 'a', imagee: 'x' }], bogus: 1 } }, pod)).toEqual([
      'spec.containers[0].imagee',
      'spec.bogus',
    ]);
  });

  test.each([
    ['1000m', '1'],
    ['0.5', '500m'],
    ['1024Mi', '1Gi'],
    ['1.5Gi', '1536Mi'],
    ['1e3', '1e3'],
    ['0', '0'],
    ['128974848', '128974848'],
  ])('quantity %s is %s', (a, b) => {
    expect(canonicalQuantity(a)).toBe(b);
  });

  test('what is no quantity', () => {
    expect(['', 'x', '1Z', '1.', '--1'].map(canonicalQuantity)).toEqual([undefined, undefined, undefined, '1', undefined]);
  });
});

describe('custom resources', () => {
  const schema = rootSchema({
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: {
          a: { type: 'integer', default: 1 },
          map: { type: 'object', additionalProperties: { type: 'object', properties: { x: { type: 'string', default: 'y' } } } },
          free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
          bare: { type: 'object' },
          res: { type: 'object', 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true },
        },
      },
    },
  });
  test('prune keeps what the schema knows', () => {
    const v = {
      apiVersion: 'a',
      kind: 'b',
      metadata: { name: 'n' },
      x: 1,
      spec: {
        a: 2,
        z: 1,
        map: { k: { x: 'q', w: 1 } },
        free: { any: { deep: [1] } },
        bare: { k: 1 },
        res: { apiVersion: 'v1', kind: 'K', spec: { q: 1 } },
      },
    };
    expect(prune(v, schema)).toEqual({
      apiVersion: 'a',
      kind: 'b',
      metadata: { name: 'n' },
      spec: { a: 2, map: { k: { x: 'q' } }, free: { any: { deep: [1] } }, bare: {}, res: { apiVersion: 'v1', kind: 'K', spec: { q: 1 } } },
    });
  });
  test('defaults fill maps too and replace nulls', () => {
    const v = { spec: { a: null, map: { k: {} } } };
    applyDefaults(v, schema);
    expect(v).toEqual({ spec: { a: 1, map: { k: { x: 'y' } } } });
  });
});

describe('selectors', () => {
  const o = { metadata: { labels: { app: 'web', tier: 'a', n: '5' } } };
  test.each([
    ['app=web', true],
    ['app==web,tier!=b', true],
    ['app in (web, db),tier', true],
    ['tier notin (a)', false],
    ['!missing', true],
    ['missing', false],
    ['missing!=x', true],
    ['n>4', true],
    ['n<4', false],
  ])('%s is %s', (text, want) => {
    expect(labelPredicate(text)?.(o)).toBe(want);
  });
  test('nonsense is refused', () => {
    expect(() => labelPredicate('a in (b')).toThrow('unable to parse');
  });
});

describe('printing', () => {
  const o = {
    a: {
      b: [
        { type: 'X', v: 1 },
        { type: 'Ready', v: 2 },
      ],
    },
    m: { 'k.io/x': 'y' },
  };
  test.each([
    ['.a.b[?(@.type=="Ready")].v', [2]],
    ['.a.b[0].v', [1]],
    ['.a.b[*].v', [1, 2]],
    ['{.a.b[-1:].v}'.replace('-1:', '-1'), [2]],
    [".m['k.io/x']", ['y']],
    ['.m.k\\.io/x', ['y']],
    ['.none.at.all', []],
  ])('%s', (path, want) => {
    expect(jsonPath(o, path)).toEqual(want);
  });
  test.each([
    [5, '5s'],
    [119, '119s'],
    [150, '2m30s'],
    [3600, '60m'],
    [10_800, '3h'],
    [90_000, '25h'],
    [200_000, '2d7h'],
    [864_000, '10d'],
  ])('%s seconds are %s', (s, want) => {
    expect(humanDuration(s * 1000)).toBe(want);
  });
});
