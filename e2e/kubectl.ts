// What users see: columns of our kinds, exec through a Deployment, the command line tool, Helm. Part of the main end-to-end suite.

import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { allowOneRetry, type Fixture, root, until } from './fixture.ts';

const run = promisify(execFile);
const NS = 'axoneme-system';

export function describeKubectl(fixture: () => Fixture): void {
  const helm = (...args: string[]) =>
    run(path.join(root, '.tools/bin/helm'), args, {
      cwd: root,
      env: { ...process.env, KUBECONFIG: fixture().sandbox.kubeconfigPath },
      maxBuffer: 32 << 20,
    });

  describe('kubectl and the command line tool', () => {
    beforeAll(() => {
      allowOneRetry();
    });

    test('our kinds print useful columns', async () => {
      const f = fixture();
      const endpoints = await until('endpoints exist', 10_000, async () => {
        const out = await f.kubectl('get', 'ciliumendpoints');
        return out.includes('web-') && /10\.244\./.test(out) ? out : undefined;
      });
      expect(endpoints.split('\n')[0]).toMatch(/NAME\s+SECURITY IDENTITY\s+ENDPOINT STATE\s+IPV4\s+IPV6/);
      expect(endpoints).toMatch(/web-\S+\s+\d{3,5}\s+ready\s+10\.244\.\S+\s+fd00:10:244:/);
      const nodes = await f.kubectl('get', 'ciliumnodes');
      expect(nodes).toMatch(/10\.244\.\d+\.1\s+172\.\S+\s+\["10\.244\.\d+\.0\/24"/);
      const identities = await f.kubectl('get', 'ciliumidentities');
      expect(identities).toMatch(/\n\d{3,5}\s+default/);
    }, 30_000);

    test('exec through a Deployment', async () => {
      const f = fixture();
      expect(
        (await f.kubectl('exec', 'deploy/client', '--', 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://web:8080/')).trim(),
      ).toBe('200');
    }, 30_000);

    test('status, identities, endpoints and tables in text and JSON', async () => {
      const f = fixture();
      const node = (await f.pods('app=web'))[0]!.node;
      const status = JSON.parse(await f.cli('status', '-o', 'json')) as { leader: boolean; nodes: { name: string; connected: boolean }[] };
      expect(status.leader).toBe(true);
      expect(status.nodes.every((n) => n.connected)).toBe(true);
      expect(await f.cli('status')).toContain(node);
      const identities = JSON.parse(await f.cli('identity', 'list', '-o', 'json')) as { id: number; labels: Record<string, string> }[];
      expect(identities.some((i) => i.labels['k8s:app'] === 'web')).toBe(true);
      const endpoints = JSON.parse(await f.cli('endpoint', 'list', '-o', 'json')) as { pod: string; ipv4: string }[];
      expect(endpoints.some((e) => e.pod.startsWith('web-') && e.ipv4.startsWith('10.244.'))).toBe(true);
      for (const table of ['ipcache', 'ct', 'lb', 'policy']) {
        const text = await f.cli('bpf', table, 'list', '--node', node, '-o', 'json');
        expect(Array.isArray(JSON.parse(text) as unknown)).toBe(true);
      }
      const ipcache = await f.cli('bpf', 'ipcache', 'list', '--node', node);
      expect(ipcache).toContain('10.244.');
    }, 60_000);

    test('no agent talks to the API server', async () => {
      const f = fixture();
      const ds = await f.json<{ items: { spec: { template: { spec: { automountServiceAccountToken?: boolean } } } }[] }>(
        'get',
        'ds',
        '-n',
        NS,
      );
      expect(ds.items).toHaveLength(1);
      expect(ds.items[0]!.spec.template.spec.automountServiceAccountToken).toBe(false);
    });
  });

  describe('Helm', () => {
    const chart = path.join(root, 'charts/axoneme');

    test('rendering is deterministic, lint is clean, unknown values are refused', async () => {
      const [a, b] = [await helm('template', 'axoneme', chart), await helm('template', 'axoneme', chart)];
      expect(a.stdout).toBe(b.stdout);
      await helm('lint', '--strict', chart);
      await expect(helm('template', 'axoneme', chart, '--set', 'noSuchValue=1')).rejects.toThrow(/noSuchValue/);
    }, 60_000);

    test('upgrade changes the configuration in place', async () => {
      const f = fixture();
      await helm('upgrade', 'axoneme', chart, '-n', NS, '--reuse-values', '--set', 'logLevel=debug', '--wait', '--timeout', '120s');
      const history = JSON.parse((await helm('history', 'axoneme', '-n', NS, '-o', 'json')).stdout) as { status: string }[];
      expect(history.at(-1)!.status).toBe('deployed');
      expect(history.length).toBeGreaterThan(1);
      await until(
        'nodes are back',
        60_000,
        async () => {
          const s = JSON.parse(await f.cli('status', '-o', 'json')) as { nodes: { connected: boolean }[] };
          return s.nodes.every((n) => n.connected) ? true : undefined;
        },
        500,
      );
      expect(
        (await f.kubectl('exec', 'deploy/client', '--', 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://web:8080/')).trim(),
      ).toBe('200');
    }, 240_000);
  });
}

/** Runs last: takes Axoneme out. */
export function describeUninstall(fixture: () => Fixture): void {
  test('helm uninstall removes our workloads and keeps the users policies', async () => {
    const f = fixture();
    await f.apply(
      JSON.stringify({
        apiVersion: 'cilium.io/v2',
        kind: 'CiliumNetworkPolicy',
        metadata: { name: 'kept' },
        spec: { endpointSelector: {}, egress: [{ toEntities: ['all'] }] },
      }),
    );
    await run(path.join(root, '.tools/bin/helm'), ['uninstall', 'axoneme', '-n', NS, '--wait', '--timeout', '90s'], {
      env: { ...process.env, KUBECONFIG: f.sandbox.kubeconfigPath },
    });
    await until(
      'pods are gone',
      60_000,
      async () => ((await f.json<{ items: unknown[] }>('get', 'pods', '-n', NS)).items.length === 0 ? true : undefined),
      250,
    );
    expect(await f.kubectl('get', 'deployments,daemonsets,services', '-n', NS, '-o', 'name')).toBe('');
    expect(await f.kubectl('get', 'cnp', 'kept', '-o', 'name')).toContain('kept');
  }, 150_000);
}
