// What users write and a gate may refuse: policy objects and CIDR groups, in the version of the world, the admitted one and the one in use.
// Called by the policy part; the gatekeeper chooses which version is used.
import type { CidrGroupRow } from '../world/rows.ts';
import type { ParsedRow } from './policies.ts';

export type Version =
  | { readonly kind: 'policy'; readonly row: ParsedRow; readonly createdMs: number }
  | { readonly kind: 'cidrGroup'; readonly row: CidrGroupRow; readonly createdMs: number };

export interface Unit {
  /** Key in the table `policies`, or `CiliumCIDRGroup:name`. */
  readonly key: string;
  /** Undefined: the object is gone. */
  readonly wanted: Version | undefined;
  /** Undefined: it was never admitted. */
  readonly admitted: Version | undefined;
}

export interface Units {
  /** The version of the world. It is used at once. */
  put(key: string, version: Version | undefined): void;
  /** True if another version was used before. */
  use(key: string, which: 'wanted' | 'admitted'): boolean;
  used(key: string): Version | undefined;
  /** Units whose version of the world is not the admitted one. */
  open(): readonly Unit[];
  /** What is used is admitted. */
  admit(): void;
  /** Keys whose version in use changed since the last call. */
  takeChanged(): ReadonlySet<string>;
}

export const GROUP_PREFIX = 'CiliumCIDRGroup:';
export const groupKey = (name: string): string => GROUP_PREFIX + name;

export function createUnits(): Units {
  const wanted = new Map<string, Version>();
  const admitted = new Map<string, Version>();
  const used = new Map<string, Version>();
  const open = new Set<string>();
  let changed = new Set<string>();

  const set = (map: Map<string, Version>, key: string, version: Version | undefined): void => {
    if (version === undefined) map.delete(key);
    else map.set(key, version);
  };
  const use = (key: string, version: Version | undefined): boolean => {
    if (used.get(key) === version) return false;
    set(used, key, version);
    changed.add(key);
    return true;
  };
  return {
    put(key, version) {
      set(wanted, key, version);
      if (admitted.get(key) === version) open.delete(key);
      else open.add(key);
      use(key, version);
    },
    use: (key, which) => use(key, (which === 'wanted' ? wanted : admitted).get(key)),
    used: (key) => used.get(key),
    open: () => [...open].map((key) => ({ key, wanted: wanted.get(key), admitted: admitted.get(key) })),
    admit() {
      for (const key of open) {
        const version = used.get(key);
        set(admitted, key, version);
        if (wanted.get(key) === version) open.delete(key);
      }
    },
    takeChanged() {
      const keys = changed;
      changed = new Set();
      return keys;
    },
  };
}
