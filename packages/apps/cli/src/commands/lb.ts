// `axoneme lb …`: the stand-alone load balancer of this machine. No operator, no API server: the services are in a file. Called by program.ts.
import { readFileSync } from 'node:fs';
import type { LbStatus } from '@axoneme/balancer';
import { AppError, describeError } from '@axoneme/std';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { exitCodes } from '../failure.ts';
import { json, type Output, table } from '../output.ts';
import type { OptionsOf, Outcome } from './policy.ts';

export interface LbIo {
  readonly out: Output;
  readonly err: Output;
  readonly signal: AbortSignal;
}

/** Loaded when one of its commands runs: the others need no kernel. */
const load = () => import('@axoneme/balancer');

interface Where {
  readonly stateDir: string;
  readonly bpffs: string;
  readonly socket: string;
}
interface Common extends Where {
  readonly output: string;
  readonly file: string;
}
interface RunOptions extends Common {
  readonly device: readonly string[];
  readonly acceleration: 'native' | 'best-effort' | 'disabled';
  readonly cgroupRoot: string;
  readonly objectsDir: string;
  readonly healthPort: number;
  readonly mapSizes: Readonly<Record<string, number>>;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

// what it remembers belongs to what is in the kernel: both are gone after a boot, and memory does not keep a health check waiting as a disk may
const defaults = { stateDir: '/run/axoneme/lb', bpffs: '/sys/fs/bpf', socket: '/run/axoneme/lb.sock', healthPort: 9880 };
const collect = (value: string, all: readonly string[]): readonly string[] => [...all, value];

function port(value: string): number {
  const n = Number(value);
  if (!/^-?\d{1,5}$/.test(value) || n < -1 || n > 65_535) throw new InvalidArgumentError('must be a port; 0 takes a free one, -1 none.');
  return n;
}

function sizes(value: string): Readonly<Record<string, number>> {
  return Object.fromEntries(
    value.split(',').map((item) => {
      const [name = '', rows = ''] = item.split('=');
      if (name === '' || !/^[1-9]\d{0,8}$/.test(rows)) throw new InvalidArgumentError('must be map=rows, as in nat4=131072,nat6=65536.');
      return [name, Number(rows)];
    }),
  );
}

const withSocket = (c: Command): Command => c.option('--socket <path>', 'where the running balancer answers', defaults.socket);
const withFile = (c: Command): Command => c.requiredOption('-f, --file <path>', 'state file: services with VIPs, backends and checks');
const withState = (c: Command): Command =>
  c
    .option('--state-dir <path>', 'what it remembers over a restart', defaults.stateDir)
    .option('--bpffs <path>', 'where programs and tables are pinned', defaults.bpffs);

export function addLbCommands(lb: Command, io: LbIo, outcome: Outcome, optionsOf: OptionsOf): void {
  const of = <T>(command: Command): T => optionsOf(command) as T;
  addRun(lb, io, of);
  addCheck(lb, io, outcome, of);
  addQuestions(lb, io, of);
  addChanges(lb, io, of);
}

type Of = <T>(command: Command) => T;

function addRun(lb: Command, io: LbIo, of: Of): void {
  withState(withSocket(withFile(lb.command('run'))))
    .description('balances what the file says, until it is stopped; the datapath goes on without it')
    .option(
      '-d, --device <name>',
      'device towards clients and backends; may be repeated; default: those of the default routes',
      collect,
      [],
    )
    .addOption(
      new Option('--acceleration <mode>', 'XDP: in the driver, wherever it can be, or not at all')
        .choices(['native', 'best-effort', 'disabled'])
        .default('disabled'),
    )
    .option('--health-port <port>', '127.0.0.1 port of /healthz, /readyz and /metrics; -1: none', port, defaults.healthPort)
    .option('--map-sizes <map=rows,...>', 'room of kernel tables', sizes, {})
    .option('--cgroup-root <path>', 'default: the first cgroup2 mount', '')
    .option('--objects-dir <path>', 'eBPF objects; default: those that came with this program', '')
    .addOption(new Option('--log-level <level>', 'what to log').choices(['debug', 'info', 'warn', 'error']).default('info'))
    .action(async (...args: unknown[]) => {
      const o = of<RunOptions>(args.at(-1) as Command);
      const { runLb } = await load();
      await runLb({ ...o, devices: o.device }, io.signal);
    });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AppError({ code: 'cli/no-file', message: `${path} cannot be read: ${describeError(cause)}`, hint: 'see --file', cause });
  }
}

function addCheck(lb: Command, io: LbIo, outcome: Outcome, of: Of): void {
  withFile(lb.command('check'))
    .description('says whether the file is right, and if not, what is wrong on which line')
    .action(async (...args: unknown[]) => {
      const o = of<Common>(args.at(-1) as Command);
      const { problemText, readStateFile } = await load();
      const read = readStateFile(readText(o.file));
      if (!read.ok) outcome.code = exitCodes.failed;
      if (o.output === 'json') {
        io.out.write(json(read.ok ? { ok: true } : { ok: false, problems: read.problems }));
        return;
      }
      if (!read.ok) for (const p of read.problems) io.err.write(`${problemText(o.file, p)}\n`);
      else {
        const { services } = read.spec;
        const count = (list: readonly (readonly unknown[])[]): number => list.reduce((sum, l) => sum + l.length, 0);
        const [vips, backends] = [count(services.map((s) => s.vips)), count(services.map((s) => s.backends))];
        io.out.write(`${o.file} is right: ${services.length} services, ${vips} VIPs, ${backends} backends\n`);
      }
    });
}

function addQuestions(lb: Command, io: LbIo, of: Of): void {
  withSocket(lb.command('status'))
    .description('VIPs, backends with their states and checks, flows, drops; from the running balancer')
    .action(async (...args: unknown[]) => {
      const o = of<Common>(args.at(-1) as Command);
      const { askStatus } = await load();
      const s = await askStatus(o.socket);
      io.out.write(o.output === 'json' ? json(s) : renderLbStatus(s));
    });
  withSocket(lb.command('explain'))
    .description('which backend a flow goes to, and why')
    .argument('<client>', 'address:port the client sends from')
    .argument('<vip>', 'address:port it sends to')
    .option('--protocol <name>', 'TCP, UDP or SCTP', 'TCP')
    .action(async (client: string, vip: string, ...rest: unknown[]) => {
      const o = of<Common & { protocol: string }>(rest.at(-1) as Command);
      const { askExplain } = await load();
      const e = await askExplain(o.socket, { client, vip, protocol: o.protocol });
      if (o.output === 'json') io.out.write(json(e));
      else {
        const ends = e.backends.map((b) => socketText(b.ip, b.port)).join(', ');
        io.out.write(
          `${e.steps.map((s) => `${s}\n`).join('')}=> ${ends === '' ? e.verdict : e.backends.length === 1 ? ends : `one of ${ends}`}\n`,
        );
      }
    });
}

function addChanges(lb: Command, io: LbIo, of: Of): void {
  for (const [name, state, what] of [
    ['drain', 'maintenance', 'gives a backend no new flows; those it has go on'],
    ['undrain', 'active', 'gives a backend new flows again'],
  ] as const) {
    withFile(lb.command(name))
      .description(`${what}; changes the file`)
      .argument('<backend>', 'address, or address:port')
      .action(async (backend: string, ...rest: unknown[]) => {
        const o = of<Common>(rest.at(-1) as Command);
        const { replaceFile, withState: changed } = await load();
        const done = changed(readText(o.file), backend, state);
        if (!done.ok) throw done.error;
        replaceFile(o.file, done.value.text);
        io.out.write(
          `${backend} is ${state} in ${done.value.changed === 1 ? 'one service' : `${done.value.changed} services`} of ${o.file}\n`,
        );
      });
  }
  withState(withSocket(lb.command('remove')))
    .description('takes what a stopped balancer left in the kernel off this machine')
    .option('-d, --device <name>', 'device it ran on; may be repeated', collect, [])
    .action(async (...args: unknown[]) => {
      const o = of<RunOptions>(args.at(-1) as Command);
      const { removeLb } = await load();
      const gone = await removeLb({ ...o, devices: o.device });
      io.out.write(gone.length === 0 ? 'there was nothing to remove\n' : `${gone.map((g) => `${g} removed\n`).join('')}`);
    });
}

const socketText = (address: string, at: number): string => (address.includes(':') ? `[${address}]:${at}` : `${address}:${at}`);

const probeText = (b: LbStatus['services'][number]['backends'][number]): string =>
  b.probe === null ? '' : b.probe.ok ? `ok, ${b.probe.latencyMs} ms` : `${b.probe.reason} (${b.probe.streak} in a row)`;

export function renderLbStatus(s: LbStatus): string {
  const head = [
    `File:     ${s.file}${s.problems.length === 0 ? '' : ' (NOT in force as it is now)'}`,
    ...s.problems.map((p) => `          ${p}`),
    `Devices:  ${s.devices.join(', ')}`,
    `Own:      ${s.addresses.filter((a) => !a.startsWith('fe80:')).join(', ')}`,
    ...s.health.filter((h) => h.state !== 'ok').map((h) => `Problem:  ${h.name}: ${h.reason}`),
    `Probes:   ${s.probes.targets} targets, ${s.probes.asking} under way, ${s.probes.waiting} waiting`,
  ];
  const rows = s.services.flatMap((service) =>
    service.backends.map((b, i) => [
      i === 0 ? service.name : '',
      service.vips[i] ?? '',
      socketText(b.address, b.port),
      b.weight,
      b.failing && b.state === 'active' ? 'active (failing)' : b.state,
      b.flows,
      probeText(b),
    ]),
  );
  const extra = s.services.flatMap((service) =>
    service.vips.slice(service.backends.length).map((v) => `          ${service.name} also has ${v}\n`),
  );
  const drops = Object.entries(s.drops).map(([reason, n]) => [reason, n]);
  return `${head.join('\n')}\n\n${table(['SERVICE', 'VIP', 'BACKEND', 'WEIGHT', 'STATE', 'FLOWS', 'CHECK'], rows)}${extra.join('')}${
    drops.length === 0 ? '' : `\n${table(['DROPPED', 'PACKETS'], drops)}`
  }`;
}
