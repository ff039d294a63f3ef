// Security identities: the number space and the reserved table. Called by identity, policy, span and the row mappers.
import { type Brand, fail, ok, type Result } from '@axoneme/std';
import { createLabels, type Label, type Labels } from './labels.ts';

/** Unsigned 32-bit number of a set of security labels. 0 is no identity (and "any peer" in policy rows). */
export type IdentityId = Brand<number, 'IdentityId'>;

export type IdentityScope = 'reserved' | 'cluster' | 'cidr' | 'node' | 'invalid';

export const identityRanges = {
  reservedLast: 255,
  clusterFirst: 256,
  clusterLast: 65_535,
  cidrFirst: 0x0100_0001,
  cidrLast: 0x01ff_ffff,
  nodeFirst: 0x0200_0001,
} as const;

export function parseIdentityId(value: number | string): Result<IdentityId> {
  const n = typeof value === 'number' ? value : /^[0-9]{1,10}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isInteger(n) && n >= 1 && n <= 0xffff_ffff) return ok(n as IdentityId);
  return fail({ code: 'model/invalid-identity', message: `"${String(value).slice(0, 32)}" is not an identity number` });
}

/** Cluster id bits sit above the low 16; cluster 0 numbers are 256–65535. */
export function identityScope(id: IdentityId): IdentityScope {
  if (id <= 0) return 'invalid';
  if (id <= identityRanges.reservedLast) return 'reserved';
  if (id < 0x0100_0000) return 'cluster';
  if (id <= identityRanges.cidrLast) return 'cidr';
  return id < 0x0300_0000 ? 'node' : 'invalid';
}

export const isCidrIdentity = (id: IdentityId): boolean => identityScope(id) === 'cidr';
export const identityClusterId = (id: IdentityId): number => (identityScope(id) === 'cluster' ? id >>> 16 : 0);

export const reservedNames = [
  'host',
  'world',
  'unmanaged',
  'health',
  'init',
  'remote-node',
  'kube-apiserver',
  'ingress',
  'world-ipv4',
  'world-ipv6',
  'unlisted',
] as const;
export type ReservedName = (typeof reservedNames)[number];

/** 99 `unlisted` is a pod of the cluster that no policy on this node mentions; no selector ever matches it. */
export const reservedIds: Readonly<Record<ReservedName, IdentityId>> = {
  host: 1 as IdentityId,
  world: 2 as IdentityId,
  unmanaged: 3 as IdentityId,
  health: 4 as IdentityId,
  init: 5 as IdentityId,
  'remote-node': 6 as IdentityId,
  'kube-apiserver': 7 as IdentityId,
  ingress: 8 as IdentityId,
  'world-ipv4': 9 as IdentityId,
  'world-ipv6': 10 as IdentityId,
  unlisted: 99 as IdentityId,
};

/** "Any peer" in policy rows. */
export const anyPeer = 0 as IdentityId;

const reserved = (key: string): Label => ({ source: 'reserved', key, value: '' });

/** Labels of a reserved identity. `kube-apiserver` also carries `remote-node`: the API servers are nodes. */
export function reservedLabels(name: ReservedName): Labels {
  return createLabels(name === 'kube-apiserver' ? [reserved('kube-apiserver'), reserved('remote-node')] : [reserved(name)]);
}

const namesById = new Map<IdentityId, ReservedName>(reservedNames.map((n) => [reservedIds[n], n]));
export const reservedNameOf = (id: IdentityId): ReservedName | undefined => namesById.get(id);

const idsByText = new Map<string, IdentityId>(reservedNames.map((n) => [reservedLabels(n).text, reservedIds[n]]));
/** The reserved identity with exactly these labels. */
export const reservedIdOf = (labels: Labels): IdentityId | undefined => idsByText.get(labels.text);

/** Every reserved identity with its labels, ascending. */
export const reservedIdentities: readonly { readonly id: IdentityId; readonly name: ReservedName; readonly labels: Labels }[] =
  reservedNames.map((name) => ({ id: reservedIds[name], name, labels: reservedLabels(name) }));

/** Numbers an address outside the cluster may have. */
export const worldIds: readonly IdentityId[] = [reservedIds.world, reservedIds['world-ipv4'], reservedIds['world-ipv6']];
