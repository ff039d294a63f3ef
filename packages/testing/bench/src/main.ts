// Entry of `npm run bench -- <name>`: measures on this machine and prints Markdown; --json FILE keeps the numbers.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { AppError, describeError } from '@axoneme/std';
import { runClusterBench } from './cluster/run.ts';
import { runCompileBench } from './compile/run.ts';
import { runPacketBench } from './packet/run.ts';
import { runPodsBench } from './pods/run.ts';
import { markdown, type Report, within } from './report.ts';
import { runServicesBench } from './services/run.ts';

interface Options {
  readonly rounds: number | undefined;
  readonly progress: (line: string) => void;
}

const BENCHES: Readonly<Record<string, (o: Options) => Promise<Report>>> = {
  packet: (o) => runPacketBench({ rounds: o.rounds ?? 7, progress: o.progress }),
  pods: (o) => runPodsBench({ rounds: o.rounds ?? 9, progress: o.progress }),
  services: (o) => runServicesBench({ rounds: o.rounds ?? 7, progress: o.progress }),
  compile: (o) => runCompileBench({ rounds: o.rounds ?? 5, progress: o.progress }),
  cluster: (o) => runClusterBench({ rounds: o.rounds ?? 3, progress: o.progress }),
};

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: 'string' }, json: { type: 'string' }, strict: { type: 'boolean' } },
  });
  const names = positionals.length === 0 ? Object.keys(BENCHES) : positionals;
  const reports: Report[] = [];
  for (const name of names) {
    const bench = BENCHES[name];
    if (bench === undefined)
      throw new AppError({ code: 'bench/unknown', message: `no bench ${name}`, hint: `There are ${Object.keys(BENCHES).join(', ')}.` });
    const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
    const report = await bench({ rounds, progress: (line) => process.stderr.write(`${name}: ${line}\n`) });
    process.stdout.write(`${markdown(report)}\n`);
    reports.push(report);
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(reports, null, 2)}\n`);
  const missed = reports.some((r) => r.rows.some((row) => within(row) === false));
  return values.strict === true && missed ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (e) {
  process.stderr.write(`${describeError(e)}\n`);
  process.exitCode = 2;
}
