// Peers that are named elsewhere: Services, CIDR groups, nodes. What is missing is nobody; what appears or changes counts at once.
import type { KubeObject } from './api.ts';
import {
  any,
  app,
  type Case,
  cnp,
  egress,
  hosts,
  ingress,
  named,
  nobody,
  on,
  podRef,
  podsOf,
  ports,
  type Spec,
  sentBy,
  to,
  world,
} from './dsl.ts';

const a = named('shop/a');
const onA = (rules: Spec) => cnp('case', { endpointSelector: app('a'), ...rules });

const service = (name: string, namespace: string, spec: Spec, labels: Readonly<Record<string, string>> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace, labels },
  spec: { ipFamilyPolicy: 'PreferDualStack', ports: [{ name: 'only', port: 9999, targetPort: 81 }], ...spec },
});
/** Addresses behind a Service without selector. */
const slice = (name: string, namespace: string, addressType: 'IPv4' | 'IPv6', addresses: readonly string[]): KubeObject => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${name}-${addressType.toLowerCase()}`, namespace, labels: { 'kubernetes.io/service-name': name } },
  addressType,
  endpoints: addresses.map((x) => ({ addresses: [x], conditions: { ready: true } })),
  ports: [{ name: 'only', port: 81, protocol: 'TCP' }],
});
const byName = (serviceName: string, namespace: string): Spec => ({ k8sService: { serviceName, namespace } });
const group = (name: string, externalCIDRs: readonly string[], labels: Readonly<Record<string, string>> = {}): KubeObject => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumCIDRGroup',
  metadata: { name, labels },
  spec: { externalCIDRs },
});
const ext9 = ['10.9.9.9/32', '2001:db8:9::9/128'];
const ext8 = ['10.8.0.0/16', '2001:db8:8::/48'];
const hostname = (name: string): Spec => ({ matchLabels: { 'kubernetes.io/hostname': name } });

export const services: readonly Case[] = [
  {
    name: '31: a Service with selector is its pods, on any port',
    objects: [service('web', 'blog', { selector: app('b').matchLabels }), onA({ egress: [{ toServices: [byName('web', 'blog')] }] })],
    expect: egress(a, to(named('blog/b'))),
    steps: [
      {
        what: 'its selector changes',
        act: (t) => t.api.apply(service('web', 'blog', { selector: app('c').matchLabels })),
        expect: egress(a, to(named('blog/c'))),
      },
    ],
  },
  {
    name: 'Services by their labels, in one namespace and with ports',
    objects: [
      service('one', 'blog', { selector: app('a').matchLabels }, { kind: 'good' }),
      service('two', 'blog', { selector: app('b').matchLabels }, { kind: 'bad' }),
      service('one', 'bank', { selector: app('c').matchLabels }, { kind: 'good' }),
      onA({
        egress: [
          {
            toServices: [{ k8sServiceSelector: { selector: { matchLabels: { kind: 'good' } }, namespace: 'blog' } }],
            toPorts: ports('80/TCP'),
          },
        ],
      }),
    ],
    expect: egress(a, to(named('blog/a'), on('80/tcp'))),
  },
  {
    name: 'a Service without selector is the addresses behind it, whoever has them',
    objects: (t) => [
      service('outside', 'blog', {}),
      slice('outside', 'blog', 'IPv4', ['10.9.9.9', t.cast.find('bank/b').ipv4]),
      slice('outside', 'blog', 'IPv6', ['2001:db8:9::9']),
      onA({ egress: [{ toServices: [byName('outside', 'blog')] }] }),
    ],
    expect: egress(
      a,
      any(
        to(named('ext9')),
        to(named('bank/b'), (c) => c.family === 4),
      ),
    ),
  },
  {
    name: 'a Service that does not exist admits nobody, with ports too; when it comes it counts, when it goes it closes',
    objects: [onA({ egress: [{ toServices: [byName('late', 'blog')], toPorts: ports('80/TCP') }] })],
    expect: egress(a, nobody),
    steps: [
      {
        what: 'the Service is created',
        act: (t) => t.api.apply(service('late', 'blog', { selector: app('b').matchLabels })),
        expect: egress(a, to(named('blog/b'), on('80/tcp'))),
      },
      { what: 'the Service is deleted', act: (t) => t.api.remove(service('late', 'blog', {})), expect: egress(a, nobody) },
    ],
    after: (t) => t.api.remove(service('late', 'blog', {})),
  },
  {
    name: 'a deny by Service denies its pods',
    objects: [
      service('web', 'blog', { selector: app('b').matchLabels }),
      onA({ egressDeny: [{ toServices: [byName('web', 'blog')], toPorts: ports('80/TCP') }], enableDefaultDeny: { egress: false } }),
    ],
    expect: egress(a, () => true, to(named('blog/b'), on('80/tcp'))),
  },
];

export const groups: readonly Case[] = [
  {
    name: 'a CIDR group by name; its edits count',
    objects: [group('partners', ext9), onA({ ingress: [{ fromCIDRSet: [{ cidrGroupRef: 'partners' }] }] })],
    expect: ingress(a, sentBy(named('ext9'))),
    steps: [
      {
        what: 'a prefix is added',
        act: (t) => t.api.apply(group('partners', [...ext9, ...ext8])),
        expect: ingress(a, sentBy(named('ext8', 'ext9'))),
      },
      { what: 'a prefix is removed', act: (t) => t.api.apply(group('partners', ext8)), expect: ingress(a, sentBy(named('ext8'))) },
      { what: 'it is empty', act: (t) => t.api.apply(group('partners', [])), expect: ingress(a, nobody) },
    ],
  },
  {
    name: 'CIDR groups by label, without an exception',
    objects: [
      group('one', ['10.8.0.0/15', '2001:db8:8::/47'], { zone: 'x' }),
      group('two', ['203.0.113.0/24'], { zone: 'y' }),
      onA({
        ingress: [{ fromCIDRSet: [{ cidrGroupSelector: { matchLabels: { zone: 'x' } }, except: ['10.9.0.0/16', '2001:db8:9::/48'] }] }],
      }),
    ],
    expect: ingress(a, sentBy(named('ext8'))),
  },
  {
    name: 'a CIDR group that does not exist is nobody',
    objects: [onA({ ingress: [{ fromCIDRSet: [{ cidrGroupRef: 'nowhere' }], toPorts: ports('80/TCP') }] })],
    expect: ingress(a, nobody),
  },
  {
    name: 'a deny by CIDR group',
    objects: [group('bad', ext9), onA({ egress: [{ toEntities: ['world'] }], egressDeny: [{ toCIDRSet: [{ cidrGroupRef: 'bad' }] }] })],
    expect: egress(a, to(world), to(named('ext9'))),
  },
];

export const nodes: readonly Case[] = [
  {
    name: 'nodes by label, at egress',
    objects: [
      onA({
        egress: [
          { toNodes: [hostname('node-1')], toPorts: ports('80/TCP') },
          { toNodes: [hostname('node-2')], toPorts: ports('81/TCP') },
        ],
      }),
    ],
    expect: egress(a, any(to(named('node-1'), on('80/tcp')), to(named('node-2'), on('81/tcp')))),
  },
  {
    name: 'nodes by label, at ingress',
    objects: [onA({ ingress: [{ fromNodes: [hostname('node-2')] }] })],
    expect: ingress(a, sentBy(named('node-2'))),
  },
  {
    name: 'a pod with the labels of a node is no node',
    objects: [onA({ ingress: [{ fromNodes: [hostname('node-2')] }], egress: [{ toNodes: [{}] }] })],
    expect: (c) => (a(c.from) ? egress(a, to(hosts))(c) : ingress(a, sentBy(named('node-2')))(c)),
    steps: [
      {
        what: 'pods carry the labels of nodes',
        act: async (t) => {
          for (const name of ['a', 'b'])
            await t.api.label(podRef('blog', name), { 'kubernetes.io/hostname': 'node-2', 'kubernetes.io/os': 'linux' });
        },
        expect: (c) => (a(c.from) ? egress(a, to(hosts))(c) : ingress(a, sentBy(named('node-2')))(c)),
      },
    ],
    after: async (t) => {
      for (const name of ['a', 'b']) await t.api.label(podRef('blog', name), { 'kubernetes.io/hostname': null, 'kubernetes.io/os': null });
    },
  },
  {
    name: 'a deny of a node inside an allow of all',
    objects: [onA({ egress: [{ toEntities: ['all'] }], egressDeny: [{ toNodes: [hostname('node-2')] }] })],
    expect: egress(a, () => true, to(named('node-2'))),
  },
  {
    name: 'a Service of the own namespace and a node in one policy',
    objects: [
      service('web', 'shop', { selector: app('b').matchLabels }),
      onA({ egress: [{ toServices: [byName('web', 'shop')] }, { toNodes: [hostname('node-1')] }] }),
    ],
    expect: egress(
      a,
      any(
        to(podsOf('shop'), (c) => c.to.name === 'shop/b'),
        to(named('node-1')),
      ),
    ),
  },
];
