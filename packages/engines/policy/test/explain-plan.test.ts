// A plan against both states, judged packet by packet.

import { type IpAddr, type IpFamily, ipFamily } from '@axoneme/model';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  connectionAllowed,
  type Plan,
  type PlanState,
  type PolicyConfig,
  planChange,
  type Question,
  type Rule,
  reachAllows,
  reachText,
  type Scene,
  type SceneEnd,
} from '../src/index.ts';
import { labArb, outsideAddresses, probePorts } from './arbitraries.ts';
import { patience, scaled, seed } from './check.ts';
import { block, makeRule, outside, pods, rulesArb, selector, tcp } from './ir.ts';
import { config, type Lab, lab, nodesOf, pod } from './lab.ts';

const stateOf = (rules: readonly Rule[], l: Lab, cfg: PolicyConfig = config): PlanState => ({
  rules,
  pods: l.pods.map((p) => ({ name: p.name, labels: p.labels, namedPorts: p.namedPorts, addresses: p.addresses, node: 'n1' })),
  nodes: nodesOf(l),
  config: cfg,
});

const told = (plan: Plan): string[] =>
  plan.changes.map(
    (c) =>
      `${c.from.join('+')} -> ${c.to.join('+')} v${c.families} +${reachText(c.added)} -${reachText(c.removed)}${c.existence === 'changed' ? '' : ` ${c.existence}`}`,
  );

const onB = (entries: Parameters<typeof makeRule>[0]['entries']): Rule =>
  makeRule({ name: 'b', subject: selector({ matchLabels: { app: 'b' } }), entries, deny: { ingress: true, egress: false } });
const allow = (peer: Rule['entries'][number]['peers'][number], first: number, last = first) =>
  ({ direction: 'ingress', action: 'allow', peers: [peer], ports: [tcp(first, last)] }) as const;

describe('one change', () => {
  test('a port more and a peer less', () => {
    const plan = planChange(
      stateOf(
        [
          onB([
            allow(pods({ matchLabels: { app: 'a' } }), 80),
            allow(pods({ matchLabels: { app: 'c', 'io.kubernetes.pod.namespace': 'blog' } }), 443),
          ]),
        ],
        lab,
      ),
      stateOf([onB([allow(pods({ matchLabels: { app: 'a' } }), 80, 90)])], lab),
    );
    expect(told(plan)).toEqual(['a -> b vboth +TCP 81-90 -nothing', 'c -> b vboth +nothing -TCP 443']);
    expect(plan.touched).toEqual(['b']);
    expect(plan.occupancy.head.policy).toBeGreaterThan(plan.occupancy.base.policy);
  });

  test('nothing changes: nothing is told', () => {
    const rules = [onB([allow(pods({ matchLabels: { app: 'a' } }), 80)])];
    const plan = planChange(stateOf(rules, lab), stateOf([...rules], lab));
    expect([told(plan), plan.touched, plan.created]).toEqual([[], [], []]);
  });

  test('prefixes of both states cut the outside; a label moves a workload', () => {
    const before = [onB([allow(outside('10.0.0.0/8'), 80)])];
    const after = [onB([allow(outside('10.0.0.0/8', '10.9.0.0/16'), 80), allow(block('10.1.2.0/24'), 443)])];
    expect(told(planChange(stateOf(before, lab), stateOf(after, lab)))).toEqual([
      '10.1.2.0/24+c -> b v4 +TCP 443 -nothing',
      '10.9.0.0/16 -> b v4 +nothing -TCP 80',
    ]);
    const labelled = {
      ...lab,
      pods: lab.pods.map((p) => (p.name === 'c' ? pod('c', 'shop', 1003, ['10.1.2.1', 'fd00:2::1'], { labels: { app: 'a' } }) : p)),
    };
    const rules = [onB([allow(pods({ matchLabels: { app: 'a' } }), 80)])];
    expect(told(planChange(stateOf(rules, lab), stateOf(rules, labelled)))).toEqual(['c -> b vboth +TCP 80 -nothing']);
  });

  test('workloads that come and go are told apart', () => {
    const fewer = { ...lab, pods: lab.pods.filter((p) => p.name === 'a' || p.name === 'b') };
    const rules = [onB([allow(pods({ matchLabels: { app: 'a' } }), 80)])];
    const plan = planChange(stateOf(rules, fewer), stateOf(rules, lab));
    expect([plan.created, plan.deleted]).toEqual([['c', 'far'], []]);
    expect(plan.changes.every((c) => c.existence === 'new')).toBe(true);
    expect(told(planChange(stateOf(rules, lab), stateOf(rules, fewer))).every((t) => t.endsWith(' gone'))).toBe(true);
  });
});

/** Port names belong to identities: pods with equal labels share theirs. */
function sharingPorts(l: Lab): Lab {
  const byLabels = Map.groupBy(l.pods, (p) => p.labels.text);
  const withPorts = l.pods.map((p) => ({ ...p, namedPorts: byLabels.get(p.labels.text)!.flatMap((o) => o.namedPorts) }));
  return { pods: withPorts, world: { ...l.world, pods: withPorts } };
}

interface Place {
  readonly end: SceneEnd;
  readonly name: string;
}

/** Everything that can be asked about, seen from pods on n1. */
function places(l: Lab, plan: Plan): { readonly pods: Place[]; readonly nodes: Place[]; readonly outside: Place[] } {
  return {
    pods: l.pods.map((p) => ({
      name: p.name,
      end: { kind: 'pod', name: p.name, labels: p.labels, namedPorts: p.namedPorts, addresses: p.addresses, node: 'n1' },
    })),
    nodes: nodesOf(l).map((node) => {
      const local = node.name === 'n1';
      return { name: local ? 'own Node n1' : `Node ${node.name}`, end: { kind: 'node', name: node.name, node, local } };
    }),
    outside: outsideAddresses
      .filter((a) => !l.pods.some((p) => p.addresses.includes(a)))
      .map((address: IpAddr) => ({ name: plan.pieceOf(address), end: { kind: 'outside', name: address, addresses: [address] } })),
  };
}

/** Pods of other clusters are enforced there, not here. */
function allowed(state: PlanState, q: Question): boolean {
  const isForeign = (e: SceneEnd): boolean => e.kind === 'pod' && !e.labels.text.includes('policy.cluster=main;');
  const scene: Scene = { rules: state.rules, nodes: state.nodes, config: state.config };
  // Only the enforced half counts: without rules nothing is.
  const half = (e: SceneEnd, other: SceneEnd, isSource: boolean): boolean => {
    if (isForeign(e)) return true;
    const open: SceneEnd = other;
    const [from, to] = isSource ? [e, open] : [open, e];
    return connectionAllowed({ ...scene, rules: state.rules }, directionOnly(state.rules, isSource ? 'egress' : 'ingress'), {
      ...q,
      from,
      to,
    });
  };
  return half(q.from, q.to, true) && half(q.to, q.from, false);
}

/** The other direction enforces nothing. */
const directionOnly = (rules: readonly Rule[], d: 'ingress' | 'egress'): Rule[] =>
  rules.map((r) => ({
    ...r,
    entries: r.entries.filter((e) => e.direction === d),
    defaultDeny: { ingress: d === 'ingress' && r.defaultDeny.ingress, egress: d === 'egress' && r.defaultDeny.egress },
  }));

const runs = scaled(150);

test(
  `a plan foretells every packet (seed ${seed}, ${runs} runs)`,
  () => {
    const seen = { added: 0, removed: 0, same: 0 };
    const probeArb = fc.record({
      from: fc.tuple(fc.nat(9), fc.nat(99)),
      to: fc.tuple(fc.nat(9), fc.nat(99)),
      protocol: fc.constantFrom(6, 6, 6, 17, 132, 1, 58),
      port: fc.constantFrom(...probePorts),
      family: fc.constantFrom<IpFamily>(4, 4, 6),
    });
    fc.assert(
      fc.property(
        rulesArb,
        rulesArb,
        labArb.map(sharingPorts),
        labArb.map(sharingPorts),
        fc.boolean(),
        fc.array(probeArb, { minLength: 60, maxLength: 80 }),
        (before, after, l1, l2, sameLab, probes) => {
          const headLab = sameLab ? l1 : { ...l2, world: { ...l2.world, host: l1.world.host, nodes: l1.world.nodes } };
          // Most of a real change is what stays.
          const head = stateOf(
            [...before.slice(1), ...after.slice(0, 2).map((r, i) => ({ ...r, source: { ...r.source, name: `h${i}` } }))],
            headLab,
          );
          const base = stateOf(before, l1);
          const plan = planChange(base, head);
          const [basePlaces, headPlaces] = [places(l1, plan), places(headLab, plan)];
          const pick = (p: ReturnType<typeof places>, [kind, n]: readonly [number, number]): Place | undefined => {
            const of = kind < 5 ? p.pods : kind < 7 ? p.nodes : p.outside;
            return of[n % of.length];
          };
          for (const probe of probes) {
            const [from, to] = [pick(basePlaces, probe.from)!, pick(basePlaces, probe.to)!];
            const [headFrom, headTo] = [pick(headPlaces, probe.from)!, pick(headPlaces, probe.to)!];
            if (!isAsked(from.end, to.end, probe.family)) continue;
            const q = { protocol: probe.protocol, port: probe.port, family: probe.family };
            // Each ICMP belongs to one family.
            if ((q.protocol === 1 && q.family === 6) || (q.protocol === 58 && q.family === 4)) continue;
            const was = allowed(base, { ...q, from: from.end, to: to.end });
            const is = allowed(head, { ...q, from: headFrom.end, to: headTo.end });
            const own = plan.changes.filter(
              (c) => c.from.includes(from.name) && c.to.includes(to.name) && (c.families === 'both' || c.families === q.family),
            );
            const added = own.some((c) => reachAllows(c.added, q.protocol, q.port));
            const removed = own.some((c) => reachAllows(c.removed, q.protocol, q.port));
            if (added !== (is && !was) || removed !== (was && !is))
              expect({ from: from.name, to: to.name, ...q, was, is, told: told(plan) }).toEqual({ added, removed });
            seen[added ? 'added' : removed ? 'removed' : 'same']++;
          }
        },
      ),
      { numRuns: runs, seed },
    );
    expect(Math.min(seen.added, seen.removed)).toBeGreaterThan(runs / 2);
  },
  patience,
);

function isAsked(from: SceneEnd, to: SceneEnd, family: IpFamily): boolean {
  const has = (e: SceneEnd): boolean => (e.kind === 'node' ? e.node.addresses : e.addresses).some((a) => ipFamily(a) === family);
  if (!has(from) || !has(to) || (from.kind === 'outside' && to.kind === 'outside')) return false;
  if (from.kind === 'node' && to.kind === 'node') return !from.local && !to.local && from.node.name !== to.node.name;
  // The own node and the outside: only its own view counts, which is that of any node.
  if (from.kind === 'node' && to.kind === 'outside') return !from.local;
  if (to.kind === 'node' && from.kind === 'outside') return !to.local;
  return from.name !== to.name;
}

/** Of this process: others on the machine do not count. */
const cpuMs = (): number => process.cpuUsage().user / 1000;

test('500 classes of workloads with policies that all change are planned within the limit', () => {
  const limitMs = 10_000;
  const count = 500;
  const many: Lab = {
    ...lab,
    pods: Array.from({ length: count }, (_, i) =>
      pod(`w${i}`, `ns${i % 25}`, 0, [`10.2.${i >> 8}.${i & 255}`], { labels: { app: `w${i}`, tier: `t${i % 7}` } }),
    ),
  };
  const rules = (port: number): Rule[] =>
    Array.from({ length: count }, (_, i) =>
      makeRule({
        name: `p${i}`,
        subject: selector({ matchLabels: { app: `w${i}` } }),
        entries: [
          allow(pods({ matchLabels: { tier: `t${i % 7}` } }), port),
          allow(outside(`203.0.${i % 40}.0/24`), 443),
          { ...allow(pods({ matchLabels: { app: `w${(i + 1) % count}` } }), 1000 + i, 2000 + i), direction: 'egress' },
        ],
        deny: { ingress: true, egress: i % 2 === 0 },
      }),
    );
  const started = cpuMs();
  const plan = planChange(stateOf(rules(80), many), stateOf(rules(81), many));
  const tookMs = cpuMs() - started;
  expect(plan.classes).toBeGreaterThan(count);
  expect(plan.touched).toHaveLength(count);
  expect(plan.changes.length).toBeGreaterThan(0);
  if (process.env.DEBUG_PLAN) console.log(tookMs, plan.changes.length);
  expect(tookMs).toBeLessThan(limitMs);
});
