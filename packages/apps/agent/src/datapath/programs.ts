// The programs and maps of this node: loaded once, pinned, and taken up again by a restarted agent. Pins carry the digest of objects and
// sizes in their path, so what is pinned is known without memory. Called by the datapath.
import { rmdirSync } from 'node:fs';
import { type BpfMap, type BpfObject, type BpfProgram, openObject, pinnedMap, pinnedProgram, unpin } from '@axoneme/bpf';
import { AppError, type Digest, digestOf, type Log } from '@axoneme/std';
import { namesIn } from '../store/errno.ts';
import type { ObjectHash, ObjectSet } from './objects.ts';

/** Pinned last: without it the directory is a load that was cut short. */
const complete = 'complete';
/** Maps the agent itself reads or writes. */
const neededMaps = [
  ...['policy', 'subject', 'addr_class', 'ipcache', 'endpoint', 'endpoint_if', 'endpoint_netns', 'generation', 'node_config'],
  ...['lb_frontend', 'lb_slot', 'lb_maglev', 'lb_source', 'lb_affinity', 'lb_sock', 'l2_announce'],
  ...['flow4', 'flow6', 'nat4', 'nat6', 'counters', 'drops', 'events', 'events_lost'],
];

export interface LoadedPrograms {
  readonly digest: Digest;
  readonly set: ObjectSet;
  readonly adopted: boolean;
  readonly maps: ReadonlyMap<string, BpfMap>;
  /** Maps that are new and empty because their size or layout changed. */
  readonly replacedMaps: readonly string[];
  program(name: string): BpfProgram;
  readonly names: readonly string[];
  /** Unpins programs of other digests; call when no link uses them any more. */
  retire(): void;
  /** Closes the descriptors of the programs; what is attached or pinned stays. */
  close(): void;
}

export interface LoadOptions {
  readonly objects: ObjectSet;
  /** Content of an object; asked only for objects that are not pinned. */
  readonly bytes: (hash: ObjectHash) => Uint8Array | undefined;
  /** What to do when a pinned map has another shape: an agent that starts fills new maps, one that runs cannot. */
  readonly onMapMismatch: 'replace' | 'fail';
  /** `<bpffs>/axoneme` */
  readonly root: string;
  readonly mapSizes: Readonly<Record<string, number>>;
  readonly log: Log;
}

function readObjects(o: LoadOptions): Map<string, Uint8Array> {
  return new Map(
    [...o.objects].map(([name, hash]) => {
      const bytes = o.bytes(hash);
      if (bytes === undefined) throw new AppError({ code: 'agent/no-objects', message: `object ${name} (${hash}) is not on this node` });
      return [name, bytes];
    }),
  );
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);

const setDigest = (o: Pick<LoadOptions, 'objects' | 'mapSizes'>): Digest =>
  digestOf(JSON.stringify([[...o.objects].sort(byName), Object.entries(o.mapSizes).sort(byName)]));

/** Whether the programs of these objects are pinned and need not be loaded. */
export function isPinned(o: Pick<LoadOptions, 'objects' | 'mapSizes' | 'root'>): boolean {
  const pinned = new Set(namesIn(`${o.root}/maps`));
  return namesIn(`${o.root}/progs/${setDigest(o)}`).includes(complete) && neededMaps.every((m) => pinned.has(m));
}

/** Opens one object; sizes of maps it does not have are left out. */
function openSized(name: string, bytes: Uint8Array, o: LoadOptions): BpfObject {
  const wanted = { ...o.mapSizes };
  const options = { name, pinRoot: `${o.root}/maps`, maxEntries: wanted, onPinMismatch: o.onMapMismatch };
  for (;;) {
    try {
      return openObject(bytes, options);
    } catch (e) {
      const missing =
        e instanceof AppError && e.code === 'bpf/no-map' ? Object.keys(wanted).find((n) => e.message.endsWith(` ${n}`)) : undefined;
      if (missing === undefined) throw e;
      delete wanted[missing];
    }
  }
}

function removeDirectory(dir: string): void {
  for (const f of namesIn(dir)) unpin(`${dir}/${f}`);
  rmdirSync(dir);
}

function loadAndPin(objects: ReadonlyMap<string, Uint8Array>, dir: string, o: LoadOptions): string[] {
  if (namesIn(dir).length > 0) removeDirectory(dir);
  const opened: BpfObject[] = [];
  const replaced: string[] = [];
  try {
    for (const [name, bytes] of objects) {
      const object = openSized(name, bytes, o);
      opened.push(object);
      replaced.push(...object.replacedPins.map((p) => p.slice(p.lastIndexOf('/') + 1)));
    }
    const programs = opened.flatMap((b) => [...b.programs.values()]);
    for (const p of programs) p.pin(`${dir}/${p.name}`);
    programs[0]?.pin(`${dir}/${complete}`);
  } catch (e) {
    if (namesIn(dir).length > 0) removeDirectory(dir);
    throw e;
  } finally {
    // pins keep everything; closing gives libbpf's memory back
    for (const b of opened) b.close();
  }
  return replaced;
}

function openMaps(dir: string): Map<string, BpfMap> {
  return new Map(
    namesIn(dir).flatMap((n): [string, BpfMap][] => {
      const map = pinnedMap(`${dir}/${n}`);
      return map ? [[n, map]] : [];
    }),
  );
}

export function loadPrograms(o: LoadOptions): LoadedPrograms {
  const digest = setDigest(o);
  const dir = `${o.root}/progs/${digest}`;
  const adopted = isPinned(o);
  const replacedMaps = adopted ? [] : loadAndPin(readObjects(o), dir, o);
  const programs = new Map<string, BpfProgram>();
  for (const name of namesIn(dir)) {
    const p = name === complete ? undefined : pinnedProgram(`${dir}/${name}`);
    if (p) programs.set(name, p);
  }
  // an agent that runs has them open already
  const maps = o.onMapMismatch === 'fail' ? new Map<string, BpfMap>() : openMaps(`${o.root}/maps`);
  o.log.info(adopted ? 'datapath programs taken up' : 'datapath programs loaded', { digest, programs: programs.size, replacedMaps });
  return {
    digest,
    set: o.objects,
    adopted,
    maps,
    replacedMaps,
    names: [...programs.keys()],
    program(name) {
      const p = programs.get(name);
      if (p) return p;
      throw new AppError({ code: 'agent/no-program', message: `the eBPF objects have no program ${name}` });
    },
    retire() {
      for (const other of namesIn(`${o.root}/progs`)) if (other !== digest) removeDirectory(`${o.root}/progs/${other}`);
    },
    close() {
      for (const p of programs.values()) p.close();
    },
  };
}
