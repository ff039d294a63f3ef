// Rules with references → rules with peers, for the policies whose objects or whose references changed. Called by the policy part.
import {
  bindRules,
  type CidrGroup,
  hasReferences,
  type PolicyKey,
  policyKey,
  type ReferencedService,
  type ReferenceKeys,
  type Rule,
  referencesOf,
  usesCidrGroup,
  usesService,
} from '@axoneme/policy';
import type { Dirty, Tables } from '../world/world.ts';
import type { ParsedRow } from './policies.ts';
import { createReferenceFeed, type ReferenceChange } from './references.ts';
import { GROUP_PREFIX, type Units } from './units.ts';

export interface BoundPolicy {
  readonly key: PolicyKey;
  readonly rules: readonly Rule[];
}

export interface BindingChanges {
  readonly policies: readonly BoundPolicy[];
  readonly removed: readonly BoundPolicy[];
}

export interface Bindings {
  update(tables: Tables, dirty: Dirty, changed: ReadonlySet<string>): BindingChanges;
  /** By key of the table `policies`. */
  all(): ReadonlyMap<string, BoundPolicy>;
  /** References of a policy that name nothing, in words. */
  missing(key: string): readonly string[];
}

interface Held {
  readonly row: ParsedRow;
  readonly bound: BoundPolicy;
  readonly keys: ReferenceKeys;
  readonly missing: readonly string[];
}

const noKeys: readonly string[] = [];

export function createBindings(units: Units): Bindings {
  const feed = createReferenceFeed();
  const held = new Map<string, Held>();
  const all = new Map<string, BoundPolicy>();
  /** Policies with references; the others never follow. */
  const referring = new Set<string>();

  const bind = (key: string, row: ParsedRow): Held => {
    const { rules, missing } = bindRules(row.rules, feed.references);
    const keys = referencesOf(row.rules);
    const next = { row, bound: { key: policyKey(row.row), rules }, keys, missing };
    held.set(key, next);
    all.set(key, next.bound);
    if (hasReferences(keys)) referring.add(key);
    else referring.delete(key);
    return next;
  };
  const affected = <T>(changes: readonly ReferenceChange<T>[], uses: (keys: ReferenceKeys, o: T) => boolean): string[] =>
    changes.length === 0
      ? []
      : [...referring].filter((key) => {
          const { keys } = held.get(key)!;
          return changes.some((c) => [c.before, c.after].some((o) => o !== undefined && uses(keys, o)));
        });

  return {
    all: () => all,
    missing: (key) => held.get(key)?.missing ?? noKeys,
    update(tables, dirty, changed) {
      const services = feed.takeServices(tables, dirty);
      const groups: ReferenceChange<CidrGroup>[] = [];
      const again = new Set<string>();
      for (const key of changed) {
        const version = units.used(key);
        if (key.startsWith(GROUP_PREFIX)) {
          const change = feed.putGroup(key.slice(GROUP_PREFIX.length), version?.kind === 'cidrGroup' ? version.row : undefined);
          if (change !== undefined) groups.push(change);
        } else again.add(key);
      }
      for (const key of affected<ReferencedService>(services, usesService)) again.add(key);
      for (const key of affected<CidrGroup>(groups, usesCidrGroup)) again.add(key);
      const policies: BoundPolicy[] = [];
      const removed: BoundPolicy[] = [];
      for (const key of again) {
        const version = units.used(key);
        if (version?.kind === 'policy') policies.push(bind(key, version.row).bound);
        else {
          const old = all.get(key);
          if (old !== undefined) removed.push(old);
          held.delete(key);
          all.delete(key);
          referring.delete(key);
        }
      }
      return { policies, removed };
    },
  };
}
