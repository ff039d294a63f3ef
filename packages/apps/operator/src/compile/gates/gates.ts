// The gates of this operator, and what its components say of them. Called by wiring.ts.
import { describeError, type Health, type Log } from '@axoneme/std';
import type { OperatorConfig } from '../../config.ts';
import type { Tables } from '../../world/world.ts';
import type { Compiler } from '../compiler.ts';
import type { Dispatcher } from '../dispatch.ts';
import { createCapacityGate } from './capacity.ts';
import { createGatekeeper, type Decision, type Gatekeeper } from './gatekeeper.ts';
import { createHostSafetyGate } from './host-safety.ts';
import { createInvariantGate, type InvariantState } from './invariants.ts';

export interface Gates {
  readonly gatekeeper: Gatekeeper;
  /** By name of the object, as of the last decision. */
  invariants(): ReadonlyMap<string, InvariantState>;
  /** Components of the operator. */
  readonly components: readonly { readonly name: string; health(): Health }[];
}

export interface GatesDeps {
  readonly compiler: Compiler;
  readonly dispatcher: Pick<Dispatcher, 'stage' | 'counts'>;
  readonly tables: Tables;
  /** Rows of a node's map as its agent says. */
  readonly reported: (node: string, table: string) => number | undefined;
  readonly decision: () => Decision | undefined;
  readonly log: Log;
}

const NAMED_MAX = 3;
const ok: Health = { state: 'ok' };

function degraded(reasons: readonly string[]): Health {
  if (reasons.length === 0) return ok;
  const more = reasons.length > NAMED_MAX ? ` and ${reasons.length - NAMED_MAX} more` : '';
  return { state: 'degraded', reason: `${reasons.slice(0, NAMED_MAX).join('; ')}${more}` };
}

export function createGates(d: GatesDeps, config: OperatorConfig): Gates {
  const capacity = createCapacityGate({ counts: d.dispatcher.counts, reported: d.reported, configured: config.mapSizes });
  const hosts = createHostSafetyGate({ tables: d.tables, config });
  const invariants = createInvariantGate(d.tables, config.clusterName);
  /** Gates that could not answer when asked last. */
  const failed = new Map<string, string>();
  const onAnswer = (gate: string, error: unknown): void => {
    if (error === undefined) {
      failed.delete(gate);
      return;
    }
    if (!failed.has(gate)) d.log.error('a gate failed, changes go through without it', { gate, error });
    failed.set(gate, describeError(error));
  };
  const gatekeeper = createGatekeeper({
    compiler: d.compiler,
    stage: d.dispatcher.stage,
    gates: [capacity, hosts, invariants],
    onAnswer,
  });
  const breaches = () => d.decision()?.breaches ?? [];
  /** Refusals that no object's status can tell: of deleted objects and of CIDR groups. */
  const silent = (): string[] =>
    d.compiler.units.open().flatMap((u) => {
      const refusal = gatekeeper.refusals().get(u.key);
      if (refusal === undefined) return [];
      if (u.wanted === undefined) return [`${u.key} is deleted and stays in force: without it, ${refusal.message}`];
      return u.wanted.kind === 'cidrGroup' ? [`the change of ${u.key} is refused: ${refusal.message}`] : [];
    });
  return {
    gatekeeper,
    invariants: invariants.states,
    components: [
      {
        name: 'capacity',
        health: () =>
          degraded(breaches().flatMap((b) => (b.node === undefined ? [] : [`${b.refusal.message}; the node keeps its last commit`]))),
      },
      {
        name: 'gates',
        health: () =>
          degraded([
            ...breaches().flatMap((b) => (b.node === undefined ? [b.refusal.message] : [])),
            ...silent(),
            ...[...failed].map(([gate, why]) => `gate ${gate} failed: ${why}`),
          ]),
      },
    ],
  };
}
