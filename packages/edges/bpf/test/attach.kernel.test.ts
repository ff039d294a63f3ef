import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  AttachType,
  attachCgroup,
  attachClsact,
  attachTc,
  attachTcx,
  type BpfObject,
  detachClsact,
  errnoOf,
  findCgroup2,
  hasTcx,
  listLinks,
  missingFeatures,
  openObject,
  pinnedLink,
  probeKernel,
  queryClsact,
  queryTcx,
  TcxOrder,
} from '../src/index.ts';
import { createFixture, type Fixture } from './fixture.ts';

const device = `axb${process.pid}`;
let fixture: Fixture;
let object: BpfObject;
let ifindex: number;
/** Before Linux 6.6 there is none (`npm run guest`): then it is refused, and that is all there is to see. */
const refused = (): boolean => {
  if (hasTcx()) return false;
  expect(() => attachTcx(object.program('tag'), ifindex, 'ingress')).toThrow(/EINVAL/);
  return true;
};
const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });

beforeAll(() => {
  fixture = createFixture();
  object = openObject(fixture.object, { pinRoot: join(fixture.bpffs, 'maps'), rodata: { answer: 81 } });
  ip('link', 'add', device, 'type', 'veth', 'peer', 'name', `${device}p`);
  ifindex = Number(readFileSync(`/sys/class/net/${device}/ifindex`, 'utf8'));
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

test('the kernel is asked what it can do', () => {
  const f = probeKernel();
  expect(missingFeatures(f)).toEqual([]);
  expect(f.tcx).toBe(hasTcx());
  expect(f.btfDigest).toMatch(/^[0-9a-f]{32}$/);
  expect(f.libbpf).toMatch(/^1\.\d+$/);
});

describe('TCX', () => {
  test('attach, order, swap, query, pin, reopen, detach', () => {
    if (refused()) return;
    const [tag, emit] = [object.program('tag'), object.program('emit')];
    const link = attachTcx(tag, ifindex, 'ingress');
    expect(link.info()).toMatchObject({ ifindex, progId: tag.info().id, attachType: AttachType.tcxIngress });
    const first = attachTcx(emit, ifindex, 'ingress', TcxOrder.before);
    expect(queryTcx(ifindex, 'ingress').progIds).toEqual([emit.info().id, tag.info().id]);
    expect(queryTcx(ifindex, 'ingress').linkIds).toEqual([first.info().id, link.info().id]);
    expect(queryTcx(ifindex, 'egress').progIds).toEqual([]);
    first.detach();
    first.close();
    const path = join(fixture.bpffs, 'links/in');
    link.pin(path);
    link.close();
    const again = pinnedLink(path)!;
    again.update(emit);
    expect(queryTcx(ifindex, 'ingress').progIds).toEqual([emit.info().id]);
    expect(listLinks().some((l) => l.id === again.info().id && l.ifindex === ifindex)).toBe(true);
    again.detach();
    expect(queryTcx(ifindex, 'ingress').progIds).toEqual([]);
    again.close();
    expect(pinnedLink(join(fixture.bpffs, 'links/none'))).toBeUndefined();
  });

  test('attachTc takes TCX where it exists', () => {
    const a = attachTc(object.program('tag'), ifindex, 'egress');
    expect(a.kind).toBe(hasTcx() ? 'tcx' : 'clsact');
    if (a.kind === 'tcx') a.link.close();
    else expect(detachClsact(ifindex, 'egress')).toBe(true);
    if (hasTcx()) expect(queryTcx(ifindex, 'egress').progIds).toEqual([]);
    expect(queryClsact(ifindex, 'egress')).toBeUndefined();
  });
});

test('clsact: attach twice replaces, query, detach', () => {
  const [tag, emit] = [object.program('tag'), object.program('emit')];
  expect(queryClsact(ifindex, 'ingress')).toBeUndefined();
  expect(detachClsact(ifindex, 'ingress')).toBe(false);
  attachClsact(tag, ifindex, 'ingress');
  attachClsact(emit, ifindex, 'ingress');
  expect(queryClsact(ifindex, 'ingress')).toBe(emit.info().id);
  expect(queryClsact(ifindex, 'egress')).toBeUndefined();
  expect(detachClsact(ifindex, 'ingress')).toBe(true);
  expect(queryClsact(ifindex, 'ingress')).toBeUndefined();
});

test('a cgroup program decides about connect() of the processes in the group', () => {
  const group = join(findCgroup2(), `axbpf-${process.pid}`);
  mkdirSync(group);
  try {
    const link = attachCgroup(object.program('deny_one'), group);
    expect(link.info()).toMatchObject({ attachType: AttachType.cgroupInet4Connect, progId: object.program('deny_one').info().id });
    expect(link.info().cgroupId).toBeGreaterThan(0n);
    // bash's /dev/tcp: EPERM from the program for port 81, ECONNREFUSED from the stack for port 82
    const dial = (port: number): string =>
      execFileSync('bash', ['-c', `echo $$ > ${group}/cgroup.procs; (exec 3<>/dev/tcp/127.0.0.1/${port}) 2>&1; true`]).toString();
    expect(dial(81)).toContain('Operation not permitted');
    expect(dial(82)).toContain('refused');
    link.close();
    expect(dial(81)).toContain('refused');
  } finally {
    rmdirSync(group);
  }
});

test('a link outlives its device and says so', () => {
  if (refused()) return;
  const link = attachTcx(object.program('tag'), ifindex, 'ingress');
  ip('link', 'del', device);
  expect(link.info().ifindex).toBe(0);
  let errno: number | undefined;
  try {
    link.update(object.program('emit'));
  } catch (e) {
    errno = errnoOf(e);
  }
  expect(errno).toBe(67); // ENOLINK
  link.close();
});
