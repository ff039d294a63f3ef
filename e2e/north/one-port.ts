// A client outside that has the same port at every address of a Service: answers come from the address that was asked, whichever node passes the
// packets on. Part of the suites of Services from everywhere; elsewhere such a client uses a port once (judge.ts).
import { expect, test } from '@jest/globals';
import { type Cell, expectedOf, type Family, ipOf, type Kind, type Mode } from './rule.ts';
import type { Numbered, Stage } from './stage.ts';
import type { Nothing, WhoAnswer } from './who.ts';

const FLOWS = 64;
const FIRST_PORT = 61_000;
const families: readonly Family[] = [4, 6];

interface Round {
  readonly cell: Cell;
  readonly answers: readonly (WhoAnswer | Nothing)[];
}

export function describeOnePort(stage: () => Stage, services: readonly Numbered[], modes: readonly Mode[]): void {
  test.each(modes)(
    'one client port at four addresses of a Service, twice around, UDP, %s',
    async (mode) => {
      const s = stage();
      const asker = s.askers.find((a) => a.kind === 'outside')!;
      const { shape: service } = services.find(
        ({ shape }) => shape.place === 'both' && shape.external === 'Cluster' && shape.mode === mode,
      )!;
      const [via, other] = [s.nodes[0]!, s.nodes[1]!];
      const ask = async (kind: Kind, family: Family, node: typeof via): Promise<Round> => {
        const cell: Cell = { service, kind, family, protocol: 'UDP', asker, via: node };
        const question = { protocol: 'UDP', ...s.targetOf(cell), timeoutMs: 5000 } as const;
        // a socket accepts nothing but the address that it asked
        const questions = Array.from({ length: FLOWS }, (_, i) => ({ ...question, sourcePort: FIRST_PORT + i }));
        return { cell, answers: await s.clientOf(asker).ask(questions) };
      };

      await s.routeBy(via);
      const rounds: Round[] = [];
      for (const family of families)
        for (const _ of [1, 2])
          for (const [kind, node] of [
            ['NodePort', via],
            ['LoadBalancer', via],
            ['ExternalIP', via],
            ['NodePort', other],
          ] as const)
            rounds.push(await ask(kind, family, node));

      for (const { cell, answers } of rounds) {
        const expected = expectedOf(s, cell);
        const wrong = answers.filter(
          (a) => typeof a === 'string' || expected === 'nothing' || !expected.get(a.backend)?.includes(a.source),
        );
        expect([cell.kind, cell.family, cell.via?.name, wrong]).toEqual([cell.kind, cell.family, cell.via?.name, []]);
      }
      // what is passed on as it was had to have another port at a backend of the other node that the client had already
      const own = ipOf(asker, 4);
      const far = s.backendsOf(service).filter((b) => b.node !== via.name);
      const lent = rounds.flatMap(({ cell, answers }) =>
        cell.via !== via || cell.family !== 4
          ? []
          : answers.filter(
              (a, i) =>
                typeof a !== 'string' && far.some((b) => b.name === a.backend) && a.source === own && a.sourcePort !== FIRST_PORT + i,
            ),
      );
      if (mode === 'dsr') expect(lent.length).toBeGreaterThan(0);
    },
    60_000,
  );
}
