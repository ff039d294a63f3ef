// A node made for measuring: a network namespace, a private bpffs, the compiled objects and tables full of rows.
// Called by the packet and pods benches.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BpfMap, type BpfObject, type BpfProgram, ensureBpffs, findProgram, openObject } from '@axoneme/bpf';
import { type KeyOf, packRows, type Row, type TableName, tables, type ValueOf } from '@axoneme/datapath';
import { createNetns, deleteNetns, inNetns, NetlinkSocket, netnsPath } from '@axoneme/netlink';
import { invariant } from '@axoneme/std';
import { ROOT } from './report.ts';

export interface World {
  readonly netns: string;
  readonly socket: NetlinkSocket;
  readonly pins: string;
  map(name: string): BpfMap;
  program(name: string): BpfProgram;
  write<N extends TableName>(name: N, rows: readonly Row<N>[]): void;
  read<N extends TableName>(name: N, key: KeyOf<N>): ValueOf<N> | undefined;
  /** Empties a map. */
  flush(name: string): void;
  /** Makes every flow entry stale, as the agent does after a change. */
  bumpGeneration(): void;
  close(): void;
}

let worlds = 0; // for unique names only

export function openWorld(objectNames: readonly string[]): World {
  execFileSync('make', ['-s', '-C', join(ROOT, 'bpf')], { stdio: ['ignore', 'ignore', 'inherit'] });
  const dir = mkdtempSync(join(tmpdir(), 'axbench-'));
  const bpffs = join(dir, 'bpffs');
  ensureBpffs(bpffs);
  const pins = join(bpffs, 'maps');
  const netns = netnsPath(`axbench-${process.pid}-${++worlds}`);
  createNetns(netns);
  const objects: BpfObject[] = objectNames.map((name) => openObject(join(ROOT, 'bpf/build', `${name}.o`), { pinRoot: pins }));
  const map = (name: string): BpfMap => {
    const found = objects.find((o) => o.maps.has(name))?.map(name);
    invariant(found !== undefined, `no object has a map ${name}`);
    return found;
  };
  const socket = inNetns(netns, () => new NetlinkSocket());
  let generation = 1;
  const world: World = {
    netns,
    socket,
    pins,
    map,
    program: (name) => findProgram(objects, name),
    write(name, rows) {
      const packed = packRows(name, rows);
      map(name).updateBatch(packed.keys, packed.values, packed.count);
    },
    read(name, key) {
      const { key: k, value: v } = tables[name];
      const bytes = map(name).lookup(k.encode(key as never));
      return bytes === undefined ? undefined : (v.decode(bytes) as ValueOf<typeof name>);
    },
    flush(name) {
      for (const _ of map(name).takeChunks(16_384));
    },
    bumpGeneration() {
      world.write('generation', [[0, ++generation]]);
    },
    close() {
      socket.close();
      for (const o of objects) o.close();
      deleteNetns(netns);
      execFileSync('umount', [bpffs]);
      rmSync(dir, { recursive: true });
    },
  };
  if (objects.length > 0) world.bumpGeneration();
  return world;
}
