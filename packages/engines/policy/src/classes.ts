// Address classes: what block and node selectors see of an address. Planned for the operator, matched by the compilers.
import {
  type Cidr,
  cidrContains,
  cidrOfIp,
  compareCidr,
  createPrefixTable,
  type IdentityId,
  type IpAddr,
  type Labels,
  matchesSelector,
  type PrefixTable,
  type Selector,
} from '@axoneme/model';
import type { PeerSelector, Rule } from './rules.ts';

export interface AddressClass {
  /** `classFirst` + n. */
  readonly id: IdentityId;
  /** The longest mentioned prefix that covers the addresses. */
  readonly block: Cidr | undefined;
  /** Texts of the node selectors that match the node whose addresses these are. */
  readonly nodes: readonly string[];
}

export type BlockSelector = Extract<PeerSelector, { kind: 'block' }>;

export const blockPrefixes = (s: BlockSelector): Cidr[] => [s.cidr, ...s.except];

/** By containment: every prefix that rules mention has classes of its own, so a class is never half inside. */
export const selectsBlock = (s: BlockSelector, block: Cidr): boolean =>
  cidrContains(s.cidr, block) && !s.except.some((e) => cidrContains(e, block));

export interface ClassNode {
  readonly name: string;
  readonly labels: Labels;
  /** All addresses the node answers at: internal ones and its routers'. */
  readonly addresses: readonly IpAddr[];
}

export interface PlannedClass {
  /** Names the class; the operator gives numbers by it. */
  readonly key: string;
  readonly block: Cidr | undefined;
  readonly nodes: readonly string[];
}

export interface AddressClassPlan {
  /** Ascending by key. */
  readonly classes: readonly PlannedClass[];
  /** Ascending by prefix: the rows of `addr_class`. */
  readonly rows: readonly { readonly cidr: Cidr; readonly key: string }[];
}

const classKey = (block: Cidr | undefined, nodes: readonly string[]): string => JSON.stringify([block ?? '', ...nodes]);

/**
 * A row for each prefix that block peers mention, and one for each node address that a node selector in use matches. Other node
 * addresses need none: the row of their prefix says the same.
 */
export function planAddressClasses(input: { readonly rules: Iterable<Rule>; readonly nodes: readonly ClassNode[] }): AddressClassPlan {
  const { blocks, selectors } = mentions(input.rules);
  const table = createPrefixTable<Cidr>();
  for (const c of blocks) table.set(c, c);
  const classes = new Map<string, PlannedClass>();
  const rows = new Map<Cidr, string>();
  const put = (cidr: Cidr, block: Cidr | undefined, nodes: readonly string[]): void => {
    const key = classKey(block, nodes);
    classes.set(key, { key, block, nodes });
    rows.set(cidr, key);
  };
  const ofAddress = selectors.size === 0 ? new Map<Cidr, readonly string[]>() : nodeTexts(input.nodes, [...selectors.values()]);
  for (const c of blocks) if (!ofAddress.has(c)) put(c, c, []);
  for (const [cidr, texts] of ofAddress) put(cidr, table.covering(cidr)[0]?.value, texts);
  return {
    classes: [...classes.values()].sort((a, b) => (a.key < b.key ? -1 : 1)),
    rows: [...rows].sort(([a], [b]) => compareCidr(a, b)).map(([cidr, key]) => ({ cidr, key })),
  };
}

function mentions(rules: Iterable<Rule>): { readonly blocks: ReadonlySet<Cidr>; readonly selectors: ReadonlyMap<string, Selector> } {
  const blocks = new Set<Cidr>();
  const selectors = new Map<string, Selector>();
  for (const rule of rules) {
    for (const entry of rule.entries) {
      for (const peer of entry.peers) {
        if (peer.kind === 'block') for (const c of blockPrefixes(peer)) blocks.add(c);
        else if (peer.kind === 'nodes') selectors.set(peer.selector.text, peer.selector);
      }
    }
  }
  return { blocks, selectors };
}

/** Matching selector texts by node address. Two nodes that claim one address: what either is, so that no deny misses it. */
function nodeTexts(nodes: readonly ClassNode[], selectors: readonly Selector[]): Map<Cidr, readonly string[]> {
  const out = new Map<Cidr, readonly string[]>();
  for (const node of nodes) {
    const texts = selectors.filter((s) => matchesSelector(s, node.labels)).map((s) => s.text);
    if (texts.length === 0) continue;
    for (const a of node.addresses) {
      const cidr = cidrOfIp(a);
      out.set(cidr, [...new Set([...(out.get(cidr) ?? []), ...texts])].sort());
    }
  }
  return out;
}

/** Prefixes of the selector that have no class: their addresses look like those of the next shorter prefix. */
export const missingBlocks = (s: BlockSelector, table: PrefixTable<unknown>): Cidr[] =>
  blockPrefixes(s).filter((c) => table.get(c) === undefined);

/** The prefix whose classes the addresses of a prefix without class have. */
export const standInBlock = (cidr: Cidr, table: PrefixTable<unknown>): Cidr | undefined => table.covering(cidr)[0]?.cidr;
