import { type Cidr, cidrOverlaps, parseCidr } from '@axoneme/model';
import { type NodeName, unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import { freeBlocks, type NodeClaim, overlappingPairs, planBlocks, poolUsage } from '../src/index.ts';

const cidr = (t: string): Cidr => unwrap(parseCidr(t));
const node = (name: string, createdMs: number, ...podCidrs: string[]): NodeClaim => ({
  name: name as NodeName,
  createdMs,
  podCidrs: podCidrs.map(cidr),
});
const config = {
  ipv4: { cidrs: [cidr('10.0.0.0/22')], blockBits: 24 },
  ipv6: { cidrs: [cidr('fd00::/104')], blockBits: 112 },
};

describe('blocks', () => {
  test('each node gets one of each family, whatever the order', () => {
    const nodes = [node('b', 1), node('a', 2), node('c', 3)];
    const plan = planBlocks(nodes, config);
    expect([...plan.blocks]).toEqual([
      ['a', ['10.0.0.0/24', 'fd00::/112']],
      ['b', ['10.0.1.0/24', 'fd00::1:0/112']],
      ['c', ['10.0.2.0/24', 'fd00::2:0/112']],
    ]);
    expect(planBlocks([...nodes].reverse(), config)).toEqual(plan);
    expect(plan.changed).toEqual(['a', 'b', 'c']);
    expect(poolUsage(plan, config)).toEqual([
      { family: 4, total: 4, used: 3 },
      { family: 6, total: 256, used: 3 },
    ]);
  });

  test('after a restart nothing moves', () => {
    const nodes = [node('a', 1, '10.0.3.0/24', 'fd00::5:0/112'), node('b', 2, '10.0.0.0/24', 'fd00::/112')];
    const plan = planBlocks(nodes, config);
    expect(plan.changed).toEqual([]);
    expect(plan.conditions).toEqual([]);
    expect(planBlocks([...nodes, node('c', 3)], config).blocks.get('c' as NodeName)).toEqual(['10.0.1.0/24', 'fd00::1:0/112']);
  });

  test('a block is free again only when its node is gone', () => {
    const four = ['a', 'b', 'c', 'd'].map((n, i) => node(n, i, `10.0.${i}.0/24`, `fd00::${i + 1}:0/112`));
    const full = planBlocks([...four, node('e', 9)], config);
    expect(full.blocks.get('e' as NodeName)).toEqual(['fd00::/112']);
    expect(full.conditions).toMatchObject([{ kind: 'exhausted', node: 'e', family: 4, error: { code: 'ipam/exhausted' } }]);
    const after = planBlocks([...four.slice(1), node('e', 9, 'fd00::/112')], config);
    expect(after.blocks.get('e' as NodeName)).toEqual(['10.0.0.0/24', 'fd00::/112']);
    expect(after.conditions).toEqual([]);
  });

  test('of two claimants the older keeps the block, the other gets a new one and a report', () => {
    const plan = planBlocks([node('new', 5, '10.0.0.0/24', 'fd00::/112'), node('old', 1, '10.0.0.0/24', 'fd00::9:0/112')], config);
    expect(plan.blocks.get('old' as NodeName)).toEqual(['10.0.0.0/24', 'fd00::9:0/112']);
    expect(plan.blocks.get('new' as NodeName)).toEqual(['10.0.1.0/24', 'fd00::/112']);
    expect(plan.changed).toEqual(['new']);
    expect(plan.conditions).toEqual([{ kind: 'conflict', node: 'new', cidr: '10.0.0.0/24', keptBy: 'old', keptCidr: '10.0.0.0/24' }]);
  });

  test('overlap counts as conflict, and a loser does not make others lose', () => {
    const plan = planBlocks([node('a', 1, '10.0.0.0/24'), node('b', 2, '10.0.0.0/23'), node('c', 3, '10.0.1.0/24')], { ipv4: config.ipv4 });
    expect(plan.blocks.get('c' as NodeName)).toEqual(['10.0.1.0/24']);
    expect(plan.blocks.get('b' as NodeName)).toEqual(['10.0.2.0/24']);
  });

  test('a claim outside the pools is kept and reported', () => {
    const plan = planBlocks([node('a', 1, '192.168.0.0/24')], { ipv4: config.ipv4 });
    expect(plan.blocks.get('a' as NodeName)).toEqual(['192.168.0.0/24']);
    expect(plan.conditions).toEqual([{ kind: 'outside-pool', node: 'a', cidr: '192.168.0.0/24' }]);
  });

  test('thousands of nodes never overlap', () => {
    const nodes = Array.from({ length: 2000 }, (_, i) => node(`n${i}`, i, ...(i % 3 === 0 ? [`10.${i % 200}.${(i * 7) % 256}.0/24`] : [])));
    const plan = planBlocks(nodes, { ipv4: { cidrs: [cidr('10.0.0.0/8')], blockBits: 24 } });
    const all = [...plan.blocks.values()].flat();
    expect(all).toHaveLength(2000);
    expect(overlappingPairs(all)).toEqual([]);
  });
});

test('free blocks step over odd-sized neighbours', () => {
  const pool = [cidr('10.0.0.0/22'), cidr('10.1.0.0/24')];
  const occupied = [cidr('10.0.0.0/25'), cidr('10.0.2.128/32'), cidr('fd00::/8')];
  expect(freeBlocks(pool, 24, occupied, 9)).toEqual(['10.0.1.0/24', '10.0.3.0/24', '10.1.0.0/24']);
  expect(freeBlocks(pool, 16, occupied, 9)).toEqual([]);
  for (const f of freeBlocks(pool, 25, occupied, 9)) for (const o of occupied) expect(cidrOverlaps(f, o)).toBe(false);
});
