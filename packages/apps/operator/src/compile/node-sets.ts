// Backend sets, Maglev tables and source ranges of services that are on some nodes only: artifacts of those nodes, under the names that all nodes
// use for theirs, held as long as one service of the node needs them. Called by services.ts.
import type { ObjectKey } from '@axoneme/model';
import type { CompiledService, ServiceContent } from '@axoneme/service';
import type { Artifact } from './artifacts.ts';
import type { NodeArtifacts } from './node-artifacts.ts';

export interface NodeSets {
  /** What a service needs on a node; undefined: nothing of its own there. */
  set(node: string, key: ObjectKey, needs: readonly Artifact[] | undefined): void;
  /** The node is gone. */
  clear(node: string): void;
}

const nothing: readonly Artifact[] = [];

export function createNodeSets(own: NodeArtifacts): NodeSets {
  const nodes = new Map<string, { readonly needs: Map<ObjectKey, readonly Artifact[]>; readonly users: Map<string, number> }>();
  return {
    set(node, key, needs = nothing) {
      const at = nodes.get(node) ?? { needs: new Map<ObjectKey, readonly Artifact[]>(), users: new Map<string, number>() };
      const before = at.needs.get(key) ?? nothing;
      if (before === needs) return;
      for (const a of needs) {
        own.set(node, a.name, a);
        at.users.set(a.name, (at.users.get(a.name) ?? 0) + 1);
      }
      for (const { name } of before) {
        const left = (at.users.get(name) ?? 0) - 1;
        if (left > 0) at.users.set(name, left);
        else {
          at.users.delete(name);
          own.set(node, name, undefined);
        }
      }
      if (needs.length > 0) nodes.set(node, at);
      if (needs.length > 0) at.needs.set(key, needs);
      else at.needs.delete(key);
      if (at.needs.size === 0) nodes.delete(node);
    },
    clear: (node) => void nodes.delete(node),
  };
}

/** What the rows of a service on a node point at. Contents are immutable and shared by nodes: made once. */
export function createNeeds(make: {
  readonly backends: (set: ServiceContent['sets'][number]) => Artifact;
  readonly maglev: (set: ServiceContent['sets'][number]) => Artifact;
  readonly source: (s: CompiledService) => Artifact | undefined;
}): (s: CompiledService, content: ServiceContent) => readonly Artifact[] {
  const memo = new WeakMap<ServiceContent, readonly Artifact[]>();
  return (s, content) => {
    let needs = memo.get(content);
    if (needs === undefined) {
      const chosen = new Set(content.frontends.flatMap((f) => (f.maglevSize > 0 ? [f.setOut] : [])));
      const source = content.frontends.some((f) => f.sourceRanges) ? make.source(s) : undefined;
      needs = [
        ...content.sets.map(make.backends),
        ...content.sets.filter((set) => chosen.has(set.id)).map(make.maglev),
        ...(source === undefined ? [] : [source]),
      ];
      memo.set(content, needs);
    }
    return needs;
  };
}
