// Volumes of one pod as directories on the machine, visible in the node below /var/lib/kubelet. ConfigMaps, Secrets and projected
// volumes are swapped in whole (a `..data` link), so that a reader never sees half of an update.
import { chmodSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AppError, digestOf, err, ok, type Result } from '@axoneme/std';
import { nsOf } from '../client/object.ts';
import { configData, decodeSecret, fieldValue, type PodFacts } from './env.ts';
import type { ConfigSource, DownwardItem, ProjectedSource, Volume } from './pod-types.ts';

type Files = Map<string, Buffer>;
export type TokenSource = (
  audience: string | undefined,
  expirationSeconds: number,
) => Promise<{ readonly token: string; readonly expiresAtMs: number }>;

export interface VolumeContext {
  readonly facts: PodFacts;
  readonly token: TokenSource;
  readonly caPem: string;
  /** Receives when the earliest token in the volume must be renewed. */
  readonly onExpiry: (atMs: number) => void;
}

const DEFAULT_TOKEN_S = 3600;

function pick(data: Record<string, Buffer>, source: ConfigSource, what: string): Result<Files> {
  if (source.items === undefined) return ok(new Map(Object.entries(data)));
  const files: Files = new Map();
  for (const i of source.items) {
    const value = data[i.key];
    if (value !== undefined) files.set(i.path, value);
    else if (source.optional !== true)
      return err(
        new AppError({ code: 'sandbox/volume', message: `references non-existent config key: ${i.key} in ${what}`, retry: 'later' }),
      );
  }
  return ok(files);
}

function fromObject(kind: 'configmap' | 'secret', source: ConfigSource, f: PodFacts): Result<Files> {
  const name = source.name ?? source.secretName ?? '';
  const object = kind === 'configmap' ? f.configMap(name) : f.secret(name);
  if (object === undefined) {
    if (source.optional === true) return ok(new Map());
    return err(new AppError({ code: 'sandbox/volume', message: `${kind} "${nsOf(f.pod)}/${name}" not found`, retry: 'later' }));
  }
  return pick(kind === 'configmap' ? configData(object) : decodeSecret(object), source, `${kind} ${name}`);
}

const downward = (items: readonly DownwardItem[] | undefined, f: PodFacts): Files =>
  new Map((items ?? []).map((i) => [i.path, Buffer.from(i.fieldRef === undefined ? '0' : (fieldValue(f, i.fieldRef.fieldPath) ?? ''))]));

async function projectedFiles(sources: readonly ProjectedSource[], c: VolumeContext): Promise<Result<Files>> {
  const all: Files = new Map();
  for (const s of sources) {
    let part: Result<Files> = ok(new Map());
    if (s.configMap !== undefined) part = fromObject('configmap', s.configMap, c.facts);
    else if (s.secret !== undefined) part = fromObject('secret', s.secret, c.facts);
    else if (s.downwardAPI !== undefined) part = ok(downward(s.downwardAPI.items, c.facts));
    else if (s.serviceAccountToken !== undefined) {
      const t = await c.token(s.serviceAccountToken.audience, s.serviceAccountToken.expirationSeconds ?? DEFAULT_TOKEN_S);
      c.onExpiry(t.expiresAtMs);
      part = ok(new Map([[s.serviceAccountToken.path, Buffer.from(t.token)]]));
    }
    if (!part.ok) return part;
    for (const [k, v] of part.value) all.set(k, v);
  }
  return ok(all);
}

/** Files of a volume whose content comes from the API; undefined for the other types. */
export async function volumeFiles(v: Volume, c: VolumeContext): Promise<Result<Files> | undefined> {
  if (v.configMap !== undefined) return fromObject('configmap', v.configMap, c.facts);
  if (v.secret !== undefined) return fromObject('secret', v.secret, c.facts);
  if (v.downwardAPI !== undefined) return ok(downward(v.downwardAPI.items, c.facts));
  if (v.projected !== undefined) return projectedFiles(v.projected.sources ?? [], c);
  return undefined;
}

const versionOf = (files: Files): string =>
  digestOf(...[...files.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([k, v]) => [`${k}\0${v.length}\0`, v])).slice(0, 16);

const currentVersion = (dir: string): string | undefined => {
  try {
    return readlinkSync(join(dir, '..data'));
  } catch {
    return undefined;
  }
};

/** Makes `dir` show exactly `files`; returns false when it already did. */
export function publishFiles(dir: string, files: Files): boolean {
  mkdirSync(dir, { recursive: true });
  const version = `..${versionOf(files)}`;
  const old = currentVersion(dir);
  if (old === version) return false;
  for (const [path, data] of files) {
    const target = join(dir, version, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, data, { mode: 0o644 });
  }
  mkdirSync(join(dir, version), { recursive: true });
  symlinkSync(version, join(dir, '..data.tmp'));
  renameSync(join(dir, '..data.tmp'), join(dir, '..data'));
  const wanted = new Set([...files.keys()].map((p) => p.split('/')[0] ?? p));
  for (const name of readdirSync(dir)) if (!name.startsWith('..') && !wanted.has(name)) rmSync(join(dir, name), { force: true });
  for (const name of wanted) {
    try {
      symlinkSync(join('..data', name), join(dir, name));
    } catch {
      // the link is there already and follows ..data
    }
  }
  if (old !== undefined) rmSync(join(dir, old), { recursive: true, force: true });
  return true;
}

/** A scratch directory anybody in the pod may write. */
export function scratchDir(dir: string): void {
  mkdirSync(dir, { recursive: true });
  chmodSync(dir, 0o777);
}
