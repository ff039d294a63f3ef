// Host policies on real packets: what reaches and leaves nodes, from their own pods, other nodes and the world. Pods stay as they are.

import type { Cell, Expect } from '../truth/cell.ts';
import { app, type Case, ccnp, hosts, named, on, podsOf, ports, type Spec, sentBy, to, type When } from '../truth/dsl.ts';
import type { MatchOptions } from '../truth/table.ts';

const hostname = (name: string): Spec => ({ matchLabels: { 'kubernetes.io/hostname': name } });
const inNs = (ns: string): Spec => ({ matchLabels: { 'k8s:io.kubernetes.pod.namespace': ns } });
const node1 = named('node-1');
const node2 = named('node-2');
/** Nodes among themselves and towards the world too. */
const match: MatchOptions = {
  among: (c) => c.from.kind === 'pod' || c.to.kind === 'pod' || c.from.kind === 'host' || c.to.kind === 'host',
};
const otherwise: Expect = () => 'pass';
const decide =
  (...list: readonly (readonly [When, number])[]): Expect =>
  (c: Cell) =>
    list.find(([when]) => when(c))?.[1] ?? otherwise(c);
/** What a cluster needs to live. */
const lifelines = [{ fromEntities: ['kube-apiserver', 'remote-node'] }];

export const hostCases: readonly Case[] = [
  {
    name: 'ingress: one node admits other nodes, pods of one namespace, one port of a prefix',
    objects: [
      ccnp('host', {
        nodeSelector: hostname('node-1'),
        ingress: [
          ...lifelines,
          { fromEndpoints: [inNs('shop')] },
          { fromCIDR: ['10.8.0.0/16', '2001:db8:8::/48'], toPorts: ports('80/TCP') },
        ],
      }),
    ],
    match,
    expect: decide([to(node1, (c) => !hosts(c.from) && !podsOf('shop')(c.from) && !(c.from.name === 'ext8' && on('80/tcp')(c))), 133]),
  },
  {
    name: 'ingress: a deny of one port from the world, on every node, isolates nobody',
    objects: [
      ccnp('host', {
        nodeSelector: {},
        ingressDeny: [{ fromEntities: ['world'], toPorts: ports('81/TCP') }],
        enableDefaultDeny: { ingress: false },
      }),
    ],
    match,
    expect: decide([to(hosts, (c) => c.from.kind === 'world' && on('81/tcp')(c)), 181]),
  },
  {
    name: 'ingress: pods of the node itself and of others are told apart by label, not by place',
    objects: [
      ccnp('host', {
        nodeSelector: {},
        ingressDeny: [
          {
            fromEndpoints: [
              { matchLabels: { ...(app('a').matchLabels as Record<string, string>), 'k8s:io.kubernetes.pod.namespace': 'blog' } },
            ],
          },
        ],
        enableDefaultDeny: { ingress: false },
      }),
    ],
    match,
    expect: decide([to(hosts, sentBy(named('blog/a'))), 181]),
  },
  {
    name: 'egress: a node may not reach one namespace on one port',
    objects: [
      ccnp('host', {
        nodeSelector: hostname('node-2'),
        egressDeny: [{ toEndpoints: [inNs('bank')], toPorts: ports('80/TCP') }, { toCIDR: ['10.9.0.0/16'] }],
        enableDefaultDeny: { egress: false },
      }),
    ],
    match,
    expect: decide([(c) => node2(c.from) && ((c.to.ns === 'bank' && on('80/tcp')(c)) || (c.to.name === 'ext9' && c.family === 4)), 181]),
  },
  {
    name: '30: a host policy selects no pod, and a policy of pods no node',
    objects: [
      ccnp('host', { nodeSelector: hostname('node-1'), ingress: [{ fromEntities: ['all'] }] }),
      ccnp('pods', { endpointSelector: {}, ingress: [{ fromEntities: ['all'] }] }),
    ],
    match,
    expect: otherwise,
  },
];
