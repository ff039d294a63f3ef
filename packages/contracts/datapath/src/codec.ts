// Fixed-layout encoding of table rows: the primitives the generated codecs are made of. Called by src/gen and nobody else,
// except for the Codec type and the packing helpers.
import { AppError, invariant } from '@axoneme/std';

/** One C struct as bytes. Encoded rows have their padding zero. */
export interface Codec<T> {
  readonly name: string;
  readonly size: number;
  /** Into `out` at `at`, or into fresh bytes. Throws `datapath/out-of-range` for a value that does not fit its field. */
  encode(value: T, out?: Uint8Array, at?: number): Uint8Array;
  decode(bytes: Uint8Array, at?: number): T;
}

/** Back to back, as batch calls and artifacts carry rows. */
export function encodeAll<T>(codec: Codec<T>, values: readonly T[]): Uint8Array {
  const out = new Uint8Array(values.length * codec.size);
  for (let i = 0; i < values.length; i++) codec.encode(values[i]!, out, i * codec.size);
  return out;
}

export function decodeAll<T>(codec: Codec<T>, bytes: Uint8Array): T[] {
  invariant(bytes.length % codec.size === 0, `${codec.name} rows are ${codec.size} bytes each`);
  return Array.from({ length: bytes.length / codec.size }, (_, i) => codec.decode(bytes, i * codec.size));
}

/** Zeroed room for a struct. */
export function room(out: Uint8Array | undefined, at: number, size: number): Uint8Array {
  if (out === undefined) return new Uint8Array(at + size);
  invariant(at + size <= out.length, 'room for the struct');
  out.fill(0, at, at + size);
  return out;
}

function outOfRange(name: string, value: number | bigint, limit: string): AppError {
  return new AppError({ code: 'datapath/out-of-range', message: `${name} = ${value} is not an unsigned integer below ${limit}` });
}

export function putU8(b: Uint8Array, at: number, v: number, name: string): void {
  if (!Number.isInteger(v) || v < 0 || v > 0xff) throw outOfRange(name, v, '2^8');
  b[at] = v;
}
export function putU16(b: Uint8Array, at: number, v: number, name: string): void {
  if (!Number.isInteger(v) || v < 0 || v > 0xffff) throw outOfRange(name, v, '2^16');
  b[at] = v;
  b[at + 1] = v >>> 8;
}
export function putBe16(b: Uint8Array, at: number, v: number, name: string): void {
  if (!Number.isInteger(v) || v < 0 || v > 0xffff) throw outOfRange(name, v, '2^16');
  b[at] = v >>> 8;
  b[at + 1] = v;
}
export function putU32(b: Uint8Array, at: number, v: number, name: string): void {
  if (!Number.isInteger(v) || v < 0 || v > 0xffffffff) throw outOfRange(name, v, '2^32');
  b[at] = v;
  b[at + 1] = v >>> 8;
  b[at + 2] = v >>> 16;
  b[at + 3] = v >>> 24;
}
export function putBe32(b: Uint8Array, at: number, v: number, name: string): void {
  if (!Number.isInteger(v) || v < 0 || v > 0xffffffff) throw outOfRange(name, v, '2^32');
  b[at] = v >>> 24;
  b[at + 1] = v >>> 16;
  b[at + 2] = v >>> 8;
  b[at + 3] = v;
}
export function putU64(b: Uint8Array, at: number, v: bigint, name: string): void {
  if (v < 0n || v > 0xffff_ffff_ffff_ffffn) throw outOfRange(name, v, '2^64');
  putU32(b, at, Number(v & 0xffff_ffffn), name);
  putU32(b, at + 4, Number(v >> 32n), name);
}
export function putBytes(b: Uint8Array, at: number, v: Uint8Array, length: number, name: string): void {
  if (v.length !== length)
    throw new AppError({ code: 'datapath/out-of-range', message: `${name} has ${v.length} bytes instead of ${length}` });
  b.set(v, at);
}

export interface ArrayField<V> {
  readonly length: number;
  readonly size: number;
  readonly put: (b: Uint8Array, at: number, v: V, name: string) => void;
  readonly name: string;
}
export function putArray<V>(b: Uint8Array, at: number, values: readonly V[], f: ArrayField<V>): void {
  if (values.length !== f.length) {
    throw new AppError({ code: 'datapath/out-of-range', message: `${f.name} has ${values.length} elements instead of ${f.length}` });
  }
  for (let i = 0; i < f.length; i++) f.put(b, at + i * f.size, values[i]!, f.name);
}

export const getU8 = (b: Uint8Array, at: number): number => b[at]!;
export const getU16 = (b: Uint8Array, at: number): number => b[at]! | (b[at + 1]! << 8);
export const getBe16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;
export const getU32 = (b: Uint8Array, at: number): number => (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0;
export const getBe32 = (b: Uint8Array, at: number): number => ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;
export const getU64 = (b: Uint8Array, at: number): bigint => BigInt(getU32(b, at)) | (BigInt(getU32(b, at + 4)) << 32n);
/** A copy: what is decoded outlives the buffer it came from. */
export function getBytes(b: Uint8Array, at: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i++) out[i] = b[at + i]!;
  return out;
}
export function getArray<V>(
  b: Uint8Array,
  at: number,
  f: { readonly length: number; readonly size: number; readonly get: (b: Uint8Array, at: number) => V },
): V[] {
  return Array.from({ length: f.length }, (_, i) => f.get(b, at + i * f.size));
}
