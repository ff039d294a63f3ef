// Clients of Services that learn who answered and what address that one saw: e2e/native/who.c runs once at each place and is asked over
// its standard input. Places are pods, nodes and the world outside.
import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import readline from 'node:readline';
import { AppError } from '@axoneme/std';
import { type Fixture, root } from '../fixture.ts';

export const whoTool = path.join(root, 'e2e/native/build/who');

export interface WhoQuestion {
  readonly protocol: 'TCP' | 'UDP';
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly sourcePort?: number;
}

export interface WhoAnswer {
  readonly backend: string;
  /** As the backend saw it. */
  readonly source: string;
  readonly sourcePort: number;
}

/** What comes of a question that no backend answers. */
export type Nothing = 'silence' | 'refused' | 'unreachable' | 'error';

export interface Client {
  readonly name: string;
  ask(questions: readonly WhoQuestion[]): Promise<readonly (WhoAnswer | Nothing)[]>;
  close(): void;
}

const nothings: Readonly<Record<string, Nothing>> = { '0': 'silence', r: 'refused', u: 'unreachable', e: 'error' };
/** As many as the tool takes. */
const BATCH = 4096;

function parseWord(word: string): WhoAnswer | Nothing {
  const [backend = '', source = '', port = ''] = word.split('/');
  return nothings[word] ?? { backend, source, sourcePort: Number(port) };
}

function clientOf(name: string, child: ChildProcess): Client {
  const waiting = new Map<number, { resolve: (words: readonly string[]) => void; reject: (e: Error) => void }>();
  let next = 1;
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (d: string) => {
    said = (said + d).slice(-500);
  });
  readline.createInterface({ input: child.stdout! }).on('line', (line) => {
    const [id, ...words] = line.split(' ');
    waiting.get(Number(id))?.resolve(words);
    waiting.delete(Number(id));
  });
  child.stdin!.on('error', () => undefined);
  child.on('exit', () => {
    for (const w of waiting.values()) w.reject(new AppError({ code: 'e2e/who', message: `the client in ${name} ended: ${said.trim()}` }));
  });
  const batch = (questions: readonly WhoQuestion[]): Promise<readonly string[]> => {
    const id = next++;
    const lines = questions.map((q) => `${q.protocol === 'TCP' ? 't' : 'u'} ${q.address} ${q.port} ${q.timeoutMs} ${q.sourcePort ?? 0}`);
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      child.stdin!.write(`${id} ${questions.length}\n${lines.join('\n')}\n`);
    });
  };
  return {
    name,
    async ask(questions) {
      const words: string[] = [];
      for (let at = 0; at < questions.length; at += BATCH) words.push(...(await batch(questions.slice(at, at + BATCH))));
      return words.map(parseWord);
    },
    close() {
      child.stdin!.end();
      child.kill('SIGTERM');
    },
  };
}

export const clientInPod = (f: Fixture, namespace: string, pod: string): Client =>
  clientOf(pod, f.sandbox.start('kubectl', ['exec', '-i', '-n', namespace, pod, '--', whoTool, 'ask']));
export const clientOnNode = (f: Fixture, node: string): Client => clientOf(node, f.sandbox.nodeStart(node, [whoTool, 'ask']));
export const clientOutside = (f: Fixture): Client => clientOf('outside', f.sandbox.fabricStart('worldPid', [whoTool, 'ask']));
