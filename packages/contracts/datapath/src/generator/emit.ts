// Writes the TypeScript of src/gen from layouts. Called by generate.ts and by the test that compares it with what is committed.
import { canonicalJson, digestOf } from '@axoneme/std';
import { type Constant, FIELD_SIZE, type Field, type FieldKind, type MapLayout, type StructLayout } from './layout.ts';

export interface Input {
  readonly structs: readonly StructLayout[];
  readonly maps: readonly MapLayout[];
  readonly constants: readonly Constant[];
  readonly drops: readonly Constant[];
}

const HEADER = '// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.\n';

/** File name in src/gen → content. */
export function emit(input: Input): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const s of input.structs) files.set(`${s.name.replaceAll('_', '-')}.ts`, emitStruct(s));
  files.set('constants.ts', emitConstants(input));
  files.set('maps.ts', emitMaps(input));
  files.set('schema.ts', emitSchema(input));
  const exported = [...files.keys()].sort();
  files.set('index.ts', `${HEADER}${exported.map((f) => `export * from './${f}';\n`).join('')}`);
  return files;
}

const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());
const pascal = (name: string): string => camel(`_${name}`);
const TUPLE_MAX = 4;

function tsType(f: Field): string {
  const scalar = f.kind === 'u64' ? 'bigint' : 'number';
  if (f.length === undefined) return scalar;
  if (f.kind === 'u8') return 'Uint8Array';
  return f.length <= TUPLE_MAX ? `readonly [${Array(f.length).fill(scalar).join(', ')}]` : `readonly ${scalar}[]`;
}

function docOf(f: Field): string {
  if (f.kind === 'u8' && f.length !== undefined) return `  /** ${f.length} bytes. */\n`;
  if (f.kind === 'be16' || f.kind === 'be32') return '  /** Network order in the table, plain number here. */\n';
  return '';
}

function emitStruct(s: StructLayout): string {
  const fields = s.fields.filter((f) => !f.padding);
  const type = pascal(s.name);
  const puts = fields.map((f) => `    ${putCall(s, f)};\n`).join('');
  const gets = fields.map((f) => `      ${camel(f.name)}: ${getCall(f)},\n`).join('');
  const helpers = [...new Set(fields.flatMap((f) => helpersOf(f)))].sort();
  return [
    HEADER,
    `import { ${helpers.length > 0 ? `${helpers.join(', ')}, ` : ''}room, type Codec } from '../codec.ts';\n\n`,
    `/** \`struct ${s.name}\`, ${s.size} bytes. */\n`,
    `export interface ${type} {\n`,
    ...fields.map((f) => `${docOf(f)}  readonly ${camel(f.name)}: ${tsType(f)};\n`),
    '}\n\n',
    `export const ${camel(s.name)}: Codec<${type}> = {\n`,
    `  name: '${s.name}',\n  size: ${s.size},\n`,
    `  encode(v, out, at = 0) {\n    const b = room(out, at, ${s.size});\n${puts}    return b;\n  },\n`,
    `  decode(b, at = 0) {\n    return {\n${gets}    };\n  },\n};\n`,
  ].join('');
}

const suffix = (kind: FieldKind): string => kind[0]!.toUpperCase() + kind.slice(1);

function helpersOf(f: Field): readonly string[] {
  if (f.length === undefined) return [`get${suffix(f.kind)}`, `put${suffix(f.kind)}`];
  if (f.kind === 'u8') return ['getBytes', 'putBytes'];
  return [`get${suffix(f.kind)}`, ...(f.length > TUPLE_MAX ? ['getArray'] : []), 'putArray', `put${suffix(f.kind)}`];
}

function putCall(s: StructLayout, f: Field): string {
  const value = `v.${camel(f.name)}`;
  const where = `'${s.name}.${f.name}'`;
  const at = f.offset === 0 ? 'at' : `at + ${f.offset}`;
  if (f.length === undefined) return `put${suffix(f.kind)}(b, ${at}, ${value}, ${where})`;
  if (f.kind === 'u8') return `putBytes(b, ${at}, ${value}, ${f.length}, ${where})`;
  return `putArray(b, ${at}, ${value}, { length: ${f.length}, size: ${FIELD_SIZE[f.kind]}, put: put${suffix(f.kind)}, name: ${where} })`;
}

function getCall(f: Field): string {
  const at = (n: number): string => (n === 0 ? 'at' : `at + ${n}`);
  if (f.length === undefined) return `get${suffix(f.kind)}(b, ${at(f.offset)})`;
  if (f.kind === 'u8') return `getBytes(b, ${at(f.offset)}, ${f.length})`;
  if (f.length > TUPLE_MAX)
    return `getArray(b, ${at(f.offset)}, { length: ${f.length}, size: ${FIELD_SIZE[f.kind]}, get: get${suffix(f.kind)} })`;
  const step = FIELD_SIZE[f.kind];
  return `[${Array.from({ length: f.length }, (_, i) => `get${suffix(f.kind)}(b, ${at(f.offset + i * step)})`).join(', ')}]`;
}

function emitConstants(input: Input): string {
  const lines = (list: readonly Constant[], strip: string): string =>
    list.map((c) => `  ${camel(c.name.slice(strip.length).toLowerCase())}: ${c.value},\n`).join('');
  const groups: readonly (readonly [name: string, prefix: string, doc: string])[] = [
    ['Dir', 'DIR_', 'Index of `[direction]` arrays and of drops.'],
    ['Verdict', 'VERDICT_', '`policy_value.verdict`.'],
    ['SubjectFlag', 'SUBJECT_', '`subject_value.flags`.'],
    ['Layer', 'LAYER_', '`subject_key.layer`.'],
    ['EndpointFlag', 'ENDPOINT_', '`endpoint_value.flags`.'],
    ['NodeFlag', 'NODE_', '`node_config.flags`.'],
    ['FlowKind', 'KIND_', '`flow4_key.kind`, `flow6_key.kind`.'],
    ['FlowOrigin', 'IN_', '`flow_value.ifindex_in` that is no device.'],
    ['FlowAction', 'ACT_', '`flow_value.action`, `event.next_hop`.'],
    ['FlowFlag', 'FLOW_', '`flow_value.flags`.'],
    ['CountVerdict', 'COUNT_', '`counter_key.dir_verdict` without its top bit; `egress` is that bit.'],
    ['Shadow', 'SHADOW_', '`event.shadow`.'],
    ['EventFlag', 'EVENT_F_', '`event.flags`.'],
    ['EventType', 'EVENT_', '`event.type`.'],
    ['Hook', 'HOOK_', '`event.hook`.'],
    ['LbFlag', 'LB_', '`lb_frontend_value.flags`.'],
    ['NatVia', 'VIA_', '`nat_value.action`.'],
    ['NatFlag', 'NAT_', '`nat_value.flags`.'],
    ['AffinityScope', 'AFFINITY_', '`lb_affinity_key.scope`.'],
  ];
  const taken = new Set<Constant>();
  const out = [HEADER];
  for (const [name, prefix, doc] of groups) {
    const members = input.constants.filter((c) => c.name.startsWith(prefix) && !taken.has(c));
    if (members.length === 0) continue;
    for (const m of members) taken.add(m);
    out.push(`\n/** ${doc} */\nexport const ${name} = {\n${lines(members, prefix)}} as const;\n`);
  }
  const rest = input.constants.filter((c) => !taken.has(c));
  if (rest.length > 0) out.push(`\n/** Constants of no group. */\nexport const Axo = {\n${lines(rest, '')}} as const;\n`);
  const real = input.drops.filter((c) => c.name.startsWith('DROP_'));
  const info = input.drops.filter((c) => c.name.startsWith('INFO_'));
  out.push(`\n/** Reasons the datapath gives; numbers are Hubble's. */\nexport const Drop = {\n${lines(real, 'DROP_')}} as const;\n`);
  if (info.length > 0)
    out.push(`\n/** Indices of \`drops\` that are no drops. */\nexport const Info = {\n${lines(info, 'INFO_')}} as const;\n`);
  return out.join('');
}

const MAP_TYPE: Readonly<Record<number, string>> = {
  1: 'hash',
  2: 'array',
  5: 'percpuHash',
  6: 'percpuArray',
  9: 'lruHash',
  11: 'lpmTrie',
  27: 'ringbuf',
};

function emitMaps(input: Input): string {
  const text = (s: string | undefined): string => (s === undefined ? 'undefined' : `'${s}'`);
  const rows = input.maps.map(
    (m) =>
      `  ${m.name}: { name: '${m.name}', type: '${MAP_TYPE[m.type] ?? m.type}', key: ${text(m.key)}, value: ${text(m.value)}, maxEntries: ${m.maxEntries}, flags: ${m.flags} },\n`,
  );
  return [
    HEADER,
    '\n/** Every map of the objects as declared in bpf/lib/maps.h; key and value name a struct or an integer. */\n',
    `export const maps = {\n${rows.join('')}} as const;\n\n`,
    'export type MapName = keyof typeof maps;\n',
  ].join('');
}

/** Digest over everything both sides must agree on: struct layouts, and key and value of each map. */
export function schemaDigest(input: Pick<Input, 'structs' | 'maps'>): string {
  const maps = input.maps.map((m) => ({ name: m.name, type: m.type, key: m.key ?? null, value: m.value ?? null }));
  return digestOf(
    canonicalJson({
      structs: input.structs.map((s) => ({ ...s, fields: s.fields.map((f) => ({ ...f, length: f.length ?? null })) })),
      maps,
    }),
  );
}

const emitSchema = (input: Input): string =>
  `${HEADER}\n/** Digest over the layouts of all structs and the shape of all maps. Operator and agent compare it in Hello. */\nexport const SCHEMA_DIGEST = '${schemaDigest(input)}';\n`;
