// What nodes are told to announce, from the objects of the world.
import type { IpAddr } from '@axoneme/model';
import { L2Leases } from '@axoneme/proto';
import { beforeEach, expect, test } from '@jest/globals';
import { createL2Part, L2_LEASES, type L2Part } from '../src/compile/l2.ts';
import { projectL2Lease, projectNode } from '../src/world/project.ts';
import { createWorld, type World } from '../src/world/world.ts';

let world: World;
let part: L2Part;
beforeEach(() => {
  world = createWorld();
  part = createL2Part({ l2AnnouncementsEnabled: true, l2LeaseRetryPeriod: '500ms' });
  for (const name of ['n1', 'n2']) world.set('nodes', name, projectNode({ metadata: { name } }));
  world.set('l2Policies', 'p', { metadata: { name: 'p' }, spec: { loadBalancerIPs: true, interfaces: ['^eth0$'] } });
  service('web', ['192.0.2.1', '192.0.2.2']);
});
const compile = (): void => part.update(world.tables, world.takeDirty());
const service = (name: string, ips: readonly string[], spec: object = {}): void =>
  world.set('services', `d/${name}`, {
    metadata: { namespace: 'd', name },
    spec: { type: 'LoadBalancer', ...spec },
    status: { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } },
  });
const lease = (address: string, node: string, former = ''): void => {
  const annotations = { 'axoneme.io/address': address, 'axoneme.io/former-holders': former };
  const row = projectL2Lease({ metadata: { name: address, annotations }, spec: { holderIdentity: node, leaseTransitions: 2 } });
  world.set('l2Leases', address, row!);
};
const told = (node: string): unknown => {
  const own = part.own(node).list.find((a) => a.name === L2_LEASES);
  if (own === undefined) return undefined;
  expect(own.digest).toBe(part.digest(node));
  return L2Leases.decode(part.body(L2_LEASES, own.digest)!.blob);
};

test('a node announces what a Lease gives it alone, on the devices of the policies', () => {
  lease('192.0.2.1', 'n1');
  lease('192.0.2.2', 'n1', 'n2');
  lease('192.0.2.3', 'n2');
  compile();
  expect(told('n1')).toEqual({ leases: [{ address: '192.0.2.1', interfaces: ['^eth0$'], epoch: 2 }], renewMs: 500 });
  expect([told('n2'), part.content('n2').size, part.digest('n2')]).toEqual([undefined, 0, undefined]);
  lease('192.0.2.2', 'n1');
  compile();
  expect([...part.content('n1')]).toEqual(['192.0.2.1', '192.0.2.2']);
  world.remove('l2Policies', 'p');
  compile();
  expect([told('n1'), part.wants().size]).toEqual([undefined, 0]);
});

test('with policy Local the nodes are those of the backends, as slices change', () => {
  service('web', ['192.0.2.1'], { externalTrafficPolicy: 'Local' });
  const slice = (nodeName: string): void =>
    world.set('slices', 'd/web-1', {
      metadata: { namespace: 'd', labels: { 'kubernetes.io/service-name': 'web' } },
      endpoints: [{ nodeName, conditions: { ready: true } }],
    });
  const candidates = () => [
    ...(part
      .wants()
      .get('192.0.2.1' as IpAddr)
      ?.candidates.keys() ?? []),
  ];
  compile();
  expect(candidates()).toEqual([]);
  slice('n2');
  compile();
  expect(candidates()).toEqual(['n2']);
  slice('n1');
  compile();
  expect(candidates()).toEqual(['n1']);
});

test('turned off, nothing is announced', () => {
  part = createL2Part({ l2AnnouncementsEnabled: false, l2LeaseRetryPeriod: '500ms' });
  lease('192.0.2.1', 'n1');
  compile();
  expect([told('n1'), part.wants().size]).toEqual([undefined, 0]);
});
