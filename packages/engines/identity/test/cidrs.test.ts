import { type Cidr, identityScope, parseCidr } from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import { expect, test } from '@jest/globals';
import { planCidrIdentities } from '../src/index.ts';

const cidrs = (...texts: string[]): Cidr[] => texts.map((t) => unwrap(parseCidr(t)));

test('numbers depend on the prefixes, not on their order', () => {
  const list = cidrs('10.0.0.0/8', '10.9.0.0/16', '203.0.113.9/32', 'fd00::/8');
  const a = planCidrIdentities({ wanted: list, existing: [], blocked: new Set() });
  const b = planCidrIdentities({ wanted: [...list].reverse(), existing: [], blocked: new Set() });
  expect(b).toEqual(a);
  expect(a.assignments.map((x) => x.cidr)).toEqual(list);
  for (const x of a.assignments) expect(identityScope(x.id)).toBe('cidr');
});

test('a wanted prefix keeps its number, an unwanted one is removed, its number is not reused at once', () => {
  const [a, b] = cidrs('10.0.0.0/8', '10.9.0.0/16') as [Cidr, Cidr];
  const first = planCidrIdentities({ wanted: [a], existing: [], blocked: new Set() }).assignments[0]!;
  const moved = { cidr: a, id: (first.id + 7) as typeof first.id };
  expect(planCidrIdentities({ wanted: [a, b], existing: [moved], blocked: new Set() }).assignments[0]).toEqual(moved);
  const gone = planCidrIdentities({ wanted: [a], existing: [{ cidr: b, id: first.id }], blocked: new Set() });
  expect(gone.removed).toEqual([{ cidr: b, id: first.id }]);
  expect(gone.added[0]!.id).not.toBe(first.id);
});
