// The trust directory: the cluster's CA and where operators listen. A mounted ConfigMap may come late, change, or vanish; what was last
// known is remembered in the state directory. Called by wiring.
import { readFileSync } from 'node:fs';
import { type Clock, canonicalJson, describeError, type Log } from '@axoneme/std';
import { replaceFile } from '../store/durable.ts';

export interface TrustContent {
  readonly caPem: string;
  /** `host:port` of the operators' node port, in file order. */
  readonly endpoints: readonly string[];
  readonly bootstrapEndpoints: readonly string[];
}

export interface Trust {
  now(): TrustContent | undefined;
  /** Looks again and again until `signal` aborts; `onChange` runs when the content differs. */
  watch(signal: AbortSignal, onChange: () => void): void;
}

const pollMs = 1_000;
const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((l) => l.trim())
    .filter((l) => l !== '' && !l.startsWith('#'));

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function readDirectory(dir: string): TrustContent | undefined {
  const caPem = read(`${dir}/ca.crt`);
  if (!caPem.includes('BEGIN CERTIFICATE')) return undefined;
  return { caPem, endpoints: lines(read(`${dir}/endpoints`)), bootstrapEndpoints: lines(read(`${dir}/bootstrap-endpoints`)) };
}

function remembered(path: string): TrustContent | undefined {
  try {
    return JSON.parse(read(path)) as TrustContent;
  } catch {
    return undefined;
  }
}

export function createTrust(dir: string, stateDir: string, clock: Clock, log: Log): Trust {
  const memory = 'trust.json';
  let content = readDirectory(dir) ?? remembered(`${stateDir}/${memory}`);
  let text = canonicalJson(content ?? null);
  return {
    now: () => content,
    watch(signal, onChange) {
      const remember = (): void => {
        if (content)
          replaceFile(stateDir, memory, text).catch((e: unknown) => log.warn('trust not remembered', { error: describeError(e) }));
      };
      const look = (): void => {
        if (signal.aborted) return;
        const found = readDirectory(dir);
        if (found && canonicalJson(found) !== text) {
          content = found;
          text = canonicalJson(found);
          log.info('operator addresses changed', { endpoints: found.endpoints, bootstrap: found.bootstrapEndpoints });
          remember();
          onChange();
        }
        clock.after(pollMs, look);
      };
      remember();
      look();
    },
  };
}
