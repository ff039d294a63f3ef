// What nodes say is wrong with a Service there: components of their heartbeats named `service <namespace>/<name>`. Kept per node as it was told
// last; asked by the Event writer and the admin service.
import type { ComponentHealth } from '@axoneme/proto';

export interface NodeProblems {
  /** True if it differs from what the node said before. */
  note(node: string, health: readonly ComponentHealth[]): boolean;
  forget(node: string): void;
  /** By Service: `node <name>: <problem>`, by name of the node. Another object whenever something changed. */
  byService(): ReadonlyMap<string, readonly string[]>;
}

const PREFIX = 'service ';
const nothing: ReadonlyMap<string, readonly string[]> = new Map();

export function createNodeProblems(): NodeProblems {
  const nodes = new Map<string, { readonly text: string; readonly problems: readonly ComponentHealth[] }>();
  let made: ReadonlyMap<string, readonly string[]> | undefined = nothing;
  const make = (): ReadonlyMap<string, readonly string[]> => {
    const out = new Map<string, string[]>();
    for (const [node, { problems }] of [...nodes].sort(([a], [b]) => (a < b ? -1 : 1)))
      for (const p of problems) {
        const key = p.name.slice(PREFIX.length);
        out.set(key, [...(out.get(key) ?? []), `node ${node}: ${p.reason}`]);
      }
    return out;
  };
  return {
    note(node, health) {
      const problems = health.filter((h) => h.name.startsWith(PREFIX) && h.state !== 'ok');
      const text = JSON.stringify(problems.map((p) => [p.name, p.reason]));
      if (text === (nodes.get(node)?.text ?? '[]')) return false;
      if (problems.length === 0) nodes.delete(node);
      else nodes.set(node, { text, problems });
      made = undefined;
      return true;
    },
    forget(node) {
      if (nodes.delete(node)) made = undefined;
    },
    byService: () => (made ??= make()),
  };
}
