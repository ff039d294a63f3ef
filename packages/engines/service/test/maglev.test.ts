import fs from 'node:fs';
import type { IpAddr } from '@axoneme/model';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  createMaglevTables,
  type FlowTuple,
  hashText,
  lookupHash,
  type MaglevMember,
  maglevPick,
  maglevSizes,
  maglevTable,
} from '../src/index.ts';
import { scaled } from './runs.ts';

const members = (count: number, weight: (i: number) => number = () => 100): MaglevMember[] =>
  Array.from({ length: count }, (_, i) => ({ ip: `10.${i >> 8}.1.${i & 255}` as IpAddr, port: 8080, weight: weight(i) }));
const without = (list: readonly MaglevMember[], gone: number) => list.map((m, i) => (i === gone ? { ...m, weight: 0 } : m));
const countsOf = (table: Uint16Array, n: number): number[] => {
  const counts = Array.from({ length: n }, () => 0);
  for (const slot of table) counts[slot]! += 1;
  return counts;
};

describe('hashes', () => {
  test('of texts are MurmurHash3', () => {
    expect([hashText('', 0), hashText('hello', 0), hashText('test', 0x9747b28c)]).toEqual([0, 0x248bfa47, 0x704b81dc]);
    expect(hashText('The quick brown fox jumps over the lazy dog', 0x9747b28c)).toBe(0x2fa826cd);
  });

  test('of flows are as in the vectors that the datapath is held against', () => {
    const file = JSON.parse(fs.readFileSync(new URL('lookup-vectors.json', import.meta.url), 'utf8')) as {
      seed: number;
      flows: (FlowTuple & { hash: number; slot16381: number })[];
    };
    expect(file.flows.length).toBeGreaterThan(20);
    for (const f of file.flows) expect([lookupHash(f, file.seed), lookupHash(f) % 16381]).toEqual([f.hash, f.slot16381]);
  });
});

describe('tables', () => {
  const hundred = members(100);
  const table = maglevTable(hundred, 16381);

  test('L5-b: at M = 16381 with 100 backends nobody has more than 1.02 of the mean', () => {
    const counts = countsOf(table, 100);
    expect(Math.max(...counts) / (16381 / 100)).toBeLessThanOrEqual(1.02);
    expect(Math.min(...counts) / (16381 / 100)).toBeGreaterThanOrEqual(0.98);
  });

  test('L5-b: whoever of 100 leaves, at most 2 % of the flows of others move', () => {
    for (let gone = 0; gone < 100; gone++) {
      const after = maglevTable(without(hundred, gone), 16381);
      let moved = 0;
      for (let i = 0; i < table.length; i++) if (table[i] !== gone && table[i] !== after[i]) moved += 1;
      expect(moved / 16381).toBeLessThanOrEqual(0.02);
      expect(after).not.toContain(gone);
    }
  });

  test('L5-b: real flows spread as the table does', () => {
    const counts = Array.from({ length: 100 }, () => 0);
    const flows = 200_000;
    for (let i = 0; i < flows; i++) {
      const client = `203.0.${(i >> 8) & 255}.${i & 255}` as IpAddr;
      counts[maglevPick(table, { client, clientPort: 32768 + (i >> 3), protocol: 'TCP' })]! += 1;
    }
    // 2000 each on average: five standard deviations
    expect(Math.max(...counts)).toBeLessThan(2000 + 5 * Math.sqrt(2000));
    expect(Math.min(...counts)).toBeGreaterThan(2000 - 5 * Math.sqrt(2000));
  });

  test.each(maglevSizes)('of %i entries are full and even', (size) => {
    const counts = countsOf(maglevTable(members(7), size), 7);
    expect(counts.reduce((a, b) => a + b)).toBe(size);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  });

  test('weights are shares', () => {
    const weights = [100, 50, 25, 0, 200];
    const counts = countsOf(
      maglevTable(
        members(5, (i) => weights[i]!),
        16381,
      ),
      5,
    );
    const total = weights.reduce((a, b) => a + b);
    for (const [i, w] of weights.entries()) expect(Math.abs(counts[i]! - (16381 * w) / total)).toBeLessThan(10);
  });

  test('nobody with weight: no table', () => {
    expect(maglevTable([], 251).length).toBe(0);
    expect(
      maglevTable(
        members(3, () => 0),
        251,
      ).length,
    ).toBe(0);
  });

  test('a flow goes to the same address in whatever order the members come', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer(), fc.integer({ min: 0, max: 65535 }), (n, seed, clientPort) => {
        const list = members(n);
        const shuffled = [...list].sort((a, b) => hashText(a.ip, seed) - hashText(b.ip, seed));
        const flow = { client: '2001:db8::5' as IpAddr, clientPort, protocol: 'UDP' } as const;
        const pick = (l: MaglevMember[]) => l[maglevPick(maglevTable(l, 509), flow)]!.ip;
        expect(pick(shuffled)).toBe(pick(list));
      }),
      { numRuns: scaled(200) },
    );
  });

  test('several ports of one address are members of their own', () => {
    const list = [8080, 8081].map((port) => ({ ip: '10.0.0.1' as IpAddr, port, weight: 100 }));
    const counts = countsOf(maglevTable(list, 251), 2);
    expect(Math.abs(counts[0]! - counts[1]!)).toBeLessThanOrEqual(1);
  });

  test('L5-a: 400 ports over the same pods are one table, and one more after a pod was replaced', () => {
    const tables = createMaglevTables();
    const pods = members(4);
    const serve = (list: MaglevMember[]) =>
      new Set(
        Array.from({ length: 400 }, (_, p) =>
          tables.get(
            list.map((m) => ({ ...m, port: 10_000 + p })),
            16381,
          ),
        ),
      );
    expect([serve(pods).size, tables.computed()]).toEqual([1, 1]);
    expect([serve(members(5).slice(1)).size, tables.computed()]).toEqual([1, 2]);
  });

  test('L5-b: 100 backends at M = 16381 take at most 6.4 ms', () => {
    const once = (): number => {
      const begin = performance.now();
      maglevTable(hundred, 16381);
      return performance.now() - begin;
    };
    // the best of many: other work on the machine is not what is measured
    expect(Math.min(...Array.from({ length: 30 }, once))).toBeLessThan(6.4);
  });
});
