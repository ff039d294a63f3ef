// What people and load balancers are told of Services holds on packets: `axoneme service explain` names the backend that answers, a node's
// tables are as compiled, health check ports know who has backends. Part of the suite of Services from everywhere.
import { runCli } from '@axoneme/cli';
import { expect, test } from '@jest/globals';
import { type Fixture, until, urlHost } from '../fixture.ts';
import { maglevService } from './maglev.ts';
import { type Family, ipOf } from './rule.ts';
import type { Stage } from './stage.ts';
import { whoTool } from './who.ts';

const FIRST_PORT = 23_000;
const FLOWS = 2;
const TAKEN_PORT = 31_999;

interface Explained {
  outcome: string;
  service: string;
  ways: { backend: string; mode: string; text: string }[];
}
interface Got {
  onNode: { frontends: { frontend: string; state: string }[]; sets: { missing: number; maglev?: { missingChunks: number } }[] };
}

interface EventJson {
  involvedObject: { kind: string };
  type: string;
  reason: string;
  message: string;
}

/** In this process: a program of its own for each question costs a second of a busy machine. */
async function axoneme<T>(f: Fixture, ...argv: string[]): Promise<T> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await runCli(['--kubeconfig', f.sandbox.kubeconfigPath, ...argv, '-o', 'json'], {
    out: { write: (t) => void out.push(t) },
    err: { write: (t) => void err.push(t) },
    signal: new AbortController().signal,
  });
  expect([code, err.join('')]).toEqual([0, '']);
  return JSON.parse(out.join('')) as T;
}

const explain = (f: Fixture, node: string, client: string, to: string): Promise<Explained> =>
  axoneme(f, 'service', 'explain', '--node', node, '--client', client, '--to', to);

export function describeTold(stage: () => Stage): void {
  test('the backend that is explained is the one that answers, and sees what is explained', async () => {
    const s = stage();
    const asker = s.askers.find((a) => a.kind === 'outside')!;
    const backends = s.backendsOf(maglevService.shape);
    for (const family of [4, 6] as readonly Family[])
      for (const via of s.nodes) {
        const { address, port } = s.targetOf({ service: maglevService.shape, kind: 'NodePort', family, protocol: 'TCP', asker, via });
        const flows = Array.from({ length: FLOWS }, (_, i) => FIRST_PORT + i);
        const answers = await s
          .clientOf(asker)
          .ask(flows.map((sourcePort) => ({ protocol: 'TCP' as const, address, port, timeoutMs: 5000, sourcePort })));
        for (const [i, sourcePort] of flows.entries()) {
          const answer = answers[i]!;
          if (typeof answer === 'string') throw new TypeError(`${via.name}: ${answer}`);
          const client = `${urlHost(ipOf(asker, family))}:${sourcePort}`;
          const e = await explain(s.fixture, via.name, client, `${urlHost(address)}:${port}`);
          const backend = backends.find((b) => b.name === answer.backend)!;
          expect({ ...e, ways: e.ways.map((w) => [w.backend, w.mode]) }).toMatchObject({
            outcome: 'backend',
            service: 'default/maglev',
            ways: [[`${urlHost(ipOf(backend, family))}:80`, backend.node === via.name ? 'local' : 'snat']],
          });
          if (backend.node !== via.name) expect(e.ways[0]!.text).toContain(`SNAT to ${answer.source} `);
          else expect(answer.source).toBe(ipOf(asker, family));
        }
      }
  }, 60_000);

  test('every node has in its tables what was compiled for it', async () => {
    const s = stage();
    const shapes = s.services.map((x) => x.shape);
    for (const shape of [maglevService.shape, shapes.find((x) => x.external === 'Local')!])
      for (const n of s.nodes) {
        const { onNode } = await axoneme<Got>(s.fixture, 'service', 'get', shape.name, '--node', n.name);
        expect({ at: `${shape.name} ${n.name}`, wrong: onNode.frontends.filter((f) => f.state !== 'as compiled') }).toEqual({
          at: `${shape.name} ${n.name}`,
          wrong: [],
        });
        for (const set of onNode.sets) expect([set.missing, set.maglev?.missingChunks ?? 0]).toEqual([0, 0]);
      }
    expect(await s.fixture.cli('service', 'list')).toContain('default/maglev ');
    expect(await axoneme(s.fixture, 'bpf', 'nat', 'list', '--node', s.nodes[0]!.name, '--limit', '1')).toHaveLength(1);
  }, 60_000);

  test('health check ports of all nodes know who has backends, for load balancers outside', async () => {
    const s = stage();
    const { shape } = s.services.find((x) => x.shape.place === 'one' && x.shape.external === 'Local')!;
    const { spec } = await s.fixture.json<{ spec: { healthCheckNodePort: number } }>('get', 'service', shape.name);
    expect(spec.healthCheckNodePort).toBeGreaterThan(0);
    for (const n of s.nodes) {
      const count = s.backendsOf(shape).filter((b) => b.node === n.name).length;
      for (const family of [4, 6] as readonly Family[]) {
        const url = `http://${urlHost(ipOf(n, family))}:${spec.healthCheckNodePort}/`;
        const argv = ['curl', '-s', '--max-time', '3', '-w', ' %{http_code}', url];
        const want = `${JSON.stringify({ service: { namespace: 'default', name: shape.name }, localEndpoints: count })} ${count > 0 ? 200 : 503}`;
        await until(`${n.name} says ${want}`, 10_000, async () =>
          (await s.fixture.sandbox.fabricExec('worldPid', argv)).stdout === want ? true : undefined,
        );
      }
    }
  }, 60_000);

  test('a health check port that a program of a node has is an Event on the Service, and answered when it is free', async () => {
    const s = stage();
    const f = s.fixture;
    const [node] = s.nodes as [(typeof s.nodes)[0]];
    const program = f.sandbox.nodeStart(node.name, [whoTool, 'serve', 'squatter', `t${TAKEN_PORT}`]);
    const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: TAKEN_PORT, ports: [{ port: 80 }] };
    try {
      await f.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'taken' }, spec }));
      const told = await until('an Event on the Service', 20_000, async () => {
        const { items } = await f.json<{ items: EventJson[] }>('get', 'events', '--field-selector', 'involvedObject.name=taken');
        return items.find((e) => e.reason === 'HealthCheckPortUnavailable');
      });
      expect([told.involvedObject.kind, told.type, told.message]).toEqual([
        'Service',
        'Warning',
        `node ${node.name}: health check port ${TAKEN_PORT} cannot be had on this node: EADDRINUSE`,
      ]);
      expect((await axoneme<{ remarks: string[] }>(f, 'service', 'get', 'taken')).remarks).toEqual([told.message]);
    } finally {
      program.kill('SIGKILL');
    }
    const argv = ['curl', '-s', '--max-time', '3', '-o', '/dev/null', '-w', '%{http_code}', `http://${node.ipv4}:${TAKEN_PORT}/`];
    await until('the port is answered', 20_000, async () =>
      (await f.sandbox.fabricExec('worldPid', argv)).stdout === '503' ? true : undefined,
    );
    await f.kubectl('delete', 'service', 'taken');
  }, 60_000);
}
