// Address classes: plans them, numbers them, and keeps the artifact `addr_class`. Called by the policy part.
import { ipcacheKeyOf, type Row } from '@axoneme/datapath';
import type { IdentityId } from '@axoneme/model';
import {
  type AddressClass,
  type ClassNode,
  classFirst,
  classLast,
  type PlannedClass,
  planAddressClasses,
  type Rule,
} from '@axoneme/policy';
import { type CidrRow, type NodeAddresses, routerAddress } from './addresses.ts';
import { type Artifact, rowArtifact } from './artifacts.ts';
import { createNumbers, type Moment } from './numbers.ts';

export const ADDR_CLASS = 'addr_class';

export interface ClassChanges {
  readonly classes: readonly AddressClass[];
  readonly removedClasses: readonly IdentityId[];
}

export interface AddressClasses {
  plan(rules: readonly Rule[], nodes: readonly ClassNode[], at: Moment): ClassChanges;
  /** What left long enough ago goes; nothing else changes. */
  settle(at: Moment): ClassChanges;
  /** Rows of the table; the same list while nothing changed. */
  rows(): readonly CidrRow[];
  /** Undefined while nothing mentions an address or a node. */
  artifact(): Artifact | undefined;
  publish(): void;
  waits(): boolean;
}

export const classNodes = (nodes: readonly NodeAddresses[]): ClassNode[] =>
  nodes.map((n) => ({ name: n.name, labels: n.labels, addresses: [...n.addresses, ...n.podCidrs.map(routerAddress)] }));

export function createAddressClasses(): AddressClasses {
  const numbers = createNumbers({ first: classFirst + 1, last: classLast });
  let wanted: ReadonlySet<string> = new Set();
  let artifact: Artifact | undefined;
  let table: readonly CidrRow[] = [];

  const changes = (planned: ReadonlyMap<string, PlannedClass>, at: Moment): ClassChanges => {
    const { added, removed } = numbers.update(wanted, at);
    const classes = added.map((key) => {
      const { block, nodes } = planned.get(key)!;
      return { id: numbers.id(key) as IdentityId, block, nodes };
    });
    return { classes, removedClasses: removed.map((r) => r.id as IdentityId) };
  };

  return {
    plan(rules, nodes, at) {
      const { classes, rows } = planAddressClasses({ rules, nodes });
      wanted = new Set(classes.map((c) => c.key));
      const out = changes(new Map(classes.map((c) => [c.key, c])), at);
      table = rows.flatMap((r): CidrRow[] => {
        const id = numbers.id(r.key);
        return id === undefined ? [] : [{ cidr: r.cidr, id }];
      });
      const pairs = table.map((r): Row<'addr_class'> => [ipcacheKeyOf(r.cidr), { class: r.id }]);
      artifact = pairs.length === 0 ? undefined : rowArtifact(ADDR_CLASS, 'addr_class', pairs);
      return out;
    },
    settle: (at) => changes(new Map(), at),
    rows: () => table,
    artifact: () => artifact,
    publish: numbers.publish,
    waits: numbers.waits,
  };
}
