import { unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createAddresses } from '../src/endpoints/addresses.ts';

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
