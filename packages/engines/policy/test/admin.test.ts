// AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy: tiers, order, peers, and what is not known.
import { describe, expect, test } from '@jest/globals';
import { type PolicyObject, parsePolicy, type Rule } from '../src/index.ts';
import { admitted, askTown, everyone, object, onApi, otherNode, outside, rulesInTown, thisNode } from './town.ts';

const shop = { matchLabels: { 'kubernetes.io/metadata.name': 'shop' } };
const front = { matchLabels: { team: 'front' } };
const api = { pods: { namespaceSelector: shop, podSelector: { matchLabels: { app: 'api' } } } };
const anp = (rules: object, priority = 10): PolicyObject => object('AdminNetworkPolicy', { priority, subject: api, ...rules });
const banp = (rules: object): PolicyObject => object('BaselineAdminNetworkPolicy', { subject: api, ...rules }, { name: 'default' });
const cluster = (tier: string, rules: object, priority = 10): PolicyObject =>
  object('ClusterNetworkPolicy', { tier, priority, subject: api, ...rules });
const anyPod = [{ namespaces: {} }];
const ruleOf = (o: PolicyObject): Rule => rulesInTown([o])[0]!;
const local = everyone.filter((p) => !p.startsWith('other:'));

describe('order', () => {
  test('priority counts first, then the place in the list', () => {
    const rules = {
      ingress: [
        { action: 'Deny', from: anyPod },
        { action: 'Allow', from: anyPod },
      ],
      egress: [{ action: 'Pass', to: anyPod }],
    };
    expect(ruleOf(anp(rules, 7)).entries.map((e) => [e.direction, e.action, e.priority])).toEqual([
      ['ingress', 'deny', 7 * 128],
      ['ingress', 'allow', 7 * 128 + 1],
      ['egress', 'pass', 7 * 128],
    ]);
  });

  test('a hundred rules of one policy stay below the next priority', () => {
    const many = Array.from({ length: 100 }, () => ({ action: 'Deny', from: anyPod }));
    const last = ruleOf(anp({ ingress: many }, 3)).entries.at(-1)!.priority;
    expect(last).toBeLessThan(ruleOf(anp({ ingress: many }, 4)).entries[0]!.priority);
    expect(ruleOf(anp({ ingress: many }, 1000)).entries.at(-1)!.priority).toBe(1000 * 128 + 99);
  });

  test('admin before the others, baseline after them', () => {
    const allowWeb = onApi({ ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }] }] });
    const denyAll = { ingress: [{ action: 'Deny', from: anyPod }] };
    const allowAll = { ingress: [{ action: 'Allow', from: anyPod }] };
    const ask = (...o: PolicyObject[]): string => askTown(o)('shop/api', 'ingress', 'shop/web', '80/TCP');
    expect(ask(anp(denyAll), allowWeb)).toBe('drop 181');
    expect(ask(banp(denyAll), allowWeb)).toBe('pass');
    expect(ask(banp(denyAll))).toBe('drop 181');
    expect(ask(anp(allowAll), onApi({ ingress: [{}] }))).toBe('pass');
    expect(ask(anp({ ingress: [{ action: 'Pass', from: anyPod }, ...denyAll.ingress] }), onApi({ ingress: [{}] }))).toBe('drop 133');
    expect(ask(anp({ ingress: [{ action: 'Pass', from: anyPod }] }), banp(denyAll))).toBe('drop 181');
    expect(ask(anp(denyAll, 20), anp(allowAll, 10))).toBe('pass');
  });

  test('both APIs share the tiers', () => {
    const deny = { ingress: [{ action: 'Deny', from: anyPod }] };
    const accept = { ingress: [{ action: 'Accept', from: anyPod }] };
    const ask = (...o: PolicyObject[]): string => askTown(o)('shop/api', 'ingress', 'shop/web', '80/TCP');
    expect(ask(cluster('Admin', accept, 5), anp(deny, 6))).toBe('pass');
    expect(ask(cluster('Admin', accept, 7), anp(deny, 6))).toBe('drop 181');
    expect(ask(cluster('Baseline', deny), onApi({ ingress: [{ fromEntities: ['all'] }] }))).toBe('pass');
    expect(ask(cluster('Baseline', deny))).toBe('drop 181');
  });

  test('pass in the baseline ends in the open default', () => {
    const o = cluster('Baseline', {
      ingress: [
        { action: 'Pass', from: [{ namespaces: front }] },
        { action: 'Deny', from: anyPod },
      ],
    });
    expect(ruleOf(o).entries.map((e) => e.action)).toEqual(['allow', 'deny']);
    expect(askTown([o])('shop/api', 'ingress', 'blog/blog', '80/TCP')).toBe('pass');
    expect(askTown([o])('shop/api', 'ingress', 'shop/web', '80/TCP')).toBe('drop 181');
  });

  test('they isolate nothing: what no rule matches is open', () => {
    const o = anp({ ingress: [{ action: 'Deny', from: [{ namespaces: front }] }] });
    expect(ruleOf(o).defaultDeny).toEqual({ ingress: false, egress: false });
    expect(admitted(askTown([o]), 'shop/api', 'ingress', '80/TCP')).toEqual([
      ...everyone.filter((p) => p !== 'blog/blog'),
      thisNode,
      otherNode,
      outside,
    ]);
  });
});

describe('peers', () => {
  const denied = (to: object[]): string[] => {
    const ask = askTown([anp({ egress: [{ action: 'Deny', to }] })]);
    return [...everyone, thisNode, otherNode, outside].filter((p) => ask('shop/api', 'egress', p, '80/TCP') !== 'pass');
  };

  test('namespaces and pods: pods of this cluster, never nodes or the outside', () => {
    expect(denied([{ namespaces: {} }])).toEqual(local);
    expect(denied([{ namespaces: front }])).toEqual(['blog/blog']);
    expect(denied([{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'db' } } } }])).toEqual(['shop/db']);
    expect(denied([{ namespaces: { matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['shop', 'platform'] }] } }])).toEqual([
      'blog/blog',
    ]);
  });

  test('nodes: by node label, the local one included', () => {
    expect(denied([{ nodes: {} }])).toEqual([thisNode, otherNode]);
    expect(denied([{ nodes: { matchLabels: { role: 'worker' } } }])).toEqual([otherNode]);
  });

  test('networks: whoever has the address', () => {
    expect(denied([{ networks: ['0.0.0.0/0'] }])).toEqual([...everyone, thisNode, otherNode, outside]);
    expect(denied([{ networks: ['10.1.1.0/24', '203.0.113.9/32'] }])).toEqual(['shop/web', 'shop/api', outside]);
  });

  test('subjects: namespaces, or pods in namespaces', () => {
    const subject = (s: object): string => ruleOf(object('AdminNetworkPolicy', { priority: 1, subject: s })).subject.text;
    expect(subject({ namespaces: front })).toBe(
      'k8s:io.cilium.k8s.namespace.labels.team In "front",k8s:io.kubernetes.pod.namespace Exists ',
    );
    expect(subject(api)).toContain('k8s:app In "api"');
  });
});

describe('ports', () => {
  const both = (ports: object[], protocols: object[]): readonly Rule['entries'][number]['ports'][] => [
    ruleOf(anp({ ingress: [{ action: 'Deny', from: anyPod, ports }] })).entries[0]!.ports,
    ruleOf(cluster('Admin', { ingress: [{ action: 'Deny', from: anyPod, protocols }] })).entries[0]!.ports,
  ];

  test('both versions say the same', () => {
    const [old, now] = both(
      [
        { portNumber: { port: 80 } },
        { portRange: { protocol: 'UDP', start: 10, end: 20 } },
        { portNumber: { protocol: 'SCTP', port: 5 } },
        { namedPort: 'http' },
      ],
      [
        { tcp: { destinationPort: { number: 80 } } },
        { udp: { destinationPort: { range: { start: 10, end: 20 } } } },
        { sctp: { destinationPort: { number: 5 } } },
        { destinationNamedPort: 'http' },
      ],
    );
    expect(old).toEqual([
      { kind: 'range', protocol: 6, first: 80, last: 80 },
      { kind: 'range', protocol: 17, first: 10, last: 20 },
      { kind: 'range', protocol: 132, first: 5, last: 5 },
      { kind: 'named', protocol: 0, name: 'http' },
    ]);
    expect(now).toEqual(old);
  });

  test('absent is everything', () => {
    expect(ruleOf(anp({ ingress: [{ action: 'Deny', from: anyPod }] })).entries[0]!.ports).toEqual([
      { kind: 'range', protocol: 0, first: 0, last: 65_535 },
    ]);
  });
});

describe('what is not known fails closed', () => {
  const entry = (o: PolicyObject): object => {
    const e = ruleOf(o).entries[0]!;
    return [e.action, e.peers.map((p) => p.kind), e.ports.map((p) => (p.kind === 'range' ? `${p.protocol} ${p.first}` : p.name))];
  };
  const port80 = [{ portNumber: { port: 80 } }];
  const rule = (action: string, to: object[], ports: object[] = port80): PolicyObject => anp({ egress: [{ action, to, ports }] });

  test('domain names: an allow admits nobody by them, a deny and a pass deny every peer', () => {
    const names = { domainNames: ['*.x.io'] };
    const network = { networks: ['10.0.0.0/8'] };
    expect(entry(rule('Allow', [names]))).toEqual(['allow', [], ['6 80']]);
    expect(entry(rule('Allow', [names, network]))).toEqual(['allow', ['block'], ['6 80']]);
    expect(entry(rule('Deny', [names, network]))).toEqual(['deny', ['any'], ['6 80']]);
    expect(entry(rule('Pass', [names]))).toEqual(['deny', ['any'], ['6 80']]);
  });

  test('a peer of a newer version: an allow allows nothing, a deny and a pass deny everything', () => {
    const novel = { services: {} };
    expect(entry(rule('Allow', [novel, { networks: ['10.0.0.0/8'] }]))).toEqual(['allow', [], ['6 80']]);
    expect(entry(rule('Deny', [novel]))).toEqual(['deny', ['any'], ['0 0']]);
    expect(entry(rule('Pass', [{}]))).toEqual(['deny', ['any'], ['0 0']]);
  });

  test('a port of a newer version likewise', () => {
    expect(entry(rule('Allow', anyPod, [{ portSet: {} }, ...port80]))).toEqual(['allow', [], ['6 80']]);
    expect(entry(rule('Deny', anyPod, [{ portSet: {} }]))).toEqual(['deny', ['any'], ['0 0']]);
    const tcp = cluster('Admin', { ingress: [{ action: 'Accept', from: anyPod, protocols: [{ tcp: { flags: 'SYN' } }] }] });
    expect(entry(tcp)).toEqual(['allow', [], []]);
  });

  test('each is reported', () => {
    const r = parsePolicy(rule('Deny', [{ services: {} }]), { clusterName: 'main' });
    expect(r.ok && r.value.issues.map((i) => [i.severity, i.path])).toEqual([['unsupported', 'spec.egress[0].to[0]']]);
  });
});

test('a rule is described by its name', () => {
  const [origin] = ruleOf(anp({ ingress: [{ name: 'keep out', action: 'Deny', from: anyPod }] })).origins;
  expect([origin!.text, origin!.description]).toEqual(['AdminNetworkPolicy//p#ingress[0]', 'keep out']);
});

test('shadow mode reaches every kind', () => {
  const shadow = { annotations: { 'policy.axoneme.io/mode': 'shadow' } };
  const rules = { ingress: [{ action: 'Deny', from: anyPod }] };
  const objects = [
    object('AdminNetworkPolicy', { priority: 1, subject: api, ...rules }, shadow),
    object('BaselineAdminNetworkPolicy', { subject: api, ...rules }, { name: 'default', ...shadow }),
    object('ClusterNetworkPolicy', { tier: 'Admin', priority: 1, subject: api, ...rules }, shadow),
    object('NetworkPolicy', { podSelector: {} }, shadow),
    object('CiliumNetworkPolicy', { endpointSelector: {}, ingress: [{}] }, shadow),
    object('CiliumClusterwideNetworkPolicy', { endpointSelector: {}, ingress: [{}] }, shadow),
  ];
  expect(rulesInTown(objects).map((r) => r.mode)).toEqual(objects.map(() => 'shadow'));
  expect(askTown(objects)('shop/api', 'ingress', 'shop/web', '80/TCP')).toBe('pass');
});
