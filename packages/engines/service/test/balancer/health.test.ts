// Who asks whom, and what becomes of the answers.
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import {
  type HealthState,
  judgeHealth,
  noHealth,
  type Observation,
  type ProbeTarget,
  planProbes,
  probeTargets,
  type TargetId,
} from '../../src/index.ts';
import { spec } from './files.ts';

function targets(n: number, more: object = {}): ProbeTarget[] {
  const backends = Array.from({ length: n }, (_, i) => ({ address: `10.0.${i >> 7}.${(i & 127) + 1}` }));
  return probeTargets(spec({ name: 'web', vips: [{ address: '192.0.2.10', port: 80 }], backends, health: more }));
}
const names = (n: number): string[] => Array.from({ length: n }, (_, i) => `node-${i}`);
const all = (n: number) => names(n).map((name) => ({ name, alive: true }));
const long = (ok: boolean): Observation => ({ ok, streak: 10, seen: ok ? 0 : 10 });
/** Of somebody who sees nobody. */
const blind: Observation = { ok: false, streak: 10, seen: 0 };

/** Everybody answers for everything by `answer`; undefined is silence. */
function observe(nodes: readonly string[], list: readonly ProbeTarget[], answer: (node: string, id: TargetId) => Observation | undefined) {
  return new Map(
    nodes.map((n) => [
      n,
      new Map(
        list.flatMap((t) => {
          const o = answer(n, t.id);
          return o === undefined ? [] : [[t.id, o] as const];
        }),
      ),
    ]),
  );
}

describe('plan', () => {
  test('every backend is asked by three nodes, the work is shared', () => {
    const plan = planProbes(targets(300), names(10));
    const asked = new Map<TargetId, number>();
    for (const list of plan.values()) for (const t of list) asked.set(t.id, (asked.get(t.id) ?? 0) + 1);
    expect([...new Set(asked.values())]).toEqual([3]);
    for (const list of plan.values()) expect(list.length).toBeGreaterThan(50);
  });
  test('a single node asks everything', () => {
    expect(planProbes(targets(5), ['only']).get('only')).toHaveLength(5);
  });
  test('when a node leaves, only its questions move', () => {
    const list = targets(200);
    const before = planProbes(list, names(8));
    const after = planProbes(list, names(7));
    const gained = names(7).map((n) => {
      const had = new Set(before.get(n)!.map((t) => t.id));
      expect(after.get(n)!.filter((t) => had.has(t.id))).toHaveLength(had.size);
      return after.get(n)!.length - had.size;
    });
    expect(gained.reduce((a, b) => a + b)).toBe(before.get('node-7')!.length);
  });
});

describe('hysteresis', () => {
  const list = targets(2, { rise: 3, fall: 2 });
  const [one, two] = list.map((t) => t.id) as [TargetId, TargetId];
  const see = (before: HealthState, now: Observation): HealthState =>
    judgeHealth(before, {
      targets: list,
      nodes: all(1),
      observations: observe(names(1), list, (_, id) => (id === one ? now : long(true))),
    });

  test('down after `fall` failures in a row, up after `rise` successes', () => {
    let s = see(noHealth, long(true));
    const history: readonly [Omit<Observation, 'seen'>, boolean][] = [
      [{ ok: false, streak: 1 }, false],
      [{ ok: true, streak: 1 }, false],
      [{ ok: false, streak: 1 }, false],
      [{ ok: false, streak: 2 }, true],
      [{ ok: true, streak: 1 }, true],
      [{ ok: false, streak: 1 }, true],
      [{ ok: true, streak: 2 }, true],
      [{ ok: true, streak: 3 }, false],
    ];
    for (const [now, isDown] of history) {
      s = see(s, { ...now, seen: now.ok ? 0 : now.streak });
      expect(s.down.has(one)).toBe(isDown);
      expect(s.down.has(two)).toBe(false);
    }
  });
  test('a result that is missing changes nothing; a backend that is gone leaves no memory', () => {
    let s = see(see(noHealth, long(true)), long(false));
    expect([...s.down]).toEqual([one]);
    s = judgeHealth(s, { targets: list, nodes: all(1), observations: new Map() });
    expect([...s.down]).toEqual([one]);
    s = judgeHealth(s, { targets: list.slice(1), nodes: all(1), observations: new Map() });
    expect([s.down.size, s.votes.size]).toEqual([0, 1]);
  });
});

describe('one node decides nothing', () => {
  const nothing = (nodes: number) =>
    fc.record({
      dead: fc.uniqueArray(fc.integer({ min: 0, max: 19 }), { maxLength: 8 }),
      cut: fc.integer({ min: 0, max: nodes - 1 }),
      lie: fc.constantFrom('down', 'up', 'silence', 'random'),
      before: fc.uniqueArray(fc.integer({ min: 0, max: 19 }), { maxLength: 8 }),
      coins: fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }),
    });
  const list = targets(20);

  test.each([3, 4, 7])('L4-b: what a node of %i says that is cut off, mad or silent changes nothing', (nodes) => {
    fc.assert(
      fc.property(nothing(nodes), ({ dead, cut, lie, before, coins }) => {
        const truth = (id: TargetId): Observation => long(!dead.some((d) => list[d]!.id === id));
        const start: HealthState = { votes: new Map(), down: new Set(before.map((b) => list[b]!.id)) };
        const judge = (answer: (n: string, id: TargetId) => Observation | undefined) =>
          judgeHealth(start, { targets: list, nodes: all(nodes), observations: observe(names(nodes), list, answer) });
        const honest = judge((_, id) => truth(id));
        const partition = judge((n, id) => {
          if (n !== `node-${cut}`) return truth(id);
          if (lie === 'silence') return undefined;
          if (lie === 'down') return blind;
          return long(lie === 'random' ? coins[list.findIndex((t) => t.id === id)]! : lie === 'up');
        });
        expect([...partition.down].sort()).toEqual([...honest.down].sort());
        expect([...honest.down].sort()).toEqual(dead.map((d) => list[d]!.id).sort());
      }),
      { numRuns: 200 },
    );
  });

  test('L4-b: of two nodes the one that is cut off takes nothing out', () => {
    const seen = observe(names(2), list, (n) => (n === 'node-0' ? long(true) : blind));
    expect(judgeHealth(noHealth, { targets: list, nodes: all(2), observations: seen }).down.size).toBe(0);
    const silent = observe(names(2), list, (n) => (n === 'node-0' ? undefined : blind));
    expect(judgeHealth(noHealth, { targets: list, nodes: all(2), observations: silent }).down.size).toBe(0);
  });

  test('L4-b: a single node that sees nothing but failures is cut off itself', () => {
    const seen = (answer: (id: TargetId) => Observation) => observe(names(1), list, (_, id) => answer(id));
    const judge = (before: HealthState, answer: (id: TargetId) => Observation) =>
      judgeHealth(before, { targets: list, nodes: all(1), observations: seen(answer) });
    const first = list[0]!.id;
    const some = judge(noHealth, (id) => long(id !== first));
    expect([...some.down]).toEqual([first]);
    const none = judge(some, () => blind);
    expect([...none.down]).toEqual([first]);
    expect([...judge(none, () => long(true)).down]).toEqual([]);
  });

  test('L4-b: a leader with less than half of the nodes changes nothing', () => {
    const nodes = names(5).map((name, i) => ({ name, alive: i < 2 }));
    const first = list[0]!.id;
    const seen = observe(names(2), list, (_, id) => long(id !== first));
    expect(judgeHealth(noHealth, { targets: list, nodes, observations: seen }).down.size).toBe(0);
  });

  test('who asks a single backend that is dead is believed if the others say so too', () => {
    const [only] = targets(1) as [ProbeTarget];
    const seen = (ok: (n: string) => boolean) => observe(names(3), [only], (n) => (ok(n) ? long(true) : blind));
    const judge = (ok: (n: string) => boolean) =>
      judgeHealth(noHealth, { targets: [only], nodes: all(3), observations: seen(ok) }).down.size;
    expect(judge(() => false)).toBe(1);
    // two that see nothing at all against one that sees it
    expect(judge((n) => n === 'node-1')).toBe(0);
  });
});
