// The last complete commit on disk: artifact files named by digest and one index that names them. A new revision is prepared beside the
// old one (all space it needs is taken then) and becomes current by one rename. Called by the sync session; read by apply at start.
import { mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { rename, unlink } from 'node:fs/promises';
import { type Digest, fail, ok, type Result } from '@axoneme/std';
import { type ArtifactContent, decodeArtifact, encodeArtifact } from './artifact-file.ts';
import { flushDirectory, storeError, writeFlushed } from './durable.ts';
import { errnoOf } from './errno.ts';
import { decodeIndex, encodeIndex, type StoreIndex } from './index-file.ts';

export interface LoadedStore {
  /** `empty`: first start. `damaged`: part of what the index names is missing or altered; `index` lists only what is sound. */
  readonly state: 'empty' | 'complete' | 'damaged';
  readonly index: StoreIndex;
  readonly problems: readonly string[];
}

export interface Prepared {
  /** Makes the prepared revision current and drops files nothing refers to. */
  publish(): Promise<void>;
  /** Takes back everything `prepare` wrote. */
  abort(): Promise<void>;
}

export interface Store {
  /** One artifact of the stored commit, straight from disk; also before `load`. */
  peek(name: string): ArtifactContent | undefined;
  /** Reads and verifies everything; call once, before anything else. */
  load(): LoadedStore;
  /** Errors: `agent/store-damaged`. */
  read(digest: Digest): Result<ArtifactContent>;
  /** Rejects with `agent/store-full` or `agent/store-failed`; then nothing has changed. */
  prepare(next: StoreIndex, added: ReadonlyMap<Digest, ArtifactContent>): Promise<Prepared>;
}

const emptyIndex: StoreIndex = { revision: 0, epoch: 0, artifacts: [] };
const writesAtOnce = 8;

function loadIndex(path: string): Result<StoreIndex | undefined> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (e) {
    if (errnoOf(e) === 'ENOENT') return ok(undefined);
    return fail({ code: 'agent/store-damaged', message: 'store index cannot be read', cause: e });
  }
  return decodeIndex(text);
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const errors: unknown[] = [];
  const lane = async (): Promise<void> => {
    while (next < items.length && errors.length === 0) {
      const item = items[next++] as T;
      await work(item).catch((e: unknown) => errors.push(e));
    }
  };
  await Promise.all(Array.from({ length: Math.min(writesAtOnce, items.length) }, lane));
  if (errors.length > 0) throw errors[0];
}

/** Opens (and makes) the store below `stateDir`. */
export function createStore(stateDir: string): Store {
  const dir = `${stateDir}/store`;
  const files = `${dir}/artifacts`;
  const indexPath = `${dir}/index`;
  mkdirSync(files, { recursive: true, mode: 0o700 });
  const onDisk = new Set<Digest>();

  const read = (digest: Digest): Result<ArtifactContent> => {
    try {
      return decodeArtifact(readFileSync(`${files}/${digest}`), digest);
    } catch (e) {
      return fail({ code: 'agent/store-damaged', message: `artifact file ${digest} cannot be read`, retry: 'refresh', cause: e });
    }
  };
  const drop = async (digests: Iterable<Digest>): Promise<void> => {
    for (const d of digests) {
      onDisk.delete(d);
      await unlink(`${files}/${d}`).catch(() => undefined);
    }
  };

  return {
    read,
    peek(name) {
      const index = loadIndex(indexPath);
      const entry = index.ok ? index.value?.artifacts.find((a) => a.name === name) : undefined;
      const content = entry === undefined ? undefined : read(entry.digest);
      return content?.ok ? content.value : undefined;
    },
    load() {
      const index = loadIndex(indexPath);
      const named = index.ok ? (index.value?.artifacts ?? []) : [];
      onDisk.clear();
      for (const a of named) onDisk.add(a.digest);
      // what a crash left half written must not pass for an artifact later
      for (const f of readdirSync(files)) if (!onDisk.has(f as Digest)) unlinkSync(`${files}/${f}`);
      if (!index.ok) return { state: 'damaged', index: emptyIndex, problems: [index.error.message] };
      if (index.value === undefined) return { state: 'empty', index: emptyIndex, problems: [] };
      const problems: string[] = [];
      const sound = index.value.artifacts.filter((a) => {
        const r = read(a.digest);
        if (!r.ok) {
          problems.push(`${a.name}: ${r.error.message}`);
          onDisk.delete(a.digest);
        }
        return r.ok;
      });
      return { state: problems.length === 0 ? 'complete' : 'damaged', index: { ...index.value, artifacts: sound }, problems };
    },
    async prepare(next, added) {
      const fresh = [...added].filter(([d]) => !onDisk.has(d));
      const temp = `${dir}/.index.tmp`;
      const abort = async (): Promise<void> => {
        await drop(fresh.map(([d]) => d));
        await unlink(temp).catch(() => undefined);
      };
      try {
        await inParallel(fresh, ([d, content]) => writeFlushed(`${files}/${d}`, encodeArtifact(content)));
        if (fresh.length > 0) await flushDirectory(files);
        await writeFlushed(temp, encodeIndex(next));
      } catch (e) {
        await abort();
        throw storeError(e, dir);
      }
      const publish = async (): Promise<void> => {
        try {
          await rename(temp, indexPath);
          await flushDirectory(dir);
        } catch (e) {
          throw storeError(e, indexPath);
        }
        for (const [d] of fresh) onDisk.add(d);
        const held = new Set(next.artifacts.map((a) => a.digest));
        await drop([...onDisk].filter((d) => !held.has(d)));
      };
      return { publish, abort };
    },
  };
}
