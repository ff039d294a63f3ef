import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError, canonicalJson } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import { readBtf } from '../src/generator/btf.ts';
import { GEN, generate, ROOT } from '../src/generator/generate.ts';
import { constants, FIELD_SIZE, structLayouts } from '../src/generator/layout.ts';
import {
  type Codec,
  decodeAll,
  encodeAll,
  event,
  flow4Key,
  maps,
  policyKey,
  policyValue,
  SCHEMA_DIGEST,
  subjectValue,
  tables,
} from '../src/index.ts';

const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');
function code(fn: () => unknown): string {
  try {
    fn();
  } catch (e) {
    if (e instanceof AppError) return e.code;
    throw e;
  }
  return 'nothing thrown';
}

describe('generated files', () => {
  test('are what the C sources give today', () => {
    const fresh = generate();
    const committed = new Map(readdirSync(GEN).map((f) => [f, readFileSync(join(GEN, f), 'utf8')]));
    expect([...committed.keys()].sort()).toEqual([...fresh.keys()].sort());
    for (const [name, content] of fresh) expect({ name, content: committed.get(name) }).toEqual({ name, content });
    expect(SCHEMA_DIGEST).toMatch(/^[0-9a-f]{32}$/);
  });

  test('cover every map: its key and value are generated structs or integers of the registry', () => {
    for (const t of Object.values(tables)) {
      const map = maps[t.name];
      const named = (codec: Codec<never>): string => (codec.size === 4 && !codec.name.includes('_') ? 'u32' : codec.name);
      expect({ map: t.name, key: named(t.key as Codec<never>), value: named(t.value as Codec<never>) }).toEqual({
        map: t.name,
        key: map.key,
        value: map.value,
      });
    }
  });

  test('offsets are those the C compiler gives, asked independently', () => {
    const layouts = structLayouts(readBtf(readFileSync(join(ROOT, 'bpf/build/types.o'))));
    const lines = layouts.flatMap((s) => s.fields.map((f) => `O(${s.name}, ${f.name});`));
    const dir = mkdtempSync(join(tmpdir(), 'axdp-'));
    const source = `#include <stddef.h>\n#include <stdio.h>\n#include "lib/structs.h"
      #define O(s, f) printf("%s.%s %zu %zu\\n", #s, #f, offsetof(struct s, f), sizeof(((struct s *)0)->f))
      int main(void) { ${lines.join('\n')} return 0; }`;
    execFileSync('cc', ['-x', 'c', '-I', join(ROOT, 'bpf'), '-o', join(dir, 'offsets'), '-'], { input: source });
    const fromC = execFileSync(join(dir, 'offsets')).toString().trim().split('\n');
    rmSync(dir, { recursive: true });
    const ours = layouts.flatMap((s) => s.fields.map((f) => `${s.name}.${f.name} ${f.offset} ${(f.length ?? 1) * FIELD_SIZE[f.kind]}`));
    expect(ours).toEqual(fromC);
    expect(layouts.length).toBeGreaterThan(20);
  });

  test('constants of the headers are read with shifts and suffixes', () => {
    expect(constants('#define AXO_A 0x10u\n#define AXO_B (1u << 31) /* why */\n#define OTHER 3\n#define AXO_F(x) x')).toEqual([
      { name: 'A', value: 16 },
      { name: 'B', value: 2 ** 31 },
    ]);
  });
});

describe('codecs', () => {
  test('byte for byte', () => {
    const row = { handle: 0x0102030405060708n, peer: 0x0a0b0c0d, proto: 6, dirPlen: 0x90, port: 443 };
    expect(hex(policyKey.encode(row))).toBe('08070605040302010d0c0b0a069001bb');
    expect(policyKey.decode(policyKey.encode(row))).toEqual(row);
    expect(hex(flow4Key.encode({ saddr: 0x0a000001, daddr: 0xc0a80001, sport: 1, dport: 0x1234, proto: 17, kind: 0 }))).toBe(
      '0a000001c0a80001000112341100' + '0000',
    );
  });

  test('padding is zeroed even in a used buffer, and neighbours stay', () => {
    const buffer = new Uint8Array(48).fill(0xff);
    policyValue.encode({ precedence: 1, ruleId: 2, proxyPort: 3, verdict: 1, flags: 0 }, buffer, 16);
    expect(hex(buffer.subarray(0, 16))).toBe('ff'.repeat(16));
    expect(hex(buffer.subarray(16, 32))).toBe('0100000002000000000301' + '00' + '00000000');
    expect(hex(buffer.subarray(32))).toBe('ff'.repeat(16));
  });

  test('arrays, extremes and many rows', () => {
    const v = { handle: 2n ** 64n - 1n, denyRule: [0xffffffff, 1], peerMask: [0, 0x80000000], anyMask: [5, 6], flags: 255 } as const;
    expect(subjectValue.decode(subjectValue.encode(v))).toEqual(v);
    const many = encodeAll(subjectValue, [v, { ...v, flags: 0 }]);
    expect(many.length).toBe(80);
    expect(decodeAll(subjectValue, many).map((x) => x.flags)).toEqual([255, 0]);
  });

  test('what does not fit is refused', () => {
    const v = { precedence: 1, ruleId: 2, proxyPort: 3, verdict: 1, flags: 0 };
    for (const bad of [
      { verdict: 256 },
      { verdict: -1 },
      { ruleId: 2 ** 32 },
      { proxyPort: 65_536 },
      { flags: 1.5 },
      { precedence: Number.NaN },
    ]) {
      expect(code(() => policyValue.encode({ ...v, ...bad }))).toBe('datapath/out-of-range');
    }
    expect(code(() => policyKey.encode({ handle: 1n << 64n, peer: 0, proto: 0, dirPlen: 0, port: 0 }))).toBe('datapath/out-of-range');
    expect(code(() => subjectValue.encode({ handle: 0n, denyRule: [1] as never, peerMask: [0, 0], anyMask: [0, 0], flags: 0 }))).toBe(
      'datapath/out-of-range',
    );
  });

  test('decoding copies: the ring may be overwritten afterwards', () => {
    const bytes = new Uint8Array(event.size).fill(7);
    const e = event.decode(bytes);
    bytes.fill(9);
    expect(e.saddr).toEqual(new Uint8Array(16).fill(7));
    expect(event.decode(event.encode(e))).toEqual(e);
  });

  test('every codec round-trips random bytes with zero padding', () => {
    for (const t of Object.values(tables)) {
      for (const codec of [t.key, t.value] as Codec<unknown>[]) {
        for (let seed = 1; seed <= 20; seed++) {
          const noise = Uint8Array.from({ length: codec.size }, (_, i) => (Math.imul(seed * 2654435761, i + 1) >>> 13) & 0xff);
          const once = codec.decode(noise);
          const twice = codec.decode(codec.encode(once));
          const text = (v: unknown): string =>
            canonicalJson(JSON.parse(JSON.stringify(v, (_k, x: unknown) => (typeof x === 'bigint' ? `${x}n` : x))));
          expect(text(twice)).toBe(text(once));
        }
      }
    }
  });
});
