// XDP on a node's devices: as the operator wants it, over restarts, and where it cannot be had.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { attachXdp, type BpfObject, ensureBpffs, openObject, queryXdp } from '@axoneme/bpf';
import { createNetns, deleteNetns, getLink, inNetns, type Link, NetlinkSocket, netnsPath } from '@axoneme/netlink';
import { Acceleration } from '@axoneme/proto';
import type { NodeName } from '@axoneme/std';
import { silentLog } from '@axoneme/std';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AccelerationMode, accelerate } from '../src/datapath/acceleration.ts';
import { createLinks, type Links } from '../src/datapath/links.ts';
import { build, createNode, createOperator, type TestOperator, until } from './harness.ts';
import { nodeConfigBlob, world } from './scenario.ts';

const { ACCELERATION_NATIVE, ACCELERATION_BEST_EFFORT, ACCELERATION_UNSPECIFIED } = Acceleration;
const xdpObject = fileURLToPath(new URL('../../../../bpf/build/xdp.o', import.meta.url));
const indexIn = (netns: string, name: string): Link =>
  inNetns(netns, () => {
    const s = new NetlinkSocket();
    try {
      return getLink(s, name)!;
    } finally {
      s.close();
    }
  });

beforeAll(build);

describe('devices', () => {
  const netns = netnsPath(`axa-xdp-${process.pid}`);
  const dir = mkdtempSync(`${tmpdir()}/axa-xdp-`);
  const ip = (args: string): void => void execFileSync('nsenter', [`--net=${netns}`, 'ip', ...args.split(' ')], { stdio: 'pipe' });
  let object: BpfObject;
  let links: Links;
  let devices: readonly Link[];
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) };
  const run = (mode: AccelerationMode, of = devices) =>
    inNetns(netns, () => accelerate({ links, targets: object.map('xdp_device'), log }, mode, of));
  const modes = (): (string | undefined)[] => inNetns(netns, () => devices.map((d) => queryXdp(d.ifindex)?.mode));
  const targets = (): number[] => [...object.map('xdp_device').entries()].map(([k]) => k.readUInt32LE(0));
  const forget = (): void => {
    for (const pin of links.pins()) links.remove(pin);
  };

  beforeAll(() => {
    createNetns(netns);
    ensureBpffs(`${dir}/bpf`);
    ip('link add able type veth peer name other');
    ip('link add bare type vxlan external dstport 9999');
    object = openObject(xdpObject, { pinRoot: `${dir}/bpf/maps`, maxEntries: { nat4: 64, nat6: 64, flow4: 64, flow6: 64, events: 4096 } });
    links = createLinks(`${dir}/bpf/links`, (name) => object.program(name));
    devices = ['able', 'bare'].map((n) => indexIn(netns, n));
  });
  afterAll(() => {
    object.close();
    execFileSync('umount', [`${dir}/bpf`]);
    rmSync(dir, { recursive: true });
    deleteNetns(netns);
  });

  test('native: what a driver cannot do is said, the other devices have it', () => {
    const r = run('native');
    expect(r.pins).toEqual(['xdp-able']);
    expect(r.health).toEqual({ state: 'degraded', reason: expect.stringMatching(/^no XDP on bare: .*EOPNOTSUPP/) });
    expect(modes()).toEqual(['native', undefined]);
    expect(targets()).toEqual([devices[0]!.ifindex]);
  });

  test('best effort: after the driver where it cannot be in it', () => {
    const r = run('best-effort');
    expect(r).toEqual({ pins: ['xdp-able', 'xdp-bare'], health: { state: 'ok' } });
    expect(modes()).toEqual(['native', 'generic']);
    expect(warnings).toHaveLength(1);
    // a program in a driver cannot send to a device whose driver has none
    expect(targets()).toEqual([devices[0]!.ifindex]);
    run('best-effort');
    expect(warnings).toHaveLength(1);
  });

  test('another mode takes the place of the one before, the same is left alone', () => {
    run('generic');
    expect(modes()).toEqual(['generic', 'generic']);
    expect(new Set(targets())).toEqual(new Set(devices.map((d) => d.ifindex)));
    run('native', devices.slice(0, 1));
    expect(modes()[0]).toBe('native');
    expect(run('disabled')).toEqual({ pins: [], health: { state: 'ok' } });
    expect(targets()).toEqual([]);
    forget();
  });

  test('a program of somebody else stays', () => {
    const foreign = inNetns(netns, () => attachXdp(object.program('axo_xdp'), devices[0]!.ifindex, 'native'));
    const r = run('best-effort', devices.slice(0, 1));
    expect(r.health).toEqual({ state: 'degraded', reason: expect.stringMatching(/^no XDP on able: .*EBUSY/) });
    foreign.close();
    expect(run('best-effort', devices.slice(0, 1)).health).toEqual({ state: 'ok' });
    forget();
  });
});

describe('a node', () => {
  const node = createNode();
  let operator: TestOperator;
  const want = (acceleration: Acceleration) =>
    operator.push(node.name, {
      ...world(node),
      'node/config': nodeConfigBlob({ name: node.name, addresses: [node.address4, node.address6], acceleration }),
    });
  const device = (): number => indexIn(node.netns, 'eth0').ifindex;
  const state = () => inNetns(node.netns, () => queryXdp(device()));
  const pins = (): string => node.exec('ls', `${node.dir}/bpf/axoneme/links`);
  const link = () => operator.server.hub.status().find((l) => l.node === (node.name as NodeName));
  const ready = (): string => node.exec('curl', '-s', 'http://127.0.0.1:9879/readyz');

  beforeAll(async () => {
    operator = await createOperator(node.gateway);
    node.start();
    node.writeTrust(operator);
  });
  afterAll(async () => {
    operator.stop();
    await node.close();
  });

  test('has XDP when the operator says so, keeps it over a restart and loses it again', async () => {
    await want(ACCELERATION_NATIVE);
    expect(state()).toMatchObject({ mode: 'native' });
    expect(pins()).toContain('xdp-eth0');
    const before = state();
    await node.kill();
    expect(state()).toEqual(before);
    const acks = operator.acks.length;
    node.start();
    await until(() => link()?.connected && node.log().includes('taken up'), 'the agent is back');
    await until(() => node.log().split('"program attached"').length >= 1 && operator.acks.length >= acks, 'acknowledged');
    expect(state()).toEqual(before);
    await want(ACCELERATION_UNSPECIFIED);
    expect(state()).toBeUndefined();
    expect(pins()).not.toContain('xdp-eth0');
  });

  test('where it cannot be had the node says why and serves', async () => {
    const root = mkdtempSync(`${tmpdir()}/axa-foreign-`);
    ensureBpffs(`${root}/bpf`);
    const object = openObject(xdpObject, {
      pinRoot: `${root}/bpf/maps`,
      maxEntries: { nat4: 64, nat6: 64, flow4: 64, flow6: 64, events: 4096 },
    });
    try {
      const foreign = inNetns(node.netns, () => attachXdp(object.program('axo_xdp'), device(), 'generic'));
      await want(ACCELERATION_NATIVE);
      expect(ready()).toMatch(/\[~\] acceleration degraded: no XDP on eth0: .*EEXIST/);
      expect(ready()).toContain('[+] datapath ok');
      expect(pins()).toContain('dev-eth0-ingress');
      foreign.close();
      await want(ACCELERATION_BEST_EFFORT);
      expect(ready()).toContain('[+] acceleration ok');
      expect(state()).toMatchObject({ mode: 'native' });
    } finally {
      object.close();
      execFileSync('umount', [`${root}/bpf`]);
      rmSync(root, { recursive: true });
    }
  });
});
