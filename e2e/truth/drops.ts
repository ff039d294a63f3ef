// What the cluster reports about packets: `axoneme monitor` kept running, its lines by who talked to whom.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import path from 'node:path';
import readline from 'node:readline';
import { type Fixture, root, until } from '../fixture.ts';
import type { Cell } from './cell.ts';

export interface FlowLine {
  readonly verdict: string;
  readonly direction: 'ingress' | 'egress';
  readonly protocol: string;
  readonly source: string;
  readonly destination: string;
  readonly dropReason: string;
  readonly dropReasonNumber: number;
  readonly rule: string;
  readonly shadow?: { readonly verdict: 'DROPPED' | 'FORWARDED'; readonly reason: string; readonly rule: string } | null;
  readonly [more: string]: unknown;
}

export interface DropLog {
  /** A place in the log: what came before is not looked at. */
  mark(): number;
  /** Reasons of the drops of a cell's packets since the mark, each once. */
  reasonsOf(c: Cell, since: number): number[];
  /** Lines about a cell since the mark. */
  linesOf(c: Cell, since: number): FlowLine[];
  close(): void;
}

interface End {
  readonly address: string;
  readonly port: string;
}

/** `shop/a (10.244.0.4:80)` or `world-ipv6 ([2001:db8::1]:80)` */
export function endOf(text: string): End {
  const inner = /\(([^)]*)\)\s*$/.exec(text)?.[1] ?? text;
  const at = inner.lastIndexOf(':');
  return { address: inner.slice(0, at).replace(/^\[|\]$/g, ''), port: inner.slice(at + 1) };
}

const key = (from: string, to: string, protocol: string, port: number): string =>
  `${from} ${to} ${protocol.replace('icmpv6', 'icmp')} ${protocol.startsWith('icmp') ? '' : port}`;

function keyOfLine(l: FlowLine): string {
  const to = endOf(l.destination);
  return key(endOf(l.source).address, to.address, l.protocol, Number(to.port));
}

function keysOfCell(c: Cell): string[] {
  const [from, to] = c.family === 4 ? [c.from.ipv4, c.to.ipv4] : [c.from.ipv6, c.to.ipv6];
  return [from, ...(c.from.more ?? [])].map((f) => key(f, to, c.protocol, c.port));
}

function follow(f: Fixture, args: readonly string[]): ChildProcess {
  const argv = [
    path.join(root, 'packages/apps/cli/src/main.ts'),
    '--kubeconfig',
    f.sandbox.kubeconfigPath,
    'monitor',
    ...args,
    '-o',
    'json',
  ];
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** `dropsOnly`: forwarded packets are not asked for. */
export async function openLog(f: Fixture, dropsOnly = true): Promise<DropLog> {
  const child = follow(f, dropsOnly ? ['--type', 'drop'] : []);
  const lines: FlowLine[] = [];
  const byKey = new Map<string, number[]>();
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (d: string) => {
    said = (said + d).slice(-500);
  });
  readline.createInterface({ input: child.stdout! }).on('line', (text) => {
    const l = JSON.parse(text) as FlowLine;
    const k = keyOfLine(l);
    const at = byKey.get(k);
    if (at === undefined) byKey.set(k, [lines.length]);
    else at.push(lines.length);
    lines.push(l);
  });
  const linesOf = (c: Cell, since: number): FlowLine[] =>
    keysOfCell(c).flatMap((k) => (byKey.get(k) ?? []).filter((i) => i >= since).map((i) => lines[i]!));
  await until('the monitor follows', 10_000, async () => {
    if (child.exitCode !== null) throw new Error(`the monitor ended: ${said}`);
    return true;
  });
  return {
    mark: () => lines.length,
    linesOf,
    reasonsOf: (c, since) => [...new Set(linesOf(c, since).flatMap((l) => (l.verdict === 'DROPPED' ? [l.dropReasonNumber] : [])))],
    close: () => void child.kill('SIGTERM'),
  };
}
