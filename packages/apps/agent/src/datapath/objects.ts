// eBPF objects by content: what the agent's image has, what the operator names, and which of them this node runs. Called by wiring.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SCHEMA_DIGEST } from '@axoneme/datapath';
import { DatapathSet } from '@axoneme/proto';
import { AppError, fail, ok, type Result } from '@axoneme/std';

export const datapathArtifact = 'node/datapath';
export const objectPrefix = 'object/';
export const objectNames = ['pod', 'netdev', 'overlay', 'host', 'sock', 'xdp'] as const;

/** SHA-256 in hex. */
export type ObjectHash = string;

/** Object name → hash, for every name of `objectNames`. */
export type ObjectSet = ReadonlyMap<string, ObjectHash>;

export interface BuiltinObjects {
  readonly set: ObjectSet;
  bytes(hash: ObjectHash): Buffer | undefined;
}

export const objectHash = (bytes: Uint8Array): ObjectHash => createHash('sha256').update(bytes).digest('hex');
export const concernsObjects = (artifact: string): boolean => artifact === datapathArtifact || artifact.startsWith(objectPrefix);
export const sameSet = (a: ObjectSet, b: ObjectSet): boolean => a.size === b.size && [...a].every(([name, hash]) => b.get(name) === hash);

/** Errors: throws `agent/no-objects`. */
export function readBuiltin(dir: string): BuiltinObjects {
  try {
    const files = objectNames.map((name) => [name, readFileSync(`${dir}/${name}.o`)] as const);
    const byHash = new Map(files.map(([, bytes]) => [objectHash(bytes), bytes]));
    return { set: new Map(files.map(([name, bytes]) => [name, objectHash(bytes)])), bytes: (hash) => byHash.get(hash) };
  } catch (cause) {
    throw new AppError({ code: 'agent/no-objects', message: `no eBPF objects in ${dir}`, hint: 'build them with make -C bpf', cause });
  }
}

export const rejected = (message: string, cause?: unknown): AppError =>
  new AppError({
    code: 'agent/object-rejected',
    message,
    fields: { artifact: datapathArtifact },
    ...(cause === undefined ? {} : { cause }),
  });

/** The set that `blob` (of artifact `node/datapath`) names. Errors: `agent/object-rejected` for what this agent cannot run. */
export function readSet(blob: Uint8Array): Result<ObjectSet> {
  const { objects, schemaDigest } = DatapathSet.decode(blob);
  const { code, message, fields } = rejected(
    `the objects were built for other tables (${schemaDigest}) than this agent's (${SCHEMA_DIGEST})`,
  );
  if (schemaDigest !== SCHEMA_DIGEST) return fail({ code, message, fields });
  const set = new Map<string, ObjectHash>();
  for (const name of objectNames) {
    const hash = Object.hasOwn(objects, name) ? objects[name] : undefined;
    if (hash === undefined) return fail({ code, message: `the set lacks the object ${name}`, fields });
    set.set(name, hash);
  }
  return ok(set);
}
