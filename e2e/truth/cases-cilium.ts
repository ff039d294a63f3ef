// The worked cases of CiliumNetworkPolicy, by their numbers, for traffic to and from pod `a` of namespace `shop`.

import type { Cell } from './cell.ts';
import type { FlowLine } from './drops.ts';
import {
  any,
  app,
  both,
  type Case,
  ccnp,
  cnp,
  egress,
  hosts,
  ingress,
  inNamespace,
  named,
  nobody,
  on,
  open,
  pods,
  podsOf,
  ports,
  sentBy,
  to,
  world,
} from './dsl.ts';

const a = named('shop/a');
const b = named('shop/b');
const subject = { endpointSelector: app('a') };
const inShop = (rules: Readonly<Record<string, unknown>>, name = 'case') => cnp(name, { ...subject, ...rules });
const everyone = () => true;

export const worked: readonly Case[] = [
  { name: '1: no policy', objects: [], expect: open },
  {
    name: '3: an empty rule isolates and admits nobody but the own host',
    objects: [inShop({ ingress: [{}] })],
    expect: ingress(a, nobody),
  },
  {
    name: '4: an empty selector is the own namespace',
    objects: [inShop({ ingress: [{ fromEndpoints: [{}] }] })],
    expect: ingress(a, sentBy(podsOf('shop'))),
  },
  {
    name: '5: cluster-wide, an empty selector is every pod, in the subject and in the peer',
    objects: [ccnp('case', { endpointSelector: app('a'), ingress: [{ fromEndpoints: [{}] }] })],
    expect: ingress((x) => x.app === 'a', sentBy(pods)),
  },
  {
    name: '6: another namespace by its label',
    objects: [inShop({ ingress: [{ fromEndpoints: [inNamespace('blog')] }] })],
    expect: ingress(a, sentBy(podsOf('blog'))),
  },
  {
    name: '7: a selector without a namespace means the own one',
    objects: [cnp('case', { ...subject, ingress: [{ fromEndpoints: [{ matchLabels: { team: 'blog' } }] }] })],
    expect: ingress(a, nobody),
  },
  {
    name: '8: ports without a peer admit everyone there',
    objects: [inShop({ ingress: [{ toPorts: ports('80/TCP') }] })],
    expect: ingress(a, on('80/tcp')),
  },
  {
    name: '9: an empty list of peers admits nobody',
    objects: [inShop({ ingress: [{ fromEndpoints: [], toPorts: ports('80/TCP') }] })],
    expect: ingress(a, nobody),
  },
  {
    name: '10: entity cluster',
    objects: [inShop({ ingress: [{ fromEntities: ['cluster'] }] })],
    expect: ingress(a, any(sentBy(pods), sentBy(hosts))),
  },
  {
    name: '11: a CIDR is outside of the cluster only',
    objects: [inShop({ ingress: [{ fromCIDR: ['10.0.0.0/8', '2001:db8:8::/47'] }] })],
    expect: ingress(a, sentBy(named('ext8', 'ext9'))),
  },
  {
    name: '12: a CIDR with an exception',
    objects: [
      inShop({
        ingress: [
          {
            fromCIDRSet: [
              { cidr: '10.0.0.0/8', except: ['10.9.0.0/16'] },
              { cidr: '2001:db8:8::/47', except: ['2001:db8:9::/48'] },
            ],
          },
        ],
      }),
    ],
    expect: ingress(a, sentBy(named('ext8'))),
  },
  {
    name: '13: a policy of denies only isolates',
    objects: [inShop({ ingressDeny: [{ fromEndpoints: [app('b')] }] })],
    expect: ingress(a, nobody, sentBy(b)),
  },
  {
    name: '14: a policy of denies only, default deny off, only subtracts',
    objects: [inShop({ ingressDeny: [{ fromEndpoints: [app('b')] }], enableDefaultDeny: { ingress: false } })],
    expect: ingress(a, everyone, sentBy(b)),
  },
  {
    name: '15: a deny of one port inside an allow of all',
    objects: [
      inShop({
        ingress: [{ fromEndpoints: [app('b')] }],
        ingressDeny: [{ fromEndpoints: [app('b')], toPorts: ports('443/TCP') }],
      }),
    ],
    match: { ports: [['tcp', 443]] },
    expect: ingress(a, sentBy(b), sentBy(b, on('443/tcp'))),
  },
  {
    name: '16: a deny of a range beats an allow of a port inside',
    objects: [
      inShop({
        ingress: [{ fromEndpoints: [app('b')], toPorts: ports('8050/TCP') }],
        ingressDeny: [{ toPorts: ports({ port: '8000', endPort: 8100, protocol: 'TCP' }) }],
      }),
    ],
    match: { ports: [['tcp', 8050]] },
    expect: ingress(a, nobody, on('8050/tcp')),
  },
  {
    name: '20: ICMP by type',
    objects: [
      inShop({
        ingress: [
          {
            icmps: [
              {
                fields: [
                  { family: 'IPv4', type: 8 },
                  { family: 'IPv6', type: 'EchoRequest' },
                ],
              },
            ],
          },
        ],
      }),
    ],
    expect: ingress(a, on('icmp')),
  },
  {
    name: '23: entity world without one address',
    objects: [inShop({ egress: [{ toEntities: ['world'] }], egressDeny: [{ toCIDR: ['203.0.113.9/32'] }] })],
    expect: egress(
      a,
      to(world),
      to(named('world'), (c) => c.family === 4),
    ),
  },
  {
    name: '25: two policies, one with default deny off: isolated, the allows of both',
    objects: [
      inShop({ ingress: [{ fromEndpoints: [app('b')] }] }, 'one'),
      inShop({ ingress: [{ fromEndpoints: [inNamespace('blog')] }], enableDefaultDeny: { ingress: false } }, 'two'),
    ],
    expect: ingress(a, any(sentBy(b), sentBy(podsOf('blog')))),
  },
  {
    name: '25: default deny off alone isolates nobody',
    objects: [inShop({ ingress: [{ fromEndpoints: [app('b')] }], enableDefaultDeny: { ingress: false } })],
    expect: open,
  },
  {
    name: '26: the own cluster by name, and another one',
    objects: [
      inShop({
        ingress: [
          { fromEndpoints: [{ matchLabels: { app: 'b', 'io.cilium.k8s.policy.cluster': 'default' } }] },
          { fromEndpoints: [{ matchLabels: { app: 'c', 'io.cilium.k8s.policy.cluster': 'elsewhere' } }] },
        ],
      }),
    ],
    expect: ingress(a, sentBy(b)),
  },
  {
    name: '32: a port name the pod does not have: the rule is void, the isolation is not',
    objects: [inShop({ ingress: [{ toPorts: ports('web/TCP') }] })],
    expect: ingress(a, nobody),
  },
  {
    name: '17: a plain allow beside an L7 rule of the same peer and port',
    objects: [
      inShop({
        ingress: [
          { fromEndpoints: [app('b')], toPorts: ports('80/TCP') },
          { fromEndpoints: [app('b')], toPorts: [{ ...ports('80/TCP')[0], rules: { http: [{ method: 'GET' }] } }] },
        ],
      }),
    ],
    conditions: { Supported: ['False', /rules/] },
    expect: ingress(a, sentBy(b, on('80/tcp'))),
  },
];

const logged = (value: string) => (c: Cell, lines: readonly FlowLine[]) => {
  const drops = lines.filter((l) => l.verdict === 'DROPPED');
  const wanted = a(c.to) && b(c.from);
  if (!wanted) return undefined;
  return drops.every((l) => l.policyLog === value) ? undefined : `log ${JSON.stringify(drops[0]?.policyLog)}`;
};

/** Both directions, peers of every kind, names of ports, namespaces by label. */
export const further: readonly Case[] = [
  {
    name: 'two specs of one object',
    objects: [
      {
        apiVersion: 'cilium.io/v2',
        kind: 'CiliumNetworkPolicy',
        metadata: { name: 'case', namespace: 'shop' },
        specs: [
          { ...subject, ingress: [{ fromEndpoints: [app('b')] }] },
          { endpointSelector: app('c'), egress: [{ toEndpoints: [app('b')], toPorts: ports('80/TCP') }] },
        ],
      },
    ],
    expect: both(egress(named('shop/c'), to(b, on('80/tcp'))), ingress(a, sentBy(b))),
  },
  {
    name: 'events carry what the policy says about itself',
    objects: [inShop({ ingressDeny: [{ fromEndpoints: [app('b')] }], enableDefaultDeny: { ingress: false }, log: { value: 'case-log' } })],
    match: { report: logged('case-log') },
    expect: ingress(a, everyone, sentBy(b)),
  },
  {
    name: 'ICMP types by number and by a name the schema misspells; others stay out',
    objects: [
      inShop({
        ingress: [
          {
            icmps: [
              {
                fields: [
                  { family: 'IPv4', type: 'ExtendedEchoReply' },
                  { family: 'IPv6', type: 128 },
                ],
              },
            ],
          },
        ],
      }),
    ],
    expect: ingress(a, (c) => c.protocol === 'icmp' && c.family === 6),
  },
  {
    name: 'egress to the own namespace only',
    objects: [inShop({ egress: [{ toEndpoints: [{}] }] })],
    expect: egress(a, to(podsOf('shop'))),
  },
  {
    name: 'egress and ingress of one pod',
    objects: [inShop({ ingress: [{ fromEndpoints: [app('b')] }], egress: [{ toEndpoints: [app('c')], toPorts: ports('80/TCP') }] })],
    expect: both(egress(a, to(named('shop/c'), on('80/tcp'))), ingress(a, sentBy(b))),
  },
  {
    name: 'all pods of a namespace, closed in both directions',
    objects: [cnp('case', { endpointSelector: {}, ingress: [{}], egress: [{}] })],
    expect: both(egress(podsOf('shop'), nobody), ingress(podsOf('shop'), nobody)),
  },
  {
    name: 'a namespaced policy cannot select elsewhere',
    objects: [cnp('case', { endpointSelector: inNamespace('blog', { app: 'a' }), ingress: [{}] })],
    expect: ingress(a, nobody),
  },
  {
    name: 'namespaces by their labels',
    objects: [inShop({ ingress: [{ fromEndpoints: [{ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': 'bank' } }] }] })],
    expect: ingress(a, sentBy(podsOf('bank'))),
  },
  {
    name: 'expressions: In, NotIn, Exists, DoesNotExist',
    objects: [
      inShop({
        ingress: [
          {
            fromEndpoints: [
              {
                matchExpressions: [
                  { key: 'app', operator: 'In', values: ['a', 'b'] },
                  { key: 'no-such', operator: 'DoesNotExist' },
                ],
              },
              {
                matchExpressions: [
                  { key: 'io.kubernetes.pod.namespace', operator: 'In', values: ['bank'] },
                  { key: 'app', operator: 'NotIn', values: ['a', 'b'] },
                ],
              },
            ],
          },
        ],
      }),
    ],
    expect: ingress(a, sentBy(named('shop/b', 'bank/c'))),
  },
  {
    name: 'ports by name, ranges, all protocols of a port',
    objects: [
      inShop({
        ingress: [{ toPorts: ports('http/TCP', { port: '80', protocol: 'UDP' }) }, { fromEndpoints: [app('b')], toPorts: ports('81/ANY') }],
      }),
    ],
    expect: ingress(a, any(on('80/tcp', '80/udp'), sentBy(b, on('81/tcp', '81/udp')))),
  },
  {
    name: 'egress by the name of a port: of the peer that has it',
    objects: [inShop({ egress: [{ toEndpoints: [{}], toPorts: ports('alt/TCP') }] })],
    expect: egress(a, to(podsOf('shop'), on('81/tcp'))),
  },
  {
    name: 'entity host at egress is the own node, remote-node the others',
    objects: [
      inShop({
        egress: [
          { toEntities: ['host'], toPorts: ports('80/TCP') },
          { toEntities: ['remote-node'], toPorts: ports('81/TCP') },
        ],
      }),
    ],
    expect: egress(
      a,
      to(hosts, (c) => on(c.to.node === c.from.node ? '80/tcp' : '81/tcp')(c)),
    ),
  },
  {
    name: 'entity kube-apiserver',
    objects: [inShop({ egress: [{ toEntities: ['kube-apiserver'] }] })],
    expect: egress(
      a,
      to((x) => x.kind === 'api'),
    ),
  },
  {
    name: 'entity all is really all; entity none is nobody',
    objects: [inShop({ ingress: [{ fromEntities: ['all'] }], egress: [{ toEntities: ['none'] }] })],
    expect: egress(a, nobody),
  },
  {
    name: 'a deny of the own host holds',
    objects: [inShop({ ingress: [{ fromEntities: ['cluster'] }], ingressDeny: [{ fromEntities: ['host'], toPorts: ports('80/TCP') }] })],
    expect: ingress(
      a,
      any(sentBy(pods), sentBy(hosts)),
      sentBy(hosts, (c) => c.from.node === c.to.node && on('80/tcp')(c)),
    ),
  },
  {
    name: 'a wide deny beats a narrow allow of an address',
    objects: [inShop({ egress: [{ toCIDR: ['10.9.9.9/32', '10.8.0.0/16'] }], egressDeny: [{ toCIDR: ['10.9.0.0/16'] }] })],
    expect: egress(
      a,
      to(named('ext8'), (c) => c.family === 4),
      to(named('ext9'), (c) => c.family === 4),
    ),
  },
];
