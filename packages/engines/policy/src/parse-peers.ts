// Peer fields of one entry → peer selectors. Fail-closed: an allow by something not compiled reaches nobody, a deny reaches the wider set.
import { type Cidr, cidrContains, cidrFamily, compareCidr, type LabelSelector, parseCidr, parseCidrOrIp } from '@axoneme/model';
import { entityNames, entityPeers, reservedPeer } from './entities.ts';
import type { EntryContext } from './entry-context.ts';
import { checkFqdns } from './parse-l7.ts';
import { isPresent, type JsonObject, listLength, readList, readObject, readString } from './read.ts';
import type { PeerSelector } from './rules.ts';
import { scopePeer } from './scope.ts';

const kindNames = ['Endpoints', 'CIDR', 'CIDRSet', 'Entities', 'Nodes', 'Groups', 'FQDNs', 'Services'] as const;
type Kind = (typeof kindNames)[number];

/** Undefined: no peer field at all, so the ports decide alone. An empty list: nobody. */
export function parsePeers(ctx: EntryContext, entry: JsonObject): readonly PeerSelector[] | undefined {
  const prefix = ctx.direction === 'ingress' ? 'from' : 'to';
  const field = (k: Kind): string => `${prefix}${k}`;
  const kinds = kindNames.filter((k) => isPresent(entry[field(k)]) && (ctx.direction === 'egress' || (k !== 'FQDNs' && k !== 'Services')));
  const filled = kinds.filter((k) => listLength(entry[field(k)]) > 0);
  if (filled.length > 1) {
    ctx.issues.error(ctx.path, `combines ${filled.map(field).join(' and ')}`, 'write one entry for each kind of peer; entries are ORed');
    return [];
  }
  if (listLength(entry[`${prefix}Requires`]) > 0)
    ctx.issues.error(`${ctx.path}.${prefix}Requires`, 'is no longer part of the API', 'use matchExpressions in the endpoint selector');
  if (kinds.length === 0) return undefined;
  const peers = kinds.flatMap((k) => parseKind(ctx, k, `${ctx.path}.${field(k)}`, entry[field(k)]));
  if (filled.length === 0)
    ctx.issues.lint(`${ctx.path}.${field(kinds[0]!)}`, 'an empty list selects nobody', 'remove the field to mean any peer');
  return peers;
}

function parseKind(ctx: EntryContext, kind: Kind, path: string, value: unknown): readonly PeerSelector[] {
  const list = readList(ctx.issues, path, value) ?? [];
  const each = (parse: (at: string, item: unknown) => readonly PeerSelector[]): PeerSelector[] =>
    list.flatMap((item, i) => parse(`${path}[${i}]`, item));
  switch (kind) {
    case 'Endpoints':
      return each((at, item) => parseEndpoints(ctx, at, item));
    case 'Entities':
      return each((at, item) => parseEntity(ctx, at, item));
    case 'CIDR':
      return each((at, item) => parsePlainCidr(ctx, at, item));
    case 'CIDRSet':
      return each((at, item) => parseCidrSet(ctx, at, item));
    case 'FQDNs':
      return parseFqdns(ctx, path, list);
    case 'Nodes':
      return list.length === 0 ? [] : wider(ctx, path, 'selecting nodes by label', [reservedPeer('remote-node')]);
    case 'Groups':
      return list.length === 0 ? [] : wider(ctx, path, 'selecting cloud groups', [{ kind: 'any' }]);
    case 'Services':
      return list.length === 0 ? [] : wider(ctx, path, 'selecting Services', [{ kind: 'any' }]);
  }
}

/** Not compiled yet: reported, and on the safe side. */
function wider(ctx: EntryContext, path: string, what: string, superset: readonly PeerSelector[]): readonly PeerSelector[] {
  const effect = ctx.deny ? 'the deny covers more than written' : 'nothing is allowed by it';
  ctx.issues.unsupported(path, `${what} is not supported yet: ${effect}`);
  return ctx.deny ? superset : [];
}

function parseEndpoints(ctx: EntryContext, path: string, item: unknown): readonly PeerSelector[] {
  const raw = readObject(ctx.issues, path, item);
  if (raw === undefined) return [];
  const selector = scopePeer(raw as LabelSelector, ctx.scope, ctx.subject);
  if (selector.ok) return [{ kind: 'labels', selector: selector.value }];
  ctx.issues.error(path, selector.error.message, selector.error.hint);
  return [];
}

function parseEntity(ctx: EntryContext, path: string, item: unknown): readonly PeerSelector[] {
  const name = readString(ctx.issues, path, item);
  if (name === undefined) return [];
  const peers = entityPeers(name, ctx.scope.clusterName);
  if (peers === undefined) ctx.issues.error(path, `unknown entity "${name.slice(0, 64)}"`, `use one of ${entityNames.join(', ')}`);
  return peers ?? [];
}

function parsePlainCidr(ctx: EntryContext, path: string, item: unknown): readonly PeerSelector[] {
  const text = readString(ctx.issues, path, item);
  if (text === undefined) return [];
  const cidr = parseCidrOrIp(text);
  if (cidr.ok) return [{ kind: 'cidr', cidr: cidr.value, except: [] }];
  ctx.issues.error(path, cidr.error.message, cidr.error.hint);
  return [];
}

function parseCidrSet(ctx: EntryContext, path: string, item: unknown): readonly PeerSelector[] {
  const raw = readObject(ctx.issues, path, item);
  if (raw === undefined) return [];
  const ways = ['cidr', 'cidrGroupRef', 'cidrGroupSelector'].filter((k) => isPresent(raw[k]) && raw[k] !== '');
  if (ways.length !== 1) {
    ctx.issues.error(path, 'needs exactly one of cidr, cidrGroupRef, cidrGroupSelector');
    return [];
  }
  const cidr = ways[0] === 'cidr' ? readCidr(ctx, `${path}.cidr`, raw.cidr) : undefined;
  const except = (readList(ctx.issues, `${path}.except`, raw.except) ?? []).flatMap((e, i) =>
    readExcept(ctx, `${path}.except[${i}]`, e, cidr),
  );
  if (ways[0] !== 'cidr')
    return wider(ctx, `${path}.${ways[0]}`, 'selecting a CiliumCIDRGroup', ['world', 'world-ipv4', 'world-ipv6'].map(reservedPeer));
  return cidr === undefined ? [] : [{ kind: 'cidr', cidr, except: [...new Set(except)].sort(compareCidr) }];
}

function readCidr(ctx: EntryContext, path: string, value: unknown): Cidr | undefined {
  const text = readString(ctx.issues, path, value);
  if (text === undefined) return undefined;
  const cidr = parseCidr(text);
  if (cidr.ok) return cidr.value;
  ctx.issues.error(path, cidr.error.message, cidr.error.hint);
  return undefined;
}

function readExcept(ctx: EntryContext, path: string, value: unknown, cidr: Cidr | undefined): Cidr[] {
  const except = readCidr(ctx, path, value);
  if (except === undefined || cidr === undefined) return except === undefined ? [] : [except];
  if (cidrContains(cidr, except)) return [except];
  const why = cidrFamily(cidr) === cidrFamily(except) ? `is not inside ${cidr}` : 'is of the other address family';
  ctx.issues.error(path, `${except} ${why}`, 'an exception must lie inside its cidr');
  return [];
}

function parseFqdns(ctx: EntryContext, path: string, list: readonly unknown[]): readonly PeerSelector[] {
  if (ctx.deny) {
    ctx.issues.error(path, 'names cannot be used in deny rules', 'use toCIDRSet');
    return [];
  }
  checkFqdns(ctx.issues, path, list);
  return list.length === 0 ? [] : wider(ctx, path, 'selecting peers by DNS name', []);
}
