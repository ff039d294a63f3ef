import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '@axoneme/std';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  type BpfObject,
  createMap,
  errnoOf,
  MapType,
  openObject,
  pinnedMap,
  pinnedProgram,
  readSkBuff,
  skBuffContext,
  unpin,
} from '../src/index.ts';
import { createFixture, type Fixture, packet } from './fixture.ts';

let fixture: Fixture;
const opened: BpfObject[] = [];
const open: typeof openObject = (source, options) => {
  const o = openObject(source, { pinRoot: join(fixture.bpffs, 'maps'), ...options });
  opened.push(o);
  return o;
};
beforeAll(() => {
  fixture = createFixture();
});
afterAll(() => {
  for (const o of opened) o.close();
  fixture.remove();
});

function thrown(fn: () => unknown): AppError {
  try {
    fn();
  } catch (e) {
    if (e instanceof AppError) return e;
    throw e;
  }
  throw new Error('nothing was thrown');
}

describe('open and load', () => {
  test('rodata and sizes are set before load and reach the program', () => {
    const o = open(fixture.object, { rodata: { answer: 40, blob: Buffer.from([0, 0, 0, 2]), wide: 3n }, maxEntries: { rows: 5 } });
    expect(o.map('rows').maxEntries).toBe(5);
    const run = o.program('tag').testRun({ packet: packet(), context: skBuffContext({ mark: 9 }) });
    expect(run.verdict).toBe(-1);
    expect(readSkBuff(run.context!).mark).toBe(42);
    expect(run.packet).toEqual(packet());
    const dropping = open(fixture.object, { rodata: { wide: 7n } });
    expect(dropping.program('tag').testRun({ packet: packet() }).verdict).toBe(2);
  });

  test('an object can come as bytes, with a choice of programs', () => {
    const o = open(readFileSync(fixture.object), { name: 'frombytes', programs: ['emit'] });
    expect([...o.programs.keys()]).toEqual(['emit']);
    expect(o.program('emit').info().name).toBe('emit');
    expect(thrown(() => o.program('tag')).code).toBe('bpf/no-program');
  });

  test('mistakes are named', () => {
    expect(thrown(() => open(fixture.object, { rodata: { nope: 1 } }))).toMatchObject({
      code: 'bpf/no-variable',
      hint: expect.stringContaining('answer'),
    });
    expect(thrown(() => open(fixture.object, { rodata: { answer: 2 ** 32 } })).code).toBe('bpf/bad-value');
    expect(thrown(() => open(fixture.object, { maxEntries: { nope: 1 } })).code).toBe('bpf/no-map');
    expect(thrown(() => open(fixture.object, { programs: ['nope'] })).code).toBe('bpf/no-program');
    expect(errnoOf(thrown(() => open('/nonexistent.o')))).toBe(2);
    expect(thrown(() => open(Buffer.from('no elf'))).code).toBe('bpf/open');
  });

  test('the verifier log is in the error', () => {
    const e = thrown(() => open(fixture.rejected));
    expect(e.code).toBe('bpf/verifier');
    expect(e.fields.errnoName).toBe('EACCES');
    expect(e.fields.verifierLog).toContain('invalid access to packet');
    expect(e.message).toContain('invalid access to packet');
  });
});

describe('pins', () => {
  test('a pinned map is adopted by the next load', () => {
    const first = open(fixture.object);
    first.map('kept').update(Buffer.from([1, 0, 0, 0]), Buffer.from([5, 0, 0, 0]));
    const second = open(fixture.object);
    expect(second.map('kept').lookup(Buffer.from([1, 0, 0, 0]))).toEqual(Buffer.from([5, 0, 0, 0]));
    expect(second.map('kept').id).toBe(first.map('kept').id);
  });

  test('another shape fails, or replaces the pin when asked', () => {
    open(fixture.object);
    const e = thrown(() => open(fixture.object, { maxEntries: { kept: 32 } }));
    expect(e.code).toBe('bpf/pin-mismatch');
    const o = open(fixture.object, { maxEntries: { kept: 32 }, onPinMismatch: 'replace' });
    expect(o.replacedPins).toEqual([join(fixture.bpffs, 'maps/kept')]);
    const pinned = pinnedMap(join(fixture.bpffs, 'maps/kept'))!;
    expect(pinned.maxEntries).toBe(32);
    pinned.close();
    unpin(join(fixture.bpffs, 'maps/kept'));
  });

  test('explicit pins, programs, absence', () => {
    const path = join(fixture.bpffs, 'deep/er/rows');
    const o = open(fixture.object, { pins: { rows: path } });
    expect(existsSync(path)).toBe(true);
    o.program('tag').pin(join(fixture.bpffs, 'progs/tag'));
    const p = pinnedProgram(join(fixture.bpffs, 'progs/tag'))!;
    expect(p.info()).toMatchObject({ id: o.program('tag').info().id, name: 'tag', type: 3 });
    p.close();
    expect(unpin(path)).toBe(true);
    expect(unpin(path)).toBe(false);
    expect(pinnedMap(path)).toBeUndefined();
  });
});

describe('maps', () => {
  const u64 = (...n: number[]): Buffer => Buffer.from(new BigUint64Array(n.map(BigInt)).buffer);
  const row = (n: number): Buffer => Buffer.concat([Buffer.from([n]), Buffer.alloc(15)]);

  test('batches: update, dump, delete with absent keys', () => {
    const m = open(fixture.object).map('rows');
    expect(m).toMatchObject({ keySize: 8, valueSize: 16, valueBytes: 16, type: MapType.hash, name: 'rows' });
    const n = 100;
    m.updateBatch(u64(...Array(n).keys()), Buffer.concat([...Array(n).keys()].map(row)), n);
    expect(m.size()).toBe(n);
    const seen = new Map([...m.entries()].map(([k, v]) => [Number(k.readBigUInt64LE(0)), v[0]]));
    expect([...seen.entries()].every(([k, v]) => k === v)).toBe(true);
    expect(seen.size).toBe(n);
    expect(m.deleteBatch(u64(0, 500, 1, 501, 502, 2), 6)).toBe(3);
    expect(m.size()).toBe(n - 3);
    expect(m.delete(u64(3))).toBe(true);
    expect(m.delete(u64(3))).toBe(false);
    expect(m.lookup(u64(3))).toBeUndefined();
    expect(m.lookup(u64(4))).toEqual(row(4));
  });

  test('a full map tells how many rows were stored', () => {
    const m = open(fixture.object).map('rows');
    const n = 200;
    const e = thrown(() => m.updateBatch(u64(...Array(n).keys()), Buffer.alloc(n * 16), n));
    expect(e).toMatchObject({ code: 'bpf/map-full', retry: 'later', fields: { done: 128, errnoName: 'E2BIG' } });
    expect(m.size()).toBe(128);
  });

  test('chunks report progress and small chunks still see every row', () => {
    const m = createMap({ type: MapType.hash, name: 'big', keySize: 8, valueSize: 16, maxEntries: 5000 });
    const steps = [...m.updateChunks(u64(...Array(5000).keys()), Buffer.alloc(5000 * 16), 5000, 1000)];
    expect(steps).toEqual([1000, 2000, 3000, 4000, 5000]);
    const keys = new Set<bigint>();
    for (const part of m.dumpChunks(7)) for (let i = 0; i < part.count; i++) keys.add(part.keys.readBigUInt64LE(8 * i));
    expect(keys.size).toBe(5000);
    let taken = 0;
    for (const part of m.takeChunks()) taken += part.count;
    expect(taken).toBe(5000);
    expect(m.size()).toBe(0);
    m.close();
  });

  test('LPM tries dump and delete in batches', () => {
    const m = open(fixture.object).map('trie');
    const key = (plen: number, a: number): Buffer => Buffer.from([plen, 0, 0, 0, a, 0, 0, 0]);
    m.updateBatch(Buffer.concat([key(8, 10), key(8, 20), key(0, 0)]), Buffer.alloc(12, 1), 3);
    expect(m.dump().count).toBe(3);
    expect(m.lookup(key(32, 10))).toBeDefined();
    expect(m.deleteBatch(Buffer.concat([key(8, 10), key(9, 10), key(8, 20)]), 3)).toBe(2);
    expect(m.dump().keys).toEqual(key(0, 0));
  });

  test('maps without batch support fall back to single calls', () => {
    const o = open(fixture.object);
    const m = o.map('calls');
    const fd = Buffer.alloc(4);
    fd.writeUInt32LE(o.program('emit').fd);
    m.updateBatch(Buffer.from([1, 0, 0, 0]), fd, 1);
    const dumped = m.dump();
    expect(dumped.count).toBe(1);
    expect(dumped.values.readUInt32LE(0)).toBe(o.program('emit').info().id);
    expect(m.deleteBatch(Buffer.from([0, 0, 0, 0, 1, 0, 0, 0]), 2)).toBe(1);
  });

  test('per-CPU values are summed', () => {
    const o = open(fixture.object);
    const m = o.map('hits');
    o.program('tag').testRun({ packet: packet(), repeat: 1000 });
    const value = m.lookup(Buffer.alloc(4))!;
    expect(value.length).toBe(m.valueBytes);
    expect(m.percpuSum(value)).toBe(1000n);
    expect(m.percpu(value).reduce((sum, slot) => sum + Number(slot.readBigUInt64LE(0)), 0)).toBe(1000);
  });

  test('wrong sizes are refused before the kernel sees them', () => {
    const m = open(fixture.object).map('rows');
    expect(thrown(() => m.updateBatch(Buffer.alloc(8), Buffer.alloc(15), 1)).code).toBe('std/invariant');
    expect(thrown(() => m.lookup(Buffer.alloc(4))).code).toBe('std/invariant');
  });
});
