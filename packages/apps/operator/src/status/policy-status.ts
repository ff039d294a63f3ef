// Status of policy objects: Valid, Supported, Enforced n/N at a revision. Pure derivation plus a writer that writes only what changed.
// Called by the leader after compiles and acknowledgements.

import { type Clock, canonicalJson } from '@axoneme/std';
import { isKubeError, type KubeClient } from 'kopf-ts';
import { policyResources } from '../sources/sources.ts';
import type { PolicyRow } from '../world/rows.ts';
import type { World } from '../world/world.ts';

/** What the compiler says of one policy object. */
export interface PolicyVerdict {
  readonly generation: number;
  /** Empty when valid; each names the field and the fix. */
  readonly problems: readonly string[];
  /** Accepted fields that are not compiled yet, with what happens instead. */
  readonly unsupported: readonly string[];
  readonly warnings: readonly string[];
  /** Nodes with an endpoint the policy selects. */
  readonly nodes: readonly string[];
  /** First revision that carries this generation. */
  readonly revision: number;
}

interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
  readonly observedGeneration: number;
}

export interface PolicyStatus {
  readonly conditions: readonly Condition[];
  /** `n/N` nodes. */
  readonly enforced: string;
  readonly revision: number;
  readonly observedGeneration: number;
  /** Some of the nodes that do not enforce it yet. */
  readonly pendingNodes: readonly string[];
}

const PENDING_MAX = 10;
const MESSAGE_MAX = 1024;
const cut = (s: string): string => (s.length <= MESSAGE_MAX ? s : `${s.slice(0, MESSAGE_MAX - 1)}…`);

type Draft = Omit<Condition, 'lastTransitionTime' | 'observedGeneration'>;

function validOf(v: PolicyVerdict): Draft {
  if (v.problems.length > 0) return { type: 'Valid', status: 'False', reason: 'ValidationFailed', message: cut(v.problems.join('; ')) };
  const message = ['Policy validation succeeded', ...v.warnings].join('; ');
  return { type: 'Valid', status: 'True', reason: v.warnings.length > 0 ? 'ValidWithWarnings' : 'Validated', message: cut(message) };
}

function enforcedOf(v: PolicyVerdict, acked: (node: string) => number): { draft: Draft; enforced: string } {
  if (v.problems.length > 0) {
    return {
      draft: { type: 'Enforced', status: 'False', reason: 'Invalid', message: 'the policy is not valid and has no effect' },
      enforced: '0/0',
    };
  }
  const lagging = v.nodes.filter((n) => acked(n) < v.revision);
  const enforced = `${v.nodes.length - lagging.length}/${v.nodes.length}`;
  const head = `${enforced} nodes at revision ${v.revision}`;
  if (lagging.length > 0) {
    const named = lagging.slice(0, 5).join(', ') + (lagging.length > 5 ? ` and ${lagging.length - 5} more` : '');
    return { draft: { type: 'Enforced', status: 'False', reason: 'Pending', message: `${head}; waiting for ${named}` }, enforced };
  }
  const reason = v.nodes.length === 0 ? 'SelectsNothing' : 'EnforcedEverywhere';
  return {
    draft: { type: 'Enforced', status: 'True', reason, message: v.nodes.length === 0 ? `${head}; the policy selects no endpoint` : head },
    enforced,
  };
}

/** Derives the status; times of unchanged conditions are kept from `held`. */
export function policyStatus(v: PolicyVerdict, acked: (node: string) => number, held: PolicyStatus | undefined, now: string): PolicyStatus {
  const { draft, enforced } = enforcedOf(v, acked);
  const supported: Draft =
    v.unsupported.length === 0
      ? { type: 'Supported', status: 'True', reason: 'FullyCompiled', message: 'every field of the policy is enforced' }
      : { type: 'Supported', status: 'False', reason: 'UnsupportedFields', message: cut(v.unsupported.join('; ')) };
  const conditions = [validOf(v), supported, draft].map((d): Condition => {
    const old = held?.conditions?.find((c) => c.type === d.type);
    return { ...d, observedGeneration: v.generation, lastTransitionTime: old?.status === d.status ? old.lastTransitionTime : now };
  });
  const pendingNodes = v.problems.length > 0 ? [] : v.nodes.filter((n) => acked(n) < v.revision).slice(0, PENDING_MAX);
  return { conditions, enforced, revision: v.revision, observedGeneration: v.generation, pendingNodes };
}

export interface PolicyStatusWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly verdict: (key: string) => PolicyVerdict | undefined;
  readonly acked: (node: string) => number;
  readonly assertLeader: () => void;
}

/** Only what a reader of the object would notice: revisions alone are not worth a write. */
const essence = (s: PolicyStatus | undefined): string =>
  canonicalJson({
    e: s?.enforced,
    c: (s?.conditions ?? []).map((c) => [c.type, c.status, c.reason, c.observedGeneration, c.message.replace(/at revision \d+/, '')]),
  });

export function createPolicyStatusWriter(deps: PolicyStatusWriterDeps): () => Promise<void> {
  const write = async (p: PolicyRow, status: PolicyStatus): Promise<void> => {
    deps.assertLeader();
    const ref = p.namespace === '' ? { name: p.name } : { name: p.name, namespace: p.namespace };
    try {
      await deps.client.patchStatus(policyResources[p.kind], ref, status);
    } catch (e) {
      if (!isKubeError(e, 'kube/not-found')) throw e;
    }
  };
  const written = new Map<string, { uid: string; status: PolicyStatus }>();
  const settled = new Map<string, PolicyVerdict>();
  return async () => {
    const now = new Date(deps.clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
    for (const key of written.keys()) {
      if (deps.world.tables.policies.has(key)) continue;
      written.delete(key);
      settled.delete(key);
    }
    for (const [key, p] of deps.world.tables.policies) {
      // it has no status
      if (p.kind === 'NetworkPolicy') continue;
      const v = deps.verdict(key);
      // what was enforced everywhere stays so: acknowledged revisions only grow
      if (v === undefined || v.generation !== p.generation || settled.get(key) === v) continue;
      const mine = written.get(key);
      const held = mine?.uid === p.uid ? mine.status : (p.object.status as PolicyStatus | undefined);
      const status = policyStatus(v, deps.acked, held, now);
      if (essence(status) !== essence(held)) await write(p, status);
      written.set(key, { uid: p.uid, status });
      if (status.pendingNodes.length === 0) settled.set(key, v);
    }
  };
}
