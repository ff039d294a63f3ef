// from and to of the admin policies → peer selectors. Called by the admin parser.

import { type AdminRuleContext, podsOf } from './admin-context.ts';
import { namespaceRequirements, nodeSelector, peerSelector } from './kubernetes-selector.ts';
import { isPresent, type JsonObject, listLength, readList, readObject, shown } from './read.ts';
import { readBlock } from './read-cidr.ts';
import type { PeerSelector } from './rules.ts';

export interface AdminPeers {
  readonly peers: readonly PeerSelector[];
  /** A peer of a kind we know and cannot enforce yet. */
  readonly unsupported: boolean;
  /** A peer of a kind we do not know. */
  readonly unknown: boolean;
  /** Field of a peer that has no named ports: nodes, networks, domainNames. */
  readonly addressed: string | undefined;
}

const peerKinds = { ingress: ['namespaces', 'pods'], egress: ['namespaces', 'pods', 'nodes', 'networks', 'domainNames'] } as const;
type PeerKind = (typeof peerKinds.egress)[number];
const addressKinds: readonly PeerKind[] = ['nodes', 'networks', 'domainNames'];
const blocksMax = 25;
const domainLengthMax = 253;
const domainText = /^(\*\.)?[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?)+\.?$/;

export function parseAdminPeers(ctx: AdminRuleContext, path: string, value: unknown): AdminPeers {
  const list = readList(ctx.issues, path, value) ?? [];
  if (list.length === 0) ctx.issues.error(path, 'names no peer', 'write "namespaces: {}" to mean every pod');
  const { itemsMax } = ctx.dialect;
  if (list.length > itemsMax) ctx.issues.error(path, `has ${list.length} peers, at most ${itemsMax} are possible`, 'use a second rule');
  const parsed = list.slice(0, itemsMax).map((item, i) => parsePeer(ctx, `${path}[${i}]`, item));
  return {
    peers: parsed.flatMap((p) => p.peers),
    unsupported: parsed.some((p) => p.kind === 'domainNames'),
    unknown: parsed.some((p) => p.kind === undefined),
    addressed: parsed.find((p) => p.kind !== undefined && addressKinds.includes(p.kind))?.kind,
  };
}

interface ParsedPeer {
  readonly kind: PeerKind | undefined;
  readonly peers: readonly PeerSelector[];
}

function parsePeer(ctx: AdminRuleContext, path: string, item: unknown): ParsedPeer {
  const raw = readObject(ctx.issues, path, item) ?? {};
  const kinds: readonly PeerKind[] = peerKinds[ctx.direction];
  const present = Object.keys(raw).filter((k) => isPresent(raw[k]));
  const kind = kinds.find((k) => present.includes(k));
  if (present.length > 1)
    ctx.issues.error(path, `combines ${present.slice(0, 4).map(shown).join(' and ')}`, 'write one item for each; items are ORed');
  if (kind !== undefined) return { kind, peers: parseKind(ctx, kind, `${path}.${kind}`, raw) };
  const what = present.length === 0 ? 'names no peer' : `peer ${shown(present[0])} is not known at ${ctx.direction}`;
  ctx.issues.unsupported(path, `${what}: ${effect(ctx)}`);
  return { kind: undefined, peers: [] };
}

/** In a deny and a pass the whole rule becomes a deny of everything, as the API asks. */
const effect = (ctx: AdminRuleContext): string => (ctx.action === 'allow' ? 'the rule allows nothing' : 'the rule denies everything');

function parseKind(ctx: AdminRuleContext, kind: PeerKind, path: string, raw: JsonObject): PeerSelector[] {
  switch (kind) {
    case 'namespaces':
      return labelPeer(ctx, namespaceRequirements(ctx.selectors, path, raw.namespaces));
    case 'pods':
      return labelPeer(ctx, podsOf(ctx, path, raw.pods));
    case 'nodes': {
      const selector = nodeSelector(ctx.issues, path, raw.nodes);
      return selector === undefined ? [] : [{ kind: 'nodes', selector }];
    }
    case 'networks':
      return parseNetworks(ctx, path, raw.networks);
    case 'domainNames':
      return parseDomains(ctx, path, raw.domainNames);
  }
}

const labelPeer = (ctx: AdminRuleContext, requirements: ReturnType<typeof podsOf>): PeerSelector[] =>
  requirements === undefined ? [] : [{ kind: 'labels', selector: peerSelector(ctx.selectors, requirements) }];

function parseNetworks(ctx: AdminRuleContext, path: string, value: unknown): PeerSelector[] {
  return readItems(ctx, path, value).flatMap((item, i) => {
    const cidr = readBlock(ctx.issues, `${path}[${i}]`, item);
    return cidr === undefined ? [] : [{ kind: 'block', cidr, except: [] } as const];
  });
}

/** Checked, and compiled to nobody: nothing learns names yet. */
function parseDomains(ctx: AdminRuleContext, path: string, value: unknown): PeerSelector[] {
  for (const [i, item] of readItems(ctx, path, value).entries()) {
    if (typeof item !== 'string' || item.length > domainLengthMax || !domainText.test(item))
      ctx.issues.error(`${path}[${i}]`, `${shown(item)} is not a domain name`, 'write name.example or *.name.example');
  }
  const covers = ctx.action === 'allow' ? 'nothing is allowed by them' : 'the rule denies every peer';
  ctx.issues.unsupported(path, `peers by domain name are not supported yet: ${covers}`);
  return [];
}

function readItems(ctx: AdminRuleContext, path: string, value: unknown): readonly unknown[] {
  const list = readList(ctx.issues, path, value) ?? [];
  if (listLength(value) === 0) ctx.issues.error(path, 'is empty', 'list at least one');
  if (list.length > blocksMax) ctx.issues.error(path, `has ${list.length} items, at most ${blocksMax} are possible`, 'use a second item');
  return list.slice(0, blocksMax);
}
