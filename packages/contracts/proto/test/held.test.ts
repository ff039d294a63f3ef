import { createHash } from 'node:crypto';
import type { Digest } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import { artifactDigest, createHeldDigest, digestFromBytes, digestToBytes } from '../src/index.ts';

const digest = (n: number): Digest => n.toString(16).padStart(32, '0') as Digest;

describe('held digest', () => {
  test('does not depend on order and follows changes', () => {
    const entries = [1, 2, 3].map((n) => [`a/${n}`, digest(n)] as const);
    const whole = createHeldDigest(entries).bytes();
    expect(createHeldDigest([...entries].reverse()).bytes()).toEqual(whole);
    const grown = createHeldDigest(entries.slice(0, 2));
    grown.add('a/3', digest(9));
    expect(grown.bytes()).not.toEqual(whole);
    grown.remove('a/3', digest(9));
    grown.add('a/3', digest(3));
    expect(grown.bytes()).toEqual(whole);
    expect(createHeldDigest().bytes()).toEqual(Buffer.alloc(16));
  });

  test('removing more than was added stays inside 16 bytes', () => {
    const h = createHeldDigest();
    h.remove('x', digest(1));
    expect(h.bytes()).toHaveLength(16);
    h.add('x', digest(1));
    expect(h.bytes()).toEqual(Buffer.alloc(16));
  });
});

describe('artifact digest', () => {
  const body = { table: 'policy', keys: Buffer.from('ab'), values: Buffer.from('cd'), blob: Buffer.alloc(0) };
  test('is the one node.proto describes', () => {
    const expected = createHash('sha256')
      .update('policy\0')
      .update(Buffer.from([2, 0, 0, 0]))
      .update('ab')
      .update(Buffer.from([3, 0, 0, 0]))
      .update('cde')
      .update('f');
    const a = { ...body, values: Buffer.from('cde'), blob: Buffer.from('f') };
    expect(artifactDigest(a)).toBe(expected.digest('hex').slice(0, 32));
  });
  test('moves when bytes move between fields', () => {
    expect(artifactDigest({ ...body, keys: Buffer.from('abc'), values: Buffer.from('d') })).not.toBe(artifactDigest(body));
    expect(artifactDigest({ ...body, table: 'policyab' })).not.toBe(artifactDigest(body));
  });
  test('survives the wire', () => {
    const d = artifactDigest(body);
    expect(digestToBytes(d)).toHaveLength(16);
    expect(digestFromBytes(digestToBytes(d))).toBe(d);
  });
});
