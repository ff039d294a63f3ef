// CiliumCIDRGroup → prefixes under a name and labels. Called by the operator, by the admission check and by the command line.
import type { Cidr } from '@axoneme/model';
import { createIssueList, type PolicyIssue } from './issues.ts';
import { checkFields, isPresent, readList, readObject, readString, shown } from './read.ts';
import { readBlock, sortCidrs } from './read-cidr.ts';
import { type CidrGroup, cidrGroupLabels } from './references.ts';

export const cidrGroupKind = 'CiliumCIDRGroup';
/** As many as fit into an object. */
const prefixesMax = 100_000;
const apiVersions: readonly string[] = ['cilium.io/v2', 'cilium.io/v2alpha1'];

export interface ParsedCidrGroup {
  /** The prefixes that could be read: one that is wrong must not open what the others close. */
  readonly group: CidrGroup;
  /** The object is refused at admission if one of them is an error. */
  readonly issues: readonly PolicyIssue[];
}

export function parseCidrGroup(object: unknown): ParsedCidrGroup {
  const issues = createIssueList();
  const root = readObject(issues, '', object) ?? {};
  checkFields(issues, '', root, ['apiVersion', 'kind', 'metadata', 'spec', 'status']);
  if (isPresent(root.kind) && root.kind !== cidrGroupKind) issues.error('kind', `${shown(root.kind)} is not ${cidrGroupKind}`);
  if (isPresent(root.apiVersion) && !apiVersions.includes(root.apiVersion as string))
    issues.error('apiVersion', `${cidrGroupKind} of ${shown(root.apiVersion)} is not known`, `use ${apiVersions[0]}`);
  const metadata = readObject(issues, 'metadata', root.metadata) ?? {};
  const name = readString(issues, 'metadata.name', metadata.name) ?? '';
  const labels = Object.entries(readObject(issues, 'metadata.labels', metadata.labels) ?? {}).filter(
    (l): l is [string, string] => typeof l[1] === 'string',
  );
  const spec = readObject(issues, 'spec', root.spec) ?? {};
  checkFields(issues, 'spec', spec, ['externalCIDRs']);
  if (!isPresent(spec.externalCIDRs))
    issues.error('spec.externalCIDRs', 'the list is missing', 'write "externalCIDRs: []" for an empty group');
  const found = (readList(issues, 'spec.externalCIDRs', spec.externalCIDRs, prefixesMax) ?? []).flatMap((item, i): Cidr[] => {
    if (!isPresent(item)) issues.error(`spec.externalCIDRs[${i}]`, 'must not be empty');
    const cidr = readBlock(issues, `spec.externalCIDRs[${i}]`, item);
    return cidr === undefined ? [] : [cidr];
  });
  const cidrs = sortCidrs(found);
  return { group: { name, labels: cidrGroupLabels(name, Object.fromEntries(labels)), cidrs }, issues: issues.items };
}
