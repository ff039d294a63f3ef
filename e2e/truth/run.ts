// Runs one case: apply, wait for the status that promises enforcement, compare the table, take everything away again.
import { expect } from '@jest/globals';
import { type Fixture, until } from '../fixture.ts';
import { type Cast, gather } from './actors.ts';
import { type Api, connectApi, type KubeObject } from './api.ts';
import { type DropLog, openLog } from './drops.ts';
import { type Case, cnp } from './dsl.ts';
import { createOracle } from './oracle.ts';
import { cellsOf, cellText, matchTable, shorten, type Table } from './table.ts';

const STATUS_MS = 15_000;

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
  readonly observedGeneration?: number;
}

export interface Stage extends Table {
  close(): void;
}

/** The monitor follows from some moment after its start: a first drop tells when. */
async function hearFirst(api: Api, cast: Cast, drops: DropLog): Promise<void> {
  const policy = cnp('hear', { endpointSelector: {}, ingress: [{}] });
  const [from, to] = [cast.find('shop/b'), cast.find('shop/a')];
  await api.apply(policy);
  await until('drops are heard of', 20_000, async () => {
    await from.voice?.ask([{ protocol: 'tcp', address: to.ipv4, port: 80, timeoutMs: 50 }]);
    return drops.mark() > 0 ? true : undefined;
  });
  await api.remove(policy);
}

/** `allFlows`: forwarded packets are reported too. */
export async function openStage(fixture: Fixture, allFlows = false): Promise<Stage> {
  const api: Api = await connectApi(fixture);
  const cast: Cast = await gather(fixture, api);
  const drops: DropLog = await openLog(fixture, !allFlows);
  await hearFirst(api, cast, drops);
  return {
    fixture,
    api,
    cast,
    matches: (e, o = {}) => matchTable(cast, drops, e, o),
    close() {
      drops.close();
      cast.close();
      api.close();
    },
  };
}

const conditionsOf = (o: KubeObject): readonly Condition[] =>
  (o.status as { conditions?: readonly Condition[] } | undefined)?.conditions ?? [];

/** Kinds whose status says whether they are enforced. */
const hasStatus = (o: KubeObject): boolean => /^(cilium\.io|policy\.networking\.k8s\.io)\//.test(o.apiVersion) && o.kind.endsWith('Policy');

/** Resolves when the status speaks of the generation that was written. */
export async function settled(api: Api, o: KubeObject, wanted: Case['conditions'] = {}): Promise<void> {
  const expected = { Enforced: ['True', /./], ...wanted } as NonNullable<Case['conditions']>;
  let last: readonly Condition[] = [];
  const holds = (type: string, [status, message]: readonly ['True' | 'False', RegExp], generation: number): boolean =>
    last.some(
      (c) => c.type === type && c.status === status && message.test(c.message) && (c.observedGeneration ?? generation) === generation,
    );
  await until(
    `${o.kind} ${o.metadata.name} has its conditions`,
    STATUS_MS,
    async () => {
      const now = await api.get(o);
      last = conditionsOf(now);
      return Object.entries(expected).every(([type, e]) => holds(type, e, now.metadata.generation ?? 0)) ? true : undefined;
    },
    20,
  ).catch((e: unknown) => {
    throw new Error(`${String(e)}; conditions: ${JSON.stringify(last, null, 1)}`);
  });
}

/** Two witnesses must agree before packets are asked: the case and the reference evaluator. */
function compareWitnesses(t: Stage, c: Case, objects: readonly KubeObject[]): void {
  const oracle = createOracle(t.cast, objects);
  // the evaluator knows no API server that is not a node of the cluster
  const apart = cellsOf(t.cast, c.match ?? {}).filter((cell) => cell.to.kind !== 'api' && oracle(cell) !== c.expect(cell));
  if (apart.length === 0) return;
  const lines = apart.map((cell) => `${cellText(cell)}: the case expects ${c.expect(cell)}, the reference evaluator ${oracle(cell)}`);
  throw new Error(`${apart.length} cells:\n${shorten(lines)}`);
}

export async function runCase(t: Stage, c: Case): Promise<void> {
  const objects = typeof c.objects === 'function' ? c.objects(t) : c.objects;
  const last = objects.at(-1);
  if (c.refused === undefined) compareWitnesses(t, c, objects);
  try {
    if (c.refused === undefined || last === undefined) {
      await t.api.apply(...objects);
    } else {
      await t.api.apply(...objects.slice(0, -1));
      const answer = await t.api.tryApply(last);
      expect({ code: answer.code, message: answer.message }).toEqual({
        code: expect.any(Number),
        message: expect.stringMatching(c.refused),
      });
      expect(answer.code).toBeGreaterThanOrEqual(400);
    }
    const written = c.refused === undefined ? objects : objects.slice(0, -1);
    for (const o of written) if (hasStatus(o)) await settled(t.api, o, o === last ? c.conditions : {});
    await t.matches(c.expect, c.match);
    for (const s of c.steps ?? []) {
      await s.act(t);
      await t.matches(s.expect, c.match).catch((e: unknown) => {
        throw new Error(`after ${s.what}: ${e instanceof Error ? e.message : String(e)}`);
      });
    }
  } finally {
    await t.api.remove(...[...objects].reverse());
    await c.after?.(t);
  }
}
