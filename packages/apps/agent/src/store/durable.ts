// Writes files so that after a crash either the old or the new content is there. Called by the store and the endpoint registry.
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { AppError } from '@axoneme/std';
import { errnoOf } from './errno.ts';

/** Turns a failed write into the error the operator and the user see. `agent/store-full` for ENOSPC, EDQUOT and EFBIG. */
export function storeError(e: unknown, path: string): AppError {
  if (e instanceof AppError) return e;
  const errno = errnoOf(e) || 'unknown';
  const full = errno === 'ENOSPC' || errno === 'EDQUOT' || errno === 'EFBIG';
  return new AppError({
    code: full ? 'agent/store-full' : 'agent/store-failed',
    message: full ? `no space left to write ${path}` : `cannot write ${path}: ${errno}`,
    retry: 'later',
    hint: full ? 'free space on the file system that holds the agent state directory' : 'check the agent state directory',
    cause: e,
    fields: { path, errno },
  });
}

/** Writes `path` in full and flushes it; a partial file is removed again. */
export async function writeFlushed(path: string, data: string | Buffer, mode = 0o600): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'w', mode);
    await handle.writeFile(data);
    await handle.sync();
    await handle.close();
  } catch (e) {
    await handle?.close().catch(() => undefined);
    await unlink(path).catch(() => undefined);
    throw storeError(e, path);
  }
}

/** Makes renames and new names in `dir` durable. */
export async function flushDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces `dir/name` as a whole. */
export async function replaceFile(dir: string, name: string, data: string | Buffer, mode = 0o600): Promise<void> {
  const temp = `${dir}/.${name}.tmp`;
  await writeFlushed(temp, data, mode);
  try {
    await rename(temp, `${dir}/${name}`);
    await flushDirectory(dir);
  } catch (e) {
    await unlink(temp).catch(() => undefined);
    throw storeError(e, `${dir}/${name}`);
  }
}
