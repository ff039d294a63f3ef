// P8-a: the first packet of a pod, sent when its program starts: what is forbidden never passes, what is allowed is never dropped.

import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { root, until } from '../fixture.ts';
import type { KubeObject } from '../truth/api.ts';
import { app, ccnp, cnp, inNamespace } from '../truth/dsl.ts';
import { type Stage, settled } from '../truth/run.ts';

const tool = path.join(root, 'e2e/native/build/first');
const BATCH = 16;
const BUDGET_MS = Number(process.env.AXONEME_BIRTHS_SECONDS ?? 20) * 1_000;
const NS = 'blog';

interface PodJson {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName: string };
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: readonly { readonly state?: { readonly terminated?: { readonly exitCode: number } } }[];
  };
}

const bits = ['udp v4', 'udp v6', 'tcp v4', 'tcp v6'];
export const wrongsOf = (code: number): string[] =>
  bits.flatMap((b, i) => [...(code & (1 << i) ? [`allowed ${b} dropped`] : []), ...(code & (16 << i) ? [`forbidden ${b} passed`] : [])]);

export function describeBirths(stage: () => Stage): void {
  describe('the first packet of a pod', () => {
    /** Newborns reach shop/a and bank/b and nobody else; nobody of shop reaches them. */
    const guards = [
      cnp(
        'newborn',
        {
          endpointSelector: { matchLabels: { kind: 'newborn' } },
          egress: [{ toEndpoints: [inNamespace('shop')] }, { toEndpoints: [inNamespace('bank')] }],
          ingress: [{ fromEndpoints: [app('nobody')] }],
        },
        NS,
      ),
      ccnp('hosts-of-newborn', {
        endpointSelector: { matchExpressions: [{ key: 'io.kubernetes.pod.namespace', operator: 'In', values: ['shop', 'bank'] }] },
        ingress: [{ fromEndpoints: [inNamespace(NS, { app: 'newborn' })], toPorts: [{ ports: [{ port: '80', protocol: 'ANY' }] }] }],
        ingressDeny: [{ fromEndpoints: [inNamespace(NS, { never: 'here' })] }],
      }),
      ccnp('closed', { endpointSelector: inNamespace('bank'), ingressDeny: [{ fromEndpoints: [inNamespace(NS)] }] }),
    ];
    const newborn = (name: string, node: string, labels: Readonly<Record<string, string>>): KubeObject => {
      const t = stage();
      // allowed: shop/a and shop/b by turns, forbidden: bank
      const even = Number(/\d+$/.exec(name)?.[0] ?? 0) % 2 === 0;
      const [yes, no] = [t.cast.find(even ? 'shop/a' : 'shop/b'), t.cast.find(even ? 'bank/b' : 'bank/c')];
      const command = [tool, '80', yes.ipv4, yes.ipv6, no.ipv4, no.ipv6];
      return {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: NS, labels: { app: 'newborn', kind: 'newborn', ...labels } },
        spec: {
          nodeName: node,
          restartPolicy: 'Never',
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'first', image: 'axoneme/echo:latest', command }],
        },
      };
    };
    const list = async (): Promise<PodJson[]> => {
      const { object } = await stage().api.call('GET', `/api/v1/namespaces/${NS}/pods?labelSelector=kind%3Dnewborn`);
      return object.items as PodJson[];
    };
    const codeOf = (p: PodJson): number | undefined => p.status?.containerStatuses?.[0]?.state?.terminated?.exitCode;
    const removeAll = async (names: readonly string[]): Promise<void> => {
      const { api } = stage();
      await Promise.all(names.map((n) => api.call('DELETE', `/api/v1/namespaces/${NS}/pods/${n}`, { gracePeriodSeconds: 0 })));
    };
    /** Starts a batch and resolves with the exit code of each. */
    const born = async (batch: number, labelsOf: (i: number) => Readonly<Record<string, string>>): Promise<Map<string, number>> => {
      const t = stage();
      const nodes = t.fixture.sandbox.nodes.map((n) => n.name);
      const objects = Array.from({ length: BATCH }, (_, i) => newborn(`newborn-${batch}-${i}`, nodes[i % nodes.length]!, labelsOf(i)));
      await Promise.all(objects.map((o) => t.api.call('POST', `/api/v1/namespaces/${NS}/pods`, o)));
      const names = new Set(objects.map((o) => o.metadata.name));
      const done = await until('newborns are through', 60_000, async () => {
        const own = (await list()).filter((p) => names.has(p.metadata.name));
        return own.length === BATCH && own.every((p) => codeOf(p) !== undefined) ? own : undefined;
      });
      await removeAll([...names]);
      return new Map(done.map((p) => [p.metadata.name, codeOf(p)!]));
    };
    /** A stranger sends to every address of both nodes' blocks, over and over: newborns admit nobody. */
    const sweep = async (signal: AbortSignal): Promise<string[]> => {
      const t = stage();
      const known = new Set(t.cast.actors.flatMap((a) => [a.ipv4, ...(a.more ?? [])]));
      const blocks = [...new Set(t.cast.actors.filter((a) => a.kind === 'pod').map((a) => a.ipv4.replace(/\.\d+$/, '')))];
      const targets = blocks.flatMap((b) => Array.from({ length: 253 }, (_, i) => `${b}.${i + 1}`)).filter((ip) => !known.has(ip));
      const answered: string[] = [];
      while (!signal.aborted) {
        const letters = await t.cast
          .find('shop/c')
          .voice!.ask(targets.map((address) => ({ protocol: 'udp', address, port: 80, timeoutMs: 200 })));
        answered.push(...targets.filter((_, i) => letters[i] === '1'));
      }
      return answered;
    };

    beforeAll(async () => {
      await stage().api.apply(...guards);
      for (const g of guards) await settled(stage().api, g);
    }, 30_000);
    afterAll(async () => {
      await removeAll((await list()).map((p) => p.metadata.name));
      await stage().api.remove(...guards);
    }, 30_000);

    test(
      'P8-a: real pods, one after the other: 0 forbidden packets pass, 0 allowed packets drop',
      async () => {
        const stop = new AbortController();
        const sweeping = sweep(stop.signal);
        const wrong: string[] = [];
        const end = performance.now() + BUDGET_MS;
        let pods = 0;
        try {
          for (let batch = 0; performance.now() < end; batch++) {
            for (const [name, code] of await born(batch, () => ({}))) {
              pods++;
              if (code !== 0) wrong.push(`${name}: ${wrongsOf(code).join(', ') || `exit code ${code}`}`);
            }
          }
        } finally {
          stop.abort();
        }
        process.stdout.write(`${pods} pods started in ${BUDGET_MS / 1_000} s, ${wrong.length} of them met a wrong verdict\n`);
        expect(wrong).toEqual([]);
        expect(await sweeping).toEqual([]);
        expect(pods).toBeGreaterThan(BATCH);
      },
      BUDGET_MS + 90_000,
    );

    test('P8-a: pods with labels nobody had before start closed: 0 forbidden packets pass', async () => {
      for (let batch = 1_000; batch < 1_003; batch++) {
        const codes = await born(batch, (i) => ({ only: `${batch}-${i}` }));
        for (const [name, code] of codes) expect({ name, forbidden: code & 0xf0 }).toEqual({ name, forbidden: 0 });
      }
    }, 90_000);
  });
}
