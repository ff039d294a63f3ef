// Two operators: both serve, one leads, the other takes over. One sandbox of two nodes.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { describeAnnounced } from './announced.ts';
import { echoApp, type Fixture, type FloodResult, type PodInfo, until, upFixture } from './fixture.ts';
import { describeNodeAddresses } from './node-addresses.ts';
import { judgeFloods } from './verdicts.ts';

const NS = 'axoneme-system';
const OPERATORS = 'app.kubernetes.io/component=operator';
const RATE = 200;
const FLOOD_SECONDS = 12;

interface StatusJson {
  operatorId: string;
  leader: boolean;
  nodes: { name: string; connected: boolean; ackedRevision: number; artifactBytesSent: number }[];
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
  readonly observedGeneration: number;
}

describe('Axoneme with two operators', () => {
  let fixture: Fixture | undefined;
  let servers: PodInfo[];
  let client: PodInfo;
  let stranger: PodInfo;
  const get = (): Fixture => {
    if (fixture === undefined) throw new Error('the sandbox did not come up');
    return fixture;
  };

  const leader = async (): Promise<string> => {
    const lease = await get().json<{ spec: { holderIdentity?: string } }>('get', 'lease', 'axoneme-operator', '-n', NS);
    return (lease.spec.holderIdentity ?? '').split('_')[0]!;
  };
  const epoch = async (): Promise<number> => {
    const lease = await get().json<{ metadata: { annotations?: Record<string, string> } }>('get', 'lease', 'axoneme-operator', '-n', NS);
    return Number(lease.metadata.annotations?.['axoneme.io/epoch']);
  };
  const status = async (): Promise<StatusJson> => JSON.parse(await get().cli('status', '-o', 'json')) as StatusJson;
  const identities = async (): Promise<string[]> => {
    const all = await get().json<{ items: { metadata: { name: string }; 'security-labels': Record<string, string> }[] }>(
      'get',
      'ciliumidentities',
    );
    return all.items.map((i) => `${i.metadata.name} ${JSON.stringify(i['security-labels'])}`).sort();
  };
  /** Every node at the operator that leads. */
  const gathered = (): Promise<StatusJson> =>
    until(
      'all nodes at the leader',
      60_000,
      async () => {
        const s = await status();
        const done = s.leader && s.nodes.length === 2 && s.nodes.every((n) => n.connected && n.ackedRevision > 0);
        return done ? s : undefined;
      },
      250,
    );

  /** Web admits the client, and the stranger to those ports; resolves with the message when every node has acknowledged it. */
  const admit = async (strangerPorts: readonly string[], timeoutMs: number): Promise<string> => {
    const f = get();
    const from = (app: string): object => ({ fromEndpoints: [{ matchLabels: { app } }] });
    const guest = { ...from('stranger'), toPorts: [{ ports: strangerPorts.map((port) => ({ port, protocol: 'TCP' })) }] };
    const ingress = strangerPorts.length === 0 ? [from('client')] : [from('client'), guest];
    const spec = { endpointSelector: { matchLabels: { app: 'web' } }, ingress };
    await f.apply(JSON.stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'ha' }, spec }));
    return until('the policy is enforced everywhere', timeoutMs, async () => {
      const o = await f.json<{ metadata: { generation: number }; status?: { conditions?: Condition[] } }>('get', 'cnp', 'ha');
      const c = o.status?.conditions?.find((x) => x.type === 'Enforced' && x.status === 'True');
      return c?.observedGeneration === o.metadata.generation ? c.message : undefined;
    });
  };
  const verdicts = async (): Promise<string[]> =>
    Promise.all([client, stranger].flatMap((from) => servers.map((s) => get().curl(from, `http://${s.ipv4}/`))));

  /** Traffic that must pass and traffic that must not, on both paths and families, while `act` runs. */
  const under = async (act: () => Promise<void>): Promise<void> => {
    const f = get();
    const flood = (from: PodInfo, kind: 'udp' | 'connect', ip: string, rate: number): Promise<FloodResult> =>
      f.flood(from, kind, ip, 7, rate, FLOOD_SECONDS);
    const allowed = servers.flatMap((s) => [flood(client, 'udp', s.ipv6, RATE), flood(client, 'connect', s.ipv4, 50)]);
    const forbidden = servers.flatMap((s) => [flood(stranger, 'udp', s.ipv4, RATE), flood(stranger, 'udp', s.ipv6, RATE)]);
    await act();
    judgeFloods({ allowed: await Promise.all(allowed), forbidden: await Promise.all(forbidden) });
  };

  beforeAll(async () => {
    const values = ['operator.replicas=2', 'l2announcements.enabled=true', 'nodeIPAM.enabled=true'];
    fixture = await upFixture(
      'ha',
      2,
      values.flatMap((v) => ['--set', v]),
    );
    for (const app of ['web', 'client', 'stranger']) await fixture.apply(echoApp(app, app === 'web' ? 2 : 1));
    servers = await fixture.ready('app=web', 2);
    client = (await fixture.ready('app=client', 1))[0]!;
    stranger = (await fixture.ready('app=stranger', 1))[0]!;
  }, 300_000);

  afterAll(async () => {
    await fixture?.sandbox.down();
  }, 60_000);

  test('both serve, one leads, and the leader knows every node', async () => {
    const f = get();
    const operators = await f.ready(OPERATORS, 2, NS);
    expect(new Set(operators.map((o) => o.node)).size).toBe(2);
    expect(operators.map((o) => o.name)).toContain(await leader());
    const trust = await f.json<{ data: { endpoints: string } }>('get', 'configmap', 'axoneme-trust', '-n', NS);
    expect(trust.data.endpoints.trim().split('\n').sort()).toEqual(operators.map((o) => `${o.ipv4}:9443`).sort());
    const s = await gathered();
    expect(s.operatorId).toBe(await leader());
    expect(await admit([], 20_000)).toMatch(/^2\/2 nodes at revision \d+$/);
    expect(await verdicts()).toEqual(['200', '200', 'timeout', 'timeout']);
    // every pod has its CiliumEndpoint, whichever operator its node met first
    const endpoints = await f.json<{ items: { metadata: { name: string } }[] }>('get', 'ciliumendpoints');
    expect(endpoints.items.map((e) => e.metadata.name)).toEqual(expect.arrayContaining([...servers, client, stranger].map((p) => p.name)));
  }, 120_000);

  test.each([
    ['its processes are killed', async (f: Fixture, name: string) => f.killPod(NS, name)],
    ['its pod is deleted', async (f: Fixture, name: string) => void (await f.kubectl('delete', 'pod', name, '-n', NS, '--wait=false'))],
    [
      'its pod is deleted by force',
      async (f: Fixture, name: string) => void (await f.kubectl('delete', 'pod', name, '-n', NS, '--force', '--grace-period=0')),
    ],
  ])(
    'the leader goes: %s',
    async (_, end) => {
      const f = get();
      await admit([], 20_000);
      const before = { leader: await leader(), epoch: await epoch(), identities: await identities() };
      await under(async () => {
        await end(f, before.leader);
        const ended = performance.now();
        // a change by whoever leads now; the traffic that runs is not concerned
        expect(await admit(['80'], 20_000)).toMatch(/^2\/2 /);
        expect(await verdicts()).toEqual(['200', '200', '200', '200']);
        expect(performance.now() - ended).toBeLessThan(20_000);
      });
      await admit([], 20_000);
      expect(await verdicts()).toEqual(['200', '200', 'timeout', 'timeout']);
      expect(await epoch()).toBeGreaterThan(before.epoch);
      expect(await identities()).toEqual(before.identities);
      expect((await gathered()).operatorId).toBe(await leader());
      await f.ready(OPERATORS, 2, NS);
    },
    180_000,
  );

  test('the replica that does not lead dies: nobody notices', async () => {
    const f = get();
    await admit([], 20_000);
    const first = { leader: await leader(), epoch: await epoch() };
    const follower = (await f.ready(OPERATORS, 2, NS)).find((o) => o.name !== first.leader)!;
    await under(async () => {
      await f.killPod(NS, follower.name);
      const s = await status();
      expect(s.nodes.every((n) => n.connected)).toBe(true);
    });
    expect({ leader: await leader(), epoch: await epoch() }).toEqual(first);
  }, 120_000);

  describeNodeAddresses(get);
  describeAnnounced(get, { leader, gathered });
});
