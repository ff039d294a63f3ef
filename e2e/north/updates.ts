// Backends are replaced and nodes emptied while clients ask: nothing may fail. Part of the suite of Services from everywhere.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Fixture, until } from '../fixture.ts';
import { judgeLoad, type Load, type LoadResult, loadInPod, loadOutside, type Rate } from './load.ts';
import { list, type Stage } from './stage.ts';
import { whoTool } from './who.ts';

const PORT = 8080;
const RATE: Rate = { fresh: 400, kept: 600, connections: 60 };
/** Longer than it takes until nobody is sent to a backend that goes, as anybody would choose it. */
const pause = { sleep: { seconds: 3 } };
/** The test says when. */
const untilTold = { exec: { command: ['sh', '-c', 'while [ ! -e /tmp/go ]; do sleep 0.1; done'] } };
const DSR_IPS = ['198.51.100.230', '2001:db8:77::230'] as const;

/** Serves until its last request is answered; goes when the hook has given everybody time to notice. */
const webApp = (app: string, replicas: number, preStop: object): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: app },
  spec: {
    replicas,
    selector: { matchLabels: { app } },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      metadata: { labels: { app } },
      spec: {
        terminationGracePeriodSeconds: 40,
        containers: [
          {
            name: 'who',
            image: 'axoneme/echo:latest',
            command: [whoTool, 'serve', '-', `h${PORT}`],
            ports: [{ name: 'http', containerPort: PORT }],
            readinessProbe: { httpGet: { path: '/', port: PORT }, periodSeconds: 1 },
            lifecycle: { preStop },
          },
        ],
      },
    },
  },
});

const service = (name: string, app: string, spec: object, annotations: Readonly<Record<string, string>> = {}): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, annotations },
  spec: { ipFamilyPolicy: 'RequireDualStack', selector: { app }, ports: [{ port: 80, targetPort: PORT }], ...spec },
});

interface ServiceJson {
  spec: { clusterIPs: [string, string]; ports: [{ nodePort: number }]; healthCheckNodePort?: number };
}
interface PodJson {
  metadata: { name: string; deletionTimestamp?: string };
  spec: { nodeName: string };
  status: { conditions?: { type: string; status: string }[] };
}

export function describeUpdates(stage: () => Stage): void {
  describe('backends that are replaced', () => {
    const fixture = (): Fixture => stage().fixture;
    const specOf = async (name: string): Promise<ServiceJson['spec']> => (await fixture().json<ServiceJson>('get', 'service', name)).spec;
    const podsOf = async (app: string): Promise<PodJson[]> =>
      (await fixture().json<{ items: PodJson[] }>('get', 'pods', '-l', `app=${app}`)).items;
    const namesOf = async (app: string): Promise<string[]> =>
      (await podsOf(app)).filter((p) => p.metadata.deletionTimestamp === undefined).map((p) => p.metadata.name);
    const gone = (names: readonly string[]): Promise<true> =>
      until('the old pods are gone', 60_000, async () => {
        const left = new Set((await fixture().json<{ items: PodJson[] }>('get', 'pods')).items.map((p) => p.metadata.name));
        return names.some((n) => left.has(n)) ? undefined : true;
      });

    beforeAll(async () => {
      const f = fixture();
      await f.apply(
        list([
          webApp('web', 4, pause),
          webApp('lone', 1, pause),
          webApp('drained', 3, untilTold),
          service('drained', 'drained', { type: 'NodePort' }),
          service('web', 'web', {}),
          service('web-np', 'web', { type: 'NodePort' }),
          service('web-local', 'web', { type: 'LoadBalancer', externalTrafficPolicy: 'Local' }),
          service(
            'web-dsr',
            'web',
            { type: 'LoadBalancer' },
            { 'service.cilium.io/forwarding-mode': 'dsr', 'lbipam.cilium.io/ips': DSR_IPS.join() },
          ),
          service('lone', 'lone', {}),
        ]),
      );
      await f.ready('app=web', 4);
      await f.ready('app=lone', 1);
      await f.ready('app=drained', 3);
      await stage().routeByAll();
    }, 60_000);

    afterAll(async () => {
      const f = fixture();
      await f.kubectl('delete', 'deployment', 'web', 'lone', 'drained', '--wait=false', '--grace-period=0');
      await f.kubectl('delete', 'service', 'web', 'web-np', 'web-local', 'web-dsr', 'lone', 'drained');
    }, 60_000);

    /** Every way to the backends at once, each at the full rate, while `act` runs. */
    const under = async (act: () => Promise<void>): Promise<Map<string, LoadResult>> => {
      const f = fixture();
      const { nodes } = stage();
      const [web, np, local, lone] = await Promise.all(['web', 'web-np', 'web-local', 'lone'].map(specOf));
      const healthPort = local!.healthCheckNodePort!;
      const loads: readonly (readonly [string, Load])[] = [
        ['ClusterIP', loadInPod(f, 'c1', RATE, [{ address: web!.clusterIPs[0], port: 80 }])],
        ['single replica', loadInPod(f, 'c2', RATE, [{ address: lone!.clusterIPs[1], port: 80 }])],
        [
          'NodePort',
          loadOutside(
            f,
            RATE,
            nodes.map((n) => ({ address: n.ipv4, port: np!.ports[0].nodePort })),
          ),
        ],
        [
          'externalTrafficPolicy Local',
          loadOutside(
            f,
            RATE,
            nodes.map((n) => ({ address: n.ipv4, port: local!.ports[0].nodePort, healthPort })),
          ),
        ],
        ['DSR', loadOutside(f, RATE, [{ address: DSR_IPS[1], port: 80 }])],
      ];
      try {
        await Promise.all(loads.map(([, l]) => l.steady));
        await act();
      } finally {
        await Promise.allSettled(loads.map(([, l]) => l.stop()));
      }
      return new Map(await Promise.all(loads.map(async ([name, l]) => [name, await l.stop()] as const)));
    };
    const judgeAll = (results: ReadonlyMap<string, LoadResult>): void => {
      for (const [name, r] of results) judgeLoad(name, RATE, r);
    };

    test('L2-a: rolling update of all backends: 0 failed requests', async () => {
      const f = fixture();
      const before = [...(await namesOf('web')), ...(await namesOf('lone'))];
      const results = await under(async () => {
        await f.kubectl('rollout', 'restart', 'deployment/web', 'deployment/lone');
        await f.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
        await f.kubectl('rollout', 'status', 'deployment/lone', '--timeout=60s');
        await gone(before);
      });
      judgeAll(results);
      for (const [name, app] of [
        ['NodePort', 'web'],
        ['single replica', 'lone'],
      ] as const) {
        const seen = results.get(name)!.servers.map((s) => s.name);
        expect(seen).toEqual(expect.arrayContaining(await namesOf(app)));
      }
    }, 120_000);

    test('L2-a: a node is drained: 0 failed requests', async () => {
      const f = fixture();
      const node = (await podsOf('lone'))[0]!.spec.nodeName;
      const on = async (): Promise<string[]> =>
        [...(await podsOf('web')), ...(await podsOf('lone'))].filter((p) => p.spec.nodeName === node).map((p) => p.metadata.name);
      expect((await on()).length).toBeGreaterThan(1);
      try {
        judgeAll(
          await under(async () => {
            await f.kubectl('drain', node, '--pod-selector=app in (web,lone)', '--ignore-daemonsets', '--timeout=60s');
            await f.ready('app=web', 4);
            await f.ready('app=lone', 1);
            expect(await on()).toEqual([]);
          }),
        );
      } finally {
        await f.kubectl('uncordon', node);
      }
    }, 120_000);

    test('L1-b: drain: 0 new connections to a terminating backend after the revision is acknowledged', async () => {
      const f = fixture();
      const rate: Rate = { fresh: 300, kept: 200, connections: 20 };
      const { clusterIPs, ports } = await specOf('drained');
      const [leaving] = (await namesOf('drained')) as [string];
      const before = await statusOf(f);
      const loads = [
        loadInPod(f, 'c1', rate, [{ address: clusterIPs[0], port: 80 }]),
        loadInPod(f, 'c2', rate, [{ address: clusterIPs[1], port: 80 }]),
        loadOutside(
          f,
          rate,
          stage().nodes.map((n) => ({ address: n.ipv4, port: ports[0].nodePort })),
        ),
      ];
      await Promise.all(loads.map((l) => l.steady));
      await f.kubectl('delete', 'pod', leaving, '--wait=false');
      await until('the slices say that it leaves', 10_000, async () => ((await leavingIn(f, 'drained')) ? true : undefined), 10);
      await until('every node has acknowledged', 10_000, async () => {
        const s = await statusOf(f);
        return s.revision > before.revision && s.nodes.every((n) => n.ackedRevision >= s.revision) ? true : undefined;
      });
      const acknowledgedMs = Date.now();
      // the command takes its time, and some hundred requests pass by
      await f.kubectl('exec', leaving, '--', 'touch', '/tmp/go');
      await gone([leaving]);
      const results = await Promise.all(loads.map((l) => l.stop()));
      for (const [i, r] of results.entries()) {
        judgeLoad(`client ${i + 1}`, rate, r);
        const s = r.servers.find((x) => x.name === leaving);
        expect({ client: i + 1, name: s?.name }).toEqual({ client: i + 1, name: leaving });
        expect(s!.lastOpenedMs).toBeLessThan(acknowledgedMs);
        // who was connected stays until the server ends it
        expect(s!.lastAnswerMs).toBeGreaterThan(acknowledgedMs);
      }
    }, 60_000);
  });
}

interface StatusJson {
  readonly revision: number;
  readonly nodes: readonly { readonly ackedRevision: number }[];
}

const statusOf = async (f: Fixture): Promise<StatusJson> => JSON.parse(await f.cli('status', '-o', 'json')) as StatusJson;

async function leavingIn(f: Fixture, name: string): Promise<boolean> {
  interface Slices {
    readonly items: readonly { readonly endpoints?: readonly { readonly conditions: { readonly terminating?: boolean } }[] }[];
  }
  const slices = await f.json<Slices>('get', 'endpointslices', '-l', `kubernetes.io/service-name=${name}`);
  return slices.items.every((s) => s.endpoints?.some((e) => e.conditions.terminating === true));
}
