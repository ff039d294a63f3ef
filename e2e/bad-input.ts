// Bad input and bad luck: each gives a clear error where the user looks, and nothing else changes. Part of the main end-to-end suite.
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { allowOneRetry, type Fixture, type PodInfo, until } from './fixture.ts';

const NS = 'axoneme-system';

const cnp = (name: string, spec: unknown, namespace = 'default'): string =>
  JSON.stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace }, spec });

const allowFrom = (peer: Record<string, unknown>, port = '80') => ({
  endpointSelector: { matchLabels: { app: 'web' } },
  ingress: [{ ...peer, toPorts: [{ ports: [{ port, protocol: 'TCP' }] }] }],
});

export function describeBadInput(fixture: () => Fixture): void {
  describe('bad input', () => {
    let server: PodInfo;
    let client: PodInfo;
    const refused = async (yaml: string): Promise<string> => {
      const r = await fixture().sandbox.kubectlResult(['apply', '-f', '-'], { input: yaml });
      expect(r.code).not.toBe(0);
      expect(await fixture().curl(client, `http://${server.ipv4}/`)).toBe('200');
      return r.stderr;
    };

    beforeAll(async () => {
      allowOneRetry();
      server = (await fixture().ready('app=web', 2))[0]!;
      client = (await fixture().ready('app=client', 2))[0]!;
    }, 60_000);

    afterEach(async () => {
      await fixture().kubectl('delete', 'cnp', '--all', '-A', '--ignore-not-found');
    });

    test('a malformed object names the field', async () => {
      expect(await refused(cnp('bad', { endpointSelector: {}, ingress: 'everybody' }))).toContain('spec.ingress');
    });

    test('an unknown field is named', async () => {
      expect(await refused(cnp('bad', { endpointSelector: {}, ingres: [{}] }))).toContain('ingres');
    });

    test('port 70000 is refused at the door', async () => {
      const text = await refused(cnp('bad', allowFrom({ fromEntities: ['all'] }, '70000')));
      expect(text).toContain('spec.ingress[0].toPorts[0].ports[0].port');
    });

    test('an unknown entity is refused with the known ones', async () => {
      const text = await refused(cnp('bad', allowFrom({ fromEntities: ['everyone'] })));
      expect(text).toContain('fromEntities');
      expect(text).toContain('cluster');
    });

    test('CIDR 10.0.0.0/33 is refused', async () => {
      expect(await refused(cnp('bad', allowFrom({ fromCIDR: ['10.0.0.0/33'] })))).toContain('fromCIDR');
    });

    test('a 5 MB object is refused by size', async () => {
      const huge = { endpointSelector: {}, description: 'x'.repeat(5 << 20), ingress: [{}] };
      expect(await refused(cnp('huge', huge))).toMatch(/too large/i);
    });

    test('a policy that selects nothing is valid and says so', async () => {
      const f = fixture();
      await f.apply(cnp('nobody', { endpointSelector: { matchLabels: { app: 'no-such' } }, ingress: [{}] }));
      const message = await until('status', 10_000, async () => {
        const o = await f.json<{ status?: { conditions?: { type: string; reason: string; message: string }[] } }>('get', 'cnp', 'nobody');
        return o.status?.conditions?.find((c) => c.type === 'Enforced')?.message;
      });
      expect(message).toContain('selects no endpoint');
      expect(await f.curl(client, `http://${server.ipv4}/`)).toBe('200');
    });

    test('two policies of one name in two namespaces do not touch each other', async () => {
      const f = fixture();
      await f.kubectl('create', 'namespace', 'other');
      await f.apply(cnp('twin', { endpointSelector: {}, ingress: [{}] }, 'other'));
      await f.apply(cnp('twin', allowFrom({ fromEntities: ['all'] })));
      await f.kubectl('wait', 'cnp/twin', '--for=condition=Enforced', '--timeout=10s');
      expect(await f.curl(client, `http://${server.ipv4}/`)).toBe('200');
      await f.kubectl('delete', 'cnp', 'twin', '-n', 'other');
      await until('the first still isolates port 7', 5_000, async () =>
        (await f.curl(client, `http://${server.ipv4}:7/`)) === 'timeout' ? true : undefined,
      );
      await f.kubectl('delete', 'namespace', 'other', '--wait=false');
    }, 30_000);

    test('Redis that refuses writes degrades a component and nothing else', async () => {
      const f = fixture();
      const redis = (await f.pods('app.kubernetes.io/component=redis', NS))[0]!;
      const set = (bytes: string): Promise<string> =>
        f.kubectl('exec', '-n', NS, redis.name, '--', 'redis-cli', 'config', 'set', 'maxmemory', bytes);
      await set('1');
      try {
        await f.apply(cnp('during', { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{}] }));
        await f.kubectl('wait', 'cnp/during', '--for=condition=Enforced', '--timeout=10s');
        const component = await until(
          'degraded',
          20_000,
          async () => {
            const s = JSON.parse(await f.cli('status', '-o', 'json')) as { components: { name: string; state: string; reason: string }[] };
            return s.components.find((c) => c.name === 'kvstore' && c.state === 'degraded');
          },
          500,
        );
        expect(component.reason).not.toBe('');
      } finally {
        await set('0');
      }
      await until(
        'healthy again',
        30_000,
        async () => {
          const s = JSON.parse(await f.cli('status', '-o', 'json')) as { components: { name: string; state: string }[] };
          return s.components.find((c) => c.name === 'kvstore')?.state === 'ok' ? true : undefined;
        },
        500,
      );
    }, 90_000);

    test('a full disk under an agent store: the node keeps its revision, the status names it', async () => {
      const f = fixture();
      const dir = '/var/lib/axoneme';
      // the same files on a disk with no byte left; the agent may be tidying its store while they are copied
      const fill = `set -e; for i in 1 2 3 4; do rm -rf /tmp/store.$$; cp -a ${dir} /tmp/store.$$ && break; done; mount -t tmpfs -o size=32m tmpfs ${dir}; cp -a /tmp/store.$$/. ${dir}/; rm -r /tmp/store.$$; dd if=/dev/zero of=${dir}/fill bs=4k status=none || true`;
      expect((await f.sandbox.nodeExec(server.node, ['sh', '-c', fill])).code).toBe(0);
      try {
        await f.apply(cnp('full', { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{}] }));
        const message = await until(
          'pending node named',
          20_000,
          async () => {
            const o = await f.json<{ status?: { conditions?: { type: string; status: string; message: string }[] } }>('get', 'cnp', 'full');
            const c = o.status?.conditions?.find((x) => x.type === 'Enforced' && x.status === 'False');
            return c?.message.includes(server.node) ? c.message : undefined;
          },
          250,
        );
        expect(message).toContain('waiting for');
        const status = JSON.parse(await f.cli('status', '-o', 'json')) as { nodes: { name: string; lastNack: string }[] };
        expect(status.nodes.find((n) => n.name === server.node)!.lastNack).toContain('agent/store-full');
      } finally {
        await f.sandbox.nodeExec(server.node, ['umount', dir]);
      }
      await f.kubectl('wait', 'cnp/full', '--for=condition=Enforced', '--timeout=90s');
    }, 150_000);
  });
}
