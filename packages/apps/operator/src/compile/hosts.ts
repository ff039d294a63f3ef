// Nodes as subjects of host policies: a pseudo identity for each, numbered by name. Called by the policy part.
import { createLabels, type IdentityId, type Labels } from '@axoneme/model';
import { type HostSubject, hostFirst } from '@axoneme/policy';
import type { NodeRow } from '../world/rows.ts';
import type { Tables } from '../world/world.ts';
import { createNumbers, type Moment } from './numbers.ts';

const labelMemo = new WeakMap<NodeRow, Labels>();

/** Labels of a node as selectors see them. */
export function nodeLabels(row: NodeRow): Labels {
  let labels = labelMemo.get(row);
  if (labels === undefined) {
    labels = createLabels(Object.entries(row.labels).map(([key, value]) => ({ source: 'k8s', key, value })));
    labelMemo.set(row, labels);
  }
  return labels;
}

export interface Hosts {
  update(tables: Tables, at: Moment): { readonly hosts: readonly HostSubject[]; readonly removedHosts: readonly IdentityId[] };
  id(node: string): IdentityId | undefined;
  /** The node of a pseudo identity. */
  node(id: IdentityId): string | undefined;
}

export function createHosts(): Hosts {
  const numbers = createNumbers({ first: hostFirst + 1, last: hostFirst + 0xff_ffff });
  const nodes = new Map<IdentityId, string>();
  const given = new Map<string, string>();
  return {
    update(tables, at) {
      const { removed } = numbers.update(new Set(tables.nodes.keys()), at);
      for (const { key, id } of removed) {
        nodes.delete(id as IdentityId);
        given.delete(key);
      }
      const hosts: HostSubject[] = [];
      for (const row of tables.nodes.values()) {
        const id = numbers.id(row.name) as IdentityId | undefined;
        const labels = nodeLabels(row);
        if (id === undefined || given.get(row.name) === labels.text) continue;
        given.set(row.name, labels.text);
        nodes.set(id, row.name);
        hosts.push({ id, labels });
      }
      return { hosts, removedHosts: removed.map((r) => r.id as IdentityId) };
    },
    id: (node) => numbers.id(node) as IdentityId | undefined,
    node: (id) => nodes.get(id),
  };
}
