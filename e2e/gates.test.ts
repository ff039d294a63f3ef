// What a change of policy must pass, on real nodes: room in the maps and reachability invariants; and kinds whose definitions come and go.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { allowNoRetry, echoApp, type Fixture, type PodInfo, until, upFixture } from './fixture.ts';

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

const ROOM = 120;
const object = (apiVersion: string, kind: string, name: string, spec: unknown): string =>
  JSON.stringify({ apiVersion, kind, metadata: { name }, spec });
const cnp = (name: string, spec: unknown): string => object('cilium.io/v2', 'CiliumNetworkPolicy', name, spec);
const web = { matchLabels: { app: 'web' } };
/** Three rows a port for every node with a web pod. */
const manyPorts = (count: number): object => ({
  endpointSelector: web,
  ingress: [{ fromEntities: ['all'] }, ...Array.from({ length: count }, (_, i) => i).map((i) => portRule(2000 + 2 * i))],
});
const portRule = (port: number): object => ({ fromEntities: ['world'], toPorts: [{ ports: [{ port: String(port), protocol: 'TCP' }] }] });

describe('gates', () => {
  let fixture: Fixture;
  let server: PodInfo;
  let client: PodInfo;

  const enforced = (kind: string, name: string, wanted: (c: Condition) => boolean): Promise<Condition> =>
    until(`condition Enforced of ${kind} ${name}`, 15_000, async () => {
      const o = await fixture.json<{ status?: { conditions?: readonly Condition[] } }>('get', kind, name);
      return o.status?.conditions?.find((c) => c.type === 'Enforced' && wanted(c));
    });
  const lands = (): Promise<string> => fixture.curl(client, `http://${server.ipv4}/`);

  beforeAll(async () => {
    allowNoRetry();
    fixture = await upFixture('gates', 2, ['--set', `agent.mapSizes.policy=${ROOM}`]);
    await fixture.apply(echoApp('web', 1));
    await fixture.apply(echoApp('client', 1));
    server = (await fixture.ready('app=web', 1))[0]!;
    client = (await fixture.ready('app=client', 1))[0]!;
  }, 240_000);

  afterAll(async () => {
    await fixture?.sandbox.down();
  }, 60_000);

  test('an overflowing change is refused with map, node and numbers, and the node keeps what it has', async () => {
    await fixture.apply(cnp('small', manyPorts(2)));
    await enforced('cnp', 'small', (c) => c.status === 'True');
    await fixture.apply(cnp('big', manyPorts(60)));
    const refused = await enforced('cnp', 'big', (c) => c.reason === 'CapacityExceeded');
    expect(refused.status).toBe('False');
    const [, table, node, needed, room] = /map (\S+) of node (\S+) needs (\d+) rows, it has room for (\d+)/.exec(refused.message) ?? [];
    expect([table, node, Number(room)]).toEqual(['policy', server.node, ROOM]);
    expect(Number(needed)).toBeGreaterThan(ROOM);
    // what was there before is still enforced, and later changes go through
    expect(await lands()).toBe('200');
    await fixture.apply(cnp('small', manyPorts(3)));
    await enforced('cnp', 'small', (c) => c.status === 'True' && c.message !== '');
    await fixture.kubectl('delete', 'cnp', 'big');
  }, 60_000);

  test('a policy that breaks a reachability invariant is refused and changes no packet', async () => {
    const spec = {
      from: { podSelector: { matchLabels: { app: 'client' } } },
      to: { podSelector: web },
      ports: [{ port: 80, protocol: 'TCP' }],
      expect: 'MustReach',
      action: 'Refuse',
    };
    await fixture.apply(object('axoneme.io/v1alpha1', 'ReachabilityInvariant', 'clients', spec));
    await until('the operator to know the invariant', 15_000, async () => {
      await fixture.apply(cnp('shut', { endpointSelector: web, ingressDeny: [{ fromEntities: ['all'] }] }));
      const c = await enforced('cnp', 'shut', () => true);
      if (c.reason === 'BreaksInvariant') return true;
      await fixture.kubectl('delete', 'cnp', 'shut');
      return undefined;
    });
    const refused = await enforced('cnp', 'shut', (c) => c.reason === 'BreaksInvariant');
    expect(refused.message).toContain('clients');
    expect(refused.message).toContain('80/TCP is closed at ingress by CiliumNetworkPolicy default/shut');
    expect(await lands()).toBe('200');
    // without the invariant it goes through
    await fixture.kubectl('delete', 'reachabilityinvariants', 'clients');
    await enforced('cnp', 'shut', (c) => c.status === 'True');
    expect(await lands()).not.toBe('200');
    await fixture.kubectl('delete', 'cnp', 'shut');
  }, 60_000);

  test('a kind whose definition is removed and comes back has no effect meanwhile and needs no restart', async () => {
    const deny = {
      priority: 1,
      subject: { namespaces: {} },
      ingress: [{ name: 'none', action: 'Deny', from: [{ namespaces: {} }] }],
    };
    const admin = object('policy.networking.k8s.io/v1alpha1', 'AdminNetworkPolicy', 'none', deny);
    const crd = 'adminnetworkpolicies.policy.networking.k8s.io';
    await fixture.apply(admin);
    await until('denied', 15_000, async () => ((await lands()) === '200' ? undefined : true));
    const definition = await fixture.kubectl('get', 'crd', crd, '-o', 'json');
    await fixture.kubectl('delete', 'crd', crd);
    await until('open again', 30_000, async () => ((await lands()) === '200' ? true : undefined));
    const { metadata, spec, ...head } = JSON.parse(definition) as { metadata: { name: string }; spec: object; status?: object };
    delete head.status;
    await fixture.apply(JSON.stringify({ ...head, metadata: { name: metadata.name }, spec }));
    await until('denied anew', 30_000, async () => {
      const put = await fixture.apply(admin).catch(() => '');
      return put !== '' && (await lands()) !== '200' ? true : undefined;
    });
    await fixture.kubectl('delete', 'anp', 'none');
  }, 120_000);
});
