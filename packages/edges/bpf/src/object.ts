// Opens a compiled object, configures it, loads it. Called by the agent's datapath loader, packet tests and the bench.
// Configuration (rodata, sizes, pins) happens between open and load; nothing can be changed afterwards.
import { mkdirSync } from 'node:fs';
import { AppError, invariant } from '@axoneme/std';
import { bpfError, errnoFrom } from './errors.ts';
import { addressOf, libbpfHandle, type Pointer } from './ffi.ts';
import { BpfProgram, unpin } from './handles.ts';
import { BpfMap, pinnedMap } from './map.ts';
import { captureLibbpf } from './print.ts';
import { type RodataValue, writeRodata } from './rodata.ts';

export interface OpenOptions {
  /** Name for libbpf's messages and for data maps; default from the file name. */
  readonly name?: string;
  /** Directory for maps declared LIBBPF_PIN_BY_NAME. Created when missing. */
  readonly pinRoot?: string;
  /** Map name → pin path, for maps the object does not pin itself. An existing pin of the same shape is reused. */
  readonly pins?: Readonly<Record<string, string>>;
  /** `const volatile` variable → value. Unknown names are an error. */
  readonly rodata?: Readonly<Record<string, RodataValue>>;
  readonly maxEntries?: Readonly<Record<string, number>>;
  /** Programs to load; default all. */
  readonly programs?: readonly string[];
  /** A pinned map whose shape changed: `fail` (default) or `replace` the pin; programs still running keep the old map. */
  readonly onPinMismatch?: 'fail' | 'replace';
  /** Bytes kept of the verifier's log. */
  readonly logBuffer?: number;
}

const LOG_BYTES = 1 << 20;
const OPTS_SIZE = 80; // struct bpf_object_open_opts, libbpf 1.0+

/** An opened object. Maps and programs are usable after load(); close() releases every descriptor that is not pinned. */
export class BpfObject {
  readonly name: string;
  readonly maps = new Map<string, BpfMap>();
  readonly programs = new Map<string, BpfProgram>();
  /** Pins that were replaced because their shape had changed. */
  readonly replacedPins: string[] = [];
  #handle: Pointer | undefined;
  readonly #log: Buffer;

  constructor(handle: Pointer, name: string, log: Buffer) {
    this.#handle = handle;
    this.name = name;
    this.#log = log;
  }

  /** Creates maps and verifies programs. Throws `bpf/verifier` with the log, or `bpf/load`. */
  load(): this {
    const handle = this.handle();
    const { result, lines } = captureLibbpf(() => libbpfHandle().load(handle));
    if (result < 0) {
      const error = loadError(this.name, errnoFrom(result), lines, this.verifierLog());
      this.close();
      throw error;
    }
    for (const map of each(handle, libbpfHandle().next_map)) {
      const fd = libbpfHandle().map_fd(map);
      if (fd >= 0) this.maps.set(libbpfHandle().map_name(map), new BpfMap(fd, false));
    }
    for (const prog of each(handle, libbpfHandle().next_program)) {
      const fd = libbpfHandle().prog_fd(prog);
      if (fd < 0) continue; // not loaded on purpose
      const name = libbpfHandle().prog_name(prog);
      const known = { name, type: libbpfHandle().prog_type(prog), attachType: libbpfHandle().prog_attach_type(prog) };
      this.programs.set(name, new BpfProgram(fd, known, false));
    }
    return this;
  }

  map(name: string): BpfMap {
    const map = this.maps.get(name);
    if (map === undefined) throw this.#missing('map', name, [...this.maps.keys()]);
    return map;
  }

  program(name: string): BpfProgram {
    const program = this.programs.get(name);
    if (program === undefined) throw this.#missing('program', name, [...this.programs.keys()]);
    return program;
  }

  verifierLog(): string {
    const end = this.#log.indexOf(0);
    return this.#log.toString('utf8', 0, end < 0 ? this.#log.length : end);
  }

  close(): void {
    if (this.#handle === undefined) return;
    libbpfHandle().close(this.#handle);
    this.#handle = undefined;
    this.maps.clear();
    this.programs.clear();
  }

  handle(): Pointer {
    invariant(this.#handle !== undefined, `object ${this.name} is closed`);
    return this.#handle;
  }

  #missing(kind: string, name: string, known: readonly string[]): AppError {
    return new AppError({
      code: `bpf/no-${kind}`,
      message: `object ${this.name} has no ${kind} ${name}`,
      hint: `It has ${known.join(', ')}.`,
    });
  }
}

/** Opens, configures and loads. `source` is a path or the ELF's bytes. */
export function openObject(source: string | Uint8Array, options: OpenOptions = {}): BpfObject {
  const object = openOnly(source, options);
  try {
    configure(object, options);
  } catch (e) {
    object.close();
    throw e;
  }
  return object.load();
}

function openOnly(source: string | Uint8Array, options: OpenOptions): BpfObject {
  const lib = libbpfHandle();
  const name = options.name ?? (typeof source === 'string' ? baseName(source) : 'object');
  const log = Buffer.alloc(options.logBuffer ?? LOG_BYTES);
  const opts = Buffer.alloc(OPTS_SIZE);
  const nameZ = Buffer.from(`${name}\0`);
  const rootZ = Buffer.from(`${options.pinRoot ?? ''}\0`);
  opts.writeBigUInt64LE(BigInt(OPTS_SIZE), 0);
  opts.writeBigUInt64LE(addressOf(nameZ), 8);
  if (options.pinRoot !== undefined) {
    mkdirSync(options.pinRoot, { recursive: true });
    opts.writeBigUInt64LE(addressOf(rootZ), 24);
  }
  opts.writeBigUInt64LE(addressOf(log), 56); // the log lives as long as the BpfObject does
  opts.writeBigUInt64LE(BigInt(log.length), 64);
  const { result: handle, lines } = captureLibbpf(() => {
    const h = typeof source === 'string' ? lib.open_file(source, opts) : lib.open_mem(source, source.length, opts);
    return h ?? -errnoFrom(-1);
  });
  if (typeof handle === 'number') {
    throw bpfError('open', -handle, name, { fields: { libbpf: lines }, hint: lines.at(-1) ?? 'The file is not a BPF object.' });
  }
  return new BpfObject(handle, name, log);
}

function configure(object: BpfObject, options: OpenOptions): void {
  const lib = libbpfHandle();
  const handle = object.handle();
  const mapOf = (name: string): Pointer => {
    const map = lib.find_map(handle, name);
    if (map === null) throw new AppError({ code: 'bpf/no-map', message: `object ${object.name} has no map ${name}` });
    return map;
  };
  for (const [name, n] of Object.entries(options.maxEntries ?? {})) {
    const r = lib.map_set_max_entries(mapOf(name), n);
    if (r < 0) throw bpfError('max-entries', errnoFrom(r), `${name} = ${n}`);
  }
  for (const [name, path] of Object.entries(options.pins ?? {})) {
    mkdirSync(path.slice(0, path.lastIndexOf('/')), { recursive: true });
    const r = lib.map_set_pin_path(mapOf(name), path);
    if (r < 0) throw bpfError('pin', errnoFrom(r), path);
  }
  if (options.rodata !== undefined) writeRodata(handle, object.name, options.rodata);
  if (options.programs !== undefined) selectPrograms(object, options.programs);
  if (options.onPinMismatch === 'replace') replaceMismatchedPins(object);
}

function selectPrograms(object: BpfObject, wanted: readonly string[]): void {
  const lib = libbpfHandle();
  const left = new Set(wanted);
  for (const prog of each(object.handle(), lib.next_program)) lib.prog_set_autoload(prog, left.delete(lib.prog_name(prog)));
  if (left.size > 0)
    throw new AppError({ code: 'bpf/no-program', message: `object ${object.name} has no program ${[...left].join(', ')}` });
}

function replaceMismatchedPins(object: BpfObject): void {
  const lib = libbpfHandle();
  for (const map of each(object.handle(), lib.next_map)) {
    const path = lib.map_pin_path(map);
    const pinned = path === null ? undefined : pinnedMap(path);
    if (path === null || pinned === undefined) continue;
    const same =
      pinned.type === lib.map_type(map) &&
      pinned.keySize === lib.map_key_size(map) &&
      pinned.valueSize === lib.map_value_size(map) &&
      pinned.maxEntries === lib.map_max_entries(map) &&
      pinned.flags === lib.map_flags(map);
    pinned.close();
    if (!same) {
      unpin(path);
      object.replacedPins.push(path);
    }
  }
}

function* each(handle: Pointer, next: (o: Pointer, at: Pointer | null) => Pointer | null): Generator<Pointer> {
  for (let at = next(handle, null); at !== null; at = next(handle, at)) yield at;
}

function loadError(name: string, errno: number, lines: readonly string[], log: string): AppError {
  const verifier = log.trim() !== '' && lines.some((l) => l.includes('BPF program load failed'));
  const mismatch = lines.find((l) => l.includes("couldn't reuse pinned map"));
  const tail = verifier ? log.trim().split('\n').slice(-3, -1).join(' | ') : (lines.at(-1) ?? '');
  return bpfError(
    verifier ? 'verifier' : mismatch === undefined ? 'load' : 'pin-mismatch',
    errno,
    `${name}${tail === '' ? '' : ` (${tail})`}`,
    {
      ...(mismatch === undefined ? {} : { hint: 'A pinned map has another shape; load with onPinMismatch: "replace".' }),
      fields: { libbpf: lines, verifierLog: log },
    },
  );
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1).replace(/\.o$/, '');

/** Program by name inside `programs` of several objects is a frequent need: first match or an error. */
export function findProgram(objects: Iterable<BpfObject>, name: string): BpfProgram {
  for (const o of objects) {
    const p = o.programs.get(name);
    if (p !== undefined) return p;
  }
  throw new AppError({ code: 'bpf/no-program', message: `no object has a program ${name}` });
}
