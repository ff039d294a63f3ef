import { parseIp } from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import { expect, test } from '@jest/globals';
import { buildFrame, buildIp, checksum, createFakeClock, createRandom } from '../src/index.ts';

const ip = (t: string) => unwrap(parseIp(t));

test('timers fire in order and only when due', async () => {
  const clock = createFakeClock(1000);
  const seen: string[] = [];
  clock.after(20, () => seen.push(`b@${clock.nowMs()}`));
  clock.after(10, () => clock.after(5, () => seen.push(`a@${clock.nowMs()}`)));
  clock.after(10, () => seen.push('never')).cancel();
  const woke = clock.sleep(30).then(() => seen.push('sleep'));
  const abort = new AbortController();
  const aborted = clock.sleep(1_000_000, abort.signal);
  abort.abort();
  await aborted;
  clock.advance(19);
  expect(seen).toEqual(['a@1015']);
  await clock.advanceAsync(11);
  await woke;
  expect(seen).toEqual(['a@1015', 'b@1020', 'sleep']);
  expect(clock.pending()).toBe(0);
});

test('a seed is a sequence', () => {
  const a = createRandom(7);
  const b = createRandom(7);
  expect([a.next(), a.int(1, 6), a.shuffle([1, 2, 3])]).toEqual([b.next(), b.int(1, 6), b.shuffle([1, 2, 3])]);
  for (let i = 0; i < 1000; i++) expect([1, 2, 3]).toContain(a.int(1, 3));
});

test('checksums verify to zero', () => {
  const v4 = buildIp({
    src: ip('10.0.0.1'),
    dst: ip('10.0.0.2'),
    l4: { kind: 'tcp', srcPort: 1, dstPort: 80, payload: Uint8Array.of(1, 2, 3) },
  });
  expect(checksum(v4.subarray(0, 20))).toBe(0);
  const pseudo = Buffer.concat([v4.subarray(12, 20), Buffer.from([0, 6, 0, v4.length - 20])]);
  expect(checksum(pseudo, v4.subarray(20))).toBe(0);
  const ping = buildIp({ src: ip('10.0.0.1'), dst: ip('10.0.0.2'), l4: { kind: 'icmp', type: 8 } });
  expect(checksum(ping.subarray(20))).toBe(0);
  const v6 = buildFrame({ src: ip('fd00::1'), dst: ip('fd00::2'), l4: { kind: 'icmp', type: 128 } });
  expect(v6.readUInt16BE(12)).toBe(0x86dd);
  const pseudo6 = Buffer.concat([v6.subarray(22, 54), Buffer.from([0, 0, 0, 8, 0, 0, 0, 58])]);
  expect(checksum(pseudo6, v6.subarray(54))).toBe(0);
});
