import { LbFlag, packRows, subjectValue, tables } from '@axoneme/datapath';
import { describe, expect, test } from '@jest/globals';
import { todaysRows } from '../src/apply/old-rows.ts';

const value = { handle: 7n, denyRule: [1, 0], peerMask: [2, 0], anyMask: [0, 0], flags: 1 } as const;
const empty = Buffer.alloc(0);
const table = { keySize: tables.subject.key.size, valueSize: tables.subject.value.size };

describe('rows stored by an older agent', () => {
  const rows = packRows('subject', [
    [{ identity: 300, layer: 0 }, value],
    [{ identity: 70_001, layer: 0 }, value],
  ]);
  const today = { table: 'subject', keys: Buffer.from(rows.keys), values: Buffer.from(rows.values), blob: empty };

  test('subjects without a layer are the normal layer', () => {
    const old = Buffer.alloc(8);
    old.writeUInt32LE(300, 0);
    old.writeUInt32LE(70_001, 4);
    const values = Buffer.concat([subjectValue.encode(value), subjectValue.encode(value)]);
    expect(todaysRows({ table: 'subject', keys: old, values, blob: empty }, table)).toEqual(today);
  });

  test('frontends with one set have it for every client', () => {
    const key = { addr: Uint8Array.of(10, 96, 0, 1, ...new Uint8Array(12)), port: 80, proto: 6, family: 4 };
    const old = Buffer.alloc(24);
    old.writeBigUInt64LE(77n, 0);
    old.writeUInt32LE(3, 8);
    old.writeUInt32LE(9, 16);
    old.writeUInt32LE(10_800, 20);
    const sets = { setOut: 77n, setIn: 77n, countOut: 3, countIn: 3, maglevSize: 0 };
    const now = packRows('lb_frontend', [[key, { ...sets, serviceId: 9, affinityS: 10_800, flags: LbFlag.reject | LbFlag.affinity }]]);
    const content = { table: 'lb_frontend', keys: Buffer.from(now.keys), values: old, blob: empty };
    const sizes = { keySize: tables.lb_frontend.key.size, valueSize: tables.lb_frontend.value.size };
    const today = { ...content, values: Buffer.from(now.values) };
    expect(todaysRows(content, sizes)).toEqual(today);
    expect(todaysRows(today, sizes)).toBe(today);
  });

  test('everything else stays as it is', () => {
    expect(todaysRows(today, table)).toBe(today);
    const other = { ...today, table: 'policy' };
    expect(todaysRows(other, table)).toBe(other);
    const none = { table: 'subject', keys: empty, values: empty, blob: empty };
    expect(todaysRows(none, table)).toBe(none);
    expect(todaysRows(today, undefined)).toBe(today);
  });
});
