// Writes `const volatile` variables of an opened object by name, before load. Offsets come from the object's own BTF.
import { AppError } from '@axoneme/std';
import { libbpfHandle, type Pointer, viewOf } from './ffi.ts';

export type RodataValue = number | bigint | boolean | Uint8Array;

const KIND_DATASEC = 15;
const SECTION = '.rodata';

interface Variable {
  readonly offset: number;
  readonly size: number;
}

export function writeRodata(object: Pointer, objectName: string, values: Readonly<Record<string, RodataValue>>): void {
  const lib = libbpfHandle();
  const variables = rodataVariables(object);
  const map = lib.find_map(object, SECTION);
  const sizeOut = Buffer.alloc(8);
  const memory = map === null ? null : lib.map_initial_value(map, sizeOut);
  for (const [name, value] of Object.entries(values)) {
    const at = variables.get(name);
    if (at === undefined || memory === null) {
      throw new AppError({
        code: 'bpf/no-variable',
        message: `object ${objectName} has no const volatile ${name}`,
        hint: `It has ${[...variables.keys()].join(', ') || 'none'}.`,
      });
    }
    const bytes = Buffer.from(viewOf(memory, Number(sizeOut.readBigUInt64LE(0))));
    writeValue(bytes.subarray(at.offset, at.offset + at.size), value, name);
  }
}

/** Names, offsets and sizes of the variables in .rodata. */
function rodataVariables(object: Pointer): ReadonlyMap<string, Variable> {
  const lib = libbpfHandle();
  const found = new Map<string, Variable>();
  const btf = lib.object_btf(object);
  const id = btf === null ? -1 : lib.btf_find(btf, SECTION, KIND_DATASEC);
  const type = btf === null || id < 0 ? null : lib.btf_type(btf, id);
  if (btf === null || type === null) return found;
  const count = Buffer.from(viewOf(type, 12)).readUInt32LE(4) & 0xffff;
  const infos = Buffer.from(viewOf(type, 12 + count * 12));
  for (let i = 0; i < count; i++) {
    const at = 12 + i * 12;
    const variable = lib.btf_type(btf, infos.readUInt32LE(at));
    const name = variable === null ? null : lib.btf_name(btf, Buffer.from(viewOf(variable, 4)).readUInt32LE(0));
    if (name !== null) found.set(name, { offset: infos.readUInt32LE(at + 4), size: infos.readUInt32LE(at + 8) });
  }
  return found;
}

function writeValue(to: Buffer, value: RodataValue, name: string): void {
  const bad = (why: string): AppError => new AppError({ code: 'bpf/bad-value', message: `value of ${name} ${why}` });
  if (value instanceof Uint8Array) {
    if (value.length !== to.length) throw bad(`has ${value.length} bytes, the variable ${to.length}`);
    to.set(value);
    return;
  }
  if (to.length > 8 || (to.length & (to.length - 1)) !== 0) throw bad('must be bytes: the variable is not an integer');
  const n = BigInt(value);
  const limit = 1n << BigInt(8 * to.length);
  if (n >= limit || n < -limit / 2n) throw bad(`does not fit ${to.length} bytes`);
  const wide = Buffer.alloc(8);
  wide.writeBigUInt64LE(BigInt.asUintN(64, n));
  wide.copy(to, 0, 0, to.length);
}
