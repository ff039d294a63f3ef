// Fleets as objects: what is read of them, what is wrong with them, what the compiler is given.
import type { ObjectKey } from '@axoneme/model';
import type { NodeName } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import {
  compileAll,
  compileFor,
  createServiceCompiler,
  type Fleet,
  fleetInputs,
  fleetKey,
  fleetOfKey,
  frontendFlags,
  type NodeInput,
  readBalancerSpec,
  readFleet,
  type ServiceInput,
  type SliceInput,
  serviceDefaults,
  type TargetId,
  targetsOf,
} from '../../src/index.ts';
import { web } from './files.ts';

const object = (services: unknown, more: object = {}, meta: object = {}): object => ({
  metadata: { name: 'edge', creationTimestamp: '2026-01-01T00:00:00Z', ...meta },
  spec: { services, ...more },
});
function fleetOf(services: readonly object[], more: object = {}, meta: object = {}): Fleet {
  const read = readFleet(object(services, more, meta));
  if (!read.ok) throw new TypeError(JSON.stringify(read.problems));
  return read.fleet;
}
const wrong = (o: unknown): string[] => {
  const read = readFleet(o);
  return read.ok ? [] : read.problems.map((p) => `${p.at}: ${p.message} (${p.fix})`);
};

describe('what is wrong is named with its path', () => {
  const fields = 'the fields are nodeSelector, services';
  test.each<[title: string, object: unknown, problems: string[]]>([
    ['nothing', undefined, ['spec: is missing (write the fields nodeSelector, services)']],
    ['no services', { spec: {} }, ['spec.services: is missing (write a list; services: [] is one)']],
    ['what is the cluster’s', object([], { maglevTableSize: 251 }), [`spec.maglevTableSize: is no field of this (${fields})`]],
    ['a service', object([web({ mode: 'nat' })]), ['spec.services[0].mode: "nat" is not known (write snat or dsr)']],
    [
      'a name twice',
      object([web(), { ...web(), vips: [{ address: '192.0.2.9', port: 80 }], backends: [{ address: '10.0.0.1' }] }]),
      ['spec.services[1].name: "web" is spec.services[0] already (choose another name)'],
    ],
    [
      'a selector',
      object([], { nodeSelector: 'all' }),
      ['spec.nodeSelector: "all" is no mapping (write the fields matchLabels, matchExpressions)'],
    ],
    [
      'a label',
      object([], { nodeSelector: { matchLabels: { a: 1 } } }),
      ['spec.nodeSelector.matchLabels[a]: is no text (write text, in quotes if it looks like a number)'],
    ],
    [
      'an operator',
      object([], { nodeSelector: { matchExpressions: [{ key: 'a', operator: 'Gt', values: ['1'] }] } }),
      ['spec.nodeSelector.matchExpressions[0]: operator "Gt" is unknown (use In, NotIn, Exists, DoesNotExist)'],
    ],
  ])('%s', (_title, o, problems) => {
    expect(wrong(o)).toEqual(problems);
  });

  test('the same words as of the file', () => {
    const services = [web({ algorithm: 'best', health: { codes: [99] } }), web({ vips: [{ address: 'x' }] }), 7];
    const file = readBalancerSpec({ services });
    const ofFile = file.ok
      ? []
      : file.problems.map((p) => `spec.${p.at}: ${p.message} (${p.fix})`.replaceAll(' services[', ' spec.services['));
    expect(ofFile.length).toBeGreaterThan(3);
    expect(wrong(object(services))).toEqual(ofFile);
  });

  test('whatever somebody writes: problems with field and fix, or a fleet; never a throw', () => {
    const junk = fc.oneof(
      fc.constantFrom(
        null,
        true,
        -1,
        1.5,
        70_000,
        '',
        'x',
        '192.0.2.10',
        '::1',
        [],
        {},
        [null],
        { toString: 1 },
        { length: 3 },
        '1s',
        NaN,
        'TCP',
      ),
      fc.jsonValue(),
    );
    const good = JSON.stringify(
      object([web(), web({ name: 'b', mode: 'dsr', vips: [{ address: '192.0.2.11', port: 8080 }], backends: [{ address: '10.0.0.1' }] })], {
        nodeSelector: { matchLabels: { role: 'lb' }, matchExpressions: [{ key: 'a', operator: 'In', values: ['b'] }] },
      }),
    );
    /** Puts junk at a place, takes a place away, or adds a field. */
    const mutate = (root: unknown, at: number, value: unknown, how: number): unknown => {
      const places: [Record<string, unknown>, string][] = [];
      const walk = (v: unknown): void => {
        if (typeof v !== 'object' || v === null) return;
        for (const k of Object.keys(v)) {
          places.push([v as Record<string, unknown>, k]);
          walk((v as Record<string, unknown>)[k]);
        }
      };
      walk(root);
      const [owner, key] = places[at % places.length]!;
      if (how === 0) delete owner[key];
      else if (how === 1) owner[`${key}x`] = value;
      else owner[key] = value;
      return root;
    };
    let bad = 0;
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(500), junk, fc.nat(5)), { minLength: 1, maxLength: 4 }), (changes) => {
        let o: unknown = JSON.parse(good);
        for (const [at, value, how] of changes)
          if (typeof o === 'object' && o !== null && Object.keys(o).length > 0) o = mutate(o, at, structuredClone(value), how);
        const read = readFleet(JSON.parse(JSON.stringify(o)));
        if (read.ok) for (const s of read.fleet.services) fleetInputs(read.fleet, s, new Set(targetsOf(s).map((t) => t.id)));
        else {
          bad += 1;
          expect(read.problems.length).toBeGreaterThan(0);
          for (const p of read.problems) {
            expect(p.at).toMatch(/^spec/);
            expect(Math.min(p.message.length, p.fix.length)).toBeGreaterThan(0);
          }
        }
      }),
      { numRuns: 3000 },
    );
    expect(bad).toBeGreaterThan(1000);
  });
});

describe('names', () => {
  test('no Service of an API server has one; fleets are known by theirs', () => {
    const key = fleetKey('edge.eu-1', 'web-80', 443, 'TCP');
    expect(key).toBe('axoneme:lbf/edge.eu-1.web-80-443-tcp');
    expect([fleetOfKey(key), fleetOfKey('shop/axoneme:lbf' as ObjectKey)]).toEqual(['edge.eu-1', undefined]);
  });
});

describe('the compile', () => {
  const node = (name: string, labels: Record<string, string>): NodeInput => ({
    ...{ name: name as NodeName, zone: '', labels, addresses: [], podCidrs: [] },
  });
  const [balancer, worker] = [node('n1', { role: 'lb' }), node('n2', {})];
  const given = (f: Fleet, down: ReadonlySet<TargetId> = new Set()): { services: ServiceInput[]; slices: SliceInput[] } => {
    const parts = f.services.map((s) => fleetInputs(f, s, down));
    return { services: parts.flatMap((p) => p.services), slices: parts.flatMap((p) => p.slices) };
  };
  const selector = { nodeSelector: { matchLabels: { role: 'lb' } } };

  test('only nodes that are selected have it; DSR is in IP in IP', () => {
    const f = fleetOf(
      [
        web({
          mode: 'dsr',
          backends: [{ address: '10.0.0.1' }, { address: 'fd00::1' }],
          vips: [
            { address: '192.0.2.10', port: 80 },
            { address: '2001:db8::1', port: 80 },
          ],
        }),
      ],
      selector,
    );
    const table = compileAll({ ...given(f), nodes: [balancer, worker] }, { ...serviceDefaults, forwarding: 'snat' });
    expect(compileFor(table, worker).size).toBe(0);
    const frontends = [...compileFor(table, balancer).values()].flatMap((c) => c.frontends).filter((x) => x.port !== 0);
    const flags = frontendFlags.dsr | frontendFlags.ipip;
    expect(frontends.map((x) => [x.ip, x.flags & flags])).toEqual([
      ['192.0.2.10', flags],
      ['2001:db8::1', flags],
    ]);
  });

  test('any history of fleets and Services ends where the compile of what is left ends', () => {
    const ips = ['192.0.2.10', '192.0.2.11'];
    const fleetArb = fc.record({
      name: fc.constantFrom('a', 'b'),
      ip: fc.constantFrom(...ips),
      port: fc.constantFrom(80, 443),
      backends: fc.uniqueArray(fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3'), { minLength: 1 }),
      down: fc.nat(7),
      mode: fc.constantFrom('snat', 'dsr'),
      all: fc.boolean(),
      age: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
      gone: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(fleetArb, { minLength: 1, maxLength: 8 }), (steps) => {
        const compiler = createServiceCompiler();
        compiler.update({ nodes: [balancer, worker] });
        const held = new Map<string, ReturnType<typeof given>>();
        for (const s of steps) {
          const f = fleetOf(
            [
              web({
                name: 'w',
                vips: [{ address: s.ip, port: s.port }],
                mode: s.mode,
                backends: s.backends.map((address) => ({ address })),
              }),
            ],
            s.all ? {} : selector,
            { name: s.name, creationTimestamp: s.age },
          );
          const down = new Set(targetsOf(f.services[0]!).flatMap((t, i) => (s.down & (1 << i) ? [t.id] : [])));
          const next = s.gone ? { services: [], slices: [] } : given(f, down);
          const old = held.get(s.name) ?? { services: [], slices: [] };
          const keys = new Set([...next.services, ...next.slices].map((x) => x.key));
          compiler.update({
            ...next,
            removedServices: old.services.map((x) => x.key).filter((k) => !keys.has(k)),
            removedSlices: old.slices.map((x) => x.key).filter((k) => !keys.has(k)),
          });
          held.set(s.name, next);
        }
        const parts = [...held.values()];
        const truth = compileAll({
          ...{ services: parts.flatMap((p) => p.services), slices: parts.flatMap((p) => p.slices), nodes: [balancer, worker] },
        });
        const table = compiler.table();
        expect([...table.services.keys()].sort()).toEqual([...truth.services.keys()].sort());
        for (const [key, s] of truth.services) expect([key, table.services.get(key)?.fullHash]).toEqual([key, s.fullHash]);
        expect(new Set(table.sets.keys())).toEqual(new Set(truth.sets.keys()));
        expect(new Set(table.tables.keys())).toEqual(new Set(truth.tables.keys()));
        if (steps.every((s) => s.gone)) expect(table.services.size).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
