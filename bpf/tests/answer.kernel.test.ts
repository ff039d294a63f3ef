// ICMP errors in place of a packet, and the option of direct server return, byte by byte.
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { bpf, build, createLab, type Lab, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { icmpError, type PacketSpec, packet, parse, sum16, TCP, withFrontend, withOption } from './packet.ts';
import { FAMILIES, type Family, icmpProto } from './pods.ts';

const CLIENT = { 4: '203.0.113.7', 6: '2001:db8::7' } as const;
const FRONT = { 4: '192.0.2.10', 6: '2001:db8:f::10' } as const;
const PROTOCOLS = [PROTO.tcp, PROTO.udp, PROTO.sctp] as const;
const head = (f: Family): number => (f === 4 ? 34 : 54);

let lab: Lab;
beforeAll(() => {
  build();
  lab = createLab({ objects: ['trial'] });
});
afterAll(() => lab.close());

const frameOf = (f: Family, s: Partial<PacketSpec> = {}): Buffer =>
  packet({ src: CLIENT[f], dst: FRONT[f], sport: 4321, dport: 443, flags: TCP.syn, payload: Buffer.alloc(300, 'abcdefg'), ...s });

function run(program: string, frame: Buffer, mark = 0) {
  const r = lab.program(program).testRun({ packet: frame, context: bpf.skBuffContext({ mark }), outSize: 4096 });
  return { verdict: r.verdict, packet: r.packet, port: bpf.readSkBuff(r.context!).cb[0]! };
}

/** The pace allows a hundred at once; each test starts with a full purse. */
const refill = (): void => {
  const memory = lab.objects.get('trial')!.map('answer_memory');
  memory.update(Buffer.alloc(4), Buffer.alloc(memory.lookup(Buffer.alloc(4))!.length));
};

describe.each(FAMILIES)('IPv%i answers', (f) => {
  test.each(PROTOCOLS)('nobody serves protocol %i: port unreachable from the address that was asked', (proto) => {
    refill();
    const frame = frameOf(f, { proto });
    const r = run('trial_answer', frame);
    const p = parse(r.packet);
    expect(r.verdict).toBe(VERDICT.redirect);
    expect({ src: p.src, dst: p.dst, proto: p.proto, type: [...p.l4.subarray(0, 2)], right: p.sumsRight }).toEqual({
      src: IP.text(IP(FRONT[f])),
      dst: IP.text(IP(CLIENT[f])),
      proto: icmpProto(f),
      type: f === 4 ? [3, 3] : [1, 4],
      right: true,
    });
    expect([p.dstMac, p.srcMac]).toEqual(['020000000001', '0200000000fe']);
    const quoted = p.l4.subarray(8);
    expect(quoted).toEqual(frame.subarray(14, 14 + quoted.length));
    expect(quoted.length).toBe((frame.length - 14) & ~3);
  });

  test.each([0, 1, 64, 500, 521, 1200, 1460])('a payload of %i bytes: quoted as far as the standard goes', (size) => {
    refill();
    const frame = frameOf(f, { proto: PROTO.udp, payload: Buffer.alloc(size, 'xyz') });
    const r = run('trial_answer', frame, 1400);
    const p = parse(r.packet);
    const limit = f === 4 ? 548 : 1232;
    expect([r.verdict, p.sumsRight]).toEqual([VERDICT.redirect, true]);
    expect([...p.l4.subarray(0, 2)]).toEqual(f === 4 ? [3, 4] : [2, 0]);
    expect(p.l4.readUInt32BE(4)).toBe(1400);
    expect(p.l4.subarray(8)).toEqual(frame.subarray(14, 14 + Math.min(limit, (frame.length - 14) & ~3)));
    expect(r.packet.length).toBe(head(f) + p.l4.length);
  });

  test('options and extension headers are quoted too', () => {
    refill();
    const frame = f === 6 ? frameOf(6, { extensions: 3 }) : withOption(frameOf(4), Buffer.alloc(12, 1));
    const p = parse(run('trial_answer', frame).packet);
    expect([p.sumsRight, p.l4.subarray(8)]).toEqual([true, frame.subarray(14, 14 + p.l4.length - 8)]);
  });

  test('errors, later fragments, groups and nobody in particular get no answer', () => {
    refill();
    const about = packet({ src: FRONT[f], dst: CLIENT[f], proto: PROTO.udp });
    const first = frameOf(f, { proto: PROTO.udp, frag: { id: 9, offset: 0, more: true } });
    expect(run('trial_answer', icmpError(CLIENT[f], FRONT[f], about)).verdict).toBe(VERDICT.drop);
    expect(run('trial_answer', first).verdict).toBe(VERDICT.redirect);
    expect(run('trial_answer', frameOf(f, { proto: PROTO.udp, frag: { id: 9, offset: 100, more: false } })).verdict).toBe(VERDICT.drop);
    expect(run('trial_answer', frameOf(f, { dst: f === 4 ? '224.0.0.7' : 'ff02::7' })).verdict).toBe(VERDICT.drop);
    for (const src of f === 4 ? ['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255'] : ['::', 'ff02::1']) {
      expect([src, run('trial_answer', frameOf(f, { src })).verdict]).toEqual([src, VERDICT.drop]);
    }
  });

  test('a flood is answered in part, each kind by itself', () => {
    refill();
    const frame = frameOf(f);
    let answered = 0;
    const start = performance.now();
    // each CPU has an allowance of its own, and a busy machine moves this process from one to another
    const cpus = availableParallelism();
    const asked = 400 * cpus;
    for (let i = 0; i < asked; i++) if (run('trial_answer', frame).verdict === VERDICT.redirect) answered++;
    const allowed = Math.min(asked - 1, cpus * (102 + performance.now() - start));
    expect([answered >= 100, answered <= allowed]).toEqual([true, true]);
    expect(run('trial_answer', frame, 1400).verdict).toBe(VERDICT.redirect);
  });
});

const expected = (f: Family, frame: Buffer, port: number): Buffer => withFrontend(frame, FRONT[f], port);

describe.each(FAMILIES)('IPv%i option of direct server return', (f) => {
  const shapes: Readonly<Record<string, Buffer>> = {
    'a SYN': frameOf(f),
    'a datagram': frameOf(f, { proto: PROTO.udp, payload: Buffer.from('odd') }),
    'a long one': frameOf(f, { proto: PROTO.udp, payload: Buffer.alloc(1400, 'z') }),
    'a first fragment': frameOf(f, { proto: PROTO.udp, frag: { id: 77, offset: 0, more: true } }),
    'extensions or options': f === 6 ? frameOf(6, { extensions: 2 }) : withOption(frameOf(4), Buffer.from('9404000001010101', 'hex')),
  };

  test.each(Object.entries(shapes))('%s: added as the contract has it, and taken away without a trace', (_name, frame) => {
    const there = run('trial_dsr_add', frame);
    expect(there.verdict).toBe(VERDICT.ok);
    expect(there.packet).toEqual(expected(f, frame, 443));
    const back = run('trial_dsr_remove', there.packet);
    expect([back.verdict, back.port]).toEqual([VERDICT.ok, 443]);
    expect(back.packet).toEqual(frame);
  });

  test('a wrong header sum stays as wrong as it was', () => {
    if (f === 6) return;
    const frame = frameOf(4);
    frame.writeUInt16BE((frame.readUInt16BE(24) + 1) & 0xffff, 24);
    const there = run('trial_dsr_add', frame).packet;
    expect(sum16([there.subarray(14, 42)])).not.toBe(0);
    expect(run('trial_dsr_remove', there).packet).toEqual(frame);
  });

  test('no room, or something that has to stay first: refused', () => {
    const full = f === 4 ? withOption(frameOf(4), Buffer.alloc(36, 1)) : frameOf(6);
    if (f === 6) full[20] = 0;

    expect(run('trial_dsr_add', full).verdict).toBe(VERDICT.drop);
  });

  test('what is not our option is left alone', () => {
    const UNTOUCHED = -1;
    expect(run('trial_dsr_remove', frameOf(f)).verdict).toBe(UNTOUCHED);
    const other = expected(f, frameOf(f), 443);
    other[f === 4 ? 34 : 56] = 0x1e;
    expect(run('trial_dsr_remove', other).verdict).toBe(UNTOUCHED);
    const short = expected(f, frameOf(f), 443);
    short[f === 4 ? 35 : 57] = 4;
    expect(run('trial_dsr_remove', short).verdict).toBe(UNTOUCHED);
  });
});
