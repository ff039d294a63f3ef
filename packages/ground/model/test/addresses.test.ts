import { unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import {
  cidrAround,
  cidrContains,
  cidrLast,
  cidrOverlaps,
  compareCidr,
  compareIp,
  createPrefixTable,
  ipBytes,
  ipFamily,
  ipFromBigint,
  ipFromBytes,
  ipToBigint,
  parseCidr,
  parseCidrOrIp,
  parseIp,
  parsePort,
  portInPrefix,
  portPrefixes,
} from '../src/index.ts';

const cidr = (t: string) => unwrap(parseCidr(t));
const ip = (t: string) => unwrap(parseIp(t));

describe('addresses', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['FD00:0:0:0::00aB', 'fd00::ab'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['::ffff:1.2.3.4', '::ffff:102:304'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ])('%s is read as %s', (text, canonical) => {
    const value = ip(text);
    expect(value).toBe(canonical);
    expect(ipFromBytes(ipFamily(value), ipBytes(value))).toBe(canonical);
    expect(ipFromBigint(ipFamily(value), ipToBigint(value))).toBe(canonical);
  });

  test.each([
    '',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '1.2.3.4.5',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    'fe80::1%eth0',
    '1.2.3.4::',
    '10.0.0.1/8',
  ])('"%s" is refused', (text) => expect(parseIp(text).ok).toBe(false));

  test('IPv4 sits in the first four bytes', () => {
    expect([...ipBytes(ip('10.1.2.3'))]).toEqual([10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  test('order is family, then value', () => {
    expect([ip('::1'), ip('9.0.0.1'), ip('10.0.0.1'), ip('10.0.0.0')].sort(compareIp)).toEqual(['9.0.0.1', '10.0.0.0', '10.0.0.1', '::1']);
  });
});

describe('prefixes', () => {
  test.each([
    '10.0.0.0/33',
    '10.0.0.1/8',
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '::/129',
    'fd00::1/64',
    'x/8',
    '10.0.0.0/8/8',
  ])('%s is refused', (text) => expect(parseCidr(text).ok).toBe(false));

  test('the hint names what was meant', () => {
    const r = parseCidr('10.1.2.3/8');
    expect(r.ok ? '' : r.error.hint).toBe('write 10.0.0.0/8');
  });

  test('canonical text and bare addresses', () => {
    expect(cidr('FD00:0::/16')).toBe('fd00::/16');
    expect(unwrap(parseCidrOrIp('10.0.0.1'))).toBe('10.0.0.1/32');
    expect(unwrap(parseCidrOrIp('::1'))).toBe('::1/128');
    expect(cidrAround(ip('10.255.3.4'), 9)).toBe('10.128.0.0/9');
    expect(cidrLast(cidr('10.128.0.0/9'))).toBe('10.255.255.255');
  });

  test('containment', () => {
    expect(cidrContains(cidr('10.0.0.0/8'), cidr('10.1.0.0/16'))).toBe(true);
    expect(cidrContains(cidr('10.1.0.0/16'), cidr('10.0.0.0/8'))).toBe(false);
    expect(cidrContains(cidr('0.0.0.0/0'), cidr('::/0'))).toBe(false);
    expect(cidrOverlaps(cidr('10.0.0.0/9'), cidr('10.128.0.0/9'))).toBe(false);
    expect([cidr('10.0.0.0/16'), cidr('10.0.0.0/8'), cidr('9.0.0.0/8')].sort(compareCidr)).toEqual([
      '9.0.0.0/8',
      '10.0.0.0/8',
      '10.0.0.0/16',
    ]);
  });

  test('the longest prefix wins, and deletion uncovers the next', () => {
    const t = createPrefixTable<string>();
    for (const c of ['10.1.0.0/16', '0.0.0.0/0', '10.0.0.0/8', 'fd00::/8']) t.set(cidr(c), c);
    expect(t.lookup(ip('10.1.2.3'))?.value).toBe('10.1.0.0/16');
    t.delete(cidr('10.1.0.0/16'));
    expect(t.lookup(ip('10.1.2.3'))?.value).toBe('10.0.0.0/8');
    expect(t.lookup(ip('fe00::1'))).toBeUndefined();
    expect(t.covering(cidr('10.0.0.0/8')).map((r) => r.cidr)).toEqual(['10.0.0.0/8', '0.0.0.0/0']);
    expect(t.size).toBe(3);
  });
});

describe('ports', () => {
  test('1024–65535 is six prefixes', () => {
    expect(portPrefixes(1024, 65535)).toHaveLength(6);
    expect(portPrefixes(0, 65535)).toEqual([{ port: 0, len: 0 }]);
    expect(portPrefixes(80, 80)).toEqual([{ port: 80, len: 16 }]);
  });

  test('prefixes cover exactly the range', () => {
    for (const [first, last] of [
      [1, 65535],
      [0, 1],
      [65534, 65535],
      [8000, 8100],
      [32767, 32769],
      [1023, 1025],
    ] as const) {
      const prefixes = portPrefixes(first, last);
      for (let p = 0; p <= 65535; p++) {
        const hits = prefixes.filter((x) => portInPrefix(x, p)).length;
        if (hits !== (p >= first && p <= last ? 1 : 0)) throw new RangeError(`${first}-${last}: port ${p} is in ${hits} prefixes`);
      }
    }
  });

  test('only 1 to 65535', () => {
    for (const bad of ['0', '70000', '80abc', '', '0x50', '-1']) expect(parsePort(bad).ok).toBe(false);
    expect(unwrap(parsePort('80'))).toBe(80);
  });
});
