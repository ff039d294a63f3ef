// A BPF map as a table of rows: batch calls in chunks, with the kernel's partial-success rules made simple.
// Called by the agent's apply loop, its dumps, the flow reader and packet tests.
// Keys and values travel packed: n keys back to back in one Buffer, n values in another.
import { AppError, invariant } from '@axoneme/std';
import { MapType } from './constants.ts';
import { bpfError, check, E, ENOTSUPP, errnoFrom } from './errors.ts';
import { closeFd, libbpfHandle } from './ffi.ts';
import { openPin, pinFd } from './handles.ts';
import { type MapInfo, mapInfo } from './info.ts';

/** Elements per system call: about 1.3 ms for an LPM trie, far less for the rest. */
export const BATCH_CHUNK = 1024;
const DUMP_CHUNK_MAX = 1 << 20;

export interface Rows {
  readonly count: number;
  readonly keys: Buffer;
  /** `count` values of `valueBytes` each. */
  readonly values: Buffer;
}

const PERCPU: ReadonlySet<number> = new Set([MapType.percpuHash, MapType.percpuArray, MapType.lruPercpuHash]);

let cpus: number | undefined;
/** CPUs the kernel may ever bring up: the number of slots in a per-CPU value. */
export function possibleCpus(): number {
  cpus ??= check('possible-cpus', libbpfHandle().possible_cpus(), '');
  return cpus;
}

export class BpfMap {
  readonly fd: number;
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  /** Size declared in C. */
  readonly valueSize: number;
  /** Size of one value as read and written: for per-CPU maps one 8-byte aligned slot per possible CPU. */
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly id: number;
  readonly #owned: boolean;

  /** `owned`: close() closes the descriptor; maps of an object belong to the object. */
  constructor(fd: number, owned: boolean, info: MapInfo = mapInfo(fd)) {
    this.fd = fd;
    this.#owned = owned;
    this.name = info.name;
    this.type = info.type;
    this.keySize = info.keySize;
    this.valueSize = info.valueSize;
    this.maxEntries = info.maxEntries;
    this.flags = info.flags;
    this.id = info.id;
    this.valueBytes = PERCPU.has(info.type) ? align8(info.valueSize) * possibleCpus() : info.valueSize;
  }

  close(): void {
    if (this.#owned) closeFd(this.fd);
  }

  pin(path: string): void {
    pinFd(this.fd, path);
  }

  lookup(key: Uint8Array): Buffer | undefined {
    invariant(key.length === this.keySize, `key of map ${this.name} has ${this.keySize} bytes`);
    const value = Buffer.alloc(this.valueBytes);
    const r = libbpfHandle().lookup_elem(this.fd, key, value);
    if (r === 0) return value;
    const errno = errnoFrom(r);
    if (errno === E.NOENT) return undefined;
    throw bpfError('map-lookup', errno, this.name);
  }

  update(key: Uint8Array, value: Uint8Array, flags = 0n): void {
    this.#checkSizes(key, value, 1);
    const r = libbpfHandle().update_elem(this.fd, key, value, flags);
    if (r < 0) throw this.#updateError(errnoFrom(r), 0);
  }

  /** False when the key was not there. */
  delete(key: Uint8Array): boolean {
    invariant(key.length === this.keySize, `key of map ${this.name} has ${this.keySize} bytes`);
    const r = libbpfHandle().delete_elem(this.fd, key);
    if (r === 0) return true;
    const errno = errnoFrom(r);
    if (errno === E.NOENT) return false;
    throw bpfError('map-delete', errno, this.name);
  }

  /** Writes `count` rows. On failure the error's `fields.done` says how many were stored (in order). */
  updateBatch(keys: Uint8Array, values: Uint8Array, count: number): void {
    for (const _ of this.updateChunks(keys, values, count));
  }

  /** The same, one chunk per step, so that a caller can breathe between chunks. Yields the rows stored so far. */
  *updateChunks(keys: Uint8Array, values: Uint8Array, count: number, chunk = BATCH_CHUNK): Generator<number, void> {
    this.#checkSizes(keys, values, count);
    const counter = Buffer.alloc(4);
    for (let done = 0; done < count; ) {
      const n = Math.min(chunk, count - done);
      counter.writeUInt32LE(n);
      const r = libbpfHandle().update_batch(this.fd, this.#key(keys, done, n), this.#value(values, done, n), counter, null);
      if (r === 0) done += n;
      else if (errnoFrom(r) === ENOTSUPP) {
        for (let i = 0; i < n; i++, done++) this.#updateOne(keys, values, done);
      } else throw this.#updateError(errnoFrom(r), done + storedBefore(counter.readUInt32LE(0), n));
      yield done;
    }
  }

  /** Deletes keys; those that are absent are skipped. Returns how many existed. */
  deleteBatch(keys: Uint8Array, count: number): number {
    let deleted = 0;
    for (const n of this.deleteChunks(keys, count)) deleted = n;
    return deleted;
  }

  *deleteChunks(keys: Uint8Array, count: number, chunk = BATCH_CHUNK): Generator<number, void> {
    invariant(keys.length >= count * this.keySize, `too few keys for map ${this.name}`);
    const counter = Buffer.alloc(4);
    let deleted = 0;
    for (let at = 0; at < count; ) {
      const n = Math.min(chunk, count - at);
      counter.writeUInt32LE(n);
      const r = libbpfHandle().delete_batch(this.fd, this.#key(keys, at, n), counter, null);
      const errno = r === 0 ? 0 : errnoFrom(r);
      if (errno === ENOTSUPP) {
        for (let i = 0; i < n; i++) if (this.delete(this.#key(keys, at + i, 1))) deleted++;
        at += n;
      } else if (errno === 0 || errno === E.NOENT) {
        const done = counter.readUInt32LE(0);
        deleted += done;
        at += errno === 0 ? n : done + 1; // the kernel stops at the first absent key: step over it
      } else throw bpfError('map-delete', errno, this.name, { fields: { done: at } });
      yield deleted;
    }
  }

  /** Every row. Rows changed meanwhile may be missed or seen twice, as with any iteration of a live map. */
  dump(): Rows {
    const keys: Buffer[] = [];
    const values: Buffer[] = [];
    let count = 0;
    for (const part of this.dumpChunks()) {
      keys.push(part.keys);
      values.push(part.values);
      count += part.count;
    }
    return { count, keys: Buffer.concat(keys), values: Buffer.concat(values) };
  }

  /** Fresh Buffers each step: keep them if you like. */
  *dumpChunks(chunk = BATCH_CHUNK): Generator<Rows, void> {
    yield* this.#walk('dump', chunk);
  }

  /** Reads and removes; hash kinds only. Rows are either in the result or still in the map. */
  *takeChunks(chunk = BATCH_CHUNK): Generator<Rows, void> {
    yield* this.#walk('take', chunk);
  }

  *#walk(how: 'dump' | 'take', chunkWanted: number): Generator<Rows, void> {
    let chunk = Math.min(chunkWanted, Math.max(this.maxEntries, 1));
    let token: Buffer | null = null;
    for (;;) {
      const keys = Buffer.alloc(chunk * this.keySize);
      const values = Buffer.alloc(chunk * this.valueBytes);
      const next: Buffer = Buffer.alloc(Math.max(8, this.keySize));
      const counter = Buffer.alloc(4);
      counter.writeUInt32LE(chunk);
      const lib = libbpfHandle();
      const call = how === 'dump' ? lib.lookup_batch : lib.take_batch;
      const r = call(this.fd, token, next, keys, values, counter, null);
      const errno = r === 0 ? 0 : errnoFrom(r);
      if (errno === ENOTSUPP && how === 'dump' && token === null) return yield this.#dumpOneByOne();
      if (errno === E.NOSPC && chunk < DUMP_CHUNK_MAX) {
        chunk *= 2; // one bucket holds more than a chunk
        continue;
      }
      if (errno !== 0 && errno !== E.NOENT) throw bpfError(`map-${how}`, errno, this.name);
      const count = counter.readUInt32LE(0);
      if (count > 0) yield { count, keys: keys.subarray(0, count * this.keySize), values: values.subarray(0, count * this.valueBytes) };
      if (errno === E.NOENT) return;
      token = next;
    }
  }

  /** Pairs of views into the dump. */
  *entries(): Generator<readonly [key: Buffer, value: Buffer], void> {
    for (const { keys, values, count } of this.dumpChunks()) {
      for (let i = 0; i < count; i++) {
        yield [keys.subarray(i * this.keySize, (i + 1) * this.keySize), values.subarray(i * this.valueBytes, (i + 1) * this.valueBytes)];
      }
    }
  }

  /** Rows in the map right now, by walking it. */
  size(): number {
    let n = 0;
    for (const part of this.dumpChunks()) n += part.count;
    return n;
  }

  /** Splits a value of a per-CPU map into one view per possible CPU. */
  percpu(value: Buffer): readonly Buffer[] {
    const slot = align8(this.valueSize);
    return Array.from({ length: value.length / slot }, (_, i) => value.subarray(i * slot, i * slot + this.valueSize));
  }

  /** Sum over CPUs of the u64 at `offset` of a per-CPU value. */
  percpuSum(value: Buffer, offset = 0): bigint {
    let sum = 0n;
    for (let at = offset; at < value.length; at += align8(this.valueSize)) sum += value.readBigUInt64LE(at);
    return sum;
  }

  #dumpOneByOne(): Rows {
    const keys: Buffer[] = [];
    const values: Buffer[] = [];
    let key: Buffer | null = null;
    for (let i = 0; i < this.maxEntries; i++) {
      const next: Buffer = Buffer.alloc(this.keySize);
      if (libbpfHandle().next_key(this.fd, key, next) < 0) break;
      const value = this.lookup(next);
      if (value !== undefined) {
        keys.push(next);
        values.push(value);
      }
      key = next;
    }
    return { count: keys.length, keys: Buffer.concat(keys), values: Buffer.concat(values) };
  }

  #updateOne(keys: Uint8Array, values: Uint8Array, i: number): void {
    const r = libbpfHandle().update_elem(this.fd, this.#key(keys, i, 1), this.#value(values, i, 1), 0n);
    if (r < 0) throw this.#updateError(errnoFrom(r), i);
  }

  #updateError(errno: number, done: number): AppError {
    if (errno !== E.TOOBIG) return bpfError('map-update', errno, this.name, { fields: { done } });
    return new AppError({
      code: 'bpf/map-full',
      message: `map ${this.name} is full (${this.maxEntries} entries)`,
      retry: 'later',
      fields: { done, errno, errnoName: 'E2BIG', maxEntries: this.maxEntries },
    });
  }

  #checkSizes(keys: Uint8Array, values: Uint8Array, count: number): void {
    invariant(keys.length >= count * this.keySize, `too few key bytes for map ${this.name} (${this.keySize} each)`);
    invariant(values.length >= count * this.valueBytes, `too few value bytes for map ${this.name} (${this.valueBytes} each)`);
  }
  #key(keys: Uint8Array, at: number, n: number): Uint8Array {
    return keys.subarray(at * this.keySize, (at + n) * this.keySize);
  }
  #value(values: Uint8Array, at: number, n: number): Uint8Array {
    return values.subarray(at * this.valueBytes, (at + n) * this.valueBytes);
  }
}

const align8 = (n: number): number => (n + 7) & ~7;
/** Rows stored by a failed batch; a call refused as a whole leaves `count` as it was. */
const storedBefore = (failedAt: number, asked: number): number => (failedAt < asked ? failedAt : 0);

export interface MapSpec {
  readonly type: number;
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags?: number;
}

/** A map of our own making, for probes and tests; real tables come from objects. */
export function createMap(spec: MapSpec): BpfMap {
  const opts = Buffer.alloc(48);
  opts.writeBigUInt64LE(48n, 0);
  opts.writeUInt32LE(spec.flags ?? 0, 28);
  const fd = libbpfHandle().map_create(spec.type, spec.name.slice(0, 15), spec.keySize, spec.valueSize, spec.maxEntries, opts);
  return new BpfMap(check('map-create', fd, spec.name), true);
}

export function pinnedMap(path: string): BpfMap | undefined {
  const fd = openPin(path);
  return fd === undefined ? undefined : new BpfMap(fd, true);
}
