// Rows by the thousand are kept in pieces: patched, they must be the bytes and the handle of rows made anew.

import type { Cidr, IdentityId } from '@axoneme/model';
import { expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import {
  classFirst,
  compileLayers,
  createLayeredCompiler,
  createPolicyRows,
  mentionedPeers,
  type PolicyIdentity,
  policyKey,
  rowsOf,
  wholeMax,
} from '../src/index.ts';
import { patience, scaled, seed } from './check.ts';
import { block, makeRule, pods, selector, tcp } from './ir.ts';
import { config, pod } from './lab.ts';

jest.setTimeout(patience);

/** Peers of another cluster: subjects of nobody, so that the plain compiler stays quick. */
const peer = (n: number): PolicyIdentity => {
  const p = pod(`far-${n}`, 'shop', 65_536 + n * 7, ['10.200.0.1'], { labels: { app: n % 3 === 0 ? 'b' : 'c' }, cluster: 'other' });
  return { id: p.id, labels: p.labels };
};
const subject = pod('a', 'shop', 1001, ['10.1.1.1'], { labels: { app: 'a' } });
const rule = makeRule({
  name: 'wide',
  subject: selector({ matchLabels: { app: 'a' } }),
  entries: [
    { direction: 'ingress', action: 'allow', peers: [pods({ matchLabels: { app: 'c' } }), block('10.0.0.0/8')], ports: [tcp(80)] },
    { direction: 'ingress', action: 'deny', peers: [pods({ matchLabels: { app: 'b' } })], ports: [tcp(443), tcp(8443)] },
  ],
});

const runs = scaled(25);
test(`adding and removing peers around the border, one by one and in bulk (seed ${seed}, ${runs} histories)`, () => {
  const stepArb = fc.record({ add: fc.boolean(), from: fc.nat({ max: 900 }), count: fc.constantFrom(1, 1, 1, 2, 5, 40, 300) });
  fc.assert(
    fc.property(fc.array(stepArb, { minLength: 3, maxLength: 10 }), (steps) => {
      const compiler = createLayeredCompiler(config);
      const here = new Map<number, PolicyIdentity>(Array.from({ length: 380 }, (_, n) => [n, peer(n)]));
      const classes = [{ id: (classFirst + 1) as IdentityId, block: '10.0.0.0/8' as Cidr, nodes: [] }];
      compiler.update({ policies: [{ key: policyKey(rule.source), rules: [rule] }], classes, identities: [subject, ...here.values()] });
      for (const { add, from, count } of steps) {
        const numbers = Array.from({ length: count }, (_, i) => from + i);
        const known = numbers.filter((n) => here.has(n));
        const fresh = numbers.filter((n) => !here.has(n));
        if (add) {
          for (const n of fresh) here.set(n, peer(n));
          compiler.update({ identities: fresh.map((n) => here.get(n)!) });
        } else {
          const gone = known.map((n) => here.get(n)!.id);
          for (const n of known) here.delete(n);
          compiler.update({ removedIdentities: gone });
        }
        const truth = compileLayers({ rules: [rule], identities: [subject, ...here.values()], cidrIdentities: [], classes }, config);
        const want = truth.subjects.get(subject.id)!.layers.normal.rows;
        const got = compiler.subject(subject.id)!.layers.normal.rows;
        expect([got.handle, got.count, got.peerMask, got.anyMask, got.usesClasses]).toEqual([
          want.handle,
          want.count,
          want.peerMask,
          want.anyMask,
          want.usesClasses,
        ]);
        expect(got.packed.equals(want.packed)).toBe(true);
        expect(rowsOf(got).length).toBe(got.count);
        expect(mentionedPeers(got)).toEqual(mentionedPeers(want));
        expect(compiler.rows(got.handle)).toBe(got);
      }
    }),
    { numRuns: runs, seed },
  );
});

test('few rows are one piece, many are several, and other rows have another handle', () => {
  const of = (count: number, ruleId = 1): ReturnType<typeof createPolicyRows> => {
    const packed = Buffer.alloc(count * 24);
    for (let i = 0; i < count; i++) {
      packed.writeUInt32BE(1 + i * 3, i * 24);
      packed.writeUInt32BE(i === count - 1 ? ruleId : 1, i * 24 + 16);
    }
    return createPolicyRows(packed);
  };
  expect(of(wholeMax).chunks.length).toBe(1);
  expect(of(wholeMax + 1).chunks.length).toBeGreaterThan(1);
  const handles = [of(wholeMax), of(wholeMax + 1), of(wholeMax, 2), of(wholeMax + 1, 2), of(3000), of(3000, 2)].map((r) => r.handle);
  expect(new Set(handles).size).toBe(6);
  expect(of(3000).packed.equals(Buffer.concat(of(3000).chunks.map((c) => c.packed)))).toBe(true);
});
