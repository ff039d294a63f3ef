// A container's log: lines with time and stream in a file, and live followers. One file per container, the previous run beside it.
import { closeSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import type { Clock } from '@axoneme/std';

export interface LogLine {
  readonly at: string;
  readonly text: string;
}

export interface LogFile {
  /** Takes what a stream said; completes lines by itself. */
  write(stream: 'stdout' | 'stderr', chunk: Buffer): void;
  /** Writes unfinished lines and tells followers that nothing more comes. */
  end(): void;
  lines(): LogLine[];
  follow(onLine: (l: LogLine) => void, onEnd: () => void): () => void;
  readonly ended: boolean;
}

const FILE_MAX_BYTES = 16 << 20;
const LINE_MAX_BYTES = 64 << 10;

const parse = (line: string): LogLine => {
  const at = line.indexOf(' ');
  // "<time> <stream> F <text>"
  return { at: line.slice(0, at), text: line.slice(line.indexOf(' ', line.indexOf(' ', at + 1) + 1) + 1) };
};

export function readLogFile(path: string): LogLine[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean).map(parse);
  } catch {
    return [];
  }
}

interface Follower {
  readonly onLine: (l: LogLine) => void;
  readonly onEnd: () => void;
}

export function createLogFile(path: string, clock: Clock): LogFile {
  let fd = openSync(path, 'w', 0o640);
  let size = 0;
  let ended = false;
  const rest: Record<'stdout' | 'stderr', string> = { stdout: '', stderr: '' };
  const followers = new Set<Follower>();

  function rotate(): void {
    closeSync(fd);
    renameSync(path, `${path}.1`);
    fd = openSync(path, 'w', 0o640);
    size = 0;
  }

  function emit(stream: string, text: string): void {
    const at = new Date(clock.nowMs()).toISOString().replace('Z', '000000Z');
    size += writeSync(fd, `${at} ${stream} F ${text}\n`);
    if (size > FILE_MAX_BYTES) rotate();
    for (const f of followers) f.onLine({ at, text });
  }

  return {
    write(stream, chunk) {
      if (ended) return;
      const parts = (rest[stream] + chunk.toString('utf8')).split('\n');
      rest[stream] = parts.pop() ?? '';
      for (const p of parts) emit(stream, p);
      if (rest[stream].length < LINE_MAX_BYTES) return;
      emit(stream, rest[stream]);
      rest[stream] = '';
    },
    end() {
      if (ended) return;
      for (const s of ['stdout', 'stderr'] as const) if (rest[s] !== '') emit(s, rest[s]);
      ended = true;
      closeSync(fd);
      for (const f of followers) f.onEnd();
      followers.clear();
    },
    lines: () => [...readLogFile(`${path}.1`), ...readLogFile(path)],
    follow(onLine, onEnd) {
      const f = { onLine, onEnd };
      if (ended) onEnd();
      else followers.add(f);
      return () => followers.delete(f);
    },
    get ended() {
      return ended;
    },
  };
}
