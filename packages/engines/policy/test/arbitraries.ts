// Random policies, pods and probes over a small vocabulary, so that things meet. Objects are raw JSON: the parser is part of the test.

import type { IpAddr } from '@axoneme/model';
import fc from 'fast-check';
import type { PolicyObject } from '../src/index.ts';
import { ip, type Lab, type LabPod, named, node, pod } from './lab.ts';

const apps = ['a', 'b', 'c'];
const namespaces = ['shop', 'blog'];
const prefixes = [
  '0.0.0.0/0',
  '::/0',
  '10.0.0.0/8',
  '10.9.0.0/16',
  '10.9.9.0/24',
  '10.9.9.128/25',
  '10.9.9.9/32',
  '203.0.113.0/24',
  '203.0.113.9/32',
  '192.168.0.0/16',
  '10.1.0.0/16',
  'fd00::/8',
  '2001:db8::/32',
  '2001:db8::1/128',
];
const children: Record<string, string[]> = {
  '0.0.0.0/0': ['10.0.0.0/8', '203.0.113.9/32'],
  '10.0.0.0/8': ['10.9.0.0/16', '10.9.9.9/32', '10.1.0.0/16'],
  '10.9.0.0/16': ['10.9.9.0/24', '10.9.9.128/25'],
  '::/0': ['2001:db8::/32'],
};
const ports = ['0', '1', '80', '443', '1023', '1024', '8000', '65535', 'web', 'DNS', 'nobody'];

export const selectorArb = fc.oneof(
  fc.constant({}),
  fc.record({
    matchLabels: fc.constantFrom<Record<string, string>>(
      { app: 'a' },
      { 'k8s:app': 'b' },
      { 'io.kubernetes.pod.namespace': 'blog' },
      { app: 'c', 'k8s:io.kubernetes.pod.namespace': 'blog' },
      { 'reserved:host': '' },
      { 'reserved:remote-node': '' },
      { 'io.cilium.k8s.namespace.labels.team': 'blog' },
      { 'io.cilium.k8s.policy.cluster': 'other' },
    ),
  }),
  fc.record({
    matchExpressions: fc.array(
      fc.oneof(
        fc.record({ key: fc.constant('app'), operator: fc.constantFrom('In', 'NotIn'), values: fc.subarray(apps, { minLength: 1 }) }),
        fc.record({
          key: fc.constantFrom('app', 'tier', 'io.kubernetes.pod.namespace', 'reserved:world-ipv4'),
          operator: fc.constantFrom('Exists', 'DoesNotExist'),
        }),
      ),
      { minLength: 1, maxLength: 2 },
    ),
  }),
);

const cidrSetArb = fc
  .constantFrom(...prefixes)
  .chain((cidr) => fc.record({ cidr: fc.constant(cidr), except: fc.subarray(children[cidr] ?? []) }));
const portArb = fc
  .record({
    port: fc.constantFrom(...ports),
    protocol: fc.constantFrom('TCP', 'UDP', 'ANY', undefined),
    endPort: fc.constantFrom(undefined, undefined, 1024, 8100),
  })
  .map((p) => ({
    port: p.port,
    ...(p.protocol === undefined ? {} : { protocol: p.protocol }),
    ...(p.endPort === undefined || p.port === '0' ? {} : { endPort: p.endPort }),
  }));

const peersArb = (prefix: string): fc.Arbitrary<object> =>
  fc.oneof(
    { weight: 2, arbitrary: fc.constant({}) },
    { weight: 4, arbitrary: fc.array(selectorArb, { maxLength: 2 }).map((l) => ({ [`${prefix}Endpoints`]: l })) },
    {
      weight: 2,
      arbitrary: fc
        .subarray(['all', 'world', 'cluster', 'host', 'remote-node', 'kube-apiserver', 'none'], { maxLength: 2 })
        .map((l) => ({ [`${prefix}Entities`]: l })),
    },
    { weight: 2, arbitrary: fc.array(fc.constantFrom(...prefixes), { maxLength: 2 }).map((l) => ({ [`${prefix}CIDR`]: l })) },
    { weight: 3, arbitrary: fc.array(cidrSetArb, { maxLength: 2 }).map((l) => ({ [`${prefix}CIDRSet`]: l })) },
  );

const l7Port = { ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } };
const portsFieldArb = (deny: boolean): fc.Arbitrary<object> =>
  fc.oneof(
    { weight: 2, arbitrary: fc.constant({}) },
    { weight: 5, arbitrary: fc.array(portArb, { minLength: 0, maxLength: 3 }).map((l) => ({ toPorts: [{ ports: l }] })) },
    {
      weight: 1,
      arbitrary: fc
        .array(fc.record({ family: fc.constantFrom('IPv4', 'IPv6'), type: fc.constantFrom(0, 8, 'EchoRequest') }), { maxLength: 2 })
        .map((fields) => ({ icmps: [{ fields }] })),
    },
    ...(deny
      ? []
      : [
          { weight: 1, arbitrary: fc.constant({ toPorts: [l7Port] }) },
          { weight: 1, arbitrary: fc.constant({ toPorts: [{ ports: l7Port.ports }, l7Port] }) },
        ]),
  );

const entryArb = (direction: 'ingress' | 'egress', deny: boolean): fc.Arbitrary<object> =>
  fc
    .tuple(
      peersArb(direction === 'ingress' ? 'from' : 'to'),
      portsFieldArb(deny),
      deny ? fc.constant({}) : fc.constantFrom({}, {}, {}, {}, { authentication: { mode: 'required' } }),
    )
    .map((parts) => Object.assign({}, ...parts) as object);

const specArb = fc.record(
  {
    ingress: fc.array(entryArb('ingress', false), { minLength: 1, maxLength: 2 }),
    egress: fc.array(entryArb('egress', false), { minLength: 1, maxLength: 2 }),
    ingressDeny: fc.array(entryArb('ingress', true), { minLength: 1, maxLength: 2 }),
    egressDeny: fc.array(entryArb('egress', true), { minLength: 1, maxLength: 1 }),
    enableDefaultDeny: fc.record({ ingress: fc.boolean(), egress: fc.boolean() }, { requiredKeys: [] }),
  },
  { requiredKeys: ['ingress'] },
);

export const policyArb = (name: string): fc.Arbitrary<PolicyObject> =>
  fc.tuple(specArb, selectorArb, fc.constantFrom('shop', 'blog', undefined)).map(([spec, endpointSelector, namespace]) => ({
    kind: namespace === undefined ? 'CiliumClusterwideNetworkPolicy' : 'CiliumNetworkPolicy',
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    spec: { endpointSelector, ...spec },
  }));

export const policiesArb: fc.Arbitrary<PolicyObject[]> = fc
  .array(fc.nat(), { minLength: 1, maxLength: 4 })
  .chain((l) => fc.tuple(...l.map((_, i) => policyArb(`p${i}`))));

const portsArb = fc.subarray([named('web', 80), named('web', 8000), named('dns', 53, 'UDP'), named('web', 443, 'UDP')]);
export const podArb = (i: number): fc.Arbitrary<LabPod> =>
  fc
    .tuple(
      fc.constantFrom(...apps),
      fc.constantFrom(...namespaces),
      fc.constantFrom('main', 'main', 'main', 'other'),
      portsArb,
      fc.boolean(),
    )
    .map(([app, ns, cluster, namedPorts, tier]) =>
      pod(`pod${i}`, ns, 1000 + i, [`10.1.0.${i + 1}`, `fd00:1::${i + 1}`], {
        // Some carry labels of nodes.
        labels: { app, ...(tier ? { tier: 'web', zone: 'a', role: 'control' } : {}) },
        ports: namedPorts,
        cluster,
      }),
    );

const nodeLabelsArb = fc.constantFrom<Record<string, string>>({ zone: 'a' }, { zone: 'b' }, { zone: 'a', role: 'control' }, {});

/** Different pods here have different numbers even with equal labels; that is allowed (duplicates exist for a while). */
export const labArb: fc.Arbitrary<Lab> = fc
  .tuple(fc.tuple(...[0, 1, 2, 3, 4].map(podArb)), nodeLabelsArb, nodeLabelsArb)
  .map(([pods, hostLabels, otherLabels]) => ({
    pods,
    world: {
      pods,
      host: node('n1', ['192.168.0.1', 'fd01::1'], hostLabels),
      nodes: [node('n2', ['192.168.0.2', 'fd01::2'], otherLabels), node('n3', ['192.168.0.3'], { zone: 'b', role: 'control' }, true)],
    },
  }));

/** Both sides of every border of the prefixes above, and some of everything else. */
export const outsideAddresses: IpAddr[] = [
  '9.255.255.255',
  '10.0.0.0',
  '10.8.255.255',
  '10.9.0.0',
  '10.9.8.255',
  '10.9.9.0',
  '10.9.9.8',
  '10.9.9.9',
  '10.9.9.10',
  '10.9.9.127',
  '10.9.9.128',
  '10.9.9.255',
  '10.9.10.0',
  '10.9.255.255',
  '10.10.0.0',
  '10.255.255.255',
  '11.0.0.0',
  '203.0.112.255',
  '203.0.113.0',
  '203.0.113.8',
  '203.0.113.9',
  '203.0.113.10',
  '203.0.113.255',
  '203.0.114.0',
  '192.167.255.255',
  '192.168.9.9',
  '192.169.0.0',
  '10.1.255.255',
  '10.2.0.0',
  '0.0.0.0',
  '255.255.255.255',
  '1.1.1.1',
  'fcff::1',
  'fd00::',
  'fdff::1',
  'fe00::1',
  '2001:db7:ffff::1',
  '2001:db8::',
  '2001:db8::1',
  '2001:db8::2',
  '2001:db9::',
  '::1',
].map(ip);
/** Both sides of every border of the ports above. */
export const probePorts = [
  0, 1, 2, 53, 79, 80, 81, 442, 443, 444, 1022, 1023, 1024, 1025, 7999, 8000, 8001, 8099, 8100, 8101, 65_534, 65_535,
];
export const probeProtocols = [6, 17, 132, 1, 58, 47];
