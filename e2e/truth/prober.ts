// Questions to the network from many places at once: e2e/native/matrix.c runs once at each place and is asked over its standard input.
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import readline from 'node:readline';
import { AppError } from '@axoneme/std';
import { type Fixture, root } from '../fixture.ts';

export const matrixTool = path.join(root, 'e2e/native/build/matrix');

export interface Question {
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** `1` answered, `0` silence, `r` refused, `u` unreachable, `e` local error. */
export type AnswerLetter = '1' | '0' | 'r' | 'u' | 'e';

export interface Voice {
  ask(questions: readonly Question[]): Promise<readonly AnswerLetter[]>;
  close(): void;
}

const letters = { tcp: 't', udp: 'u', icmp: 'i' } as const;

function voiceOf(name: string, child: ChildProcess): Voice {
  const waiting = new Map<number, { resolve: (letters: readonly AnswerLetter[]) => void; reject: (e: Error) => void }>();
  let next = 1;
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (d: string) => {
    said = (said + d).slice(-500);
  });
  readline.createInterface({ input: child.stdout! }).on('line', (line) => {
    const [id = '', answer = ''] = line.split(' ');
    waiting.get(Number(id))?.resolve([...answer] as AnswerLetter[]);
    waiting.delete(Number(id));
  });
  child.stdin!.on('error', () => undefined);
  child.on('exit', () => {
    for (const w of waiting.values())
      w.reject(new AppError({ code: 'e2e/prober', message: `the prober in ${name} ended: ${said.trim()}` }));
  });
  return {
    ask(questions) {
      if (questions.length === 0) return Promise.resolve([]);
      const id = next++;
      const lines = questions.map((q) => `${letters[q.protocol]} ${q.address} ${q.port} ${q.timeoutMs}`);
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        child.stdin!.write(`${id} ${questions.length}\n${lines.join('\n')}\n`);
      });
    },
    close() {
      child.stdin!.end();
      child.kill('SIGTERM');
    },
  };
}

/** A prober in a pod, through exec: kept open, so that a question costs no new process. */
export function voiceInPod(f: Fixture, namespace: string, pod: string): Voice {
  const argv = ['exec', '-i', '-n', namespace, pod, '--', matrixTool, 'ask'];
  return voiceOf(`${namespace}/${pod}`, f.sandbox.start('kubectl', argv));
}

/** A prober outside of the cluster that speaks with these addresses. */
export function voiceOutside(f: Fixture, ipv4: string, ipv6: string): Voice {
  return voiceOf('world', spawn('nsenter', ['-t', String(f.sandbox.fabric?.worldPid), '-n', '--', matrixTool, 'ask', ipv4, ipv6]));
}

/** What answers outside of the cluster, beside the sandbox's own server there. */
export function serveOutside(f: Fixture, ports: readonly string[]): ChildProcess {
  return spawn('nsenter', ['-t', String(f.sandbox.fabric?.worldPid), '-n', '--', matrixTool, 'serve', ...ports], { stdio: 'ignore' });
}
