// What cannot be enforced yet is closed and said; what makes no sense is refused with the field. Nothing of it ever opens a port.
import { anp, app, banp, type Case, cnp, egress, ingress, knp, named, nobody, on, open, ports, type Spec, sentBy, to } from './dsl.ts';

const a = named('shop/a');
const b = named('shop/b');
const onA = (rules: Spec) => cnp('case', { endpointSelector: app('a'), ...rules });
const get = { http: [{ method: 'GET' }] };
const port80 = (more: Spec): Spec[] => [{ ...ports('80/TCP')[0], ...more }];
/** Ports that wait for a proxy: dropped as by a deny. */
const blocked = 181;

export const closed: readonly Case[] = [
  {
    name: '18: a plain allow of a port for all beside an L7 rule of it for one',
    objects: [onA({ ingress: [{ toPorts: ports('80/TCP') }, { fromEndpoints: [app('b')], toPorts: port80({ rules: get }) }] })],
    conditions: { Supported: ['False', /rules/] },
    expect: (c) => (a(c.to) && b(c.from) && on('80/tcp')(c) ? blocked : ingress(a, on('80/tcp'))(c)),
  },
  {
    name: '21: names without a DNS rule: nothing is ever allowed',
    objects: [onA({ egress: [{ toFQDNs: [{ matchName: 'world.test' }] }] })],
    conditions: { Supported: ['False', /toFQDNs/] },
    expect: egress(a, nobody),
  },
  {
    name: '22: names with a DNS rule: closed as long as nothing learns names',
    objects: [
      onA({
        egress: [
          { toFQDNs: [{ matchName: 'world.test' }], toPorts: ports('80/TCP') },
          {
            toEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'kube-system' } }],
            toPorts: [{ ...ports('53/ANY')[0], rules: { dns: [{ matchPattern: '*' }] } }],
          },
        ],
      }),
    ],
    conditions: { Supported: ['False', /toFQDNs/] },
    expect: egress(a, nobody),
  },
  {
    name: 'an empty list of names with ports: nobody',
    objects: [onA({ egress: [{ toFQDNs: [], toPorts: ports('80/TCP') }] })],
    expect: egress(a, nobody),
  },
  {
    name: '29: authentication required: closed, also for the own host only by isolation',
    objects: [onA({ ingress: [{ fromEndpoints: [{}], authentication: { mode: 'required' } }] })],
    conditions: { Supported: ['False', /authentication/] },
    expect: (c) => (a(c.to) && c.from.kind === 'pod' && c.from.ns === 'shop' ? blocked : ingress(a, nobody)(c)),
  },
  {
    name: 'a plain allow does not open what authentication closes',
    objects: [
      onA({
        ingress: [
          { fromEndpoints: [app('b')] },
          { fromEndpoints: [app('b')], toPorts: ports('80/TCP'), authentication: { mode: 'required' } },
        ],
      }),
    ],
    conditions: { Supported: ['False', /authentication/] },
    expect: (c) => (a(c.to) && b(c.from) && on('80/tcp')(c) ? blocked : ingress(a, sentBy(b))(c)),
  },
  {
    name: 'server names of TLS: closed',
    objects: [
      onA({
        egress: [
          { toEndpoints: [{}], toPorts: port80({ serverNames: ['world.test'] }) },
          { toEndpoints: [{}], toPorts: ports('81/TCP') },
        ],
      }),
    ],
    conditions: { Supported: ['False', /serverNames/] },
    expect: (c) =>
      a(c.from) && c.to.ns === 'shop' && on('80/tcp')(c)
        ? blocked
        : egress(
            a,
            to((x) => x.ns === 'shop', on('81/tcp')),
          )(c),
  },
  {
    name: 'every empty list of peers is nobody',
    objects: [
      onA({
        ingress: [
          { fromEntities: [], toPorts: ports('80/TCP') },
          { fromCIDR: [], toPorts: ports('80/TCP') },
          { fromCIDRSet: [] },
          { fromNodes: [] },
        ],
        egress: [
          { toEndpoints: [], toPorts: ports('80/TCP') },
          { toServices: [], toPorts: ports('81/TCP') },
          { toNodes: [], toPorts: ports('80/UDP') },
        ],
      }),
    ],
    expect: (c) => (a(c.from) ? egress(a, nobody)(c) : ingress(a, nobody)(c)),
  },
  {
    name: 'an empty list of ports opens none',
    objects: [onA({ ingress: [{ fromEndpoints: [app('b')], toPorts: [] }] })],
    expect: ingress(a, nobody),
  },
  {
    name: 'an empty list of ports denies all',
    objects: [onA({ ingressDeny: [{ fromEndpoints: [app('b')], toPorts: [] }], enableDefaultDeny: { ingress: false } })],
    expect: ingress(a, () => true, sentBy(b)),
  },
  {
    name: 'an empty deny denies nobody but isolates',
    objects: [onA({ ingressDeny: [{ fromEndpoints: [] }] })],
    expect: ingress(a, nobody),
  },
];

export const refused: readonly Case[] = [
  { name: '2: no rule at all', objects: [onA({ ingress: [] })], refused: /ingress/, expect: open },
  {
    name: '19: an L7 rule without protocol',
    objects: [onA({ ingress: [{ toPorts: [{ ports: [{ port: '80' }], rules: get }] }] })],
    refused: /protocol/,
    expect: open,
  },
  { name: 'a port beyond 65535', objects: [onA({ ingress: [{ toPorts: ports('70000/TCP') }] })], refused: /port/, expect: open },
  {
    name: 'a port that is neither number nor name',
    objects: [onA({ ingress: [{ toPorts: ports('80abc!/TCP') }] })],
    refused: /port/,
    expect: open,
  },
  { name: 'a prefix with host bits', objects: [onA({ ingress: [{ fromCIDR: ['10.9.9.9/8'] }] })], refused: /fromCIDR/, expect: open },
  {
    name: 'an exception outside of its prefix',
    objects: [onA({ ingress: [{ fromCIDRSet: [{ cidr: '10.9.0.0/16', except: ['10.8.0.0/16'] }] }] })],
    refused: /except/,
    expect: open,
  },
  {
    name: 'two kinds of peers in one entry',
    objects: [onA({ ingress: [{ fromEndpoints: [app('b')], fromCIDR: ['10.0.0.0/8'] }] })],
    refused: /combines/,
    expect: open,
  },
  {
    name: 'a nodeSelector in a namespace',
    objects: [cnp('case', { nodeSelector: {}, ingress: [{ fromEntities: ['cluster'] }] })],
    refused: /nodeSelector/,
    expect: open,
  },
  {
    name: 'requires, which is gone',
    objects: [onA({ ingress: [{ fromRequires: [app('b')] }] })],
    refused: /fromRequires/,
    expect: open,
  },
  {
    name: 'groups of a cloud provider',
    objects: [onA({ egress: [{ toGroups: [{ aws: { securityGroupsIds: ['sg-1'] } }] }] })],
    refused: /toGroups/,
    expect: open,
  },
  {
    name: 'a field nobody knows',
    objects: [onA({ ingress: [{ fromEndpoint: [app('b')] }] })],
    refused: /fromEndpoint/,
    expect: open,
  },
  {
    name: 'NetworkPolicy: a range that ends before it starts',
    objects: [knp('case', { podSelector: app('a'), ingress: [{ ports: [{ port: 90, endPort: 80, protocol: 'TCP' }] }] })],
    refused: /endPort/,
    expect: open,
  },
  {
    name: 'NetworkPolicy: an exception that leaves nothing',
    objects: [knp('case', { podSelector: app('a'), ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }] }] })],
    refused: /except/,
    expect: open,
  },
  {
    name: 'a second baseline',
    objects: [{ ...banp({ subject: { namespaces: {} }, ingress: [] }), metadata: { name: 'other' } }],
    refused: /default/,
    expect: open,
  },
  {
    name: 'an admin policy with a priority beyond 1000',
    objects: [anp('case', 1001, { subject: { namespaces: {} }, ingress: [] })],
    refused: /priority/,
    expect: open,
  },
  {
    name: 'a mode nobody knows',
    objects: [cnp('case', { endpointSelector: app('a'), ingress: [{}] }, 'shop', { 'policy.axoneme.io/mode': 'perhaps' })],
    refused: /mode/,
    expect: open,
  },
];
