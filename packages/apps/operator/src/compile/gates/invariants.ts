// Gate: ReachabilityInvariant objects that ask for refusal must hold. Called by the gatekeeper; its states are the status of all invariants.
import { type IdentityId, ipFamily } from '@axoneme/model';
import {
  type AddressLook,
  checkInvariants,
  type Invariant,
  type PolicyIdentity,
  parseInvariant,
  renderIssue,
  type SubjectSet,
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

type Looks = ReadonlyMap<string, AddressLook>;
const noLooks: Looks = new Map();

/** Classes of the addresses of each identity, by text. */
function classesByIdentity(compiled: Compiled): ReadonlyMap<number, Looks> {
  const out = new Map<number, Map<string, AddressLook>>();
  if (compiled.classRows.length === 0) return out;
  const looks = compiled.looks();
  for (const p of compiled.pods) {
    const own = out.get(p.identity) ?? new Map<string, AddressLook>();
    out.set(p.identity, own);
    for (const ip of p.addresses) {
      const look = { family: ipFamily(ip), cls: looks.classOf(ip) };
      own.set(`${look.family} ${look.cls ?? ''}`, look);
    }
  }
  return out;
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

const pairOf = (v: Violation): string => `${v.from} ${v.to.kind === 'pods' ? v.to.identity : ''}`;

/** Broken pairs of one invariant, kept while other pairs are looked at. */
interface Broken {
  readonly invariant: Invariant;
  readonly pairs: Map<string, Violation>;
}

/** What the pairs of an identity depend on. */
interface Seen {
  readonly set: SubjectSet | undefined;
  readonly classes: string;
}

/** Looks again only at pairs one end of which has other rows or classes than before; at prefixes also when addresses look different. */
function createChecker() {
  let seen = new Map<IdentityId, Seen>();
  let scenery: readonly unknown[] = [];
  const broken = new Map<string, Broken>();

  const touchedOf = (compiled: Compiled, ids: readonly PolicyIdentity[], classes: ReadonlyMap<number, Looks>): ReadonlySet<IdentityId> => {
    const next = new Map<IdentityId, Seen>();
    const touched = new Set<IdentityId>();
    for (const { id } of ids) {
      const now = { set: compiled.subject(id), classes: [...(classes.get(id)?.keys() ?? [])].sort().join() };
      const old = seen.get(id);
      next.set(id, now);
      if (old === undefined || old.set !== now.set || old.classes !== now.classes) touched.add(id);
    }
    for (const id of seen.keys()) if (!next.has(id)) touched.add(id);
    seen = next;
    return touched;
  };
  const forget = (pairs: Map<string, Violation>, touched: ReadonlySet<IdentityId>): void => {
    for (const [key, v] of pairs) if (touched.has(v.from) || (v.to.kind === 'pods' && touched.has(v.to.identity))) pairs.delete(key);
  };
  const isOtherScenery = (compiled: Compiled): boolean => {
    const next = [compiled.classRows, compiled.cidrs.join(), compiled.nodes, compiled.apiServers];
    const other = next.some((part, i) => part !== scenery[i]);
    scenery = next;
    return other;
  };
  return (compiled: Compiled, invariants: readonly Invariant[]): readonly Broken[] => {
    const identities = identitiesOf(compiled);
    const classes = classesByIdentity(compiled);
    const touched = touchedOf(compiled, identities, classes);
    const input = {
      identities,
      subject: (id: IdentityId) => compiled.subject(id),
      classesOf: (id: IdentityId) => [...(classes.get(id) ?? noLooks).values()],
      ...(invariants.some((i) => i.to.kind === 'cidr') ? { prefixes: compiled.looks().prefixes, lookOf: compiled.looks().ofPrefix } : {}),
      listedMax: Number.POSITIVE_INFINITY,
    };
    const names = new Set(invariants.map((i) => i.name));
    for (const name of broken.keys()) if (!names.has(name)) broken.delete(name);
    const other = isOtherScenery(compiled);
    const known = invariants.filter((i) => broken.get(i.name)?.invariant === i && !(other && i.to.kind === 'cidr'));
    const fresh = invariants.filter((i) => !known.includes(i));
    for (const i of known) forget(broken.get(i.name)!.pairs, touched);
    for (const i of fresh) broken.set(i.name, { invariant: i, pairs: new Map() });
    const violations = [
      ...checkInvariants({ ...input, invariants: fresh }).violations,
      ...(touched.size === 0 ? [] : checkInvariants({ ...input, invariants: known, touched }).violations),
    ];
    for (const v of violations) broken.get(v.invariant.name)!.pairs.set(pairOf(v), v);
    return invariants.map((i) => broken.get(i.name)!);
  };
}

export function createInvariantGate(tables: Tables, clusterName: string): InvariantGate {
  const parsed = new WeakMap<object, Parsed>();
  const check = createChecker();
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
  const breachOf = (i: Invariant, state: InvariantState): Breach[] => {
    if (state.broken === 0 || i.action !== 'Refuse') return [];
    const more = state.broken > 1 ? ` (and ${state.broken - 1} more)` : '';
    const message = `breaks ReachabilityInvariant ${i.name} (${i.expect}): ${state.examples[0] ?? ''}${more}`;
    return [{ key: `invariant ${i.name}`, weight: state.broken, refusal: { reason: 'BreaksInvariant', message }, grows: false }];
  };
  const evaluate = (compiled: Compiled): readonly Breach[] => {
    const all = [...tables.invariants].map(([name, raw]) => [name, parse(raw)] as const);
    const next = new Map<string, InvariantState>();
    for (const [name, p] of all) if (!p.ok) next.set(name, { problems: p.problems, broken: 0, examples: [] });
    for (const { invariant, pairs } of check(
      compiled,
      all.flatMap(([, p]) => (p.ok ? [p.value] : [])),
    )) {
      const first = [...pairs.values()].slice(0, EXAMPLES_MAX);
      next.set(invariant.name, { problems: [], broken: pairs.size, examples: first.map((v) => describe(compiled, v)) });
    }
    states = next;
    return all.flatMap(([name, p]) => (p.ok ? breachOf(p.value, next.get(name)!) : []));
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
      const of = [compiled.version, compiled.pods, compiled.nodes, compiled.apiServers, ...tables.invariants.values()];
      if (memo === undefined || memo.of.length !== of.length || memo.of.some((o, i) => o !== of[i]))
        memo = { of, breaches: evaluate(compiled) };
      return memo.breaches;
    },
  };
}
