// Rule ids: u32 hashes of where a rule stands, so that they survive restarts and are equal on every operator.
import { hash32 } from '@axoneme/std';
import { type Direction, type PolicySource, policyKey, type RuleId, type RuleOrigin } from './rules.ts';

export const ruleIdOf = (text: string): RuleId => hash32(text) as RuleId;

/** `kind/namespace/name#list[index]` */
export const entryText = (s: PolicySource, list: string, index: number): string => `${policyKey(s)}#${list}[${index}]`;
/** `kind/namespace/name#list`: the isolation a rule brings, list = direction. */
export const defaultDenyText = (s: PolicySource, prefix: string, direction: Direction): string => `${policyKey(s)}#${prefix}${direction}`;

/** Isolation by the enforcement mode, or of an endpoint whose labels are not known yet. */
export function enforcementOrigin(reason: 'always' | 'init', direction: Direction): RuleOrigin {
  const text = `Config//enforcement-${reason}#${direction}`;
  return { id: ruleIdOf(text), text, kind: 'Config', namespace: '', name: `enforcement-${reason}`, direction, list: 'default-deny' };
}

/** One id for the isolation that several rules bring together; with one rule it is that rule's own. */
export function combineDefaultDeny(origins: readonly RuleOrigin[]): RuleOrigin | undefined {
  const byText = new Map(origins.map((o) => [o.text, o]));
  const sorted = [...byText.values()].sort((a, b) => (a.text < b.text ? -1 : 1));
  const first = sorted[0];
  if (first === undefined || sorted.length === 1) return first;
  const text = sorted.map((o) => o.text).join('+');
  return { ...first, id: ruleIdOf(text), text, also: sorted.slice(1).map((o) => o.text) };
}

export interface RuleIdCollision {
  readonly id: RuleId;
  /** Two or more texts with this id, sorted; the first one is shown. */
  readonly texts: readonly string[];
}

export interface OriginTable {
  readonly origins: ReadonlyMap<RuleId, RuleOrigin>;
  readonly collisions: readonly RuleIdCollision[];
}

/** Does not depend on the order of `all`. */
export function createOriginTable(all: Iterable<RuleOrigin>): OriginTable {
  const byId = new Map<RuleId, Map<string, RuleOrigin>>();
  for (const o of all) {
    const texts = byId.get(o.id);
    if (texts === undefined) byId.set(o.id, new Map([[o.text, o]]));
    else texts.set(o.text, o);
  }
  const origins = new Map<RuleId, RuleOrigin>();
  const collisions: RuleIdCollision[] = [];
  for (const [id, texts] of [...byId].sort((a, b) => a[0] - b[0])) {
    const names = [...texts.keys()].sort();
    origins.set(id, texts.get(names[0]!)!);
    if (names.length > 1) collisions.push({ id, texts: names });
  }
  return { origins, collisions };
}
