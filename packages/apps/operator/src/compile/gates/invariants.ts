// Gate: ReachabilityInvariant objects that ask for refusal must hold. Called by the gatekeeper; its report is the status of all invariants.

import { type IdentityId, ipFamily } from '@axoneme/model';
import {
  checkInvariants,
  type Invariant,
  type InvariantReport,
  type PolicyIdentity,
  parseInvariant,
  renderIssue,
  type Violation,
  violationText,
} from '@axoneme/policy';
import type { Tables } from '../../world/world.ts';
import type { Compiled } from '../compiler.ts';
import type { Breach, Gate } from './gate.ts';

export interface InvariantState {
  /** Empty when the object is valid. */
  readonly problems: readonly string[];
  /** Pairs of pods, or pods and addresses, that break it. */
  readonly broken: number;
  /** The first of them, in words. */
  readonly examples: readonly string[];
}

export interface InvariantGate extends Gate {
  /** By name, as of the last check. */
  states(): ReadonlyMap<string, InvariantState>;
}

type Parsed = { readonly ok: true; readonly value: Invariant } | { readonly ok: false; readonly problems: readonly string[] };

const EXAMPLES_MAX = 3;

function identitiesOf(compiled: Compiled): PolicyIdentity[] {
  const out = new Map<number, PolicyIdentity>();
  for (const p of compiled.pods) if (p.identity !== 0) out.set(p.identity, { id: p.identity as IdentityId, labels: p.view.labels });
  return [...out.values()];
}

/** Classes of the addresses of each identity. */
function classesByIdentity(compiled: Compiled): (id: IdentityId) => { family: 4 | 6; cls: IdentityId | undefined }[] {
  const looks = compiled.looks();
  const out = new Map<number, Map<string, { family: 4 | 6; cls: IdentityId | undefined }>>();
  for (const p of compiled.pods) {
    const own = out.get(p.identity) ?? new Map();
    out.set(p.identity, own);
    for (const ip of p.addresses) own.set(`${ipFamily(ip)} ${looks.classOf(ip) ?? ''}`, { family: ipFamily(ip), cls: looks.classOf(ip) });
  }
  return (id) => [...(out.get(id)?.values() ?? [])];
}

function describe(compiled: Compiled, v: Violation): string {
  const podOf = (id: number): string => {
    const pod = compiled.pods.find((p) => p.identity === id);
    return pod === undefined ? `identity ${id}` : `${pod.view.row.namespace}/${pod.view.row.name}`;
  };
  const to = v.to.kind === 'pods' ? podOf(v.to.identity) : v.to.cidr;
  const rule = v.rule === 0 ? '' : ` by ${compiled.describeRule(v.rule) ?? 'an unknown rule'}`;
  return `${podOf(v.from)} → ${to}: ${violationText(v)}${rule}`;
}

export function createInvariantGate(tables: Tables, clusterName: string): InvariantGate {
  const parsed = new WeakMap<object, Parsed>();
  let memo: { readonly of: readonly unknown[]; readonly breaches: readonly Breach[] } | undefined;
  let states: ReadonlyMap<string, InvariantState> = new Map();

  const parse = (raw: Readonly<Record<string, unknown>>): Parsed => {
    const held = parsed.get(raw);
    if (held !== undefined) return held;
    const result = parseInvariant(raw, { clusterName });
    const next: Parsed = result.ok ? { ok: true, value: result.value } : { ok: false, problems: result.error.map(renderIssue) };
    parsed.set(raw, next);
    return next;
  };
  const evaluate = (compiled: Compiled, all: readonly (readonly [string, Parsed])[]): readonly Breach[] => {
    const valid = all.flatMap(([, p]) => (p.ok ? [p.value] : []));
    const looks = compiled.looks();
    const report: InvariantReport = checkInvariants({
      invariants: valid,
      identities: identitiesOf(compiled),
      subject: (id) => compiled.subject(id),
      ...(compiled.classRows.length === 0 ? {} : { classesOf: classesByIdentity(compiled) }),
      prefixes: looks.prefixes,
      lookOf: looks.ofPrefix,
      listedMax: EXAMPLES_MAX,
    });
    const examples = (name: string): string[] =>
      report.violations.filter((v) => v.invariant.name === name).map((v) => describe(compiled, v));
    states = new Map(
      all.map(([name, p]) => [
        name,
        p.ok
          ? { problems: [], broken: report.broken.get(p.value.name) ?? 0, examples: examples(p.value.name) }
          : { problems: p.problems, broken: 0, examples: [] },
      ]),
    );
    return valid.flatMap((i): Breach[] => {
      const weight = report.broken.get(i.name) ?? 0;
      if (weight === 0 || i.action !== 'Refuse') return [];
      const more = weight > 1 ? ` (and ${weight - 1} more)` : '';
      const message = `breaks ReachabilityInvariant ${i.name} (${i.expect}): ${examples(i.name)[0] ?? ''}${more}`;
      return [{ key: `invariant ${i.name}`, weight, refusal: { reason: 'BreaksInvariant', message }, grows: false }];
    });
  };
  return {
    name: 'invariants',
    states: () => states,
    check(compiled) {
      if (tables.invariants.size === 0) {
        states = new Map();
        memo = undefined;
        return [];
      }
      const raws = [...tables.invariants.values()];
      const of = [compiled.version, compiled.pods, compiled.nodes, compiled.apiServers, ...raws];
      if (memo === undefined || memo.of.length !== of.length || memo.of.some((o, i) => o !== of[i]))
        memo = {
          of,
          breaches: evaluate(
            compiled,
            [...tables.invariants].map(([name, raw]) => [name, parse(raw)] as const),
          ),
        };
      return memo.breaches;
    },
  };
}
