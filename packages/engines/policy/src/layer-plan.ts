// Which rules make which layer of a subject. Shared by both compilers.

import type { IdentityId } from '@axoneme/model';
import type { Isolation } from './atoms.ts';
import type { Rule, Tier } from './rules.ts';
import type { PolicyConfig, SubjectPolicy } from './subjects.ts';

/** In the order of their numbers in the kernel's `subject` table. */
export const layerNames = ['normal', 'admin', 'baseline', 'shadow', 'shadowAdmin', 'shadowBaseline'] as const;
export type LayerName = (typeof layerNames)[number];

/** Tier layers exist only where they have rows; the shadow ones only for subjects of a shadow rule, then `shadow` always. */
export interface SubjectLayers {
  readonly normal: SubjectPolicy;
  readonly admin?: SubjectPolicy;
  readonly baseline?: SubjectPolicy;
  readonly shadow?: SubjectPolicy;
  readonly shadowAdmin?: SubjectPolicy;
  readonly shadowBaseline?: SubjectPolicy;
}

export interface SubjectSet {
  readonly identity: IdentityId;
  readonly layers: SubjectLayers;
}

export interface LayerPlan<T> {
  readonly name: LayerName;
  /** Layers of tier normal isolate; the others only add rows. */
  readonly isolates: boolean;
  readonly rules: readonly T[];
}

const enforced: Readonly<Record<Tier, LayerName>> = { normal: 'normal', admin: 'admin', baseline: 'baseline' };
const shadowed: Readonly<Record<Tier, LayerName>> = { normal: 'shadow', admin: 'shadowAdmin', baseline: 'shadowBaseline' };
const tierOrder: readonly Tier[] = ['normal', 'admin', 'baseline'];

/** `selected`: all rules that select the subject, in any order. A shadow layer holds what would be enforced, enforced rules included. */
export function planLayers<T>(
  selected: readonly T[],
  ruleOf: (item: T) => Pick<Rule, 'tier' | 'mode'>,
  mode: PolicyConfig['mode'],
): readonly LayerPlan<T>[] {
  if (mode === 'never') return [{ name: 'normal', isolates: true, rules: [] }];
  const plans = (names: Readonly<Record<Tier, LayerName>>, items: readonly T[]): LayerPlan<T>[] =>
    tierOrder.flatMap((tier) => {
      const rules = items.filter((i) => ruleOf(i).tier === tier);
      return tier === 'normal' || rules.length > 0 ? [{ name: names[tier], isolates: tier === 'normal', rules }] : [];
    });
  const real = selected.filter((i) => ruleOf(i).mode === 'enforce');
  return [...plans(enforced, real), ...(real.length === selected.length ? [] : plans(shadowed, selected))];
}

/** In tiers nothing is isolated, and yet a condition blocks: it is not left to the next tier. */
export const tierConditions: Isolation = { ingress: true, egress: true };

/** True if the layer is to be written. */
export const isPresent = (name: LayerName, policy: SubjectPolicy): boolean =>
  name === 'normal' || name === 'shadow' || policy.rows.count > 0;

/** The layers a subject has, with their names. */
export const layersOf = (s: SubjectSet): readonly (readonly [LayerName, SubjectPolicy])[] =>
  layerNames.flatMap((name) => {
    const policy = s.layers[name];
    return policy === undefined ? [] : [[name, policy] as const];
  });
