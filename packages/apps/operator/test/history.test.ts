import { isTableName } from '@axoneme/datapath';
import { createRandom, runSeed, type SeededRandom } from '@axoneme/testkit';
import { expect, test } from '@jest/globals';
import type { PolicyKind } from '../src/world/rows.ts';
import { createLab, type Lab } from './lab.ts';

const web = { matchLabels: { app: 'web' } };
const apps = ['web', 'client', 'db'];
const shadow = { 'policy.axoneme.io/mode': 'shadow' };
const rule = (action: string, side: 'from' | 'to', peer: object): object => ({ action, [side]: [peer] });

/** Objects of all kinds that share selectors, prefixes and references. */
const objects: readonly (readonly [PolicyKind, string, readonly object[]])[] = [
  [
    'CiliumNetworkPolicy',
    'pods',
    [
      {
        endpointSelector: web,
        ingress: [{ fromEndpoints: [{ matchLabels: { app: 'client' } }], toPorts: [{ ports: [{ port: 'web' }] }] }],
      },
      { endpointSelector: web, ingressDeny: [{ fromEndpoints: [{}] }] },
    ],
  ],
  [
    'CiliumNetworkPolicy',
    'cidrs',
    [
      { endpointSelector: {}, egress: [{ toCIDRSet: [{ cidr: '198.51.0.0/16', except: ['198.51.100.0/24'] }] }] },
      { endpointSelector: web, egressDeny: [{ toCIDR: ['198.51.100.0/24', '10.244.1.0/28'] }] },
    ],
  ],
  [
    'CiliumNetworkPolicy',
    'references',
    [
      { endpointSelector: {}, egress: [{ toServices: [{ k8sService: { serviceName: 'api', namespace: 'shop' } }] }] },
      { endpointSelector: web, ingress: [{ fromCIDRSet: [{ cidrGroupRef: 'office', except: ['203.0.113.0/25'] }] }] },
      { endpointSelector: web, ingressDeny: [{ fromCIDRSet: [{ cidrGroupSelector: { matchLabels: { role: 'vpn' } } }] }] },
    ],
  ],
  [
    'NetworkPolicy',
    'blocks',
    [
      { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.244.1.0/24'] } }] }] },
      { podSelector: web, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '0.0.0.0/0' } }, { namespaceSelector: {} }] }] },
    ],
  ],
  [
    'AdminNetworkPolicy',
    'top',
    [
      {
        priority: 1,
        subject: { namespaces: {} },
        egress: [rule('Deny', 'to', { nodes: { matchLabels: { zone: 'a' } } }), rule('Pass', 'to', { namespaces: {} })],
      },
      { priority: 9, subject: { namespaces: {} }, egress: [rule('Allow', 'to', { networks: ['198.51.100.0/24', '10.0.0.0/8'] })] },
    ],
  ],
  [
    'BaselineAdminNetworkPolicy',
    'default',
    [
      { subject: { namespaces: {} }, ingress: [rule('Deny', 'from', { namespaces: {} })] },
      {
        subject: { namespaces: {} },
        egress: [rule('Allow', 'to', { nodes: { matchExpressions: [{ key: 'zone', operator: 'Exists' }] } })],
      },
    ],
  ],
  [
    'CiliumClusterwideNetworkPolicy',
    'hosts',
    [
      {
        nodeSelector: { matchLabels: { zone: 'a' } },
        ingress: [{ fromEndpoints: [{ matchLabels: { 'k8s:app': 'client' } }] }, { fromEntities: ['cluster'] }],
      },
      { nodeSelector: {}, egressDeny: [{ toCIDR: ['198.51.100.7/32'] }], egress: [{ toEntities: ['all'] }] },
    ],
  ],
];

type Action = (lab: Lab) => void;

function actionsOf(random: SeededRandom): Action[] {
  let generation = 1;
  const one = (): Action => {
    const kind = random.int(0, 12);
    if (kind < 5) {
      const [policyKind, name, specs] = random.pick(objects);
      if (random.bool(0.3)) return (lab) => lab.drop(policyKind, name);
      const spec = random.pick(specs);
      const annotations = random.bool(0.25) ? shadow : {};
      generation += 1;
      const g = generation;
      return (lab) => void lab.policy(policyKind, name, spec, { generation: g, annotations });
    }
    const n = random.int(1, 3);
    const zone: Record<string, string> = random.bool() ? { zone: random.pick(['a', 'b']) } : {};
    const app = random.pick(apps);
    if (kind === 5) return random.bool(0.2) ? (lab) => drop(lab, n) : (lab) => lab.node(`n${n}`, n, zone);
    if (kind === 6)
      return random.bool(0.3)
        ? (lab) => lab.world.remove('pods', `shop/${app}`)
        : (lab) => lab.pod(app, `n${n}`, 4 + apps.indexOf(app), { app });
    if (kind === 7)
      return random.bool(0.3)
        ? (lab) => lab.world.remove('cidrGroups', 'office')
        : (lab) => lab.group('office', ['203.0.113.0/24', `198.51.${n}.0/24`], { role: random.pick(['vpn', 'none']) });
    const selector = random.bool() ? { selector: { app } } : {};
    if (kind === 8)
      return random.bool(0.3)
        ? (lab) => lab.world.remove('services', 'shop/api')
        : (lab) => lab.world.set('services', 'shop/api', { metadata: { namespace: 'shop', name: 'api' }, spec: selector });
    if (kind === 9) return reportOf(random, n, app);
    if (kind === 10)
      return (lab) => lab.world.set('namespaces', 'shop', { name: 'shop', labels: { 'kubernetes.io/metadata.name': 'shop', ...zone } });
    if (kind === 11) return (lab) => lab.world.remove('identities', String(random.pick([...lab.world.tables.identities.keys()]) ?? ''));
    return (lab) =>
      lab.world.set('slices', 'shop/api-1', {
        metadata: { namespace: 'shop', name: 'api-1', labels: { 'kubernetes.io/service-name': 'api' } },
        addressType: 'IPv4',
        ports: [],
        endpoints: [{ addresses: [`10.244.${n}.9`] }],
      });
  };
  return Array.from({ length: 40 }, one);
}

/** What an agent says of a pod: other addresses than its status, or that it is gone. */
function reportOf(random: SeededRandom, n: number, app: string): Action {
  const key = `n${n}|shop/${app}|uid-${app}`;
  const [state, identity] = [random.pick(['ready', 'disconnected']), random.pick([0, 300, 301])];
  const addresses = [`10.244.${n}.${random.int(4, 9)}`];
  if (random.bool(0.3)) return (lab) => lab.world.remove('endpoints', key);
  return (lab) =>
    lab.world.set('endpoints', key, {
      namespace: 'shop',
      pod: app,
      uid: `uid-${app}`,
      node: `n${n}`,
      endpointId: 7,
      identity,
      addresses,
      state,
    });
}

function drop(lab: Lab, n: number): void {
  lab.world.remove('nodes', `n${n}`);
  lab.world.remove('ciliumNodes', `n${n}`);
}

/** Numbers by label text: the same ones in every lab. */
function giveIdentities(lab: Lab): void {
  for (const v of lab.compiler.podViews(lab.world.tables)) {
    const id = 300 + apps.indexOf(v.row.name) + 10 * ['a', 'b'].indexOf(v.labels.text.match(/labels.zone=(.)/)?.[1] ?? '');
    if (!lab.world.tables.identities.has(String(id)))
      lab.world.set('identities', String(id), {
        id,
        labels: Object.fromEntries(v.labels.list.map((l) => [`${l.source}:${l.key}`, l.value])),
        createdMs: 1,
      });
  }
}

const snapshot = (lab: Lab): unknown => Object.fromEntries([...lab.given].map(([node, names]) => [node, Object.fromEntries(names)]));

/** Rows of each node and table, counted anew. */
function countedRows(lab: Lab): unknown {
  const of = (names: ReadonlyMap<string, string>): unknown => {
    const sum = new Map<string, number>();
    for (const name of names.keys()) {
      const table = lab.compiler.artifacts.get(name)?.body.table;
      if (table !== undefined && isTableName(table)) sum.set(table, (sum.get(table) ?? 0) + lab.rows(name).length);
    }
    return Object.fromEntries([...sum].filter(([, n]) => n > 0));
  };
  return Object.fromEntries([...lab.given].map(([node, names]) => [node, of(names)]));
}

const seed = runSeed();
test(`the same world of all kinds gives the same artifacts whatever its history (seed ${seed})`, () => {
  const random = createRandom(seed);
  for (let round = 0; round < 25; round++) {
    const lab = createLab();
    for (const n of [1, 2, 3]) lab.node(`n${n}`, n, { zone: 'a' });
    for (const app of apps) lab.pod(app, 'n1', 4 + apps.indexOf(app), { app });
    for (const act of actionsOf(random)) {
      act(lab);
      if (random.bool(0.6)) continue;
      giveIdentities(lab);
      if (random.bool()) lab.compile();
      else lab.decide();
    }
    giveIdentities(lab);
    lab.decide();
    // numbers that waited are gone with the next revision
    lab.decide();
    expect(lab.compiler.waits()).toBe(false);
    const kept = [...lab.given.keys()].map(
      (node) => [node, Object.fromEntries([...lab.counts.needed(node)].filter(([, n]) => n > 0))] as const,
    );
    expect(Object.fromEntries(kept)).toEqual(countedRows(lab));
    const fresh = createLab(undefined, lab.world);
    fresh.decide();
    expect(snapshot(lab)).toEqual(snapshot(fresh));
    expect([...lab.compiler.artifacts.names()].sort()).toEqual([...fresh.compiler.artifacts.names()].sort());
  }
});
