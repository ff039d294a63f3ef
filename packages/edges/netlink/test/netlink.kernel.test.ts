import { existsSync, readlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { AppError } from '@axoneme/std';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  addAddress,
  addRoute,
  addRule,
  createMonitor,
  createNetns,
  createVeth,
  createVxlan,
  deleteAddress,
  deleteLink,
  deleteNeighbour,
  deleteNetns,
  deleteRoute,
  deleteRule,
  getLink,
  inNetns,
  listAddresses,
  listLinks,
  listNeighbours,
  listRoutes,
  listRules,
  NetlinkSocket,
  type NetworkEvent,
  netnsPath,
  OUR_PROTOCOL,
  openNetns,
  type Request,
  readSysctl,
  setLink,
  setNeighbour,
  setRoute,
  tolerate,
  writeSysctl,
} from '../src/index.ts';

const node = netnsPath(`axnl-${process.pid}-node`);
const pod = netnsPath(`axnl-${process.pid}-pod`);
let socket: NetlinkSocket;
let podFd: number;

beforeAll(() => {
  createNetns(node);
  createNetns(pod);
  podFd = openNetns(pod);
  socket = inNetns(node, () => new NetlinkSocket());
});
afterAll(() => {
  socket.close();
  deleteNetns(node);
  deleteNetns(pod);
});

function thrown(fn: () => unknown): AppError {
  try {
    fn();
  } catch (e) {
    if (e instanceof AppError) return e;
    throw e;
  }
  throw new Error('nothing was thrown');
}
const run = (...requests: Request[]): void => socket.execute(requests);

describe('namespaces', () => {
  test('inNetns goes there and comes back, also when the work fails', () => {
    const here = (): string => readlinkSync('/proc/thread-self/ns/net');
    const home = here();
    expect(inNetns(node, here)).not.toBe(home);
    expect(inNetns(podFd, here)).not.toBe(home);
    expect(() => inNetns(node, () => thrown(() => undefined))).toThrow('nothing was thrown');
    expect(here()).toBe(home);
    expect(thrown(() => inNetns(node, async () => 1)).code).toBe('netlink/async-in-netns');
    expect(thrown(() => inNetns('/run/netns/none-such', () => 1)).code).toBe('netlink/no-netns');
    expect(here()).toBe(home);
    expect(inNetns(node, () => Object.keys(networkInterfaces()))).toEqual([]);
  });

  test('create refuses an existing name, delete does not mind a missing one', () => {
    expect(() => createNetns(node)).toThrow('EEXIST');
    const other = netnsPath(`axnl-${process.pid}-other`);
    createNetns(other);
    deleteNetns(other);
    deleteNetns(other);
    expect(existsSync(other)).toBe(false);
  });

  test('sysctls are those of the namespace', () => {
    const forwarding = ['net', 'ipv4', 'ip_forward'];
    const before = readSysctl(forwarding);
    inNetns(node, () => {
      writeSysctl(forwarding, 0);
      expect(writeSysctl(forwarding, 1)).toBe(true);
      expect(writeSysctl(forwarding, 1)).toBe(false);
      expect(readSysctl(forwarding)).toBe('1');
    });
    expect(readSysctl(forwarding)).toBe(before);
    expect(readSysctl(['net', 'none', 'such'])).toBeUndefined();
    expect(thrown(() => writeSysctl(['net', 'none', 'such'], 1)).code).toBe('netlink/sysctl');
  });
});

describe('links', () => {
  test('a veth pair with its peer in another namespace, complete in one request', () => {
    run(
      createVeth(
        { name: 'lxc1', mac: '02:00:00:00:00:01', mtu: 1400, up: true },
        { name: 'eth0', mac: '02:00:00:00:00:02', mtu: 1400, netnsFd: podFd },
      ),
      setLink('lxc1', { alias: 'axoneme default/web-1' }),
    );
    const inPod = inNetns(pod, () => new NetlinkSocket());
    inPod.execute([setLink('lo', { up: true }), setLink('eth0', { up: true })]);
    const host = getLink(socket, 'lxc1')!;
    expect(getLink(socket, host.ifindex)).toEqual(host);
    expect(host).toMatchObject({
      mac: '02:00:00:00:00:01',
      mtu: 1400,
      up: true,
      running: true,
      kind: 'veth',
      alias: 'axoneme default/web-1',
    });
    expect(getLink(socket, host.ifindex)).toEqual(host);
    const peer = getLink(inPod, 'eth0')!;
    expect(peer).toMatchObject({ mac: '02:00:00:00:00:02', mtu: 1400, up: true, peerIfindex: host.ifindex });
    expect(host.peerIfindex).toBe(peer.ifindex);
    expect(listLinks(socket).map((l) => l.name)).toEqual(expect.arrayContaining(['lo', 'lxc1']));
    inPod.close();
  });

  test('changes, rename, delete', () => {
    run(createVeth({ name: 'a0' }, { name: 'a1' }));
    const a0 = getLink(socket, 'a0')!;
    run(setLink(a0.ifindex, { rename: 'b0', mac: '02:00:00:00:00:0b' }), setLink('b0', { mtu: 9000, up: true }));
    expect(getLink(socket, a0.ifindex)).toMatchObject({ name: 'b0', mac: '02:00:00:00:00:0b', mtu: 9000, up: true });
    run(setLink('b0', { up: false }));
    expect(getLink(socket, 'b0')!.up).toBe(false);
    run(setLink('a1', { netnsFd: podFd }));
    expect(getLink(socket, 'a1')).toBeUndefined();
    run(deleteLink(a0.ifindex));
    expect(getLink(socket, 'b0')).toBeUndefined();
    expect(getLink(socket, 987_654)).toBeUndefined();
  });

  test('an external VXLAN device serves both families', () => {
    run(createVxlan({ name: 'axo_vxlan', external: true, port: 8472, mtu: 1450, up: true, mac: '02:00:00:00:00:0c' }));
    expect(getLink(socket, 'axo_vxlan')).toMatchObject({ kind: 'vxlan', up: true, mtu: 1450 });
    const e = thrown(() => run(createVxlan({ name: 'second', external: true, port: 8472 })));
    expect(e.fields.errnoName).toBe('EEXIST');
    run(deleteLink('axo_vxlan'), createVxlan({ name: 'vx6', vni: 7, local: 'fd00::1' }), deleteLink('vx6'));
  });

  test('errors name the request, the errno and what the kernel said; the rest is applied', () => {
    const e = thrown(() =>
      run(
        createVeth({ name: 'c0' }, { name: 'c1' }),
        createVeth({ name: 'c0' }, { name: 'c2' }),
        setRoute({ to: '10.9.0.0/16', via: '192.0.2.1' }),
        setLink('c0', { up: true }),
      ),
    );
    expect(e).toMatchObject({ code: 'netlink/veth-create', fields: { errnoName: 'EEXIST' } });
    expect(e.message).toContain('and 1 more');
    expect(e.fields.failures).toEqual([
      expect.objectContaining({ operation: 'veth-create', errnoName: 'EEXIST' }),
      expect.objectContaining({ operation: 'route-set', errnoName: 'ENETUNREACH', text: expect.stringMatching(/nexthop/i) }),
    ]);
    expect(getLink(socket, 'c0')!.up).toBe(true);
    run(tolerate(createVeth({ name: 'c0' }, { name: 'c2' }), 'EEXIST'), deleteLink('c0'), tolerate(deleteLink('c0'), 'ENODEV'));
  });
});

describe('addresses, routes, neighbours, rules', () => {
  let dev: number;
  beforeAll(() => {
    run(createVeth({ name: 'net0', up: true }, { name: 'net1' }));
    dev = getLink(socket, 'net0')!.ifindex;
  });

  test('addresses of both families are usable at once', () => {
    run(addAddress({ ifindex: dev, address: '10.1.0.1/32' }), addAddress({ ifindex: dev, address: 'fd00:1::1/128' }));
    run(addAddress({ ifindex: dev, address: '10.1.0.1/32' })); // again is fine
    const mine = listAddresses(socket, dev);
    expect(mine).toEqual(
      expect.arrayContaining([
        { ifindex: dev, address: '10.1.0.1', bits: 32, scope: 0 },
        { ifindex: dev, address: 'fd00:1::1', bits: 128, scope: 0 },
      ]),
    );
    run(addAddress({ ifindex: dev, address: '10.1.0.2/32' }), deleteAddress({ ifindex: dev, address: '10.1.0.2/32' }));
    expect(listAddresses(socket, dev).some((a) => a.address === '10.1.0.2')).toBe(false);
  });

  test('routes: link scope, onlink gateway, source, table, mtu, IPv4 over IPv6', () => {
    run(
      setRoute({ to: '10.2.0.0/16', ifindex: dev, src: '10.1.0.1', mtu: 1400 }),
      setRoute({ to: '0.0.0.0/0', via: '10.7.7.7', ifindex: dev, onlink: true }),
      setRoute({ to: 'fd00:2::/64', ifindex: dev, mtu: 1300, table: 2001 }),
      setRoute({ to: '::/0', via: 'fd00:7::7', ifindex: dev, onlink: true }),
      setRoute({ to: '10.3.0.0/16', via: 'fd00:7::7', ifindex: dev, onlink: true }),
      setRoute({ to: '10.4.0.0/16', type: 'blackhole', metric: 500 }),
    );
    const routes = listRoutes(socket, { protocol: OUR_PROTOCOL });
    expect(routes).toHaveLength(6);
    const to = (text: string) => routes.find((r) => r.to === text);
    expect(to('10.2.0.0/16')).toMatchObject({ ifindex: dev, src: '10.1.0.1', mtu: 1400, table: 254, scope: 253, via: undefined });
    expect(to('0.0.0.0/0')).toMatchObject({ via: '10.7.7.7' });
    expect(to('fd00:2::/64')).toMatchObject({ table: 2001, mtu: 1300 });
    expect(to('::/0')).toMatchObject({ via: 'fd00:7::7' });
    expect(to('10.3.0.0/16')).toMatchObject({ via: 'fd00:7::7' });
    expect(to('10.4.0.0/16')).toMatchObject({ type: 6, metric: 500 });
    expect(listRoutes(socket, { table: 2001 })).toHaveLength(1);
    run(setRoute({ to: '10.2.0.0/16', ifindex: dev, mtu: 1200 }));
    expect(listRoutes(socket, { family: 4, protocol: OUR_PROTOCOL }).find((r) => r.to === '10.2.0.0/16')).toMatchObject({ mtu: 1200 });
    expect(thrown(() => run(addRoute({ to: '10.2.0.0/16', ifindex: dev }))).fields.errnoName).toBe('EEXIST');
    run(deleteRoute({ to: '10.2.0.0/16' }), deleteRoute({ to: 'fd00:2::/64', table: 2001 }), deleteRoute({ to: '::/0' }));
    expect(listRoutes(socket, { protocol: OUR_PROTOCOL })).toHaveLength(3);
    expect(thrown(() => run(deleteRoute({ to: '10.2.0.0/16' }))).fields.errnoName).toBe('ESRCH');
  });

  test('thousands of routes in one call', () => {
    const many = Array.from({ length: 3000 }, (_, i) => setRoute({ to: `10.20.${i >> 8}.${i & 255}/32`, ifindex: dev, table: 77 }));
    run(...many);
    expect(listRoutes(socket, { table: 77 })).toHaveLength(3000);
  });

  test('neighbours are permanent', () => {
    run(
      setNeighbour({ ifindex: dev, address: '10.7.7.7', mac: '02:00:00:00:00:77' }),
      setNeighbour({ ifindex: dev, address: 'fd00:7::7', mac: '02:00:00:00:00:77' }),
    );
    const found = listNeighbours(socket, dev).filter((n) => n.permanent);
    expect(found.map((n) => [n.address, n.mac])).toEqual(
      expect.arrayContaining([
        ['10.7.7.7', '02:00:00:00:00:77'],
        ['fd00:7::7', '02:00:00:00:00:77'],
      ]),
    );
    run(deleteNeighbour({ ifindex: dev, address: '10.7.7.7' }));
    expect(listNeighbours(socket, dev).some((n) => n.address === '10.7.7.7')).toBe(false);
  });

  test('rules of both families', () => {
    const four = { family: 4, priority: 9, table: 2004, mark: 0x200, mask: 0xf00 } as const;
    const six = { family: 6, priority: 10, table: 77, from: 'fd00::/16' } as const;
    run(addRule(four), addRule(six));
    expect(listRules(socket, 4).find((r) => r.priority === 9)).toMatchObject({ ...four, protocol: OUR_PROTOCOL });
    expect(listRules(socket, 6).find((r) => r.priority === 10)).toMatchObject(six);
    run(deleteRule(four), deleteRule(six));
    expect(listRules(socket, 4).some((r) => r.priority === 9)).toBe(false);
  });

  test('the monitor sees what others delete', () => {
    const events: NetworkEvent[] = [];
    const errors: unknown[] = [];
    const monitor = inNetns(node, () =>
      createMonitor({ onEvent: (e) => events.push(e), onError: (e) => errors.push(e), intervalMs: 60_000 }),
    );
    run(createVeth({ name: 'm0', up: true }, { name: 'm1' }));
    const m0 = getLink(socket, 'm0')!.ifindex;
    run(setRoute({ to: '10.8.0.0/16', ifindex: m0 }), addAddress({ ifindex: m0, address: '10.8.0.1/32' }));
    const rule = { family: 4, priority: 11, table: 77 } as const;
    run(addRule(rule), deleteRule(rule), deleteRoute({ to: '10.8.0.0/16', ifindex: m0 }), deleteLink(m0));
    monitor.poll();
    monitor.stop();
    expect(errors).toEqual([]);
    expect(events).toContainEqual({ kind: 'link', deleted: true, link: expect.objectContaining({ name: 'm0' }) });
    expect(events).toContainEqual({ kind: 'route', deleted: true, route: expect.objectContaining({ to: '10.8.0.0/16', ifindex: m0 }) });
    expect(events).toContainEqual({ kind: 'address', deleted: false, address: expect.objectContaining({ address: '10.8.0.1' }) });
    expect(events).toContainEqual({ kind: 'rule', deleted: true, rule: expect.objectContaining({ priority: 11 }) });
  });
});

test('bad addresses are refused before anything is sent', () => {
  expect(thrown(() => setRoute({ to: '10.0.0.300/8' })).code).toBe('model/invalid-ip');
});
