// Where implementations surprise users: what happens here, one test a surprise. The T numbers only tell them apart.
import { describe, expect, test } from '@jest/globals';
import { type PolicyObject, parsePolicy, renderIssue } from '../src/index.ts';
import { admitted, askTown, everyone, object, onApi, otherNode, outside, rulesInTown, thisNode } from './town.ts';

const tcp = (port: string, more: object = {}): object => ({ toPorts: [{ ports: [{ port, protocol: 'TCP', ...more }] }] });
const all = [...everyone, thisNode, otherNode, outside];
const local = everyone.filter((p) => !p.startsWith('other:'));
const into = (o: PolicyObject | PolicyObject[], traffic = '80/TCP'): string[] =>
  admitted(askTown([o].flat()), 'shop/api', 'ingress', traffic);
const outOf = (o: PolicyObject | PolicyObject[], traffic = '80/TCP'): string[] =>
  admitted(askTown([o].flat()), 'shop/api', 'egress', traffic);
const words = (o: PolicyObject): string[] => {
  const r = parsePolicy(o, { clusterName: 'main' });
  return (r.ok ? r.value.issues : r.error).map((i) => `${i.severity} ${renderIssue(i)}`);
};
const service = (serviceName: string): object => ({ toServices: [{ k8sService: { serviceName, namespace: 'shop' } }] });
const ccnp = (spec: object): PolicyObject => object('CiliumClusterwideNetworkPolicy', spec);

describe('references', () => {
  test('T1: a Service that does not exist admits nobody, with ports too', () => {
    expect(outOf(onApi({ egress: [{ ...service('ghost'), ...tcp('80') }] }))).toEqual([]);
    expect(outOf(onApi({ egress: [service('ghost')] }))).toEqual([]);
    expect(outOf(onApi({ egress: [{ ...service('db'), ...tcp('80') }] }))).toEqual(['shop/db']);
  });

  test('T2: a deny by Service denies that Service and nobody else, on its ports only', () => {
    const deny = (entry: object): PolicyObject => onApi({ egress: [{ toEntities: ['all'] }], egressDeny: [entry] });
    expect(outOf(deny(service('db')))).toEqual(all.filter((p) => p !== 'shop/db'));
    expect(outOf(deny({ ...service('db'), ...tcp('5432') }))).toEqual(all);
    expect(outOf(deny({ ...service('db'), ...tcp('5432') }), '5432/TCP')).toEqual(all.filter((p) => p !== 'shop/db'));
    expect(outOf(deny({ ...service('mainframe'), ...tcp('80') }))).toEqual(all);
    expect(askTown([deny(service('mainframe'))])('shop/api', 'egress', '192.0.2.77', '80/TCP')).toBe('drop 181');
  });
});

describe('empty and absent', () => {
  test.each(['toEndpoints', 'toEntities', 'toCIDR', 'toCIDRSet', 'toNodes', 'toServices', 'toFQDNs', 'toGroups'])(
    'T3: %s: [] is nobody, with ports too, and is remarked upon',
    (field) => {
      for (const entry of [{ [field]: [] }, { [field]: [], ...tcp('80') }]) {
        expect(outOf(onApi({ egress: [entry] }))).toEqual([]);
        expect(words(onApi({ egress: [entry] }))).toEqual([
          `lint spec.egress[0].${field}: an empty list selects nobody (remove the field to mean any peer)`,
        ]);
      }
    },
  );

  test('T4: an empty entry isolates here and allows everything in a NetworkPolicy', () => {
    expect(into(onApi({ ingress: [{}] }))).toEqual([thisNode]);
    expect(into(object('NetworkPolicy', { podSelector: { matchLabels: { app: 'api' } }, ingress: [{}] }))).toEqual(all);
  });

  test('T41: a policy with denies only isolates; enableDefaultDeny false merely subtracts', () => {
    const deny = { ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }] }] };
    expect(into(onApi(deny))).toEqual([thisNode]);
    expect(into(onApi({ ...deny, enableDefaultDeny: { ingress: false } }))).toEqual(all.filter((p) => p !== 'shop/web'));
    expect(outOf(onApi(deny))).toEqual(all);
  });
});

describe('selectors', () => {
  test('T7: a namespace label reaches other namespaces from a namespaced policy', () => {
    const by = (matchLabels: object): PolicyObject => onApi({ ingress: [{ fromEndpoints: [{ matchLabels }] }] });
    expect(into(by({ 'io.cilium.k8s.namespace.labels.team': 'front' }))).toEqual(['blog/blog', thisNode]);
    expect(into(by({ 'k8s:io.cilium.k8s.namespace.labels.team': 'platform', app: 'prometheus' }))).toEqual([
      'monitoring/prometheus',
      thisNode,
    ]);
    expect(into(by({ app: 'blog' }))).toEqual([thisNode]);
  });

  test('T8: the empty peer selector is the own namespace, cluster-wide every pod, never nodes or the outside', () => {
    const entry = { ingress: [{ fromEndpoints: [{}] }] };
    expect(into(onApi(entry))).toEqual([...local.filter((p) => p.startsWith('shop/')), thisNode]);
    expect(into(ccnp({ endpointSelector: { matchLabels: { app: 'api' } }, ...entry }))).toEqual([...local, thisNode]);
    expect(into(onApi({ ingress: [{ fromEntities: ['all'] }] }))).toEqual(all);
  });

  test('T9: a pod of another cluster only if the cluster is named', () => {
    const web = (more: object): PolicyObject => onApi({ ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web', ...more } }] }] });
    expect(into(web({}))).toEqual(['shop/web', thisNode]);
    expect(into(web({ 'io.cilium.k8s.policy.cluster': 'other' }))).toEqual(['other:shop/web', thisNode]);
  });
});

describe('addresses', () => {
  test('T11: an exception leaves its addresses out, whoever else mentions them', () => {
    const set = (cidr: string, except: string[]): object => ({ toCIDRSet: [{ cidr, except }] });
    const o = onApi({ egress: [set('203.0.0.0/8', ['203.0.113.0/24'])] });
    const other = onApi({ egress: [{ toCIDR: ['203.0.113.8/29'] }] });
    const passes = (objects: PolicyObject[]): string[] =>
      ['203.0.113.200', '203.0.113.9', '203.1.1.1'].filter((a) => askTown(objects)('shop/api', 'egress', a, '80/TCP') === 'pass');
    expect(passes([o])).toEqual(['203.1.1.1']);
    expect(passes([o, { ...other, metadata: { name: 'q', namespace: 'shop' } }])).toEqual(['203.0.113.9', '203.1.1.1']);
  });

  test('T12: one kind of peer an entry; two are an error, an empty one beside a filled one is not', () => {
    expect(words(onApi({ ingress: [{ fromEndpoints: [{}], fromCIDR: ['10.0.0.0/8'] }] }))).toEqual([
      'error spec.ingress[0]: combines fromEndpoints and fromCIDR (write one entry for each kind of peer; entries are ORed)',
    ]);
    expect(into(onApi({ ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }], fromCIDR: [] }] }))).toEqual(['shop/web', thisNode]);
  });

  test('T14: a bare address is itself in fromCIDR and an error in fromCIDRSet', () => {
    expect(into(onApi({ ingress: [{ fromCIDR: [outside] }] }))).toEqual([thisNode, outside]);
    expect(words(onApi({ ingress: [{ fromCIDRSet: [{ cidr: outside }] }] }))[0]).toMatch(/^error .*it has no prefix length/);
  });

  test('T31: ipBlock matches pods and nodes; CIDR peers of Cilium policies never do', () => {
    const block = object('NetworkPolicy', {
      podSelector: { matchLabels: { app: 'api' } },
      ingress: [{ from: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }],
    });
    expect(into(block)).toEqual(all);
    expect(into(onApi({ ingress: [{ fromCIDR: ['0.0.0.0/0'] }] }))).toEqual([thisNode, outside]);
  });

  test('T36: an ipBlock admits no pod of the namespace beside it', () => {
    const o = object('NetworkPolicy', {
      podSelector: { matchLabels: { app: 'api' } },
      ingress: [{ from: [{ ipBlock: { cidr: '203.0.113.0/24' } }] }],
    });
    expect(into(o)).toEqual([thisNode, outside]);
  });
});

describe('ports', () => {
  test.each(['80abc', '70000', '65536', '080', '0x50', '80-90', '-1', ' 80', '1e2', ''])('T13: port %j is refused', (port) => {
    expect(words(onApi({ ingress: [{ ...tcp(port) }] }))[0]).toMatch(/^error spec\.ingress\[0\]\.toPorts\[0\]\.ports\[0\]\.port: /);
  });

  test('T16: a name is lower-cased, its endPort has no meaning, and an undefined one opens nothing', () => {
    expect(into(onApi({ ingress: [tcp('HTTP', { endPort: 9000 })] }), '8080/TCP')).toEqual(all);
    expect(into(onApi({ ingress: [tcp('HTTP', { endPort: 9000 })] }), '8081/TCP')).toEqual([thisNode]);
    expect(into(onApi({ ingress: [tcp('nobody')] }), '8080/TCP')).toEqual([thisNode]);
  });

  test('T17: ANY and an absent protocol are TCP, UDP and SCTP; only an absent toPorts is ICMP too', () => {
    for (const port of [{ port: '80' }, { port: '80', protocol: 'ANY' }]) {
      const o = onApi({ ingress: [{ toPorts: [{ ports: [port] }] }] });
      for (const traffic of ['80/TCP', '80/UDP', '80/SCTP']) expect([traffic, into(o, traffic).length]).toEqual([traffic, all.length]);
      expect(into(o, 'icmp/8')).toEqual([thisNode]);
    }
    expect(into(onApi({ ingress: [{ fromEntities: ['all'] }] }), 'icmp/8')).toEqual(all);
  });

  test('T34: both spellings of the ICMP name are the same type', () => {
    const ports = (family: string, type: string): unknown =>
      rulesInTown([onApi({ ingress: [{ icmps: [{ fields: [{ family, type }] }] }] })])[0]!.entries[0]!.ports;
    for (const [family, protocol, number] of [['IPv4', 1, 43] as const, ['IPv6', 58, 161] as const]) {
      for (const name of ['ExtendedEchoReply', 'ExtendedEcho Reply'])
        expect(ports(family, name)).toEqual([{ kind: 'range', protocol, first: number, last: number }]);
    }
  });
});

describe('nodes', () => {
  test('node peers are nodes by label, the local one included, and never a pod', () => {
    const egress = (selector: object): string[] => outOf(onApi({ egress: [{ toNodes: [selector] }] }));
    expect(egress({})).toEqual([thisNode, otherNode]);
    expect(egress({ matchLabels: { role: 'worker' } })).toEqual([otherNode]);
    expect(egress({ matchLabels: { 'k8s:role': 'edge' } })).toEqual([thisNode]);
    expect(egress({ matchLabels: { app: 'web' } })).toEqual([]);
    const deny = onApi({ egress: [{ toEntities: ['all'] }], egressDeny: [{ toNodes: [{ matchLabels: { role: 'worker' } }] }] });
    expect(outOf(deny)).toEqual(all.filter((p) => p !== otherNode));
  });

  test('a host policy is a rule about nodes, and about no pod', () => {
    const host = ccnp({ nodeSelector: { matchLabels: { role: 'edge' } }, ingress: [{ fromEntities: ['cluster'] }] });
    const [rule] = rulesInTown([host]);
    expect([rule!.subjectKind, rule!.subject.text]).toEqual(['nodes', 'k8s:role In "edge"']);
    expect(into(host)).toEqual(all);
  });

  test('a host policy in shadow mode is neither judged nor enforced, and says so', () => {
    const shadow = object(
      'CiliumClusterwideNetworkPolicy',
      { nodeSelector: {}, ingress: [{}] },
      { annotations: { 'policy.axoneme.io/mode': 'shadow' } },
    );
    expect(rulesInTown([shadow])).toEqual([]);
    expect(words(shadow)).toEqual([
      'unsupported spec.nodeSelector: shadow mode is not supported for nodes yet: the policy is neither judged nor enforced',
    ]);
  });
});
