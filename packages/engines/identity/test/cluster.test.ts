import { type IdentityId, type Labels, labelsFromMap, reservedLabels } from '@axoneme/model';
import { describe, expect, test } from '@jest/globals';
import { clusterRange, type ExistingIdentity, type IdentityInput, planIdentities } from '../src/index.ts';

const config = { clusterId: 0, unusedGraceMs: 1000, quarantineMs: 5000 };
const set = (app: string): Labels => labelsFromMap({ 'k8s:app': app, 'k8s:io.kubernetes.pod.namespace': 'shop' });
const id = (n: number): IdentityId => n as IdentityId;
const object = (n: number, app: string, more: Partial<ExistingIdentity> = {}): ExistingIdentity => ({
  id: id(n),
  labels: set(app),
  createdMs: 0,
  ...more,
});
const input = (more: Partial<IdentityInput>): IdentityInput => ({
  wanted: [],
  existing: [],
  inUse: new Set(),
  freed: [],
  nowMs: 10_000,
  ...more,
});

describe('assignment', () => {
  test('same labels, same number, whatever the order and history', () => {
    const apps = Array.from({ length: 500 }, (_, i) => `app-${i}`);
    const forward = planIdentities(input({ wanted: apps.map(set) }), config);
    const backward = planIdentities(input({ wanted: [...apps].reverse().map(set) }), config);
    expect([...backward.assignments]).toEqual([...forward.assignments]);
    expect(new Set(forward.assignments.values()).size).toBe(500);
    for (const n of forward.assignments.values()) expect(n >= 256 && n <= 65535).toBe(true);
    const again = planIdentities(input({ wanted: apps.map(set), existing: forward.creates.map((c) => ({ ...c, createdMs: 1 })) }), config);
    expect([...again.assignments]).toEqual([...forward.assignments]);
    expect(again.creates).toEqual([]);
  });

  test('an existing object decides; of two the oldest', () => {
    const plan = planIdentities(
      input({ wanted: [set('a')], existing: [object(300, 'a', { createdMs: 5 }), object(400, 'a', { createdMs: 3 })] }),
      config,
    );
    expect(plan.assignments.get(set('a').text)).toBe(400);
    expect(plan.duplicates).toEqual([{ kept: 400, extra: [300] }]);
    expect(plan.marks).toEqual([300]);
  });

  test('reserved sets have their fixed number, other reserved sets none', () => {
    const odd = labelsFromMap({ 'reserved:moon': '' });
    const plan = planIdentities(input({ wanted: [reservedLabels('init'), odd, labelsFromMap({})] }), config);
    expect(plan.assignments.get('reserved:init=;')).toBe(5);
    expect(plan.failures.map((f) => f.error.code)).toEqual(['identity/no-labels', 'identity/no-labels']);
    expect(plan.creates).toEqual([]);
  });

  test('cluster bits', () => {
    const plan = planIdentities(input({ wanted: [set('a')] }), { ...config, clusterId: 3 });
    const n = plan.assignments.get(set('a').text)!;
    expect(n >>> 16).toBe(3);
    expect(clusterRange(0)).toEqual({ first: 256, last: 65535 });
  });

  test('numbers in use or in quarantine are not given out', () => {
    const first = planIdentities(input({ wanted: [set('a')] }), config).creates[0]!.id;
    const used = planIdentities(input({ wanted: [set('a')], inUse: new Set([first]) }), config).creates[0]!.id;
    const freed = planIdentities(input({ wanted: [set('a')], freed: [{ id: first, freedMs: 6000 }] }), config).creates[0]!.id;
    const over = planIdentities(input({ wanted: [set('a')], freed: [{ id: first, freedMs: 5000 }] }), config);
    expect([used, freed]).not.toContain(first);
    expect(over.creates[0]!.id).toBe(first);
    expect(over.released).toEqual([first]);
    const held = planIdentities(input({ wanted: [set('a')], freed: [{ id: first, freedMs: 0 }], inUse: new Set([first]) }), config);
    expect(held.creates[0]!.id).not.toBe(first);
    expect(held.released).toEqual([]);
  });

  test('exhaustion is a value and hurts only those without a number', () => {
    const existing = Array.from({ length: 65535 - 256 + 1 }, (_, i) => object(256 + i, `app-${i}`));
    const plan = planIdentities(input({ wanted: [set('app-7'), set('new-1'), set('new-2')], existing }), config);
    expect(plan.assignments.get(set('app-7').text)).toBe(263);
    expect(plan.failures.map((f) => f.error.code)).toEqual(['identity/exhausted', 'identity/exhausted']);
    expect(plan.failures[0]!.error.retry).toBe('later');
  });
});

describe('garbage', () => {
  test('unused is marked, then deleted after the grace period, and spared when used again', () => {
    const plan = planIdentities(
      input({
        wanted: [set('d')],
        inUse: new Set([id(304)]),
        existing: [
          object(300, 'a'),
          object(301, 'b', { unusedSinceMs: 9500 }),
          object(302, 'c', { unusedSinceMs: 9000 }),
          object(303, 'd', { unusedSinceMs: 1 }),
          object(304, 'e', { unusedSinceMs: 1 }),
        ],
      }),
      config,
    );
    expect(plan.marks).toEqual([300]);
    expect(plan.deletes).toEqual([302]);
    expect(plan.unmarks).toEqual([303, 304]);
  });
});
