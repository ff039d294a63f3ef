import { createHeldDigest, heldTerm } from '@axoneme/proto';
import type { Digest } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Artifacts, createNodeState } from '../src/server/node-state.ts';

const digest = (n: number): Digest => n.toString(16).padStart(32, '0') as Digest;
const at = (revision: number): { revision: number; epoch: number } => ({ revision, epoch: 1 });
const artifacts = fc
  .array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 1, max: 3 })))
  .map((list): Artifacts => new Map(list.map(([n, d]) => [n, digest(d)])));

describe('node state', () => {
  test('a version that comes back to what is held needs nothing', () => {
    const s = createNodeState(heldTerm);
    s.setDesired(new Map([['a', digest(1)]]), at(1));
    s.setHeld(new Map([['a', digest(1)]]));
    s.setDesired(new Map([['a', digest(2)]]), at(2));
    expect([...s.lag()]).toEqual([['a', digest(1)]]);
    s.setDesired(new Map([['a', digest(1)]]), at(3));
    expect(s.lag().size).toBe(0);
  });

  test('after an operator restart a node that holds what is desired is recognised by its digest', () => {
    const s = createNodeState(heldTerm);
    const held = new Map([['a', digest(1)]]);
    expect(s.recognise(createHeldDigest(held).bytes())).toBe(false);
    s.setDesired(new Map(held), at(1));
    expect(s.recognise(createHeldDigest(held).bytes())).toBe(true);
    expect(s.heldKnown()).toBe(true);
    expect(s.lag().size).toBe(0);
  });

  test('lag is exactly the difference after any history', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('desired' as const), map: artifacts }),
      fc.record({ kind: fc.constant('change' as const), map: artifacts, gone: fc.constantFrom('a', 'b', 'c', 'd') }),
      fc.record({ kind: fc.constant('held' as const), map: artifacts }),
      fc.record({ kind: fc.constant('apply' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const s = createNodeState(heldTerm);
        let desired = new Map<string, Digest>();
        let held = new Map<string, Digest>();
        s.setHeld(held);
        for (const [i, x] of steps.entries()) {
          if (x.kind === 'desired') {
            desired = new Map(x.map);
            s.setDesired(x.map, at(i));
          } else if (x.kind === 'change') {
            s.change(new Map<string, Digest | null>([...x.map, [x.gone, null]]), at(i));
            desired = new Map([...desired, ...x.map]);
            desired.delete(x.gone);
          } else if (x.kind === 'held') {
            held = new Map(x.map);
            s.setHeld(x.map);
          } else {
            s.applied(new Map([...s.lag().keys()].map((n) => [n, s.desired(n)])));
            held = new Map(desired);
          }
          const names = [...new Set([...desired.keys(), ...held.keys()])];
          const expected = names.filter((n) => desired.get(n) !== held.get(n)).sort();
          expect([...s.lag().keys()].sort()).toEqual(expected);
          for (const n of names) expect([s.held(n), s.desired(n)]).toEqual([held.get(n), desired.get(n)]);
          expect(s.desiredDigest()).toEqual(createHeldDigest(desired).bytes());
          expect(s.recognise(createHeldDigest(held).bytes())).toBe(true);
        }
      }),
    );
  });
});
