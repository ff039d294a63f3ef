// What nodes report becomes which backends of a fleet fail, on whatever replica leads.
import type { ProbeReport } from '@axoneme/proto';
import { silentLog } from '@axoneme/std';
import { createFakeClock, createRandom, runSeed } from '@axoneme/testkit';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { createFleetJudge, type FleetJudge } from '../src/leader/fleet-judge.ts';
import { addNode, createLab, type Lab } from './lab.ts';

const backends = ['10.9.0.1', '10.9.0.2', '10.9.0.3', '10.9.0.4'];
const spec = (more: object = {}): object => ({
  nodeSelector: { matchLabels: { role: 'lb' } },
  services: [
    {
      ...{ name: 'web', vips: [{ address: '192.0.2.10', port: 80 }], health: { type: 'tcp' } },
      backends: backends.map((address) => ({ address })),
      ...more,
    },
  ],
});

/** A replica of the operator: world, compile, judge. */
function createReplica(nodes: number) {
  const lab: Lab = createLab();
  const clock = createFakeClock();
  const judge: FleetJudge = createFleetJudge({ world: lab.world, clock, log: silentLog, fleets: () => lab.compiler.fleets.fleets });
  for (let i = 1; i <= nodes; i++) addNode(lab.world, `lb-${i}`, i, { role: 'lb' });
  const settle = (): void => {
    for (let i = 0; i < 5; i++) {
      const dirty = lab.world.takeDirty();
      lab.compiler.compile(lab.world.tables, dirty);
      judge.compiled(dirty);
      clock.advance(10);
    }
  };
  const idOf = (address: string): string => [...state().targets.values()].find((t) => t.address === address)!.id;
  const state = () => lab.compiler.fleets.fleets.get('edge')!;
  const reportOf = (address: string, ok: boolean, more: Partial<ProbeReport> = {}): ProbeReport => ({
    ...{ id: idOf(address), ok, streak: 5, seen: ok ? 0 : 5, reason: ok ? '' : 'refused', ageMs: 0 },
    ...more,
  });
  return {
    lab,
    clock,
    judge,
    settle,
    state,
    reportOf,
    put(object: object, status?: object): void {
      lab.world.set('fleets', 'edge', {
        metadata: { name: 'edge', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' },
        spec: object,
        ...(status === undefined ? {} : { status }),
      });
      settle();
    },
    connect(...names: string[]): void {
      for (const n of names) lab.world.set('probers', n, true);
      settle();
    },
    /** Everybody of `names` says so of what he is to ask. */
    say(names: readonly string[], bad: readonly string[], full = false): void {
      for (const n of names)
        judge.report(
          n,
          (state().plan.get(n) ?? []).map((t) => reportOf(t.address, !bad.includes(t.address))),
          full,
        );
      settle();
    },
    down: (): string[] => [...state().down.keys()].map((id) => state().targets.get(id)!.address),
  };
}
const five = ['lb-1', 'lb-2', 'lb-3', 'lb-4', 'lb-5'];

describe('the leader', () => {
  let r: ReturnType<typeof createReplica>;
  beforeEach(() => {
    r = createReplica(5);
    r.put(spec());
    r.judge.lead(true);
    r.connect(...five);
  });

  test('L4-a: takes out what most who ask say fails, and back in; the compile follows', () => {
    r.say(five, []);
    expect(r.down()).toEqual([]);
    r.say(five, ['10.9.0.2']);
    expect(r.down()).toEqual(['10.9.0.2']);
    const [reason] = r.state().down.values();
    expect(reason).toMatch(/^node lb-\d: refused$/);
    const setsOf = (): string[] => r.lab.compiler.ownServices('lb-1').list.flatMap((a) => (a.table === 'lb_slot' ? [a.name] : []));
    const without = setsOf();
    r.say(five, []);
    expect([r.down(), without.length, setsOf().length]).toEqual([[], 1, 1]);
    expect(setsOf()).not.toEqual(without);
  });

  test('L4-b: one node that says everything fails changes nothing; nor do old results', () => {
    r.say(five, []);
    for (const n of five) {
      r.say([n], backends);
      expect([n, r.down()]).toEqual([n, []]);
      r.say([n], []);
    }
    for (const n of five)
      r.judge.report(
        n,
        r
          .state()
          .plan.get(n)!
          .map((t) => r.reportOf(t.address, false, { ageMs: 4500 })),
        false,
      );
    r.settle();
    expect(r.down()).toEqual([]);
  });

  test('L4-b: with less than half of the nodes nothing changes, whatever they say', () => {
    r.say(five, ['10.9.0.3']);
    for (const n of five.slice(2)) r.lab.world.remove('probers', n);
    r.settle();
    r.say(five.slice(0, 2), ['10.9.0.1', '10.9.0.2', '10.9.0.4']);
    expect(r.down()).toEqual(['10.9.0.3']);
    r.connect('lb-3');
    r.say(five.slice(0, 3), ['10.9.0.1']);
    expect(r.down()).toEqual(['10.9.0.1']);
  });

  test('a node that leaves has no vote: the two that are left decide', () => {
    const asking = five.filter((n) =>
      r
        .state()
        .plan.get(n)!
        .some((t) => t.address === '10.9.0.1'),
    );
    expect(asking).toHaveLength(3);
    r.say(five, []);
    r.say(asking.slice(0, 1), ['10.9.0.1']);
    expect(r.down()).toEqual([]);
    r.lab.world.remove('probers', asking[1]!);
    r.settle();
    const now = five.filter(
      (n) =>
        n !== asking[1] &&
        r
          .state()
          .plan.get(n)!
          .some((t) => t.address === '10.9.0.1'),
    );
    expect(now).toHaveLength(3);
    r.say([now.find((n) => !asking.includes(n))!], ['10.9.0.1']);
    expect(r.down()).toEqual(['10.9.0.1']);
  });

  test('a backend that is gone is forgotten, others stay as they are; so is a fleet', () => {
    r.say(five, ['10.9.0.1', '10.9.0.2']);
    expect(r.down()).toEqual(['10.9.0.1', '10.9.0.2']);
    r.put(spec({ backends: [{ address: '10.9.0.2' }, { address: '10.9.0.3' }] }));
    expect(r.down()).toEqual(['10.9.0.2']);
    r.lab.world.remove('fleets', 'edge');
    r.settle();
    expect(r.lab.world.tables.downTargets.size).toBe(0);
    r.put(spec());
    expect(r.down()).toEqual([]);
  });

  test('what is judged as reports come is what would be judged of all at once', () => {
    const seed = runSeed();
    const random = createRandom(seed);
    const all = createReplica(5);
    all.put(spec());
    all.judge.lead(true);
    all.connect(...five);
    for (let i = 0; i < 300; i++) {
      const node = random.pick(five);
      const reports = r
        .state()
        .plan.get(node)!
        .flatMap((t) => {
          if (random.bool()) return [];
          const streak = random.int(1, 4);
          return [r.reportOf(t.address, random.bool(0.6), { streak, seen: random.int(0, streak), ageMs: random.int(0, 6000) })];
        });
      for (const replica of [r, all]) replica.judge.report(node, reports, false);
      // the other one looks at everything
      all.judge.compiled(new Map([['probers', new Set(five)]]));
      r.settle();
      all.settle();
      expect([seed, i, r.down().sort()]).toEqual([seed, i, all.down().sort()]);
    }
  });

  test('results that change nothing cost no judgement', () => {
    r.say(five, []);
    r.clock.advance(1000);
    const before = r.clock.pending();
    for (const n of five)
      r.judge.report(
        n,
        r
          .state()
          .plan.get(n)!
          .map((t) => r.reportOf(t.address, true, { streak: 40 })),
        false,
      );
    expect(r.clock.pending()).toBe(before);
  });
});

describe('a change of leader', () => {
  const status = (state: string, more: object = {}): object => ({
    services: [{ name: 'web', backends: [{ address: '10.9.0.1', port: 80, state, reason: 'node lb-1: refused', ...more }] }],
  });

  test('begins with what the status says; only new results change it', () => {
    const r = createReplica(3);
    r.put(spec(), status('quarantined'));
    expect(r.down()).toEqual(['10.9.0.1']);
    r.judge.lead(true);
    r.settle();
    expect(r.down()).toEqual(['10.9.0.1']);
    r.connect('lb-1', 'lb-2', 'lb-3');
    expect(r.down()).toEqual(['10.9.0.1']);
    // the leader does not follow the status, it makes it
    r.put(spec(), status('active'));
    expect(r.down()).toEqual(['10.9.0.1']);
    expect([...r.state().down.values()]).toEqual(['node lb-1: refused']);
    r.say(['lb-1', 'lb-2', 'lb-3'], [], true);
    expect(r.down()).toEqual([]);
  });

  test('one that keeps all in use because all fail is known as such', () => {
    const r = createReplica(3);
    r.put(spec(), status('active', { failing: true }));
    r.judge.lead(true);
    r.settle();
    expect(r.down()).toEqual(['10.9.0.1']);
  });

  test('who does not lead keeps to the status, and has heard results when it begins to', () => {
    const r = createReplica(3);
    r.put(spec());
    r.connect('lb-1', 'lb-2', 'lb-3');
    r.say(['lb-1', 'lb-2', 'lb-3'], ['10.9.0.2'], true);
    expect(r.down()).toEqual([]);
    r.judge.lead(true);
    r.settle();
    expect(r.down()).toEqual(['10.9.0.2']);
    r.judge.lead(false);
    r.settle();
    expect([r.down(), r.lab.world.tables.downTargets.size]).toEqual([[], 0]);
  });
});
