// Policies of the backends see the client that is outside of the cluster, wherever it came in. Part of the suite of Services from everywhere.

import { WORLD } from '@axoneme/sandbox';
import { afterAll, describe, expect, test } from '@jest/globals';
import { until } from '../fixture.ts';
import { askCells, askedTwice, faultOf, TWICE_MAX } from './judge.ts';
import type { Asker, Cell, Kind } from './rule.ts';
import { cellsOf, type Stage } from './stage.ts';

const NAME = 'north-guard';
const kinds: readonly Kind[] = ['NodePort', 'LoadBalancer'];

interface PolicyJson {
  readonly metadata: { readonly generation: number };
  readonly status?: { readonly conditions?: readonly { type: string; status: string; observedGeneration: number }[] };
}

const onlyFrom = (cidrs: readonly string[]): string =>
  JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: NAME },
    spec: { endpointSelector: { matchLabels: { back: 'pod' } }, ingress: [{ fromCIDR: cidrs }] },
  });

export function describeGuard(stage: () => Stage): void {
  describe('a policy that allows one client outside', () => {
    afterAll(async () => {
      await stage().fixture.kubectl('delete', 'cnp', NAME, '--ignore-not-found');
    });

    const enforce = async (cidrs: readonly string[]): Promise<void> => {
      const f = stage().fixture;
      await f.apply(onlyFrom(cidrs));
      await until('the policy is enforced', 20_000, async () => {
        const { metadata, status } = await f.json<PolicyJson>('get', 'cnp', NAME);
        return status?.conditions?.some((c) => c.type === 'Enforced' && c.status === 'True' && c.observedGeneration === metadata.generation)
          ? true
          : undefined;
      });
    };
    const cells = (service: string, who: (a: Asker) => boolean): Cell[] => {
      const s = stage();
      const shape = s.services.find((x) => x.shape.name === service)!.shape;
      return kinds.flatMap((kind) => cellsOf(s, s.askers.filter(who), shape, kind));
    };
    /** Those whose backends see the client itself. */
    const services = (): string[] => ['both-ll-snat', 'both-cc-dsr'].filter((name) => stage().services.some((x) => x.shape.name === name));
    const outside = (a: Asker): boolean => a.kind === 'outside';
    const inside = (a: Asker): boolean => a.kind === 'pod';

    test('holds for backends of the node that is asked and, by DSR, of every other', async () => {
      await enforce([`${WORLD.v4}/32`, `${WORLD.v6}/128`]);
      const asked = await askCells(
        stage(),
        services().flatMap((name) => cells(name, outside)),
        { twice: true },
      );
      expect(asked.map(faultOf).filter((x) => x !== undefined)).toEqual([]);
      expect(askedTwice(asked).length).toBeLessThanOrEqual(TWICE_MAX);
      // who is not named stays out
      const others = await askCells(stage(), cells('both-ll-snat', inside), { lots: 6, patienceMs: 500 });
      for (const o of others) expect(o.answers).toEqual(o.answers.map(() => 'silence'));
    }, 60_000);

    test('without DSR the backends of other nodes do not know the client', async () => {
      const asked = await askCells(stage(), cells('both-cc-snat', outside), { lots: 24, patienceMs: 700 });
      for (const { cell, answers } of asked) {
        const seen = new Set(answers.map((a) => (typeof a === 'string' ? a : a.backend)));
        const here = stage()
          .backendsOf(cell.service)
          .filter((b) => b.node === cell.via?.name);
        expect({ by: cell.via?.name, seen: [...seen].sort() }).toEqual({
          by: cell.via?.name,
          seen: [...here.map((b) => b.name), 'silence'].sort(),
        });
      }
    }, 60_000);

    test('another client outside stays out', async () => {
      await enforce(['203.0.113.77/32', '2001:db8:ffff::77/128']);
      const asked = await askCells(
        stage(),
        services().flatMap((name) => cells(name, outside)),
        {
          lots: 8,
          patienceMs: 700,
        },
      );
      for (const a of asked) expect(a.answers).toEqual(a.answers.map(() => 'silence'));
    }, 60_000);
  });
}
