import { cidrOfIpcacheKey, SubjectFlag } from '@axoneme/datapath';
import { cidrContainsIp, type IpAddr } from '@axoneme/model';
import { describe, expect, test } from '@jest/globals';
import { createKernelModel, createLab, type Lab } from './lab.ts';

const cnp = (ingress: readonly object[], more: object = {}): object => ({
  endpointSelector: { matchLabels: { app: 'web' } },
  ingress,
  ...more,
});

function cluster(): { lab: Lab; ids: Record<string, number> } {
  const lab = createLab();
  lab.node('n1', 1, { zone: 'a' });
  lab.node('n2', 2, { zone: 'b' });
  lab.pod('web', 'n1', 5, { app: 'web' });
  lab.pod('client', 'n2', 6, { app: 'client' });
  const ids = lab.identities();
  return { lab, ids };
}
const peersOf = (lab: Lab): number[] =>
  [...lab.compiler.artifacts.names()]
    .filter((n) => n.startsWith('policy/'))
    .flatMap((n) => lab.rows<'policy'>(n).map(([k]) => k.peer))
    .sort((a, b) => a - b);

describe('kinds of policy', () => {
  test('a NetworkPolicy with ipBlock has rows of classes, and every node knows the classes', () => {
    const { lab, ids } = cluster();
    lab.policy('NetworkPolicy', 'web', {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.244.2.0/24'] } }] }],
    });
    lab.compile();
    const classes = new Map(lab.rows<'addr_class'>('addr_class').map(([k, v]) => [String(cidrOfIpcacheKey(k)), v.class]));
    expect([...classes.keys()].sort()).toEqual(['10.0.0.0/8', '10.244.2.0/24']);
    expect(peersOf(lab)).toEqual([classes.get('10.0.0.0/8')]);
    expect(classes.get('10.0.0.0/8')! >>> 24).toBe(2);
    expect([...lab.given.values()].every((names) => names.has('addr_class'))).toBe(true);
    const layers = lab.rows<'subject'>(`subject/${ids.web}`).map(([k, v]) => [k.layer, v.flags]);
    expect(layers).toEqual([[0, SubjectFlag.denyIngress | SubjectFlag.classes]]);
    lab.drop('NetworkPolicy', 'web');
    lab.compile();
    expect([...lab.given.values()].some((names) => names.has('addr_class'))).toBe(false);
  });

  test('tiers and shadows are rows of their own layer, and layer 0 says which exist', () => {
    const { lab, ids } = cluster();
    const subject = { namespaces: {} };
    const rule = (action: string) => [{ action, from: [{ namespaces: {} }] }];
    lab.policy('AdminNetworkPolicy', 'top', { priority: 5, subject, ingress: rule('Deny') });
    lab.policy('BaselineAdminNetworkPolicy', 'default', { subject, ingress: rule('Allow') });
    lab.policy('CiliumNetworkPolicy', 'trial', cnp([{}]), { annotations: { 'policy.axoneme.io/mode': 'shadow' } });
    lab.compile();
    const flags = new Map(lab.rows<'subject'>(`subject/${ids.web}`).map(([k, v]) => [k.layer, v.flags]));
    const { hasAdmin, hasBaseline, hasShadow, denyIngress } = SubjectFlag;
    expect([...flags.keys()]).toEqual([0, 1, 2, 3, 4, 5]);
    expect(flags.get(0)).toBe(hasAdmin | hasBaseline | hasShadow);
    expect(flags.get(3)).toBe(hasAdmin | hasBaseline | denyIngress);
    expect([1, 2, 4, 5].map((l) => flags.get(l))).toEqual([0, 0, 0, 0]);
    expect(lab.rows<'subject'>(`subject/${ids.client}`).map(([k]) => k.layer)).toEqual([0, 1, 2]);
    // the annotation alone does not change the generation
    lab.policy('CiliumNetworkPolicy', 'trial', cnp([{}]));
    lab.compile();
    expect(lab.rows<'subject'>(`subject/${ids.web}`).map(([k]) => k.layer)).toEqual([0, 1, 2]);
  });

  test('toServices follows the Service, and only policies that name it are compiled again', () => {
    const { lab, ids } = cluster();
    const service = (selector: object | undefined): void =>
      lab.world.set('services', 'shop/api', { metadata: { namespace: 'shop', name: 'api' }, spec: { ...(selector ? { selector } : {}) } });
    const key = lab.policy('CiliumNetworkPolicy', 'to', {
      endpointSelector: { matchLabels: { app: 'web' } },
      egress: [{ toServices: [{ k8sService: { serviceName: 'api', namespace: 'shop' } }] }],
    });
    expect(lab.compile().missing(key).join()).toContain('Service shop/api');
    expect(peersOf(lab)).toEqual([]);
    service({ app: 'client' });
    expect(lab.compile().missing(key)).toEqual([]);
    expect(peersOf(lab)).toEqual([ids.client]);
    service(undefined);
    lab.world.set('slices', 'shop/api-1', {
      metadata: { namespace: 'shop', name: 'api-1', labels: { 'kubernetes.io/service-name': 'api' } },
      addressType: 'IPv4',
      ports: [{ port: 443 }],
      endpoints: [{ addresses: ['192.0.2.7'] }],
    });
    lab.compile();
    expect(lab.rows<'addr_class'>('addr_class').map(([k]) => cidrOfIpcacheKey(k))).toEqual(['192.0.2.7/32']);
    lab.world.remove('services', 'shop/api');
    lab.compile();
    expect(peersOf(lab)).toEqual([]);
  });

  test('a CIDR group is the prefixes it has now, by name and by label', () => {
    const { lab } = cluster();
    const prefixes = (): string[] => lab.rows<'ipcache'>('ipcache/cidr').map(([k]) => String(cidrOfIpcacheKey(k)));
    lab.policy('CiliumNetworkPolicy', 'a', cnp([{ fromCIDRSet: [{ cidrGroupRef: 'office' }] }]));
    lab.policy('CiliumNetworkPolicy', 'b', cnp([{ fromCIDRSet: [{ cidrGroupSelector: { matchLabels: { role: 'vpn' } } }] }]));
    lab.compile();
    expect(prefixes()).toEqual([]);
    lab.group('office', ['198.51.100.0/24']);
    lab.group('home', ['203.0.113.0/24'], { role: 'vpn' });
    lab.compile();
    expect(prefixes().sort()).toEqual(['198.51.100.0/24', '203.0.113.0/24']);
    lab.group('home', ['203.0.113.0/24'], { role: 'none' });
    lab.world.remove('cidrGroups', 'office');
    lab.compile();
    expect(prefixes()).toEqual([]);
  });

  test('a host policy is a subject of the nodes it selects, under the identity of the host', () => {
    const { lab, ids } = cluster();
    const spec = {
      nodeSelector: { matchLabels: { zone: 'a' } },
      ingress: [{ fromEndpoints: [{ matchLabels: { 'k8s:app': 'client', 'k8s:io.kubernetes.pod.namespace': 'shop' } }] }],
    };
    lab.policy('CiliumClusterwideNetworkPolicy', 'nodes', spec);
    const compiled = lab.compile();
    expect(lab.rows<'subject'>('subject/host/n1').map(([k, v]) => [k.identity, k.layer, v.flags])).toEqual([
      [1, 0, SubjectFlag.denyIngress],
    ]);
    expect(lab.given.get('n1')!.has('subject/host/n1')).toBe(true);
    expect(lab.given.get('n1')!.has(`ipcache/${ids.client}`)).toBe(true);
    expect([...lab.given.get('n2')!.keys()].filter((n) => n.startsWith('subject/host') || n === 'subject/1')).toEqual([]);
    expect(compiled.host('n1')).toBeDefined();
    expect(compiled.host('n2')).toBeUndefined();
    lab.node('n1', 1, { zone: 'b' });
    lab.node('n2', 2, { zone: 'a' });
    lab.compile();
    expect(lab.given.get('n1')!.has('subject/host/n1')).toBe(false);
    expect(lab.given.get('n2')!.has('subject/host/n2')).toBe(true);
    lab.world.remove('nodes', 'n2');
    lab.compile();
    expect(lab.compiler.artifacts.has('subject/host/n2')).toBe(false);
  });

  test('node peers follow the labels of nodes', () => {
    const { lab } = cluster();
    lab.policy('AdminNetworkPolicy', 'nodes', {
      priority: 1,
      subject: { namespaces: {} },
      egress: [{ action: 'Deny', to: [{ nodes: { matchLabels: { zone: 'a' } } }] }],
    });
    lab.compile();
    const of = (): string[] => lab.rows<'addr_class'>('addr_class').map(([k]) => String(cidrOfIpcacheKey(k)));
    expect(of().sort()).toEqual(['10.244.1.1/32', '172.30.0.1/32', 'fd00:10:244::101/128', 'fd00:30::1/128']);
    lab.node('n1', 1, { zone: 'b' });
    lab.node('n2', 2, { zone: 'a' });
    lab.compile();
    expect(of()).toContain('172.30.0.2/32');
    expect(of()).not.toContain('172.30.0.1/32');
  });
});

/** What the kernel of the node says about a packet of `address` to the pods of `identity`: rows only, ties aside. */
function isDenied(kernel: ReturnType<typeof createKernelModel>, identity: number, address: IpAddr): boolean {
  const longest = <K extends Parameters<typeof cidrOfIpcacheKey>[0], V>(rows: readonly (readonly [K, V])[]): V | undefined =>
    rows
      .filter(([k]) => cidrContainsIp(cidrOfIpcacheKey(k), address))
      .sort(([a], [b]) => b.prefixlen - a.prefixlen)
      .map(([, v]) => v)[0];
  const peers = [longest(kernel.rows('ipcache'))?.identity ?? 9, longest(kernel.rows('addr_class'))?.class, 0];
  const subject = kernel.rows('subject').find(([k]) => k.identity === identity && k.layer === 0)![1];
  const rows = kernel.rows('policy').filter(([k]) => k.handle === subject.handle && peers.includes(k.peer));
  const winner = rows.map(([, v]) => v).sort((a, b) => b.precedence - a.precedence)[0];
  return winner === undefined ? (subject.flags & SubjectFlag.denyIngress) !== 0 : winner.verdict === 2;
}

describe('numbers outlive their rows', () => {
  const scenes: readonly {
    readonly name: string;
    readonly deny: (lab: Lab) => void;
    readonly narrower: (lab: Lab) => void;
    readonly drop: (lab: Lab) => void;
  }[] = [
    {
      name: 'CIDR identities',
      deny: (lab) => lab.policy('CiliumNetworkPolicy', 'deny', cnp([{}], { ingressDeny: [{ fromCIDR: ['198.51.0.0/16'] }] })),
      narrower: (lab) => lab.policy('CiliumNetworkPolicy', 'narrow', cnp([{ fromCIDR: ['198.51.100.0/24'] }])),
      drop: (lab) => lab.drop('CiliumNetworkPolicy', 'narrow'),
    },
    {
      name: 'address classes',
      deny: (lab) =>
        lab.policy('AdminNetworkPolicy', 'deny', {
          priority: 1,
          subject: { namespaces: {} },
          ingress: [],
          egress: [{ action: 'Deny', to: [{ networks: ['198.51.0.0/16'] }] }],
        }),
      narrower: (lab) =>
        lab.policy('NetworkPolicy', 'narrow', {
          podSelector: {},
          policyTypes: ['Egress'],
          egress: [{ to: [{ ipBlock: { cidr: '198.51.100.0/24' } }] }, { to: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }],
        }),
      drop: (lab) => lab.drop('NetworkPolicy', 'narrow'),
    },
  ];

  test('a deny has no gap: its rows stay until no address has the number any more', () => {
    const { lab, ids } = cluster();
    const [scene] = scenes as [(typeof scenes)[number]];
    const kernel = createKernelModel(lab, 'n1');
    scene.deny(lab);
    scene.narrower(lab);
    lab.compile({ revision: 1, settled: 0 });
    kernel.apply();
    const address = '198.51.100.9' as IpAddr;
    const look = (): void => expect(isDenied(kernel, ids.web!, address)).toBe(true);
    look();
    scene.drop(lab);
    lab.compile({ revision: 2, settled: 1 });
    expect(lab.compiler.waits()).toBe(true);
    kernel.apply(look);
    // until every node has revision 2, nothing goes
    lab.compile({ revision: 3, settled: 1 });
    expect(lab.compiler.waits()).toBe(true);
    kernel.apply(look);
    lab.compile({ revision: 4, settled: 3 });
    expect(lab.compiler.waits()).toBe(false);
    kernel.apply(look);
    expect(peersOf(lab).filter((p) => p >= 0x0100_0000)).toHaveLength(1);
  });

  test.each(scenes)('what waits goes with a later revision, and nothing is left: $name', (scene) => {
    const { lab } = cluster();
    scene.deny(lab);
    lab.compile({ revision: 1, settled: 0 });
    const before = peersOf(lab);
    scene.narrower(lab);
    lab.compile({ revision: 2, settled: 1 });
    scene.drop(lab);
    lab.compile({ revision: 3, settled: 2 });
    expect(lab.compiler.waits()).toBe(true);
    expect(peersOf(lab).length).toBeGreaterThan(before.length);
    lab.compile({ revision: 4, settled: 3 });
    expect(lab.compiler.waits()).toBe(false);
    expect(peersOf(lab)).toEqual(before);
  });
});
