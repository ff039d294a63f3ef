// Real sockets for tests of services at the socket: a process inside a cgroup and a network namespace that serves, connects, sends and binds
// as it is told.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { bpf, dp, type Lab, netlink } from './kit.ts';
import { family, IP, PROTO } from './names.ts';

export const HOOKS = [
  ...['connect4', 'connect6', 'sendmsg4', 'sendmsg6', 'recvmsg4', 'recvmsg6', 'getpeername4', 'getpeername6'],
  ...['post_bind4', 'post_bind6'],
];

const MAN = `
const net = require('node:net'), dgram = require('node:dgram'), fs = require('node:fs');
if (process.argv[1]) fs.writeFileSync(process.argv[1] + '/cgroup.procs', String(process.pid));
const kept = new Map();
// of a machine that is emulated
const patience = Number(process.env.AXONEME_PATIENCE ?? 1);
const typeOf = (host) => (host.includes(':') ? 'udp6' : 'udp4');
const udp = (type, host, port, connected) => new Promise((done) => {
  const s = dgram.createSocket(type);
  const finish = (r) => { s.close(); done(r); };
  s.on('message', (m, from) => finish({ text: String(m), from: from.address + ' ' + from.port }));
  s.on('error', (e) => finish({ error: e.code }));
  const sent = (e) => { if (e) finish({ error: e.code }); };
  if (connected) s.connect(port, host, (e) => (e ? finish({ error: e.code }) : s.send('x', sent)));
  else s.send('x', port, host, sent);
});
const does = {
  tcp: ({ host, port }) => new Promise((done) => {
    const s = net.connect({ host, port });
    let text = '';
    s.on('connect', () => { s.peer = s.remoteAddress + ' ' + s.remotePort; });
    s.on('data', (d) => { text += d; });
    s.on('end', () => { s.destroy(); done({ text, peer: s.peer }); });
    s.on('error', (e) => done({ error: e.code }));
  }),
  udp: ({ host, port }) => udp(typeOf(host), host, port, false),
  connected: ({ host, port }) => udp(typeOf(host), host, port, true),
  bindTcp: ({ host, port }) => new Promise((done) => {
    const s = net.createServer();
    s.on('error', (e) => done({ error: e.code }));
    s.listen({ host, port }, () => s.close(() => done({ text: 'bound' })));
  }),
  bindUdp: ({ host, port }) => new Promise((done) => {
    const s = dgram.createSocket(typeOf(host));
    s.on('error', (e) => { s.close(); done({ error: e.code }); });
    s.bind({ port, address: host }, () => { s.close(); done({ text: 'bound' }); });
  }),
  serve: async ({ name, port, addresses }) => {
    const tcp = net.createServer((s) => s.end(name));
    await new Promise((ok, no) => tcp.on('error', no).listen({ host: '::', port }, ok));
    for (const address of addresses) {
      const type = typeOf(address);
      const u = dgram.createSocket(type === 'udp4' ? { type } : { type, ipv6Only: true });
      u.on('message', (_m, from) => u.send(name, from.port, from.address));
      await new Promise((ok, no) => u.on('error', no).bind({ port: tcp.address().port, address }, ok));
    }
    return { port: tcp.address().port };
  },
  // says who asks, on a port of both families; TCP keeps the connection and answers every line
  witness: async ({ name, port, addresses }) => {
    const plain = (a) => a.replace(/^::ffff:/, '');
    const tcp = net.createServer((s) => {
      s.on('error', () => {});
      s.on('data', () => s.write(name + ' ' + plain(s.remoteAddress)));
    });
    await new Promise((ok, no) => tcp.on('error', no).listen({ host: '::', port }, ok));
    for (const address of addresses) {
      const u = dgram.createSocket(typeOf(address));
      u.on('message', (m, from) => u.send(m.length > 100 ? m : name + ' ' + plain(from.address), from.port, from.address));
      await new Promise((ok, no) => u.on('error', no).bind({ port, address }, ok));
    }
    return { port };
  },
  // a connection that stays: 'dial' makes it, 'say' sends a line on it and waits for the answer
  dial: ({ id, host, port, from }) => new Promise((done) => {
    const s = net.connect({ host, port, localPort: from || undefined });
    kept.set(id, s);
    s.on('connect', () => done({ text: 'connected' }));
    s.on('data', (d) => s.then?.({ text: String(d) }));
    s.on('error', (e) => { s.gone = e.code; done({ error: e.code }); s.then?.({ error: e.code }); });
  }),
  say: ({ id }) => new Promise((done) => {
    const s = kept.get(id);
    if (s.gone) return done({ error: s.gone });
    s.then = done;
    s.write('x');
  }),
  hang: async ({ id }) => { kept.get(id)?.destroy(); return {}; },
  // one datagram from a port of one's own, whole or in fragments: the length of what comes back
  datagram: ({ host, port, from, size }) => new Promise((done) => {
    const s = dgram.createSocket(typeOf(host));
    const timer = setTimeout(() => { s.close(); done({ error: 'silence' }); }, 1000 * patience);
    const finish = (r) => { clearTimeout(timer); s.close(); done(r); };
    s.on('error', (e) => finish({ error: e.code }));
    s.on('message', (m, who) => finish({ text: size ? String(m.length) : String(m), from: who.address + ' ' + who.port }));
    s.bind(from || 0, () => s.send(size ? Buffer.alloc(size, 'y') : 'x', port, host));
  }),
  // a datagram that is told when it is too long: the length of what comes back
  probe: ({ host, port, size }) => new Promise((done) => {
    const s = dgram.createSocket(typeOf(host));
    const timer = setTimeout(() => { s.close(); done({ error: 'silence' }); }, 1000 * patience);
    const finish = (r) => { clearTimeout(timer); s.close(); done(r); };
    s.on('error', (e) => finish({ error: e.code }));
    s.on('message', (m) => finish({ text: String(m.length) }));
    s.connect(port, host, () => s.send(Buffer.alloc(size, 'z'), (e) => { if (e) finish({ error: e.code }); }));
  }),
  // a connection, one line, its answer; 'silence' when nothing comes
  question: ({ host, port, from }) => new Promise((done) => {
    const s = net.connect({ host, port, localPort: from || undefined });
    const timer = setTimeout(() => finish({ error: 'silence' }), 700 * patience);
    const finish = (r) => { clearTimeout(timer); s.destroy(); done(r); };
    s.on('connect', () => { s.peer = s.remoteAddress + ' ' + s.remotePort; s.write('x'); });
    s.on('data', (d) => finish({ text: String(d), from: s.peer }));
    s.on('error', (e) => finish({ error: e.code }));
  }),
  // one attempt to connect that nobody waits for: what the programs have made of it is in their tables
  touch: ({ host, port, tcp }) => new Promise((done) => {
    const s = tcp ? net.connect({ host, port }) : dgram.createSocket(typeOf(host));
    const finish = (error) => { if (tcp) s.destroy(); else s.close(); done(error ? { error } : {}); };
    s.on('error', (e) => finish(e.code));
    if (tcp) setImmediate(() => { if (!s.destroyed) finish(); });
    else s.connect(port, host, (e) => finish(e?.code));
  }),
  // a connected UDP socket that stays: 'open' makes it, 'ask' sends one question on it
  open: ({ id, host, port }) => new Promise((done) => {
    const s = dgram.createSocket(typeOf(host));
    kept.set(id, s);
    s.on('error', (e) => { s.gone = e.code; s.then?.({ error: e.code }); });
    s.on('message', (m) => s.then?.({ text: String(m) }));
    s.connect(port, host, (e) => done(e ? { error: e.code } : { text: 'open' }));
  }),
  ask: ({ id }) => new Promise((done) => {
    const s = kept.get(id);
    if (s.gone) return done({ error: s.gone });
    s.then = done;
    s.send('x', (e) => { if (e) done({ error: e.code }); });
  }),
};
require('node:readline').createInterface({ input: process.stdin }).on('line', async (line) => {
  const [n, what] = JSON.parse(line);
  const answer = await does[what.kind](what).catch((e) => ({ error: e.code ?? String(e) }));
  process.stdout.write(JSON.stringify([n, answer]) + '\\n');
});
process.stdin.on('end', () => process.exit());
process.stdout.write('[0, {}]\\n');
`;

export type Answer = Readonly<Partial<Record<'text' | 'peer' | 'from' | 'error', string>>>;
export type Kind = 'tcp' | 'udp' | 'connected' | 'bindTcp' | 'bindUdp';

export interface Man {
  act(kind: Kind, host: string, port: number): Promise<Answer>;
  /** Listens and answers with `name`; UDP on these addresses, both loopbacks unless given. */
  serve(name: string, port?: number, addresses?: readonly string[]): Promise<number>;
  open(id: string, host: string, port: number): Promise<Answer>;
  ask(id: string): Promise<Answer>;
  /** Serves both protocols and both families on a port and says who asked; UDP on these addresses. */
  witness(name: string, port: number, addresses: readonly string[]): Promise<Answer>;
  dial(id: string, host: string, port: number, from?: number): Promise<Answer>;
  say(id: string): Promise<Answer>;
  hang(id: string): Promise<Answer>;
  datagram(host: string, port: number, options?: { readonly from?: number; readonly size?: number }): Promise<Answer>;
  /** A datagram with don't-fragment: the length of what comes back, or EMSGSIZE. */
  probe(host: string, port: number, size: number): Promise<Answer>;
  question(host: string, port: number, from?: number): Promise<Answer>;
  /** Connects and lets go at once; an error of the call itself. */
  touch(host: string, port: number, tcp: boolean): Promise<Answer>;
  stop(): Promise<void>;
}

/** `cgroup`: empty for this process's own; `netns`: its name, without it this process's own. */
export async function createMan(cgroup: string, netns?: string): Promise<Man> {
  const enter = netns === undefined ? [] : ['nsenter', `--net=/run/netns/${netns}`];
  const [command = '', ...args] = [...enter, process.execPath, '-e', MAN, cgroup];
  const child: ChildProcess = spawn(command, args, { env: { ...process.env, NODE_OPTIONS: '' }, stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<number, (a: unknown) => void>();
  let last = 0;
  const ready = new Promise((ok) => waiting.set(0, ok));
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const [n, answer] = JSON.parse(line) as [number, unknown];
    waiting.get(n)?.(answer);
    waiting.delete(n);
  });
  await ready;
  const tell = <T>(what: object): Promise<T> =>
    new Promise((done) => {
      waiting.set(++last, done as (a: unknown) => void);
      child.stdin!.write(`${JSON.stringify([last, what])}\n`);
    });
  return {
    act: (kind, host, port) => tell({ kind, host, port }),
    serve: async (name, port = 0, addresses = ['127.0.0.1', '::1']) => {
      const r = await tell<{ port?: number; error?: string }>({ kind: 'serve', name, port, addresses });
      if (r.port === undefined) throw new TypeError(`cannot serve ${name}: ${r.error}`);
      return r.port;
    },
    open: (id, host, port) => tell({ kind: 'open', id, host, port }),
    ask: (id) => tell({ kind: 'ask', id }),
    witness: (name, port, addresses) => tell({ kind: 'witness', name, port, addresses }),
    dial: (id, host, port, from) => tell({ kind: 'dial', id, host, port, from }),
    say: (id) => tell({ kind: 'say', id }),
    hang: (id) => tell({ kind: 'hang', id }),
    datagram: (host, port, options = {}) => tell({ kind: 'datagram', host, port, ...options }),
    probe: (host, port, size) => tell({ kind: 'probe', host, port, size }),
    question: (host, port, from) => tell({ kind: 'question', host, port, from }),
    touch: (host, port, tcp) => tell({ kind: 'touch', host, port, tcp }),
    async stop() {
      child.stdin!.end();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

/** A cgroup with our programs on it, gone after `close`. */
export function createCgroup(lab: Lab, name: string) {
  const path = `${bpf.findCgroup2()}/${name}-${process.pid}`;
  mkdirSync(path);
  const links = HOOKS.map((h) => bpf.attachCgroup(lab.program(`sock_${h}`), path));
  return {
    path,
    close: (): void => {
      for (const l of links) l.close();
      rmdirSync(path);
    },
  };
}

/** A namespace with its loopback up and these addresses on it. */
export function createNetns(
  name: string,
  addresses: readonly string[] = [],
): { readonly name: string; readonly cookie: bigint; close: () => void } {
  const full = `axs${process.pid % 100_000}-${name}`;
  const ip = (...args: string[]): void => void execFileSync('ip', args);
  ip('netns', 'add', full);
  ip('-n', full, 'link', 'set', 'lo', 'up');
  for (const a of addresses) ip('-n', full, 'addr', 'add', a, 'dev', 'lo');
  const cookie = netlink.inNetns(netlink.netnsPath(full), () => bpf.netnsCookie());
  return { name: full, cookie, close: () => ip('netns', 'del', full) };
}

export type Backend = readonly [ip: string, port: number];

export interface ServiceSpec {
  readonly vip: string;
  readonly port: number;
  readonly set: bigint;
  readonly backends: readonly Backend[];
  readonly flags?: number;
  readonly affinityS?: number;
  readonly serviceId?: number;
  /** Of clients outside the cluster; the same as for those inside unless given. */
  readonly setOut?: bigint;
}

/** Slots first, then the frontends of TCP and UDP that name them. */
export function putService(lab: Lab, s: ServiceSpec): void {
  const v = family(s.vip);
  for (const [index, [ip, port]] of s.backends.entries()) {
    lab.put(dp.tables.lb_slot, { set: s.set, index }, { addr: IP.table(ip), port, family: v, flags: 0, backendId: port });
  }
  const n = s.backends.length;
  for (const proto of [PROTO.tcp, PROTO.udp]) {
    const sets = { setOut: s.setOut ?? s.set, setIn: s.set, countOut: n, countIn: n, maglevSize: 0 };
    const value = { ...sets, serviceId: s.serviceId ?? 5, affinityS: s.affinityS ?? 0, flags: s.flags ?? dp.LbFlag.reject };
    lab.put(dp.tables.lb_frontend, { addr: IP.table(s.vip), port: s.port, proto, family: v }, value);
  }
}
