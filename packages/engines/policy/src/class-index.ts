// Address classes by prefix and by node selector. Private to selection.ts.
import type { Cidr, IdentityId, PrefixTable } from '@axoneme/model';
import { createCidrIndex } from './cidr-index.ts';
import { type AddressClass, type BlockSelector, missingBlocks, selectsBlock, standInBlock } from './classes.ts';
import { createMultiMap } from './label-index.ts';

export interface ClassIndex {
  /** Prefixes that some class has as its block. */
  readonly table: PrefixTable<IdentityId>;
  get(id: IdentityId): AddressClass | undefined;
  put(cls: AddressClass): void;
  drop(id: IdentityId): void;
  withNodes(text: string): ReadonlySet<IdentityId>;
  /** Members from scratch. Where a class is missing, an allow has none and a deny also what the addresses look like instead. */
  resolve(s: BlockSelector, deny: boolean): { readonly members: Set<IdentityId>; readonly complete: boolean };
}

export function createClassIndex(): ClassIndex {
  const classes = new Map<IdentityId, AddressClass>();
  const byBlock = createMultiMap<Cidr, IdentityId>();
  const byNodes = createMultiMap<string, IdentityId>();
  /** Each block once, under a number of its own. */
  const blocks = createCidrIndex();
  let next = 1;
  return {
    table: blocks.table,
    get: (id) => classes.get(id),
    put(cls) {
      classes.set(cls.id, cls);
      for (const text of cls.nodes) byNodes.add(text, cls.id);
      if (cls.block === undefined) return;
      if (!byBlock.has(cls.block)) blocks.put({ id: next++ as IdentityId, cidr: cls.block });
      byBlock.add(cls.block, cls.id);
    },
    drop(id) {
      const cls = classes.get(id);
      if (cls === undefined) return;
      classes.delete(id);
      for (const text of cls.nodes) byNodes.delete(text, id);
      if (cls.block === undefined) return;
      byBlock.delete(cls.block, id);
      const number = blocks.table.get(cls.block);
      if (!byBlock.has(cls.block) && number !== undefined) blocks.drop(number);
    },
    withNodes: (text) => byNodes.get(text),
    resolve(s, deny) {
      const missing = missingBlocks(s, blocks.table);
      const members = new Set<IdentityId>();
      const take = (block: Cidr): void => {
        for (const id of byBlock.get(block)) members.add(id);
      };
      if (missing.length > 0 && !deny) return { members, complete: false };
      for (const { cidr } of blocks.inside(s.cidr)) if (selectsBlock(s, cidr)) take(cidr);
      const standIn = missing.includes(s.cidr) ? standInBlock(s.cidr, blocks.table) : undefined;
      if (standIn !== undefined) take(standIn);
      return { members, complete: missing.length === 0 };
    },
  };
}
