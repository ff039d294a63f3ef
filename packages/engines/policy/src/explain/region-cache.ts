// Regions, each computed once: subjects with the same rows share them, and so do all peers that no row names. Called by invariants and plan.
import { type IdentityId, reservedIds } from '@axoneme/model';
import { layersOf, type SubjectSet } from '../layer-plan.ts';
import { classFirst, mentionedPeers } from '../rows.ts';
import { type Region, type RegionKey, regionOf } from './regions.ts';

export interface Regions {
  of(subject: SubjectSet, key: RegionKey): Region;
}

interface Entry {
  /** Peers and classes that rows of the layers name. */
  readonly named: ReadonlySet<IdentityId>;
  readonly usesClasses: boolean;
  readonly regions: Map<number, Region>;
}

/** One number for a direction, a peer and a class: plans ask millions of times. Peers are below `classFirst`. */
const keyOf = (direction: RegionKey['direction'], peer: IdentityId, cls: IdentityId | undefined): number =>
  (peer * 2 + (direction === 'ingress' ? 0 : 1)) * classFirst + (cls === undefined ? 0 : cls - classFirst + 1);

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
      const named = new Set(layers.flatMap(([, p]) => mentionedPeers(p.rows)));
      entry = { named, usesClasses: layers.some(([, p]) => p.usesClasses), regions: new Map() };
      bySignature.set(signature, entry);
    }
    bySubject.set(subject, entry);
    return entry;
  };
  return {
    of(subject, key) {
      const { direction } = key;
      const entry = entryOf(subject);
      // The host counts without any row.
      const peer = key.peer === reservedIds.host || entry.named.has(key.peer) ? key.peer : reservedIds.unlisted;
      const cls = entry.usesClasses && key.cls !== undefined && entry.named.has(key.cls) ? key.cls : undefined;
      const number = keyOf(direction, peer, cls);
      let region = entry.regions.get(number);
      if (region === undefined) {
        region = regionOf(subject, { direction, peer, cls });
        entry.regions.set(number, region);
      }
      return region;
    },
  };
}

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
