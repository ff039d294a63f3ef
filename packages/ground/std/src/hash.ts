// Stable content hashes. Engines use them for versions: same bytes, same name, on every machine.
import { createHash } from 'node:crypto';
import type { Digest } from './brand.ts';

/** First 16 bytes of SHA-256 over the parts in order, as lower-case hex. Strings are hashed as UTF-8. */
export function digestOf(...parts: readonly (string | Uint8Array)[]): Digest {
  const h = createHash('sha256');
  for (const p of parts) h.update(p);
  return h.digest('hex').slice(0, 32) as Digest;
}

/** First 8 bytes of SHA-256 as an unsigned 64-bit integer; never 0 (0 means "none" in maps). */
export function hash64(...parts: readonly (string | Uint8Array)[]): bigint {
  const h = createHash('sha256');
  for (const p of parts) h.update(p);
  const v = h.digest().readBigUInt64LE(0);
  return v === 0n ? 1n : v;
}

/** First 4 bytes of SHA-256 as an unsigned 32-bit integer; never 0. */
export function hash32(...parts: readonly (string | Uint8Array)[]): number {
  const h = createHash('sha256');
  for (const p of parts) h.update(p);
  const v = h.digest().readUInt32LE(0);
  return v === 0 ? 1 : v;
}

/** JSON with object keys sorted at every level: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_k, v: unknown) =>
    v !== null && typeof v === 'object' && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v as Record<string, unknown>).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : v,
  );
}
