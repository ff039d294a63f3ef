// The life of a pod: what its deletion gives back, new labels, birth without an operator. Needs the pods of paths.ts.
import { pinnedMap } from '@axoneme/bpf';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type Fixture, type PodInfo, until } from './fixture.ts';
import { probe } from './probe.ts';

const NS = 'axoneme-system';

const podYaml = (name: string, node: string, labels: Readonly<Record<string, string>>): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: { nodeName: node, containers: [{ name: 'echo', image: 'axoneme/echo:latest' }] },
  });

/** Everything on a node that exists because of its pods. */
interface Traces {
  readonly links: readonly string[];
  readonly pins: readonly string[];
  readonly addresses: readonly string[];
  readonly interfaces: readonly number[];
  readonly stored: readonly string[];
}

const initIdentity = 5;

interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Rows of a table in the kernel, through the node's own bpf filesystem. */
function rowsOf(f: Fixture, node: string, table: string): Row[] {
  const holder = f.sandbox.nodes.find((n) => n.name === node)!.holderPid;
  const map = pinnedMap(`/proc/${holder}/root/sys/fs/bpf/axoneme/maps/${table}`)!;
  const { count, keys, values } = map.dump();
  const cut = (b: Buffer, i: number, size: number): Buffer => Buffer.from(b.subarray(i * size, (i + 1) * size));
  const rows = Array.from({ length: count }, (_, i) => ({ key: cut(keys, i, map.keySize), value: cut(values, i, map.valueBytes) }));
  map.close();
  return rows;
}

/** What the datapath of the node takes the pod for. */
function identityInKernel(f: Fixture, pod: PodInfo): number | undefined {
  const address = Buffer.from(pod.ipv4.split('.').map(Number));
  const row = rowsOf(f, pod.node, 'endpoint').find((r) => r.key.subarray(0, 4).equals(address) && r.key[16] === 4);
  return row?.value.readUInt32LE(4);
}

async function tracesOf(f: Fixture, node: string): Promise<Traces> {
  const words = async (...argv: string[]): Promise<string> => (await f.sandbox.nodeExec(node, argv)).stdout;
  const lines = (text: string): string[] => text.split('\n').filter(Boolean);
  return {
    links: lines(await words('ls', '/sys/class/net')).sort(),
    pins: lines(await words('ls', '/sys/fs/bpf/axoneme/links')).sort(),
    addresses: rowsOf(f, node, 'endpoint')
      .map((r) => r.key.toString('hex'))
      .sort(),
    interfaces: rowsOf(f, node, 'endpoint_if')
      .map((r) => r.key.readUInt32LE(0))
      .sort((a, b) => a - b),
    stored: [...(await words('cat', '/var/lib/axoneme/endpoints.json')).matchAll(/"ipv[46]":"([^"]+)"/g)].map((m) => m[1]!).sort(),
  };
}

export function describePods(fixture: () => Fixture): void {
  describe('pods come and go', () => {
    let servers: PodInfo[];
    let node: string;

    beforeAll(async () => {
      servers = await fixture().ready('app=web', 2);
      node = servers[0]!.node;
    }, 60_000);

    afterEach(async () => {
      await fixture().kubectl('delete', 'cnp', 'pods', '--ignore-not-found');
      await fixture().kubectl('delete', 'pod', 'gone', 'turncoat', 'early', '--ignore-not-found', '--wait=false');
    }, 60_000);

    test('deletion gives back rows, link, pins and addresses', async () => {
      const f = fixture();
      const before = await tracesOf(f, node);
      await f.apply(podYaml('gone', node, { app: 'gone' }));
      const [pod] = (await f.ready('app=gone', 1)) as [PodInfo];
      const during = await tracesOf(f, node);
      expect(during.links).toHaveLength(before.links.length + 1);
      expect(during.pins).toHaveLength(before.pins.length + 2);
      expect(during.addresses).toHaveLength(before.addresses.length + 2);
      expect(during.interfaces).toHaveLength(before.interfaces.length + 1);
      expect(during.stored).toEqual([...before.stored, pod.ipv4, pod.ipv6].sort());

      await f.kubectl('delete', 'pod', 'gone');
      await until('nothing is left', 10_000, async () => {
        const now = await tracesOf(f, node);
        return JSON.stringify(now) === JSON.stringify(before) ? true : undefined;
      });
      await until('its CiliumEndpoint goes', 10_000, async () =>
        (await f.kubectlResult('get', 'ciliumendpoint', 'gone')).code === 0 ? undefined : true,
      );
    }, 60_000);

    test('new labels change verdicts within a second, in both directions', async () => {
      const f = fixture();
      const spec = { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{ fromEndpoints: [{ matchLabels: { side: 'good' } }] }] };
      await f.apply(JSON.stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'pods' }, spec }));
      // labels nobody had before: their identity has to be made first
      await f.apply(podYaml('turncoat', node, { app: 'turncoat', side: 'good' }));
      const [pod] = (await f.ready('app=turncoat', 1)) as [PodInfo];
      await f.kubectl('wait', 'cnp/pods', '--for=condition=Enforced', '--timeout=20s');
      for (const target of servers) {
        await f.kubectl('label', 'pod', 'turncoat', 'side=good', '--overwrite');
        await until('open', 10_000, async () => ((await probe(f, pod, 'udp', target.ipv4, 7, 10, 1)).ok ? true : undefined));
        const closing = probe(f, pod, 'watch', target.ipv4, 7, 100, 3);
        await f.kubectl('label', 'pod', 'turncoat', 'side=bad', '--overwrite');
        const labelled = Date.now();
        const closed = await closing;
        // it may have been closed before the first datagram left
        expect(closed.sent).toBeGreaterThan(100);
        expect(closed.lastMs! - labelled).toBeLessThan(1_000);

        const opening = probe(f, pod, 'watch', target.ipv6, 7, 100, 3);
        await f.kubectl('label', 'pod', 'turncoat', 'side=good', '--overwrite');
        const relabelled = Date.now();
        const open = await opening;
        expect(open.received).toBeGreaterThan(0);
        expect(open.firstMs! - relabelled).toBeLessThan(1_000);
        expect(open.lastMs! - open.firstMs!).toBeGreaterThan(1_000);
      }
    }, 90_000);

    test('a pod born without an operator starts closed and is corrected when the operator returns', async () => {
      const f = fixture();
      const operators = async (): Promise<number> => (await f.pods('app.kubernetes.io/component=operator', NS)).length;
      const replicas = await operators();
      await f.kubectl('scale', 'deployment', 'axoneme-operator', '-n', NS, '--replicas=0');
      try {
        await until('no operator', 60_000, async () => {
          const all = await f.json<{ items: unknown[] }>('get', 'pods', '-n', NS, '-l', 'app.kubernetes.io/component=operator');
          return all.items.length === 0 ? true : undefined;
        });
        await f.apply(podYaml('early', node, { app: 'early' }));
        const [pod] = (await f.ready('app=early', 1)) as [PodInfo];
        expect(identityInKernel(f, pod)).toBe(initIdentity);
        // known pods talk as before
        const client = (await f.pods('app=client'))[0]!;
        expect(await f.curl(client, `http://${servers[0]!.ipv4}/`)).toBe('200');
        for (const s of servers) {
          for (const ip of [s.ipv4, s.ipv6]) {
            expect(await probe(f, pod, 'udp', ip, 7, 10, 1)).toEqual({ ok: false, received: 0 });
          }
        }
        const into = await Promise.all([pod.ipv4, pod.ipv6].map((ip) => probe(f, client, 'udp', ip, 7, 10, 1)));
        expect(into).toEqual([
          { ok: false, received: 0 },
          { ok: false, received: 0 },
        ]);
        await f.kubectl('scale', 'deployment', 'axoneme-operator', '-n', NS, `--replicas=${replicas}`);
        await until('corrected', 60_000, async () => {
          const targets = servers.flatMap((s) => [s.ipv4, s.ipv6]);
          const out = await Promise.all(targets.map((ip) => probe(f, pod, 'udp', ip, 7, 10, 1)));
          const back = await Promise.all([pod.ipv4, pod.ipv6].map((ip) => probe(f, client, 'udp', ip, 7, 10, 1)));
          return [...out, ...back].every((r) => r.ok) ? true : undefined;
        });
        const endpoint = await until('its CiliumEndpoint has an identity of its own', 20_000, async () => {
          const e = await f.json<{ status?: { identity?: { id: number } } }>('get', 'ciliumendpoint', 'early');
          return (e.status?.identity?.id ?? 0) >= 256 ? e : undefined;
        });
        expect(identityInKernel(f, pod)).toBe(endpoint.status?.identity?.id);
      } finally {
        await f.kubectl('scale', 'deployment', 'axoneme-operator', '-n', NS, `--replicas=${replicas}`);
      }
    }, 200_000);
  });
}
