import { silentLog } from '@axoneme/std';
import { createFakeClock } from '@axoneme/testkit';
import { describe, expect, test } from '@jest/globals';
import { createDispatcher } from '../src/compile/dispatch.ts';
import { createGates } from '../src/compile/gates/gates.ts';
import { type CompileLoop, createCompileLoop } from '../src/compile/loop.ts';
import { createHubModel, createLab, type Lab, labConfig } from './lab.ts';

const web = { matchLabels: { app: 'web' } };

interface Running {
  readonly lab: Lab;
  readonly loop: CompileLoop;
  readonly clock: ReturnType<typeof createFakeClock>;
  /** Newest revision every node has. */
  acked: number;
}

function start(config: object = {}): Running {
  const lab = createLab(labConfig(config));
  const clock = createFakeClock();
  const { compiler, world } = lab;
  const { hub } = createHubModel();
  const dispatcher = createDispatcher({ tables: world.tables, compiler, hub: () => hub as never });
  const gates = createGates(
    { compiler, dispatcher, tables: world.tables, reported: () => undefined, decision: () => undefined, log: silentLog },
    labConfig(config),
  );
  const loop = createCompileLoop({
    ...{ world, compiler, dispatcher, clock, log: silentLog, gatekeeper: gates.gatekeeper },
    epoch: () => 1,
    settled: () => running.acked,
    onCompiled: () => undefined,
  });
  const running: Running = { lab, loop, clock, acked: 0 };
  world.onChange(() => loop.mark());
  lab.node('n1', 1);
  lab.pod('web', 'n1', 5, { app: 'web' });
  lab.identities();
  return running;
}

const ack = (r: Running, revision: number): void => {
  r.acked = revision;
  r.loop.acked();
  r.clock.advance(10);
};
const narrow = (r: Running): void => {
  r.lab.policy('CiliumNetworkPolicy', 'deny', { endpointSelector: web, ingressDeny: [{ fromCIDR: ['198.51.0.0/16'] }] });
  r.lab.policy('CiliumNetworkPolicy', 'narrow', { endpointSelector: web, ingress: [{ fromCIDR: ['198.51.100.0/24'] }] });
};

describe('the compile loop', () => {
  test('goes on by itself once every node has what numbers waited for', () => {
    const r = start();
    narrow(r);
    r.loop.start();
    ack(r, 1);
    r.lab.drop('CiliumNetworkPolicy', 'narrow');
    r.clock.advance(10);
    expect([r.loop.revision(), r.lab.compiler.waits()]).toEqual([2, true]);
    r.loop.acked();
    r.clock.advance(10);
    expect(r.loop.revision()).toBe(2);
    ack(r, 2);
    expect([r.loop.revision(), r.lab.compiler.waits()]).toEqual([3, false]);
    r.clock.advance(120_000);
    expect(r.loop.revision()).toBe(3);
  });

  test('a node that never acknowledges keeps numbers for half a minute only', () => {
    const r = start();
    narrow(r);
    r.loop.start();
    r.lab.drop('CiliumNetworkPolicy', 'narrow');
    r.clock.advance(29_000);
    expect(r.lab.compiler.waits()).toBe(true);
    r.clock.advance(2_000);
    expect(r.lab.compiler.waits()).toBe(false);
  });

  test('what was refused is tried again when the world changes, and taken when there is room', () => {
    const r = start({ mapSizes: { policy: 30 } });
    r.acked = Number.MAX_SAFE_INTEGER;
    const ports = (n: number) => Array.from({ length: n }, (_, i) => ({ ports: [{ port: String(1000 + 2 * i), protocol: 'TCP' }] }));
    const big = r.lab.policy('CiliumNetworkPolicy', 'big', {
      endpointSelector: web,
      ingress: [{ fromEntities: ['world'], toPorts: ports(12) }],
    });
    r.loop.start();
    expect(r.loop.decision()?.refusals.get(big)?.reason).toBe('CapacityExceeded');
    expect(r.loop.verdicts.get(big)?.refused?.reason).toBe('CapacityExceeded');
    // there is room as soon as nothing is selected any more
    r.lab.world.remove('pods', 'shop/web');
    r.lab.world.remove('identities', '300');
    r.clock.advance(10);
    expect(r.loop.decision()!.refusals.size).toBe(0);
    expect(r.loop.verdicts.get(big)?.refused).toBeUndefined();
  });
});
