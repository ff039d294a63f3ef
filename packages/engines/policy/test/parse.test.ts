// What is refused, what is accepted but not compiled yet, and where the issue points.
import { describe, expect, test } from '@jest/globals';
import { type PolicyObject, parsePolicy, renderIssue } from '../src/index.ts';
import { ccnp, cnp, compileLab, onA } from './lab.ts';

const issues = (o: PolicyObject, severity: string): string[] => {
  const r = parsePolicy(o, { clusterName: 'main' });
  return (r.ok ? r.value.issues : r.error).filter((i) => i.severity === severity).map((i) => i.path);
};
const ingress = (entry: object): PolicyObject => onA({ ingress: [entry] });
const egress = (entry: object): PolicyObject => onA({ egress: [entry] });
const ports = (...list: object[]): object => ({ toPorts: [{ ports: list }] });
const l7 = (port: object, rules: object, more: object = {}): object => ({ toPorts: [{ ports: [port], rules, ...more }] });
const tcp80 = { port: '80', protocol: 'TCP' };
const at = (suffix: string): string => `spec.ingress[0]${suffix}`;
const out = (suffix: string): string => `spec.egress[0]${suffix}`;
const port0 = '.toPorts[0].ports[0]';

describe('refused', () => {
  test.each<[string, PolicyObject, string]>([
    ['no direction', onA({}), 'spec'],
    ['neither spec nor specs', { kind: 'CiliumNetworkPolicy', metadata: { name: 'x', namespace: 'shop' } }, 'spec'],
    ['no selector', cnp({ ingress: [{}] }), 'spec'],
    ['both selectors', ccnp({ endpointSelector: {}, nodeSelector: {}, ingress: [{}] }), 'spec'],
    ['nodes in a namespaced policy', cnp({ nodeSelector: {}, ingress: [{}] }), 'spec.nodeSelector'],
    ['two kinds of peers', ingress({ fromEndpoints: [{}], fromEntities: ['world'] }), at('')],
    ['icmps with toPorts', ingress({ icmps: [{ fields: [{ type: 8 }] }], ...ports(tcp80) }), at('')],
    ['41 ports', ingress(ports(...Array.from({ length: 41 }, (_, i) => ({ port: String(i + 1) })))), at('.toPorts[0].ports')],
    [
      '41 ports in a deny',
      onA({ ingressDeny: [ports(...Array.from({ length: 41 }, (_, i) => ({ port: String(i + 1) })))] }),
      'spec.ingressDeny[0].toPorts[0].ports',
    ],
    ['41 ICMP types', ingress({ icmps: [{ fields: Array.from({ length: 41 }, () => ({ type: 8 })) }] }), at('.icmps[0].fields')],
    ['port 70000', ingress(ports({ port: '70000', protocol: 'TCP' })), at(`${port0}.port`)],
    ['port 65536', ingress(ports({ port: '65536' })), at(`${port0}.port`)],
    ['port missing', ingress(ports({ protocol: 'TCP' })), at(`${port0}.port`)],
    ['port empty', ingress(ports({ port: '' })), at(`${port0}.port`)],
    ['port negative', ingress(ports({ port: '-1' })), at(`${port0}.port`)],
    ['port name too long', ingress(ports({ port: 'abcdefghijklmnop' })), at(`${port0}.port`)],
    ['port name with two hyphens', ingress(ports({ port: 'a--b' })), at(`${port0}.port`)],
    ['endPort too high', ingress(ports({ port: '1', endPort: 65_536 })), at(`${port0}.endPort`)],
    ['a range from 0', ingress(ports({ port: '0', endPort: 9 })), at(`${port0}.endPort`)],
    ['unknown protocol', ingress(ports({ port: '1', protocol: 'ICMP' })), at(`${port0}.protocol`)],
    ['VRRP with a port', ingress(ports({ port: '5', protocol: 'VRRP' })), at(`${port0}.port`)],
    ['L7 on any protocol', ingress(l7({ port: '80' }, { http: [{}] })), at(`${port0}.protocol`)],
    ['L7 on UDP', ingress(l7({ port: '80', protocol: 'UDP' }, { http: [{}] })), at(`${port0}.protocol`)],
    ['L7 on port 0', ingress(l7({ port: '0', protocol: 'TCP' }, { http: [{}] })), at(`${port0}.port`)],
    ['two L7 families', ingress(l7(tcp80, { http: [{}], kafka: [{}] })), at('.toPorts[0].rules')],
    ['l7 without l7proto', ingress(l7(tcp80, { l7: [{ a: 'b' }] })), at('.toPorts[0].rules.l7')],
    ['DNS at ingress', ingress(l7({ port: '53' }, { dns: [{ matchName: 'x.io' }] })), at('.toPorts[0].rules.dns')],
    ['DNS without ports', egress({ toPorts: [{ rules: { dns: [{ matchName: 'x.io' }] } }] }), out('.toPorts[0].ports')],
    ['DNS with a range', egress(l7({ port: '53', endPort: 54 }, { dns: [{ matchName: 'x.io' }] })), out(`${port0}.endPort`)],
    ['bad path regex', ingress(l7(tcp80, { http: [{ path: '(' }] })), at('.toPorts[0].rules.http[0].path')],
    [
      'header match without name',
      ingress(l7(tcp80, { http: [{ headerMatches: [{ value: 'x' }] }] })),
      at('.toPorts[0].rules.http[0].headerMatches[0].name'),
    ],
    ['Kafka key with role', ingress(l7(tcp80, { kafka: [{ apiKey: 'fetch', role: 'consume' }] })), at('.toPorts[0].rules.kafka[0]')],
    ['unknown Kafka key', ingress(l7(tcp80, { kafka: [{ apiKey: 'dance' }] })), at('.toPorts[0].rules.kafka[0].apiKey')],
    [
      'listener at ingress',
      ingress({ toPorts: [{ ports: [tcp80], listener: { name: 'l', envoyConfig: { name: 'e' } } }] }),
      at('.toPorts[0].listener'),
    ],
    [
      'listener with L7',
      egress(l7(tcp80, { http: [{}] }, { listener: { name: 'l', envoyConfig: { name: 'e' } } })),
      out('.toPorts[0].listener'),
    ],
    ['SNI and L7 without termination', egress(l7(tcp80, { http: [{}] }, { serverNames: ['x.io'] })), out('.toPorts[0].serverNames')],
    ['empty SNI', egress({ toPorts: [{ ports: [tcp80], serverNames: [] }] }), out('.toPorts[0].serverNames')],
    ['bad name pattern', egress({ toFQDNs: [{ matchPattern: 'x y' }] }), out('.toFQDNs[0].matchPattern')],
    ['name and pattern', egress({ toFQDNs: [{ matchName: 'x.io', matchPattern: '*' }] }), out('.toFQDNs[0]')],
    ['names with other peers', egress({ toFQDNs: [{ matchName: 'x.io' }], toEndpoints: [{}] }), out('')],
    ['names in a deny', onA({ egressDeny: [{ toFQDNs: [{ matchName: 'x.io' }] }] }), 'spec.egressDeny[0].toFQDNs'],
    ['host bits', ingress({ fromCIDR: ['10.0.0.1/8'] }), at('.fromCIDR[0]')],
    ['prefix 33', ingress({ fromCIDR: ['10.0.0.0/33'] }), at('.fromCIDR[0]')],
    ['cidr without prefix length', ingress({ fromCIDRSet: [{ cidr: '10.0.0.0' }] }), at('.fromCIDRSet[0].cidr')],
    ['except outside', ingress({ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] }] }), at('.fromCIDRSet[0].except[0]')],
    [
      'except of the other family',
      ingress({ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['fd00::/16'] }] }),
      at('.fromCIDRSet[0].except[0]'),
    ],
    ['two ways in a set', ingress({ fromCIDRSet: [{ cidr: '10.0.0.0/8', cidrGroupRef: 'g' }] }), at('.fromCIDRSet[0]')],
    ['unknown entity', ingress({ fromEntities: ['moon'] }), at('.fromEntities[0]')],
    ['unknown auth mode', ingress({ fromEndpoints: [{}], authentication: { mode: 'maybe' } }), at('.authentication.mode')],
    ['empty In', ingress({ fromEndpoints: [{ matchExpressions: [{ key: 'a', operator: 'In', values: [] }] }] }), at('.fromEndpoints[0]')],
    ['bad subject key', cnp({ endpointSelector: { matchLabels: { 'a b': 'c' } }, ingress: [{}] }), 'spec.endpointSelector'],
    [
      'ICMP name of the other family',
      ingress({ icmps: [{ fields: [{ family: 'IPv4', type: 'PacketTooBig' }] }] }),
      at('.icmps[0].fields[0].type'),
    ],
    ['ICMP type 256', ingress({ icmps: [{ fields: [{ type: 256 }] }] }), at('.icmps[0].fields[0].type')],
    ['ICMP family', ingress({ icmps: [{ fields: [{ family: 'IPv5', type: 8 }] }] }), at('.icmps[0].fields[0].family')],
    ['requires', ingress({ fromRequires: [{}] }), at('.fromRequires')],
    ['groups of a cloud', ingress({ fromGroups: [{ aws: {} }] }), at('.fromGroups')],
    ['80abc', ingress(ports({ port: '80abc' })), at(`${port0}.port`)],
    ['leading zeros', ingress(ports({ port: '080' })), at(`${port0}.port`)],
    ['a misspelled field', ingress({ fromEndpoint: [{}], ...ports(tcp80) }), at('.fromEndpoint')],
    [
      'a service without a name',
      egress({ toServices: [{ k8sService: { namespace: 'x' } }] }),
      out('.toServices[0].k8sService.serviceName'),
    ],
    ['a service reference that is none', egress({ toServices: [{}] }), out('.toServices[0]')],
    ['services without selector', egress({ toServices: [{ k8sServiceSelector: {} }] }), out('.toServices[0].k8sServiceSelector.selector')],
    ['a selector that is a list', ingress({ fromEndpoints: [{ matchLabels: ['a'] }] }), at('.fromEndpoints[0].matchLabels')],
    ['33 characters of log', onA({ ingress: [{}], log: { value: 'x'.repeat(33) } }), 'spec.log.value'],
    ['a line break in log', onA({ ingress: [{}], log: { value: 'a\nb' } }), 'spec.log.value'],
    ['L7 in a deny', onA({ ingressDeny: [l7(tcp80, { http: [{}] })] }), 'spec.ingressDeny[0].toPorts[0].rules'],
    ['HTTP for nodes', ccnp({ nodeSelector: {}, ingress: [l7(tcp80, { http: [{}] })] }), 'spec.ingress[0].toPorts'],
    ['a list that is none', onA({ ingress: 'all' }), 'spec.ingress'],
    ['an entry that is none', onA({ ingress: [{ fromEndpoints: ['x'] }] }), at('.fromEndpoints[0]')],
    [
      'in specs',
      {
        kind: 'CiliumNetworkPolicy',
        metadata: { name: 'x', namespace: 'shop' },
        specs: [
          { endpointSelector: {}, ingress: [{}] },
          { endpointSelector: {}, ingress: [{ fromEntities: ['moon'] }] },
        ],
      },
      'specs[1].ingress[0].fromEntities[0]',
    ],
  ])('%s', (_name, object, path) => {
    const r = parsePolicy(object, { clusterName: 'main' });
    expect(r.ok).toBe(false);
    expect(issues(object, 'error')).toContain(path);
  });

  test('an issue reads as one line', () => {
    const r = parsePolicy(ingress({ fromCIDR: ['10.0.0.1/8'] }), { clusterName: 'main' });
    expect(r.ok ? '' : renderIssue(r.error[0]!)).toBe(
      'spec.ingress[0].fromCIDR[0]: "10.0.0.1/8" is not a valid CIDR: it has host bits set (write 10.0.0.0/8)',
    );
  });

  test('junk never throws', () => {
    for (const junk of [1, 'x', true, [], [[]], { ingress: [null] }, { endpointSelector: [], ingress: { a: 1 } }]) {
      const r = parsePolicy(
        { kind: 'CiliumNetworkPolicy', metadata: { name: 'x', namespace: 'shop' }, spec: junk as object },
        { clusterName: 'main' },
      );
      expect(r.ok).toBe(false);
    }
  });
});

describe('accepted, not compiled yet, and closed', () => {
  const outside = '203.0.113.9';
  type Probe = readonly [direction: 'ingress' | 'egress', peer: string, traffic: string, expected: string];
  const open = { toEntities: ['all'] };
  test.each<[string, PolicyObject, string, readonly Probe[]]>([
    ['names', egress({ toFQDNs: [{ matchName: 'x.io' }] }), out('.toFQDNs'), [['egress', outside, '443/TCP', 'drop 133']]],
    [
      'authentication, also under a wider allow',
      onA({ ingress: [{ fromEntities: ['all'] }, { fromEndpoints: [{}], authentication: { mode: 'required' } }] }),
      'spec.ingress[1].authentication',
      [
        ['ingress', 'b', '80/TCP', 'drop 181'],
        ['ingress', 'c', '80/TCP', 'pass'],
      ],
    ],
    [
      'server names',
      egress({ ...open, toPorts: [{ ports: [tcp80], serverNames: ['x.io'] }] }),
      out('.toPorts[0].serverNames'),
      [['egress', 'b', '80/TCP', 'drop 181']],
    ],
    [
      'a listener',
      egress({ ...open, toPorts: [{ ports: [tcp80], listener: { name: 'l', envoyConfig: { name: 'e' } } }] }),
      out('.toPorts[0].listener'),
      [['egress', 'b', '80/TCP', 'drop 181']],
    ],
    [
      'L7 only blocks its own ports',
      egress({ ...open, toPorts: [{ ports: [{ port: '81', protocol: 'TCP' }] }, { ports: [tcp80], rules: { http: [{}] } }] }),
      out('.toPorts[1].rules'),
      [
        ['egress', 'b', '80/TCP', 'drop 181'],
        ['egress', 'b', '81/TCP', 'pass'],
      ],
    ],
    [
      'L7 without default deny lets everything pass',
      onA({ ingress: [{ toPorts: [{ ports: [tcp80], rules: { http: [{}] } }] }], enableDefaultDeny: { ingress: false } }),
      at('.toPorts[0].rules'),
      [['ingress', 'b', '80/TCP', 'pass']],
    ],
  ])('%s', (_name, object, path, probes) => {
    expect(issues(object, 'unsupported')).toContain(path);
    const c = compileLab([object]);
    for (const [direction, peer, traffic, expected] of probes)
      expect([peer, traffic, c.verdict('a', direction, peer, traffic)]).toEqual([peer, traffic, expected]);
  });
});

describe('absent and empty', () => {
  test('an empty port list opens nothing and denies everything', () => {
    expect(compileLab([ingress({ fromEndpoints: [{}], toPorts: [] })]).verdict('a', 'ingress', 'b', '80/TCP')).toBe('drop 133');
    expect(compileLab([ingress({ fromEndpoints: [{}], toPorts: [{ ports: [] }] })]).verdict('a', 'ingress', 'b', '80/TCP')).toBe(
      'drop 133',
    );
    expect(
      compileLab([onA({ ingress: [{ fromEntities: ['all'] }], ingressDeny: [{ fromEndpoints: [{}], toPorts: [] }] })]).verdict(
        'a',
        'ingress',
        'b',
        '80/TCP',
      ),
    ).toBe('drop 181');
  });

  test('empty names with ports open nothing', () => {
    expect(compileLab([egress({ toFQDNs: [], ...ports(tcp80) })]).verdict('a', 'egress', 'b', '80/TCP')).toBe('drop 133');
  });

  test('ANY is TCP, UDP and SCTP, never ICMP; no ports at all is everything', () => {
    const any = compileLab([ingress(ports({ port: '0' }))]);
    for (const t of ['5/TCP', '5/UDP', '5/SCTP']) expect(any.verdict('a', 'ingress', 'b', t)).toBe('pass');
    expect(any.verdict('a', 'ingress', 'b', 'icmp/8')).toBe('drop 133');
    expect(compileLab([ingress({ fromEntities: ['all'] })]).verdict('a', 'ingress', 'b', 'icmp/8')).toBe('pass');
  });

  test('endPort below port means one port', () => {
    const c = compileLab([ingress(ports({ port: '80', endPort: 10, protocol: 'TCP' }))]);
    expect([
      c.verdict('a', 'ingress', 'b', '80/TCP'),
      c.verdict('a', 'ingress', 'b', '79/TCP'),
      c.verdict('a', 'ingress', 'b', '81/TCP'),
    ]).toEqual(['pass', 'drop 133', 'drop 133']);
    expect(issues(ingress(ports({ port: '80', endPort: 10 })), 'lint')).toEqual([at(`${port0}.endPort`)]);
  });
});
