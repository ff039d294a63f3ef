import { type IpAddr, objectKey, type Port } from '@axoneme/model';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compileAll, createServiceCompiler, type ServiceInput, type ServiceTable } from '../src/index.ts';

const service = (ns: string, createdMs: number, ...clusterIps: string[]): ServiceInput => ({
  key: objectKey(ns, 'web'),
  createdMs,
  clusterIps: clusterIps as IpAddr[],
  ports: [{ name: '', protocol: 'TCP', port: 80 as Port }],
  affinitySeconds: 0,
});
const text = (t: ServiceTable): string[] =>
  [...t.services.values()].flatMap((s) => s.frontends.map((f) => `${s.key} ${f.ip}:${f.port}`)).sort();

const shop = service('shop', 1, '10.96.0.10', 'fd00::a');
const thief = service('evil', 2, '10.96.0.10', '10.96.0.11');
const twin = service('also', 2, '10.96.0.11');

test('C10: of Services that ask for one address the oldest has it, in every order of arrival', () => {
  const truth = ['also/web 10.96.0.11:80', 'shop/web 10.96.0.10:80', 'shop/web fd00::a:80'];
  for (const order of [
    [shop, thief, twin],
    [thief, shop, twin],
    [twin, thief, shop],
    [thief, twin, shop],
    [shop, twin, thief],
    [twin, shop, thief],
  ]) {
    const compiler = createServiceCompiler();
    for (const s of order) compiler.update({ services: [s] });
    expect(text(compiler.table())).toEqual(truth);
    expect(text(compileAll({ services: order, slices: [] }))).toEqual(truth);
    expect(compiler.conflicts()).toEqual([
      { ip: '10.96.0.10', owner: 'shop/web', refused: ['evil/web'] },
      { ip: '10.96.0.11', owner: 'also/web', refused: ['evil/web'] },
    ]);
  }
});

test('C10: coming and going of a claimant leaves the table as if it had never been', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray([shop, thief, twin], { minLength: 3 }), fc.shuffledSubarray([shop, thief, twin]), (comers, goers) => {
      const compiler = createServiceCompiler();
      for (const s of comers) compiler.update({ services: [s] });
      for (const s of goers) compiler.update({ removedServices: [s.key] });
      const left = [shop, thief, twin].filter((s) => !goers.includes(s));
      const fresh = createServiceCompiler();
      fresh.update({ services: left });
      expect(text(compiler.table())).toEqual(text(fresh.table()));
      expect(compiler.table().sets).toEqual(fresh.table().sets);
    }),
    { numRuns: 200 },
  );
});
