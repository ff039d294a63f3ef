// AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy: tiers, priorities, pass; and how they meet the policies of namespaces.

import type { Cell, Expect } from './cell.ts';
import {
  anp,
  any,
  app,
  banp,
  both,
  type Case,
  cnp,
  cnp2,
  egress,
  hosts,
  ingress,
  knp,
  named,
  on,
  open,
  pods,
  podsOf,
  type Spec,
  sentBy,
  to,
  world,
} from './dsl.ts';

const a = named('shop/a');
const everyPod = { namespaces: {} };
const team = (name: string): Spec => ({ namespaces: { matchLabels: { team: name } } });
const pod = (ns: string, name: string): Spec => ({
  pods: { namespaceSelector: { matchLabels: { team: ns } }, podSelector: app(name) },
});
const subjectA = { subject: pod('shop', 'a') };
const tcp = (number: number): Spec => ({ portNumber: { protocol: 'TCP', port: number } });
const rule = (action: string, fromPeers: readonly Spec[], more: Spec = {}): Spec => ({ action, from: fromPeers, ...more });
const out = (action: string, toPeers: readonly Spec[], more: Spec = {}): Spec => ({ action, to: toPeers, ...more });
const onlyBlog = knp('case', { podSelector: app('a'), ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'blog' } } }] }] });

/** The first that matches decides at ingress of the subject. */
const decide =
  (...list: readonly (readonly [(c: Cell) => boolean, 'pass' | number])[]): Expect =>
  (c) =>
    a(c.to) ? (list.find(([when]) => when(c))?.[1] ?? 'pass') : 'pass';
const ownHost = (c: Cell): boolean => c.from.kind === 'host' && c.from.node === c.to.node;

export const tiers: readonly Case[] = [
  {
    name: 'an admin deny beats an allow of a NetworkPolicy',
    objects: [onlyBlog, anp('case', 10, { ...subjectA, ingress: [rule('Deny', [pod('blog', 'b')])] })],
    expect: decide([ownHost, 'pass'], [sentBy(named('blog/b')), 181], [sentBy(podsOf('blog')), 'pass'], [() => true, 133]),
  },
  {
    name: 'an admin allow beats the isolation of a NetworkPolicy',
    objects: [onlyBlog, anp('case', 10, { ...subjectA, ingress: [rule('Allow', [team('bank')])] })],
    expect: ingress(a, sentBy(podsOf('blog', 'bank'))),
  },
  {
    name: 'an admin allow beats a deny of a CiliumNetworkPolicy',
    objects: [
      cnp('case', { endpointSelector: app('a'), ingressDeny: [{ fromEntities: ['cluster'] }], enableDefaultDeny: { ingress: false } }),
      anp('case', 10, { ...subjectA, ingress: [rule('Allow', [team('bank')])] }),
    ],
    expect: decide([sentBy(podsOf('bank')), 'pass'], [any(sentBy(pods), sentBy(hosts)), 181]),
  },
  {
    name: 'pass goes on to the NetworkPolicy',
    objects: [
      knp('case', { podSelector: app('a'), ingress: [{ from: [{ namespaceSelector: {}, podSelector: app('b') }] }] }),
      anp('first', 10, { ...subjectA, ingress: [rule('Pass', [team('blog')])] }),
      anp('second', 20, { ...subjectA, ingress: [rule('Deny', [everyPod])] }),
    ],
    expect: decide(
      [ownHost, 'pass'],
      [sentBy(named('blog/b')), 'pass'],
      [sentBy(podsOf('blog')), 133],
      [sentBy(pods), 181],
      [() => true, 133],
    ),
  },
  {
    name: 'pass without a NetworkPolicy goes on to the baseline',
    objects: [
      anp('first', 10, { ...subjectA, ingress: [rule('Pass', [team('blog')]), rule('Allow', [team('shop')])] }),
      banp({ ...subjectA, ingress: [rule('Allow', [pod('blog', 'c')]), rule('Deny', [everyPod])] }),
    ],
    expect: decide([sentBy(podsOf('shop')), 'pass'], [sentBy(named('blog/c')), 'pass'], [sentBy(pods), 181]),
  },
  {
    name: 'the baseline is not asked about pods that a NetworkPolicy isolates',
    objects: [onlyBlog, banp({ subject: everyPod, ingress: [rule('Deny', [everyPod])] })],
    expect: (c) => (c.to.kind !== 'pod' ? 'pass' : a(c.to) ? ingress(a, sentBy(podsOf('blog')))(c) : c.from.kind === 'pod' ? 181 : 'pass'),
  },
  {
    name: 'the baseline is asked where default deny is off and no rule matches',
    objects: [
      cnp('case', { endpointSelector: app('a'), ingress: [{ fromEndpoints: [app('b')] }], enableDefaultDeny: { ingress: false } }),
      banp({ ...subjectA, ingress: [rule('Deny', [everyPod])] }),
    ],
    expect: decide([sentBy(named('shop/b')), 'pass'], [sentBy(pods), 181]),
  },
];

export const priorities: readonly Case[] = [
  {
    name: 'the lower number wins',
    objects: [
      anp('weak', 20, { ...subjectA, ingress: [rule('Deny', [everyPod])] }),
      anp('strong', 10, { ...subjectA, ingress: [rule('Allow', [team('blog')])] }),
    ],
    expect: decide([sentBy(podsOf('blog')), 'pass'], [sentBy(pods), 181]),
    steps: [
      {
        what: 'the priorities are swapped',
        act: (t) =>
          t.api.apply(
            anp('weak', 20, { ...subjectA, ingress: [rule('Allow', [team('blog')])] }),
            anp('strong', 10, { ...subjectA, ingress: [rule('Deny', [everyPod])] }),
          ),
        expect: decide([sentBy(pods), 181]),
      },
    ],
  },
  {
    name: 'inside a policy the first rule that matches wins',
    objects: [
      anp('case', 5, {
        ...subjectA,
        ingress: [
          rule('Allow', [pod('blog', 'b')], { ports: [tcp(80)] }),
          rule('Deny', [team('blog')], { ports: [{ portRange: { protocol: 'TCP', start: 80, end: 90 } }] }),
          rule('Allow', [team('blog')]),
          rule('Deny', [everyPod]),
        ],
      }),
    ],
    expect: decide(
      [sentBy(named('blog/b'), on('80/tcp')), 'pass'],
      [sentBy(podsOf('blog'), on('80/tcp', '81/tcp')), 181],
      [sentBy(podsOf('blog')), 'pass'],
      [sentBy(pods), 181],
    ),
  },
  {
    name: 'priorities 0 and 1000 with many between',
    objects: [
      anp('last', 1000, { ...subjectA, ingress: [rule('Deny', [everyPod])] }),
      ...Array.from({ length: 12 }, (_, i) =>
        anp(`between-${i}`, 50 + i * 70, { ...subjectA, ingress: [rule(i % 2 === 0 ? 'Deny' : 'Allow', [team('bank')])] }),
      ),
      anp('first', 0, { ...subjectA, ingress: [rule('Allow', [pod('bank', 'a')])] }),
    ],
    expect: decide([sentBy(named('bank/a')), 'pass'], [sentBy(pods), 181]),
  },
  {
    name: 'names of ports',
    objects: [anp('case', 5, { ...subjectA, ingress: [rule('Deny', [everyPod], { ports: [{ namedPort: 'alt' }] })] })],
    expect: decide([sentBy(pods, on('81/tcp')), 181]),
  },
];

export const egressCases: readonly Case[] = [
  {
    name: 'admin egress: pods, nodes by label, networks',
    objects: [
      anp('case', 5, {
        ...subjectA,
        egress: [
          out('Allow', [pod('bank', 'b')]),
          out('Deny', [everyPod], { ports: [tcp(80)] }),
          out('Deny', [{ nodes: { matchLabels: { 'kubernetes.io/hostname': 'node-2' } } }], { ports: [tcp(80)] }),
          out('Allow', [{ networks: ['203.0.113.0/24'] }]),
          out('Deny', [{ networks: ['203.0.0.0/8', '10.8.0.0/15', '2001:db8::/32'] }], { ports: [tcp(81)] }),
        ],
      }),
    ],
    expect: egress(
      a,
      () => true,
      any(
        to(pods, (c) => on('80/tcp')(c) && c.to.name !== 'bank/b'),
        to(named('node-2'), on('80/tcp')),
        to(world, (c) => on('81/tcp')(c) && !(c.to.name === 'world' && c.family === 4)),
      ),
    ),
  },
  {
    name: 'networks are whoever has the address: pods too',
    objects: [anp('case', 5, { ...subjectA, egress: [out('Deny', [{ networks: ['10.244.0.0/16', 'fd00:10:244::/112'] }])] })],
    expect: egress(a, () => true, to(pods)),
  },
  {
    name: 'baseline egress closes the world, a NetworkPolicy opens a part',
    objects: [
      banp({ subject: team('shop'), egress: [out('Allow', [everyPod]), out('Deny', [{ networks: ['0.0.0.0/0', '::/0'] }])] }),
      knp('case', { podSelector: app('b'), policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '203.0.113.0/24' } }] }] }),
    ],
    expect: both(
      egress(named('shop/a', 'shop/c'), to(pods), (c) => c.to.kind !== 'pod'),
      egress(
        named('shop/b'),
        to(named('world'), (c) => c.family === 4),
      ),
    ),
  },
];

const protocol = (name: 'tcp' | 'udp', number: number): Spec => ({ [name]: { destinationPort: { number } } });

export const clusterNetworkPolicy: readonly Case[] = [
  {
    name: 'tier Admin beats, tier Baseline yields',
    objects: [
      onlyBlog,
      cnp2('admin', 'Admin', 10, { ...subjectA, ingress: [{ action: 'Accept', from: [team('bank')], protocols: [protocol('tcp', 80)] }] }),
      cnp2('base', 'Baseline', 10, { subject: team('bank'), ingress: [{ action: 'Deny', from: [team('blog')] }] }),
    ],
    expect: both(ingress(a, any(sentBy(podsOf('blog')), sentBy(podsOf('bank'), on('80/tcp')))), (c) =>
      podsOf('bank')(c.to) && podsOf('blog')(c.from) ? 181 : 'pass',
    ),
  },
  {
    name: 'pass in tier Admin, priorities in tier Baseline',
    objects: [
      cnp2('pass', 'Admin', 10, {
        ...subjectA,
        ingress: [
          { action: 'Pass', from: [team('blog')] },
          { action: 'Deny', from: [everyPod] },
        ],
      }),
      cnp2('late', 'Baseline', 20, { ...subjectA, ingress: [{ action: 'Deny', from: [everyPod] }] }),
      cnp2('early', 'Baseline', 10, { ...subjectA, ingress: [{ action: 'Accept', from: [pod('blog', 'a')] }] }),
    ],
    expect: decide([sentBy(named('blog/a')), 'pass'], [sentBy(pods), 181]),
  },
  {
    name: 'beside an AdminNetworkPolicy in one order of priorities',
    objects: [
      anp('case', 10, { ...subjectA, ingress: [rule('Allow', [pod('blog', 'b')])] }),
      cnp2('case', 'Admin', 20, { ...subjectA, ingress: [{ action: 'Deny', from: [team('blog')] }] }),
    ],
    expect: decide([sentBy(named('blog/b')), 'pass'], [sentBy(podsOf('blog')), 181]),
  },
  {
    name: 'of equal priority and place a deny wins',
    objects: [
      anp('one', 10, { ...subjectA, ingress: [rule('Allow', [team('blog')])] }),
      anp('two', 10, { ...subjectA, ingress: [rule('Deny', [pod('blog', 'b')])] }),
    ],
    expect: decide([sentBy(named('blog/b')), 181]),
  },
  {
    name: 'names of domains: an allow admits nobody by them, a deny denies everybody',
    objects: [
      anp('allow', 10, { ...subjectA, egress: [out('Allow', [{ domainNames: ['world.test'] }, pod('shop', 'b')])] }),
      anp('deny', 20, { ...subjectA, egress: [out('Deny', [{ domainNames: ['world.test'] }], { ports: [tcp(80)] })] }),
    ],
    expect: egress(
      a,
      () => true,
      (c) => on('80/tcp')(c) && c.to.name !== 'shop/b',
    ),
  },
  {
    name: 'pods of the host network are nodes: never a subject, never a peer of theirs',
    objects: [
      anp('case', 10, { subject: { namespaces: {} }, ingress: [rule('Deny', [{ namespaces: { matchLabels: { team: 'hosts' } } }])] }),
    ],
    expect: open,
  },
  { name: 'a policy without rules changes nothing', objects: [anp('case', 10, { ...subjectA })], expect: open },
  {
    name: 'the subject of a namespace is every pod in it',
    objects: [anp('case', 10, { subject: team('blog'), ingress: [rule('Deny', [team('shop')])] })],
    expect: (c) => (podsOf('blog')(c.to) && podsOf('shop')(c.from) ? 181 : 'pass'),
  },
];
