import { hash32 } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compileAll, createServiceCompiler, type ServiceInput, type ServiceTable, serviceDefaults } from '../src/index.ts';
import { scaled } from './runs.ts';
import { key, type More, node, plain, service } from './world.ts';

const ports = [{ port: 80 }];
const web = (ns: string, created: number, spec: object, more: More = {}) =>
  service({ ports, ...spec }, { name: `${ns}/web`, created, ...more });
const text = (t: ServiceTable): string[] =>
  [...t.services.values()].flatMap((s) => s.frontends.map((f) => `${s.key} ${f.ip}:${f.port}`)).sort();
const compile = (services: ServiceInput[], more: object = {}, config = {}) =>
  compileAll({ services, slices: [], ...more }, { ...serviceDefaults, ...config });

const shop = web('shop', 1, { clusterIPs: ['10.96.0.10', 'fd00::a'] });
const thief = web('evil', 2, { clusterIPs: ['10.96.0.10', '10.96.0.11'] });
const twin = web('also', 2, { clusterIPs: ['10.96.0.11'] });

test('C10: of Services that ask for one address the oldest has it, in every order of arrival', () => {
  const truth = ['also/web 10.96.0.11:80', 'shop/web 10.96.0.10:80', 'shop/web fd00::a:80'];
  for (const order of [
    [shop, thief, twin],
    [thief, shop, twin],
    [twin, thief, shop],
    [thief, twin, shop],
    [shop, twin, thief],
    [twin, shop, thief],
  ]) {
    const compiler = createServiceCompiler();
    for (const s of order) compiler.update({ services: [s] });
    expect(text(compiler.table())).toEqual(truth);
    expect(text(compile(order))).toEqual(truth);
    expect(compiler.conflicts()).toEqual([
      { at: '10.96.0.10', owner: 'shop/web', refused: ['evil/web'] },
      { at: '10.96.0.11', owner: 'also/web', refused: ['evil/web'] },
    ]);
  }
});

test('C10: coming and going of a claimant leaves the table as if it had never been', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray([shop, thief, twin], { minLength: 3 }), fc.shuffledSubarray([shop, thief, twin]), (comers, goers) => {
      const compiler = createServiceCompiler();
      for (const s of comers) compiler.update({ services: [s] });
      for (const s of goers) compiler.update({ removedServices: [s.key] });
      const fresh = createServiceCompiler();
      fresh.update({ services: [shop, thief, twin].filter((s) => !goers.includes(s)) });
      expect(plain(compiler.table(), [])).toEqual(plain(fresh.table(), []));
    }),
    { numRuns: scaled(200) },
  );
});

describe('external addresses', () => {
  const victim = web('shop', 5, { clusterIPs: ['10.96.0.10'] });
  const dns = service({ clusterIPs: ['10.96.0.53'], ports: [{ port: 53, protocol: 'UDP' }] }, { name: 'kube-system/dns', created: 5 });
  const external = (...ips: string[]) =>
    web('evil', 1, { clusterIPs: ['10.96.0.66'], ports: [{ port: 80 }, { port: 53, protocol: 'UDP' }], externalIPs: ips });

  test('C30: an external IP never takes a ClusterIP, on no port, however old its Service is', () => {
    const t = compile([external('10.96.0.10', '10.96.0.53'), victim, dns]);
    expect(text(t)).toEqual([
      'evil/web 10.96.0.66:53',
      'evil/web 10.96.0.66:80',
      'kube-system/dns 10.96.0.53:53',
      'shop/web 10.96.0.10:80',
    ]);
    expect(t.services.get(key('evil/web'))!.remarks).toContain('external IP 10.96.0.53 53/UDP belongs to another Service');
  });

  test('C30: nor an address of a node, of a block of pods, or inside of the prefixes of the cluster', () => {
    const nodes = [node('n1', '', { addresses: ['192.0.2.7' as never], podCidrs: ['10.244.1.0/24' as never] })];
    const t = compile([external('192.0.2.7', '10.244.1.9', '10.99.0.1', '203.0.113.5')], { nodes }, { clusterCidrs: ['10.96.0.0/12'] });
    expect(text(t)).toEqual(['evil/web 10.96.0.66:53', 'evil/web 10.96.0.66:80', 'evil/web 203.0.113.5:53', 'evil/web 203.0.113.5:80']);
    expect(t.services.get(key('evil/web'))!.remarks).toEqual([
      "external IP refused: 10.99.0.1 is inside of the cluster's own prefixes",
      "external IP refused: 10.244.1.9 is inside of the cluster's own prefixes",
      'external IP refused: 192.0.2.7 is an address of a node',
    ]);
  });

  test('C30: where prefixes are allowed, only they are; nodes among them, ClusterIPs and pods never', () => {
    const nodes = [node('n1', '', { addresses: ['192.0.2.7' as never], podCidrs: ['192.0.2.128/28' as never] })];
    const config = { allowedExternalCidrs: ['192.0.2.0/24'] };
    const t = compile(
      [external('192.0.2.7', '192.0.2.129', '192.0.2.10', '203.0.113.5'), web('shop', 9, { clusterIPs: ['192.0.2.10'] })],
      { nodes },
      config,
    );
    expect(text(t).filter((l) => l.includes('192.0.2.') || l.includes('203'))).toEqual([
      'evil/web 192.0.2.7:53',
      'evil/web 192.0.2.7:80',
      'shop/web 192.0.2.10:80',
    ]);
  });

  test('C30: an external IP takes no load balancer address of another namespace; of its own the ports that are free', () => {
    const balancer = (ns: string) =>
      web(ns, 9, { type: 'LoadBalancer', clusterIPs: ['10.96.0.77'] }, { ingress: [{ ip: '203.0.113.80' }] });
    expect(text(compile([external('203.0.113.80'), balancer('shop')])).filter((l) => l.includes('203'))).toEqual([
      'shop/web 203.0.113.80:0',
      'shop/web 203.0.113.80:80',
    ]);
    const own = service({ ports: [{ port: 443 }], clusterIPs: ['10.96.0.5'], externalIPs: ['203.0.113.80'] }, { name: 'shop/more' });
    expect(text(compile([own, balancer('shop')])).filter((l) => l.includes('203'))).toEqual([
      'shop/more 203.0.113.80:443',
      'shop/web 203.0.113.80:0',
      'shop/web 203.0.113.80:80',
    ]);
  });

  test('C30: refused again when the address becomes that of a node, and given when the node is gone', () => {
    const compiler = createServiceCompiler();
    const s = external('203.0.113.5');
    const has = () => text(compiler.table()).includes('evil/web 203.0.113.5:80');
    compiler.update({ services: [s] });
    expect(has()).toBe(true);
    compiler.update({ nodes: [node('n1', '', { addresses: ['203.0.113.5' as never] })] });
    expect(has()).toBe(false);
    compiler.update({ removedNodes: ['n1' as never] });
    expect(has()).toBe(true);
  });
});

test('no two ports have one number, though 32 bits of their hashes meet: the younger has another, however they come', () => {
  const spec = { type: 'LoadBalancer', ports, loadBalancerSourceRanges: ['192.0.2.0/24'] };
  const on = (name: string, created: number, ip: string) =>
    service({ ...spec, clusterIPs: [ip] }, { name, created, ingress: [{ ip: `203.0.113.${created}` }] });
  // found by trying names
  const [a, b] = [on('shop/s43984', 1, '10.96.0.1'), on('shop/s253992', 2, '10.96.0.2')];
  const hash = hash32('shop/s43984:80/TCP');
  expect(hash32('shop/s253992:80/TCP')).toBe(hash);
  const numbers = (t: ServiceTable) => [a, b].map((s) => t.services.get(s!.key)?.frontends[0]?.serviceId);
  for (const order of [
    [a!, b!],
    [b!, a!],
  ]) {
    const compiler = createServiceCompiler();
    for (const s of order) compiler.update({ services: [s] });
    const [first, second] = numbers(compiler.table());
    expect(first).toBe(hash);
    expect([undefined, 0, hash]).not.toContain(second);
    expect(plain(compiler.table(), [])).toEqual(plain(compile(order), []));
    expect(compiler.conflicts()).toEqual([]);
    compiler.update({ removedServices: [a!.key] });
    expect(numbers(compiler.table())).toEqual([undefined, hash]);
  }
});

test('of Services that ask for one port of the nodes the oldest has it', () => {
  const on = (ns: string, created: number, protocol: string) =>
    service(
      { type: 'NodePort', clusterIPs: ['10.96.0.1'], ports: [{ port: 80, protocol, nodePort: 30080 }] },
      { name: `${ns}/web`, created },
    );
  const nodePorts = (...list: ServiceInput[]) => text(compile(list)).filter((l) => l.includes('0.0.0.0'));
  expect(nodePorts(on('b', 1, 'TCP'), on('a', 2, 'TCP'))).toEqual(['b/web 0.0.0.0:30080']);
  expect(nodePorts(on('b', 1, 'TCP'), on('a', 2, 'UDP'))).toEqual(['a/web 0.0.0.0:30080', 'b/web 0.0.0.0:30080']);
});

test('Services may share a load balancer address by ports; what no port matches is one of theirs', () => {
  const on = (name: string, created: number, port: number) =>
    service(
      { type: 'LoadBalancer', clusterIPs: [], ports: [{ port }] },
      { name: `shop/${name}`, created, ingress: [{ ip: '203.0.113.1' }] },
    );
  const t = compile([on('b', 2, 443), on('a', 3, 80), on('c', 4, 80)]);
  expect(text(t)).toEqual(['shop/a 203.0.113.1:80', 'shop/b 203.0.113.1:0', 'shop/b 203.0.113.1:443']);
});
