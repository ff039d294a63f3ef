// Agents and the operator are killed while clients outside talk to Services: no packet of an established flow is lost, no connection
// fails. Part of the suite of Services from everywhere.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { dropsBetween, dropsOf } from '../drops.ts';
import { echoApp, type Fixture, type FloodResult, floodTool, type PodInfo, until } from '../fixture.ts';
import { judgeFloods } from '../verdicts.ts';
import { list, type Stage } from './stage.ts';

const NS = 'axoneme-system';
const SECONDS = 8;
const RATE = 200;
/** Flows of a kind: enough for backends on both nodes. */
const FLOWS = 3;

interface ServiceJson {
  spec: { ports: { protocol: string; nodePort: number }[] };
}

const service = (mode: string): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: `echo-${mode}`, annotations: { 'service.cilium.io/forwarding-mode': mode } },
  spec: {
    type: 'NodePort',
    ipFamilyPolicy: 'RequireDualStack',
    selector: { app: 'echo' },
    ports: ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: 7, targetPort: 7 })),
  },
});

export function describeKills(stage: () => Stage): void {
  describe('kill -9 while clients outside talk to Services', () => {
    const modes = ['snat', 'dsr'] as const;
    const fixture = (): Fixture => stage().fixture;
    const flood = async (kind: 'udp' | 'tcp' | 'connect', address: string, port: number, rate: number): Promise<FloodResult> => {
      const argv = [floodTool, kind, address, port, rate, SECONDS].map(String);
      const r = await fixture().sandbox.fabricExec('worldPid', argv);
      return JSON.parse(r.stdout) as FloodResult;
    };
    const kill = async (component: string): Promise<void> => {
      const pods: PodInfo[] = await fixture().pods(`app.kubernetes.io/component=${component}`, NS);
      expect(pods.length).toBeGreaterThan(0);
      for (const p of pods) await fixture().killPod(NS, p.name);
    };
    const portOf = async (mode: string, protocol: string): Promise<number> => {
      const { spec } = await fixture().json<ServiceJson>('get', 'service', `echo-${mode}`);
      return spec.ports.find((p) => p.protocol === protocol)!.nodePort;
    };
    const floods = async (): Promise<() => Promise<FloodResult[]>> => {
      const [node] = stage().nodes;
      const ports = await Promise.all(modes.map(async (m) => ({ tcp: await portOf(m, 'TCP'), udp: await portOf(m, 'UDP') })));
      const running = ports.flatMap(({ tcp, udp }) => [
        ...Array.from({ length: FLOWS }, () => flood('udp', node!.ipv4, udp, RATE)),
        ...Array.from({ length: FLOWS }, () => flood('tcp', node!.ipv6, tcp, RATE)),
        flood('connect', node!.ipv4, tcp, 50),
      ]);
      return () => Promise.all(running);
    };

    beforeAll(async () => {
      const f = fixture();
      await f.apply(list([JSON.parse(echoApp('echo', 4)) as object, ...modes.map(service)]));
      await f.ready('app=echo', 4);
      const [node] = stage().nodes;
      for (const m of modes) {
        const port = await portOf(m, 'TCP');
        await until('the world is answered', 20_000, async () => {
          const ask = [floodTool, 'connect', node!.ipv6, String(port), '40', '0.5'];
          const r = JSON.parse((await f.sandbox.fabricExec('worldPid', ask)).stdout) as FloodResult;
          return r.sent > 0 && r.failed === 0 ? true : undefined;
        });
      }
    }, 60_000);
    afterAll(async () => {
      await fixture().kubectl('delete', 'deployment', 'echo', '--wait=false');
      await fixture().kubectl('delete', 'service', ...modes.map((m) => `echo-${m}`));
    });

    test.each(['agent', 'operator'])(
      'the %s',
      async (component) => {
        const before = await until('the agents tell', 20_000, () => dropsOf(fixture()));
        const results = await floods();
        await kill(component);
        const allowed = await results();
        if (allowed.some((r) => r.received !== r.sent)) {
          const after = await until('the agents tell', 20_000, () => dropsOf(fixture()));
          process.stderr.write(`dropped meanwhile: ${dropsBetween(before, after).join('; ')}\n`);
        }
        judgeFloods({ allowed, forbidden: [] });
      },
      60_000,
    );
  });
}
