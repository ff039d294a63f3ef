// String formats the API server checks; unknown ones are ignored. Used by validation and CEL.
import { isIP } from 'node:net';
import type { Cause } from '../status-error.ts';

const uuid = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
const duration = /^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*$|^0$/;
const hostname = /^([a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)*$/;

export function isCidr(v: string): boolean {
  const m = /^(.+)\/(\d{1,3})$/.exec(v);
  if (m === null) return false;
  const family = isIP(m[1] ?? '');
  return family !== 0 && Number(m[2]) <= (family === 4 ? 32 : 128);
}

export function isUri(v: string): boolean {
  try {
    return new URL(v).protocol !== '';
  } catch {
    return v.startsWith('/');
  }
}

const checks: Readonly<Record<string, (v: string) => boolean>> = {
  ipv4: (v) => isIP(v) === 4,
  ipv6: (v) => isIP(v) === 6,
  cidr: isCidr,
  uri: isUri,
  uuid: (v) => uuid.test(v),
  'date-time': (v) => rfc3339.test(v) && !Number.isNaN(Date.parse(v)),
  date: (v) => /^\d{4}-\d{2}-\d{2}$/.test(v) && !Number.isNaN(Date.parse(v)),
  duration: (v) => duration.test(v),
  hostname: (v) => v.length <= 255 && hostname.test(v),
  email: (v) => /^[^@\s]+@[^@\s]+$/.test(v),
  mac: (v) => /^([0-9A-Fa-f]{2}[:-]){5}([0-9A-Fa-f]{2})$/.test(v),
  byte: (v) => /^[A-Za-z0-9+/]*={0,2}$/.test(v) && v.length % 4 === 0,
};

export function formatCause(format: string, v: string, path: string): Cause | undefined {
  if (checks[format]?.(v) !== false) return undefined;
  return {
    reason: 'FieldValueInvalid',
    field: path,
    message: `Invalid value: ${JSON.stringify(v)}: ${path} in body must be of type ${format}: ${JSON.stringify(v)}`,
  };
}
