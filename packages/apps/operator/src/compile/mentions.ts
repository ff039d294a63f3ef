// What all rules in use mention: prefixes that need identities, and the policies whose peers are blocks or nodes. Called by the policy part.
import type { Cidr } from '@axoneme/model';
import { cidrs as cidrsOf, type PolicyKey, type Rule } from '@axoneme/policy';
import type { BindingChanges } from './bindings.ts';

export interface Mentions {
  /** True if prefixes of CIDR peers came or went; true if rules with block or node peers did. */
  update(changes: BindingChanges): { readonly cidrs: boolean; readonly classes: boolean };
  cidrs(): ReadonlySet<Cidr>;
  /** Rules with block or node peers. */
  classRules(): readonly Rule[];
}

interface Mention {
  readonly cidrs: readonly Cidr[];
  readonly classRules: readonly Rule[];
}

const usesClasses = (r: Rule): boolean => r.entries.some((e) => e.peers.some((p) => p.kind === 'block' || p.kind === 'nodes'));
const nothing: Mention = { cidrs: [], classRules: [] };

export function createMentions(): Mentions {
  const held = new Map<PolicyKey, Mention>();
  const uses = new Map<Cidr, number>();
  const wanted = new Set<Cidr>();
  const count = (cidr: Cidr, delta: 1 | -1): void => {
    const n = (uses.get(cidr) ?? 0) + delta;
    if (n > 0) uses.set(cidr, n);
    else uses.delete(cidr);
    if (n > 0) wanted.add(cidr);
    else wanted.delete(cidr);
  };
  return {
    update({ policies, removed }) {
      const changed = { cidrs: false, classes: false };
      const replace = (key: PolicyKey, next: Mention): void => {
        const old = held.get(key) ?? nothing;
        if (old.cidrs.join() !== next.cidrs.join()) changed.cidrs = true;
        if (old.classRules.length + next.classRules.length > 0) changed.classes = true;
        for (const c of next.cidrs) count(c, 1);
        for (const c of old.cidrs) count(c, -1);
        if (next === nothing) held.delete(key);
        else held.set(key, next);
      };
      for (const p of removed) replace(p.key, nothing);
      for (const p of policies) replace(p.key, { cidrs: cidrsOf(p.rules), classRules: p.rules.filter(usesClasses) });
      return changed;
    },
    cidrs: () => wanted,
    classRules: () => [...held.values()].flatMap((m) => m.classRules),
  };
}
