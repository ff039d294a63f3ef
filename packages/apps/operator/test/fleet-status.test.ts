// What the status of a fleet says, when it is written, and what the webhook and an API server say of a wrong one.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createFakeClock } from '@axoneme/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { KubeObject } from 'kopf-ts';
import { parse } from 'yaml';
import { answerReview } from '../src/admission/review.ts';
import { fleetResource } from '../src/sources/sources.ts';
import { createFleetRevisions, createFleetStatusWriter, type FleetStatus } from '../src/status/fleet-writer.ts';
import { createServiceEventWriter } from '../src/status/service-events.ts';
import { startApiServer, type TestApiServer } from './api-server.ts';
import { addNode, createLab, type Lab } from './lab.ts';

type Raw = Readonly<Record<string, unknown>>;
const example = parse(readFileSync(join(import.meta.dirname, '../../../../examples/lb/fleet.yaml'), 'utf8')) as {
  spec: { services: Raw[] } & Raw;
} & Raw;

describe('the status', () => {
  let api: TestApiServer;
  let lab: Lab;
  let acked: Map<string, number>;
  let revision: number;
  let writes: number;
  let run: () => Promise<void>;
  const clock = createFakeClock();
  const revisions = createFleetRevisions();
  beforeAll(async () => {
    api = await startApiServer(['loadbalancerfleets.yaml']);
  });
  afterAll(() => api.close());
  beforeEach(async () => {
    const held = await api.client.find(fleetResource, { name: 'edge' });
    if (held !== undefined) await api.client.delete(fleetResource, { name: 'edge' });
    lab = createLab();
    acked = new Map();
    revision = 0;
    writes = 0;
    for (const [name, i] of [
      ['lb-1', 1],
      ['lb-2', 2],
    ] as const)
      addNode(lab.world, name, i, { 'example.com/role': 'balancer' });
    const patchStatus: typeof api.client.patchStatus = (...args) => {
      writes += 1;
      return api.client.patchStatus(...args);
    };
    const write = createFleetStatusWriter({
      ...{
        client: { ...api.client, patchStatus },
        world: lab.world,
        clock,
        revisions,
        later: () => undefined,
        assertLeader: () => undefined,
      },
      compiled: () => last,
      acked: (node) => acked.get(node) ?? 0,
    });
    run = async () => {
      await compile();
      await write();
    };
  });
  let last: ReturnType<Lab['compile']> | undefined;
  /** As the watch tells. */
  const compile = async (): Promise<void> => {
    const o = await api.client.find(fleetResource, { name: 'edge' });
    if (o === undefined) lab.world.remove('fleets', 'edge');
    else lab.world.set('fleets', 'edge', o as unknown as Raw);
    revision += 1;
    last = lab.compile();
    revisions.note(last.fleets, revision);
  };
  const create = (spec: object = example.spec): Promise<unknown> =>
    api.client.create(fleetResource, { metadata: { name: 'edge' }, spec } as unknown as KubeObject);
  const edit = (spec: object): Promise<unknown> => api.client.patch(fleetResource, { name: 'edge' }, { type: 'merge', body: { spec } });
  const status = async (): Promise<FleetStatus> =>
    ((await api.client.find(fleetResource, { name: 'edge' })) as unknown as { status: FleetStatus }).status;
  const conditions = async (): Promise<string[]> =>
    (await status()).conditions.map((c) => `${c.type} ${c.status} ${c.reason} ${c.observedGeneration}: ${c.message}`);

  test('says who has the fleet, and is written when something changed', async () => {
    await create();
    await run();
    expect(await conditions()).toEqual([
      'Accepted True Accepted 1: every field of the fleet is understood',
      'Ready False Pending 1: 0/2 nodes; waiting for lb-1, lb-2',
    ]);
    acked.set('lb-1', revision);
    acked.set('lb-2', revision);
    await run();
    const s = await status();
    expect([s.nodes, s.summary, s.observedGeneration]).toEqual([{ selected: 2, ready: 2 }, { services: 2, nodes: '2/2' }, 1]);
    expect((await conditions())[1]).toBe(
      'Ready True EveryNode 1: 2/2 nodes have the fleet as it is; agents that cannot check backends: lb-1, lb-2',
    );
    expect(s.services[0]).toEqual({
      name: 'shop',
      vips: [
        { address: '192.0.2.10', port: 443, protocol: 'TCP' },
        { address: '2001:db8::10', port: 443, protocol: 'TCP' },
      ],
      backends: [
        { address: '10.0.1.11', port: 8443, state: 'active' },
        { address: '10.0.1.12', port: 8443, state: 'active' },
        { address: '10.0.1.13', port: 8443, state: 'maintenance' },
        { address: 'fd00:1::11', port: 8443, state: 'active' },
        { address: 'fd00:1::12', port: 8443, state: 'active' },
      ],
      remarks: [],
    });
    expect(writes).toBe(2);
    for (let i = 0; i < 5; i++) await run();
    expect(writes).toBe(2);
  });

  test('readiness is taken away when a node stays behind, not when it comes right back', async () => {
    await create();
    await compile();
    for (const n of ['lb-1', 'lb-2']) acked.set(n, 100);
    await run();
    expect((await conditions())[1]).toMatch(/^Ready True/);
    acked.set('lb-2', 0);
    await run();
    expect(writes).toBe(1);
    acked.set('lb-2', 100);
    await run();
    acked.set('lb-2', 0);
    await run();
    clock.advance(2000);
    await run();
    expect((await conditions())[1]).toBe('Ready False Pending 1: 1/2 nodes; waiting for lb-2; agents that cannot check backends: lb-1');
    expect([writes, (await status()).summary.nodes]).toEqual([2, '1/2']);
  });

  test('a backend that fails is there for whoever leads next', async () => {
    await create();
    await run();
    const target = [...last!.fleets.get('edge')!.targets.values()].find((t) => t.address === '10.0.1.11')!;
    lab.world.set('downTargets', 'edge', new Map([[target.id, 'node lb-1: refused']]));
    await run();
    const backend = { address: '10.0.1.11', port: 8443, state: 'quarantined', failing: true, reason: 'node lb-1: refused' };
    expect((await status()).services[0]!.backends[0]).toEqual(backend);
    lab.world.remove('downTargets', 'edge');
    await compile();
    expect([...last!.fleets.get('edge')!.down]).toEqual([[target.id, 'node lb-1: refused']]);
    expect(writes).toBe(2);
  });

  test('an address of somebody else is a remark here, and no Event anywhere', async () => {
    lab.world.set('services', 'shop/web', {
      metadata: { namespace: 'shop', name: 'web', creationTimestamp: '2020-01-01T00:00:00Z', uid: 'w' },
      spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'], ports: [{ port: 443 }] },
      status: { loadBalancer: { ingress: [{ ip: '192.0.2.10' }] } },
    });
    await create();
    await run();
    const remark = 'load balancer address 192.0.2.10 443/TCP belongs to Service shop/web';
    expect((await status()).services.map((s) => s.remarks)).toEqual([[remark], []]);
    expect((await conditions())[0]).toBe(`Accepted True AcceptedWithRemarks 1: shop: ${remark}`);
    const told: unknown[] = [];
    const writer = createServiceEventWriter({
      ...{ world: lab.world, clock, later: () => undefined, assertLeader: () => undefined, problems: () => new Map() },
      events: { record: (about: unknown) => void told.push(about) } as never,
      remarks: () => last!.serviceRemarks,
    });
    await writer();
    expect(told).toEqual([]);
  });

  test('an edit that cannot be read says so, and what stays in force', async () => {
    await create();
    await run();
    await edit({ services: [{ ...example.spec.services[0], algorithm: 'best' }] });
    await run();
    expect((await conditions())[0]).toBe(
      'Accepted False ValidationFailed 2: the fleet stays as it was until this operator ends: spec.services[0].algorithm: "best" is not known (write maglev or random)',
    );
    expect((await status()).services).toHaveLength(2);
    await edit({ nodeSelector: { matchLabels: { 'example.com/role': 'nobody' } }, services: [example.spec.services[1]] });
    await run();
    expect((await conditions())[1]).toBe('Ready False NoNodes 3: spec.nodeSelector selects no node');
  });
});

describe('the webhook', () => {
  const review = (
    object: unknown,
  ): { allowed: boolean; status?: { message: string; details: { causes: { field?: string; message: string }[] } } } => {
    const request = { uid: '1', operation: 'CREATE', kind: { group: 'axoneme.io', kind: 'LoadBalancerFleet' }, name: 'edge', object };
    const body = JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request });
    return JSON.parse(answerReview(body, 'default').body).response;
  };

  test('lets the example in, and says of a wrong one which fields and what to write', () => {
    expect(review(example).allowed).toBe(true);
    const [shop, dns] = example.spec.services;
    const wrong = { ...shop, vips: [{ address: '192.0.2.10/32', port: 443 }], mode: 'nat' };
    const { allowed, status } = review({ ...example, spec: { nodeSelector: { matchLabels: { a: 'b c' } }, services: [wrong, dns, dns] } });
    expect(allowed).toBe(false);
    expect(status?.details.causes).toEqual(
      expect.arrayContaining([
        { reason: 'FieldValueInvalid', field: 'spec.nodeSelector.matchLabels[a]', message: expect.stringContaining('label value "b c"') },
        {
          ...{ reason: 'FieldValueInvalid', field: 'spec.services[0].vips[0].address' },
          message: '"192.0.2.10/32" is no address (write one address as in 192.0.2.10 or "2001:db8::10", without port or prefix)',
        },
        { reason: 'FieldValueInvalid', field: 'spec.services[0].mode', message: '"nat" is not known (write snat or dsr)' },
        { reason: 'FieldValueInvalid', field: 'spec.services[2].name', message: '"dns" is spec.services[1] already (choose another name)' },
      ]),
    );
  });
});
