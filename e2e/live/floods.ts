// Floods between actors of the table, and what their numbers say about a moment. Used by the suites about live traffic.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type FloodResult, floodTool } from '../fixture.ts';
import type { Actor } from '../truth/actors.ts';
import { ipOf, type Table } from '../truth/table.ts';

const run = promisify(execFile);

export interface Flow {
  readonly from: Actor;
  readonly to: Actor;
  readonly kind: 'udp' | 'tcp' | 'connect';
  readonly family: 4 | 6;
}

export interface FlowResult extends FloodResult {
  readonly flow: string;
}

export const flowText = (f: Flow): string => `${f.from.name} -> ${f.to.name} ${f.kind} v${f.family}`;

export async function flood(t: Table, flow: Flow, rate: number, seconds: number): Promise<FlowResult> {
  const { from, to, kind, family } = flow;
  const argv = [kind, ipOf(to, family), '80', String(rate), String(seconds)];
  const out =
    from.kind === 'world'
      ? await run('nsenter', ['-t', String(t.fixture.sandbox.fabric?.worldPid), '-n', '--', floodTool, ...argv, ipOf(from, family)])
      : { stdout: await t.fixture.kubectl('exec', '-n', from.ns, from.app, '--', floodTool, ...argv) };
  return { flow: flowText(flow), ...(JSON.parse(out.stdout) as FloodResult) };
}

/** Every pair × kind × family. */
export function flows(
  t: Table,
  pairs: readonly (readonly [string, string])[],
  kinds: readonly Flow['kind'][],
  families: readonly (4 | 6)[] = [4, 6],
): Flow[] {
  return pairs.flatMap(([from, to]) =>
    kinds.flatMap((kind) => families.map((family) => ({ from: t.cast.find(from), to: t.cast.find(to), kind, family }))),
  );
}

export const sleep = (ms: number): Promise<void> => new Promise((r) => setTimeout(r, ms));
