// Floods between actors of the table that run until they are stopped, and what their numbers say. Used by the suites about live traffic.
import { spawn } from 'node:child_process';
import { type FloodResult, floodTool } from '../fixture.ts';
import type { Actor } from '../truth/actors.ts';
import { ipOf } from '../truth/cell.ts';
import type { Table } from '../truth/table.ts';

export interface Flow {
  readonly from: Actor;
  readonly to: Actor;
  readonly kind: 'udp' | 'tcp' | 'connect';
  readonly family: 4 | 6;
}

export interface FlowResult extends FloodResult {
  readonly flow: string;
}

/** Some floods, all of them running. */
export interface Floods {
  /** The first packet of each has left. */
  sending(): Promise<void>;
  /** Each had an answer. */
  answered(): Promise<void>;
  stop(): Promise<FlowResult[]>;
}

const START_MS = 20_000;
const flowText = (f: Flow): string => `${f.from.name} -> ${f.to.name} ${f.kind} v${f.family}`;

interface One {
  said(word: string): Promise<void>;
  stop(): Promise<FlowResult>;
}

function startOne(t: Table, flow: Flow, rate: number): One {
  const { from, to, kind, family } = flow;
  const argv = [kind, ipOf(to, family), '80', String(rate), '0'];
  const child =
    from.kind === 'world'
      ? spawn('nsenter', ['-t', String(t.fixture.sandbox.fabric?.worldPid), '-n', '--', floodTool, ...argv, ipOf(from, family)])
      : t.fixture.sandbox.start('kubectl', ['exec', '-i', '-n', from.ns, from.app, '--', floodTool, ...argv]);
  let out = '';
  let text = '';
  const waiting = new Set<() => void>();
  child.stdout!.setEncoding('utf8').on('data', (d: string) => {
    out += d;
  });
  child.stderr!.setEncoding('utf8').on('data', (d: string) => {
    text += d;
    for (const w of waiting) w();
  });
  const ended = new Promise<void>((resolve) => void child.once('close', () => resolve()));
  return {
    said: (word) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${flowText(flow)}: not ${word}; ${text}`)), START_MS);
        const look = (): void => {
          if (!text.includes(word)) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    async stop() {
      child.stdin!.end();
      await ended;
      return { flow: flowText(flow), ...(JSON.parse(out) as FloodResult) };
    },
  };
}

/** Every pair × kind × family. */
export function startFloods(
  t: Table,
  pairs: readonly (readonly [string, string])[],
  kinds: readonly Flow['kind'][],
  rate: number,
  families: readonly (4 | 6)[] = [4, 6],
): Floods {
  const flows = pairs.flatMap(([from, to]) =>
    kinds.flatMap((kind) => families.map((family) => ({ from: t.cast.find(from), to: t.cast.find(to), kind, family }))),
  );
  const all = flows.map((f) => startOne(t, f, rate));
  const each = async (word: string): Promise<void> => void (await Promise.all(all.map((f) => f.said(word))));
  return { sending: () => each('sending'), answered: () => each('answered'), stop: () => Promise.all(all.map((f) => f.stop())) };
}

export const sleep = (ms: number): Promise<void> => new Promise((r) => setTimeout(r, ms));
