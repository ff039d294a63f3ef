// Decodes the protobuf request bodies kubectl and Helm send, by the field numbers of the fact tables. Called by ./body.ts.
import type { Obj } from '../obj.ts';
import { flatFields, messageFact } from '../schema/builtin.ts';
import type { FieldFact, MessageFact } from '../schema/table.ts';
import { badRequest } from '../status-error.ts';

const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00]);
const depthMax = 64;

interface Reader {
  readonly buf: Buffer;
  pos: number;
  readonly end: number;
}

/** Opens the `k8s\0` envelope; `typeOf` says which message the kind is. */
export function decodeProtobuf(body: Buffer, typeOf: (apiVersion: string, kind: string) => string | undefined): Obj {
  if (body.length < 4 || !body.subarray(0, 4).equals(magic))
    throw badRequest('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]');
  let apiVersion = '';
  let kind = '';
  let raw: Buffer = Buffer.alloc(0);
  for (const f of fieldsOf(body.subarray(4))) {
    if (f.num === 1 && Buffer.isBuffer(f.value)) {
      for (const t of fieldsOf(f.value)) {
        if (t.num === 1) apiVersion = String(t.value);
        if (t.num === 2) kind = String(t.value);
      }
    } else if (f.num === 2 && Buffer.isBuffer(f.value)) raw = f.value;
  }
  const fact = messageFact(typeOf(apiVersion, kind) ?? '');
  if (fact === undefined) throw badRequest(`no protobuf form of ${kind} in version ${apiVersion}`);
  return { apiVersion, kind, ...readMessage(raw, fact, 0) };
}

function* fieldsOf(buf: Buffer): Generator<{ readonly num: number; readonly value: bigint | Buffer }> {
  const r: Reader = { buf, pos: 0, end: buf.length };
  while (r.pos < r.end) {
    const tag = Number(varint(r));
    const wire = tag & 7;
    if (wire === 0) yield { num: tag >>> 3, value: varint(r) };
    else if (wire === 2) {
      const n = Number(varint(r));
      if (n > r.end - r.pos) throw badRequest('truncated protobuf message');
      yield { num: tag >>> 3, value: r.buf.subarray(r.pos, r.pos + n) };
      r.pos += n;
    } else if (wire === 1 || wire === 5) {
      const n = wire === 1 ? 8 : 4;
      yield { num: tag >>> 3, value: r.buf.subarray(r.pos, r.pos + n) };
      r.pos += n;
    } else throw badRequest(`unexpected protobuf wire type ${wire}`);
  }
}

function varint(r: Reader): bigint {
  let v = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const b = r.buf[r.pos++];
    if (b === undefined || r.pos > r.end) throw badRequest('truncated protobuf message');
    v |= BigInt(b & 0x7f) << shift;
    if ((b & 0x80) === 0) return v;
  }
  throw badRequest('protobuf number too long');
}

function readMessage(buf: Buffer, fact: MessageFact, depth: number): Obj {
  if (depth > depthMax) throw badRequest('protobuf message too deep');
  const out: Obj = {};
  for (const { num, value } of fieldsOf(buf)) {
    const f = fact.fields.find((x) => x.num === num);
    if (f === undefined) continue;
    if (f.inline) {
      Object.assign(out, readMessage(value as Buffer, messageFact(f.type) as MessageFact, depth + 1));
    } else if (f.map) {
      out[f.name] ??= {};
      const map = out[f.name] as Obj;
      const [k, v] = readEntry(value as Buffer, f, depth);
      map[k] = v;
    } else if (f.list) {
      out[f.name] ??= [];
      const list = out[f.name] as unknown[];
      if (Buffer.isBuffer(value) && (f.type === 'i' || f.type === 'l')) list.push(...packed(value));
      else list.push(readValue(value, f, depth));
    } else out[f.name] = readValue(value, f, depth);
  }
  return out;
}

function packed(buf: Buffer): number[] {
  const r: Reader = { buf, pos: 0, end: buf.length };
  const out: number[] = [];
  while (r.pos < r.end) out.push(signed(varint(r)));
  return out;
}

function readEntry(buf: Buffer, f: FieldFact, depth: number): [string, unknown] {
  let key = '';
  let v: unknown = f.type === 's' || f.type === 'y' ? '' : undefined;
  for (const e of fieldsOf(buf)) {
    if (e.num === 1) key = String(e.value);
    else if (e.num === 2) v = readValue(e.value, f, depth);
  }
  return [key, v ?? null];
}

const signed = (v: bigint): number => Number(BigInt.asIntN(64, v));

function readValue(v: bigint | Buffer, f: FieldFact, depth: number): unknown {
  if (!Buffer.isBuffer(v)) return f.type === 'b' ? v !== 0n : signed(v);
  switch (f.type) {
    case 's':
      return v.toString('utf8');
    case 'y':
      return v.toString('base64');
    case 'T':
    case 'U':
      return readTime(v, f.type === 'U');
    case 'Q':
      return firstBytes(v)?.toString('utf8') ?? '0';
    case 'IS':
      return readIntOrString(v);
    case 'R':
    case 'A':
      return readRaw(v);
    case 'ExtraValue':
      return [...fieldsOf(v)].map((x) => String(x.value));
    case 'f':
      return v.readDoubleLE(0);
    default: {
      const fact = messageFact(f.type);
      return fact === undefined ? undefined : readMessage(v, fact, depth + 1);
    }
  }
}

function firstBytes(v: Buffer): Buffer | undefined {
  for (const f of fieldsOf(v)) if (f.num === 1 && Buffer.isBuffer(f.value)) return f.value;
  return undefined;
}

function readRaw(v: Buffer): unknown {
  const raw = firstBytes(v);
  if (raw === undefined || raw.length === 0) return undefined;
  try {
    return JSON.parse(raw.toString('utf8'));
  } catch {
    throw badRequest('embedded object is not JSON');
  }
}

function readTime(v: Buffer, micro: boolean): string | undefined {
  let seconds = 0n;
  let nanos = 0;
  let any = false;
  for (const f of fieldsOf(v)) {
    any = true;
    if (f.num === 1) seconds = BigInt.asIntN(64, f.value as bigint);
    if (f.num === 2) nanos = signed(f.value as bigint);
  }
  // an empty message is Go's zero time
  if (!any) return undefined;
  const text = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return micro ? `${text}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z` : `${text}Z`;
}

function readIntOrString(v: Buffer): number | string {
  let kind = 0;
  let int = 0;
  let str = '';
  for (const f of fieldsOf(v)) {
    if (f.num === 1) kind = signed(f.value as bigint);
    if (f.num === 2) int = signed(f.value as bigint);
    if (f.num === 3) str = String(f.value);
  }
  return kind === 1 ? str : int;
}

/** Names of a message's fields; for tests of the table. */
export const fieldNames = (type: string): string[] => {
  const fact = messageFact(type);
  return fact === undefined ? [] : flatFields(fact).map((f) => f.name);
};
