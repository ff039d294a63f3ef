// Reachability invariants against compiled policy: which of them a state breaks, where and by which rule. Called by the operator's gate and by plan.
import { type Cidr, cidrContains, type IdentityId, type IpFamily, matchesSelector, protocolName } from '@axoneme/model';
import type { Invariant, InvariantPorts } from '../invariant.ts';
import type { SubjectSet } from '../layer-plan.ts';
import type { Decision } from '../lookup.ts';
import type { Direction, RuleId } from '../rules.ts';
import type { PolicyIdentity } from '../subjects.ts';
import { addressPieces } from './address-space.ts';
import { intersect, reachOf } from './reach.ts';
import { createRegions, type Regions } from './region-cache.ts';
import { decisionAt, openRegion, portMax, type Region } from './regions.ts';

/** How an address looks to policy. */
export interface PeerLook {
  readonly peer: IdentityId;
  readonly cls?: IdentityId | undefined;
}

export interface AddressLook {
  readonly family: IpFamily;
  readonly cls: IdentityId | undefined;
}

export interface InvariantInput {
  readonly invariants: readonly Invariant[];
  /** Pod identities; those of other clusters are harmless. */
  readonly identities: Iterable<PolicyIdentity>;
  /** Compiled policy; undefined for what is nobody's subject. */
  subject(id: IdentityId): SubjectSet | undefined;
  /** Address classes the addresses of an identity have, by family; `cls` undefined for addresses without. Absent or empty: no classes. */
  classesOf?(id: IdentityId): readonly AddressLook[];
  /** Prefixes with an identity or a class of their own, and how an address of a prefix looks that is in no longer one. */
  readonly prefixes?: Iterable<Cidr> | undefined;
  lookOf?(cidr: Cidr): PeerLook;
  /** Only pairs with one of these are looked at: subjects whose rows changed, and new identities. Absent: all pairs. */
  readonly touched?: ReadonlySet<IdentityId> | undefined;
  /** Violations that are listed of one invariant; the others are counted. Default 16. */
  readonly listedMax?: number | undefined;
}

export interface Violation {
  readonly invariant: Invariant;
  readonly from: IdentityId;
  readonly to: { readonly kind: 'pods'; readonly identity: IdentityId } | { readonly kind: 'cidr'; readonly cidr: Cidr };
  readonly protocol: number;
  readonly port: number;
  /** Where the rule stands that decides: egress of `from`, ingress of `to`. */
  readonly direction: Direction;
  /** 0 if none decided: nothing isolates. */
  readonly rule: RuleId;
  readonly reason: Decision['reason'];
}

export interface InvariantReport {
  readonly violations: readonly Violation[];
  /** Pairs that break each broken invariant, by name. */
  readonly broken: ReadonlyMap<string, number>;
}

const listedDefault = 16;

/** MustReach: every port passes at both ends, for every pair. MustNotReach: for no pair any port passes at both ends. */
export function checkInvariants(input: InvariantInput): InvariantReport {
  const regions = createRegions();
  const violations: Violation[] = [];
  const broken = new Map<string, number>();
  const identities = [...input.identities];
  for (const invariant of input.invariants) {
    let count = 0;
    for (const v of violationsOf(input, invariant, identities, regions)) {
      if (count < (input.listedMax ?? listedDefault)) violations.push(v);
      count++;
    }
    if (count > 0) broken.set(invariant.name, count);
  }
  return { violations, broken };
}

function* violationsOf(
  input: InvariantInput,
  invariant: Invariant,
  identities: readonly PolicyIdentity[],
  regions: Regions,
): Generator<Violation> {
  const { touched } = input;
  const { to } = invariant;
  const isTouched = (id: IdentityId): boolean => touched === undefined || touched.has(id);
  const sources = identities.filter((i) => matchesSelector(invariant.from, i.labels));
  if (to.kind === 'cidr') {
    const looks = looksIn(input, to.cidr);
    for (const { id } of sources) {
      if (!isTouched(id)) continue;
      const broken = firstOf(looks, ({ cidr, look }) => {
        const found = breach(invariant, egressOf(input, regions, id, look), openRegion);
        return found === undefined ? undefined : { invariant, from: id, to: { kind: 'cidr' as const, cidr }, ...found };
      });
      if (broken !== undefined) yield broken;
    }
    return;
  }
  const targets = identities.filter((i) => matchesSelector(to.selector, i.labels));
  for (const from of sources) {
    for (const target of targets) {
      if (!isTouched(from.id) && !isTouched(target.id)) continue;
      const found = pairBreach(input, invariant, regions, from.id, target.id);
      if (found !== undefined) yield { invariant, from: from.id, to: { kind: 'pods', identity: target.id }, ...found };
    }
  }
}

function firstOf<T, R>(items: Iterable<T>, find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

const noClasses: readonly AddressLook[] = ([4, 6] as const).map((family) => ({ family, cls: undefined }));

/** Every combination of address classes the two may have in one family. */
function pairBreach(input: InvariantInput, invariant: Invariant, regions: Regions, from: IdentityId, to: IdentityId): Breach | undefined {
  const looksOf = (id: IdentityId): readonly AddressLook[] => {
    const found = input.classesOf?.(id) ?? noClasses;
    return found.length === 0 ? noClasses : found;
  };
  const ofSource = looksOf(from);
  const subject = input.subject(to);
  return firstOf(looksOf(to), (target) => {
    const egress = egressOf(input, regions, from, { peer: to, cls: target.cls });
    return firstOf(ofSource, (source) => {
      if (source.family !== target.family) return undefined;
      const ingress = subject === undefined ? openRegion : regions.of(subject, { peer: from, cls: source.cls, direction: 'ingress' });
      return breach(invariant, egress, ingress);
    });
  });
}

function egressOf(input: InvariantInput, regions: Regions, from: IdentityId, look: PeerLook): Region {
  const subject = input.subject(from);
  return subject === undefined ? openRegion : regions.of(subject, { ...look, direction: 'egress' });
}

/** Addresses outside the cluster, cut where they begin to look different. */
function looksIn(input: InvariantInput, cidr: Cidr): { readonly cidr: Cidr; readonly look: PeerLook }[] {
  const { lookOf } = input;
  if (lookOf === undefined) return [];
  const inside = [...(input.prefixes ?? [])].filter((p) => cidrContains(cidr, p));
  return addressPieces([cidr], inside).map((p) => ({ cidr: p.cidr, look: lookOf(p.cidr) }));
}

type Breach = Pick<Violation, 'protocol' | 'port' | 'direction' | 'rule' | 'reason'>;

function breach(invariant: Invariant, egress: Region, ingress: Region): Breach | undefined {
  return firstOf(invariant.ports, (ports) =>
    invariant.expect === 'MustReach'
      ? (closedIn(egress, ports, 'egress') ?? closedIn(ingress, ports, 'ingress'))
      : openIn(egress, ingress, ports),
  );
}

const breachOf = (d: Decision, protocol: number, port: number, direction: Direction): Breach => ({
  protocol,
  port,
  direction,
  rule: d.ruleId,
  reason: d.reason,
});

/** The first closed port. */
function closedIn(region: Region, ports: InvariantPorts, direction: Direction): Breach | undefined {
  const every = ports.protocol === 0;
  const protocols = every ? [...region.protocols.keys()] : [ports.protocol];
  const found = firstOf(protocols, (protocol) =>
    firstOf(region.protocols.get(protocol) ?? [{ first: 0, last: portMax, decision: region.others }], (s) =>
      !s.decision.allowed && s.first <= ports.last && s.last >= ports.first
        ? breachOf(s.decision, protocol, Math.max(s.first, ports.first), direction)
        : undefined,
    ),
  );
  if (found !== undefined || !every || region.others.allowed) return found;
  return breachOf(region.others, 0, 0, direction);
}

/** The first port open at both ends; named is the rule that lets it in, or else out. */
function openIn(egress: Region, ingress: Region, ports: InvariantPorts): Breach | undefined {
  const both = intersect(reachOf(egress), reachOf(ingress));
  const whole = [{ first: 0, last: portMax }];
  const protocols = ports.protocol === 0 ? [...both.protocols.keys(), ...(both.others ? [0] : [])] : [ports.protocol];
  return firstOf(protocols, (protocol) =>
    firstOf(both.protocols.get(protocol) ?? (both.others ? whole : []), (r) => {
      const port = Math.max(r.first, ports.first);
      if (port > Math.min(r.last, ports.last)) return undefined;
      const inward = decisionAt(ingress, protocol, port);
      return inward.ruleId !== 0
        ? breachOf(inward, protocol, port, 'ingress')
        : breachOf(decisionAt(egress, protocol, port), protocol, port, 'egress');
    }),
  );
}

/** For a status or a refusal: `80/TCP is closed at egress`. */
export function violationText(v: Violation): string {
  const traffic = v.protocol === 0 ? 'traffic of other protocols' : `${v.port}/${protocolName(v.protocol)}`;
  const state = v.invariant.expect === 'MustReach' ? `is closed at ${v.direction}` : 'is open';
  return `${traffic} ${state}`;
}
