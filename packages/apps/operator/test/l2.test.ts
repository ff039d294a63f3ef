// Ownership of announced addresses over time, on a fake clock.

import type { IpAddr } from '@axoneme/model';
import { describe, expect, test } from '@jest/globals';
import { Sim, VALID_MS } from './l2-sim.ts';

const ADDRESSES = Array.from({ length: 12 }, (_, i) => `192.0.2.${i + 1}`);

async function calm(sim: Sim): Promise<void> {
  sim.lead();
  for (const n of sim.nodes.values()) sim.connect(n);
  await sim.run(VALID_MS + 1500);
}
const ownerOf = (sim: Sim, address: string): string | undefined => sim.owners().get(address as IpAddr)?.[0];

describe('announced addresses', () => {
  test('L8-a: a node that is lost silently is replaced within 4 s, by the clock of the operator', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const sim = new Sim(seed, 4, ADDRESSES);
      await calm(sim);
      expect(sim.owners().size).toBe(ADDRESSES.length);
      const lost = sim.node(ownerOf(sim, '192.0.2.1')!);
      lost.running = false;
      sim.disconnect(lost, seed % 2 === 0);
      const moved = [...sim.owners()].filter(([, names]) => names[0] === lost.name).map(([a]) => a);
      await sim.run(4000);
      for (const address of moved) expect([seed, address, ownerOf(sim, address)]).not.toEqual([seed, address, undefined]);
      expect([sim.faults, sim.owners().size]).toEqual([[], ADDRESSES.length]);
      // back again: it gets nothing back, and disturbs nobody
      const held = JSON.stringify([...sim.owners()]);
      lost.running = true;
      sim.connect(lost);
      await sim.run(5000);
      expect([JSON.stringify([...sim.owners()]), sim.faults]).toEqual([held, []]);
    }
  });

  test('L8-b: partition and heal: one owner at all times, GARP after heal', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const sim = new Sim(seed, 3, ADDRESSES);
      await calm(sim);
      const before = ownerOf(sim, '192.0.2.1')!;
      const cut = sim.node(before);
      sim.stall(cut, true);
      await sim.run(VALID_MS + 1000);
      const after = ownerOf(sim, '192.0.2.1');
      expect([after === before, after === undefined]).toEqual([false, false]);
      // late questions and late answers arrive all at once
      sim.stall(cut, false);
      await sim.run(5000);
      expect([ownerOf(sim, '192.0.2.1'), cut.held.has('192.0.2.1' as IpAddr), sim.faults]).toEqual([after, false, []]);
    }
  });

  test('a leader that is replaced at once leaves every address where it is', async () => {
    const sim = new Sim(7, 3, ADDRESSES);
    await calm(sim);
    const before = new Map(sim.owners());
    sim.unlead();
    await sim.run(300);
    sim.lead();
    await sim.run(300);
    for (const n of sim.nodes.values()) sim.connect(n);
    await sim.run(10_000);
    expect([new Map(sim.owners()), sim.moves, sim.faults]).toEqual([before, 0, []]);
  });

  test('a Lease that somebody deletes moves nothing to a second owner', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const sim = new Sim(seed, 3, ADDRESSES);
      await calm(sim);
      // somebody else has them now than would by lot
      const one = sim.node('n1');
      sim.disconnect(one);
      await sim.run(4000);
      sim.connect(one);
      await sim.run(1000);
      sim.rough = true;
      for (const a of ADDRESSES) sim.drop(a);
      await sim.run(8000);
      expect([seed, sim.owners().size, sim.faults]).toEqual([seed, ADDRESSES.length, []]);
    }
  });

  test('a node that comes back while its address is being given away has no leave for it', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const sim = new Sim(seed, 2, ['192.0.2.1']);
      await calm(sim);
      const one = sim.node(ownerOf(sim, '192.0.2.1')!);
      sim.apiMs = 2000;
      sim.disconnect(one);
      await sim.run(3150 + 10 * seed);
      sim.connect(one);
      await sim.run(8000);
      expect([seed, sim.faults, sim.owners().size]).toEqual([seed, [], 1]);
    }
  });

  test('a write of the former leader that arrives late gives no second owner', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const sim = new Sim(seed, 2, ['192.0.2.1']);
      await calm(sim);
      const one = sim.node(ownerOf(sim, '192.0.2.1')!);
      sim.apiMs = 1500;
      sim.disconnect(one);
      await sim.run(3150 + 10 * seed);
      sim.lead();
      sim.apiMs = 10;
      for (const n of sim.nodes.values()) sim.connect(n);
      await sim.run(8000);
      expect([seed, sim.faults, sim.owners().size]).toEqual([seed, [], 1]);
    }
  });

  test('a node that takes no commit loses what it should give away, in the end', async () => {
    const sim = new Sim(5, 2, ['192.0.2.1']);
    await calm(sim);
    const one = sim.node(ownerOf(sim, '192.0.2.1')!);
    one.deaf = true;
    const nodeSelector = { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: [one.name] }] };
    sim.put('l2Policies', 'p', { metadata: { name: 'p' }, spec: { loadBalancerIPs: true, nodeSelector } });
    await sim.run(5000);
    expect(ownerOf(sim, '192.0.2.1')).toBe(one.name);
    await sim.run(12_000);
    expect([ownerOf(sim, '192.0.2.1') === one.name, sim.owners().size, sim.faults]).toEqual([false, 1, []]);
  });

  test('whatever stalls, breaks, restarts and fails, nothing has two owners, and in the end everything has one', async () => {
    let moves = 0;
    for (let seed = 100; seed < 140; seed++) {
      const sim = new Sim(seed, 4, ADDRESSES);
      sim.rough = true;
      sim.lead();
      const events: (() => void)[] = [
        () => sim.connect(any()),
        () => sim.connect(any()),
        () => sim.disconnect(any()),
        () => sim.disconnect(any(), false),
        () => sim.stall(any(), true),
        () => sim.stall(any(), false),
        () => sim.lead(),
        () => sim.unlead(),
        () => {
          sim.apiDown = !sim.apiDown;
        },
        () => sim.drop(sim.random.pick(ADDRESSES)),
        () => {
          const n = any();
          n.running = !n.running;
        },
        () => {
          const nodeSelector = { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: [any().name] }] };
          sim.put('l2Policies', 'p', { metadata: { name: 'p' }, spec: { loadBalancerIPs: true, nodeSelector } });
        },
        () => sim.put('l2Policies', 'p', { metadata: { name: 'p' }, spec: { loadBalancerIPs: true } }),
      ];
      const any = () => sim.random.pick([...sim.nodes.values()]);
      for (const n of sim.nodes.values()) sim.connect(n);
      for (let i = 0; i < 40; i++) {
        await sim.run(100 + sim.random.int(0, 1500));
        sim.random.pick(events)();
        if (sim.leader === undefined && sim.random.int(0, 2) === 0) sim.lead();
      }
      sim.apiDown = false;
      sim.put('l2Policies', 'p', { metadata: { name: 'p' }, spec: { loadBalancerIPs: true } });
      if (sim.leader === undefined) sim.lead();
      for (const n of sim.nodes.values()) {
        n.running = true;
        sim.connect(n);
      }
      await sim.run(VALID_MS * 4);
      expect([seed, sim.faults.slice(0, 3), sim.owners().size]).toEqual([seed, [], ADDRESSES.length]);
      moves += sim.moves;
    }
    expect(moves).toBeGreaterThan(100);
  }, 120_000);
});
