// Everything a plan says: reachability, flows, invariants, map rows, nodes. Made once, printed in three forms. Called by `policy plan`.
import { type IdentityId, ipFamily } from '@axoneme/model';
import {
  checkInvariants,
  type Invariant,
  type Occupancy,
  type Plan,
  planChange,
  type Side,
  type Violation,
  violationText,
} from '@axoneme/policy';
import { type FlowReport, flowsAgainst } from './flows.ts';
import { type Model, planState, workloadTitle } from './model.ts';
import type { Workload } from './world.ts';

export interface BrokenInvariant {
  readonly name: string;
  readonly action: Invariant['action'];
  readonly expect: Invariant['expect'];
  /** Pairs that break it. */
  readonly pairs: number;
  /** One of them, in words. */
  readonly example: string;
  /** The base keeps it. */
  readonly isNew: boolean;
}

export interface PlanReport {
  readonly plan: Plan;
  readonly flows: FlowReport | undefined;
  readonly broken: readonly BrokenInvariant[];
  /** Broken in the base, kept in the head. */
  readonly repaired: readonly string[];
  readonly occupancy: { readonly base: Occupancy; readonly head: Occupancy };
  readonly nodes: {
    readonly names: readonly string[] /** Workloads that nobody says where they run. */;
    readonly unplaced: readonly string[];
  };
}

export interface PlanInput {
  readonly model: Model;
  readonly invariants: readonly Invariant[];
}

export function reportPlan(base: PlanInput, head: PlanInput, flowLines: Iterable<string> | undefined): PlanReport {
  const byAddress = [base, head].some((s) =>
    s.model.scene.rules.some((r) => r.entries.some((e) => e.peers.some((p) => p.kind === 'block'))),
  );
  const plan = planChange(planState(base.model, byAddress), planState(head.model, byAddress));
  const before = brokenIn(plan.base, base.invariants);
  const after = brokenIn(plan.head, head.invariants);
  return {
    plan,
    flows: flowLines === undefined ? undefined : flowsAgainst(plan, flowLines),
    broken: [...after.values()].map((b) => ({ ...b, isNew: !before.has(b.name) })),
    repaired: [...before.keys()].filter((name) => !after.has(name)),
    occupancy: plan.occupancy,
    nodes: nodesTouched(plan, [base.model, head.model]),
  };
}

function brokenIn(side: Side, invariants: readonly Invariant[]): Map<string, Omit<BrokenInvariant, 'isNew'>> {
  const byId = Map.groupBy(side.state.pods, (p) => side.identityOf(p.labels));
  const report = checkInvariants({
    invariants,
    identities: [...byId].map(([id, own]) => ({ id, labels: own[0]!.labels })),
    subject: (id) => side.subject(id),
    classesOf: (id) =>
      (byId.get(id) ?? []).flatMap((p) =>
        p.addresses.length === 0
          ? ([4, 6] as const).map((family) => ({ family, cls: side.unknownClass(family) }))
          : p.addresses.map((a) => ({ family: ipFamily(a), cls: side.classOf(a) })),
      ),
    prefixes: side.prefixes,
    lookOf: (cidr) => side.lookOf(cidr),
    listedMax: 1,
  });
  const nameOf = (id: IdentityId): string => byId.get(id)?.[0]?.name ?? `identity ${id}`;
  const example = (v: Violation): string =>
    `${nameOf(v.from)} -> ${v.to.kind === 'pods' ? nameOf(v.to.identity) : v.to.cidr}: ${violationText(v)}`;
  return new Map(
    report.violations.map((v) => {
      const { name, action, expect } = v.invariant;
      return [name, { name, action, expect, pairs: report.broken.get(name) ?? 1, example: example(v) }];
    }),
  );
}

/** Nodes that run a workload whose rows change, come or go, and nodes whose own policy changes. */
function nodesTouched(plan: Plan, models: readonly Model[]): PlanReport['nodes'] {
  const names = new Set<string>(plan.touchedHosts);
  const unplaced = new Set<string>();
  const touched = new Set([...plan.touched, ...plan.created, ...plan.deleted]);
  for (const { world } of models) {
    for (const w of world.workloads) {
      if (!touched.has(workloadTitle(w))) continue;
      const own = w.node !== undefined ? [w.node] : placesOf(w, world.workloads, world.nodes);
      for (const n of own) names.add(n);
      if (own.length === 0) unplaced.add(workloadTitle(w));
    }
  }
  return { names: [...names].sort(), unplaced: [...unplaced].sort() };
}

/** Where pods with the labels of the template run; a DaemonSet runs everywhere. */
function placesOf(w: Workload, all: readonly Workload[], nodes: readonly { readonly name: string }[]): string[] {
  const own = all.filter((p) => p.node !== undefined && p.labels.text === w.labels.text).map((p) => p.node!);
  return own.length === 0 && w.kind === 'DaemonSet' ? nodes.map((n) => n.name) : own;
}
