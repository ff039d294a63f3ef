import { type IpAddr, type ObjectKey, objectKey, type Port } from '@axoneme/model';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  compileAll,
  createServiceCompiler,
  type ServiceChanges,
  type ServiceInput,
  type ServiceTable,
  type SliceInput,
} from '../src/index.ts';

const services = ['a', 'b', 'c'].map((n) => objectKey('shop', n));
const portArb = fc.constantFrom(
  { name: '', protocol: 'TCP' as const, port: 80 as Port },
  { name: 'u', protocol: 'UDP' as const, port: 53 as Port },
);
const serviceArb: fc.Arbitrary<ServiceInput> = fc.record({
  key: fc.constantFrom(...services),
  createdMs: fc.constantFrom(1, 2),
  clusterIps: fc.subarray(['10.96.0.1', 'fd00::1'] as IpAddr[]),
  ports: fc.uniqueArray(portArb, { selector: (p) => p.name }),
  affinitySeconds: fc.constantFrom(0, 60),
});
const sliceArb: fc.Arbitrary<SliceInput> = fc.record({
  key: fc.constantFrom('s1', 's2', 's3', 's4').map((n) => objectKey('shop', n)),
  service: fc.constantFrom(...services),
  ports: fc.uniqueArray(portArb, { selector: (p) => p.name }),
  endpoints: fc.array(
    fc.record({
      addresses: fc.subarray(['10.0.0.1', '10.0.0.2', 'fd00::2'] as IpAddr[], { minLength: 1 }),
      ready: fc.boolean(),
      serving: fc.boolean(),
      terminating: fc.boolean(),
    }),
    { maxLength: 3 },
  ),
});
const changesArb: fc.Arbitrary<ServiceChanges> = fc.record(
  {
    services: fc.uniqueArray(serviceArb, { selector: (s) => s.key, maxLength: 2 }),
    removedServices: fc.subarray(services),
    slices: fc.uniqueArray(sliceArb, { selector: (s) => s.key, maxLength: 3 }),
    removedSlices: fc.subarray(['s1', 's2', 's3', 's4'].map((n) => objectKey('shop', n))),
  },
  { requiredKeys: [] },
);

const plain = (t: ServiceTable) => ({
  services: [...t.services].sort(([a], [b]) => (a < b ? -1 : 1)),
  sets: [...t.sets].sort(([a], [b]) => (a < b ? -1 : 1)),
});

test('after any history the table equals compileAll, and the deltas add up to it', () => {
  fc.assert(
    fc.property(fc.array(changesArb, { maxLength: 12 }), (history) => {
      const compiler = createServiceCompiler();
      const all = { services: new Map<ObjectKey, ServiceInput>(), slices: new Map<ObjectKey, SliceInput>() };
      const followed = { services: new Map(), sets: new Map() };
      for (const c of history) {
        for (const k of c.removedServices ?? []) all.services.delete(k);
        for (const k of c.removedSlices ?? []) all.slices.delete(k);
        for (const s of c.services ?? []) all.services.set(s.key, s);
        for (const s of c.slices ?? []) all.slices.set(s.key, s);
        const delta = compiler.update(c);
        for (const s of delta.addedSets) followed.sets.set(s.id, s);
        for (const s of delta.changed) followed.services.set(s.key, s);
        for (const k of delta.removed) followed.services.delete(k);
        for (const id of delta.removedSets) followed.sets.delete(id);
        const truth = plain(compileAll({ services: [...all.services.values()].reverse(), slices: [...all.slices.values()].reverse() }));
        expect(plain(compiler.table())).toEqual(truth);
        expect(plain(followed)).toEqual(truth);
      }
    }),
    { numRuns: 300 },
  );
});
