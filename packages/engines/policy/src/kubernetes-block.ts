// ipBlock of NetworkPolicy and networks of the admin policies → block peers. Called by their parsers.
import { type Cidr, cidrAround, cidrContains, cidrFamily, compareCidr, parseCidr, parseIp } from '@axoneme/model';
import type { IssueList } from './issues.ts';
import { checkFields, isPresent, readList, readObject, readString } from './read.ts';
import type { PeerSelector } from './rules.ts';

export function parseIpBlock(issues: IssueList, path: string, value: unknown): PeerSelector[] {
  const raw = readObject(issues, path, value);
  if (raw === undefined) return [];
  checkFields(issues, path, raw, ['cidr', 'except']);
  if (!isPresent(raw.cidr)) issues.error(`${path}.cidr`, 'the prefix is missing', 'write address/bits, for example 10.0.0.0/8');
  const cidr = readBlock(issues, `${path}.cidr`, raw.cidr);
  const except = (readList(issues, `${path}.except`, raw.except) ?? []).flatMap((e, i) =>
    readException(issues, `${path}.except[${i}]`, e, cidr),
  );
  return cidr === undefined ? [] : [{ kind: 'block', cidr, except: [...new Set(except)].sort(compareCidr) }];
}

/** Kubernetes admits prefixes with host bits and reads them without. */
export function readBlock(issues: IssueList, path: string, value: unknown): Cidr | undefined {
  const text = readString(issues, path, value);
  if (text === undefined) return undefined;
  const cidr = parseCidr(text);
  if (cidr.ok) return cidr.value;
  const masked = withoutHostBits(text);
  if (masked === undefined) issues.error(path, cidr.error.message, cidr.error.hint);
  else issues.lint(path, `"${text}" has host bits set: it is read as ${masked}`, `write ${masked}`);
  return masked;
}

function withoutHostBits(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const ip = parseIp(text.slice(0, Math.max(slash, 0)));
  const bits = text.slice(slash + 1);
  if (!ip.ok || !/^(0|[1-9][0-9]{0,2})$/.test(bits) || Number(bits) > (ip.value.includes(':') ? 128 : 32)) return undefined;
  return cidrAround(ip.value, Number(bits));
}

function readException(issues: IssueList, path: string, value: unknown, cidr: Cidr | undefined): Cidr[] {
  if (!isPresent(value)) issues.error(path, 'must not be empty');
  const except = readBlock(issues, path, value);
  if (except === undefined || cidr === undefined) return [];
  if (except !== cidr && cidrContains(cidr, except)) return [except];
  const why =
    except === cidr
      ? 'leaves nothing of it'
      : cidrFamily(cidr) === cidrFamily(except)
        ? `is not inside ${cidr}`
        : 'is of the other address family';
  issues.error(path, `${except} ${why}`, 'an exception must lie inside its cidr and be smaller');
  return [];
}
