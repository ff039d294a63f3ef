import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  attachXdp,
  type BpfLink,
  type BpfObject,
  errnoOf,
  LinkType,
  openObject,
  ProgType,
  pinnedLink,
  queryXdp,
  XdpVerdict,
  xdpContext,
} from '../src/index.ts';
import { createFixture, type Fixture, packet } from './fixture.ts';

const device = `axx${process.pid}`;
let fixture: Fixture;
let object: BpfObject;
let ifindex: number;
const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });
const indexOf = (name: string): number => Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));

beforeAll(() => {
  fixture = createFixture();
  object = openObject(fixture.object, { pinRoot: join(fixture.bpffs, 'maps') });
  ip('link', 'add', device, 'type', 'veth', 'peer', 'name', `${device}p`);
  ifindex = indexOf(device);
});
afterAll(() => {
  try {
    ip('link', 'del', device);
  } catch {
    // a test deleted it
  }
  object.close();
  fixture.remove();
});

const withLink = (link: BpfLink, check: () => void): void => {
  try {
    check();
  } finally {
    link.close();
  }
};
const errnoOfAttach = (mode: 'native' | 'generic', at = ifindex): number | undefined => {
  try {
    attachXdp(object.program('bounce'), at, mode).close();
    return 0;
  } catch (e) {
    return errnoOf(e);
  }
};

describe.each(['native', 'generic'] as const)('%s', (mode) => {
  test('attach, query, swap, pin, reopen, detach', () => {
    const [bounce, drop] = [object.program('bounce'), object.program('drop_all')];
    expect(bounce.type).toBe(ProgType.xdp);
    expect(queryXdp(ifindex)).toBeUndefined();
    const link = attachXdp(bounce, ifindex, mode);
    expect(link.info()).toMatchObject({ type: LinkType.xdp, ifindex, progId: bounce.info().id });
    expect(queryXdp(ifindex)).toEqual({ progId: bounce.info().id, mode });
    const path = join(fixture.bpffs, `links/xdp-${mode}`);
    link.pin(path);
    link.close();
    const again = pinnedLink(path)!;
    again.update(drop);
    expect(queryXdp(ifindex)).toEqual({ progId: drop.info().id, mode });
    again.detach();
    expect(queryXdp(ifindex)).toBeUndefined();
    again.close();
  });

  test('a device has one link, of one mode', () => {
    withLink(attachXdp(object.program('bounce'), ifindex, mode), () => {
      expect([16, 17]).toContain(errnoOfAttach(mode)); // EBUSY, EEXIST
      expect([16, 17]).toContain(errnoOfAttach(mode === 'native' ? 'generic' : 'native'));
    });
    expect(queryXdp(ifindex)).toBeUndefined();
  });
});

test('a device without XDP in its driver takes the generic mode alone', () => {
  const bare = `axy${process.pid}`;
  ip('link', 'add', bare, 'type', 'vxlan', 'external', 'dstport', '18472');
  try {
    expect(errnoOfAttach('native', indexOf(bare))).toBe(95); // EOPNOTSUPP
    expect(errnoOfAttach('generic', indexOf(bare))).toBe(0);
  } finally {
    ip('link', 'del', bare);
  }
});

test('test runs: verdict, packet out, device, repetitions', () => {
  const program = object.program('bounce');
  const frame = packet();
  expect(program.testRun({ packet: frame }).verdict).toBe(XdpVerdict.pass);
  frame[14] = 0x81;
  const r = program.testRun({ packet: frame });
  expect([r.verdict, r.packet.length, r.packet[14]]).toEqual([XdpVerdict.tx, frame.length, 0x18]);
  withLink(attachXdp(program, ifindex, 'native'), () => {
    const key = Buffer.from([1, 0, 0, 0]);
    const before = object.map('hits').percpuSum(object.map('hits').lookup(key)!);
    const many = program.testRun({ packet: frame, context: xdpContext(frame.length, ifindex), repeat: 1000 });
    expect(object.map('hits').percpuSum(object.map('hits').lookup(key)!) - before).toBe(1000n * BigInt(ifindex));
    expect(many.durationNs).toBeLessThan(100_000);
  });
});

test('a link outlives its device and says so', () => {
  const link = attachXdp(object.program('bounce'), ifindex, 'native');
  ip('link', 'del', device);
  expect(link.info().ifindex).toBe(0);
  link.close();
});
