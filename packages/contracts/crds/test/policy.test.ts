import type { AppError } from '@axoneme/std';
import { describe, expect, test } from '@jest/globals';
import { parseCiliumClusterwideNetworkPolicy, parseCiliumNetworkPolicy, schemaIssues } from '../src/index.ts';

const metadata = { name: 'rule1', namespace: 'default', uid: 'u', managedFields: [{ manager: 'kubectl' }] };
const subject = { endpointSelector: { matchLabels: { org: 'empire' } } };
const cnp = (spec: unknown): unknown => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata, spec });
const issues = (v: unknown): string[] => {
  const r = parseCiliumNetworkPolicy(v);
  return r.ok ? [] : schemaIssues(r.error as AppError).map((i) => `${i.path}: ${i.message}`);
};
const port = (p: unknown): unknown => cnp({ ...subject, ingress: [{ toPorts: [{ ports: [p] }] }] });

describe('what users apply', () => {
  test('the Star Wars policy', () => {
    const o = cnp({
      description: 'L3-L4 policy to restrict deathstar access to empire ships only',
      endpointSelector: { matchLabels: { org: 'empire', class: 'deathstar' } },
      ingress: [{ fromEndpoints: [{ matchLabels: { org: 'empire' } }], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] }],
    });
    const r = parseCiliumNetworkPolicy(o);
    expect(r).toEqual({ ok: true, value: o });
  });

  test('everything above L4', () => {
    const o = cnp({
      ...subject,
      egress: [
        {
          toFQDNs: [{ matchPattern: '**.example.com' }, { matchName: 'api.github.com.' }],
          toPorts: [
            {
              ports: [{ port: '443', protocol: 'TCP', endPort: 444 }],
              serverNames: ['*.example.com'],
              terminatingTLS: { secret: { name: 's' } },
              rules: { http: [{ method: 'GET', path: '/public/.*', headerMatches: [{ name: 'X', mismatch: 'LOG' }] }] },
            },
          ],
        },
        {
          icmps: [
            {
              fields: [
                { type: 8, family: 'IPv4' },
                { type: 'EchoRequest', family: 'IPv6' },
              ],
            },
          ],
        },
        { toServices: [{ k8sServiceSelector: { selector: {} } }], authentication: { mode: 'required' } },
      ],
      egressDeny: [{ toCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] }], toPorts: [{ ports: [{ port: '0' }] }] }],
    });
    expect(issues(o)).toEqual([]);
  });

  test('absent, empty list and empty selector stay three things', () => {
    const parse = (entry: object) => {
      const r = parseCiliumNetworkPolicy(cnp({ ...subject, ingress: [entry] }));
      return r.ok ? r.value.spec?.ingress?.[0] : undefined;
    };
    expect(parse({})).toEqual({});
    expect(Object.hasOwn(parse({}) ?? {}, 'fromEndpoints')).toBe(false);
    expect(parse({ fromEndpoints: [] })).toEqual({ fromEndpoints: [] });
    expect(parse({ fromEndpoints: [{}] })).toEqual({ fromEndpoints: [{}] });
    expect(issues(cnp({ ...subject, ingress: [] }))).toEqual([]);
  });

  test('a clusterwide policy has no namespace', () => {
    const r = parseCiliumClusterwideNetworkPolicy({
      metadata: { name: 'x' },
      spec: { nodeSelector: {}, ingress: [{ fromEntities: ['all'] }] },
    });
    expect(r.ok).toBe(true);
  });

  test.each(['0', '1', '80', '65535', 'http', 'HTTP', 'http-8080', '8080-http', 'a', 'x1-y2'])('port %j', (p) => {
    expect(issues(port({ port: p }))).toEqual([]);
  });
});

describe('what is refused, and where the user is sent', () => {
  const at = 'spec.ingress[0].toPorts[0].ports[0]';
  test.each(['70000', '65536', '80abc', '99999', '', '-1', '0x50', '080', '80-90', 'a b', '-http', 'http-', 'a--b', 'sixteen-chars-xy'])(
    'port %j',
    (p) => {
      expect(issues(port({ port: p }))).toEqual([expect.stringContaining(`${at}.port: "${p}" `)]);
    },
  );
  test.each([
    ['a number instead of text', { port: 80 }, `${at}.port: 80 must be text: put the value in quotes`],
    ['a range that leaves 16 bits', { port: '1', endPort: 70000 }, `${at}.endPort: 70000 `],
    ['a protocol of another layer', { port: '1', protocol: 'HTTP' }, `${at}.protocol: "HTTP" must be TCP`],
    ['a misspelled field', { prot: '80' }, `${at}.prot: unknown field`],
  ])('%s', (_n, p, expected) => {
    expect(issues(port(p))).toEqual([expect.stringContaining(expected)]);
  });

  test.each([
    '10.0.0.0/33',
    '10.0.0.0',
    '10.0.0/8',
    '300.0.0.0/8',
    'fd00::/129',
    'fd00::1',
    'zz::/64',
    '10.0.0.0/08',
    '10.0.0.0/',
    'fe80::%eth0/64',
  ])('prefix %j', (c) => {
    expect(issues(cnp({ ...subject, egress: [{ toCIDR: [c] }] }))).toEqual([
      expect.stringContaining(`spec.egress[0].toCIDR[0]: "${c}" is not address/bits`),
    ]);
  });

  test.each([
    [
      'an unknown entity',
      { ingress: [{ fromEntities: ['cluster', 'wrold'] }] },
      'spec.ingress[0].fromEntities[1]: "wrold" must be one of all, world',
    ],
    ['L7 in a deny rule', { ingressDeny: [{ toPorts: [{ rules: { http: [] } }] }] }, 'spec.ingressDeny[0].toPorts[0].rules: unknown field'],
    ['names in a deny rule', { egressDeny: [{ toFQDNs: [{ matchName: 'a.b' }] }] }, 'spec.egressDeny[0].toFQDNs: unknown field'],
    [
      'authentication in a deny rule',
      { egressDeny: [{ authentication: { mode: 'required' } }] },
      'spec.egressDeny[0].authentication: unknown field',
    ],
    ['egress peers at ingress', { ingress: [{ toEndpoints: [{}] }] }, 'spec.ingress[0].toEndpoints: unknown field'],
    [
      'two forms of a name',
      { egress: [{ toFQDNs: [{ matchName: 'a', matchPattern: 'b' }] }] },
      'spec.egress[0].toFQDNs[0]: exactly one of matchName',
    ],
    [
      'two families of L7',
      { ingress: [{ toPorts: [{ rules: { http: [], dns: [] } }] }] },
      'spec.ingress[0].toPorts[0].rules: exactly one of http',
    ],
    ['neither form of a prefix', { ingress: [{ fromCIDRSet: [{ except: [] }] }] }, 'spec.ingress[0].fromCIDRSet[0]: exactly one of cidr'],
    ['requirements', { ingress: [{ fromRequires: ['x'] }] }, 'spec.ingress[0].fromRequires: is no longer supported'],
    ['no direction', {}, 'spec: at least one of ingress'],
    ['two subjects', { nodeSelector: {}, ingress: [] }, 'spec: exactly one of endpointSelector, nodeSelector'],
    ['an operator', { ingress: [{ fromEndpoints: [{ matchExpressions: [{ key: 'a', operator: 'Is' }] }] }] }, 'operator: "Is" must be In'],
    [
      'a label value',
      { ingress: [{ fromEndpoints: [{ matchLabels: { a: '-x' } }] }] },
      'spec.ingress[0].fromEndpoints[0].matchLabels.a: "-x" is not a label value',
    ],
    ['null for a list', { ingress: null }, 'spec.ingress: null Invalid input: expected array'],
    [
      'an ICMP type',
      { ingress: [{ icmps: [{ fields: [{ type: 256 }] }] }] },
      'spec.ingress[0].icmps[0].fields[0].type: 256 must be a number from 0 to 255',
    ],
    ['an ICMP type left out', { ingress: [{ icmps: [{ fields: [{}] }] }] }, 'spec.ingress[0].icmps[0].fields[0].type: '],
    [
      '41 ports',
      { ingress: [{ toPorts: [{ ports: Array.from({ length: 41 }, () => ({ port: '1' })) }] }] },
      'spec.ingress[0].toPorts[0].ports: has more than 40 ports',
    ],
    ['no server name', { egress: [{ toPorts: [{ serverNames: [] }] }] }, 'spec.egress[0].toPorts[0].serverNames: must not be empty'],
    [
      'an authentication mode',
      { ingress: [{ authentication: { mode: 'maybe' } }] },
      'spec.ingress[0].authentication.mode: "maybe" must be disabled',
    ],
  ])('%s', (_n, part, expected) => {
    expect(issues(cnp({ ...subject, ...part }))).toEqual([expect.stringContaining(expected)]);
  });

  test('all problems at once', () => {
    const found = issues(
      cnp({ ...subject, ingress: [{ fromEntities: ['x'], toPorts: [{ ports: [{ port: '70000' }, { port: '80abc' }] }] }] }),
    );
    expect(found.length).toBe(3);
  });

  test.each([
    ['nothing', undefined],
    ['a list', []],
    ['text', 'kind: CiliumNetworkPolicy'],
    ['no metadata', { spec: {} }],
    ['no namespace', { metadata: { name: 'x' }, spec: { ...subject, ingress: [] } }],
    ['another version', { apiVersion: 'cilium.io/v3', metadata, spec: { ...subject, ingress: [] } }],
  ])('not even an object of the kind: %s', (_n, v) => {
    const r = parseCiliumNetworkPolicy(v);
    expect(r.ok ? '' : r.error.code).toBe('crds/invalid');
  });

  test('hostile text does not stall the check', () => {
    const started = performance.now();
    const long = `${'a'.repeat(100_000)}!`;
    issues(
      cnp({
        ...subject,
        egress: [
          {
            toFQDNs: [{ matchName: long }, { matchPattern: `${'a'.repeat(250)}!` }],
            toPorts: [{ ports: [{ port: long }], serverNames: [long] }],
          },
        ],
      }),
    );
    // a check that backtracks takes minutes
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});
