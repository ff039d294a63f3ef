// Status of policy objects: Valid, Supported, Enforced n/N at a revision. Pure derivation. Called by the status writer and the admin service.

/** A gate did not let the object's last version through. */
export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** What the compiler says of one policy object. */
export interface PolicyVerdict {
  readonly generation: number;
  readonly mode: 'enforce' | 'shadow';
  /** A host policy: it selects nodes, not pods. */
  readonly onNodes: boolean;
  /** Empty when valid; each names the field and the fix. */
  readonly problems: readonly string[];
  /** Accepted fields that are not compiled yet, with what happens instead. */
  readonly unsupported: readonly string[];
  readonly warnings: readonly string[];
  readonly refused: Refusal | undefined;
  /** Nodes with a subject of the policy. */
  readonly nodes: readonly string[];
  /** First revision that carries this generation. */
  readonly revision: number;
}

export interface Condition {
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
export const cutMessage = (s: string): string => (s.length <= MESSAGE_MAX ? s : `${s.slice(0, MESSAGE_MAX - 1)}…`);

export type Draft = Omit<Condition, 'lastTransitionTime' | 'observedGeneration'>;

/** Times of conditions whose status did not change are kept from `held`. */
export function withTimes(drafts: readonly Draft[], generation: number, held: readonly Condition[] | undefined, now: string): Condition[] {
  return drafts.map((d): Condition => {
    const old = Array.isArray(held) ? held.find((c) => c.type === d.type) : undefined;
    return { ...d, observedGeneration: generation, lastTransitionTime: old?.status === d.status ? old.lastTransitionTime : now };
  });
}

/** Where a policy is, without words. */
export interface Progress {
  readonly done: number;
  readonly nodes: number;
  readonly pending: readonly string[];
}

/** Newest revision a node has; 0 without a link. */
export type Acked = (node: string, ofNode: boolean) => number;

/** `ofNode`: of policies on the node itself. Those it may take back after it said yes; then it has none of them. */
export function ackedOf(
  link: { readonly ackedRevision: number; readonly lastNack: { readonly code: string } | undefined } | undefined,
  ofNode: boolean,
): number {
  return link === undefined || (ofNode && link.lastNack?.code === 'agent/host-policy-reverted') ? 0 : link.ackedRevision;
}

export function progressOf(v: PolicyVerdict, acked: Acked): Progress {
  if (v.problems.length > 0) return { done: 0, nodes: 0, pending: [] };
  if (v.refused !== undefined) return { done: 0, nodes: v.nodes.length, pending: [] };
  const pending = v.nodes.filter((n) => acked(n, v.onNodes) < v.revision);
  return { done: v.nodes.length - pending.length, nodes: v.nodes.length, pending };
}

function validOf(v: PolicyVerdict, lints: readonly string[]): Draft {
  if (v.problems.length > 0)
    return { type: 'Valid', status: 'False', reason: 'ValidationFailed', message: cutMessage(v.problems.join('; ')) };
  const warnings = [...v.warnings, ...lints];
  const message = ['Policy validation succeeded', ...warnings].join('; ');
  return { type: 'Valid', status: 'True', reason: warnings.length > 0 ? 'ValidWithWarnings' : 'Validated', message: cutMessage(message) };
}

const named = (nodes: readonly string[]): string =>
  nodes.slice(0, 5).join(', ') + (nodes.length > 5 ? ` and ${nodes.length - 5} more` : '');

export function enforcedOf(v: PolicyVerdict, p: Progress): Draft {
  const at = (status: Draft['status'], reason: string, message: string): Draft => ({ type: 'Enforced', status, reason, message });
  if (v.problems.length > 0) return at('False', 'Invalid', 'the policy is not valid and has no effect');
  if (v.refused !== undefined) return at('False', v.refused.reason, cutMessage(v.refused.message));
  const count = `${p.done}/${p.nodes} nodes at revision ${v.revision}`;
  const waiting = p.pending.length === 0 ? '' : `; waiting for ${named(p.pending)}`;
  if (v.mode === 'shadow') return at('False', 'Shadow', `recorded, not enforced, on ${count}${waiting}`);
  if (p.pending.length > 0) return at('False', 'Pending', `${count}${waiting}`);
  if (p.nodes > 0) return at('True', 'EnforcedEverywhere', count);
  return at('True', 'SelectsNothing', `${count}; the policy selects no ${v.onNodes ? 'node' : 'endpoint'}`);
}

export function supportedOf(v: PolicyVerdict): Draft {
  if (v.unsupported.length === 0)
    return { type: 'Supported', status: 'True', reason: 'FullyCompiled', message: 'every field of the policy is enforced' };
  return { type: 'Supported', status: 'False', reason: 'UnsupportedFields', message: cutMessage(v.unsupported.join('; ')) };
}

/** Derives the status. `lints` are warnings that depend on the cluster, not on the object. */
export function policyStatus(
  v: PolicyVerdict,
  acked: Acked,
  held: PolicyStatus | undefined,
  now: string,
  lints: readonly string[] = [],
): PolicyStatus {
  const p = progressOf(v, acked);
  const drafts = [validOf(v, lints), supportedOf(v), enforcedOf(v, p)];
  return {
    conditions: withTimes(drafts, v.generation, held?.conditions, now),
    enforced: `${p.done}/${p.nodes}`,
    revision: v.revision,
    observedGeneration: v.generation,
    pendingNodes: p.pending.slice(0, PENDING_MAX),
  };
}
