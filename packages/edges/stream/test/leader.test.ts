import type { OperatorHeartbeat } from '@axoneme/proto';
import { AppError, silentLog, systemClock } from '@axoneme/std';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLeaderWatch, type SeekDeps } from '../src/client/leader-seeker.ts';
import { createPicker } from '../src/client/picker.ts';
import type { NodeServer } from '../src/index.ts';
import { Agent, createWorld, name, Store, startAgent, until, type World } from './fixture.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world.stop.abort());

interface Replica {
  readonly server: NodeServer;
  readonly endpoint: string;
  leader: boolean;
  epoch: number;
  inputAgeMs: number;
  readonly stop: AbortController;
}

async function replica(id: string, node: string, leader: boolean, heartbeatMs = 20): Promise<Replica> {
  const store = new Store();
  store.put('a', 'a1');
  const stop = new AbortController();
  const r = { leader, epoch: 1, inputAgeMs: 0, stop } as { -readonly [K in keyof Replica]: Replica[K] };
  r.server = await world.operator(store, {
    freshness: () => ({ epoch: r.epoch, leader: r.leader, inputAgeMs: { pods: r.inputAgeMs } }),
    config: { operatorId: id, hub: { heartbeatMs } },
    signal: stop.signal,
  });
  world.stop.signal.addEventListener('abort', () => stop.abort());
  r.server.hub.setDesired(name(node), store.desired('a'), { revision: 1, epoch: 1 });
  r.endpoint = `127.0.0.1:${r.server.ports().node}`;
  return r;
}

const seek = { baseMs: 20, maxMs: 40, timeoutMs: 1_000 };

/** An agent that was served by `first` before it came to know `others`. */
async function served(node: string, first: Replica, others: readonly Replica[]): Promise<Agent> {
  let known = [first.endpoint];
  const agent = await startAgent(new Agent(node), {
    endpoints: () => known,
    tls: await world.nodeTls(node),
    signal: world.stop.signal,
    config: { seek, unreachableMs: 100 },
  });
  await until(() => agent.commits.length === 1, 'first commit');
  known = [first.endpoint, ...others.map((o) => o.endpoint)];
  return agent;
}

describe('the leader is preferred', () => {
  test('an agent moves to the replica that leads, which then knows what it enforces, without an artifact being sent', async () => {
    const follower = await replica('follower', 'l1', false);
    const leader = await replica('leader', 'l1', true);
    const agent = await served('l1', follower, [leader]);
    await until(() => agent.client.link().operatorId === 'leader' && agent.client.link().connected, 'move');
    await until(() => leader.server.hub.link(name('l1'))?.ackedRevision === 1, 'acknowledged at the leader');
    expect(leader.server.hub.totals().sent.artifacts).toBe(0);
    expect(agent.client.link().leader).toBe(true);
    await until(() => follower.server.hub.link(name('l1'))?.connected === false, 'left the follower');
  });

  test('a healthy replica is not left while nobody leads, or the leader is blind or behind', async () => {
    const follower = await replica('follower', 'l2', false);
    follower.epoch = 5;
    const other = await replica('other', 'l2', false);
    const agent = await served('l2', follower, [other]);
    let asked = 0;
    const sent = (): number => other.server.hub.totals().sent.bytes;
    const askedAgain = async (times: number): Promise<void> => {
      const target = asked + times;
      let before = sent();
      while (asked < target) {
        await until(() => sent() > before, 'the other replica is asked');
        before = sent();
        asked++;
      }
    };
    await askedAgain(2);
    other.epoch = 5;
    other.leader = true;
    other.inputAgeMs = 1e9;
    await askedAgain(2);
    other.inputAgeMs = 0;
    other.epoch = 4;
    await askedAgain(2);
    expect(agent.client.link()).toMatchObject({ operatorId: 'follower', connected: true, leader: false });
    expect(agent.events.filter((e) => e === 'down')).toEqual([]);
    // asking is not connecting
    expect(other.server.hub.link(name('l2'))?.hello).toBeUndefined();
    other.epoch = 6;
    await until(() => agent.client.link().operatorId === 'other', 'the real leader');
  });

  test('a change of leader is told at once, long before the next heartbeat', async () => {
    const one = await replica('one', 'l4', true, 3_600_000);
    const agent = await served('l4', one, []);
    expect(agent.client.link()).toMatchObject({ leader: true, epoch: 1 });
    one.epoch = 2;
    await until(() => agent.client.link().epoch === 2, 'another term');
    one.leader = false;
    await until(() => !agent.client.link().leader, 'it leads no more');
  });

  test('when the leader dies the other replica serves at once, whatever its epoch, and is kept when it leads', async () => {
    const leader = await replica('leader', 'l3', true);
    leader.epoch = 7;
    const follower = await replica('follower', 'l3', false);
    const agent = await served('l3', leader, [follower]);
    const before = performance.now();
    leader.stop.abort();
    await until(() => agent.client.link().operatorId === 'follower' && agent.client.link().connected, 'served by the other');
    expect(performance.now() - before).toBeLessThan(5_000);
    follower.epoch = 8;
    follower.leader = true;
    await until(() => agent.client.link().leader, 'leads');
    expect(agent.client.link()).toMatchObject({ operatorId: 'follower', epoch: 8 });
  });
});

test('who leads is asked at once when another term has begun, however long the pause had become', async () => {
  const asked: string[] = [];
  let rounds = 0;
  const deps: SeekDeps = {
    open: async (endpoint) => {
      asked.push(endpoint);
      throw new AppError({ code: 'test/away', message: 'nobody there' });
    },
    wanted: () => true,
    pause: {
      nextMs: () => (rounds++ === 0 ? 1 : 3_600_000),
      reset() {
        rounds = 0;
      },
    },
    timeoutMs: 1000,
    clock: systemClock,
    log: silentLog,
  };
  const over = new AbortController();
  const watch = createLeaderWatch(
    deps,
    () => ['other'],
    () => undefined,
    over.signal,
  );
  const beat = (epoch: number): void => watch({ epoch, leader: false, inputAgeMs: {} } as OperatorHeartbeat);
  for (const [epoch, times] of [
    [1, 1],
    [1, 1],
    [2, 2],
    [2, 2],
    [5, 3],
  ] as const) {
    beat(epoch);
    await until(() => asked.length === times && rounds === 2, `asked ${times} times`);
  }
  over.abort();
});

test('replicas that disappointed are tried last, the preferred one first', () => {
  let now = 0;
  const clock = { ...systemClock, monotonicMs: () => now };
  const picker = createPicker(
    () => ['a', 'b', 'c'],
    clock,
    () => 0,
  );
  expect(picker.avoid('a', 100)).toBe(true);
  expect(picker.avoid('b', 200)).toBe(true);
  // nobody else would be left
  expect(picker.avoid('c', 100)).toBe(false);
  expect([picker.next(), picker.next()]).toEqual(['c', 'c']);
  picker.prefer('b');
  expect(picker.next()).toBe('b');
  now = 101;
  expect(new Set([picker.next(), picker.next(), picker.next()])).toEqual(new Set(['a', 'b', 'c']));
  expect(picker.others('a')).toEqual(['b', 'c']);
  picker.prefer('unknown');
  expect(['a', 'b', 'c']).toContain(picker.next());
});
