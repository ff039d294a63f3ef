// What the mirror holds, and under which keys. Called by mirror and follower.

export interface IdentityRecord {
  readonly labels: Readonly<Record<string, string>>;
}
export interface IpRecord {
  readonly identity: number;
  /** Node that hosts the address; empty for addresses outside the cluster. */
  readonly node: string;
}
export interface NodeRecord {
  readonly addresses: readonly string[];
  readonly podCidrs: readonly string[];
}
export interface ServiceRecord {
  /** Digest of the compiled service: equal digests mean equal backends. */
  readonly digest: string;
  readonly frontends: readonly string[];
  readonly backends: readonly string[];
}
export interface RevisionRecord {
  readonly revision: number;
  readonly epoch: number;
}

/** Values by kind; keys are: identity number, address or prefix, node name, `namespace/name`, operator id. */
export interface Records {
  identity: IdentityRecord;
  ip: IpRecord;
  node: NodeRecord;
  service: ServiceRecord;
  revision: RevisionRecord;
}

export type Kind = keyof Records;
export const kinds: readonly Kind[] = ['identity', 'ip', 'node', 'service', 'revision'];

const plural: Readonly<Record<Kind, string>> = {
  identity: 'identities',
  ip: 'ips',
  node: 'nodes',
  service: 'services',
  revision: 'revisions',
};

export type Entry = { [K in Kind]: readonly [kind: K, key: string, value: Records[K]] }[Kind];
export type View = { readonly [K in Kind]: ReadonlyMap<string, Records[K]> };

export interface Keys {
  readonly meta: string;
  readonly journal: string;
  readonly hashes: readonly string[];
  hash(kind: Kind): string;
  lease(name: string): string;
}

/** `axoneme/<cluster>/…`: one hash per kind, one journal, one string per lease. */
export function keysOf(cluster: string): Keys {
  const hash = (kind: Kind): string => `axoneme/${cluster}/${plural[kind]}`;
  return {
    meta: `axoneme/${cluster}/meta`,
    journal: `axoneme/${cluster}/journal`,
    hashes: kinds.map(hash),
    hash,
    lease: (name) => `axoneme/${cluster}/leases/${name}`,
  };
}
