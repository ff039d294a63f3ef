// The worked cases of the compatibility reference, each judged by rows and by the reference evaluator.
import { describe, expect, test } from '@jest/globals';
import { type PolicyObject, parsePolicy } from '../src/index.ts';
import { ccnp, compileLab, config, onA } from './lab.ts';

const fromB = { fromEndpoints: [{ matchLabels: { app: 'b' } }] };
const tcp = (port: string, more: object = {}) => ({ toPorts: [{ ports: [{ port, protocol: 'TCP' }], ...more }] });
const get80 = { toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } }] };
const host = '192.168.0.1';
const node = '192.168.0.2';
const outside = '203.0.113.9';

type Probe = readonly [direction: 'ingress' | 'egress', peer: string, traffic: string, expected: string];
const ingress = (expected: string, ...peers: string[]): Probe[] => peers.map((p) => ['ingress', p, '80/TCP', expected]);

const cases: readonly [string, readonly PolicyObject[], readonly Probe[]][] = [
  ['1 no policy', [], [...ingress('pass', 'b', 'c', host, node, outside), ['egress', outside, '80/TCP', 'pass']]],
  [
    '3 one empty entry isolates',
    [onA({ ingress: [{}] })],
    [...ingress('drop 133', 'b', 'c', node, outside), ...ingress('pass', host), ['egress', outside, '1/UDP', 'pass']],
  ],
  [
    '4 every endpoint of the namespace',
    [onA({ ingress: [{ fromEndpoints: [{}] }] })],
    [...ingress('pass', 'b', host), ...ingress('drop 133', 'c', outside, node, 'far')],
  ],
  [
    '5 the same cluster-wide',
    [ccnp({ endpointSelector: { matchLabels: { app: 'a' } }, ingress: [{ fromEndpoints: [{}] }] })],
    [...ingress('pass', 'b', 'c'), ...ingress('drop 133', outside, node, 'far')],
  ],
  [
    '6 another namespace by name',
    [onA({ ingress: [{ fromEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'blog' } }] }] })],
    [...ingress('pass', 'c'), ...ingress('drop 133', 'b', outside)],
  ],
  [
    '6b another namespace by label',
    [onA({ ingress: [{ fromEndpoints: [{ matchLabels: { 'io.cilium.k8s.namespace.labels.team': 'blog' } }] }] })],
    [...ingress('pass', 'c'), ...ingress('drop 133', 'b')],
  ],
  [
    '7 a label of another namespace',
    [onA({ ingress: [{ fromEndpoints: [{ matchLabels: { app: 'c' } }] }] })],
    ingress('drop 133', 'b', 'c', outside),
  ],
  [
    '8 ports only',
    [onA({ ingress: [tcp('80')] })],
    [
      ...ingress('pass', 'b', 'c', node, outside),
      ['ingress', 'b', '81/TCP', 'drop 133'],
      ['ingress', 'b', '80/UDP', 'drop 133'],
      ['ingress', 'b', 'icmp/8', 'drop 133'],
    ],
  ],
  ['9 empty peers with ports', [onA({ ingress: [{ fromEndpoints: [], ...tcp('80') }] })], ingress('drop 133', 'b', 'c', outside)],
  [
    '10 entity cluster',
    [onA({ ingress: [{ fromEntities: ['cluster'] }] })],
    [...ingress('pass', 'b', 'c', host, node, '192.168.0.3'), ...ingress('drop 133', outside, 'far')],
  ],
  [
    '11 CIDR does not match pods',
    [onA({ ingress: [{ fromCIDR: ['10.0.0.0/8'] }] })],
    [...ingress('drop 133', 'b', outside), ...ingress('pass', '10.9.9.9')],
  ],
  [
    '12 CIDR with exception',
    [onA({ ingress: [{ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.9.0.0/16'] }] }] })],
    [...ingress('drop 133', '10.9.9.9', 'b'), ...ingress('pass', '10.8.8.8')],
  ],
  [
    '13 deny only isolates',
    [onA({ ingressDeny: [fromB] })],
    [...ingress('drop 181', 'b'), ...ingress('drop 133', 'c', outside), ...ingress('pass', host)],
  ],
  [
    '14 deny without default deny',
    [onA({ ingressDeny: [fromB], enableDefaultDeny: { ingress: false } })],
    [...ingress('drop 181', 'b'), ...ingress('pass', 'c', outside)],
  ],
  [
    '15 deny beats allow',
    [onA({ ingress: [fromB], ingressDeny: [{ ...fromB, ...tcp('443') }] })],
    [
      ['ingress', 'b', '80/TCP', 'pass'],
      ['ingress', 'b', '443/TCP', 'drop 181'],
    ],
  ],
  [
    '16 deny by a range of any peer',
    [
      onA({
        ingress: [{ ...fromB, ...tcp('8050') }],
        ingressDeny: [{ toPorts: [{ ports: [{ port: '8000', endPort: 8100, protocol: 'TCP' }] }] }],
      }),
    ],
    [
      ['ingress', 'b', '8050/TCP', 'drop 181'],
      ['ingress', 'c', '8100/TCP', 'drop 181'],
      ['ingress', 'c', '8101/TCP', 'drop 133'],
      ['ingress', host, '8000/TCP', 'drop 181'],
    ],
  ],
  [
    '17 L7 and plain on the same selector',
    [
      onA({
        ingress: [
          { ...fromB, ...tcp('80') },
          { ...fromB, ...get80 },
        ],
      }),
    ],
    [...ingress('pass', 'b'), ...ingress('drop 133', 'c')],
  ],
  [
    '18 a plain rule for all does not bypass L7',
    [onA({ ingress: [tcp('80'), { ...fromB, ...get80 }] })],
    [...ingress('pass', 'c', outside), ...ingress('drop 181', 'b')],
  ],
  [
    '20 echo requests',
    [onA({ ingress: [{ icmps: [{ fields: [{ type: 8 }] }] }] })],
    [
      ['ingress', 'b', 'icmp/8', 'pass'],
      ['ingress', 'b', 'icmp/0', 'drop 133'],
      ['ingress', 'b', 'icmp6/8', 'drop 133'],
      ...ingress('drop 133', 'b'),
    ],
  ],
  [
    '23 world minus one address',
    [onA({ egress: [{ toEntities: ['world'] }], egressDeny: [{ toCIDR: [`${outside}/32`] }] })],
    [
      ['egress', outside, '443/TCP', 'drop 181'],
      ['egress', '203.0.113.10', '443/TCP', 'pass'],
      ['egress', '2001:db8::1', '443/TCP', 'pass'],
      ['egress', 'b', '443/TCP', 'drop 133'],
      ['egress', node, '443/TCP', 'drop 133'],
    ],
  ],
  [
    '25 one of two policies without default deny',
    [onA({ ingress: [fromB] }, 'p1'), onA({ ingress: [{ fromEntities: ['world'] }], enableDefaultDeny: { ingress: false } }, 'p2')],
    [...ingress('pass', 'b', outside), ...ingress('drop 133', 'c', node)],
  ],
  [
    '25b only the one without default deny',
    [onA({ ingress: [fromB], enableDefaultDeny: { ingress: false } })],
    ingress('pass', 'b', 'c', outside),
  ],
  [
    '26 remote clusters need their name',
    [onA({ ingress: [{ fromEndpoints: [{ matchLabels: { app: 'b', 'io.cilium.k8s.policy.cluster': 'other' } }] }] })],
    [...ingress('pass', 'far'), ...ingress('drop 133', 'b')],
  ],
  ['32 a port name nobody defines', [onA({ ingress: [tcp('web')] })], [...ingress('drop 133', 'b', outside), ...ingress('pass', host)]],
  [
    '32b a port name of the subject',
    [onA({ ingress: [tcp('HTTP')] })],
    [
      ['ingress', 'b', '8080/TCP', 'pass'],
      ['ingress', 'b', '8081/TCP', 'drop 133'],
    ],
  ],
  [
    '32c a port name of the peers',
    [
      onA({
        egress: [{ toEndpoints: [{ matchExpressions: [{ key: 'io.kubernetes.pod.namespace', operator: 'Exists' }] }], ...tcp('web') }],
      }),
    ],
    [
      ['egress', 'b', '80/TCP', 'pass'],
      ['egress', 'b', '8088/TCP', 'drop 133'],
      ['egress', 'c', '8088/TCP', 'pass'],
      ['egress', 'c', '80/TCP', 'drop 133'],
    ],
  ],
];

describe('worked cases', () => {
  test.each(cases)('%s', (_name, objects, probes) => {
    const c = compileLab(objects);
    for (const [direction, peer, traffic, expected] of probes)
      expect([peer, traffic, c.verdict('a', direction, peer, traffic)]).toEqual([peer, traffic, expected]);
  });

  test('27 mode always: only the local host gets in', () => {
    const c = compileLab([], { ...config, mode: 'always' });
    for (const peer of ['b', 'c', node, outside]) expect(c.verdict('a', 'ingress', peer, '80/TCP')).toBe('drop 133');
    expect(c.verdict('a', 'ingress', host, '80/TCP')).toBe('pass');
    expect(c.verdict('a', 'egress', host, '80/TCP')).toBe('drop 133');
    const origin = c.table.origins.get(c.table.subjects.get(1001 as never)!.layers.normal.denyRules[0]);
    expect(origin === undefined || origin.kind === 'Config').toBe(true);
  });

  test('mode never drops nothing', () => {
    const c = compileLab([onA({ ingressDeny: [fromB] })], { ...config, mode: 'never' });
    expect(c.verdict('a', 'ingress', 'b', '80/TCP')).toBe('pass');
  });

  test('2 only an empty list is rejected', () => {
    const r = parsePolicy(onA({ ingress: [] }), { clusterName: 'main' });
    expect(r.ok ? [] : r.error.map((i) => [i.severity, i.path])).toEqual([['error', 'spec']]);
  });

  test('endpoints without labels are closed until a policy for init says otherwise', () => {
    const closed = compileLab([]).table.subjects.get(5 as never)!.layers.normal;
    expect(closed.defaultDeny).toEqual({ ingress: true, egress: true });
    const open = compileLab([ccnp({ endpointSelector: { matchLabels: { 'reserved:init': '' } }, egress: [{ toEntities: ['all'] }] })]);
    expect(open.table.subjects.get(5 as never)!.layers.normal.rows.count).toBe(1);
    expect(open.table.origins.get(open.table.subjects.get(5 as never)!.layers.normal.denyRules[1])?.name).toBe('p');
  });

  test('a policy of one namespace selects nobody elsewhere, whatever its selector says', () => {
    const spec = { endpointSelector: { matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'blog' } }, ingress: [{}] };
    const c = compileLab([{ kind: 'CiliumNetworkPolicy', metadata: { name: 'evil', namespace: 'shop' }, spec }]);
    expect(c.verdict('c', 'ingress', 'b', '80/TCP')).toBe('pass');
    expect(c.verdict('a', 'ingress', 'b', '80/TCP')).toBe('drop 133');
    expect(c.parsed[0]!.issues.map((i) => i.severity)).toEqual(['lint']);
  });
});
