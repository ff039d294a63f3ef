// Who wants which artifact, counted, in both directions. Private mutable index of the incremental span.
import type { NodeName } from '@axoneme/std';

export interface Wants {
  /** One more or one less reason for the node to hold the artifact. */
  count(node: NodeName, name: string, delta: 1 | -1): void;
  has(node: NodeName, name: string): boolean;
  /** Nodes with a reason of their own; "everywhere" is kept apart. */
  nodesOf(name: string): ReadonlySet<NodeName>;
  namesOf(node: NodeName): Iterable<string>;
  forget(node: NodeName): void;
}

const nobody: ReadonlySet<NodeName> = new Set();

/** `onChange` hears when the first reason came or the last one went. */
export function createWants(onChange: (node: NodeName, name: string) => void): Wants {
  const reasons = new Map<NodeName, Map<string, number>>();
  const holders = new Map<string, Set<NodeName>>();
  const unhold = (node: NodeName, name: string): void => {
    const nodes = holders.get(name);
    nodes?.delete(node);
    if (nodes?.size === 0) holders.delete(name);
  };
  return {
    count(node, name, delta) {
      const own = reasons.get(node) ?? new Map<string, number>();
      reasons.set(node, own);
      const before = own.get(name) ?? 0;
      const after = before + delta;
      if (after > 0) own.set(name, after);
      else own.delete(name);
      if (before > 0 === after > 0) return;
      if (after > 0) holders.set(name, (holders.get(name) ?? new Set()).add(node));
      else unhold(node, name);
      onChange(node, name);
    },
    has: (node, name) => reasons.get(node)?.has(name) ?? false,
    nodesOf: (name) => holders.get(name) ?? nobody,
    namesOf: (node) => reasons.get(node)?.keys() ?? [],
    forget(node) {
      for (const name of reasons.get(node)?.keys() ?? []) unhold(node, name);
      reasons.delete(node);
    },
  };
}
