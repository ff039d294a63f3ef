// Admin answers about policy objects: what is true of each right now. Called by admin.ts; the one place that tells the state of NetworkPolicies.

import type { ListPoliciesRequest, ListPoliciesResponse, PolicyState, WatchPolicyRequest, WatchPolicyResponse } from '@axoneme/proto';
import { type Clock, canonicalJson, type NodeName } from '@axoneme/std';
import type { NodeServer } from '@axoneme/stream';
import type { Linter } from '../status/lints.ts';
import { ackedOf, enforcedOf, type PolicyVerdict, progressOf } from '../status/policy-status.ts';
import { keyOf, type PolicyKind, type PolicyRow, policyRowKey } from '../world/rows.ts';
import type { World } from '../world/world.ts';

export interface PolicyAnswerDeps {
  readonly world: World;
  readonly server: () => NodeServer;
  readonly clock: Clock;
  readonly verdict: (key: string) => PolicyVerdict | undefined;
  readonly linter: Linter;
}

/** A watcher is told of changes this soon. */
const LOOK_MS = 50;

/** Before the first compile that saw the object. */
const unknown: PolicyVerdict = {
  generation: 0,
  mode: 'enforce',
  onNodes: false,
  problems: [],
  unsupported: [],
  warnings: [],
  refused: undefined,
  nodes: [],
  revision: 0,
};

function stateOf(deps: PolicyAnswerDeps, key: string, row: PolicyRow): PolicyState {
  const v = deps.verdict(key) ?? unknown;
  const p = progressOf(v, (node, ofNode) => ackedOf(deps.server().hub.link(node as NodeName), ofNode));
  const current = v.generation === row.generation;
  const { reason, message } = current
    ? enforcedOf(v, p)
    : { reason: 'Compiling', message: 'the operator has not compiled this version yet' };
  return {
    kind: row.kind,
    namespace: row.namespace,
    name: row.name,
    generation: row.generation,
    observedGeneration: v.generation,
    mode: v.mode,
    valid: v.problems.length === 0,
    supported: v.unsupported.length === 0,
    enforcedNodes: p.done,
    nodes: p.nodes,
    revision: v.revision,
    pendingNodes: [...p.pending],
    problems: [...v.problems],
    unsupported: [...v.unsupported],
    warnings: [...v.warnings, ...deps.linter.held(key)],
    refusedReason: v.refused?.reason ?? '',
    refusedMessage: v.refused?.message ?? '',
    reason,
    message,
  };
}

export function listPolicies(deps: PolicyAnswerDeps, q: ListPoliciesRequest): ListPoliciesResponse {
  const wanted = (r: PolicyRow): boolean =>
    (q.kind === '' || r.kind === q.kind) && (q.namespace === '' || r.namespace === q.namespace) && (q.name === '' || r.name === q.name);
  const rows = [...deps.world.tables.policies].filter(([, r]) => wanted(r));
  const text = (s: PolicyState): string => `${s.kind} ${s.namespace} ${s.name}`;
  return { policies: rows.map(([key, row]) => stateOf(deps, key, row)).sort((a, b) => (text(a) < text(b) ? -1 : 1)) };
}

export async function* watchPolicy(
  deps: PolicyAnswerDeps,
  q: WatchPolicyRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchPolicyResponse> {
  const key = policyRowKey(q.kind as PolicyKind, q.namespace === '' ? q.name : keyOf(q.namespace, q.name));
  let told: string | undefined;
  while (!signal.aborted) {
    const row = deps.world.tables.policies.get(key);
    const v = deps.verdict(key);
    if (row !== undefined && v !== undefined) deps.linter.look(key, v);
    const answer: WatchPolicyResponse = { policy: row === undefined ? undefined : stateOf(deps, key, row) };
    const text = canonicalJson(answer);
    if (text !== told) yield answer;
    told = text;
    await deps.clock.sleep(LOOK_MS, signal).catch(() => undefined);
  }
}
