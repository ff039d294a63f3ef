// What failed system calls mean. Called wherever the agent touches files.
import { readdirSync } from 'node:fs';

/** Node's errno name of a failed system call (`ENOENT`), or ''. By shape, because errors may come from another realm. */
export function errnoOf(e: unknown): string {
  const code = e !== null && typeof e === 'object' ? (e as { readonly code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : '';
}

/** Names in a directory; none if there is no such directory. */
export function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (e) {
    if (errnoOf(e) === 'ENOENT') return [];
    throw e;
  }
}
