// Policies × Services × nodes → which addresses are announced, and who may. Called by the operator's compiler.

import { type IpAddr, type Labels, matchesSelector } from '@axoneme/model';
import type { L2Policy, L2Service } from './l2-read.ts';

export interface L2Node {
  readonly name: string;
  readonly labels: Labels;
}

export interface L2Want {
  readonly address: IpAddr;
  /** Services that have it, the oldest first. */
  readonly services: readonly string[];
  /** Nodes that may announce it, with regular expressions of the devices they do it on; none: every device. */
  readonly candidates: ReadonlyMap<string, readonly string[]>;
}

export interface L2Input {
  readonly policies: Iterable<L2Policy>;
  readonly services: Iterable<L2Service>;
  readonly nodes: Iterable<L2Node>;
  /** Nodes with a backend that serves; asked for Services of policy Local. */
  readonly backendNodes: (service: string) => ReadonlySet<string>;
  /** Addresses that are somebody's own are announced by nobody else. */
  readonly taken: ReadonlySet<IpAddr>;
}

type Candidates = ReadonlyMap<string, readonly string[]>;

/** Of several policies for a node it may use the devices of each. */
function createCandidates(nodes: readonly L2Node[]): (policies: readonly L2Policy[]) => Candidates {
  const known = new Map<string, Candidates>();
  const make = (policies: readonly L2Policy[]): Candidates => {
    const out = new Map<string, readonly string[]>();
    for (const n of nodes) {
      const mine = policies.filter((p) => matchesSelector(p.nodes, n.labels));
      if (mine.length === 0) continue;
      out.set(n.name, mine.some((p) => p.interfaces.length === 0) ? [] : [...new Set(mine.flatMap((p) => p.interfaces))].sort());
    }
    return out;
  };
  return (policies) => {
    const key = policies.map((p) => p.name).join();
    const found = known.get(key) ?? make(policies);
    known.set(key, found);
    return found;
  };
}

const only = (c: Candidates, nodes: ReadonlySet<string>): Candidates => new Map([...c].filter(([name]) => nodes.has(name)));

/** What several Services have is announced where all of them would have it. */
function meet(a: Candidates, b: Candidates): Candidates {
  if (a === b) return a;
  return new Map(
    [...a].flatMap(([node, mine]) => {
      const theirs = b.get(node);
      if (theirs === undefined) return [];
      return [[node, mine.length === 0 || theirs.length === 0 ? [] : [...new Set([...mine, ...theirs])].sort()] as const];
    }),
  );
}

export function wantedL2(input: L2Input): ReadonlyMap<IpAddr, L2Want> {
  const policies = [...input.policies].filter((p) => p.problems.size === 0).sort((a, b) => (a.name < b.name ? -1 : 1));
  const candidatesOf = createCandidates([...input.nodes]);
  const wants = new Map<IpAddr, L2Want>();
  if (policies.length === 0) return wants;
  const ordered = [...input.services].sort((a, b) => a.createdMs - b.createdMs || (a.key < b.key ? -1 : 1));
  for (const s of ordered) {
    const selecting = policies.filter((p) => matchesSelector(p.services, s.labels));
    const add = (addresses: readonly IpAddr[], by: readonly L2Policy[]): void => {
      if (addresses.length === 0 || by.length === 0) return;
      const all = candidatesOf(by);
      const mine = s.local ? only(all, input.backendNodes(s.key)) : all;
      for (const address of addresses) {
        if (input.taken.has(address)) continue;
        const held = wants.get(address);
        if (held?.services.includes(s.key)) continue;
        const candidates = held === undefined ? mine : meet(held.candidates, mine);
        wants.set(address, { address, services: [...(held?.services ?? []), s.key], candidates });
      }
    };
    add(
      s.loadBalancerIps,
      selecting.filter((p) => p.loadBalancerIps),
    );
    add(
      s.externalIps,
      selecting.filter((p) => p.externalIps),
    );
  }
  return wants;
}
