// Who may have an address together with others. Used by lb-ipam.ts.

import type { IpAddr, IpFamily, Labels } from '@axoneme/model';

/** A Service of type LoadBalancer, or one that was. */
export interface LbService {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly createdMs: number;
  /** ours: it gets addresses. leaving: being deleted, keeps what it has. released: had them from us, is not ours any more. other: out of reach. */
  readonly standing: 'ours' | 'leaving' | 'released' | 'other';
  /** It says of itself that we gave it addresses, or could not. */
  readonly marked: boolean;
  readonly families: readonly IpFamily[];
  /** It names the addresses it wants: these, and no others. */
  readonly pinned: boolean;
  readonly requested: readonly IpAddr[];
  /** Wishes that cannot be read. */
  readonly problems: readonly string[];
  readonly sharingKey: string;
  /** Namespaces it shares with beside its own; `*` is all. */
  readonly sharingNamespaces: ReadonlySet<string>;
  /** `80/TCP`. */
  readonly ports: ReadonlySet<string>;
  readonly local: boolean;
  /** Equal text: equal pods. */
  readonly backends: string;
  /** With the pseudo labels of namespace and name. */
  readonly labels: Labels;
  /** Addresses its status has now. */
  readonly held: readonly IpAddr[];
}

const admits = (s: LbService, namespace: string): boolean => s.sharingNamespaces.has('*') || s.sharingNamespaces.has(namespace);

/** Why the two cannot have one address; undefined if they can. */
export function sharingObstacle(a: LbService, b: LbService): string | undefined {
  if (a.standing === 'other' || b.standing === 'other') return 'it is not given by pools';
  if (a.sharingKey === '' || a.sharingKey !== b.sharingKey) return 'the sharing keys differ';
  if (a.namespace !== b.namespace && !(admits(a, b.namespace) && admits(b, a.namespace)))
    return 'the namespaces do not both admit each other';
  const port = [...a.ports].find((p) => b.ports.has(p));
  if (port !== undefined) return `both have port ${port}`;
  if (a.local !== b.local) return 'the external traffic policies differ';
  if (a.local && a.backends !== b.backends) return 'the selectors differ and the external traffic policy is Local';
  return undefined;
}

/** Who has which address while a plan is made. */
export interface Holders {
  has(ip: IpAddr): boolean;
  /** A holder that `s` cannot share with, and why. */
  obstacle(s: LbService, ip: IpAddr): { readonly holder: LbService; readonly why: string } | undefined;
  add(s: LbService, ip: IpAddr): void;
  /** Addresses of Services with the sharing key of `s`, first given first. */
  shared(s: LbService): Iterable<IpAddr>;
  /** Every address that somebody has, once. */
  addresses(): Iterable<IpAddr>;
}

export function createHolders(): Holders {
  const byAddress = new Map<IpAddr, LbService[]>();
  const byKey = new Map<string, Set<IpAddr>>();
  return {
    has: (ip) => byAddress.has(ip),
    obstacle(s, ip) {
      for (const holder of byAddress.get(ip) ?? []) {
        const why = sharingObstacle(s, holder);
        if (why !== undefined) return { holder, why };
      }
      return undefined;
    },
    add(s, ip) {
      byAddress.set(ip, [...(byAddress.get(ip) ?? []), s]);
      if (s.sharingKey === '' || s.standing !== 'ours') return;
      const group = byKey.get(s.sharingKey);
      if (group === undefined) byKey.set(s.sharingKey, new Set([ip]));
      else group.add(ip);
    },
    shared: (s) => (s.sharingKey === '' ? [] : (byKey.get(s.sharingKey) ?? [])),
    addresses: () => byAddress.keys(),
  };
}
