// Long streams both ways and datagrams of all sizes between the world and backends, on the node that is asked and on the other: what
// segmentation, fragments and path lengths do to translated packets. Part of the suites of Services from everywhere.
import path from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { type Fixture, root, until } from '../fixture.ts';
import type { ProbeResult } from '../probe.ts';
import type { Mode, NodePlace } from './rule.ts';
import { list, podObject, type Stage } from './stage.ts';

const tool = path.join(root, 'e2e/native/build/probe');
const echoTool = path.join(root, 'e2e/native/build/matrix');
const PORTS = { up: 7001, down: 7002, udp: 7003 } as const;
const BYTES = 6_000_000;
const SERVE_S = 600;
/** Below a tunnel's path, above it, the device's longest, fragments. */
const SIZES = [64, 1300, 1400, 1440, 1452, 1472, 4000, 20_000] as const;

interface ServiceJson {
  spec: { ports: { name: string; nodePort: number }[] };
}

const service = (mode: Mode): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: `sizes-${mode}`, annotations: { 'service.cilium.io/forwarding-mode': mode } },
  spec: {
    type: 'NodePort',
    ipFamilyPolicy: 'RequireDualStack',
    selector: { north: 'sizes' },
    ports: Object.entries(PORTS).map(([name, port]) => ({ name, port, protocol: name === 'udp' ? 'UDP' : 'TCP' })),
  },
});

export function describeSizes(stage: () => Stage, modes: readonly Mode[]): void {
  describe('long streams and large datagrams', () => {
    const fixture = (): Fixture => stage().fixture;
    const ask = async (...args: readonly (string | number)[]): Promise<ProbeResult> =>
      JSON.parse((await fixture().sandbox.fabricExec('worldPid', [tool, ...args.map(String)])).stdout) as ProbeResult;
    const portsOf = async (mode: Mode): Promise<Record<string, number>> => {
      const { spec } = await fixture().json<ServiceJson>('get', 'service', `sizes-${mode}`);
      return Object.fromEntries(spec.ports.map((p) => [p.name, p.nodePort]));
    };
    const ips = (n: NodePlace): string[] => [n.ipv4, n.ipv6];

    beforeAll(async () => {
      const f = fixture();
      const serve = `"$0" serve ${PORTS.up} ${SERVE_S} & "$0" give ${PORTS.down} ${SERVE_S} & exec "$1" serve u${PORTS.udp}`;
      const pod = podObject('sizes', stage().nodes[0]!.name, { north: 'sizes' }, {}, ['sh', '-c', serve, tool, echoTool]);
      await f.apply(list([pod, ...modes.map(service)]));
      await f.ready('north=sizes', 1);
      for (const mode of modes) {
        const { down = 0 } = await portsOf(mode);
        for (const ip of stage().nodes.flatMap(ips))
          await until(`${mode} is answered by ${ip}`, 20_000, async () => ((await ask('take', ip, down, 1)).ok ? true : undefined));
      }
    }, 60_000);

    test.each(modes)(
      '%s: six million bytes up and down, whole',
      async (mode) => {
        const { up = 0, down = 0 } = await portsOf(mode);
        for (const n of stage().nodes)
          for (const ip of ips(n)) {
            const results = await Promise.all([ask('bulk', ip, up, BYTES), ask('take', ip, down, BYTES)]);
            for (const r of results) expect({ by: n.name, ip, ...r }).toMatchObject({ ok: true, bytes: BYTES });
          }
      },
      60_000,
    );

    test.each(modes)(
      '%s: datagrams of every size, and their echoes',
      async (mode) => {
        const { udp = 0 } = await portsOf(mode);
        const wrong: unknown[] = [];
        for (const n of stage().nodes)
          for (const ip of ips(n))
            for (const size of SIZES) {
              // the first ones may teach the sender how long the path is
              await ask('udp', ip, udp, size, 1);
              const r = await ask('udp', ip, udp, size, 3);
              if (!r.ok) wrong.push({ by: n.name, ip, size, ...r });
            }
        expect(wrong).toEqual([]);
      },
      60_000,
    );
  });
}
