// Ports of SCTP are changed under a CRC32c that nobody recomputes.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { bpf, build, createLab, type Lab, VERDICT } from './kit.ts';
import { PROTO } from './names.ts';
import { crc32c, type PacketSpec, packet } from './packet.ts';
import { FAMILIES, type Family } from './pods.ts';

const l4 = (f: Family): number => (f === 4 ? 34 : 54);

const ends = (f: Family): PacketSpec => ({
  ...(f === 4 ? { src: '192.0.2.1', dst: '10.0.0.2' } : { src: '2001:db8::1', dst: 'fd00::2' }),
  proto: PROTO.sctp,
  sport: 5000,
  dport: 36412,
});

/** As a sender would have it; `padding` is Ethernet's. */
function sctp(f: Family, payload: Uint8Array, padding = 0): Buffer {
  const frame = packet({ ...ends(f), payload });
  seal(f, frame);
  return Buffer.concat([frame, randomBytes(padding)]);
}

function seal(f: Family, frame: Buffer, sum?: number): void {
  frame.writeUInt32LE(0, l4(f) + 8);
  frame.writeUInt32LE(sum ?? crc32c(frame.subarray(l4(f))), l4(f) + 8);
}

let lab: Lab;
beforeAll(() => {
  build();
  lab = createLab({ objects: ['trial'] });
});
afterAll(() => lab.close());

function change(frame: Buffer, port: number, source: boolean) {
  const wire = ((port & 0xff) << 8) | (port >>> 8);
  const context = bpf.skBuffContext({ mark: (source ? 1 << 16 : 0) | wire });
  return lab.program('trial_sctp').testRun({ packet: frame, context, outSize: frame.length + 64 });
}

test('crc32c is the one of the standard', () => expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283));

describe.each(FAMILIES)('IPv%i', (f) => {
  test.each([4, 5, 20, 100, 255, 1000, 1440, 3000])('a payload of %i random bytes, either port', (size) => {
    for (const source of [true, false]) {
      for (const port of [1, 5001, 36413, 65535]) {
        const frame = sctp(f, randomBytes(size));
        const wanted = Buffer.from(frame);
        wanted.writeUInt16BE(port, l4(f) + (source ? 0 : 2));
        seal(f, wanted);
        const r = change(frame, port, source);
        expect([r.verdict, r.packet.equals(wanted)]).toEqual([VERDICT.ok, true]);
      }
    }
  });

  test('what Ethernet pads does not count', () => {
    const frame = sctp(f, randomBytes(4), 16);
    const wanted = Buffer.from(frame.subarray(0, -16));
    wanted.writeUInt16BE(99, l4(f));
    seal(f, wanted);
    expect(change(frame, 99, true).packet.subarray(0, -16)).toEqual(wanted);
  });

  test('a wrong sum stays wrong by as much; none stays none; the same port changes nothing', () => {
    const wrong = sctp(f, randomBytes(40));
    wrong[l4(f) + 9]! ^= 0x55;
    const r = Buffer.from(change(wrong, 77, false).packet);
    r[l4(f) + 9]! ^= 0x55;
    const wanted = Buffer.from(r);
    seal(f, wanted);
    expect(r).toEqual(wanted);

    const none = sctp(f, randomBytes(40));
    seal(f, none, 0);
    expect(change(none, 77, false).packet.readUInt32LE(l4(f) + 8)).toBe(0);

    const same = sctp(f, randomBytes(40));
    expect(change(same, 36412, false).packet).toEqual(same);
  });

  test('the first of several fragments keeps its port, or is refused', () => {
    const first = packet({ ...ends(f), frag: { id: 5, offset: 0, more: true } });
    const at = l4(f) + (f === 6 ? 8 : 0) + 8;
    first.writeUInt32LE(0x12345678, at);
    expect(change(first, 77, false).verdict).toBe(VERDICT.drop);
    expect(change(first, 36412, false).verdict).toBe(VERDICT.ok);
  });
});
