// What is wrong with Services, as Events in the sandbox's API server.

import { silentLog } from '@axoneme/std';
import { createFakeClock } from '@axoneme/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createEventRecorder, type EventRecorder, type KubeClient, type KubeObject, resources } from 'kopf-ts';
import { createNodeProblems } from '../src/status/node-problems.ts';
import { createServiceEventWriter, reasonOf } from '../src/status/service-events.ts';
import { createWorld, type World } from '../src/world/world.ts';
import { startApiServer, type TestApiServer } from './api-server.ts';
import { createLab } from './lab.ts';

let server: TestApiServer;
let client: KubeClient;
beforeAll(async () => {
  server = await startApiServer();
  client = server.client;
}, 30_000);
afterAll(() => server.close());

interface StoredEvent extends KubeObject {
  readonly involvedObject: { readonly kind: string; readonly name: string; readonly uid: string };
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
}
const stored = async (): Promise<string[]> =>
  (await client.list<StoredEvent>(resources.events, { namespace: 'default' })).items
    .map((e) => `${e.involvedObject.name} ${e.involvedObject.uid} ${e.type} ${e.reason} x${e.count}: ${e.message}`)
    .sort();

let clock: ReturnType<typeof createFakeClock>;
let events: EventRecorder;
let world: World;
let remarks: ReadonlyMap<string, readonly string[]>;
let later: number[];
let leads: boolean;
const problems = createNodeProblems();
const writer = () =>
  createServiceEventWriter({
    world,
    clock,
    events,
    remarks: () => remarks,
    problems: problems.byService,
    later: (ms) => void later.push(ms),
    assertLeader: () => {
      if (!leads) throw new TypeError('not the leader');
    },
  });
beforeEach(async () => {
  clock = createFakeClock();
  events = createEventRecorder({ client, component: 'axoneme-operator', log: silentLog, clock });
  world = createWorld();
  remarks = new Map();
  later = [];
  leads = true;
  for (const e of (await client.list(resources.events, { namespace: 'default' })).items)
    await client.delete(resources.events, { namespace: 'default', name: e.metadata.name });
});
const service = (name: string, uid = `uid-${name}`): void => world.set('services', `default/${name}`, { metadata: { name, uid } });

test('a remark is one Event while it lasts, told again before it would be forgotten, and by the next leader', async () => {
  service('a');
  remarks = new Map([['default/a', ['external IP refused: 10.0.0.1 is an address of a node', 'spec.ports[0]: "x" is not a port']]]);
  const run = writer();
  await run();
  await run();
  await events.flush();
  const two = [
    'a uid-a Warning AddressRefused x1: external IP refused: 10.0.0.1 is an address of a node',
    'a uid-a Warning InvalidField x1: spec.ports[0]: "x" is not a port',
  ];
  expect(await stored()).toEqual(two);
  expect(later).toEqual([30 * 60_000]);
  // one of them is mended, the other stays as it was
  remarks = new Map([['default/a', ['spec.ports[0]: "x" is not a port']]]);
  await run();
  await events.flush();
  expect(await stored()).toEqual(two);
  clock.advance(30 * 60_000);
  await run();
  await events.flush();
  expect((await stored())[1]).toContain('x2');
  clock.advance(10_000);
  await writer()();
  await events.flush();
  expect((await stored())[1]).toContain('x3');
  // the same name anew is another object
  service('a', 'other');
  remarks = new Map(remarks);
  await run();
  await events.flush();
  expect(await stored()).toContain('a other Warning InvalidField x1: spec.ports[0]: "x" is not a port');
});

test('many remarks are told at a pace, and of one Service not all', async () => {
  const all = new Map<string, string[]>();
  for (let i = 0; i < 20; i++) {
    service(`s${i}`);
    all.set(`default/s${i}`, [`node port 3${i}/TCP belongs to an older Service`]);
  }
  service('talker');
  all.set(
    'default/talker',
    Array.from({ length: 12 }, (_, i) => `spec.ports[${i}]: no`),
  );
  remarks = all;
  const run = writer();
  await run();
  expect(later).toEqual([1_000]);
  while (later.at(-1) === 1_000) {
    clock.advance(1_000);
    await run();
  }
  await events.flush();
  const texts = await stored();
  expect(events.dropped()).toBe(0);
  expect(texts.filter((t) => t.includes('AddressConflict'))).toHaveLength(20);
  expect(texts.filter((t) => t.startsWith('talker'))).toHaveLength(9);
  expect(texts.filter((t) => t.startsWith('talker')).some((t) => t.endsWith('MoreRemarks x1: and 4 more remarks'))).toBe(true);
});

test('who does not lead tells nobody', async () => {
  service('a');
  remarks = new Map([['default/a', ['spec.type: "x" is unknown']]]);
  leads = false;
  await expect(writer()()).rejects.toThrow('not the leader');
  await events.flush();
  expect(await stored()).toEqual([]);
});

describe('what nodes say', () => {
  test('is told by node, and forgotten with it', async () => {
    service('web');
    const health = (reason: string) => [
      { name: 'datapath', state: 'degraded', reason: 'x' },
      { name: 'service default/web', state: 'degraded', reason },
    ];
    const taken = 'health check port 31000 cannot be had on this node: EADDRINUSE';
    expect([problems.note('n1', health(taken)), problems.note('n1', health(taken)), problems.note('n2', [])]).toEqual([true, false, false]);
    await writer()();
    await events.flush();
    expect(await stored()).toEqual([`web uid-web Warning HealthCheckPortUnavailable x1: node n1: ${taken}`]);
    expect(problems.note('n1', health('x').slice(0, 1))).toBe(true);
    expect(problems.byService().size).toBe(0);
    problems.note('n1', health(taken));
    problems.forget('n1');
    expect(problems.byService().size).toBe(0);
  });
});

test('C10, C30: Services that did not get what they asked for are told why', () => {
  const lab = createLab();
  lab.node('n1', 1);
  const put = (name: string, created: string, more: object, annotations: object = {}): void =>
    lab.world.set('services', `shop/${name}`, {
      metadata: { namespace: 'shop', name, creationTimestamp: created, annotations },
      spec: { type: 'NodePort', ports: [{ port: 80 }], ...more },
    } as never);
  put('old', '2026-01-01T00:00:00Z', { clusterIP: '10.96.0.1', externalIPs: ['192.0.2.1'], ports: [{ port: 80, nodePort: 30080 }] });
  put('new', '2026-01-02T00:00:00Z', {
    clusterIP: '10.96.0.2',
    externalIPs: ['192.0.2.1', '172.30.0.1', '10.244.1.9', '10.96.0.1'],
    ports: [{ port: 80, nodePort: 30080 }],
  });
  put('typo', '2026-01-03T00:00:00Z', { clusterIP: '10.96.0.3' }, { 'service.cilium.io/type': 'Internal' });
  const foreign = { 'service.kubernetes.io/service-proxy-name': 'other' };
  lab.world.set('services', 'shop/foreign', {
    metadata: { namespace: 'shop', name: 'foreign', labels: foreign },
    spec: { type: 'Odd', clusterIP: '10.96.0.4', ports: [{ port: 80 }] },
  } as never);
  const said = lab.compile().serviceRemarks;
  expect([...said.keys()].sort()).toEqual(['shop/new', 'shop/typo']);
  expect(said.get('shop/new')!.map((r) => `${reasonOf(r)}: ${r}`)).toEqual([
    'AddressConflict: node port 30080/TCP belongs to an older Service',
    'AddressConflict: external IP 10.96.0.1 80/TCP belongs to another Service',
    "AddressRefused: external IP refused: 10.244.1.9 is inside of the cluster's own prefixes",
    'AddressRefused: external IP refused: 172.30.0.1 is an address of a node',
    'AddressConflict: external IP 192.0.2.1 80/TCP belongs to another Service',
  ]);
  expect(said.get('shop/typo')).toEqual(['service.cilium.io/type: "Internal" is not a type']);
  const before = said;
  expect(lab.compile().serviceRemarks).toBe(before);
  lab.world.remove('services', 'shop/old');
  const after = lab.compile().serviceRemarks;
  expect(after.get('shop/new')!.map(reasonOf)).toEqual(['AddressRefused', 'AddressRefused']);
  expect(after).not.toBe(before);
});
