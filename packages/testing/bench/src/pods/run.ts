// `npm run bench -- pods`: requests, connections and bytes a second between two pods of a node, over real veth pairs, through
// our programs (policy on both ends, events read), through a program that only redirects, and through the kernel's routing.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRingReader, type RingReader } from '@axoneme/bpf';
import { event } from '@axoneme/datapath';
import { inNetns } from '@axoneme/netlink';
import { AppError } from '@axoneme/std';
import { waitForCalm } from '../quiet.ts';
import { type Budget, createReport, type Report, type Row, rowOf } from '../report.ts';
import { createPlace, type Place, type PlaceKind } from './place.ts';

export interface PodsOptions {
  readonly rounds: number;
  readonly progress: (line: string) => void;
}

const KINDS: readonly PlaceKind[] = ['routing', 'redirect_peer', 'axoneme'];
const PORT = 7777;
const STREAM_PORT = 7778; // all measured ports lie in 0-32767, the prefix the policy allows
const SECONDS = 0.5;
const STREAM_SECONDS = 1;
const CPU = '1';

type Measure = 'rr' | 'crr' | 'stream';
const UNITS: Readonly<Record<Measure, string>> = { rr: 'requests/s', crr: 'connections/s', stream: 'Gb/s' };
const NAMES: Readonly<Record<Measure, string>> = { rr: 'requests, one core', crr: 'connections, one core', stream: 'TCP stream' };

const BUDGETS: readonly { readonly measure: Measure; readonly to: PlaceKind; readonly budget?: Budget }[] = [
  { measure: 'rr', to: 'redirect_peer', budget: { kind: 'min', ratio: 0.92 } },
  { measure: 'crr', to: 'redirect_peer', budget: { kind: 'min', ratio: 0.85 } },
  { measure: 'stream', to: 'redirect_peer' },
  { measure: 'rr', to: 'routing', budget: { kind: 'min', ratio: 1.2 } },
  { measure: 'crr', to: 'routing', budget: { kind: 'min', ratio: 1.1 } },
  { measure: 'stream', to: 'routing', budget: { kind: 'min', ratio: 0.9 } },
];

export async function runPodsBench(options: PodsOptions): Promise<Report> {
  const dir = mkdtempSync(join(tmpdir(), 'axrr-'));
  const tool = join(dir, 'rr');
  execFileSync('cc', ['-O2', '-Wall', '-Werror', '-o', tool, join(import.meta.dirname, 'rr.c')]);
  const places: Place[] = [];
  const servers: ChildProcess[] = [];
  let reader: RingReader | undefined;
  try {
    for (const kind of KINDS) places.push(createPlace(kind));
    const pairs = new Map<number, number>();
    const ours = places.find((p) => p.kind === 'axoneme')!;
    reader = createRingReader({
      rings: [{ map: ours.world.map('events'), onEvent: (b, at) => count(pairs, event.decode(b, at)) }],
    });
    for (const p of places) servers.push(await startServer(tool, p));
    const samples = await rounds(tool, places, options);
    return report(samples, options.rounds, reader.events);
  } finally {
    for (const s of servers) s.kill();
    await reader?.stop();
    for (const p of places) p.close();
    rmSync(dir, { recursive: true });
  }
}

function count(pairs: Map<number, number>, e: { readonly srcIdentity: number; readonly dstIdentity: number }): void {
  const key = e.srcIdentity * 65_536 + e.dstIdentity;
  pairs.set(key, (pairs.get(key) ?? 0) + 1);
}

type Samples = ReadonlyMap<string, number[]>;
const keyOf = (kind: PlaceKind, m: Measure): string => `${kind}/${m}`;

async function rounds(tool: string, places: readonly Place[], options: PodsOptions): Promise<Samples> {
  const samples = new Map<string, number[]>();
  for (let round = 0; round < options.rounds; round++) {
    const busy = await waitForCalm();
    for (const m of ['rr', 'crr', 'stream'] as const) {
      for (const p of places) {
        const value =
          m === 'stream'
            ? await stream(p)
            : Number(await run(p.client, [tool, 'client', p.serverIp, String(PORT), m, String(SECONDS)], CPU));
        if (!(value > 0)) throw new AppError({ code: 'bench/no-traffic', message: `${p.kind}: ${m} gave ${value}` });
        samples.set(keyOf(p.kind, m), [...(samples.get(keyOf(p.kind, m)) ?? []), value]);
      }
    }
    options.progress(`round ${round + 1} of ${options.rounds}, machine ${Math.round(busy * 100)} % busy before it`);
  }
  return samples;
}

function report(samples: Samples, n: number, events: number): Report {
  const rows: Row[] = BUDGETS.map(({ measure, to, budget }) =>
    rowOf({
      name: `${NAMES[measure]}, axoneme`,
      samples: samples.get(keyOf('axoneme', measure))!,
      reference: samples.get(keyOf(to, measure))!,
      referenceName: to === 'routing' ? 'veth + kernel routing' : 'redirect_peer only',
      unit: UNITS[measure],
      ...(budget === undefined ? {} : { budget }),
    }),
  );
  for (const kind of ['redirect_peer', 'routing'] as const) {
    for (const m of ['rr', 'crr', 'stream'] as const) {
      const s = samples.get(keyOf(kind, m))!;
      const reference = samples.get(keyOf('routing', m))!;
      rows.push(
        rowOf({
          name: `${NAMES[m]}, ${kind === 'routing' ? 'kernel routing' : 'redirect_peer only'}`,
          samples: s,
          reference,
          referenceName: 'veth + kernel routing',
          unit: UNITS[m],
        }),
      );
    }
  }
  return createReport('Pod to pod on one node', n, rows, [
    'Requests and connections: client and server share one core, so 1/rate is the CPU time of a whole transaction. Stream: iperf3, one flow, two cores.',
    `Our programs: default deny on both ends, ${events} events read meanwhile by this process on the other core.`,
  ]);
}

function startServer(tool: string, p: Place): Promise<ChildProcess> {
  const child = inNetns(p.server, () =>
    spawn('taskset', ['-c', CPU, tool, 'server', p.serverIp, String(PORT)], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new AppError({ code: 'bench/server', message: `rr server ended with ${code}` })));
    child.stdout?.once('data', () => resolve(child));
  });
}

/** Runs a command in a namespace on one CPU and gives its output. */
function run(netns: string, command: readonly string[], cpu: string): Promise<string> {
  const child = inNetns(netns, () => spawn('taskset', ['-c', cpu, ...command], { stdio: ['ignore', 'pipe', 'inherit'] }));
  let out = '';
  child.stdout.on('data', (d: Buffer) => {
    out += d.toString();
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(out);
      else reject(new AppError({ code: 'bench/tool', message: `${command.join(' ')} ended with ${code}: ${out.slice(-300)}` }));
    });
  });
}

async function stream(p: Place): Promise<number> {
  const server = run(p.server, ['iperf3', '-s', '-1', '-B', p.serverIp, '-p', String(STREAM_PORT), '--forceflush'], CPU);
  await listening(p.server);
  const out = await run(p.client, ['iperf3', '-c', p.serverIp, '-p', String(STREAM_PORT), '-t', String(STREAM_SECONDS), '-J'], '0');
  await server;
  const parsed = JSON.parse(out) as { readonly end: { readonly sum_received: { readonly bits_per_second: number } } };
  return parsed.end.sum_received.bits_per_second / 1e9;
}

/** Until something listens on the stream port of the namespace. */
async function listening(netns: string): Promise<void> {
  const wanted = `:${STREAM_PORT.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  const end = Date.now() + 5000;
  while (
    !inNetns(netns, () => execFileSync('cat', ['/proc/net/tcp']))
      .toString()
      .includes(wanted)
  ) {
    if (Date.now() > end) throw new AppError({ code: 'bench/server', message: 'iperf3 does not listen' });
    await new Promise((r) => setTimeout(r, 20));
  }
}
