// Steady requests at a Service while its backends are replaced: e2e/native/load.c at some place, with exact counts at the end.
import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { AppError } from '@axoneme/std';
import { expect } from '@jest/globals';
import { type Fixture, root } from '../fixture.ts';

export const loadTool = path.join(root, 'e2e/native/build/load');

export interface LoadResult {
  readonly sent: number;
  readonly answered: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly fresh: number;
  readonly kept: number;
  readonly seconds: number;
  readonly slowestMs: number;
  readonly servers: readonly {
    readonly name: string;
    readonly answers: number;
    readonly lastOpenedMs: number;
    readonly lastAnswerMs: number;
  }[];
}

export interface LoadTarget {
  readonly address: string;
  readonly port: number;
  /** New connections go there only while this port says that the node has backends. */
  readonly healthPort?: number;
}

export interface Rate {
  /** Requests a second with a connection each, and over connections that are kept. */
  readonly fresh: number;
  readonly kept: number;
  readonly connections: number;
}

export interface Load {
  /** Answers come. */
  readonly steady: Promise<void>;
  /** Ends the requests, waits for those on their way. */
  stop(): Promise<LoadResult>;
}

const STEADY_MS = 20_000;

const argvOf = (r: Rate, targets: readonly LoadTarget[]): string[] => [
  loadTool,
  ...[r.fresh, r.kept, r.connections].map(String),
  ...targets.map((t) => [t.address, t.port, ...(t.healthPort === undefined ? [] : [t.healthPort])].join()),
];

function loadOf(name: string, child: ChildProcess): Load {
  let out = '';
  let said = '';
  const steady = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<LoadResult>();
  const failed = (what: string): AppError => new AppError({ code: 'e2e/load', message: `load of ${name}: ${what} ${said.trim()}` });
  const timer = setTimeout(() => steady.reject(failed('no answers in time')), STEADY_MS);
  child.stdout?.setEncoding('utf8').on('data', (d: string) => {
    out += d;
  });
  child.stderr?.setEncoding('utf8').on('data', (d: string) => {
    said = (said + d).slice(-500);
    if (!said.includes('steady')) return;
    clearTimeout(timer);
    steady.resolve();
  });
  child.stdin!.on('error', () => undefined);
  child.on('close', () => {
    clearTimeout(timer);
    steady.reject(failed('ended'));
    if (out.startsWith('{')) ended.resolve(JSON.parse(out) as LoadResult);
    else ended.reject(failed('no result'));
  });
  // whoever waits for the result hears of it
  ended.promise.catch(() => undefined);
  steady.promise.catch(() => undefined);
  return {
    steady: steady.promise,
    stop() {
      child.stdin!.end();
      return ended.promise;
    },
  };
}

export const loadInPod = (f: Fixture, pod: string, r: Rate, targets: readonly LoadTarget[]): Load =>
  loadOf(pod, f.sandbox.start('kubectl', ['exec', '-i', pod, '--', ...argvOf(r, targets)]));
export const loadOutside = (f: Fixture, r: Rate, targets: readonly LoadTarget[]): Load =>
  loadOf('outside', f.sandbox.fabricStart('worldPid', argvOf(r, targets)));

/** Of the rate that is wanted; a calm machine has all of it, one that builds something beside has less. */
const RATE_MIN = 0.5;

/** Nothing failed, nothing is missing, and there were about as many requests as were wanted. */
export function judgeLoad(name: string, r: Rate, result: LoadResult): void {
  const { sent, answered, failed, failures, seconds } = result;
  expect({ name, failed, failures, missing: sent - answered }).toEqual({
    name,
    failed: 0,
    failures: expect.anything(),
    missing: 0,
  });
  expect(sent / seconds).toBeGreaterThan((r.fresh + r.kept) * RATE_MIN);
}
