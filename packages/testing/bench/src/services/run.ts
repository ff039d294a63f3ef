// `npm run bench -- services`: a Service of two backends among 10, 1,000 and 10,000, by kube-proxy's rules and by ours, over the same wires
// in the same run.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inNetns } from '@axoneme/netlink';
import { AppError } from '@axoneme/std';
import { waitForCalm } from '../quiet.ts';
import { type Budget, createReport, type Report, type Row, rowOf } from '../report.ts';
import { alone, createFlood, type Flood } from './flood.ts';
import { costOf } from './floors.ts';
import { timeChange } from './program.ts';
import { createWay, SERVER_PORT, type Side, type Way, type WayKind } from './ways.ts';

export interface ServicesOptions {
  readonly rounds: number;
  readonly progress: (line: string) => void;
}

const SIZES = [10, 1_000, 10_000] as const;
const SECONDS = 0.4;
const CPU = '1';
type Measure = 'rr' | 'crr' | 'cc';
const KINDS: Readonly<Record<Side, readonly WayKind[]>> = {
  inside: ['direct', 'iptables', 'nftables', 'socket'],
  outside: ['direct', 'iptables', 'nftables', 'tc'],
};
const FLOODED: readonly WayKind[] = ['direct', 'iptables', 'nftables', 'tc', 'xdp'];
const CHANGED: readonly WayKind[] = ['iptables', 'nftables', 'tc'];
const BULK = 1_000;
/** Alone on its core, whatever else the machine does. */
const ALONE = ['chrt', '-f', '10', 'taskset', '-c', CPU];
const BUSY = 0.15;
const CALM_MS = 2_000;
const SIDES = ['inside', 'outside'] as const;

const keyOf = (side: Side, kind: WayKind, size: number, what: string): string => `${side} ${kind} ${size} ${what}`;
type Samples = Map<string, number[]>;

export async function runServicesBench(options: ServicesOptions): Promise<Report> {
  const missing = ['iptables-legacy', 'nft'].filter((p) => !isThere(p));
  if (missing.length > 0)
    throw new AppError({ code: 'bench/missing', message: `${missing.join(' and ')} missing`, hint: 'apt-get install iptables nftables' });
  const dir = mkdtempSync(join(tmpdir(), 'axsvc-'));
  const tool = join(dir, 'rr');
  execFileSync('cc', ['-O2', '-Wall', '-Werror', '-o', tool, join(import.meta.dirname, '../pods/rr.c')]);
  const samples: Samples = new Map();
  try {
    for (const size of SIZES) await measureSize(tool, size, samples, options);
  } finally {
    rmSync(dir, { recursive: true });
  }
  return report(samples, options.rounds);
}

function isThere(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

type Note = (side: Side, kind: WayKind, what: string, value: number) => void;

async function measureSize(tool: string, size: number, samples: Samples, options: ServicesOptions): Promise<void> {
  const talks: Way[] = [];
  const floods: Flood[] = [];
  const servers: ChildProcess[] = [];
  const note: Note = (side, kind, what, value) => {
    if (!(value > 0)) throw new AppError({ code: 'bench/no-traffic', message: `${side} ${kind}: ${what} gave ${value}` });
    const at = keyOf(side, kind, size, what);
    samples.set(at, [...(samples.get(at) ?? []), value]);
  };
  try {
    for (const side of SIDES) for (const kind of KINDS[side]) talks.push(createWay(kind, side, size));
    for (const kind of FLOODED) floods.push(createFlood(createWay(kind, 'outside', size)));
    for (const w of talks) for (const b of w.bed.backends) servers.push(await startServer(tool, b.netns, b.ip));
    for (let round = 0; round < options.rounds; round++) {
      const busy = await waitForCalm(BUSY, CALM_MS);
      for (const m of ['rr', 'crr', 'cc'] as const) for (const w of talks) note(w.side, w.kind, m, Number(await client(tool, w, m)));
      measureFloods(floods, size, round, note);
      options.progress(`${size} services, round ${round + 1} of ${options.rounds}, machine ${Math.round(busy * 100)} % busy before it`);
    }
  } finally {
    for (const s of servers) s.kill();
    for (const w of talks) w.close();
    for (const f of floods) {
      f.close();
      f.way.close();
    }
  }
}

function measureFloods(floods: readonly Flood[], size: number, round: number, note: Note): void {
  for (const f of floods) note('outside', f.way.kind, 'packets', f.packets());
  for (const f of floods) note('outside', f.way.kind, 'flows', f.flows(round));
  for (const { way } of floods.filter((f) => f.way.kind === 'tc' || f.way.kind === 'xdp')) {
    const cost = costOf(way);
    note('outside', way.kind, 'ns', cost.ours);
    note('outside', way.kind, 'floor', cost.floor);
  }
  for (const { way } of floods.filter((f) => CHANGED.includes(f.way.kind))) {
    note(
      'outside',
      way.kind,
      'change',
      alone(() => timeChange(way, size, 1, round)),
    );
    if (size >= BULK)
      note(
        'outside',
        way.kind,
        'bulk',
        alone(() => timeChange(way, size, BULK, round)),
      );
  }
}

function startServer(tool: string, netns: string, ip: string): Promise<ChildProcess> {
  const child = inNetns(netns, () =>
    spawn(ALONE[0]!, [...ALONE.slice(1), tool, 'server', ip, String(SERVER_PORT)], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new AppError({ code: 'bench/server', message: `rr server ended with ${code}` })));
    child.stdout?.once('data', () => resolve(child));
  });
}

function client(tool: string, w: Way, m: Measure): Promise<string> {
  const command = [...w.wrap, ...ALONE, tool, 'client', w.to.ip, String(w.to.port), m, String(SECONDS)];
  const child = inNetns(w.bed.client.netns, () => spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] }));
  let out = '';
  child.stdout?.on('data', (d: Buffer) => {
    out += d.toString();
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(out);
      else reject(new AppError({ code: 'bench/tool', message: `${w.side} ${w.kind}: client ended with ${code}` }));
    });
  });
}

const thousands = (n: number): string => n.toLocaleString('en');
const nameOf = (kind: WayKind): string => ({ direct: 'no service', iptables: 'iptables', nftables: 'nftables' })[kind as 'direct'] ?? kind;

interface Compared {
  readonly what: string;
  readonly name: string;
  readonly unit: string;
  readonly side: Side;
  readonly ours: WayKind;
  readonly to: readonly WayKind[];
  readonly budget?: (size: number, to: WayKind) => Budget | undefined;
  readonly sizes?: readonly number[];
}

const atLeast = (ratio: number): Budget => ({ kind: 'min', ratio });
/** What no Service costs is no alternative to one. */
const better = (size: number, to: WayKind): Budget | undefined => (size === 10 && to !== 'direct' ? atLeast(1) : undefined);
const muchBetter = (size: number, to: WayKind): Budget | undefined =>
  size === 10_000 && to === 'iptables' ? atLeast(2) : better(size, to);
const thrice = (_size: number, to: WayKind): Budget | undefined =>
  to === 'iptables' ? atLeast(3) : to === 'nftables' ? atLeast(1) : undefined;

const TABLES: readonly WayKind[] = ['iptables', 'nftables'];
const COMPARED: readonly Compared[] = [
  { what: 'cc', name: 'new connections', unit: '/s', side: 'inside', ours: 'socket', to: ['direct', ...TABLES], budget: muchBetter },
  {
    what: 'crr',
    name: 'connections with a request',
    unit: '/s',
    side: 'inside',
    ours: 'socket',
    to: ['direct', ...TABLES],
    budget: better,
  },
  { what: 'rr', name: 'requests', unit: '/s', side: 'inside', ours: 'socket', to: ['direct', ...TABLES], budget: better },
  { what: 'cc', name: 'new connections', unit: '/s', side: 'outside', ours: 'tc', to: ['direct', ...TABLES], budget: muchBetter },
  { what: 'crr', name: 'connections with a request', unit: '/s', side: 'outside', ours: 'tc', to: ['direct', ...TABLES], budget: better },
  { what: 'rr', name: 'requests', unit: '/s', side: 'outside', ours: 'tc', to: ['direct', ...TABLES], budget: better },
  { what: 'packets', name: 'packets of a flow', unit: '/s', side: 'outside', ours: 'tc', to: ['direct', ...TABLES], budget: better },
  { what: 'packets', name: 'packets of a flow', unit: '/s', side: 'outside', ours: 'xdp', to: ['direct', ...TABLES], budget: thrice },
  { what: 'flows', name: 'first packets of flows', unit: '/s', side: 'outside', ours: 'tc', to: TABLES, budget: better },
  { what: 'flows', name: 'first packets of flows', unit: '/s', side: 'outside', ours: 'xdp', to: TABLES, budget: better },
  { what: 'change', name: 'one Service changes', unit: 'ms', side: 'outside', ours: 'tc', to: TABLES },
  { what: 'bulk', name: '1,000 Services change', unit: 'ms', side: 'outside', ours: 'tc', to: TABLES, sizes: [1_000, 10_000] },
];

function report(samples: Samples, rounds: number): Report {
  const rows = COMPARED.flatMap((c) =>
    (c.sizes ?? SIZES).flatMap((size) =>
      c.to.map((to): Row => {
        const budget = c.budget?.(size, to);
        return rowOf({
          name: `${c.name}, client ${c.side}, ${thousands(size)}: ${c.unit === 'ms' ? 'our rows' : c.ours}`,
          samples: samples.get(keyOf(c.side, c.ours, size, c.what))!,
          reference: samples.get(keyOf(c.side, to, size, c.what))!,
          referenceName: nameOf(to),
          unit: c.unit,
          ...(budget === undefined ? {} : { budget }),
        });
      }),
    ),
  );
  return createReport('Services', rounds, [...rows, ...programs(samples), ...flat(samples)], NOTES);
}

const FLOORS = { tc: 'a program that only redirects', xdp: 'XDP_TX' } as const;

function programs(samples: Samples): Row[] {
  return SIZES.flatMap((size) =>
    (['tc', 'xdp'] as const).map((kind) =>
      rowOf({
        name: `our program alone, a packet of a flow, ${thousands(size)}: ${kind}`,
        samples: samples.get(keyOf('outside', kind, size, 'ns'))!,
        reference: samples.get(keyOf('outside', kind, size, 'floor'))!,
        referenceName: FLOORS[kind],
        unit: 'ns',
      }),
    ),
  );
}

/** The same work at 10 and at 10,000 Services. */
function flat(samples: Samples): Row[] {
  const of = (kind: WayKind, size: number): readonly number[] => samples.get(keyOf('outside', kind, size, 'change'))!;
  return CHANGED.map((kind) =>
    rowOf({
      name: `one Service changes among 10,000: ${kind === 'tc' ? 'our rows' : nameOf(kind)}`,
      samples: of(kind, 10_000),
      reference: of(kind, 10),
      referenceName: 'the same among 10',
      unit: 'ms',
      ...(kind === 'tc' ? { budget: { kind: 'max', ratio: 2 } } : {}),
    }),
  );
}

const NOTES: readonly string[] = [
  'Client, node and backends are network namespaces joined by veth pairs. Connections and requests: all of them share one core, of which they are alone, so 1/rate is the CPU time of a whole transaction.',
  "Packets: frames of 106 bytes are made at the client's device by BPF_PROG_TEST_RUN (live frames) and counted in the backend's namespace, at its driver for XDP, else in tc; one core does all of it, so 1/rate is the CPU time of a packet.",
  'iptables: rules as kube-proxy writes them, by iptables-legacy; nftables: chains and verdict maps as of its nftables mode. The measured Service is in the middle of the list. iptables-nft is not measured: it walks the same list with slower matches.',
  'Inside: the client is a pod. Outside: the client is given the address of the node (MASQUERADE, our SNAT); the backends are on other nodes.',
  'Changes: other backends. kube-proxy: its program is started with the chains that change and nothing else; ours: rows of backends and frontends encoded and written, old backends removed, generation incremented.',
];
