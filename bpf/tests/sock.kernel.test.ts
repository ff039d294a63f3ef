// Services at the socket, with real sockets: a process inside the cgroup connects and sends to service addresses.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { build, createLab, type Lab } from './kit.ts';
import { createCgroup, createMan, type Man, putService } from './sockets.ts';

let lab: Lab;
let cgroup: ReturnType<typeof createCgroup>;
let man: Man;
/** Outside the cgroup. */
let stranger: Man;

beforeAll(async () => {
  build();
  lab = createLab({ objects: ['sock'] });
  cgroup = createCgroup(lab, 'axd');
  [man, stranger] = await Promise.all([createMan(cgroup.path), createMan('')]);
  const [one, two] = [await stranger.serve('one'), await stranger.serve('two')];
  putService(lab, { vip: '10.96.0.1', port: 80, set: 1n, backends: [['127.0.0.1', one]] });
  putService(lab, { vip: 'fd96::1', port: 80, set: 2n, backends: [['::1', one]] });
  putService(lab, { vip: '10.96.0.2', port: 80, set: 3n, backends: [] });
  putService(lab, { vip: 'fd96::2', port: 80, set: 4n, backends: [] });
  putService(lab, { vip: '127.96.0.1', port: 80, set: 6n, backends: [['127.0.0.1', one]] });
  const both = [one, two].map((port) => ['127.0.0.1', port] as const);
  putService(lab, { vip: '10.96.0.3', port: 80, set: 5n, backends: both });
});
afterAll(async () => {
  for (const m of [man, stranger]) await m?.stop();
  cgroup?.close();
  lab?.close();
});

describe.each([
  ['IPv4', '10.96.0.1', '10.96.0.2'],
  ['IPv6', 'fd96::1', 'fd96::2'],
  ['IPv4 on an IPv6 socket', '::ffff:10.96.0.1', '::ffff:10.96.0.2'],
])('%s', (_name, vip, empty) => {
  const peer = vip.startsWith('::ffff') ? '::ffff:10.96.0.1' : vip;

  test('TCP reaches a backend and sees the service as its peer', async () => {
    expect(await man.act('tcp', vip, 80)).toEqual({ text: 'one', peer: `${peer} 80` });
  });
  test('UDP, connected or not, gets its answer from the service', async () => {
    expect(await man.act('udp', vip, 80)).toEqual({ text: 'one', from: `${peer} 80` });
    expect(await man.act('connected', vip, 80)).toEqual({ text: 'one', from: `${peer} 80` });
  });
  test('a service without backends refuses at once', async () => {
    expect(await man.act('tcp', empty, 80)).toEqual({ error: 'ECONNREFUSED' });
    expect(await man.act('connected', empty, 80)).toEqual({ error: 'ECONNREFUSED' });
    expect(await man.act('udp', empty, 80)).toEqual({ error: 'ECONNREFUSED' });
  });
});

test('both backends of a service are chosen', async () => {
  const seen = new Set<string>();
  for (let i = 0; i < 40 && seen.size < 2; i++) seen.add((await man.act('tcp', '10.96.0.3', 80)).text!);
  expect([...seen].toSorted()).toEqual(['one', 'two']);
});

test('addresses that are no service, and processes outside the cgroup, are left alone', async () => {
  const port = await stranger.serve('direct');
  expect(await man.act('tcp', '127.0.0.1', port)).toMatchObject({ text: 'direct', peer: `127.0.0.1 ${port}` });
  expect(await man.act('tcp', '127.96.0.1', 80)).toMatchObject({ text: 'one' });
  expect(await stranger.act('tcp', '127.96.0.1', 80)).toEqual({ error: 'ECONNREFUSED' });
});
