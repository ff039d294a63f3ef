// The address space cut along every prefix that rules mention: pieces whose addresses all look alike to policy. Called by invariants and plan.
import {
  type Cidr,
  cidrBase,
  cidrBits,
  cidrContains,
  cidrFamily,
  cidrLast,
  compareCidr,
  createPrefixTable,
  familyBits,
  type IpAddr,
  ipFromBigint,
  ipToBigint,
} from '@axoneme/model';

export interface AddressPiece {
  /** The addresses of this prefix that are in none of `without`. */
  readonly cidr: Cidr;
  /** The longest mentioned prefixes inside it, ascending. */
  readonly without: readonly Cidr[];
}

/** Pieces of `within`, ascending by prefix; a prefix whose addresses all belong to longer ones has none. */
export function addressPieces(within: readonly Cidr[], mentioned: Iterable<Cidr>): AddressPiece[] {
  const all = new Set<Cidr>(within);
  for (const c of mentioned) if (within.some((w) => cidrContains(w, c))) all.add(c);
  const table = createPrefixTable<Cidr>();
  for (const c of all) table.set(c, c);
  const children = new Map<Cidr, Cidr[]>([...all].map((c) => [c, []]));
  for (const c of all) {
    // The first that covers it is the prefix itself.
    const parent = table.covering(c).find((p) => p.cidr !== c)?.cidr;
    if (parent !== undefined) children.get(parent)!.push(c);
  }
  return [...children]
    .filter(([c, own]) => !isFilled(c, own))
    .map(([cidr, own]) => ({ cidr, without: own.sort(compareCidr) }))
    .sort((a, b) => compareCidr(a.cidr, b.cidr));
}

/** Children do not overlap, so their sizes add up. */
function isFilled(cidr: Cidr, children: readonly Cidr[]): boolean {
  const bits = familyBits(cidrFamily(cidr));
  const size = (c: Cidr): bigint => 1n << BigInt(bits - cidrBits(c));
  return children.reduce((sum, c) => sum + size(c), 0n) === size(cidr);
}

/** The lowest address of the piece. */
export function addressIn(piece: AddressPiece): IpAddr {
  let at = ipToBigint(cidrBase(piece.cidr));
  for (const c of piece.without) {
    if (ipToBigint(cidrBase(c)) !== at) break;
    at = ipToBigint(cidrLast(c)) + 1n;
  }
  return ipFromBigint(cidrFamily(piece.cidr), at);
}
