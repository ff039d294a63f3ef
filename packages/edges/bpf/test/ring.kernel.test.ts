import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type BpfObject, createRingReader, openObject, Ring } from '../src/index.ts';
import { createFixture, eventually, type Fixture, packet } from './fixture.ts';

let fixture: Fixture;
let object: BpfObject;
beforeAll(() => {
  fixture = createFixture();
  object = openObject(fixture.object, { pinRoot: join(fixture.bpffs, 'maps') });
});
afterAll(() => {
  object.close();
  fixture.remove();
});
const emit = (n: number): void => void object.program('emit').testRun({ packet: packet(100), repeat: n });

test('events are seen once, in order, without the discarded ones; losses show as gaps only', () => {
  const ring = new Ring(object.map('ring'));
  const seen: number[] = [];
  const take = (bytes: Buffer, offset: number, length: number): void => {
    expect(length).toBe(24);
    expect(bytes.readBigUInt64LE(offset + 8)).toBe(100n);
    expect(bytes.readBigUInt64LE(offset + 16)).toBe(0xfeedfacecafebeefn);
    seen.push(Number(bytes.readBigUInt64LE(offset)));
  };
  for (let i = 0; i < 100; i++) {
    emit(50); // 100 * 50 * 32 bytes: more than twice around the ring
    expect(ring.drain(take)).toBe(40);
  }
  expect(seen).toEqual(Array.from({ length: 5000 }, (_, i) => i).filter((i) => i % 5 !== 4));
  expect(ring.drain(take)).toBe(0);
  emit(5000); // overflows: 65536 / 32 = 2048 fit (one less for the full/empty distinction)
  const n = ring.drain(take, 10);
  expect(n).toBe(10);
  expect(ring.drain(take)).toBeGreaterThan(1500);
  ring.close();
  expect(ring.drain(take)).toBe(0);
});

test('the reader wakes up, survives a failing handler and stops', async () => {
  const errors: unknown[] = [];
  let rounds = 0;
  let calls = 0;
  const reader = createRingReader({
    rings: [
      {
        map: object.map('ring'),
        onEvent: () => {
          if (++calls === 3) throw new Error('handler');
        },
      },
    ],
    onRound: () => rounds++,
    onError: (e) => errors.push(e),
  });
  emit(10);
  await eventually(() => reader.events === 8);
  emit(10);
  await eventually(() => reader.events === 16);
  expect(errors).toHaveLength(1);
  expect(rounds).toBeGreaterThan(0);
  const before = performance.now();
  await reader.stop();
  await reader.stop();
  const stops = [performance.now() - before];
  for (let i = 0; i < 4; i++) {
    const idle = createRingReader({ rings: [{ map: object.map('ring'), onEvent: () => undefined }], onError: (e) => errors.push(e) });
    await new Promise((r) => setImmediate(r));
    const at = performance.now();
    await idle.stop();
    stops.push(performance.now() - at);
  }
  expect(Math.min(...stops)).toBeLessThan(150); // woken, not timed out; the fastest, since others may hold this machine up
  emit(5);
  expect(reader.events).toBe(16);
});
