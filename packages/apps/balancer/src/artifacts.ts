// Everything a balancer's node holds: a compiled table as artifacts, named as in a cluster, so that the node writes differences alone. Called by
// the balancer after each compile.
import { type ArtifactContent, contentOf } from '@axoneme/agent';
import { frontendRows, maglevRows, packRows, slotRows, sourceRows } from '@axoneme/datapath';
import {
  type BackendSet,
  backendsArtifactName,
  MAGLEV_CHUNK,
  type MaglevSize,
  type MaglevTables,
  maglevArtifactName,
  type ServiceTable,
  serviceArtifactName,
  sourceArtifactName,
} from '@axoneme/service';

export interface Packer {
  /** Sets and tables that were packed before are the same objects. */
  pack(table: ServiceTable, size: MaglevSize): ReadonlyMap<string, ArtifactContent>;
}

export function createPacker(tables: MaglevTables): Packer {
  let before = new Map<string, ArtifactContent>();
  return {
    pack(table, size) {
      const all = new Map<string, ArtifactContent>();
      // named by content: equal names, equal rows
      const keep = (name: string, make: () => ArtifactContent): void => void all.set(name, before.get(name) ?? make());
      const slots = (s: BackendSet): ArtifactContent => contentOf(packRows('lb_slot', slotRows(s.id, [...s.backends, ...s.draining])));
      for (const s of table.sets.values()) keep(backendsArtifactName(s.id), () => slots(s));
      for (const s of table.tables.values())
        keep(maglevArtifactName(s.id, size), () =>
          contentOf(packRows('lb_maglev', maglevRows(s.id, tables.get(s.backends, size), MAGLEV_CHUNK))),
        );
      before = new Map(all);
      for (const s of table.services.values()) {
        all.set(serviceArtifactName(s.key), contentOf(packRows('lb_frontend', frontendRows(s.frontends))));
        if (s.sources.length > 0) all.set(sourceArtifactName(s.key), contentOf(packRows('lb_source', sourceRows(s.sources))));
      }
      return all;
    },
  };
}
