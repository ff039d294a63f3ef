// Rows, handles, rule ids and what happens where a CIDR identity is missing.

import { type Cidr, type IdentityId, parseCidr } from '@axoneme/model';
import { unwrap } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import {
  cidrs,
  compileLayers,
  createLayeredCompiler,
  createOriginTable,
  lookup,
  mentionedPeers,
  noRows,
  type ParsedPolicy,
  type PolicyObject,
  parsePolicy,
  policyArtifactName,
  precedenceOf,
  priorityMax,
  type RuleId,
  type RuleOrigin,
  rowsOf,
} from '../src/index.ts';
import { cidrIdentitiesOf, compileLab, config, identitiesOf, lab, onA } from './lab.ts';

const parse = (o: PolicyObject): ParsedPolicy => {
  const r = parsePolicy(o, { clusterName: 'main' });
  if (!r.ok) throw new TypeError(r.error[0]!.message);
  return r.value;
};
const a = 1001 as IdentityId;

describe('rows', () => {
  test('one rule, spelled out', () => {
    const c = compileLab([
      onA({
        ingress: [
          { fromEndpoints: [{ matchLabels: { app: 'b' } }], toPorts: [{ ports: [{ port: '1024', endPort: 1026, protocol: 'TCP' }] }] },
        ],
      }),
    ]);
    const subject = c.table.subjects.get(a)!.layers.normal;
    expect(
      rowsOf(subject.rows).map((r) => [r.peer, r.direction, r.protocol, r.prefix.port, r.prefix.len, r.precedence, r.verdict]),
    ).toEqual([
      [1002, 'ingress', 6, 1024, 15, 0xffff_ff01, 'allow'],
      [1002, 'ingress', 6, 1026, 16, 0xffff_ff01, 'allow'],
    ]);
    expect([subject.rows.peerMask, subject.rows.anyMask]).toEqual([
      [(1 << 15) | (1 << 16), 0],
      [0, 0],
    ]);
    expect(mentionedPeers(subject.rows)).toEqual([1002]);
    expect(policyArtifactName(subject.rows.handle)).toMatch(/^policy\/[0-9a-f]{16}$/);
    const origin = c.table.origins.get(rowsOf(subject.rows)[0]!.ruleId)!;
    expect([origin.text, origin.list, origin.index]).toEqual(['CiliumNetworkPolicy/shop/p#ingress[0]', 'ingress', 0]);
    expect(c.table.origins.get(subject.denyRules[0])!.text).toBe('CiliumNetworkPolicy/shop/p#ingress');
    expect(subject.denyRules[1]).toBe(0);
  });

  test('protocol 0 is bit 31, and rows under a wider deny are dropped', () => {
    const c = compileLab([onA({ egress: [{ toEndpoints: [{}] }], egressDeny: [{ toEntities: ['all'] }] })]);
    const { rows } = c.table.subjects.get(a)!.layers.normal;
    expect(rowsOf(rows).map((r) => [r.peer, r.verdict])).toEqual([[0, 'deny']]);
    expect(rows.anyMask).toEqual([0, 0x8000_0000]);
  });

  test('subjects with equal rows share them, and the order of rules does not matter', () => {
    const one = onA({ ingress: [{ fromEntities: ['world'] }] }, 'one');
    const two = onA({ ingress: [{ fromEntities: ['cluster'] }] }, 'two');
    const x = compileLab([one, two]).table;
    const y = compileLab([two, one]).table;
    expect(y.subjects.get(a)!.layers.normal.rows.handle).toBe(x.subjects.get(a)!.layers.normal.rows.handle);
    expect(y.subjects.get(a)!.layers.normal.denyRules).toEqual(x.subjects.get(a)!.layers.normal.denyRules);
    expect(x.origins.get(x.subjects.get(a)!.layers.normal.denyRules[0])).toMatchObject({
      name: 'one',
      also: ['CiliumNetworkPolicy/shop/two#ingress'],
    });
    expect(x.subjects.get(1002 as IdentityId)!.layers.normal.rows).toEqual(noRows);
  });

  test('99 is nobody’s peer and other clusters are nobody’s subject', () => {
    const { table } = compileLab([
      {
        kind: 'CiliumClusterwideNetworkPolicy',
        metadata: { name: 'x' },
        spec: {
          endpointSelector: {},
          ingress: [{ fromEndpoints: [{ matchExpressions: [{ key: 'reserved:nothing', operator: 'DoesNotExist' }] }] }],
        },
      },
    ]);
    expect(mentionedPeers(table.subjects.get(a)!.layers.normal.rows)).not.toContain(99);
    expect([...table.subjects.keys()].sort((p, q) => p - q)).toEqual([4, 5, 8, 1001, 1002, 1003]);
  });

  test('of equal rows the longer prefix is named, then the named peer', () => {
    const tcp = (port: string, endPort?: number) => ({
      toPorts: [{ ports: [{ port, protocol: 'TCP', ...(endPort === undefined ? {} : { endPort }) }] }],
    });
    const b = { fromEndpoints: [{ matchLabels: { app: 'b' } }] };
    const c = compileLab([
      onA({ ingress: [{ fromEntities: ['all'] }, { ...b, ...tcp('0') }, { ...b, ...tcp('64', 127) }, tcp('80'), { ...b, ...tcp('80') }] }),
    ]);
    const deciding = (peer: number, port: number): number | undefined =>
      c.table.origins.get(lookup(c.table.subjects.get(a)!, { peer: peer as IdentityId, direction: 'ingress', protocol: 6, port }).ruleId)
        ?.index;
    expect([deciding(1002, 80), deciding(1002, 81), deciding(1002, 9), deciding(1003, 80), deciding(1003, 81)]).toEqual([4, 2, 1, 3, 0]);
    // A named peer on every protocol before any peer on all ports of one.
    const d = compileLab([onA({ ingress: [tcp('0'), { fromEndpoints: [{}] }] })]);
    const named = lookup(d.table.subjects.get(a)!, { peer: 1002 as IdentityId, direction: 'ingress', protocol: 6, port: 9 });
    expect(d.table.origins.get(named.ruleId)?.index).toBe(1);
  });

  test('C29: 100000 priorities keep their order, and what does not fit is refused', () => {
    expect(precedenceOf('deny', 0)).toBe(0xffff_ffff);
    let above = Number.POSITIVE_INFINITY;
    for (let priority = 0; priority < 100_000; priority++) {
      const own = (['deny', 'pass', 'redirect', 'allow'] as const).map((a) => precedenceOf(a, priority));
      for (const p of own) {
        if (p >= above) throw new RangeError(`priority ${priority}: ${p} is not below ${above}`);
        above = p;
      }
    }
    expect(precedenceOf('allow', priorityMax)).toBe(1);
    for (const bad of [-1, priorityMax + 1, 0.5, Number.NaN]) expect(() => precedenceOf('allow', bad)).toThrow('out of range');
  });
});

test('colliding rule ids are reported, the first text is shown', () => {
  const origin = (text: string): RuleOrigin => ({
    id: 7 as RuleId,
    text,
    kind: 'K',
    namespace: '',
    name: text,
    direction: 'ingress',
    list: 'ingress',
    index: 0,
  });
  const t = createOriginTable([origin('b'), origin('a'), origin('b')]);
  expect(t.collisions).toEqual([{ id: 7, texts: ['a', 'b'] }]);
  expect(t.origins.get(7 as RuleId)!.text).toBe('a');
});

test('prefixes of the rules, exceptions included, the whole world not', () => {
  const p = parse(
    onA({ ingress: [{ fromCIDRSet: [{ cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] }] }, { fromCIDR: ['10.0.0.0/8', 'fd00::/8'] }] }),
  );
  expect(cidrs(p.rules)).toEqual(['10.0.0.0/8', 'fd00::/8']);
});

test('a prefix without identity: allows shrink, denies grow', () => {
  const cidr = (t: string): Cidr => unwrap(parseCidr(t));
  const only = cidrIdentitiesOf([cidr('10.0.0.0/8')]);
  const compile = (o: PolicyObject) =>
    compileLayers({ rules: parse(o).rules, identities: identitiesOf(lab), cidrIdentities: only }, config).subjects.get(a)!;
  const to = (s: ReturnType<typeof compile>) => lookup(s, { peer: only[0]!.id, direction: 'egress', protocol: 6, port: 80 }).allowed;
  expect(to(compile(onA({ egress: [{ toCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.9.0.0/16'] }] }] })))).toBe(false);
  expect(to(compile(onA({ egress: [{ toEntities: ['world'] }], egressDeny: [{ toCIDR: ['10.9.0.0/16'] }] })))).toBe(false);
});

test('a report says what a policy does now', () => {
  const compiler = createLayeredCompiler(config);
  const p = parse(
    onA({
      ingress: [
        {
          toPorts: [
            {
              ports: [
                { port: 'http', protocol: 'TCP' },
                { port: 'gone', protocol: 'TCP' },
              ],
            },
          ],
        },
      ],
    }),
  );
  compiler.update({ policies: [p] });
  expect(compiler.report(p.key)).toMatchObject({ subjects: 0, undefinedPorts: ['gone', 'http'] });
  compiler.update({ identities: identitiesOf(lab) });
  expect(compiler.report(p.key)).toMatchObject({ subjects: 1, undefinedPorts: ['gone'] });
  expect(compiler.report('x' as never)).toBeUndefined();
});
