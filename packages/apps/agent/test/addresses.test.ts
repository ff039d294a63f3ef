import { unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatIp, ipBytes16, ipFromBytes, parseBlock, parseIp } from '../src/endpoints/address.ts';
import { createAddresses } from '../src/endpoints/addresses.ts';

describe('address text', () => {
  test.each(['10.0.0.1', '::', '::1', 'fd00::1:0:0:2', '1:2:3:4:5:6:7:8', '1:0:2:3:4:5:6:7', 'fe80::'])('%s stays itself', (t) => {
    expect(formatIp(parseIp(t))).toBe(t);
  });
  test.each(['10.0.0', '10.0.0.256', '1::2::3', '1:2:3:4:5:6:7', 'g::', '', '1:2:3:4:5:6:7:8:9'])('%j is no address', (t) => {
    expect(() => parseIp(t)).toThrow(/no IP address/);
  });
  test('blocks lose their host bits and refuse odd lengths', () => {
    expect(formatIp(parseBlock('10.1.2.3/24'))).toBe('10.1.2.0');
    expect(() => parseBlock('10.0.0.0/33')).toThrow(/10.0.0.0\/33/);
    expect(() => parseBlock('10.0.0.0')).toThrow(/10.0.0.0/);
  });
  test('bytes and back', () => {
    fc.assert(
      fc.property(fc.constantFrom(4 as const, 6 as const), fc.bigInt(0n, 2n ** 128n - 1n), (family, v) => {
        const ip = { family, value: family === 4 ? v & 0xffffffffn : v };
        expect(ipFromBytes(family, ipBytes16(ip))).toEqual(ip);
        expect(parseIp(formatIp(ip))).toEqual(ip);
      }),
    );
  });
});

describe('addresses of a node', () => {
  test('network, router and broadcast are never handed out; exhaustion says so', () => {
    const a = createAddresses();
    a.setBlocks(['10.0.0.0/29', 'fd00::/126']);
    expect(a.router(4)).toBe('10.0.0.1');
    expect(a.router(6)).toBe('fd00::1');
    expect(Array.from({ length: 5 }, () => unwrap(a.take(4)))).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']);
    const r = a.take(4);
    expect(r.ok ? '' : r.error.message).toBe('no free IPv4 address on this node: 5 in use in 1 block(s)');
    expect([unwrap(a.take(6)), unwrap(a.take(6)), a.take(6).ok]).toEqual(['fd00::2', 'fd00::3', false]);
    a.setBlocks(['10.0.0.0/29', '10.0.1.0/30']);
    expect(unwrap(a.take(4))).toBe('10.0.1.1');
  });

  test('a released address rests as long as others are free', () => {
    const a = createAddresses();
    a.setBlocks(['10.0.0.0/29']);
    const first = unwrap(a.take(4));
    a.release(first);
    expect(Array.from({ length: 5 }, () => unwrap(a.take(4)))).toEqual(['10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6', first]);
  });

  test('no address is ever given twice', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40)), (ops) => {
        const a = createAddresses();
        a.setBlocks(['10.0.0.0/28', '10.0.9.0/30']);
        const out: string[] = [];
        for (const op of ops) {
          const r = a.take(4);
          if (op < 20 && r.ok) {
            expect(out).not.toContain(r.value);
            out.push(r.value);
          } else {
            if (r.ok) a.release(r.value);
            const [gone] = out.splice(op % Math.max(1, out.length), 1);
            if (gone) a.release(gone);
          }
        }
        expect(a.used()).toBe(out.length);
      }),
    );
  });
});
