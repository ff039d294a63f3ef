// What the parsers of one admin policy and of its rules share.
import type { ObjectContext } from './entry-context.ts';
import { type KubernetesScope, namespaceRequirements, podRequirements } from './kubernetes-selector.ts';
import { checkFields, isPresent, readObject } from './read.ts';
import type { Action, Direction, Tier } from './rules.ts';

/** What differs between the three kinds. */
export interface Dialect {
  readonly allow: 'Allow' | 'Accept';
  readonly actions: readonly string[];
  readonly fields: readonly string[];
  readonly rulesMax: number;
  readonly itemsMax: number;
  readonly portsField: 'ports' | 'protocols';
}

export interface AdminContext extends ObjectContext {
  readonly selectors: KubernetesScope;
  readonly tier: Tier;
  readonly dialect: Dialect;
}

/** One item of ingress or egress. */
export interface AdminRuleContext extends AdminContext {
  readonly path: string;
  readonly direction: Direction;
  readonly action: Action;
}

/** Pods of a set of namespaces; both selectors are required. */
export function podsOf(ctx: AdminContext, path: string, value: unknown): ReturnType<typeof podRequirements> {
  const raw = readObject(ctx.issues, path, value) ?? {};
  checkFields(ctx.issues, path, raw, ['namespaceSelector', 'podSelector']);
  for (const field of ['namespaceSelector', 'podSelector'])
    if (!isPresent(raw[field])) ctx.issues.error(`${path}.${field}`, 'the selector is missing', `write "${field}: {}" to select all`);
  const namespaces = namespaceRequirements(ctx.selectors, `${path}.namespaceSelector`, raw.namespaceSelector);
  const pods = podRequirements(ctx.selectors, `${path}.podSelector`, raw.podSelector);
  return namespaces === undefined || pods === undefined ? undefined : [...namespaces, ...pods];
}
