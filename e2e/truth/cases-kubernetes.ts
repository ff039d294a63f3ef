// NetworkPolicy with the meaning Kubernetes gives it, where Cilium's differs too (ipBlock, policyTypes).
import {
  any,
  app,
  both,
  type Case,
  cnp,
  egress,
  hosts,
  ingress,
  inNamespace,
  knp,
  named,
  namespaceRef,
  nobody,
  on,
  open,
  podRef,
  pods,
  podsOf,
  type Spec,
  sentBy,
  to,
  world,
} from './dsl.ts';
import type { Table } from './table.ts';

const a = named('shop/a');
const everyone = () => true;
const team = (name: string): Spec => ({ namespaceSelector: { matchLabels: { team: name } } });
const pod = (name: string): Spec => ({ podSelector: app(name) });
const onA = (spec: Spec, name = 'case') => knp(name, { podSelector: app('a'), ...spec });
const port = (p: number | string, protocol = 'TCP', more: Spec = {}): Spec => ({ port: p, protocol, ...more });
const whole = (ip: string): string => `${ip}/${ip.includes(':') ? 128 : 32}`;
const block = (cidr: string, except: readonly string[] = []): Spec => ({ ipBlock: { cidr, ...(except.length === 0 ? {} : { except }) } });
/** Both addresses of an actor as blocks. */
const blocksOf = (t: Table, name: string): Spec[] => {
  const x = t.cast.find(name);
  return [x.ipv4, x.ipv6].filter((ip) => ip !== '').map((ip) => block(whole(ip)));
};

export const isolation: readonly Case[] = [
  {
    name: 'default deny of ingress',
    objects: [knp('case', { podSelector: {}, policyTypes: ['Ingress'] })],
    expect: ingress(podsOf('shop'), nobody),
  },
  {
    name: 'default deny of egress',
    objects: [knp('case', { podSelector: {}, policyTypes: ['Egress'] })],
    expect: egress(podsOf('shop'), nobody),
  },
  {
    name: 'default deny of both',
    objects: [knp('case', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })],
    expect: both(egress(podsOf('shop'), nobody), ingress(podsOf('shop'), nobody)),
  },
  {
    name: 'an empty rule admits everybody',
    objects: [onA({ ingress: [{}] })],
    expect: open,
  },
  {
    name: 'an empty list of peers is absent: everybody on these ports',
    objects: [onA({ ingress: [{ from: [], ports: [port(80)] }] })],
    expect: ingress(a, on('80/tcp')),
  },
  {
    name: 'without policyTypes: ingress, and egress if there are rules',
    objects: [onA({ egress: [{ to: [pod('b')] }] })],
    expect: both(egress(a, to(named('shop/b'))), ingress(a, nobody)),
  },
  {
    name: 'rules of a direction that policyTypes leaves out are ignored',
    objects: [onA({ policyTypes: ['Egress'], ingress: [{ from: [pod('b')] }], egress: [{ to: [pod('c')] }] })],
    expect: egress(a, to(named('shop/c'))),
  },
  {
    name: 'both ends must agree',
    objects: [
      onA({ policyTypes: ['Egress'], egress: [{ to: [team('blog')] }] }),
      knp('other', { podSelector: app('b'), ingress: [{ from: [team('bank')] }] }, 'blog'),
    ],
    expect: both(egress(a, to(podsOf('blog'))), ingress(named('blog/b'), sentBy(podsOf('bank')))),
  },
  {
    name: 'policies add up',
    objects: [onA({ ingress: [{ from: [pod('b')] }] }, 'one'), onA({ ingress: [{ from: [team('blog')], ports: [port(80)] }] }, 'two')],
    expect: ingress(a, any(sentBy(named('shop/b')), sentBy(podsOf('blog'), on('80/tcp')))),
  },
  {
    name: '24: a NetworkPolicy and a CiliumNetworkPolicy add up',
    objects: [
      onA({ ingress: [{ from: [team('bank')] }] }),
      cnp('case', { endpointSelector: app('a'), ingress: [{ fromEndpoints: [inNamespace('blog')] }] }),
    ],
    expect: ingress(a, sentBy(podsOf('bank', 'blog'))),
  },
];

export const peers: readonly Case[] = [
  {
    name: 'podSelector is the own namespace',
    objects: [onA({ ingress: [{ from: [pod('b')] }] })],
    expect: ingress(a, sentBy(named('shop/b'))),
  },
  {
    name: 'an empty podSelector is every pod of the own namespace',
    objects: [onA({ ingress: [{ from: [{ podSelector: {} }] }] })],
    expect: ingress(a, sentBy(podsOf('shop'))),
  },
  {
    name: 'namespaceSelector',
    objects: [onA({ ingress: [{ from: [team('blog')] }] })],
    expect: ingress(a, sentBy(podsOf('blog'))),
  },
  {
    name: 'an empty namespaceSelector is every pod, not the world, not other nodes',
    objects: [onA({ ingress: [{ from: [{ namespaceSelector: {} }] }] })],
    expect: ingress(a, sentBy(pods)),
  },
  {
    name: 'namespaceSelector and podSelector in one item: both',
    objects: [onA({ ingress: [{ from: [{ ...team('blog'), ...pod('b') }] }] })],
    expect: ingress(a, sentBy(named('blog/b'))),
  },
  {
    name: 'namespaceSelector and podSelector in two items: either',
    objects: [onA({ ingress: [{ from: [team('blog'), pod('b')] }] })],
    expect: ingress(a, any(sentBy(podsOf('blog')), sentBy(named('shop/b')))),
  },
  {
    name: 'expressions on namespaces and pods',
    objects: [
      onA({
        ingress: [
          {
            from: [
              {
                namespaceSelector: { matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'In', values: ['blog', 'bank'] }] },
                podSelector: { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['a'] }] },
              },
            ],
          },
        ],
      }),
    ],
    expect: ingress(
      a,
      sentBy(podsOf('blog', 'bank'), (c) => c.from.app !== 'a'),
    ),
  },
  {
    name: 'egress to pods of a namespace on one port',
    objects: [onA({ policyTypes: ['Egress'], egress: [{ to: [team('bank')], ports: [port(81)] }] })],
    expect: egress(a, to(podsOf('bank'), on('81/tcp'))),
  },
  {
    name: 'new labels of a pod, as peer and as subject',
    objects: [
      knp('case', {
        podSelector: { matchLabels: { guarded: 'yes' } },
        ingress: [{ from: [{ podSelector: { matchLabels: { guest: 'yes' } } }] }],
      }),
    ],
    expect: open,
    steps: [
      { what: 'the subject is labelled', act: (t) => t.api.label(podRef('shop', 'a'), { guarded: 'yes' }), expect: ingress(a, nobody) },
      {
        what: 'a peer is labelled',
        act: (t) => t.api.label(podRef('shop', 'b'), { guest: 'yes' }),
        expect: ingress(a, sentBy(named('shop/b'))),
      },
      { what: 'the peer loses its label', act: (t) => t.api.label(podRef('shop', 'b'), { guest: null }), expect: ingress(a, nobody) },
      { what: 'the subject loses its label', act: (t) => t.api.label(podRef('shop', 'a'), { guarded: null }), expect: open },
    ],
    after: async (t) => {
      await t.api.label(podRef('shop', 'a'), { guarded: null });
      await t.api.label(podRef('shop', 'b'), { guest: null });
    },
  },
  {
    name: 'new labels of a namespace',
    objects: [onA({ ingress: [{ from: [{ namespaceSelector: { matchLabels: { tier: 'front' } } }] }] })],
    expect: ingress(a, nobody),
    steps: [
      {
        what: 'a namespace is labelled',
        act: (t) => t.api.label(namespaceRef('bank'), { tier: 'front' }),
        expect: ingress(a, sentBy(podsOf('bank'))),
      },
      { what: 'it loses the label', act: (t) => t.api.label(namespaceRef('bank'), { tier: null }), expect: ingress(a, nobody) },
    ],
    after: (t) => t.api.label(namespaceRef('bank'), { tier: null }),
  },
];

export const portCases: readonly Case[] = [
  {
    name: 'a port without protocol is TCP',
    objects: [onA({ ingress: [{ ports: [{ port: 80 }] }] })],
    expect: ingress(a, on('80/tcp')),
  },
  {
    name: 'a protocol without port is all its ports',
    objects: [onA({ ingress: [{ ports: [{ protocol: 'UDP' }] }] })],
    expect: ingress(a, (c) => c.protocol === 'udp'),
  },
  {
    name: 'names of ports, each with its protocol',
    objects: [onA({ ingress: [{ ports: [port('http'), port('quic', 'UDP')] }] })],
    expect: ingress(a, on('80/tcp', '80/udp')),
  },
  {
    name: 'endPort',
    objects: [onA({ ingress: [{ ports: [port(79, 'TCP', { endPort: 80 }), port(81, 'UDP', { endPort: 90 })] }] })],
    expect: ingress(a, on('80/tcp', '81/udp')),
  },
  {
    name: 'egress by the name of a port: of the peer that has it',
    objects: [onA({ policyTypes: ['Egress'], egress: [{ to: [{ namespaceSelector: {} }], ports: [port('alt')] }] })],
    expect: egress(a, to(pods, on('81/tcp'))),
  },
  {
    name: 'different ports for different peers',
    objects: [
      onA({
        ingress: [
          { from: [pod('b')], ports: [port(80)] },
          { from: [team('blog')], ports: [port(81), port(81, 'UDP')] },
        ],
      }),
    ],
    expect: ingress(a, any(sentBy(named('shop/b'), on('80/tcp')), sentBy(podsOf('blog'), on('81/tcp', '81/udp')))),
  },
];

export const blocks: readonly Case[] = [
  {
    name: 'ipBlock outside of the cluster, with an exception',
    objects: [onA({ ingress: [{ from: [block('10.8.0.0/15', ['10.9.0.0/16']), block('2001:db8:8::/47', ['2001:db8:9::/48'])] }] })],
    expect: ingress(a, sentBy(named('ext8'))),
  },
  {
    name: 'ipBlock alone does not admit the own namespace',
    objects: [onA({ ingress: [{ from: [block('203.0.113.0/24')] }] })],
    expect: ingress(
      a,
      sentBy(named('world'), (c) => c.family === 4),
    ),
  },
  {
    name: 'ipBlock of a pod, from the same node and from the other one',
    objects: (t) => [onA({ ingress: [{ from: [...blocksOf(t, 'blog/a'), ...blocksOf(t, 'blog/b')] }] })],
    expect: ingress(a, sentBy(named('blog/a', 'blog/b'))),
  },
  {
    name: 'ipBlock of all pods without one of them',
    objects: (t) => {
      const c = t.cast.find('blog/c');
      return [onA({ ingress: [{ from: [block('10.244.0.0/16', [whole(c.ipv4)]), block('fd00:10:244::/112', [whole(c.ipv6)])] }] })];
    },
    expect: ingress(
      a,
      sentBy(pods, (c) => c.from.name !== 'blog/c'),
    ),
    match: { among: (c) => c.from.kind !== 'host' && (c.from.kind === 'pod' || c.to.kind === 'pod') },
  },
  {
    name: 'ipBlock at egress: a pod, a node, the API server',
    objects: (t) => [
      onA({
        policyTypes: ['Egress'],
        egress: [
          { to: blocksOf(t, 'bank/b'), ports: [port(80)] },
          { to: blocksOf(t, 'node-1'), ports: [port(81)] },
          { to: blocksOf(t, 'node-2'), ports: [port(80)] },
          { to: blocksOf(t, 'api') },
        ],
      }),
    ],
    expect: egress(
      a,
      any(
        to(named('bank/b'), on('80/tcp')),
        to(named('node-1'), on('81/tcp')),
        to(named('node-2'), on('80/tcp')),
        to((x) => x.kind === 'api'),
      ),
    ),
  },
  {
    name: 'ipBlock 0.0.0.0/0 and ::/0 are everybody',
    objects: [onA({ policyTypes: ['Egress'], egress: [{ to: [block('0.0.0.0/0'), block('::/0')], ports: [port(80)] }] })],
    expect: egress(a, any(on('80/tcp'), nobody)),
  },
  {
    name: 'ipBlock everywhere without the pods: metadata and world only',
    objects: [
      onA({ policyTypes: ['Egress'], egress: [{ to: [block('0.0.0.0/0', ['10.244.0.0/16']), block('::/0', ['fd00:10:244::/112'])] }] }),
    ],
    expect: egress(
      a,
      any(
        to(world),
        to(hosts),
        to((x) => x.kind === 'api'),
      ),
    ),
  },
  {
    name: 'ipBlock beside selectors: either',
    objects: (t) => [onA({ ingress: [{ from: [pod('c'), ...blocksOf(t, 'bank/a')] }] })],
    expect: ingress(a, sentBy(named('shop/c', 'bank/a'))),
  },
  {
    name: 'a deny of a CiliumNetworkPolicy holds inside an ipBlock',
    objects: [
      onA({ policyTypes: ['Egress'], egress: [{ to: [block('0.0.0.0/0'), block('::/0')] }] }),
      cnp('case', { endpointSelector: app('a'), egressDeny: [{ toEndpoints: [inNamespace('bank')] }] }),
    ],
    expect: egress(a, everyone, to(podsOf('bank'))),
  },
];
