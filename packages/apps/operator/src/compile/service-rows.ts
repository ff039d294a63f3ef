// Artifacts of the load balancer's tables from what the service engine compiled. Called by services.ts.
import { frontendRows, maglevRows, slotRows, sourceRows } from '@axoneme/datapath';
import {
  type BackendSet,
  backendsArtifactName,
  type CompiledService,
  MAGLEV_CHUNK,
  type MaglevSize,
  type MaglevTables,
  maglevArtifactName,
  type ServiceContent,
  sourceArtifactName,
} from '@axoneme/service';
import { type Artifact, rowArtifact } from './artifacts.ts';

export const backendsArtifact = (set: BackendSet): Artifact =>
  rowArtifact(backendsArtifactName(set.id), 'lb_slot', slotRows(set.id, [...set.backends, ...set.draining]));

export const frontendsArtifact = (name: string, content: Pick<ServiceContent, 'frontends'>): Artifact =>
  rowArtifact(name, 'lb_frontend', frontendRows(content.frontends));

export const maglevArtifact = (set: BackendSet, size: MaglevSize, tables: MaglevTables): Artifact =>
  rowArtifact(maglevArtifactName(set.id, size), 'lb_maglev', maglevRows(set.id, tables.get(set.backends, size), MAGLEV_CHUNK));

/** Undefined for a Service that admits everybody. */
export function sourceArtifact(service: CompiledService): Artifact | undefined {
  if (service.sources.length === 0) return undefined;
  return rowArtifact(sourceArtifactName(service.key), 'lb_source', sourceRows(service.sources));
}
