// Peer fields of one entry → peer selectors and references. An empty list is nobody; what is not compiled yet admits nobody.
import { entityNames, entityPeers } from './entities.ts';
import type { EntryContext, Peer } from './entry-context.ts';
import { nodeSelector } from './kubernetes-selector.ts';
import { lintLabels } from './lint-labels.ts';
import { checkFqdns } from './parse-l7.ts';
import { parseCidrSet, parseService } from './parse-references.ts';
import { isPresent, type JsonObject, listLength, readList, readSelector, readString, shown } from './read.ts';
import { readCidrOrIp } from './read-cidr.ts';
import type { Direction, PeerReference, PeerSelector } from './rules.ts';
import { scopePeer } from './scope.ts';

const kindNames = ['Endpoints', 'CIDR', 'CIDRSet', 'Entities', 'Nodes', 'Groups', 'FQDNs', 'Services'] as const;
type Kind = (typeof kindNames)[number];
const egressOnly: readonly Kind[] = ['FQDNs', 'Services'];
const sides: Readonly<Record<Direction, string>> = { ingress: 'from', egress: 'to' };
const kindsOf = (direction: Direction): readonly Kind[] => kindNames.filter((k) => direction === 'egress' || !egressOnly.includes(k));
const fieldsOf = (direction: Direction): string[] => [
  ...[...kindsOf(direction), 'Requires'].map((k) => sides[direction] + k),
  'toPorts',
  'icmps',
  'authentication',
];

/** Everything an entry may say; some of it is refused in deny entries, each with its own words. */
export const entryFields: Readonly<Record<Direction, readonly string[]>> = { ingress: fieldsOf('ingress'), egress: fieldsOf('egress') };

export interface ParsedPeers {
  readonly peers: readonly PeerSelector[];
  readonly references?: readonly PeerReference[];
}

/** Undefined: no peer field at all, so the ports decide alone. An empty list: nobody. */
export function parsePeers(ctx: EntryContext, entry: JsonObject): ParsedPeers | undefined {
  const field = (k: string): string => `${sides[ctx.direction]}${k}`;
  const kinds = kindsOf(ctx.direction).filter((k) => isPresent(entry[field(k)]));
  const filled = kinds.filter((k) => listLength(entry[field(k)]) > 0);
  if (filled.length > 1) {
    ctx.issues.error(ctx.path, `combines ${filled.map(field).join(' and ')}`, 'write one entry for each kind of peer; entries are ORed');
    return { peers: [] };
  }
  const requires = entry[field('Requires')];
  if (isPresent(requires) && !(Array.isArray(requires) && requires.length === 0))
    ctx.issues.error(`${ctx.path}.${field('Requires')}`, 'is no longer part of the API', 'use matchExpressions in the endpoint selector');
  if (kinds.length === 0) return undefined;
  const all = kinds.flatMap((k) => parseKind(ctx, k, `${ctx.path}.${field(k)}`, entry[field(k)]));
  if (filled.length === 0)
    ctx.issues.lint(`${ctx.path}.${field(kinds[0]!)}`, 'an empty list selects nobody', 'remove the field to mean any peer');
  const references = all.flatMap((p) => ('reference' in p ? [p.reference] : []));
  const peers = all.flatMap((p) => ('peer' in p ? [p.peer] : []));
  return references.length === 0 ? { peers } : { peers, references };
}

function parseKind(ctx: EntryContext, kind: Kind, path: string, value: unknown): readonly Peer[] {
  const list = readList(ctx.issues, path, value) ?? [];
  const each = (parse: (ctx: EntryContext, at: string, item: unknown) => readonly Peer[]): Peer[] =>
    list.flatMap((item, i) => {
      if (!isPresent(item)) ctx.issues.error(`${path}[${i}]`, 'must not be empty');
      return parse(ctx, `${path}[${i}]`, item);
    });
  switch (kind) {
    case 'Endpoints':
      return each(parseEndpoints);
    case 'Entities':
      return each(parseEntity);
    case 'CIDR':
      return each(parsePlainCidr);
    case 'CIDRSet':
      return each(parseCidrSet);
    case 'Nodes':
      return each(parseNodes);
    case 'Services':
      return each(parseService);
    case 'FQDNs':
      return parseFqdns(ctx, path, list);
    case 'Groups':
      if (list.length > 0)
        ctx.issues.error(
          path,
          'groups of a cloud provider are not available',
          'list their prefixes in a CiliumCIDRGroup and use cidrGroupRef',
        );
      return [];
  }
}

function parseEndpoints(ctx: EntryContext, path: string, item: unknown): readonly Peer[] {
  const raw = readSelector(ctx.issues, path, item);
  if (raw === undefined) return [];
  const selector = scopePeer(raw, ctx.scope, ctx.subject);
  if (!selector.ok) {
    ctx.issues.error(path, selector.error.message, selector.error.hint);
    return [];
  }
  lintLabels(ctx.issues, path, selector.value, ctx.filter);
  return [{ peer: { kind: 'labels', selector: selector.value } }];
}

function parseNodes(ctx: EntryContext, path: string, item: unknown): readonly Peer[] {
  const selector = nodeSelector(ctx.issues, path, item);
  return selector === undefined ? [] : [{ peer: { kind: 'nodes', selector } }];
}

function parseEntity(ctx: EntryContext, path: string, item: unknown): readonly Peer[] {
  const name = readString(ctx.issues, path, item);
  if (name === undefined) return [];
  const peers = entityPeers(name, ctx.scope.clusterName);
  if (peers === undefined) ctx.issues.error(path, `unknown entity ${shown(name)}`, `use one of ${entityNames.join(', ')}`);
  return (peers ?? []).map((peer) => ({ peer }));
}

function parsePlainCidr(ctx: EntryContext, path: string, item: unknown): readonly Peer[] {
  const cidr = readCidrOrIp(ctx.issues, path, item);
  return cidr === undefined ? [] : [{ peer: { kind: 'cidr', cidr, except: [] } }];
}

/** Checked, and compiled to nobody: nothing learns names yet. */
function parseFqdns(ctx: EntryContext, path: string, list: readonly unknown[]): readonly Peer[] {
  if (ctx.deny) {
    ctx.issues.error(path, 'names cannot be used in deny rules', 'use toCIDRSet');
    return [];
  }
  checkFqdns(ctx.issues, path, list);
  if (list.length > 0) ctx.issues.unsupported(path, 'selecting peers by DNS name is not supported yet: nothing is allowed by it');
  return [];
}
