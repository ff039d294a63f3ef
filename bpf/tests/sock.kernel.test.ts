// Services at the socket, with real sockets: a process inside the cgroup connects and sends to service addresses.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { bpf, build, createLab, dp, type Lab } from './kit.ts';
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

describe.each([
  ['IPv4', '10.96.0.9', '127.0.0.1'],
  ['IPv6', 'fd96::9', '::1'],
])('a local redirect, %s', (_name, vip, own) => {
  let direct: number;
  const put = async (flags: number): Promise<void> => {
    const { localRedirect, reject } = dp.LbFlag;
    const [near, far] = [await stranger.serve('near'), await stranger.serve('far')];
    direct = await stranger.serve('direct');
    // the original backends first: the row of the frontend, written last, is that of the redirect
    putService(lab, { vip, port: 80, set: 21n, backends: [[own, far]] });
    putService(lab, { vip, port: 80, set: 20n, setOut: 21n, backends: [[own, near]], flags: localRedirect | reject | flags });
    putService(lab, { vip: own, port: direct, set: 20n, setOut: 0n, backends: [[own, near]], flags: localRedirect | flags });
  };
  const ip6 = new Uint8Array(16);
  ip6[15] = 1;
  const pod = () => lab.put(dp.tables.endpoint_netns, { cookie: bpf.netnsCookie() }, { ip4: new Uint8Array([127, 0, 0, 1]), ip6 });
  const another = { ip4: new Uint8Array([10, 0, 0, 1]), ip6: new Uint8Array(16).fill(7) };
  const nobody = () => lab.put(dp.tables.endpoint_netns, { cookie: bpf.netnsCookie() }, another);
  const kinds = ['tcp', 'udp', 'connected'] as const;

  test('every client has the pods of the node, these pods too', async () => {
    await put(0);
    for (const who of [nobody, pod]) {
      who();
      for (const kind of kinds) {
        expect(await man.act(kind, vip, 80)).toMatchObject({ text: 'near' });
        expect(await man.act(kind, own, direct)).toMatchObject({ text: 'near' });
      }
    }
  });

  test('with skipRedirectFromBackend the pods have what was there before', async () => {
    await put(dp.LbFlag.skipOwn);
    nobody();
    for (const kind of kinds) {
      expect(await man.act(kind, vip, 80)).toMatchObject({ text: 'near' });
      expect(await man.act(kind, own, direct)).toMatchObject({ text: 'near' });
    }
    pod();
    for (const kind of kinds) {
      expect(await man.act(kind, vip, 80)).toMatchObject({ text: 'far' });
      expect(await man.act(kind, own, direct)).toMatchObject({ text: 'direct' });
    }
  });
});
