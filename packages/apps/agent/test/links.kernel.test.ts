// Programs on devices, by links and by filters of clsact, which kernels before 6.6 have in their place: with packets, over restarts.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type BpfObject, ensureBpffs, hasTcx, openObject, queryClsact, type TcDirection } from '@axoneme/bpf';
import { createNetns, deleteNetns, getLink, inNetns, NetlinkSocket, netnsPath } from '@axoneme/netlink';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type Attachment, createLinks, type LinkOutcome } from '../src/datapath/links.ts';
import { build } from './harness.ts';

const floorObject = fileURLToPath(new URL('../../../../bpf/build/floor.o', import.meta.url));
const dir = mkdtempSync(`${tmpdir()}/axa-links-`);
const netns = netnsPath(`axa-links-${process.pid}`);
const far = netnsPath(`axa-links-far-${process.pid}`);
const exec = (at: string, line: string): string =>
  execFileSync('nsenter', [`--net=${at}`, ...line.split(' ')], { encoding: 'utf8', stdio: 'pipe' });

let object: BpfObject;
beforeAll(() => {
  build();
  ensureBpffs(`${dir}/bpf`);
  const sizes = { nat4: 64, nat6: 64, flow4: 64, flow6: 64, events: 4096 };
  object = openObject(floorObject, { pinRoot: `${dir}/bpf/maps`, maxEntries: sizes, programs: ['floor_ok', 'floor_sink'] });
});
afterAll(() => {
  object.close();
  execFileSync('umount', [`${dir}/bpf`]);
  rmSync(dir, { recursive: true });
});

/** A kernel has clsact also where it has TCX: the way older ones go is tried everywhere. */
describe.each(hasTcx() ? (['tcx', 'clsact'] as const) : (['clsact'] as const))('%s', (way) => {
  let ifindex: number;
  const place = () => createLinks(`${dir}/bpf/${way}`, (name) => object.program(name), way === 'tcx');
  const index = (): number => {
    const s = new NetlinkSocket();
    try {
      return getLink(s, 'near')!.ifindex;
    } finally {
      s.close();
    }
  };
  const at = (direction: TcDirection, program: string): Attachment => ({
    pin: `dev-near-${direction}`,
    program,
    hook: { kind: 'tc', ifindex, direction },
  });
  const ensure = (direction: TcDirection, program: string): LinkOutcome => inNetns(netns, () => place().ensure(at(direction, program)));
  const remove = (direction: TcDirection): void => inNetns(netns, () => place().remove(`dev-near-${direction}`));
  const answered = (): boolean => {
    try {
      exec(far, 'ping -c 1 -W 1 192.0.2.1');
      return true;
    } catch {
      return false;
    }
  };

  const device = (): void => {
    execFileSync('ip', [
      'link',
      'add',
      'near',
      'netns',
      netns.split('/').at(-1)!,
      'type',
      'veth',
      'peer',
      'name',
      'far',
      'netns',
      far.split('/').at(-1)!,
    ]);
    for (const [ns, name, address] of [
      [netns, 'near', '192.0.2.1/24'],
      [far, 'far', '192.0.2.2/24'],
    ] as const) {
      exec(ns, `ip addr add ${address} dev ${name}`);
      exec(ns, `ip link set ${name} up`);
    }
    ifindex = inNetns(netns, index);
  };

  beforeEach(() => {
    createNetns(netns);
    createNetns(far);
    device();
  });
  afterEach(() => {
    for (const pin of place().pins()) inNetns(netns, () => place().remove(pin));
    deleteNetns(netns);
    deleteNetns(far);
  });

  test('attached, kept, swapped and taken away, as packets see it', () => {
    expect(answered()).toBe(true);
    expect(ensure('ingress', 'floor_sink')).toBe('attached');
    expect(place().pins()).toEqual(['dev-near-ingress']);
    expect(answered()).toBe(false);
    expect(ensure('ingress', 'floor_sink')).toBe('kept');
    expect(ensure('ingress', 'floor_ok')).toBe('swapped');
    expect(answered()).toBe(true);
    expect(ensure('egress', 'floor_sink')).toBe('attached');
    expect(answered()).toBe(false);
    remove('egress');
    expect(place().pins()).toEqual(['dev-near-ingress']);
    expect(answered()).toBe(true);
    expect(ensure('ingress', 'floor_sink')).toBe('swapped');
    remove('ingress');
    expect(place().pins()).toEqual([]);
    expect(answered()).toBe(true);
    expect(inNetns(netns, () => queryClsact(ifindex, 'ingress'))).toBeUndefined();
  });

  test('a device that went takes its program along; another of its name gets one of its own', () => {
    expect(ensure('ingress', 'floor_sink')).toBe('attached');
    exec(netns, 'ip link del near');
    device();
    expect(answered()).toBe(true);
    expect(ensure('ingress', 'floor_sink')).toBe('attached');
    expect(answered()).toBe(false);
    exec(netns, 'ip link del near');
    remove('ingress');
    expect(place().pins()).toEqual([]);
    device();
    expect(answered()).toBe(true);
  });
});
