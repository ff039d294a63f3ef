import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type BackendFacts,
  backendState,
  backendStates,
  compileAll,
  createServiceCompiler,
  type SliceInput,
  selectServing,
} from '../src/index.ts';
import { scaled } from './runs.ts';
import { key, plain, service, slice } from './world.ts';

const flags = [true, false];
const every: BackendFacts[] = flags.flatMap((ready) =>
  flags.flatMap((serving) =>
    flags.flatMap((terminating) =>
      flags.flatMap((quarantined) => [0, 100].map((weight) => ({ ready, serving, terminating, quarantined, weight }))),
    ),
  ),
);

const web = service({ clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] });
const with_ = (facts: readonly BackendFacts[]): SliceInput => {
  const s = slice(facts.map((_, i) => ({ ip: `10.0.0.${i + 1}` })));
  return { ...s, endpoints: s.endpoints.map((e, i) => ({ ...e, ...facts[i]! })) };
};
const members = (t: ReturnType<typeof compileAll>): string[] => {
  const f = t.services.get(key('shop/web'))!.frontends[0]!;
  return t.sets.get(f.setIn)?.backends.map((b) => b.ip) ?? [];
};

describe('L2-b: states of backends', () => {
  test('L2-b: every combination of conditions has exactly the state it should', () => {
    expect(every).toHaveLength(32);
    for (const f of every) {
      const expected =
        f.weight === 0
          ? 'maintenance'
          : f.ready
            ? f.quarantined === true
              ? 'quarantined'
              : 'active'
            : !f.terminating
              ? 'not-ready'
              : !f.serving
                ? 'terminating'
                : f.quarantined === true
                  ? 'quarantined'
                  : 'terminating-serving';
      expect([f, backendState(f)]).toEqual([f, expected]);
    }
    expect(new Set(every.map(backendState)).size).toBe(backendStates.length);
  });

  test('L2-b: only active ones are chosen, else those that terminate and serve, else none: all pairs of states', () => {
    for (const a of backendStates)
      for (const b of backendStates) {
        const chosen = selectServing([{ state: a }, { state: b }]).map((c) => c.state);
        const both = [a, b];
        const best = both.includes('active') ? 'active' : 'terminating-serving';
        expect(chosen).toEqual(both.filter((s) => s === best));
      }
  });

  test('L2-b: every transition of one backend beside another in every state ends where a start from nothing ends', () => {
    for (const beside of [
      every[1]!,
      { ready: false, serving: true, terminating: true },
      { ready: false, serving: false, terminating: true },
    ]) {
      const compiler = createServiceCompiler();
      compiler.update({ services: [web] });
      const expected = new Map(every.map((f) => [f, members(compileAll({ services: [web], slices: [with_([f, beside])] }))]));
      // a walk that takes every pair (from, to) once
      for (const from of every)
        for (const to of every)
          for (const facts of [from, to]) {
            compiler.update({ slices: [with_([facts, beside])] });
            expect(members(compiler.table())).toEqual(expected.get(facts));
          }
    }
  });

  test('L2-b: a backend that leaves and comes back is active again, after any history', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.constantFrom(...every), { minLength: 3, maxLength: 3 }), { maxLength: 20 }), (history) => {
        const compiler = createServiceCompiler();
        compiler.update({ services: [web] });
        for (const facts of history) compiler.update({ slices: [with_(facts)] });
        const back = with_([1, 2, 3].map(() => ({ ready: true, serving: true, terminating: false })));
        compiler.update({ slices: [back] });
        expect(plain(compiler.table(), [])).toEqual(plain(compileAll({ services: [web], slices: [back] }), []));
        expect(members(compiler.table())).toHaveLength(3);
      }),
      { numRuns: scaled(100) },
    );
  });

  test('those that leave, and those in maintenance, are behind the count; those that broke are gone', () => {
    const states = [
      { ready: true },
      { terminating: true, serving: true },
      { terminating: true },
      { ready: true, weight: 0 },
      {},
      { ready: true, quarantined: true },
    ];
    const facts = states.map((s) => ({ ready: false, serving: false, terminating: false, ...s }));
    const sets = (list: BackendFacts[]) =>
      [...compileAll({ services: [web], slices: [with_(list)] }).sets.values()].map((s) => [
        s.backends.map((x) => x.ip),
        s.draining.map((x) => x.ip),
      ]);
    expect(sets(facts)).toEqual([[['10.0.0.1'], ['10.0.0.2', '10.0.0.3', '10.0.0.4']]]);
    // nobody else: the one that serves is given out
    expect(sets(facts.slice(1, 3))).toEqual([[['10.0.0.1'], ['10.0.0.2']]]);
    const last = compileAll({ services: [web], slices: [with_(facts.slice(2, 3))] });
    expect(last.services.get(key('shop/web'))!.frontends.map((f) => [f.countIn, last.sets.get(f.setIn)!.draining.length])).toEqual([
      [0, 1],
    ]);
  });

  test('an address in two slices counts with its better state', () => {
    const a = slice([{ ip: '10.0.0.1', ready: false, terminating: true, serving: true }], { name: 'a' });
    const b = slice([{ ip: '10.0.0.1' }], { name: 'b' });
    for (const slices of [
      [a, b],
      [b, a],
    ]) {
      const t = compileAll({ services: [web], slices });
      expect([...t.sets.values()].map((s) => s.backends.map((x) => [x.ip, x.active]))).toEqual([[['10.0.0.1', true]]]);
    }
  });
});
