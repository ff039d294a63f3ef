import { silentLog, systemClock } from '@axoneme/std';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  createLeases,
  createMirror,
  type Entry,
  follow,
  followDefaults,
  type KvEvent,
  keysOf,
  type Mirror,
  type MirrorConfig,
  mirrorDefaults,
  type Position,
} from '../src/index.ts';
import { type RedisServer, startRedis, until } from './redis-fixture.ts';

let redis: RedisServer;
let stop: AbortController;
let cluster = 0;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.dispose());
beforeEach(() => {
  stop = new AbortController();
  cluster++;
});
afterEach(() => stop.abort());

const identity = (id: number, app: string): Entry => ['identity', String(id), { labels: { app } }];
const hash = async (kind: 'identity' | 'ip' | 'node'): Promise<Record<string, unknown>> => {
  const flat = (await redis.admin.command('HGETALL', keysOf(`c${cluster}`).hash(kind))) as string[];
  return Object.fromEntries(flat.flatMap((t, i) => (i % 2 === 0 ? [[t, JSON.parse(flat[i + 1] as string)]] : [])));
};

async function mirrorOf(truth: Map<string, Entry>, config: Partial<MirrorConfig> = {}): Promise<Mirror> {
  const mirror = createMirror(
    { snapshot: () => truth.values(), clock: systemClock, log: silentLog },
    {
      ...mirrorDefaults,
      url: redis.url,
      cluster: `c${cluster}`,
      probeMs: 20,
      backoff: { baseMs: 5, maxMs: 20 },
      commandTimeoutMs: 1000,
      ...config,
    },
  );
  await mirror.start(stop.signal);
  return mirror;
}
const settled = (m: Mirror): Promise<void> => until(() => m.settled() && m.health().state === 'ok', 'mirror settled');

interface Watch {
  readonly events: KvEvent[];
  readonly troubles: (string | undefined)[];
  view(): Record<string, unknown>;
}
function watch(from?: Position): Watch {
  const events: KvEvent[] = [];
  const troubles: (string | undefined)[] = [];
  const state = new Map<string, unknown>();
  const config = { ...followDefaults, url: redis.url, cluster: `c${cluster}`, blockMs: 50, backoff: { baseMs: 5, maxMs: 20 } };
  const deps = { clock: systemClock, log: silentLog, trouble: (r: string | undefined) => void troubles.push(r) };
  void (async () => {
    for await (const e of follow(deps, config, stop.signal, from)) {
      if (e.kind === 'reset') {
        state.clear();
        for (const [kind, m] of Object.entries(e.view)) for (const [k, v] of m) state.set(`${kind} ${k}`, v);
      } else if (e.value === undefined) state.delete(`${e.of} ${e.key}`);
      else state.set(`${e.of} ${e.key}`, e.value);
      events.push(e);
    }
  })();
  return { events, troubles, view: () => Object.fromEntries([...state].sort(([a], [b]) => (a < b ? -1 : 1))) };
}

describe('mirror', () => {
  test('writes the truth, then changes, and journals each change once', async () => {
    const truth = new Map([['1', identity(256, 'a')]]);
    const mirror = await mirrorOf(truth);
    mirror.lead(1);
    await settled(mirror);
    expect(await hash('identity')).toEqual({ 256: { labels: { app: 'a' } } });
    mirror.set('ip', '10.0.0.1', { identity: 256, node: 'n1' });
    mirror.set('ip', '10.0.0.1', { identity: 257, node: 'n1' });
    mirror.set('ip', '10.0.0.2', { identity: 256, node: 'n1' });
    await settled(mirror);
    mirror.set('ip', '10.0.0.2', undefined);
    mirror.set('ip', '10.0.0.1', { node: 'n1', identity: 257 });
    await settled(mirror);
    expect(await hash('ip')).toEqual({ '10.0.0.1': { identity: 257, node: 'n1' } });
    const entries = (await redis.admin.command('XLEN', keysOf(`c${cluster}`).journal)) as number;
    // Generation, identity, two addresses, one deletion; equal values are not written again.
    expect(entries).toBe(5);
  });

  test('a second start with the same truth writes nothing', async () => {
    const truth = new Map(Array.from({ length: 1000 }, (_, i) => [String(i), identity(256 + i, `a${i}`)]));
    const first = await mirrorOf(truth);
    first.lead(1);
    await settled(first);
    first.yield();
    const second = await mirrorOf(truth);
    second.lead(2);
    await settled(second);
    expect([first.counts().written, second.counts().written]).toEqual([1000, 0]);
  });

  test('an older leader is fenced off', async () => {
    const truth = new Map([['1', identity(256, 'a')]]);
    const old = await mirrorOf(truth);
    old.lead(1);
    await settled(old);
    const young = await mirrorOf(new Map([['1', identity(256, 'new')]]));
    young.lead(2);
    await settled(young);
    old.set('identity', '256', { labels: { app: 'stale' } });
    await until(() => old.counts().pending === 0 && !old.settled(), 'the old one gave up');
    expect(await hash('identity')).toEqual({ 256: { labels: { app: 'new' } } });
    await settled(young);
  });

  test('FLUSHALL is noticed without any write, and everything comes back', async () => {
    const truth = new Map([['1', identity(256, 'a')]]);
    const mirror = await mirrorOf(truth);
    mirror.lead(1);
    await settled(mirror);
    truth.set('2', identity(257, 'b'));
    await redis.admin.command('FLUSHALL');
    await until(async () => Object.keys(await hash('identity')).length === 2, 'rebuilt');
    await settled(mirror);
    expect(mirror.counts().compared).toBe(2);
  });

  test('writes that a failover lost are found', async () => {
    const truth = new Map([['1', identity(256, 'a')]]);
    const mirror = await mirrorOf(truth);
    mirror.lead(1);
    await settled(mirror);
    const keys = keysOf(`c${cluster}`);
    await redis.admin.command('HDEL', keys.hash('identity'), '256');
    await redis.admin.command('HINCRBY', keys.meta, 'sequence', -1);
    await until(async () => Object.keys(await hash('identity')).length === 1, 'rebuilt');
  });

  test('kill -9 and an empty restart: degraded meanwhile, callers never wait, newest value arrives', async () => {
    const truth = new Map([['1', identity(256, 'a')]]);
    const mirror = await mirrorOf(truth);
    mirror.lead(1);
    await settled(mirror);
    await redis.kill();
    await until(() => mirror.health().state === 'degraded', 'degraded');
    const started = performance.now();
    for (let i = 0; i < 10_000; i++) {
      truth.set('2', identity(257, `v${i}`));
      mirror.set('identity', '257', { labels: { app: `v${i}` } });
    }
    expect(performance.now() - started).toBeLessThan(1000);
    expect(mirror.counts().pending).toBe(1);
    await redis.start();
    await settled(mirror);
    expect(await hash('identity')).toEqual({ 256: { labels: { app: 'a' } }, 257: { labels: { app: 'v9999' } } });
  });

  test('too many changes while Redis is away are dropped and compared later', async () => {
    const truth = new Map<string, Entry>();
    const mirror = await mirrorOf(truth, { pendingMax: 10 });
    mirror.lead(1);
    await settled(mirror);
    await redis.kill();
    await until(() => mirror.health().state === 'degraded', 'degraded');
    for (let i = 0; i < 100; i++) {
      truth.set(String(i), identity(256 + i, 'x'));
      mirror.set('identity', String(256 + i), { labels: { app: 'x' } });
      expect(mirror.counts().pending).toBeLessThanOrEqual(10);
    }
    await redis.start();
    await until(async () => Object.keys(await hash('identity')).length === 100, 'all there');
  });

  test.each([
    ['a read-only replica', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE'], /READONLY/],
    ['full memory', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0'], /OOM/],
  ])('%s refuses writes: health says why, and it heals', async (_what, breakIt, healIt, reason) => {
    const mirror = await mirrorOf(new Map());
    mirror.lead(1);
    await settled(mirror);
    const run = (words: string[]) => redis.admin.command(words[0] as string, ...words.slice(1));
    await run(breakIt);
    mirror.set('node', 'n1', { addresses: ['192.0.2.1'], podCidrs: [] });
    await until(() => mirror.health().state === 'degraded', 'degraded');
    expect(mirror.health()).toMatchObject({ reason: expect.stringMatching(reason) });
    expect(mirror.counts().pending).toBe(1);
    await run(healIt);
    await settled(mirror);
    expect(await hash('node')).toEqual({ n1: { addresses: ['192.0.2.1'], podCidrs: [] } });
  });

  test('the journal stays short', async () => {
    const mirror = await mirrorOf(new Map(), { journalMax: 100 });
    mirror.lead(1);
    await settled(mirror);
    for (let i = 0; i < 3000; i++) mirror.set('ip', `10.0.${i >> 8}.${i & 255}`, { identity: 256, node: 'n' });
    await settled(mirror);
    const length = (await redis.admin.command('XLEN', keysOf(`c${cluster}`).journal)) as number;
    // Redis trims whole nodes of 100 entries.
    expect(length).toBeLessThanOrEqual(300);
  });
});

describe('follower', () => {
  test('sees everything, then each change, and goes on from a position', async () => {
    const truth = new Map([['1', identity(256, 'a')]]);
    const mirror = await mirrorOf(truth);
    mirror.lead(1);
    await settled(mirror);
    const w = watch();
    await until(() => w.events.length === 1, 'reset');
    expect(w.view()).toEqual({ 'identity 256': { labels: { app: 'a' } } });
    mirror.set('node', 'n1', { addresses: [], podCidrs: ['10.0.0.0/24'] });
    mirror.set('identity', '256', undefined);
    await until(() => w.events.length === 3, 'two changes');
    expect(w.view()).toEqual({ 'node n1': { addresses: [], podCidrs: ['10.0.0.0/24'] } });
    const later = watch(w.events[1]?.position);
    await until(() => later.events.length === 1, 'the missing change only');
    expect(later.events[0]).toMatchObject({ kind: 'change' });
  });

  test('a flush and a journal that was cut off start over with everything', async () => {
    const truth = new Map([['1', identity(256, 'a')]]);
    const mirror = await mirrorOf(truth);
    mirror.lead(1);
    await settled(mirror);
    const w = watch();
    await until(() => w.events.length === 1, 'reset');
    truth.set('2', identity(257, 'b'));
    await redis.admin.command('FLUSHALL');
    await until(() => Object.keys(w.view()).length === 2, 'all again');
    const before = w.events.at(-1)?.position as Position;
    mirror.set('identity', '258', { labels: {} });
    mirror.set('identity', '259', { labels: {} });
    await until(() => Object.keys(w.view()).length === 4, 'changes');
    await redis.admin.command('XTRIM', keysOf(`c${cluster}`).journal, 'MAXLEN', 1);
    const gap = watch(before);
    await until(() => Object.keys(gap.view()).length === 4, 'gap noticed');
    expect(gap.events[0]?.kind).toBe('reset');
  });

  test('survives kill -9 in the middle of a blocking read', async () => {
    const truth = new Map([['1', identity(256, 'a')]]);
    const mirror = await mirrorOf(truth);
    mirror.lead(1);
    await settled(mirror);
    const w = watch();
    await until(() => w.events.length === 1, 'reset');
    await redis.kill();
    await until(() => w.troubles.length > 0, 'trouble is told');
    await redis.start();
    mirror.set('identity', '300', { labels: {} });
    truth.set('3', ['identity', '300', { labels: {} }]);
    await until(() => 'identity 300' in w.view(), 'follows again');
    expect(w.troubles.at(-1)).toBeUndefined();
  });
});

describe('leases', () => {
  test('one holder at a time, extended by itself only, free after its time', async () => {
    const leases = createLeases(redis.admin, `c${cluster}`);
    expect(await leases.take('x', 'a', 60)).toEqual({ held: true, holder: 'a' });
    expect(await leases.take('x', 'b', 60)).toEqual({ held: false, holder: 'a' });
    expect(await leases.take('x', 'a', 60)).toEqual({ held: true, holder: 'a' });
    expect(await leases.release('x', 'b')).toBe(false);
    await until(async () => (await leases.take('x', 'b', 5000)).held, 'expired');
    expect(await leases.release('x', 'b')).toBe(true);
    expect(await leases.release('x', 'b')).toBe(false);
  });
});
