// Servers outside of the cluster, each in a network namespace on the wire of the nodes. They answer with their name and the peer they see, and take
// packets out of their envelope: by the kernel's own devices, or where it has none by a program.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { AppError } from '@axoneme/std';
import { unwrap } from '../../packages/apps/balancer/test/programs.ts';
import type { Fixture } from '../fixture.ts';
import { whoTool } from '../north/who.ts';

const run = promisify(execFile);

/** What servers listen on: TCP and UDP that tell who asked, and HTTP for steady load. */
export const PORTS = { who: 80, http: 8080 } as const;

export interface Server {
  readonly name: string;
  readonly ipv4: string;
  readonly ipv6: string;
  start(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

export interface Servers {
  readonly all: readonly Server[];
  /** How packets get out of their envelope. */
  readonly by: 'device' | 'program';
  close(): Promise<void>;
}

/** On the wire of the nodes, far from their numbers. */
const FIRST = 201;

/** `vips`: addresses that servers hold, so that they can answer with them. */
export async function openServers(f: Fixture, count: number, vips: readonly string[]): Promise<Servers> {
  const [node] = f.sandbox.nodes;
  const children = new Set<ChildProcess>();
  const spaces: string[] = [];
  const subnet = node!.ipv4.split('.')[2]!;
  const prefix6 = node!.ipv6.replace(/[^:]*$/, '');
  const start = (netns: string, argv: readonly string[]): ChildProcess => {
    const child = spawn('nsenter', [`--net=/run/netns/${netns}`, ...argv], { stdio: ['pipe', 'pipe', 'ignore'] });
    children.add(child);
    child.once('exit', () => children.delete(child));
    return child;
  };
  const ended = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((r) => child.once('exit', r));
    child.kill('SIGKILL');
    await gone;
  };

  let by: Servers['by'] = 'device';
  const all: Server[] = [];
  for (let i = 0; i < count; i++) {
    const netns = `axf-${process.pid}-${i + 1}`;
    const [ipv4, ipv6] = [`172.30.${subnet}.${FIRST + i}`, `${prefix6}${(FIRST + i).toString(16)}`];
    const ip = (...args: string[]): Promise<unknown> => run('ip', ['-n', netns, ...args]);
    await run('ip', ['netns', 'add', netns]);
    spaces.push(netns);
    const link = ['ip', 'link', 'add', `srv${i}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `/run/netns/${netns}`];
    for (const argv of [link, ['ip', 'link', 'set', `srv${i}`, 'master', 'br0', 'up']]) {
      const r = await f.sandbox.fabricExec('routerPid', argv);
      if (r.code !== 0) throw new AppError({ code: 'e2e/server', message: `${argv.join(' ')}: ${r.stderr.trim()}` });
    }
    await ip('link', 'set', 'lo', 'up');
    await ip('addr', 'add', `${ipv4}/24`, 'dev', 'eth0');
    await ip('addr', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad');
    await ip('link', 'set', 'eth0', 'up');
    await ip('route', 'add', 'default', 'via', `172.30.${subnet}.2`);
    await ip('-6', 'route', 'add', 'default', 'via', `${prefix6}2`);
    for (const vip of vips) await ip('addr', 'add', `${vip}/${vip.includes(':') ? 128 : 32}`, 'dev', 'lo');
    by = (await addDevices(netns, ip)) ? by : 'program';
    if (by === 'program') await said(start(netns, ['python3', '-c', unwrap]), 'up');
    let child: ChildProcess | undefined;
    const ports = [`t${PORTS.who}`, `u${PORTS.who}`, `h${PORTS.http}`];
    all.push({
      name: `s${i + 1}`,
      ipv4,
      ipv6,
      async start() {
        child = start(netns, [whoTool, 'serve', `s${i + 1}`, ...ports]);
        await listening(netns);
      },
      async kill() {
        if (child !== undefined) await ended(child);
      },
    });
  }
  await Promise.all(all.map((s) => s.start()));
  return {
    all,
    by,
    async close() {
      await Promise.all([...children].map(ended));
      for (const s of spaces) await run('ip', ['netns', 'del', s]);
    },
  };
}

/** As docs/load-balancer.md says for servers; false: this kernel has no such devices. */
async function addDevices(netns: string, ip: (...args: string[]) => Promise<unknown>): Promise<boolean> {
  try {
    await ip('link', 'add', 'name', 'dsr0', 'type', 'ipip', 'external');
    await ip('link', 'add', 'name', 'dsr6', 'type', 'ip6tnl', 'external');
  } catch {
    return false;
  }
  for (const device of ['dsr0', 'dsr6']) await ip('link', 'set', device, 'up');
  await run('ip', ['netns', 'exec', netns, 'sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.dsr0.rp_filter=0']);
  return true;
}

function said(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (d: string) => {
      if (d.includes(text)) resolve();
    });
    child.once('exit', () => reject(new AppError({ code: 'e2e/server', message: 'a server ended at once' })));
  });
}

async function listening(netns: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    const { stdout } = await run('ip', ['netns', 'exec', netns, 'ss', '-Hltn']);
    if (stdout.split('\n').filter((l) => l.includes(`:${PORTS.http} `)).length === 2) return;
    await new Promise((r) => setTimeout(r, 20));
  }
  throw new AppError({ code: 'e2e/server', message: 'a server does not listen' });
}
