// Whatever an object holds: parsing and binding end, soon, with a bounded answer.
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseAllDocuments } from 'yaml';
import {
  bindRules,
  modeAnnotation,
  type PolicyIssue,
  type PolicyObject,
  parseCidrGroup,
  parseInvariant,
  parsePolicy,
  renderIssue,
} from '../src/index.ts';
import { patience, scaled, seed } from './check.ts';
import { referencesOfTown } from './town.ts';

const root = path.resolve(import.meta.dirname, '../../../..');
const read = (folder: string): PolicyObject[] =>
  fs
    .readdirSync(folder)
    .filter((f) => f.endsWith('.yaml'))
    .flatMap((f) => parseAllDocuments(fs.readFileSync(path.join(folder, f), 'utf8')).map((d) => d.toJS() as PolicyObject | null))
    .filter((o) => o !== null);
const bases = [...read(path.join(root, 'examples/policies')), ...read(path.join(import.meta.dirname, 'corpus'))];
const references = referencesOfTown(bases);
const issuesMax = 101;
const messageLengthMax = 1_000;
const objectTimeMaxMs = 1_000;

/** All three parsers and the binding; returns the issues. */
function digest(object: unknown): readonly PolicyIssue[] {
  const started = process.cpuUsage();
  const parsed = parsePolicy(object as PolicyObject, { clusterName: 'main' });
  const invariant = parseInvariant(object, { clusterName: 'main' });
  const all = [
    ...(parsed.ok ? parsed.value.issues : parsed.error),
    ...(invariant.ok ? [] : invariant.error),
    ...parseCidrGroup(object).issues,
  ];
  if (parsed.ok) {
    const { rules } = bindRules(parsed.value.rules, references);
    for (const e of rules.flatMap((r) => r.entries)) {
      if (e.references !== undefined || !Number.isInteger(e.priority)) throw new TypeError('not bound');
    }
  } else if (!parsed.error.some((i) => i.severity === 'error')) throw new TypeError('refused without an error');
  if (process.cpuUsage(started).user / 1000 > objectTimeMaxMs) throw new TypeError('too slow');
  if (all.length > 3 * issuesMax || all.some((i) => renderIssue(i).length > messageLengthMax)) throw new TypeError('too much to say');
  return all;
}

const strings = [
  '',
  'x',
  '0',
  '80',
  '*',
  '10.0.0.0/8',
  'fd00::/8',
  'enforce',
  'shadow',
  'TCP',
  '__proto__',
  'a'.repeat(300),
  '\u0000',
  '🙂',
  'k8s:a',
];
const junk: readonly unknown[] = [
  null,
  undefined,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  Number.NaN,
  65_536,
  ...strings,
  [],
  {},
  [null],
  [[]],
  [{}],
  { '': {} },
  { toString: 5, valueOf: 7 },
  { toString: null },
  { length: 5 },
  Array.from({ length: 50 }, () => ({})),
  JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'),
];

/** Every field name any kind knows: a junk value where another kind has something. */
const fieldNames = (() => {
  const names = new Set<string>();
  const walk = (v: unknown): void => {
    if (Array.isArray(v)) for (const item of v) walk(item);
    else if (typeof v === 'object' && v !== null) {
      for (const [k, x] of Object.entries(v)) {
        names.add(k);
        walk(x);
      }
    }
  };
  for (const b of bases) walk(b);
  return [...names].sort();
})();

interface Mutation {
  /** Where: steps down the tree, each modulo what is there. */
  readonly steps: readonly number[];
  readonly what: 'replace' | 'add' | 'drop' | 'graft';
  readonly value: number;
  readonly name: number;
}
const mutationArb: fc.Arbitrary<Mutation> = fc.record({
  steps: fc.array(fc.nat(40), { minLength: 1, maxLength: 9 }),
  what: fc.constantFrom('replace', 'replace', 'add', 'drop', 'graft'),
  value: fc.nat(10_000),
  name: fc.nat(10_000),
});

/** As JSON.parse does: an own property, whatever the name. */
const assign = (at: object, key: string, value: unknown): void =>
  void Object.defineProperty(at, key, { value: structuredClone(value), enumerable: true, configurable: true, writable: true });

function mutate(target: unknown, m: Mutation): void {
  let at = target as Record<string, unknown>;
  let key: string | undefined;
  for (const [i, step] of m.steps.entries()) {
    const keys = Object.keys(at);
    if (keys.length === 0) return;
    key = keys[step % keys.length]!;
    const next = at[key];
    if (i === m.steps.length - 1 || typeof next !== 'object' || next === null) break;
    at = next as Record<string, unknown>;
  }
  if (key === undefined) return;
  if (m.what === 'drop' && Array.isArray(at)) at.splice(Number(key), 1);
  else if (m.what === 'drop') delete at[key];
  else if (m.what === 'replace') assign(at, key, junk[m.value % junk.length]);
  else if (m.what === 'graft') assign(at, key, bases[m.value % bases.length]!.spec);
  else if (!Array.isArray(at)) assign(at, fieldNames[m.name % fieldNames.length]!, junk[m.value % junk.length]);
}

const mutantArb = fc.tuple(fc.nat(bases.length - 1), fc.array(mutationArb, { minLength: 1, maxLength: 5 })).map(([i, mutations]) => {
  const object = structuredClone(bases[i]) as unknown;
  for (const m of mutations) mutate(object, m);
  return object;
});

describe('any object', () => {
  test(
    'C24: 25,000 mutated objects of all kinds are parsed and bound, none throws, all answers are bounded',
    () => {
      fc.assert(
        fc.property(mutantArb, (object) => void digest(object)),
        { numRuns: scaled(25_000), seed },
      );
      expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    },
    patience,
  );

  test(
    'C24: annotations of every sort',
    () => {
      const keyArb = fc.oneof(
        fc.constantFrom(modeAnnotation, 'policy.axoneme.io/mod', 'policy.axoneme.io/', 'policy.axoneme.io/audit', '__proto__'),
        fc.string({ maxLength: 40 }),
      );
      const valueArb = fc.oneof(
        fc.constantFrom('enforce', 'shadow', 'Shadow', ''),
        fc.string({ maxLength: 400 }),
        fc.anything({ maxDepth: 2 }),
      );
      const modes = new Set<string>();
      fc.assert(
        fc.property(fc.nat(bases.length - 1), fc.oneof(fc.dictionary(keyArb, valueArb), fc.anything()), (i, annotations) => {
          const base = bases[i]!;
          const object = { ...base, metadata: { ...base.metadata, annotations } } as PolicyObject;
          digest(object);
          const parsed = parsePolicy(object, { clusterName: 'main' });
          if (parsed.ok) for (const r of parsed.value.rules) modes.add(r.mode);
        }),
        { numRuns: scaled(5_000), seed },
      );
      expect([...modes].sort()).toEqual(['enforce', 'shadow']);
    },
    patience,
  );

  test(
    'C24: metadata and roots of every sort',
    () => {
      fc.assert(
        fc.property(fc.anything(), fc.anything(), fc.constantFrom(...bases), (root, metadata, base) => {
          digest(root);
          digest({ ...base, metadata });
          digest({ ...base, kind: metadata });
        }),
        { numRuns: scaled(2_000), seed },
      );
    },
    patience,
  );
});

describe('hostile sizes', () => {
  const many = 50_000;
  const long = 'a'.repeat(1_000_000);
  const endpoint = (spec: object): object => ({
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'x', namespace: 'n' },
    spec: { endpointSelector: {}, ...spec },
  });
  test.each<[string, object]>([
    ['wrong entries', endpoint({ ingress: Array.from({ length: many }, () => 5) })],
    ['wrong peers', endpoint({ ingress: [{ fromCIDR: Array.from({ length: many }, () => 'x') }] })],
    ['unknown fields', endpoint(Object.fromEntries(Array.from({ length: many }, (_, i) => [`ingres${i}`, 1])))],
    ['a long entity', endpoint({ ingress: [{ fromEntities: [long] }] })],
    ['a long prefix', endpoint({ ingress: [{ fromCIDR: [`${long}/8`, long] }] })],
    ['a long port', endpoint({ ingress: [{ toPorts: [{ ports: [{ port: long, protocol: long }] }] }] })],
    ['a long number', endpoint({ ingress: [{ toPorts: [{ ports: [{ port: '9'.repeat(1_000_000) }] }] }] })],
    ['a long label', endpoint({ ingress: [{ fromEndpoints: [{ matchLabels: { [long]: long } }] }] })],
    [
      'a long dotted label',
      endpoint({ ingress: [{ fromEndpoints: [{ matchLabels: { [`io.cilium.k8s.${'a.'.repeat(500_000)}`]: 'x' } }] }] }),
    ],
    ['a long name of a group', endpoint({ ingress: [{ fromCIDRSet: [{ cidrGroupRef: long }] }] })],
    ['a long name of a Service', endpoint({ egress: [{ toServices: [{ k8sService: { serviceName: long, namespace: long } }] }] })],
    [
      'a long domain name',
      endpoint({
        egress: [{ toFQDNs: [{ matchName: `${'a'.repeat(200)}!` }, { matchPattern: `${'a.'.repeat(120)}!` }, { matchName: long }] }],
      }),
    ],
    [
      'a long expression',
      endpoint({
        ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ path: '(a+)+'.repeat(100_000) }] } }] }],
      }),
    ],
    ['a long log', endpoint({ ingress: [{}], log: { value: long } })],
    ['a long kind', { kind: long, metadata: { name: long } }],
    [
      'a long mode',
      {
        kind: 'NetworkPolicy',
        metadata: { name: 'x', annotations: { [modeAnnotation]: long, [`policy.axoneme.io/${long}`]: 'x' } },
        spec: {},
      },
    ],
    [
      'many blocks',
      {
        kind: 'NetworkPolicy',
        metadata: { name: 'x' },
        spec: { ingress: [{ from: Array.from({ length: many }, () => ({ ipBlock: {} })) }] },
      },
    ],
    [
      'many exceptions',
      endpoint({
        ingress: [
          { fromCIDRSet: [{ cidr: '10.0.0.0/8', except: Array.from({ length: 19_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`) }] },
        ],
      }),
    ],
    [
      'many admin rules',
      {
        kind: 'AdminNetworkPolicy',
        metadata: { name: 'x' },
        spec: { priority: 1, subject: { namespaces: {} }, ingress: Array.from({ length: many }, () => ({})) },
      },
    ],
    [
      'a long domain of an admin policy',
      {
        kind: 'AdminNetworkPolicy',
        metadata: { name: 'x' },
        spec: {
          priority: 1,
          subject: { namespaces: {} },
          egress: [{ action: 'Allow', to: [{ domainNames: [long, `${'a-'.repeat(126)}!`] }] }],
        },
      },
    ],
  ])('C24: %s', (_name, object) => {
    expect(digest(object).length).toBeLessThanOrEqual(3 * issuesMax);
  });
});
