// Names of artifacts and the order in which they are applied. The one place that spells them for the span.
import { type IdentityId, reservedIds } from '@axoneme/model';
import type { Digest } from '@axoneme/std';
import type { SpanSubject } from './inputs.ts';

export interface ArtifactDescriptor {
  readonly name: string;
  readonly digest: Digest;
  /** Table of its rows, or of its blob. */
  readonly table: string;
}

/** Identities with an endpoint on every node. The host is not among them: each node has its own subject for it. */
export const alwaysLocal: readonly IdentityId[] = [reservedIds.init];

export const subjectArtifact = (id: IdentityId): string => `subject/${id}`;
export const hostSubjectArtifact = (node: string): string => `subject/host/${node}`;
export const ipcacheArtifact = (id: IdentityId): string => `ipcache/${id}`;

/** Only pods' identities have artifacts of their own; prefixes and classes have rows everywhere. */
const podIdentityMax = 0x00ff_ffff;

/** Names a node needs for one local identity. */
export function namesFor(id: IdentityId, subject: SpanSubject | undefined): ReadonlySet<string> {
  const names = new Set([subject?.subject ?? subjectArtifact(id)]);
  for (const policy of subject?.policies ?? []) names.add(policy);
  for (const peer of subject?.peers ?? []) if (peer <= podIdentityMax) names.add(ipcacheArtifact(peer));
  return names;
}

const everywhereNames: ReadonlySet<string> = new Set(['routes', 'ipcache/nodes', 'ipcache/cidr', 'addr_class']);
const everywherePrefixes: readonly string[] = ['service/', 'backends/', 'maglev/'];

/** Artifacts that every node holds. Services join them until a node's clients are known. */
export const isEverywhere = (name: string): boolean => everywhereNames.has(name) || everywherePrefixes.some((p) => name.startsWith(p));

/** Upserts run in this order and removes in reverse: what is pointed at before what points, policy before addresses. */
const tableOrder: readonly string[] = ['lb_slot', 'lb_maglev', 'lb_source', 'lb_frontend', 'policy', 'subject', 'addr_class', 'ipcache'];

/** Blobs come last. */
export function tableRank(table: string): number {
  const rank = tableOrder.indexOf(table);
  return rank < 0 ? tableOrder.length : rank;
}
