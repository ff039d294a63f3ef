// From BTF to what the emitter needs: flat layouts of structs and the map declarations. Also reads AXO_ constants.
import { invariant } from '@axoneme/std';
import type { Btf, BtfType } from './btf.ts';

export type FieldKind = 'u8' | 'u16' | 'u32' | 'u64' | 'be16' | 'be32';

export interface Field {
  /** As in C. */
  readonly name: string;
  readonly kind: FieldKind;
  readonly offset: number;
  /** Elements of an array, undefined for a scalar. */
  readonly length: number | undefined;
  readonly padding: boolean;
}

export interface StructLayout {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly Field[];
}

export interface MapLayout {
  readonly name: string;
  readonly type: number;
  /** Struct name, or an integer kind for plain keys; undefined for rings. */
  readonly key: string | undefined;
  readonly value: string | undefined;
  readonly maxEntries: number;
  readonly flags: number;
}

export interface Constant {
  readonly name: string;
  readonly value: number;
}

export const FIELD_SIZE: Readonly<Record<FieldKind, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, be16: 2, be32: 4 };
const BY_SIZE: Readonly<Record<number, FieldKind>> = { 1: 'u8', 2: 'u16', 4: 'u32', 8: 'u64' };
const PADDING = /^_*pad\d*$/;

export function structLayouts(btf: Btf): readonly StructLayout[] {
  const layouts = btf.types.flatMap((t) => (t.kind === 'struct' && isOurs(btf, t) ? [layoutOf(btf, t)] : []));
  return layouts.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Ours = named, and reachable as a variable or as key or value of a map: types.c declares one variable per struct. */
function isOurs(btf: Btf, struct: BtfType): boolean {
  if (struct.kind !== 'struct' || struct.name === '') return false;
  return btf.types.some((t) => t.kind === 'var' && t.name === `type_${struct.name}` && btf.resolve(t.target) === struct);
}

function layoutOf(btf: Btf, struct: Extract<BtfType, { kind: 'struct' }>): StructLayout {
  let end = 0;
  const fields = struct.members.map((m): Field => {
    const type = btf.resolve(m.type);
    const element = type.kind === 'array' ? type.element : m.type;
    const kind = fieldKind(btf, element, `${struct.name}.${m.name}`);
    const length = type.kind === 'array' ? type.length : undefined;
    invariant(m.offset === end, `${struct.name}.${m.name} has implicit padding before it`);
    end = m.offset + FIELD_SIZE[kind] * (length ?? 1);
    return { name: m.name, kind, offset: m.offset, length, padding: PADDING.test(m.name) };
  });
  invariant(end === struct.size, `${struct.name} has implicit padding at its end`);
  return { name: struct.name, size: struct.size, fields };
}

/** Typedef names tell the byte order; it is the only thing C types carry and BTF sizes do not. */
function fieldKind(btf: Btf, id: number, where: string): FieldKind {
  for (let t = btf.type(id); ; ) {
    if (t.kind === 'typedef' && t.name === '__be16') return 'be16';
    if (t.kind === 'typedef' && t.name === '__be32') return 'be32';
    if (t.kind === 'typedef' || t.kind === 'modifier') t = btf.type(t.target);
    else {
      const kind = t.kind === 'int' && !t.signed ? BY_SIZE[t.size] : undefined;
      invariant(kind !== undefined, `${where}: only unsigned integers and arrays of them cross the border`);
      return kind;
    }
  }
}

export function mapLayouts(btf: Btf): readonly MapLayout[] {
  const maps = btf.types.find((t) => t.kind === 'section' && t.name === '.maps');
  if (maps?.kind !== 'section') return [];
  return maps.variables.map((id) => mapLayout(btf, btf.type(id))).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function mapLayout(btf: Btf, variable: BtfType): MapLayout {
  invariant(variable.kind === 'var', 'a map is a variable');
  const spec = btf.resolve(variable.target);
  invariant(spec.kind === 'struct', `map ${variable.name}`);
  const member = (name: string): BtfType | undefined => {
    const m = spec.members.find((x) => x.name === name);
    return m === undefined ? undefined : btf.resolve(m.type);
  };
  // __uint(name, n) declares a pointer to an array of n; __type(name, t) a pointer to t
  const number = (name: string): number => {
    const t = member(name);
    const array = t?.kind === 'ptr' ? btf.resolve(t.target) : undefined;
    return array?.kind === 'array' ? array.length : 0;
  };
  const typeName = (name: string): string | undefined => {
    const t = member(name);
    if (t?.kind !== 'ptr') return undefined;
    const target = btf.resolve(t.target);
    if (target.kind === 'struct') return target.name;
    return target.kind === 'int' ? BY_SIZE[target.size] : undefined;
  };
  return {
    name: variable.name,
    type: number('type'),
    key: typeName('key'),
    value: typeName('value'),
    maxEntries: number('max_entries'),
    flags: number('map_flags'),
  };
}

const DEFINE = /^#define\s+AXO_([A-Z0-9_]+)\s+\(?(0x[0-9a-fA-F]+|\d+)[uU]?(?:\s*<<\s*(\d+))?\)?\s*(?:\/\*.*)?$/;

/** Integer #defines of our headers: BTF does not carry them. */
export function constants(header: string): readonly Constant[] {
  return header.split('\n').flatMap((line) => {
    const m = DEFINE.exec(line.trimEnd());
    if (m === null) return [];
    return [{ name: m[1]!, value: Number(BigInt(m[2]!) << BigInt(m[3] ?? 0)) }];
  });
}
