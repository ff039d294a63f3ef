// Hands out pod addresses from this node's own blocks. Network, router (first usable) and broadcast stay free; an address that was given
// back is used again as late as possible. Pure memory: durability is the registry's. Called by the endpoint manager.
import { fail, ok, type Result } from '@axoneme/std';
import { type Block, blockSize, type Family, formatIp, type Ip, inBlock, parseBlock, parseIp } from './address.ts';

export interface Addresses {
  /** New blocks; addresses in use outside of them stay in use. */
  setBlocks(cidrs: readonly string[]): void;
  /** Families this node has blocks of, IPv4 first. */
  families(): readonly Family[];
  router(family: Family): string | undefined;
  /** Errors: `agent/addresses-exhausted`. */
  take(family: Family): Result<string>;
  /** Marks an address as used, after a restart. */
  claim(address: string): void;
  release(address: string): void;
  used(): number;
}

export function createAddresses(): Addresses {
  let blocks: readonly Block[] = [];
  const used = new Set<string>();
  // next address to try per block, so that a released address rests for a whole round
  const cursor = new Map<string, bigint>();
  const name = (b: Block): string => `${b.family}/${b.value}/${b.bits}`;
  const routerOf = (family: Family): Ip | undefined => {
    const first = blocks.find((b) => b.family === family);
    // the first address of a block names the network, unless the block is too small to have one
    return first && { family, value: first.value + (blockSize(first) > 2n ? 1n : 0n) };
  };
  const usable = (b: Block): { from: bigint; to: bigint } =>
    blockSize(b) <= 2n
      ? { from: b.value, to: b.value + blockSize(b) }
      : { from: b.value + 1n, to: b.value + blockSize(b) - (b.family === 4 ? 1n : 0n) };

  const takeFrom = (b: Block, router: Ip | undefined): string | undefined => {
    const { from, to } = usable(b);
    let at = cursor.get(name(b)) ?? from;
    // at most one try more than there are addresses in use
    for (let tries = 0n; tries < to - from && tries <= BigInt(used.size) + 2n; tries++) {
      if (at >= to || at < from) at = from;
      const ip = { family: b.family, value: at };
      at++;
      const text = formatIp(ip);
      if ((router && router.value === ip.value) || used.has(text)) continue;
      cursor.set(name(b), at);
      used.add(text);
      return text;
    }
    return undefined;
  };

  return {
    setBlocks(cidrs) {
      blocks = cidrs.map(parseBlock);
    },
    families: () => ([4, 6] as const).filter((f) => blocks.some((b) => b.family === f)),
    router(family) {
      const r = routerOf(family);
      return r && formatIp(r);
    },
    take(family) {
      for (const b of blocks.filter((x) => x.family === family)) {
        const found = takeFrom(b, routerOf(family));
        if (found) return ok(found);
      }
      const own = blocks.filter((b) => b.family === family);
      const mine = [...used].map(parseIp).filter((ip) => own.some((b) => inBlock(b, ip))).length;
      return fail({
        code: 'agent/addresses-exhausted',
        message: `no free IPv${family} address on this node: ${mine} in use in ${own.length} block(s)`,
        retry: 'later',
        hint: 'the operator hands out more blocks when the pool has some; see the CiliumNode of this node',
      });
    },
    claim: (address) => void used.add(formatIp(parseIp(address))),
    release: (address) => void used.delete(formatIp(parseIp(address))),
    used: () => used.size,
  };
}
