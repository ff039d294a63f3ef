// Node's errno name of a failed system call (`ENOENT`), or ''. By shape, because errors may come from another realm.
export function errnoOf(e: unknown): string {
  const code = e !== null && typeof e === 'object' ? (e as { readonly code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : '';
}
