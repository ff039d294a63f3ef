// Services at the socket, with real sockets: a child process inside the cgroup connects and sends to service addresses.
import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { mkdirSync, rmdirSync } from 'node:fs';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { bpf, build, createLab, dp, type Lab } from './kit.ts';
import { IP, PROTO } from './names.ts';

let lab: Lab;
let cgroup = '';
const servers: { close: () => void }[] = [];
const HOOKS = ['connect4', 'connect6', 'sendmsg4', 'sendmsg6', 'recvmsg4', 'recvmsg6', 'getpeername4', 'getpeername6'];

const CHILD = `
const net = require('node:net'), dgram = require('node:dgram'), fs = require('node:fs');
if (process.argv[1]) fs.writeFileSync(process.argv[1] + '/cgroup.procs', String(process.pid));
const tcp = (host, port) => new Promise((done) => {
  const s = net.connect({ host, port });
  let text = '';
  s.on('connect', () => { s.peer = s.remoteAddress + ' ' + s.remotePort; });
  s.on('data', (d) => { text += d; });
  s.on('end', () => { s.destroy(); done({ text, peer: s.peer }); });
  s.on('error', (e) => done({ error: e.code }));
});
const udp = (type, host, port, connected) => new Promise((done) => {
  const s = dgram.createSocket(type);
  const finish = (r) => { s.close(); done(r); };
  s.on('message', (m, from) => finish({ text: String(m), from: from.address + ' ' + from.port }));
  s.on('error', (e) => finish({ error: e.code }));
  const sent = (e) => { if (e) finish({ error: e.code }); };
  if (connected) s.connect(port, host, (e) => (e ? finish({ error: e.code }) : s.send('x', sent)));
  else s.send('x', port, host, sent);
});
const [kind, host, port] = process.argv.slice(2);
const calls = { tcp: () => tcp(host, +port), udp4: () => udp('udp4', host, +port), udp6: () => udp('udp6', host, +port), connected: () => udp(host.includes(':') ? 'udp6' : 'udp4', host, +port, true) };
calls[kind]().then((r) => console.log(JSON.stringify(r)));
`;

/** One client action inside the cgroup (or outside, with `where` empty). */
function act(kind: string, host: string, port: number, where = cgroup): Promise<Record<string, string>> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, ['-e', CHILD, where, kind, host, String(port)], {
      env: { ...process.env, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: 5000,
    });
    let out = '';
    child.stdout.on('data', (d) => {
      out += String(d);
    });
    child.on('close', () => (out === '' ? fail(new Error(`${kind} ${host} said nothing`)) : done(JSON.parse(out))));
  });
}

/** Listeners on both loopbacks that answer with their name. */
async function serve(name: string): Promise<number> {
  const tcp = net.createServer((s) => s.end(name));
  await new Promise<void>((ok) => tcp.listen({ host: '::', port: 0 }, ok));
  const port = (tcp.address() as net.AddressInfo).port;
  servers.push(tcp);
  for (const type of ['udp4', 'udp6'] as const) {
    const udp = dgram.createSocket(type === 'udp4' ? { type } : { type, ipv6Only: true });
    udp.on('message', (_m, from) => udp.send(name, from.port, from.address));
    await new Promise<void>((ok) => udp.bind({ port, address: type === 'udp4' ? '127.0.0.1' : '::1' }, ok));
    servers.push(udp);
  }
  return port;
}

function service(vip: string, port: number, set: bigint, backends: readonly (readonly [string, number])[]): void {
  const family = vip.includes(':') ? 6 : 4;
  for (const [index, [ip, p]] of backends.entries()) {
    lab.put(dp.tables.lb_slot, { set, index }, { addr: IP.table(ip), port: p, family, flags: 0, backendId: index });
  }
  for (const proto of [PROTO.tcp, PROTO.udp]) {
    const n = backends.length;
    const value = { setOut: set, setIn: set, countOut: n, countIn: n, maglevSize: 0, serviceId: 5, affinityS: 0, flags: dp.LbFlag.reject };
    lab.put(dp.tables.lb_frontend, { addr: IP.table(vip), port, proto, family }, value);
  }
}

beforeAll(async () => {
  build();
  lab = createLab({ objects: ['sock'] });
  cgroup = `${bpf.findCgroup2()}/axd-${process.pid}`;
  mkdirSync(cgroup);
  for (const h of HOOKS) servers.push(bpf.attachCgroup(lab.program(`sock_${h}`), cgroup));
  const [one, two] = [await serve('one'), await serve('two')];
  service('10.96.0.1', 80, 1n, [['127.0.0.1', one]]);
  service('fd96::1', 80, 2n, [['::1', one]]);
  service('10.96.0.2', 80, 3n, []);
  service('fd96::2', 80, 4n, []);
  service('127.96.0.1', 80, 6n, [['127.0.0.1', one]]);
  service('10.96.0.3', 80, 5n, [
    ['127.0.0.1', one],
    ['127.0.0.1', two],
  ]);
});
afterAll(() => {
  for (const s of servers) s.close();
  lab.close();
  rmdirSync(cgroup);
});

describe.each([
  ['IPv4', '10.96.0.1', '10.96.0.2'],
  ['IPv6', 'fd96::1', 'fd96::2'],
  ['IPv4 on an IPv6 socket', '::ffff:10.96.0.1', '::ffff:10.96.0.2'],
])('%s', (_name, vip, empty) => {
  const udp = vip.includes(':') ? 'udp6' : 'udp4';
  const peer = vip.startsWith('::ffff') ? '::ffff:10.96.0.1' : vip;

  test('TCP reaches a backend and sees the service as its peer', async () => {
    expect(await act('tcp', vip, 80)).toEqual({ text: 'one', peer: `${peer} 80` });
  });
  test('UDP, connected or not, gets its answer from the service', async () => {
    expect(await act(udp, vip, 80)).toEqual({ text: 'one', from: `${peer} 80` });
    expect(await act('connected', vip, 80)).toEqual({ text: 'one', from: `${peer} 80` });
  });
  test('a service without backends refuses at once', async () => {
    expect(await act('tcp', empty, 80)).toEqual({ error: 'ECONNREFUSED' });
    expect(await act('connected', empty, 80)).toEqual({ error: 'ECONNREFUSED' });
    expect(await act(udp, empty, 80)).toEqual({ error: 'ECONNREFUSED' });
  });
});

test('both backends of a service are chosen', async () => {
  const seen = new Set<string>();
  for (let i = 0; i < 40 && seen.size < 2; i++) seen.add((await act('tcp', '10.96.0.3', 80)).text!);
  expect([...seen].toSorted()).toEqual(['one', 'two']);
});

test('addresses that are no service, and processes outside the cgroup, are left alone', async () => {
  const port = await serve('direct');
  expect(await act('tcp', '127.0.0.1', port)).toMatchObject({ text: 'direct', peer: `127.0.0.1 ${port}` });
  expect(await act('tcp', '127.96.0.1', 80)).toMatchObject({ text: 'one' });
  expect(await act('tcp', '127.96.0.1', 80, '')).toEqual({ error: 'ECONNREFUSED' });
});
