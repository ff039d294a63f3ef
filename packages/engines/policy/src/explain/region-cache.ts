// Regions, each computed once: subjects with the same rows share them, and so do all peers that no row names. Called by invariants and plan.
import type { IdentityId } from '@axoneme/model';
import { reservedIds } from '@axoneme/model';
import { layersOf, type SubjectSet } from '../layer-plan.ts';
import { lowerBound, type PolicyRows } from '../rows.ts';
import { type Region, type RegionKey, regionOf } from './regions.ts';

export interface Regions {
  of(subject: SubjectSet, key: RegionKey): Region;
}

interface Entry {
  /** Layers that are asked. */
  readonly rows: readonly PolicyRows[];
  readonly usesClasses: boolean;
  readonly regions: Map<string, Region>;
}

export function createRegions(): Regions {
  const bySubject = new WeakMap<SubjectSet, Entry>();
  const bySignature = new Map<string, Entry>();
  const entryOf = (subject: SubjectSet): Entry => {
    const held = bySubject.get(subject);
    if (held !== undefined) return held;
    const signature = signatureOf(subject);
    let entry = bySignature.get(signature);
    if (entry === undefined) {
      const layers = layersOf(subject).filter(([name]) => !name.startsWith('shadow'));
      entry = { rows: layers.map(([, p]) => p.rows), usesClasses: layers.some(([, p]) => p.usesClasses), regions: new Map() };
      bySignature.set(signature, entry);
    }
    bySubject.set(subject, entry);
    return entry;
  };
  return {
    of(subject, key) {
      const entry = entryOf(subject);
      const isNamed = (id: IdentityId): boolean => entry.rows.some((r) => names(r, id));
      // The host counts without any row.
      const peer = key.peer === reservedIds.host || isNamed(key.peer) ? key.peer : reservedIds.unlisted;
      const cls = entry.usesClasses && key.cls !== undefined && isNamed(key.cls) ? key.cls : undefined;
      const text = `${key.direction} ${peer} ${cls ?? 0}`;
      let region = entry.regions.get(text);
      if (region === undefined) {
        region = regionOf(subject, { direction: key.direction, peer, cls });
        entry.regions.set(text, region);
      }
      return region;
    },
  };
}

const names = (rows: PolicyRows, id: IdentityId): boolean => lowerBound(rows.packed, id) < lowerBound(rows.packed, id + 1);

/** Subjects with equal text decide alike. */
export function signatureOf(subject: SubjectSet): string {
  return layersOf(subject)
    .filter(([name]) => !name.startsWith('shadow'))
    .map(
      ([name, p]) =>
        `${name} ${p.rows.handle} ${p.defaultDeny.ingress} ${p.defaultDeny.egress} ${p.denyRules.join()} ${p.allowLocalhost} ${p.usesClasses}`,
    )
    .join('|');
}
