// What a balancer remembers over a restart: the last file that was right, and which backends failed their checks, so that a restart gives no dead
// backend new flows. Called by run.ts.
import { mkdirSync, readFileSync } from 'node:fs';
import type { TargetId } from '@axoneme/service';
import { describeError, type Log } from '@axoneme/std';
import { replaceFile } from './state-file.ts';

export interface Memory {
  /** Undefined: none was right yet. */
  lastGood(): string | undefined;
  keepGood(text: string): void;
  down(): ReadonlySet<TargetId>;
  keepDown(down: ReadonlySet<TargetId>): void;
}

export function createMemory(stateDir: string, log: Log): Memory {
  const [good, failing] = [`${stateDir}/last-good.yaml`, `${stateDir}/failing.json`];
  const read = (path: string): string | undefined => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  };
  const keep = (path: string, text: string): void => {
    try {
      mkdirSync(stateDir, { recursive: true, mode: 0o700 });
      replaceFile(path, text);
    } catch (e) {
      // what is in the kernel does not hang on it
      log.warn('not remembered for the next start', { path, reason: describeError(e) });
    }
  };
  return {
    lastGood: () => read(good),
    keepGood: (text) => keep(good, text),
    down() {
      try {
        const list: unknown = JSON.parse(read(failing) ?? '[]');
        return new Set(Array.isArray(list) ? list.filter((x) => typeof x === 'string') : []);
      } catch {
        return new Set();
      }
    },
    keepDown: (down) => keep(failing, JSON.stringify([...down].sort())),
  };
}
