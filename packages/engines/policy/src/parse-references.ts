// Items of toServices and of fromCIDRSet/toCIDRSet → references and prefixes. Called by the peer parser.
import { type Cidr, cidrContains, cidrFamily, compileSelector, type Selector } from '@axoneme/model';
import type { EntryContext, Peer } from './entry-context.ts';
import { checkFields, isPresent, readList, readObject, readSelector, readString, shown } from './read.ts';
import { readCidr, sortCidrs } from './read-cidr.ts';

const nameText = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomainText = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const nameLengthMax = 63;
const subdomainLengthMax = 253;

export function parseService(ctx: EntryContext, path: string, item: unknown): readonly Peer[] {
  const raw = readObject(ctx.issues, path, item);
  if (raw === undefined) return [];
  checkFields(ctx.issues, path, raw, ['k8sService', 'k8sServiceSelector']);
  if (!isPresent(raw.k8sService) && !isPresent(raw.k8sServiceSelector))
    ctx.issues.error(path, 'needs k8sService or k8sServiceSelector', 'name the Service, or select Services by label');
  return [
    ...parseServiceName(ctx, `${path}.k8sService`, raw.k8sService),
    ...parseServiceSelector(ctx, `${path}.k8sServiceSelector`, raw.k8sServiceSelector),
  ];
}

function parseServiceName(ctx: EntryContext, path: string, value: unknown): Peer[] {
  const raw = readObject(ctx.issues, path, value);
  if (raw === undefined) return [];
  checkFields(ctx.issues, path, raw, ['serviceName', 'namespace']);
  const name = readString(ctx.issues, `${path}.serviceName`, raw.serviceName) ?? '';
  const namespace = readNamespace(ctx, `${path}.namespace`, raw.namespace);
  if (name === '') ctx.issues.error(`${path}.serviceName`, 'the name of the Service is missing');
  else if (!isName(name)) ctx.issues.error(`${path}.serviceName`, `${shown(name)} is not the name of a Service`);
  return [{ reference: { kind: 'service', namespace, name, clusterName: ctx.scope.clusterName } }];
}

function parseServiceSelector(ctx: EntryContext, path: string, value: unknown): Peer[] {
  const raw = readObject(ctx.issues, path, value);
  if (raw === undefined) return [];
  checkFields(ctx.issues, path, raw, ['selector', 'namespace']);
  const namespace = readNamespace(ctx, `${path}.namespace`, raw.namespace);
  if (!isPresent(raw.selector))
    ctx.issues.error(`${path}.selector`, 'the selector is missing', 'write "selector: {}" to mean every Service');
  const selector = readLabels(ctx, `${path}.selector`, raw.selector);
  return selector === undefined ? [] : [{ reference: { kind: 'service', namespace, selector, clusterName: ctx.scope.clusterName } }];
}

/** Empty: every namespace. */
function readNamespace(ctx: EntryContext, path: string, value: unknown): string {
  const name = readString(ctx.issues, path, value) ?? '';
  if (name !== '' && !isName(name)) ctx.issues.error(path, `${shown(name)} is not the name of a namespace`);
  return name;
}

const isName = (text: string): boolean => text.length <= nameLengthMax && nameText.test(text);

function readLabels(ctx: EntryContext, path: string, value: unknown): Selector | undefined {
  const raw = readSelector(ctx.issues, path, value);
  if (raw === undefined) return undefined;
  const compiled = compileSelector(raw);
  if (compiled.ok) return compiled.value;
  ctx.issues.error(path, compiled.error.message, compiled.error.hint);
  return undefined;
}

const ways = ['cidr', 'cidrGroupRef', 'cidrGroupSelector'] as const;

export function parseCidrSet(ctx: EntryContext, path: string, item: unknown): readonly Peer[] {
  const raw = readObject(ctx.issues, path, item);
  if (raw === undefined) return [];
  checkFields(ctx.issues, path, raw, [...ways, 'except']);
  const used = ways.filter((k) => isPresent(raw[k]) && raw[k] !== '');
  if (used.length !== 1) {
    ctx.issues.error(path, 'needs exactly one of cidr, cidrGroupRef, cidrGroupSelector');
    return [];
  }
  const cidr = used[0] === 'cidr' ? readCidr(ctx.issues, `${path}.cidr`, raw.cidr) : undefined;
  const written = (readList(ctx.issues, `${path}.except`, raw.except) ?? []).flatMap((e, i) =>
    readExcept(ctx, `${path}.except[${i}]`, e, cidr),
  );
  const except = sortCidrs(written);
  if (used[0] === 'cidrGroupRef') return parseGroupName(ctx, `${path}.cidrGroupRef`, raw.cidrGroupRef, except);
  if (used[0] === 'cidrGroupSelector') {
    const selector = readLabels(ctx, `${path}.cidrGroupSelector`, raw.cidrGroupSelector);
    return selector === undefined ? [] : [{ reference: { kind: 'cidrGroup', selector, except } }];
  }
  return cidr === undefined ? [] : [{ peer: { kind: 'cidr', cidr, except } }];
}

function parseGroupName(ctx: EntryContext, path: string, value: unknown, except: readonly Cidr[]): Peer[] {
  const name = readString(ctx.issues, path, value);
  if (name === undefined) return [];
  if (name.length > subdomainLengthMax || !subdomainText.test(name)) {
    ctx.issues.error(path, `${shown(name)} is not the name of a CiliumCIDRGroup`);
    return [];
  }
  return [{ reference: { kind: 'cidrGroup', name, except } }];
}

function readExcept(ctx: EntryContext, path: string, value: unknown, cidr: Cidr | undefined): Cidr[] {
  const except = readCidr(ctx.issues, path, value);
  if (except === undefined || cidr === undefined) return except === undefined ? [] : [except];
  if (cidrContains(cidr, except)) return [except];
  const why = cidrFamily(cidr) === cidrFamily(except) ? `is not inside ${cidr}` : 'is of the other address family';
  ctx.issues.error(path, `${except} ${why}`, 'an exception must lie inside its cidr');
  return [];
}
