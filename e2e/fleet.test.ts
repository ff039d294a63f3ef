// A fleet of load balancers as an object: two of three nodes serve addresses in front of servers outside of the cluster, and ask them how they are.
// The client is outside too. One sandbox, in a tunnel.
import { WORLD } from '@axoneme/sandbox';
import { AppError } from '@axoneme/std';
import { afterAll, describe, expect, test } from '@jest/globals';
import { type Fixture, until } from './fixture.ts';
import {
  type BackendStatus,
  conditionOf,
  FAMILIES,
  FLEET,
  fleetObject,
  fleetReady,
  inState,
  PREFIXES,
  ROLE,
  servicesOf,
  statusOf,
  VIPS,
} from './fleet/fleet.ts';
import { ALL_FLOWS, askFrom, everyFlow, flowText, freshPorts, rowsWith, serverOf, whoServes } from './fleet/flows.ts';
import { openServers, PORTS, type Server, type Servers } from './fleet/servers.ts';
import { judgeLoad, type Load, loadOutside } from './north/load.ts';
import { list } from './north/stage.ts';
import { type Client, clientOnNode, clientOutside } from './north/who.ts';
import { useStage } from './suite.ts';

const NS = 'axoneme-system';
/** What the defaults promise. */
const OUT_MS = 3_000;
const PATIENCE_MS = 30_000;
const RATE = { fresh: 60, kept: 60, connections: 12 };

interface Stage {
  readonly fixture: Fixture;
  readonly servers: Servers;
  readonly client: Client;
  readonly balancers: readonly string[];
  readonly bystander: string;
  close(): void;
}

async function openStage(fixture: Fixture): Promise<Stage> {
  const [one, two, three] = fixture.sandbox.nodes.map((n) => n.name) as [string, string, string];
  const servers = await openServers(
    fixture,
    3,
    Object.values(VIPS).flatMap((v) => Object.values(v)),
  );
  await fixture.kubectl('label', 'node', one, two, `${ROLE}=balancer`);
  await fixture.apply(fleetObject(FLEET, servicesOf(servers.all)));
  for (const p of PREFIXES) await fixture.sandbox.route(p, [one, two]);
  const client = clientOutside(fixture);
  return { fixture, servers, client, balancers: [one, two], bystander: three, close: () => client.close() };
}

describe('a fleet of load balancers', () => {
  const get = useStage({ name: 'fleet', nodes: 3 }, openStage);
  const f = (): Fixture => get().fixture;
  const server = (n: 1 | 2 | 3): Server => get().servers.all[n - 1]!;
  const routeBy = async (...nodes: string[]): Promise<void> => {
    for (const p of PREFIXES) await f().sandbox.route(p, nodes);
  };
  const serves = (servers: string): Promise<unknown> =>
    until(`new flows go to ${servers}`, PATIENCE_MS, async () => {
      const now = await whoServes(get().client, 24, 500);
      return Object.values(now).every((s) => s === servers) ? true : undefined;
    });
  const load = async (): Promise<Load> => {
    const targets = [VIPS.snat[4], VIPS.snat[6], VIPS.dsr[4], VIPS.dsr[6]].map((address) => ({ address, port: PORTS.http }));
    const l = loadOutside(f(), RATE, targets);
    await l.steady;
    return l;
  };
  const unfailed = async (l: Load): Promise<void> => judgeLoad('outside', RATE, await l.stop());
  const quarantined = (...servers: Server[]): Promise<unknown> =>
    until(`the status says that ${servers.map((s) => s.name)} fail`, PATIENCE_MS, async () => {
      const found = inState(await statusOf(f()), 'quarantined')
        .sort()
        .join();
      return found ===
        servers
          .flatMap((s) => [s.ipv4, s.ipv6])
          .sort()
          .join()
        ? true
        : undefined;
    });
  /** Answers that the probes of a node had last. */
  const probesOf = async (node: string): Promise<Record<string, number>> => {
    const { stdout } = await f().sandbox.nodeExec(node, ['curl', '-sf', 'http://127.0.0.1:9879/metrics']);
    return Object.fromEntries([...stdout.matchAll(/^axoneme_agent_probes\{answer="(\w+)"\} (\d+)$/gm)].map((m) => [m[1], Number(m[2])]));
  };

  afterAll(async () => {
    await get().servers.close();
  });

  test('is accepted; its nodes have it, and no other', async () => {
    const { balancers, bystander } = get();
    const s = await fleetReady(f(), PATIENCE_MS);
    expect(s.nodes).toEqual({ selected: 2, ready: 2 });
    expect(s.services?.map((x) => [x.name, x.remarks ?? [], x.backends?.length])).toEqual(
      servicesOf(get().servers.all).map((x) => [x.name, [], 6]),
    );
    const vips = Object.values(VIPS).flatMap((v) => Object.values(v));
    for (const b of balancers) expect((await rowsWith(f(), b, vips)).length).toBeGreaterThanOrEqual(12);
    expect(await rowsWith(f(), bystander, vips)).toEqual([]);
    for (const b of balancers) await until('good answers', PATIENCE_MS, async () => ((await probesOf(b)).good === 12 ? true : undefined));
    expect(await probesOf(bystander)).toEqual({ good: 0, bad: 0, none: 0 });
  }, 90_000);

  test('either node sends a flow to the same server: with its own address, or whole', async () => {
    const { balancers, client, servers } = get();
    process.stderr.write(`servers take packets out of envelopes by ${servers.by}\n`);
    const ports = freshPorts(40);
    const first = new Map<string, string[]>();
    for (const node of balancers) {
      await routeBy(node);
      const own = f().sandbox.nodes.find((n) => n.name === node)!;
      for (const w of ALL_FLOWS) {
        const answers = await askFrom(client, w, ports);
        const seen = new Set(answers.map((a) => (typeof a === 'string' ? a : a.source)));
        const source = { snat: { 4: own.ipv4, 6: own.ipv6 }, dsr: { 4: WORLD.v4, 6: WORLD.v6 } }[w.mode][w.family];
        expect({ node, flow: flowText(w), seen: [...seen] }).toEqual({ node, flow: flowText(w), seen: [source] });
        const chosen = answers.map(serverOf);
        expect({ node, flow: flowText(w), servers: [...new Set(chosen)].sort() }).toEqual({
          node,
          flow: flowText(w),
          servers: ['s1', 's2', 's3'],
        });
        const before = first.get(flowText(w));
        if (before === undefined) first.set(flowText(w), chosen);
        else expect({ flow: flowText(w), chosen }).toEqual({ flow: flowText(w), chosen: before });
      }
      // what the node itself says of a flow
      const [w, port] = [ALL_FLOWS[4]!, ports[0]!];
      const argv = ['--node', node, '--client', `${WORLD.v4}:${port}`, '--to', `${VIPS.dsr[4]}:${PORTS.who}`, '-o', 'json'];
      const said = JSON.parse(await f().cli('service', 'explain', ...argv)) as { ways: { backend: string; mode: string }[] };
      const expected = get().servers.all.find((s) => s.name === first.get(flowText(w))![0])!;
      expect(said.ways).toMatchObject([{ backend: `${expected.ipv4}:${PORTS.who}`, mode: 'ipip' }]);
    }
  }, 90_000);

  test('programs of nodes reach it: those of a balancer at their socket, others by its address', async () => {
    const { bystander, balancers, fixture } = get();
    const [first] = balancers as [string];
    await routeBy(first);
    const own = fixture.sandbox.nodes.find((n) => n.name === first)!;
    for (const node of [bystander, first]) {
      const client = clientOnNode(fixture, node);
      try {
        for (const w of ALL_FLOWS) {
          const answers = await askFrom(
            client,
            w,
            Array.from({ length: 24 }, () => 0),
          );
          const seen = new Set(answers.map((a) => (typeof a === 'string' ? a : a.source)));
          const servers = [...new Set(answers.map(serverOf))].sort();
          const source = w.family === 4 ? own.ipv4 : own.ipv6;
          expect({ node, flow: flowText(w), seen: [...seen], servers }).toEqual({
            ...{ node, flow: flowText(w), seen: [source] },
            servers: ['s1', 's2', 's3'],
          });
        }
      } finally {
        client.close();
      }
    }
    await routeBy(...balancers);
  }, 30_000);

  test('a node that is not selected serves nobody', async () => {
    const { bystander, client, balancers } = get();
    await routeBy(bystander);
    for (const family of FAMILIES) {
      const answers = await askFrom(client, { mode: 'snat', family, protocol: 'TCP' }, freshPorts(4), 500);
      expect(answers.map(serverOf).filter((a) => a.startsWith('s'))).toEqual(answers.filter((a) => a === 'silence'));
    }
    await routeBy(...balancers);
  }, 30_000);

  test('L4-a: a server that dies is out within 3 s, is told, and is back after it serves', async () => {
    const { client } = get();
    await server(2).kill();
    const began = performance.now();
    let good = 0;
    let tookMs = 0;
    while (good < 2) {
      const at = performance.now() - began;
      const now = await whoServes(client, 12, 300);
      const out = Object.values(now).every((s) => /^(s1|s3)(,s3)?$/.test(s));
      if (!out) good = 0;
      else if (++good === 1) tookMs = at;
      expect(at).toBeLessThan(PATIENCE_MS);
    }
    process.stderr.write(`server killed: no new flow to it after ${Math.round(tookMs)} ms\n`);
    expect(tookMs).toBeLessThan(OUT_MS);
    await quarantined(server(2));
    const status = await statusOf(f());
    const backends = status.services!.flatMap((s) => s.backends ?? []).filter((b) => b.address === server(2).ipv4);
    for (const b of backends) expect(b).toMatchObject({ state: 'quarantined', reason: expect.stringContaining('ECONNREFUSED') });
    expect(await whoServes(client)).toEqual(everyFlow('s1,s3'));
    await server(2).start();
    await serves('s1,s2,s3');
    await quarantined();
  }, 90_000);

  test('L4-b: a balancer that is cut off from the servers changes nothing', async () => {
    const { balancers, servers } = get();
    const [cut, other] = balancers as [string, string];
    await routeBy(other);
    const steady = await load();
    const targets = servers.all.flatMap((s) => [s.ipv4, s.ipv6]);
    const each = (what: string) =>
      Promise.all(
        targets.map((a) => f().sandbox.nodeExec(cut, ['ip', 'route', what, 'unreachable', `${a}/${a.includes(':') ? 128 : 32}`])),
      );
    await each('add');
    try {
      await until('it reaches nobody', PATIENCE_MS, async () => ((await probesOf(cut)).bad === 12 ? true : undefined));
      const end = performance.now() + OUT_MS;
      while (performance.now() < end) {
        expect(inState(await statusOf(f()), 'quarantined')).toEqual([]);
        await new Promise((r) => setTimeout(r, 200));
      }
      expect((await probesOf(other)).good).toBe(12);
    } finally {
      await each('del');
    }
    await until('it reaches everybody', PATIENCE_MS, async () => ((await probesOf(cut)).good === 12 ? true : undefined));
    await unfailed(steady);
    await routeBy(...balancers);
  }, 90_000);

  test('the operator is killed: what failed stays out, no flow breaks', async () => {
    await server(2).kill();
    await quarantined(server(2));
    await serves('s1,s3');
    const steady = await load();
    const before = await statusOf(f());
    const operators = await f().pods('app.kubernetes.io/component=operator', NS);
    for (const p of operators) await f().killPod(NS, p.name);
    // a new leader that has judged: the server that serves again is in use again
    await until('an operator answers', PATIENCE_MS, async () => ((await f().cli('status')) === '' ? undefined : true), 200);
    const end = performance.now() + OUT_MS;
    while (performance.now() < end) {
      expect(inState(await statusOf(f()), 'quarantined').sort()).toEqual(inState(before, 'quarantined').sort());
      await new Promise((r) => setTimeout(r, 200));
    }
    await unfailed(steady);
    expect(await whoServes(get().client)).toEqual(everyFlow('s1,s3'));
    await server(2).start();
    await serves('s1,s2,s3');
    await quarantined();
  }, 90_000);

  test('when all fail all stay in use', async () => {
    const { servers, balancers } = get();
    await Promise.all(servers.all.map((s) => s.kill()));
    const failing = await until('all fail', PATIENCE_MS, async () => {
      const all: BackendStatus[] = ((await statusOf(f())).services ?? []).flatMap((s) => s.backends ?? []);
      return all.length === 24 && all.every((b) => b.failing === true) ? all : undefined;
    });
    expect(new Set(failing.map((b) => b.state))).toEqual(new Set(['active']));
    for (const b of balancers) {
      const argv = ['--node', b, '--client', `${WORLD.v4}:4000`, '--to', `${VIPS.snat[4]}:${PORTS.who}`, '-o', 'json'];
      expect(JSON.parse(await f().cli('service', 'explain', ...argv))).toMatchObject({ outcome: 'backend' });
    }
    await Promise.all(servers.all.map((s) => s.start()));
    expect(await whoServes(get().client)).toEqual(everyFlow('s1,s2,s3'));
    await until('all pass again', PATIENCE_MS, async () => {
      const all = ((await statusOf(f())).services ?? []).flatMap((s) => s.backends ?? []);
      return all.every((b) => b.failing !== true) ? true : undefined;
    });
  }, 90_000);

  test('an address that a Service has is refused, and the status says who has it', async () => {
    const [taken] = ['198.51.100.30'];
    const pool = {
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumLoadBalancerIPPool',
      metadata: { name: 'fleet' },
      spec: { blocks: [{ cidr: '198.51.100.30/32' }] },
    };
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'owner' },
      spec: { type: 'LoadBalancer', selector: { app: 'nobody' }, ports: [{ port: PORTS.who }] },
    };
    await f().apply(list([pool, service]));
    const made = Math.floor(Date.now() / 1_000);
    await until('the Service has its address', PATIENCE_MS, async () => {
      const { status } = await f().json<{ status: { loadBalancer?: { ingress?: { ip: string }[] } } }>('get', 'service', 'owner');
      return status.loadBalancer?.ingress?.[0]?.ip === taken ? true : undefined;
    });
    // objects are as old as whole seconds
    await until('another second', 2_000, async () => (Math.floor(Date.now() / 1_000) > made ? true : undefined));
    const vips = [{ address: taken, port: PORTS.who, protocol: 'TCP' }];
    await f().apply(fleetObject('late', [{ name: 'late', vips, backends: [{ address: server(1).ipv4 }] }]));
    const s = await until('the status says so', PATIENCE_MS, async () => {
      const now = await statusOf(f(), 'late');
      return (now.services?.[0]?.remarks ?? []).length > 0 ? now : undefined;
    });
    expect(s.services![0]!.remarks!.join()).toMatch(/198\.51\.100\.30.*default\/owner/);
    expect(conditionOf(s, 'Accepted')).toMatchObject({ reason: 'AcceptedWithRemarks' });
    await f().kubectl('delete', 'lbf', 'late');
    await f().kubectl('delete', 'service', 'owner');
    await f().kubectl('delete', 'ciliumloadbalancerippools', 'fleet');
  }, 90_000);

  test('edits take effect and break no flow of those that stay; after its end nothing is left', async () => {
    const { servers, balancers, client } = get();
    const steady = await load();
    const [first, second, third] = servers.all as [Server, Server, Server];
    // nobody new for the third: connections that it has go on
    const drained = servicesOf([first, second, third]).map((s) => ({
      ...s,
      backends: s.backends.map((b) => ([third.ipv4, third.ipv6].includes(b.address) ? { ...b, state: 'maintenance' } : b)),
    }));
    await f().apply(fleetObject(FLEET, drained));
    await fleetReady(f(), PATIENCE_MS);
    expect(await whoServes(client)).toEqual(everyFlow('s1,s2'));
    const sources = async (): Promise<string[]> => {
      const answers = await askFrom(client, { mode: 'snat', family: 6, protocol: 'TCP' }, freshPorts(4));
      return [...new Set(answers.map((a) => (typeof a === 'string' ? a : a.source)))];
    };
    expect(await sources()).not.toContain(WORLD.v6);
    // the other way of sending: connections go on as they began
    await f().apply(
      fleetObject(
        FLEET,
        drained.map((s) => ({ ...s, mode: s.mode === 'dsr' ? 'snat' : 'dsr' })),
      ),
    );
    await until('the other mode', PATIENCE_MS, async () => ((await sources()).join() === WORLD.v6 ? true : undefined));
    await fleetReady(f(), PATIENCE_MS);
    expect(await whoServes(client)).toEqual(everyFlow('s1,s2'));
    await unfailed(steady);
    const all = await until('the status says so', PATIENCE_MS, async () => {
      const s = await statusOf(f());
      return inState(s, 'maintenance').length === 2 ? s : undefined;
    });
    expect(inState(all, 'maintenance').sort()).toEqual([third.ipv4, third.ipv6].sort());
    await f().apply(fleetObject(FLEET, servicesOf([first])));
    await fleetReady(f(), PATIENCE_MS);
    expect(await whoServes(client)).toEqual(everyFlow('s1'));
    // a balancer fewer
    await f().kubectl('label', 'node', balancers[1]!, `${ROLE}-`);
    await until('one node is selected', PATIENCE_MS, async () => {
      const s = await statusOf(f());
      return s.nodes?.selected === 1 && s.nodes.ready === 1 ? true : undefined;
    });
    const addresses = [...Object.values(VIPS).flatMap((v) => Object.values(v)), ...servers.all.flatMap((s) => [s.ipv4, s.ipv6])];
    const nothing = (node: string): Promise<unknown> =>
      until(`nothing is left on ${node}`, PATIENCE_MS, async () => {
        const left = [...(await rowsWith(f(), node, addresses)), ...Object.entries(await probesOf(node)).filter(([, n]) => n > 0)];
        if (left.length > 0) throw new AppError({ code: 'e2e/left', message: JSON.stringify(left.slice(0, 3)) });
        return true;
      });
    await nothing(balancers[1]!);
    await routeBy(balancers[0]!);
    expect(await whoServes(client)).toEqual(everyFlow('s1'));
    await f().kubectl('delete', 'lbf', FLEET);
    await nothing(balancers[0]!);
    expect(serverOf((await askFrom(client, ALL_FLOWS[0]!, freshPorts(1), 300))[0]!)).not.toBe('s1');
  }, 90_000);
});
