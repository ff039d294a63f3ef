// What each node must hold, derived from one compile. Called by the loop.
import { type IdentityId, reservedIds } from '@axoneme/model';
import { mentionedPeers, type PolicyRows, policyArtifactName } from '@axoneme/policy';
import type { Digest } from '@axoneme/std';
import type { Tables } from '../world/world.ts';
import { ipcacheArtifactName } from './addresses.ts';
import type { ArtifactStore } from './artifacts.ts';
import { NODE_CONFIG, ROUTES, workloadArtifactName } from './blobs.ts';
import type { Compiled, Compiler } from './compiler.ts';
import { subjectArtifactName } from './policy-artifacts.ts';

export interface DesiredPlanner {
  plan(compiled: Compiled): ReadonlyMap<string, ReadonlyMap<string, Digest>>;
}

/** Identities that have an endpoint on every node. */
const ALWAYS: readonly number[] = [reservedIds.host, reservedIds.init];

export function createDesiredPlanner(tables: Tables, compiler: Compiler): DesiredPlanner {
  const store: ArtifactStore = compiler.artifacts;
  const peersOf = new WeakMap<PolicyRows, readonly IdentityId[]>();
  const mentioned = (rows: PolicyRows): readonly IdentityId[] => {
    let peers = peersOf.get(rows);
    if (peers === undefined) {
      peers = mentionedPeers(rows);
      peersOf.set(rows, peers);
    }
    return peers;
  };

  const everywhere = (compiled: Compiled): string[] => [
    ROUTES,
    'ipcache/nodes',
    'ipcache/cidr',
    ...[...store.names()].filter((n) => n.startsWith('service/') || n.startsWith('backends/')),
    ...[...compiled.shadowed].map(ipcacheArtifactName),
  ];

  const localIdentities = (compiled: Compiled): Map<string, Set<number>> => {
    const out = new Map<string, Set<number>>();
    const add = (node: string, identity: number): void => {
      const set = out.get(node);
      if (set === undefined) out.set(node, new Set([...ALWAYS, identity]));
      else set.add(identity);
    };
    for (const p of compiled.pods) if (p.view.row.node !== '' && p.identity !== 0) add(p.view.row.node, p.identity);
    // an endpoint keeps the policy it was made with until it is gone or renumbered
    for (const e of tables.endpoints.values()) add(e.node, e.identity);
    return out;
  };

  return {
    plan(compiled) {
      const shared = everywhere(compiled);
      const identities = localIdentities(compiled);
      const workloads = new Map<string, string[]>();
      for (const p of compiled.pods) {
        const { node, namespace, name } = p.view.row;
        const list = workloads.get(node);
        if (list === undefined) workloads.set(node, [workloadArtifactName(namespace, name)]);
        else list.push(workloadArtifactName(namespace, name));
      }
      const out = new Map<string, ReadonlyMap<string, Digest>>();
      for (const node of compiled.nodes) {
        const own = compiler.nodeConfig(node.name);
        if (own === undefined) continue;
        const desired = new Map<string, Digest>([[NODE_CONFIG, own.digest]]);
        const want = (name: string): void => {
          const a = store.get(name);
          if (a !== undefined) desired.set(name, a.digest);
        };
        shared.forEach(want);
        for (const id of identities.get(node.name) ?? ALWAYS) {
          want(subjectArtifactName(id));
          const rows = compiled.subject(id)?.rows;
          if (rows === undefined || rows.count === 0) continue;
          want(policyArtifactName(rows.handle));
          for (const peer of mentioned(rows)) want(ipcacheArtifactName(peer));
        }
        (workloads.get(node.name) ?? []).forEach(want);
        out.set(node.name, desired);
      }
      return out;
    },
  };
}
