// Who asks the network for an address that this node announces is answered, for as long as the row is good and no longer.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { build, createLab, dp, type Lab, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { mac, packet, parse, whoHas } from './packet.ts';

const MAC = '02:00:00:00:00:99';
/** Packets of test runs without a device come in by the loopback. */
const IFINDEX = 1;
const ADDRESSES = { 4: { asker: '192.0.2.7', mine: '192.0.2.100' }, 6: { asker: 'fd98::7', mine: 'fd98::100' } } as const;
const SECOND = 1_000_000_000n;

let lab: Lab;
beforeAll(() => {
  build();
  lab = createLab();
});
afterAll(() => lab.close());

const announce = (ip: string, untilNs: bigint, ifindex = IFINDEX): void =>
  lab.put(dp.tables.l2_announce, { ifindex, family: ip.includes(':') ? 6 : 4, addr: IP.table(ip) }, { untilNs, mac: mac(MAC) });
const ask = (from: string, target: string, source = from) => lab.run('from_netdev', whoHas(from, target, source));

describe.each([4, 6] as const)('IPv%i', (family) => {
  const { asker, mine } = ADDRESSES[family];

  test('the row of the device is answered with its address on the link', () => {
    announce(mine, process.hrtime.bigint() + 60n * SECOND);
    const { verdict, packet: answer } = ask(asker, mine);
    expect(verdict).toBe(VERDICT.redirect);
    expect(answer.subarray(0, 12).toString('hex')).toBe('020000000001020000000099');
    if (family === 4) {
      expect(answer.readUInt16BE(20)).toBe(2);
      expect([answer.subarray(22, 28).toString('hex'), [...answer.subarray(28, 32)], [...answer.subarray(38, 42)]]).toEqual([
        '020000000099',
        [192, 0, 2, 100],
        [192, 0, 2, 7],
      ]);
    } else {
      const got = parse(answer);
      expect(got).toMatchObject({ src: IP(mine).toString('hex'), dst: IP(asker).toString('hex'), ttl: 255, sumsRight: true });
      expect([got.l4[0], got.l4.subarray(24).toString('hex')]).toEqual([136, '0201020000000099']);
    }
  });

  test('nothing else is: another address, another device, a row whose time is over, one who looks whether it is free', () => {
    announce(mine, process.hrtime.bigint() + 60n * SECOND);
    const untouched = (from: string, target: string, source = from): void => {
      const frame = whoHas(from, target, source);
      const { verdict, packet: after } = lab.run('from_netdev', frame);
      expect([verdict, after.equals(frame)]).toEqual([VERDICT.ok, true]);
    };
    untouched(asker, family === 4 ? '192.0.2.101' : 'fd98::101');
    untouched(mine, mine);
    if (family === 6) untouched(asker, mine, '::');
    announce(mine, process.hrtime.bigint() - 1n);
    untouched(asker, mine);
    announce(mine, process.hrtime.bigint() + 60n * SECOND, 77);
    untouched(asker, mine);
  });
});

test('who looks whether it is still there, asking the address itself, is answered: that is no packet to the Service', () => {
  const { asker, mine } = ADDRESSES[6];
  const none = { setOut: 0n, setIn: 0n, countOut: 0, countIn: 0, maglevSize: 0, serviceId: 1, affinityS: 0 };
  lab.put(dp.tables.lb_frontend, { addr: IP.table(mine), port: 0, proto: 0, family: 6 }, { ...none, flags: dp.LbFlag.blackhole });
  announce(mine, process.hrtime.bigint() + 60n * SECOND);
  const option = Buffer.concat([Buffer.from([1, 1]), Buffer.from(mac('02:00:00:00:00:01'))]);
  const payload = Buffer.concat([IP(mine), option]);
  const frame = packet({ src: asker, dst: mine, proto: PROTO.icmp6, type: 135, ttl: 255, payload });
  const { verdict, packet: answer } = lab.run('from_netdev', frame);
  expect([verdict, parse(answer).l4[0]]).toEqual([VERDICT.redirect, 136]);
});

test('a question from beyond the link is none', () => {
  const { asker, mine } = ADDRESSES[6];
  announce(mine, process.hrtime.bigint() + 60n * SECOND);
  const frame = whoHas(asker, mine);
  frame.writeUInt8(64, 14 + 7);
  expect(lab.run('from_netdev', frame).packet.equals(frame)).toBe(true);
});
