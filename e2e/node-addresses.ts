// Services of class io.cilium/node: their status has addresses of nodes, which follow labels, annotation and traffic policy, and are reached from
// outside. Part of the suite with two operators.
import { WORLD } from '@axoneme/sandbox';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Fixture, until } from './fixture.ts';
import { list, podObject } from './north/stage.ts';
import { type Client, clientOutside, type WhoAnswer, whoTool } from './north/who.ts';

const NAME = 'by-node';
/** No program of a node has it. */
const PORT = 8123;
const POD_PORT = 80;
const ANNOTATION = 'io.cilium.nodeipam/match-node-labels';
const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';

interface ServiceJson {
  status: { loadBalancer?: { ingress?: { ip: string }[] } };
}
interface EventJson {
  reason: string;
  type: string;
  message: string;
  involvedObject: { name: string };
}

export function describeNodeAddresses(fixture: () => Fixture): void {
  describe('addresses of nodes', () => {
    let client: Client;
    const nodes = () => fixture().sandbox.nodes;
    const addresses = (...which: readonly number[]): string[] => [
      ...which.map((i) => nodes()[i]!.ipv4),
      ...which.map((i) => nodes()[i]!.ipv6),
    ];
    const ingress = async (): Promise<string[]> => {
      const { status } = await fixture().json<ServiceJson>('get', 'service', NAME);
      return (status.loadBalancer?.ingress ?? []).map((i) => i.ip);
    };
    const become = (expected: readonly string[]): Promise<true> =>
      until(`addresses ${expected.join(' ')}`, 15_000, async () => ((await ingress()).join() === expected.join() ? true : undefined));
    const label = (node: number, text: string): Promise<string> =>
      fixture().kubectl('label', 'node', nodes()[node]!.name, '--overwrite', text);
    const annotate = (text: string): Promise<string> =>
      fixture().kubectl('annotate', 'service', NAME, '--overwrite', text === '' ? `${ANNOTATION}-` : `${ANNOTATION}=${text}`);
    /** Who the backend saw, by address and protocol; what came instead of an answer. */
    const ask = async (of: readonly string[]): Promise<string[]> => {
      const questions = of.flatMap((address) =>
        (['TCP', 'UDP'] as const).map((protocol) => ({ protocol, address, port: PORT, timeoutMs: 500 })),
      );
      const answers = await client.ask(questions);
      return answers.map((a) => (typeof a === 'object' ? (a as WhoAnswer).source : a));
    };
    const served = (of: readonly string[]): Promise<true> =>
      until(`${of.join(' ')} are served`, 15_000, async () => ((await ask(of)).every((a) => /[.:]/.test(a)) ? true : undefined));

    beforeAll(async () => {
      const f = fixture();
      const ports = (['TCP', 'UDP'] as const).map((protocol) => ({
        name: protocol.toLowerCase(),
        protocol,
        port: PORT,
        targetPort: POD_PORT,
      }));
      await f.apply(
        list([
          podObject(NAME, nodes()[0]!.name, { app: NAME }, {}, [whoTool, 'serve', NAME, `t${POD_PORT}`, `u${POD_PORT}`]),
          {
            apiVersion: 'v1',
            kind: 'Service',
            metadata: { name: NAME },
            spec: {
              type: 'LoadBalancer',
              loadBalancerClass: 'io.cilium/node',
              ipFamilyPolicy: 'RequireDualStack',
              selector: { app: NAME },
              ports,
            },
          },
        ]),
      );
      await f.ready(`app=${NAME}`, 1);
      client = clientOutside(f);
    }, 60_000);
    afterAll(async () => {
      client?.close();
      await fixture().kubectl('delete', 'service,pod', NAME, '--wait=false');
    });

    test('every node has one, and each is reached from outside', async () => {
      await become(addresses(0, 1));
      await served(addresses(0, 1));
    }, 60_000);

    test('they follow labels of nodes and the selector of the Service', async () => {
      await label(1, `${EXCLUDED}=`);
      await become(addresses(0));
      // what is no address of the Service any more is no way to it
      await until('the other node does not serve', 15_000, async () =>
        (await ask(addresses(1))).every((a) => !/[.:]/.test(a)) ? true : undefined,
      );
      await served(addresses(0));
      await label(1, `${EXCLUDED}-`);
      await become(addresses(0, 1));
      await annotate('tier in (edge, rim),!spare');
      await become([]);
      await label(1, 'tier=edge');
      await become(addresses(1));
      await served(addresses(1));
      await label(1, 'spare=yes');
      await become([]);
      await label(1, 'spare-');
      await become(addresses(1));
    }, 90_000);

    test('a selector that cannot be read is told and changes nothing', async () => {
      const f = fixture();
      await annotate('tier near edge');
      const told = await until('an Event', 15_000, async () => {
        const { items } = await f.json<{ items: EventJson[] }>('get', 'events');
        return items.find((e) => e.involvedObject.name === NAME && e.reason === 'InvalidNodeSelector');
      });
      expect([told.type, told.message]).toEqual(['Warning', expect.stringContaining('tier near edge')]);
      // the node is none of `tier in (edge)` any more, and nobody knows what is wanted instead
      await label(1, 'tier-');
      await served(addresses(1));
      expect(await ingress()).toEqual(addresses(1));
      await annotate('');
      await become(addresses(0, 1));
    }, 60_000);

    test('externalTrafficPolicy Local: those with a backend, which sees the client', async () => {
      await fixture().kubectl('patch', 'service', NAME, '-p', JSON.stringify({ spec: { externalTrafficPolicy: 'Local' } }));
      await become(addresses(0));
      await until('the backend sees who asks', 15_000, async () => {
        const seen = await ask(addresses(0));
        return seen.every((a) => a === (a.includes(':') ? WORLD.v6 : WORLD.v4)) ? true : undefined;
      });
    }, 60_000);
  });
}
