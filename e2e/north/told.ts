// What people and load balancers are told of Services holds on packets: `axoneme service explain` names the backend that answers, a node's
// tables are as compiled, health check ports know who has backends. Part of the suite of Services from everywhere.
import { expect, test } from '@jest/globals';
import { type Fixture, until, urlHost } from '../fixture.ts';
import { maglevService } from './maglev.ts';
import { type Family, ipOf } from './rule.ts';
import type { Stage } from './stage.ts';

const FIRST_PORT = 23_000;
const FLOWS = 2;

interface Explained {
  outcome: string;
  service: string;
  ways: { backend: string; mode: string; text: string }[];
}
interface Got {
  onNode: { frontends: { frontend: string; state: string }[]; sets: { missing: number; maglev?: { missingChunks: number } }[] };
}

const explain = async (f: Fixture, node: string, client: string, to: string): Promise<Explained> =>
  JSON.parse(await f.cli('service', 'explain', '--node', node, '--client', client, '--to', to, '-o', 'json')) as Explained;

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
        const { onNode } = JSON.parse(await s.fixture.cli('service', 'get', shape.name, '--node', n.name, '-o', 'json')) as Got;
        expect({ at: `${shape.name} ${n.name}`, wrong: onNode.frontends.filter((f) => f.state !== 'as compiled') }).toEqual({
          at: `${shape.name} ${n.name}`,
          wrong: [],
        });
        for (const set of onNode.sets) expect([set.missing, set.maglev?.missingChunks ?? 0]).toEqual([0, 0]);
      }
    expect(await s.fixture.cli('service', 'list')).toContain('default/maglev ');
    expect(JSON.parse(await s.fixture.cli('bpf', 'nat', 'list', '--node', s.nodes[0]!.name, '--limit', '1', '-o', 'json'))).toHaveLength(1);
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
}
