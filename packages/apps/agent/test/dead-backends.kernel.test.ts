// L6-a at the level of the kernel: connected UDP sockets of the node and of pods, as resolvers keep them, when their backend goes.
import { silentLog } from '@axoneme/std';
import { createFakeClock } from '@axoneme/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { build, createLab, dp, type Lab } from '../../../../bpf/tests/kit.ts';
import { IP } from '../../../../bpf/tests/names.ts';
import { type Backend, createCgroup, createMan, createNetns, type Man, putService } from '../../../../bpf/tests/sockets.ts';
import { createDeadBackends, type DeadBackends } from '../src/datapath/dead-backends.ts';
import { createTables } from '../src/datapath/tables.ts';
import type { Tables } from '../src/ports/tables.ts';

const rounds = Number(process.env.AXA_UDP_ROUNDS ?? 50);
const clock = createFakeClock();
const closers: (() => void)[] = [];
let lab: Lab;
let tables: Tables;
let dead: DeadBackends;
let cgroup: ReturnType<typeof createCgroup>;
const men: Man[] = [];

async function newMan(name: string): Promise<Man> {
  const space = createNetns(name);
  closers.push(space.close);
  const man = await createMan(cgroup.path, space.name);
  men.push(man);
  for (const port of [9001, 9002, 9003]) await man.serve(String(port), port);
  return man;
}

beforeAll(async () => {
  build();
  lab = createLab({ objects: ['sock'] });
  closers.push(() => lab.close());
  cgroup = createCgroup(lab, 'axu');
  closers.push(cgroup.close);
  dead = createDeadBackends((name) => lab.map(name), clock, silentLog);
  tables = createTables(new Map(['lb_slot', 'lb_frontend'].map((n) => [n, lab.map(n)])), dead.follow);
  for (const name of ['unode', 'upod']) await newMan(name);
});
afterAll(async () => {
  for (const man of men) await man.stop();
  for (const close of closers.toReversed()) close();
});
afterEach(() => {
  for (const name of ['lb_frontend', 'lb_slot', 'lb_sock']) {
    for (const [key] of [...lab.map(name).entries()]) lab.map(name).delete(key);
  }
  dead.run();
});

const slotKeys = (set: bigint, n: number): Buffer =>
  Buffer.concat(Array.from({ length: n }, (_, index) => dp.lbSlotKey.encode({ set, index })));
/** As apply does it: slots, then frontends, then what nobody names any more. */
function replace(vip: string, set: bigint, backends: readonly Backend[], old: bigint, oldCount: number): void {
  putService(lab, { vip, port: 53, set, backends });
  tables.get('lb_slot')!.remove(slotKeys(old, oldCount));
}
let ids = 0;
/** An open resolver: whom it talks to, and a way to ask again. */
async function resolver(man: Man, host: string, port = 53): Promise<{ readonly backend: string; ask: Man['ask'] }> {
  const id = String(ids++);
  expect(await man.open(id, host, port)).toEqual({ text: 'open' });
  return { backend: (await man.ask(id)).text ?? '', ask: () => man.ask(id) };
}

describe.each([
  ['IPv4', '10.96.0.53', '10.96.0.53', '127.0.0.1'],
  ['IPv6', 'fd96::53', 'fd96::53', '::1'],
  ['IPv4 on an IPv6 socket', '10.96.0.53', '::ffff:10.96.0.53', '127.0.0.1'],
])('L6-a: %s', (_name, vip, host, loopback) => {
  const backends = (...ports: number[]): Backend[] => ports.map((p) => [loopback, p]);

  test('sockets to a removed backend end, in every namespace; the others stay', async () => {
    putService(lab, { vip, port: 53, set: 1n, backends: backends(9001, 9002) });
    const open = [];
    for (const man of men) for (let i = 0; i < 12; i++) open.push(await resolver(man, host));
    expect(new Set(open.map((r) => r.backend))).toEqual(new Set(['9001', '9002']));
    replace(vip, 2n, backends(9002), 1n, 2);
    expect(clock.pending()).toBe(1);
    clock.advance(50);
    for (const r of open) expect(await r.ask('')).toEqual(r.backend === '9001' ? { error: 'ECONNABORTED' } : { text: '9002' });
    for (const man of men) expect((await resolver(man, host)).backend).toBe('9002');
  });

  test('who connected by himself, or by another service that has it still, is left alone', async () => {
    putService(lab, { vip, port: 53, set: 1n, backends: backends(9001) });
    putService(lab, { vip, port: 54, set: 3n, backends: backends(9001), serviceId: 6 });
    const [mine, direct, other] = [
      await resolver(men[1]!, host),
      await resolver(men[1]!, loopback, 9001),
      await resolver(men[1]!, host, 54),
    ];
    replace(vip, 2n, backends(9002), 1n, 1);
    expect(dead.run()).toBe(1);
    expect(await mine.ask('')).toEqual({ error: 'ECONNABORTED' });
    expect(await direct.ask('')).toEqual({ text: '9001' });
    expect(await other.ask('')).toEqual({ text: '9001' });
  });

  test('a set that is replaced by one with the same backends ends nothing, nor does a backend that drains', async () => {
    putService(lab, { vip, port: 53, set: 1n, backends: backends(9001) });
    const r = await resolver(men[1]!, host);
    replace(vip, 2n, backends(9002, 9001), 1n, 1);
    expect(dead.run()).toBe(0);
    expect(await r.ask('')).toEqual({ text: '9001' });
    // behind the count: nobody is given it any more, who has it keeps it
    putService(lab, { vip, port: 53, set: 4n, backends: backends(9002) });
    const family = vip.includes(':') ? 6 : 4;
    const slot = { addr: IP.table(loopback), port: 9001, family, flags: 0, backendId: 9001 };
    lab.put(dp.tables.lb_slot, { set: 4n, index: 1 }, slot);
    tables.get('lb_slot')!.remove(slotKeys(2n, 2));
    expect(dead.run()).toBe(0);
    expect(await r.ask('')).toEqual({ text: '9001' });
    replace(vip, 5n, backends(9002), 4n, 2);
    expect(dead.run()).toBe(1);
    expect(await r.ask('')).toEqual({ error: 'ECONNABORTED' });
  });

  test('a pod of a local redirect keeps an original backend while there is one', async () => {
    putService(lab, { vip, port: 53, set: 1n, backends: backends(9001) });
    const r = await resolver(men[1]!, host);
    // the redirect comes, then other originals without and with the backend
    const redirect = (setOut: bigint) =>
      putService(lab, { vip, port: 53, set: 2n, setOut, backends: backends(9003), flags: dp.LbFlag.localRedirect | dp.LbFlag.skipOwn });
    putService(lab, { vip, port: 53, set: 3n, backends: backends(9002, 9001) });
    redirect(3n);
    tables.get('lb_slot')!.remove(slotKeys(1n, 1));
    expect(dead.run()).toBe(0);
    expect(await r.ask('')).toEqual({ text: '9001' });
    putService(lab, { vip, port: 53, set: 4n, backends: backends(9002) });
    redirect(4n);
    tables.get('lb_slot')!.remove(slotKeys(3n, 2));
    expect(dead.run()).toBe(1);
    expect(await r.ask('')).toEqual({ error: 'ECONNABORTED' });
  });

  test('a service that is deleted takes its sockets with it', async () => {
    putService(lab, { vip, port: 53, set: 1n, backends: backends(9001) });
    const r = await resolver(men[0]!, host);
    for (const [key] of [...lab.map('lb_frontend').entries()]) lab.map('lb_frontend').delete(key);
    tables.get('lb_slot')!.remove(slotKeys(1n, 1));
    expect(dead.run()).toBe(1);
    expect(await r.ask('')).toEqual({ error: 'ECONNABORTED' });
  });
});

test(`L6-a: both backends killed, ${rounds} times, pods old and new: the next query is answered by one that lives`, async () => {
  const vip = '10.96.0.53';
  const set = (n: number): Backend[] =>
    n % 2 === 0
      ? [['127.0.0.1', 9001]]
      : [
          ['127.0.0.1', 9002],
          ['127.0.0.1', 9003],
        ];
  putService(lab, { vip, port: 53, set: 100n, backends: set(0) });
  for (let n = 1; n <= rounds; n++) {
    if (n === Math.ceil(rounds / 2)) await newMan('ulate');
    const open = [];
    for (const man of men) open.push(await resolver(man, vip));
    replace(vip, BigInt(100 + n), set(n), BigInt(99 + n), set(n - 1).length);
    clock.advance(50);
    const living = set(n).map(([, port]) => String(port));
    for (const [i, r] of open.entries()) {
      expect(await r.ask('')).toEqual({ error: 'ECONNABORTED' });
      expect(living).toContain((await resolver(men[i]!, vip)).backend);
    }
  }
});
