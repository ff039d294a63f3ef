// What a change of policies, labels or workloads does: reachability added and removed between classes of ends, exactly, from decision
// regions of both states. Called by `axoneme policy plan`.
import { createPrefixTable, type IpAddr, type IpFamily, protocolNumbers } from '@axoneme/model';
import { createReach, intersect, isNothing, nothing, type Reach, reachOf, subtract } from './reach.ts';
import { openRegion, portMax, type Region } from './regions.ts';
import { compileSide, createNumbering, type Occupancy, type PlanState, type Side, subjectText } from './side.ts';
import { areCompared, classesOfUnits, type UnitClass, type UnitView, unitsOf, type Views } from './units.ts';

export type Families = 'both' | IpFamily;

/** Ends of `from` × ends of `to`: every pair changes in the same way. */
export interface ReachChange {
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** `both` where the ends have both and both change alike. */
  readonly families: Families;
  readonly added: Reach;
  readonly removed: Reach;
  /** Some end is only in the head: it had no reach before. Only in the base: it has none any more. */
  readonly existence: 'changed' | 'new' | 'gone';
}

export interface Plan {
  readonly changes: readonly ReachChange[];
  /** Workloads only in one state. */
  readonly created: readonly string[];
  readonly deleted: readonly string[];
  /** Workloads whose own rows differ. */
  readonly touched: readonly string[];
  /** Nodes whose own host policy differs. */
  readonly touchedHosts: readonly string[];
  readonly classes: number;
  readonly occupancy: { readonly base: Occupancy; readonly head: Occupancy };
  readonly base: Side;
  readonly head: Side;
  /** Name of the piece of the address space that holds the address. */
  pieceOf(address: IpAddr): string;
  /** Decisions at both ends for one pair of names; undefined if one of them does not exist in that state or family. */
  passage(state: 'base' | 'head', from: string, to: string, family: IpFamily): Passage | undefined;
}

/** What egress of the source and ingress of the destination say; where nothing is enforced everything is open. */
export interface Passage {
  readonly egress: Region;
  readonly ingress: Region;
}

/** What passes between two ends, in both states. */
export interface PairReach {
  readonly before: Reach;
  readonly after: Reach;
}

export function planChange(base: PlanState, head: PlanState): Plan {
  const numbers = createNumbering();
  const before = compileSide(base, numbers);
  const after = compileSide(head, numbers);
  const units = unitsOf(before, after);
  const classes = classesOfUnits(units);
  const byName = new Map(units.map((u) => [u.name, u]));
  const pieces = createPrefixTable<string>();
  for (const u of units) if (u.prefix !== undefined) pieces.set(u.prefix, u.name);
  const pods = classes.filter((c) => c.kind === 'workload');
  const names = (own: readonly UnitClass[]): string[] => own.flatMap((c) => c.names).sort();
  return {
    changes: compareClasses(classes, before, after),
    created: names(pods.filter((c) => c.base === undefined)),
    deleted: names(pods.filter((c) => c.head === undefined)),
    touched: names(pods.filter((c) => c.base !== undefined && c.head !== undefined && !sameSubjects(c))),
    touchedHosts: names(classes.filter((c) => c.kind === 'node' && !sameSubjects(c))).map((n) => n.replace(/^Node /, '')),
    classes: classes.length,
    occupancy: { base: before.occupancy(), head: after.occupancy() },
    base: before,
    head: after,
    pieceOf: (address) => pieces.lookup(address)?.value ?? address,
    passage: (state, from, to, family) =>
      passageIn(state === 'base' ? before : after, byName.get(from)?.[state]?.get(family), byName.get(to)?.[state]?.get(family)),
  };
}

const subjectOf = (v: Views | undefined): UnitView['subject'] => (v === undefined ? undefined : [...v.values()][0]?.subject);
/** By content: both states have their own objects. */
function sameSubjects(c: UnitClass): boolean {
  const [b, h] = [subjectOf(c.base), subjectOf(c.head)];
  return subjectText(b) === subjectText(h);
}

interface RawChange {
  readonly from: UnitClass;
  readonly to: UnitClass;
  readonly families: Families;
  readonly added: Reach;
  readonly removed: Reach;
  readonly existence: ReachChange['existence'];
}

type Delta = Pick<RawChange, 'added' | 'removed'>;

const families = [4, 6] as const;

function compareClasses(classes: readonly UnitClass[], base: Side, head: Side): ReachChange[] {
  const passing = createPassing();
  const raw: RawChange[] = [];
  const stable = new Set(classes.filter(isStable));
  for (const from of classes) {
    for (const to of classes) {
      if (!areCompared(from, to) || (stable.has(from) && stable.has(to))) continue;
      raw.push(...pairChanges(from, to, (family) => pairReach(passing, base, head, from, to, family)));
    }
  }
  return groupChanges(raw);
}

/** Looks and rows are the same in both states. */
function isStable(c: UnitClass): boolean {
  if (c.base === undefined || c.head === undefined || c.base.size !== c.head.size) return false;
  for (const [family, b] of c.base) {
    const h = c.head.get(family);
    if (h === undefined || h.peer !== b.peer || h.cls !== b.cls || subjectText(h.subject) !== subjectText(b.subject)) return false;
  }
  return true;
}

function pairChanges(from: UnitClass, to: UnitClass, reachOfFamily: (family: IpFamily) => PairReach | undefined): RawChange[] {
  const deltas = families.flatMap((family) => {
    const reach = reachOfFamily(family);
    if (reach === undefined) return [];
    // Most pairs are as before.
    if (reach.before.text === reach.after.text) return [{ family, added: nothing, removed: nothing }];
    const strip = (r: Reach): Reach => withoutForeign(r, family);
    return [{ family, added: strip(subtract(reach.after, reach.before)), removed: strip(subtract(reach.before, reach.after)) }];
  });
  const existence =
    from.base === undefined || to.base === undefined ? 'new' : from.head === undefined || to.head === undefined ? 'gone' : 'changed';
  const [first, second] = deltas;
  const rest = (d: (typeof deltas)[number], f: Families): RawChange[] =>
    isNothing(d.added) && isNothing(d.removed) ? [] : [{ from, to, families: f, added: d.added, removed: d.removed, existence }];
  if (first === undefined) return [];
  if (second === undefined) return rest(first, first.family);
  if (sameDelta(first, second)) return rest(first, 'both');
  return [...rest(first, 4), ...rest(second, 6)];
}

/** The two ICMPs belong to one family each; what one says of the other's is nothing to speak of. */
const withoutForeign = (r: Reach, family: IpFamily): Reach => (r.others ? r : subtract(r, icmpOf[family === 4 ? 6 : 4]));
const everyPort = [{ first: 0, last: portMax }];
const icmpOf = {
  4: createReach([[protocolNumbers.ICMP, everyPort]], false),
  6: createReach([[protocolNumbers.ICMPv6, everyPort]], false),
} as const;
const sameDelta = (a: Delta, b: Delta): boolean => a.added.text === b.added.text && a.removed.text === b.removed.text;

interface Passing {
  /** What passes both. */
  both(a: Region, b: Region): Reach;
}

/** Few regions are different, so their intersections are remembered. */
function createPassing(): Passing {
  const reaches = new Map<Region, { readonly n: number; readonly reach: Reach }>();
  const memo = new Map<number, Reach>();
  const byText = new Map<string, { readonly n: number; readonly reach: Reach }>();
  const entry = (r: Region): { readonly n: number; readonly reach: Reach } => {
    const held = reaches.get(r);
    if (held !== undefined) return held;
    const reach = reachOf(r);
    const known = byText.get(reach.text) ?? { n: byText.size, reach };
    byText.set(reach.text, known);
    reaches.set(r, known);
    return known;
  };
  return {
    both(a, b) {
      const [x, y] = [entry(a), entry(b)];
      const key = x.n * 0x400_0000 + y.n;
      let found = memo.get(key);
      if (found === undefined) {
        found = intersect(x.reach, y.reach);
        memo.set(key, found);
      }
      return found;
    },
  };
}

/** Undefined if the two never have an address family in common. */
function pairReach(passing: Passing, base: Side, head: Side, from: UnitClass, to: UnitClass, family: IpFamily): PairReach | undefined {
  const before = passIn(passing, base, from.base?.get(family), to.base?.get(family));
  const after = passIn(passing, head, from.head?.get(family), to.head?.get(family));
  return before === undefined && after === undefined ? undefined : { before: before ?? nothing, after: after ?? nothing };
}

function passIn(passing: Passing, side: Side, from: UnitView | undefined, to: UnitView | undefined): Reach | undefined {
  const passage = passageIn(side, from, to);
  return passage === undefined ? undefined : passing.both(passage.egress, passage.ingress);
}

function passageIn(side: Side, from: UnitView | undefined, to: UnitView | undefined): Passage | undefined {
  if (from === undefined || to === undefined) return undefined;
  return {
    egress: from.subject === undefined ? openRegion : side.regions.of(from.subject, { peer: to.peer, cls: to.cls, direction: 'egress' }),
    ingress: to.subject === undefined ? openRegion : side.regions.of(to.subject, { peer: from.peer, cls: from.cls, direction: 'ingress' }),
  };
}

/** Pairs that change alike are told together: first all sources of one destination, then all destinations of the same sources. */
function groupChanges(raw: readonly RawChange[]): ReachChange[] {
  const deltaText = (c: RawChange): string => `${c.existence}|${c.families}|${c.added.text}|${c.removed.text}`;
  const numbers = new Map<UnitClass, number>();
  const numberOf = (c: UnitClass): number => {
    const n = numbers.get(c) ?? numbers.size;
    numbers.set(c, n);
    return n;
  };
  const byTarget = Map.groupBy(raw, (c) => `${numberOf(c.to)}|${deltaText(c)}`);
  const merged = Map.groupBy(byTarget.values(), (own) => `${deltaText(own[0]!)}|${own.map((c) => numberOf(c.from)).join()}`);
  const namesOf = (own: readonly UnitClass[]): string[] => own.flatMap((c) => c.names).sort();
  const changes = [...merged.values()].map((groups): ReachChange => {
    const [first] = groups[0]!;
    const { families: f, added, removed, existence } = first!;
    return {
      from: namesOf(groups[0]!.map((c) => c.from)),
      to: namesOf(groups.map((g) => g[0]!.to)),
      families: f,
      added,
      removed,
      existence,
    };
  });
  const name = (c: ReachChange): string => `${existenceOrder[c.existence]} ${c.to.join()} ${c.from.join()} ${c.families}`;
  return changes.sort((a, b) => (name(a) < name(b) ? -1 : 1));
}

const existenceOrder = { changed: 0, new: 1, gone: 2 } as const;
