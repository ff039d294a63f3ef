// Artifacts of one node alone, under names that other nodes use for their own. Kept by differences: a change costs what it changes.
// Used by services.ts; the dispatcher reads the lists, the stream server the bodies.
import type { ArtifactBody } from '@axoneme/proto';
import type { ArtifactDescriptor } from '@axoneme/span';
import type { Digest } from '@axoneme/std';
import type { Artifact } from './artifacts.ts';

export interface NodeArtifacts {
  /** Undefined: the node has none of this name. */
  set(node: string, name: string, artifact: Artifact | undefined): void;
  /** Forgets what it had. */
  clear(node: string): void;
  /** `text` is equal for equal lists. */
  own(node: string): { readonly text: string; readonly list: readonly ArtifactDescriptor[] };
  body(name: string, digest: Digest): ArtifactBody | undefined;
}

interface Own {
  readonly byName: Map<string, Artifact>;
  readonly version: number;
  list: readonly ArtifactDescriptor[] | undefined;
}

const LEFT_MAX = 20_000;
const nothing = { text: '', list: [] };

export function createNodeArtifacts(): NodeArtifacts {
  const nodes = new Map<string, Own>();
  const bodies = new Map<string, { readonly body: ArtifactBody; nodes: number }>();
  /** Bodies that no node has any more: streams may still be sending them. */
  const left = new Map<string, ArtifactBody>();
  let version = 0;
  const count = (a: Artifact, delta: 1 | -1): void => {
    const at = `${a.name}=${a.digest}`;
    const held = bodies.get(at) ?? { body: a.body, nodes: 0 };
    held.nodes += delta;
    if (held.nodes > 0) bodies.set(at, held);
    else {
      bodies.delete(at);
      left.set(at, a.body);
    }
    for (const k of left.keys()) {
      if (left.size <= LEFT_MAX) break;
      left.delete(k);
    }
  };
  const change = (node: string, byName: Map<string, Artifact>): void => {
    version += 1;
    if (byName.size === 0) nodes.delete(node);
    else nodes.set(node, { byName, version, list: undefined });
  };
  return {
    set(node, name, artifact) {
      const byName = nodes.get(node)?.byName ?? new Map<string, Artifact>();
      const old = byName.get(name);
      if (old?.digest === artifact?.digest) return;
      if (artifact !== undefined) {
        count(artifact, 1);
        byName.set(name, artifact);
      } else byName.delete(name);
      if (old !== undefined) count(old, -1);
      change(node, byName);
    },
    clear(node) {
      for (const a of nodes.get(node)?.byName.values() ?? []) count(a, -1);
      nodes.delete(node);
    },
    own(node) {
      const o = nodes.get(node);
      if (o === undefined) return nothing;
      o.list ??= [...o.byName.values()].map((a) => ({ name: a.name, digest: a.digest, table: a.body.table }));
      return { text: String(o.version), list: o.list };
    },
    body: (name, digest) => bodies.get(`${name}=${digest}`)?.body ?? left.get(`${name}=${digest}`),
  };
}
