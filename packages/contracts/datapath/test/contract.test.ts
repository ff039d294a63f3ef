import { parseCidr, parseIp } from '@axoneme/model';
import { AppError, unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import {
  addressKey,
  addressText,
  applyOrder,
  cidrOfIpcacheKey,
  contentHandle,
  Dir,
  Drop,
  dirPlen,
  displayRow,
  displayRows,
  dropReasonHubble,
  dropReasonNumber,
  dropReasonText,
  FIRST_DROP_REASON,
  ipcacheKey,
  ipcacheKeyOf,
  macBytes,
  macText,
  packRows,
  parseDirPlen,
  portRange,
  precedence,
  type Row,
  sumPerCpu,
  tableByName,
  tables,
  unpackRows,
  Verdict,
  verdictText,
} from '../src/index.ts';

const ip = (s: string) => unwrap(parseIp(s));
const cidr = (s: string) => unwrap(parseCidr(s));

test('upserts go from what is referred to, to what refers', () => {
  expect(applyOrder).toEqual(['lb_slot', 'lb_maglev', 'lb_source', 'lb_frontend', 'policy', 'subject', 'addr_class', 'ipcache']);
  expect(applyOrder.every((n) => tables[n].writer === 'operator')).toBe(true);
  expect(tableByName('policy')).toBe(tables.policy);
  expect(tableByName('toString')).toBeUndefined();
});

test('ipcache keys: 32 bits before the address', () => {
  const k = ipcacheKeyOf(cidr('10.1.0.0/16'));
  expect(Buffer.from(ipcacheKey.encode(k)).toString('hex')).toBe(`30000000040000000a01${'00'.repeat(14)}`);
  for (const c of ['0.0.0.0/0', '10.1.2.3/32', '::/0', 'fd00::1/128', 'fd00:1::/32'])
    expect(cidrOfIpcacheKey(ipcacheKeyOf(cidr(c)))).toBe(c);
  expect(addressText(addressKey(ip('fd00::1')).addr, 6)).toBe('fd00::1');
  expect(addressText(new Uint8Array(16), 0)).toBeUndefined();
});

describe('ports', () => {
  test('dir_plen', () => {
    expect(dirPlen('egress', 16)).toBe(0x90);
    expect(parseDirPlen(dirPlen('ingress', 7))).toEqual({ direction: 'ingress', plen: 7 });
    expect(() => dirPlen('egress', 17)).toThrow(AppError);
  });

  test('a prefix keeps its upper bits', () => {
    expect(portRange(80, 16)).toEqual([80, 80]);
    expect(portRange(1025, 6)).toEqual([1024, 2047]);
    expect(portRange(443, 0)).toEqual([0, 65_535]);
  });
});

test('deny beats allow, a stronger tier beats both', () => {
  expect(precedence('deny')).toBe(0xffffffff);
  expect(precedence('allow')).toBe(0xffffff01);
  expect(precedence('allow')).toBeGreaterThan(precedence('deny', 1));
});

test('MAC addresses', () => {
  expect(macText(macBytes('02:00:00:AB:cd:ef'))).toBe('02:00:00:ab:cd:ef');
  expect(() => macBytes('02:00')).toThrow(AppError);
});

describe('artifacts', () => {
  const row = (peer: number, port: number): Row<'policy'> => [
    { handle: 1n, peer, proto: 6, dirPlen: dirPlen('ingress', 16), port },
    { precedence: precedence('allow'), ruleId: 7, proxyPort: 0, verdict: 1, flags: 0 },
  ];

  test('rows in any order give equal bytes', () => {
    const a = packRows('policy', [row(300, 80), row(2, 443), row(2, 80)]);
    const b = packRows('policy', [row(2, 80), row(300, 80), row(2, 443)]);
    expect(a).toEqual(b);
    expect(contentHandle(a)).toBe(contentHandle(b));
    expect(unpackRows('policy', a.keys, a.values)).toHaveLength(3);
    for (let i = 1; i < a.count; i++)
      expect(Buffer.compare(a.keys.subarray((i - 1) * 16, i * 16), a.keys.subarray(i * 16, (i + 1) * 16))).toBe(-1);
  });

  test('one key twice is refused', () => {
    expect(() => packRows('policy', [row(2, 80), row(2, 80)])).toThrow(expect.objectContaining({ code: 'datapath/duplicate-key' }));
  });

  test('torn rows are refused', () => {
    expect(() => unpackRows('policy', new Uint8Array(17), new Uint8Array(16))).toThrow(
      expect.objectContaining({ code: 'datapath/bad-rows' }),
    );
    expect(() => unpackRows('policy', new Uint8Array(32), new Uint8Array(16))).toThrow(
      expect.objectContaining({ code: 'datapath/bad-rows' }),
    );
  });
});

describe('display', () => {
  test('policy rows read like a rule', () => {
    const p = packRows('policy', [
      [
        { handle: 255n, peer: 0, proto: 6, dirPlen: dirPlen('egress', 6), port: 1024 },
        { precedence: precedence('deny'), ruleId: 0xbeef, proxyPort: 0, verdict: 2, flags: 0 },
      ],
    ]);
    expect(displayRows('policy', p.keys, p.values)).toEqual([
      {
        handle: '00000000000000ff',
        direction: 'egress',
        peer: 'any',
        protocol: 'tcp',
        port: '1024-2047',
        verdict: 'deny',
        precedence: 0xffffffff,
        rule: '0000beef',
      },
    ]);
  });

  test('every table can be shown and is JSON', () => {
    for (const t of Object.values(tables)) {
      const key = t.key === tables.ipcache.key ? ipcacheKeyOf(cidr('fd00::/64')) : t.key.decode(new Uint8Array(t.key.size).fill(4));
      const shown = displayRow(t.name as 'policy', key as never, t.value.decode(new Uint8Array(t.value.size).fill(4)) as never);
      expect(JSON.parse(JSON.stringify(shown))).toEqual(shown);
      expect(Object.keys(shown).length).toBeGreaterThan(1);
    }
  });

  test('subjects name their layer and flags, verdicts their pass', () => {
    const value = { handle: 0xabcn, denyRule: [1, 0], peerMask: [0, 0], anyMask: [0, 0], flags: 8 | 32 | 64 } as const;
    const shown = (layer: number) => displayRow('subject', { identity: 301, layer }, value);
    expect(shown(0)).toMatchObject({ identity: 301, layer: 'normal', flags: ['hasAdmin', 'hasShadow', 'classes'] });
    expect([1, 2, 3, 4, 5].map((l) => shown(l).layer)).toEqual(['admin', 'baseline', 'shadow normal', 'shadow admin', 'shadow baseline']);
    expect(displayRow('addr_class', ipcacheKeyOf(cidr('10.0.0.0/8')), { class: 0x0200_0001 })).toEqual({
      cidr: '10.0.0.0/8',
      class: 0x0200_0001,
    });
    expect(verdictText(Verdict.pass)).toBe('pass');
  });

  test('drops name their reason and direction; per-CPU values are summed', () => {
    const slot = tables.drops.value.encode({ packets: 3n, bytes: 2n ** 40n });
    const sum = sumPerCpu(Buffer.concat([slot, slot]), tables.drops.value.size);
    expect(displayRow('drops', Drop.policyDeny * 2 + Dir.egress, tables.drops.value.decode(sum))).toEqual({
      reason: 'Policy denied by denylist',
      number: 181,
      direction: 'egress',
      packets: 6,
      bytes: 2 ** 41,
    });
  });
});

test('every drop of the datapath has a text and a Hubble name', () => {
  for (const n of Object.values(Drop)) {
    expect(n).toBeGreaterThanOrEqual(FIRST_DROP_REASON);
    expect(dropReasonText(n)).not.toMatch(/^Reason/);
    expect(dropReasonNumber(dropReasonHubble(n))).toBe(n);
  }
  expect(dropReasonHubble(133)).toBe('POLICY_DENIED');
  expect(dropReasonHubble(77)).toBe('DROP_REASON_UNKNOWN');
  expect(dropReasonText(77)).toBe('Reason 77');
});
