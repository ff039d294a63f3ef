// What a node needs of an identity that is on it. Shared by both spans.
import { type IdentityId, reservedIds } from '@axoneme/model';
import type { SpanSubject } from './inputs.ts';
import { ipcacheArtifact, subjectArtifact } from './names.ts';

/** Identities with an endpoint on every node. The host is not among them: each node has its own subject for it. */
export const alwaysLocal: readonly IdentityId[] = [reservedIds.init];

/** Only pods' identities have artifacts of their own; prefixes and classes have rows everywhere. */
const podIdentityMax = 0x00ff_ffff;

/** Names a node needs for one local identity. */
export function namesFor(id: IdentityId, subject: SpanSubject | undefined): ReadonlySet<string> {
  const names = new Set([subject?.subject ?? subjectArtifact(id)]);
  for (const policy of subject?.policies ?? []) names.add(policy);
  for (const peer of subject?.peers ?? []) if (peer <= podIdentityMax) names.add(ipcacheArtifact(peer));
  return names;
}
