// Recognises what makes the node itself a subject of policy: rows of table `subject` for identity 1, the policy rows they point at, and whom
// those name. By key bytes, whatever the artifacts are called. Pure; called by the host guard's planning.
import { type Held, type HeldArtifact, isLocal } from '../apply/held.ts';
import { eachKey, type KeyText } from '../apply/key-index.ts';
import type { ArtifactContent } from '../store/artifact-file.ts';

const subjectKeySize = 8;
const handleSize = 8;
/** Identity 1, any layer. */
const hostKeyStart = '\u0001\0\0\0';

const layers: readonly string[] = Array.from({ length: 8 }, (_, n) => String.fromCharCode(n));

const isHostKey = (key: KeyText): boolean => key.length === subjectKeySize && key.startsWith(hostKeyStart);

export function isHostSubject(c: ArtifactContent): boolean {
  if (c.table !== 'subject' || c.keys.length === 0) return false;
  let found = false;
  eachKey(c.keys, subjectKeySize, (key) => {
    found ||= isHostKey(key);
  });
  return found;
}

/** Handles of the host's rows, as the first bytes of policy keys. */
export function handlesOf(c: ArtifactContent): Set<KeyText> {
  const handles = new Set<KeyText>();
  const rows = c.keys.length / subjectKeySize;
  const size = c.values.length / rows;
  eachKey(c.keys, subjectKeySize, (key, row) => {
    if (isHostKey(key)) handles.add(c.values.toString('latin1', row * size, row * size + handleSize));
  });
  return handles;
}

/** Artifacts of the operator that hold the host's subject rows. */
export function hostArtifacts(held: Held): HeldArtifact[] {
  const ids = new Set(layers.flatMap((layer) => held.keys.owners('subject', `${hostKeyStart}${layer}\0\0\0`)));
  return [...ids].map(held.byId).filter((a) => !isLocal(a.name));
}

export interface HostPolicy {
  /** Names of the artifacts with its rows, local ones included. */
  readonly artifacts: ReadonlySet<string>;
  /** Peers its rows name: identities and address classes. */
  readonly peers: ReadonlySet<number>;
}

/** The policy rows under `handles`. */
export function policyUnder(held: Held, handles: ReadonlySet<KeyText>): HostPolicy {
  const artifacts = new Set<string>();
  const peers = new Set<number>();
  if (handles.size === 0) return { artifacts, peers };
  for (const key of held.keys.keys('policy')) {
    if (!handles.has(key.slice(0, handleSize))) continue;
    for (const id of held.keys.owners('policy', key)) artifacts.add(held.byId(id).name);
    const peer = Buffer.from(key.slice(handleSize, handleSize + 4), 'latin1').readUInt32LE();
    if (peer !== 0) peers.add(peer);
  }
  return { artifacts, peers };
}
