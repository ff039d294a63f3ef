// Artifacts by name: body and digest, replaced only when content changed. Mappers from compiled rows to rows of tables.
// Called by the compiler; the stream server reads bodies through `body`.
import { ipcacheKeyOf, packRows, type Row, type TableName } from '@axoneme/datapath';
import { type Cidr, type IpAddr, ipBytes, ipFamily } from '@axoneme/model';
import { type ArtifactBody, artifactDigest } from '@axoneme/proto';
import type { Digest } from '@axoneme/std';

export interface Artifact {
  readonly name: string;
  readonly digest: Digest;
  readonly body: ArtifactBody;
}

const none = new Uint8Array(0);

export function rowArtifact<N extends TableName>(name: string, table: N, rows: readonly Row<N>[]): Artifact {
  const { keys, values } = packRows(table, rows);
  const body = { table, keys, values, blob: none };
  return { name, digest: artifactDigest(body), body };
}

export function blobArtifact(name: string, table: string, blob: Uint8Array): Artifact {
  const body = { table, keys: none, values: none, blob };
  return { name, digest: artifactDigest(body), body };
}

export interface IpcacheRow {
  readonly cidr: Cidr;
  readonly identity: number;
  readonly tunnel: IpAddr | undefined;
}

const noAddress = new Uint8Array(16);

export function ipcacheArtifact(name: string, rows: readonly IpcacheRow[]): Artifact {
  const pairs = rows.map((r): Row<'ipcache'> => {
    const tunnel =
      r.tunnel === undefined ? { tunnelFamily: 0, tunnel: noAddress } : { tunnelFamily: ipFamily(r.tunnel), tunnel: ipBytes(r.tunnel) };
    return [ipcacheKeyOf(r.cidr), { identity: r.identity, flags: 0, ...tunnel }];
  });
  return rowArtifact(name, 'ipcache', pairs);
}

/** Held artifacts, with a short memory of replaced versions for streams that are still sending them. */
export interface ArtifactStore {
  put(a: Artifact): void;
  remove(name: string): void;
  get(name: string): Artifact | undefined;
  has(name: string): boolean;
  names(): IterableIterator<string>;
  body(name: string, digest: Digest): ArtifactBody | undefined;
  /** What changed since the last call. */
  takeChanges(): { readonly put: readonly Artifact[]; readonly removed: readonly string[] };
}

const REPLACED_MAX = 20_000;

export function createArtifactStore(): ArtifactStore {
  const current = new Map<string, Artifact>();
  const replaced = new Map<string, ArtifactBody>();
  let changed = new Set<string>();
  const retire = (a: Artifact): void => {
    replaced.set(`${a.name}=${a.digest}`, a.body);
    for (const k of replaced.keys()) {
      if (replaced.size <= REPLACED_MAX) break;
      replaced.delete(k);
    }
  };
  return {
    put(a) {
      const held = current.get(a.name);
      if (held?.digest === a.digest) return;
      if (held !== undefined) retire(held);
      current.set(a.name, a);
      changed.add(a.name);
    },
    remove(name) {
      const held = current.get(name);
      if (held !== undefined) retire(held);
      current.delete(name);
      changed.add(name);
    },
    get: (name) => current.get(name),
    has: (name) => current.has(name),
    names: () => current.keys(),
    takeChanges() {
      const names = [...changed];
      changed = new Set();
      return { put: names.flatMap((n) => current.get(n) ?? []), removed: names.filter((n) => !current.has(n)) };
    },
    body(name, digest) {
      const held = current.get(name);
      return held?.digest === digest ? held.body : replaced.get(`${name}=${digest}`);
    },
  };
}
