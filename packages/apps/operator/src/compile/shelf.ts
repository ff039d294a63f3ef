// One kind of artifacts in the store, replaced as a whole. Called by the compiler.
import type { Artifact, ArtifactStore } from './artifacts.ts';

/** Puts the given artifacts and removes those of the call before that are not among them. */
export function createShelf(store: ArtifactStore): (artifacts: Iterable<Artifact>) => void {
  let held = new Set<string>();
  return (artifacts) => {
    const next = new Set<string>();
    for (const a of artifacts) {
      store.put(a);
      next.add(a.name);
    }
    for (const name of held) if (!next.has(name)) store.remove(name);
    held = next;
  };
}
