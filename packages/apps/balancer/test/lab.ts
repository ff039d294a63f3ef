// A network around a balancer: namespaces for a client, the balancer and three backends on one switch, real servers in the backends, and
// `axoneme lb run` as a process. Names carry the process id; `close` removes everything. Called by the kernel suites.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { pinnedMap } from '@axoneme/bpf';
import { lbFrontendKey, lbFrontendValue, lbSlotKey, lbSlotValue } from '@axoneme/datapath';
import { type IpAddr, ipBytes, ipFamily, ipFromBytes } from '@axoneme/model';
import { askExplain, askStatus, type LbStatus } from '../src/index.ts';
import { ask, holders, newcomers, noOffload, passXdp, server, sizes, unwrap } from './programs.ts';

const repository = fileURLToPath(new URL('../../../../', import.meta.url));
const main = `${repository}packages/apps/cli/src/main.ts`;
const run = (file: string, ...args: string[]): string => execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const python = (program: string, ...args: string[]): string[] => ['python3', '-c', program, ...args];

export const VIP = { 4: '192.0.2.10', 6: '2001:db8::10' } as const;
export const CLIENT = { 4: '10.77.0.2', 6: 'fd77::2' } as const;
export const BALANCER = { 4: '10.77.0.1', 6: 'fd77::1' } as const;
export const backendAddress = (n: number, family: 4 | 6): string => (family === 4 ? `10.77.0.1${n}` : `fd77::1${n}`);
const families = [4, 6] as const;

export async function until<T>(
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const v = await probe();
    if (v !== undefined && v !== false) return v;
    if (performance.now() > deadline) throw new Error(`gave up waiting: ${what}`);
    await new Promise((r) => setTimeout(r, 20));
  }
}

export interface Tally {
  readonly answers: Readonly<Record<string, number>>;
  readonly failures: readonly (readonly [seconds: number, error: string])[];
  /** Seconds since the epoch. */
  readonly last?: Readonly<Record<string, number>>;
  readonly asked?: number;
}
export interface Traffic {
  finish(): Promise<Tally>;
}

type BackendNumber = 1 | 2 | 3;
type Place = 'client' | 'balancer' | 'switch' | BackendNumber;

export interface Lab {
  readonly file: string;
  readonly dir: string;
  write(text: string): void;
  /** Runs `lb run` until it forwards. */
  start(...flags: string[]): Promise<void>;
  stop(signal?: NodeJS.Signals): Promise<void>;
  log(): string;
  cli(...args: string[]): { readonly code: number; readonly out: string; readonly err: string };
  status(): Promise<LbStatus>;
  /** Address of the backend that a flow would go to. */
  explain(client: string, vip: string): Promise<string>;
  /** An answer from each local port of the client; 0: any. */
  ask(family: 4 | 6, port: number, kind?: 'tcp' | 'udp', locals?: readonly number[]): string[];
  /** What became of one datagram of each size that may not be cut: `delivered`, `told` and the MTU, or `lost`. */
  sizes(family: 4 | 6, port: number, bytes: readonly number[]): string[];
  newcomers(family: 4 | 6, port: number): Promise<Traffic>;
  holders(family: 4 | 6, port: number, many: number): Promise<Traffic>;
  serve(n: BackendNumber): Promise<void>;
  kill(n: BackendNumber, signal?: NodeJS.Signals): Promise<void>;
  /** Backends take packets out of their envelope, and have the VIP. */
  unwrap(): Promise<void>;
  ip(where: Place, args: string): string;
  /** Addresses in the slots that new flows to a VIP are given, from the kernel's tables. */
  serving(family: 4 | 6, port: number): string[];
  /** Devices as XDP needs them. */
  prepareXdp(): Promise<void>;
  close(): Promise<void>;
}

function begun(argv: readonly string[], children: Set<ChildProcess>): Promise<{ child: ChildProcess; text: () => string }> {
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
  children.add(child);
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (t: string) => {
    text += t;
  });
  return until(() => text.includes('up') || child.exitCode !== null, 'a program').then(() => {
    if (child.exitCode !== null) throw new Error(`a program ended with ${child.exitCode}`);
    return { child, text: () => text };
  });
}

async function ended(child: ChildProcess, end: () => void): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((r) => child.once('close', r));
  end();
  await gone;
}

export function createLab(): Lab {
  const id = `axl${process.pid}`;
  const ns = (where: Place): string => `${id}${typeof where === 'number' ? `b${where}` : where[0]}`;
  const places = ['client', 'balancer', 'switch', 1, 2, 3] as const;
  // in memory: disks of test machines stall for seconds
  const dir = mkdtempSync(`${existsSync('/dev/shm') ? '/dev/shm' : tmpdir()}/axl-`);
  const children = new Set<ChildProcess>();
  const servers = new Map<BackendNumber, ChildProcess>();
  const ip = (where: Place, args: string): string => run('ip', '-n', ns(where), ...args.split(' '));
  const inside = (where: Place, argv: readonly string[]): string[] => ['nsenter', `--net=/run/netns/${ns(where)}`, ...argv];
  for (const p of places) {
    run('ip', 'netns', 'add', ns(p));
    ip(p, 'link set lo up');
  }
  ip('switch', 'link add br0 type bridge mcast_snooping 0');
  ip('switch', 'link set br0 up');
  const attach = (where: Place, last: number): void => {
    ip('switch', `link add to${String(where)[0]} type veth peer name eth0 netns ${ns(where)}`);
    ip('switch', `link set to${String(where)[0]} master br0 up`);
    ip(where, 'link set eth0 up');
    ip(where, `addr add 10.77.0.${last}/24 dev eth0`);
    ip(where, `addr add fd77::${last}/64 dev eth0 nodad`);
  };
  attach('balancer', 1);
  attach('client', 2);
  for (const n of [1, 2, 3] as const) attach(n, 10 + n);
  ip('balancer', 'route add default via 10.77.0.2');
  ip('balancer', '-6 route add default via fd77::2');
  ip('client', `route add 192.0.2.0/24 via ${BALANCER[4]}`);
  ip('client', `-6 route add 2001:db8::/64 via ${BALANCER[6]}`);
  const [file, socket, bpffs] = [`${dir}/lb.yaml`, `${dir}/lb.sock`, `${dir}/bpf`];
  const where = ['--bpffs', bpffs, '--state-dir', `${dir}/state`, '--socket', socket];
  let balancer: ChildProcess | undefined;
  let output = '';

  const cli: Lab['cli'] = (...args) => {
    try {
      const out = execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
        encoding: 'utf8',
        stdio: 'pipe',
      });
      return { code: 0, out, err: '' };
    } catch (e) {
      const { status, stdout, stderr } = e as { status: number; stdout: string; stderr: string };
      return { code: status, out: stdout, err: stderr };
    }
  };
  const traffic = async (argv: readonly string[]): Promise<Traffic> => {
    const { child, text } = await begun(inside('client', argv), children);
    return {
      async finish() {
        await ended(child, () => child.stdin?.end());
        return JSON.parse(text().trim().split('\n').at(-1) ?? '') as Tally;
      },
    };
  };
  return {
    file,
    dir,
    ip,
    cli,
    log: () => output,
    write(text) {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    },
    async start(...flags) {
      const from = output.length;
      const sizes = 'nat4=32768,nat6=32768,flow4=16384,flow6=16384,lb_sock=1024';
      const node = [process.execPath, '--disable-warning=ExperimentalWarning', main];
      const cgroup = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((c) => existsSync(`${c}/cgroup.procs`)) ?? '';
      const options = [...where, '-f', file, '--map-sizes', sizes, '--health-port', '9880', '--cgroup-root', cgroup, ...flags];
      const [command, ...argv] = inside('balancer', [...node, 'lb', 'run', ...options]);
      const child = spawn(command!, argv, { stdio: ['ignore', 'ignore', 'pipe'] });
      balancer = child;
      children.add(child);
      child.stderr.setEncoding('utf8').on('data', (t: string) => {
        output += t;
        if (process.env.AXL_LOG) process.stderr.write(t);
      });
      await until(() => output.slice(from).includes('"balancing"') || child.exitCode !== null, 'the balancer', 50_000);
      if (child.exitCode !== null) throw new Error(`lb run ended with ${child.exitCode}: ${output.slice(from)}`);
    },
    async stop(signal = 'SIGTERM') {
      const child = balancer;
      if (child !== undefined) await ended(child, () => void child.kill(signal));
    },
    status: () => askStatus(socket),
    explain: async (client, vip) => (await askExplain(socket, { client, vip, protocol: 'TCP' })).backends[0]?.ip ?? '',
    ask: (family, port, kind = 'tcp', locals = [0]) => {
      const [command, ...argv] = inside('client', python(ask, VIP[family], String(port), kind, ...locals.map(String)));
      return run(command!, ...argv)
        .trim()
        .split('\n');
    },
    sizes: (family, port, bytes) => {
      const [command, ...argv] = inside('client', python(sizes, VIP[family], String(port), ...bytes.map(String)));
      return run(command!, ...argv)
        .trim()
        .split('\n');
    },
    newcomers: (family, port) => traffic(python(newcomers, VIP[family], String(port))),
    holders: (family, port, many) => traffic(python(holders, VIP[family], String(port), String(many))),
    async serve(n) {
      const { child } = await begun(inside(n, python(server, `b${n}`, '80')), children);
      servers.set(n, child);
    },
    async kill(n, signal = 'SIGKILL') {
      const child = servers.get(n);
      if (signal !== 'SIGKILL') child?.kill(signal);
      else if (child !== undefined) await ended(child, () => void child.kill(signal));
    },
    async unwrap() {
      for (const n of [1, 2, 3] as const) {
        for (const f of families) ip(n, `addr add ${VIP[f]}/${f === 4 ? 32 : 128} dev lo`);
        await begun(inside(n, python(unwrap)), children);
      }
    },
    serving(family, port) {
      const [frontends, slots] = [pinnedMap(`${bpffs}/axoneme/maps/lb_frontend`)!, pinnedMap(`${bpffs}/axoneme/maps/lb_slot`)!];
      try {
        const vip = VIP[family] as IpAddr;
        const row = frontends.lookup(Buffer.from(lbFrontendKey.encode({ addr: ipBytes(vip), port, proto: 6, family: ipFamily(vip) })));
        if (row === undefined) return [];
        const { setOut, countOut } = lbFrontendValue.decode(row);
        return Array.from({ length: countOut }, (_, index) => {
          const slot = slots.lookup(Buffer.from(lbSlotKey.encode({ set: setOut, index })));
          return slot === undefined ? 'nothing' : ipFromBytes(family, lbSlotValue.decode(slot).addr);
        }).sort();
      } finally {
        frontends.close();
        slots.close();
      }
    },
    async prepareXdp() {
      for (const p of ['client', 1, 2, 3] as const) {
        const [command, ...argv] = inside(p, python(noOffload, 'eth0'));
        run(command!, ...argv);
      }
      await begun(inside('switch', python(passXdp, 'tob')), children);
    },
    async close() {
      for (const c of children) await ended(c, () => void c.kill('SIGKILL'));
      for (const p of places) run('ip', 'netns', 'del', ns(p));
      try {
        run('umount', '-l', bpffs);
      } catch {
        // it never came so far
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
