// Reads the .BTF section of a compiled object: struct layouts and map declarations. Called by the generator and its test.
// Only what our objects use; the format is documented in the kernel's Documentation/bpf/btf.rst.
import { AppError, invariant } from '@axoneme/std';

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
}

export type BtfType =
  | { readonly kind: 'int'; readonly name: string; readonly size: number; readonly signed: boolean }
  | { readonly kind: 'ptr'; readonly target: number }
  | { readonly kind: 'array'; readonly element: number; readonly length: number }
  | { readonly kind: 'struct'; readonly name: string; readonly size: number; readonly members: readonly BtfMember[] }
  | { readonly kind: 'typedef'; readonly name: string; readonly target: number }
  | { readonly kind: 'modifier'; readonly target: number }
  | { readonly kind: 'var'; readonly name: string; readonly target: number }
  | { readonly kind: 'section'; readonly name: string; readonly variables: readonly number[] }
  | { readonly kind: 'other'; readonly name: string };

export interface Btf {
  readonly types: readonly BtfType[];
  type(id: number): BtfType;
  /** Follows typedefs and const/volatile. */
  resolve(id: number): BtfType;
}

const KIND = {
  int: 1,
  ptr: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  funcProto: 13,
  var: 14,
  section: 15,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;
const MODIFIERS: readonly number[] = [KIND.volatile, KIND.const, KIND.restrict, KIND.typeTag];

export function readBtf(elf: Buffer): Btf {
  const data = section(elf, '.BTF');
  invariant(data.readUInt16LE(0) === 0xeb9f, 'BTF magic');
  const headerLength = data.readUInt32LE(4);
  const typesAt = headerLength + data.readUInt32LE(8);
  const typesLength = data.readUInt32LE(12);
  const strings = data.subarray(headerLength + data.readUInt32LE(16));
  const text = (at: number): string => strings.toString('utf8', at, strings.indexOf(0, at));
  const types: BtfType[] = [{ kind: 'other', name: 'void' }];
  for (let at = typesAt; at < typesAt + typesLength; ) {
    const { type, size } = readType(data, at, text);
    types.push(type);
    at += size;
  }
  const type = (id: number): BtfType => {
    const t = types[id];
    invariant(t !== undefined, `BTF type ${id}`);
    return t;
  };
  const resolve = (id: number): BtfType => {
    const t = type(id);
    return t.kind === 'typedef' || t.kind === 'modifier' ? resolve(t.target) : t;
  };
  return { types, type, resolve };
}

function readType(data: Buffer, at: number, text: (at: number) => string): { readonly type: BtfType; readonly size: number } {
  const name = text(data.readUInt32LE(at));
  const info = data.readUInt32LE(at + 4);
  const sizeOrType = data.readUInt32LE(at + 8);
  const count = info & 0xffff;
  const kind = (info >>> 24) & 0x1f;
  const flagged = info >>> 31 === 1;
  const u32 = (n: number): number => data.readUInt32LE(at + 12 + 4 * n);
  if (MODIFIERS.includes(kind)) return { type: { kind: 'modifier', target: sizeOrType }, size: 12 };
  switch (kind) {
    case KIND.int:
      return { type: { kind: 'int', name, size: sizeOrType, signed: ((u32(0) >>> 24) & 1) === 1 }, size: 16 };
    case KIND.ptr:
      return { type: { kind: 'ptr', target: sizeOrType }, size: 12 };
    case KIND.array:
      return { type: { kind: 'array', element: u32(0), length: u32(2) }, size: 24 };
    case KIND.typedef:
      return { type: { kind: 'typedef', name, target: sizeOrType }, size: 12 };
    case KIND.struct: {
      const members = Array.from({ length: count }, (_, i) => {
        const bits = u32(3 * i + 2);
        const bitfield = flagged && bits >>> 24 !== 0;
        invariant(!bitfield && (bits & 7) === 0, `${name}: bit fields are not supported`);
        return { name: text(u32(3 * i)), type: u32(3 * i + 1), offset: (flagged ? bits & 0xffffff : bits) / 8 };
      });
      return { type: { kind: 'struct', name, size: sizeOrType, members }, size: 12 + 12 * count };
    }
    case KIND.var:
      return { type: { kind: 'var', name, target: sizeOrType }, size: 16 };
    case KIND.section: {
      const variables = Array.from({ length: count }, (_, i) => u32(3 * i));
      return { type: { kind: 'section', name, variables }, size: 12 + 12 * count };
    }
    default:
      return { type: { kind: 'other', name }, size: 12 + tailSize(kind, count) };
  }
}

function tailSize(kind: number, count: number): number {
  switch (kind) {
    case KIND.union:
    case KIND.enum64:
      return 12 * count;
    case KIND.enum:
    case KIND.funcProto:
      return 8 * count;
    case KIND.declTag:
      return 4;
    default:
      return 0; // forward, function, float
  }
}

/** Bytes of a named section of a 64-bit little-endian ELF file. */
function section(elf: Buffer, name: string): Buffer {
  if (elf.length < 64 || elf.toString('latin1', 0, 4) !== '\x7fELF' || elf[4] !== 2 || elf[5] !== 1) {
    throw new AppError({ code: 'datapath/not-elf', message: 'not a 64-bit little-endian ELF file' });
  }
  const table = Number(elf.readBigUInt64LE(40));
  const entrySize = elf.readUInt16LE(58);
  const header = (i: number): { readonly name: number; readonly bytes: Buffer } => {
    const at = table + i * entrySize;
    const offset = Number(elf.readBigUInt64LE(at + 24));
    return { name: elf.readUInt32LE(at), bytes: elf.subarray(offset, offset + Number(elf.readBigUInt64LE(at + 32))) };
  };
  const names = header(elf.readUInt16LE(62)).bytes;
  for (let i = 1; i < elf.readUInt16LE(60); i++) {
    const h = header(i);
    if (names.toString('latin1', h.name, names.indexOf(0, h.name)) === name) return h.bytes;
  }
  throw new AppError({ code: 'datapath/no-section', message: `the object has no ${name} section`, hint: 'Compile with -g.' });
}
