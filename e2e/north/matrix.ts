// Asks the whole matrix at once and judges it Service by Service, kind by kind. Part of the suites of Services from everywhere.
import { beforeAll, describe, expect, test } from '@jest/globals';
import { type Drops, dropsBetween, dropsOf } from '../drops.ts';
import { type Asked, askCells, askedTwice, converge, faultOf, TWICE_MAX } from './judge.ts';
import type { Kind } from './rule.ts';
import { cellsOf, hostPortCells, type Numbered, type Stage } from './stage.ts';

/** Some cells expect nobody; and what a namespace says when it comes up is not for the others. */
const expectedDrops = ['Service backend not found', 'Ignored noise'];
const kinds: readonly Kind[] = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalIP'];

export function describeMatrix(stage: () => Stage, services: readonly Numbered[]): void {
  describe('who answers, and whom it sees', () => {
    let asked: readonly Asked[] = [];
    let before: Drops = new Map();
    let after: Drops = new Map();

    beforeAll(async () => {
      const s = stage();
      const cells = services.flatMap(({ shape }) => kinds.flatMap((kind) => cellsOf(s, s.askers, shape, kind)));
      cells.push(...hostPortCells(s, s.askers));
      await converge(s, cells);
      before = await dropsOf(s.fixture);
      asked = await askCells(s, cells, { twice: true });
      after = await dropsOf(s.fixture);
    }, 120_000);

    const faultsOf = (kind: Kind, service: string): string[] => {
      const cells = asked.filter((a) => a.cell.kind === kind && a.cell.service.name === service);
      // both families and protocols for each of the five clients
      expect(cells.length).toBeGreaterThanOrEqual(20);
      return cells.map(faultOf).filter((x) => x !== undefined);
    };

    for (const kind of kinds) {
      test.each(services.map((s) => s.shape))(
        `${kind}, backends $place, externalTrafficPolicy $external, internalTrafficPolicy $internal, $mode`,
        ({ name }) => {
          expect(faultsOf(kind, name)).toEqual([]);
        },
      );
    }

    test('no program of a node drops what it should not, and hardly a datagram is lost elsewhere', () => {
      expect(dropsBetween(before, after, expectedDrops)).toEqual([]);
      const twice = askedTwice(asked);
      if (twice.length > 0) process.stderr.write(`asked twice: ${twice.join('; ')}\n`);
      expect(twice.length).toBeLessThanOrEqual(TWICE_MAX);
    });

    test('host ports: on their pod’s node, for everybody', () => {
      expect(faultsOf('HostPort', 'host-port')).toEqual([]);
    });
  });
}
