// ipBlock of NetworkPolicy → a block peer. Called by the NetworkPolicy parser.
import { type Cidr, cidrContains, cidrFamily } from '@axoneme/model';
import type { IssueList } from './issues.ts';
import { checkFields, isPresent, readList, readObject } from './read.ts';
import { readBlock, sortCidrs } from './read-cidr.ts';
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
  return cidr === undefined ? [] : [{ kind: 'block', cidr, except: sortCidrs(except) }];
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
