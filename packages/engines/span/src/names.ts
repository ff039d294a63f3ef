// Names of artifacts and the order in which they are applied. The one place that spells them for the span.
import type { IdentityId } from '@axoneme/model';
import type { Digest } from '@axoneme/std';

export interface ArtifactDescriptor {
  readonly name: string;
  readonly digest: Digest;
  /** Table of its rows, or of its blob. */
  readonly table: string;
}

export const subjectArtifact = (id: IdentityId): string => `subject/${id}`;
export const hostSubjectArtifact = (node: string): string => `subject/host/${node}`;
export const ipcacheArtifact = (id: IdentityId): string => `ipcache/${id}`;

const everywhereNames: ReadonlySet<string> = new Set(['routes', 'ipcache/nodes', 'ipcache/cidr', 'addr_class']);
const everywherePrefixes: readonly string[] = ['service/', 'source/', 'health/', 'backends/', 'maglev/'];

/** Artifacts that every node holds. Services join them until a node's clients are known. */
export const isEverywhere = (name: string): boolean => everywhereNames.has(name) || everywherePrefixes.some((p) => name.startsWith(p));

/** Upserts run in this order and removes in reverse: what is pointed at before what points, policy before addresses. */
const tableOrder: readonly string[] = ['lb_slot', 'lb_maglev', 'lb_source', 'lb_frontend', 'policy', 'subject', 'addr_class', 'ipcache'];

/** Blobs come last. */
export function tableRank(table: string): number {
  const rank = tableOrder.indexOf(table);
  return rank < 0 ? tableOrder.length : rank;
}
