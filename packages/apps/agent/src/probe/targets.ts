// Reads artifact `lb/probes`: what backends of load balancer fleets this node is to ask. Structure that cannot be right is refused before anything
// of the commit is written; what a person may have written badly, such as a path, is asked and fails in its own words. Called by wiring.
import { isIP } from 'node:net';
import { type Probe, Probes } from '@axoneme/proto';
import { describeError, fail, ok, type Result } from '@axoneme/std';
import type { ProbeSpec } from './ask.ts';

export const probesArtifact = 'lb/probes';

/** More would be a mistake: they are asked again and again, all of them. */
const probesMax = 16_384;
/** What a timer takes. */
const msMax = 2 ** 31 - 1;

/** First and last in turns → pairs; undefined: not in pairs. */
function rangesOf(codes: readonly number[]): (readonly [number, number])[] | undefined {
  if (codes.length % 2 !== 0) return undefined;
  return Array.from({ length: codes.length / 2 }, (_, i) => [codes[2 * i]!, codes[2 * i + 1]!] as const);
}

/** What is wrong with it, or nothing. */
function problemOf(p: Probe): string | undefined {
  if (p.id === '') return 'no id';
  if (isIP(p.address) === 0) return `address "${p.address}"`;
  if (p.port < 1 || p.port > 65_535) return `port ${p.port}`;
  if (p.type !== 'tcp' && p.type !== 'http') return `type "${p.type}"`;
  if (rangesOf(p.codes) === undefined || (p.type === 'http' && p.codes.length === 0)) return `codes [${p.codes.join()}]`;
  const ms = [p.intervalMs, p.timeoutMs];
  if (ms.some((n) => n < 1 || n > msMax)) return `interval ${p.intervalMs} ms, timeout ${p.timeoutMs} ms`;
  return p.rise < 1 || p.fall < 1 ? `rise ${p.rise}, fall ${p.fall}` : undefined;
}

const specOf = (p: Probe): ProbeSpec => ({
  id: p.id,
  address: p.address,
  port: p.port,
  check: {
    type: p.type === 'http' ? 'http' : 'tcp',
    path: p.path === '' ? '/' : p.path,
    host: p.host,
    codes: rangesOf(p.codes) ?? [],
    intervalMs: p.intervalMs,
    timeoutMs: p.timeoutMs,
    rise: p.rise,
    fall: p.fall,
  },
});

/** Errors: `agent/malformed-artifact`. */
export function readProbes(blob: Uint8Array): Result<readonly ProbeSpec[]> {
  const bad = (why: string): Result<never> =>
    fail({ code: 'agent/malformed-artifact', message: `${probesArtifact}: ${why}`, fields: { artifact: probesArtifact } });
  const ids = new Set<string>();
  let probes: readonly Probe[];
  try {
    ({ probes } = Probes.decode(blob));
  } catch (e) {
    return bad(`cannot be decoded: ${describeError(e)}`);
  }
  if (probes.length > probesMax) return bad(`${probes.length} probes, ${probesMax} are allowed`);
  for (const [i, p] of probes.entries()) {
    const problem = ids.has(p.id) ? `id "${p.id}" twice` : problemOf(p);
    if (problem !== undefined) return bad(`probe ${i}: ${problem}`);
    ids.add(p.id);
  }
  return ok(probes.map(specOf));
}
