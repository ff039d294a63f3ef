// Careful reading of JSON that others wrote: what has another type counts as absent, what has a wrong value is remarked. Used by the readers.
import { type Cidr, type IpAddr, type ObjectKey, objectKey, parseCidrOrIp, parseIp, parsePort, parsePortProtocol } from '@axoneme/model';
import type { SlicePort } from './inputs.ts';

export type Json = Readonly<Record<string, unknown>>;

export const obj = (v: unknown): Json => (v !== null && typeof v === 'object' && !Array.isArray(v) ? (v as Json) : {});
export const list = (v: unknown): readonly unknown[] => (Array.isArray(v) ? v : []);
export const str = (v: unknown): string => (typeof v === 'string' ? v : '');
export const num = (v: unknown): number => (typeof v === 'number' && Number.isFinite(v) ? v : 0);
export const words = (v: unknown): string[] =>
  str(v)
    .split(',')
    .map((w) => w.trim())
    .filter(Boolean);

export function strings(v: unknown): Readonly<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const [k, s] of Object.entries(obj(v))) if (typeof s === 'string') out[k] = s;
  return out;
}

export const keyOfMeta = (meta: Json): ObjectKey => objectKey(str(meta.namespace), str(meta.name));

export function timeMs(v: unknown): number {
  const t = v instanceof Date ? v.getTime() : Date.parse(str(v));
  return Number.isNaN(t) ? 0 : t;
}

/** Short enough for a remark. */
export const quote = (v: unknown): string => (JSON.stringify(v) ?? 'nothing').slice(0, 60);

/** Remarks a wrong value; undefined then. */
export type Remark = (text: string) => undefined;

export function readIps(texts: unknown, field: string, remark: Remark): IpAddr[] {
  const out = list(texts).flatMap((t) => {
    const ip = parseIp(str(t));
    return ip.ok ? [ip.value] : (remark(`${field}: ${quote(t)} is not an address`) ?? []);
  });
  return [...new Set(out)];
}

export function readCidrs(texts: unknown, field: string, remark: Remark): Cidr[] {
  return list(texts).flatMap((t) => {
    const cidr = parseCidrOrIp(str(t).trim());
    return cidr.ok ? [cidr.value] : (remark(`${field}: ${quote(t)} is not a prefix`) ?? []);
  });
}

/** Undefined if it is not a port with a protocol. A port without number means all ports: only headless Services have it. */
export function readPort(raw: Json, field: string, remark: Remark): SlicePort | undefined {
  if (raw.port === undefined || raw.port === null) return undefined;
  const port = parsePort(num(raw.port));
  const protocol = parsePortProtocol(str(raw.protocol) || 'TCP');
  if (!port.ok) return remark(`${field}: ${quote(raw.port)} is not a port`);
  if (!protocol.ok) return remark(`${field}: protocol ${quote(raw.protocol)} is not served`);
  return { name: str(raw.name), protocol: protocol.value, port: port.value };
}
