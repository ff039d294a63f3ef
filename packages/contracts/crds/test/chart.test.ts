// The chart with the real Helm binary: lint, determinism, closed values, sane objects.
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseAllDocuments, parse as parseYaml } from 'yaml';
import { parseCiliumNetworkPolicy } from '../src/index.ts';

const root = path.resolve(import.meta.dirname, '../../../..');
const chart = path.join(root, 'charts/axoneme');
const helmBinary = path.join(root, '.tools/bin/helm');
let home: string;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}
const helm = (...args: string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const env = { ...process.env, HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
    execFile(helmBinary, args, { env, maxBuffer: 64 << 20 }, (e, out, err) =>
      resolve({ code: e === null ? 0 : Number(e.code ?? 1), out, err }),
    );
  });
const template = (...args: string[]): Promise<Ran> => helm('template', 'axoneme', chart, '-n', 'axoneme-system', ...args);

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
  readonly [k: string]: unknown;
}
const documents = (text: string): Rendered[] =>
  parseAllDocuments(text)
    .map((d) => d.toJS() as Rendered)
    .filter((d) => d !== null);
const one = (all: Rendered[], kind: string, name: string): Rendered => {
  const found = all.find((o) => o.kind === kind && o.metadata.name === name);
  expect([kind, name, found !== undefined]).toEqual([kind, name, true]);
  return found as Rendered;
};
const dig = (o: unknown, ...keys: (string | number)[]): unknown =>
  keys.reduce<unknown>((v, k) => (v as Record<string | number, unknown>)?.[k], o);

let rendered: Rendered[];
beforeAll(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-chart-'));
  const r = await template();
  expect(r.err).toBe('');
  rendered = documents(r.out);
});
afterAll(() => fs.rmSync(home, { recursive: true, force: true }));

test('helm lint --strict passes', async () => {
  const r = await helm('lint', '--strict', chart);
  expect([r.code, r.err]).toEqual([0, '']);
});

test('rendering twice gives the same bytes, CRDs included, and no secret', async () => {
  const [a, b] = [await template('--include-crds'), await template('--include-crds')];
  expect(a.out).toBe(b.out);
  expect(documents(a.out).some((o) => o.kind === 'Secret' || o.kind === 'Job')).toBe(false);
  expect(documents(a.out).filter((o) => o.kind === 'CustomResourceDefinition').length).toBe(14);
});

/** Every path in values.yaml down to the leaves; objects that Kubernetes or the user owns count as leaves. */
function leaves(v: unknown, at: string[]): string[][] {
  if (v === null || typeof v !== 'object' || Array.isArray(v) || Object.keys(v).length === 0) return [at];
  return Object.entries(v).flatMap(([k, x]) => (['requests', 'limits'].includes(k) ? [[...at, k]] : leaves(x, [...at, k])));
}

describe('values', () => {
  const values = parseYaml(fs.readFileSync(path.join(chart, 'values.yaml'), 'utf8')) as object;

  test('every misspelled name is refused', async () => {
    const paths = leaves(values, []);
    expect(paths.length).toBeGreaterThan(50);
    const nested = (keys: string[]): unknown => keys.reduceRight<unknown>((v, k) => ({ [k]: v }), 1);
    const misspelled = paths.map((p) => [...p.slice(0, -1), `${p.at(-1)}x`]);
    const groups = new Map(misspelled.map((p) => [p.slice(0, -1).join('.'), p]));
    // one run a level keeps this fast; the schema names each stranger on its own
    for (const [level] of groups) {
      const all = misspelled.filter((p) => p.slice(0, -1).join('.') === level);
      const file = path.join(home, 'values.json');
      const merged = all.map(nested).reduce((a, b) => mergeDeep(a as object, b as object));
      fs.writeFileSync(file, JSON.stringify(merged));
      const r = await template('-f', file);
      expect([level, r.code === 0]).toEqual([level, false]);
      for (const p of all) expect(r.err).toContain(`'${p.at(-1)}'`);
    }
  });

  const mergeDeep = (a: object, b: object): object => {
    const out: Record<string, unknown> = { ...a };
    for (const [k, v] of Object.entries(b)) out[k] = v !== null && typeof v === 'object' && k in out ? mergeDeep(out[k] as object, v) : v;
    return out;
  };

  test.each([
    ['policyEnforcementMode=sometimes', 'policyEnforcementMode'],
    ['routingMode=geneve', 'routingMode'],
    ['ipam.mode=kubernetes', 'mode'],
    ['cluster.id=256', 'id'],
    ['cluster.name=Bad_Name', 'name'],
    ['operator.replicas=0', 'replicas'],
    ['operator.port=70000', 'port'],
    ['MTU=100', 'MTU'],
    ['ipam.operator.clusterPoolIPv4PodCIDRList={10.0.0.0/33}', 'clusterPoolIPv4PodCIDRList'],
    ['ipam.operator.clusterPoolIPv4MaskSize=12', 'does not fit into the pool 10.244.0.0/16'],
    ['ipam.operator.clusterPoolIPv4PodCIDRList=null', 'needs a pool'],
    ['ipv4.enabled=false,ipv6.enabled=false', 'one of them must be true'],
    ['operator.metricsPort=9443', 'must differ'],
    ['redis.url=localhost', 'url'],
    ['datapath.rollout=two-by-two', 'rollout'],
    ['datapath.objects=objects', 'objects'],
    ['agent.maxUnavailable=200%', 'maxUnavailable'],
    ['hostFirewall.adminCidrs={office}', 'adminCidrs'],
    ['hostFirewall.adminPorts={0}', 'adminPorts'],
    ['defaultLBServiceIPAM=cloud', 'defaultLBServiceIPAM'],
    ['l2announcements.leaseDuration=3', 'leaseDuration'],
    ['loadBalancer.mode=ipvs', 'mode'],
    ['loadBalancer.dsrDispatch=geneve', 'geneve is not there'],
    ['loadBalancer.dsrDispatch=ipip', 'pods do not take the outer header off'],
    ['loadBalancer.acceleration=generic', 'acceleration'],
    ['maglev.tableSize=1000', 'tableSize'],
    ['nodePort.range=30000-32767', 'range'],
    ['nodePort.range=32767\\,30000', 'is not a first and a last port'],
    ['kubeProxyReplacementHealthzBindAddr=10256', 'kubeProxyReplacementHealthzBindAddr'],
    ['enableIPv4Masquerade=yes', 'enableIPv4Masquerade'],
  ])('%s is refused', async (set, named) => {
    const r = await template('--set', set);
    expect([set, r.code === 0]).toEqual([set, false]);
    expect(r.err).toContain(named);
  });

  test('the configuration reaches the operator under the names it reads', async () => {
    const r = await template(
      '--set',
      'ipv6.enabled=false,routingMode=native,MTU=9000,redis.url=redis://r:1,cluster.id=3,policyEnforcementMode=always,' +
        'hostFirewall.adminCidrs={203.0.113.0/24},agent.mapSizes.policy=1000,services.serviceCidrs={10.96.0.0/12},' +
        'loadBalancer.algorithm=maglev,loadBalancer.mode=hybrid,loadBalancer.acceleration=best-effort,' +
        'maglev.tableSize=251,nodePort.range=20000\\,22767,socketLB.hostNamespaceOnly=true,' +
        'kubeProxyReplacementHealthzBindAddr=0.0.0.0:10256,nodeIPAM.enabled=true,l2announcements.enabled=true,' +
        'l2announcements.leaseDuration=2s,l2announcements.leaseRetryPeriod=500ms',
    );
    const config = JSON.parse(String(dig(one(documents(r.out), 'ConfigMap', 'axoneme-config'), 'data', 'config.json')));
    expect(config).toEqual({
      clusterName: 'default',
      clusterId: 3,
      routingMode: 'native',
      masqueradeIpv4: true,
      masqueradeIpv6: true,
      policyAuditMode: false,
      serviceCidrs: ['10.96.0.0/12'],
      allowedExternalCidrs: [],
      serviceNoBackendResponse: 'reject',
      loadBalancerAlgorithm: 'maglev',
      loadBalancerMode: 'hybrid',
      loadBalancerDsrDispatch: 'opt',
      loadBalancerAcceleration: 'best-effort',
      maglevTableSize: 251,
      nodePortRange: '20000,22767',
      socketLbHostNamespaceOnly: true,
      healthzBindAddress: '0.0.0.0:10256',
      policyEnforcementMode: 'always',
      ipv4PodCidrs: ['10.244.0.0/16'],
      ipv6PodCidrs: [],
      ipv4MaskSize: 24,
      ipv6MaskSize: 120,
      mtu: 9000,
      vxlanPort: 8472,
      port: 9443,
      bootstrapPort: 9444,
      adminPort: 9445,
      metricsPort: 9963,
      webhookPort: 9446,
      redisEnabled: true,
      redisUrl: 'redis://r:1',
      datapathRollout: 'one-by-one',
      defaultLbServiceIpam: 'lbipam',
      localRedirectPolicies: false,
      localRedirectCidrs: [],
      lbIpamEnabled: true,
      nodeIpamEnabled: true,
      l2AnnouncementsEnabled: true,
      l2LeaseDuration: '2s',
      l2LeaseRetryPeriod: '500ms',
      hostFirewallAdminCidrs: ['203.0.113.0/24'],
      hostFirewallAdminPorts: [22],
      mapSizes: { policy: 1000 },
      logLevel: 'info',
    });
    expect(documents(r.out).some((o) => o.metadata.name === 'axoneme-redis')).toBe(false);
  });

  test.each([
    ['operator', undefined],
    ['agent', ''],
    ['/objects', '/objects'],
  ])('datapath.objects=%s is the directory %s', async (value, dir) => {
    const r = await template('--set', `datapath.objects=${value}`);
    const config = JSON.parse(String(dig(one(documents(r.out), 'ConfigMap', 'axoneme-config'), 'data', 'config.json')));
    expect(config.datapathObjectsDir).toBe(dir);
  });

  test('a changed configuration starts the operator anew, and nothing else', async () => {
    const other = documents((await template('--set', 'policyEnforcementMode=always')).out);
    const templateOf = (all: Rendered[], kind: string, name: string): string =>
      JSON.stringify(dig(one(all, kind, name), 'spec', 'template'));
    expect(templateOf(other, 'Deployment', 'axoneme-operator')).not.toBe(templateOf(rendered, 'Deployment', 'axoneme-operator'));
    expect(templateOf(other, 'DaemonSet', 'axoneme-agent')).toBe(templateOf(rendered, 'DaemonSet', 'axoneme-agent'));
  });
});

describe('objects', () => {
  test('agents have no way to the API server', () => {
    const spec = dig(one(rendered, 'DaemonSet', 'axoneme-agent'), 'spec', 'template', 'spec') as Record<string, unknown>;
    expect(spec.automountServiceAccountToken).toBe(false);
    const bound = rendered.filter((o) => o.kind.endsWith('RoleBinding')).flatMap((o) => o.subjects as { name: string }[]);
    expect(bound.map((s) => s.name)).toEqual(['axoneme-operator', 'axoneme-operator']);
    const token = (spec.volumes as { name: string; projected?: unknown }[]).find((v) => v.name === 'token');
    expect(dig(token, 'projected', 'sources')).toEqual([
      { serviceAccountToken: { path: 'token', audience: 'axoneme-operator', expirationSeconds: 3600 } },
    ]);
  });

  test('the agent finds what the node environment promises', () => {
    const container = dig(one(rendered, 'DaemonSet', 'axoneme-agent'), 'spec', 'template', 'spec', 'containers', 0) as Record<
      string,
      unknown
    >;
    expect((container.volumeMounts as { mountPath: string }[]).map((m) => m.mountPath).sort()).toEqual([
      '/etc/axoneme/trust',
      '/etc/cni/net.d',
      '/opt/cni/bin',
      '/sys/fs/bpf',
      '/sys/fs/cgroup',
      '/var/lib/axoneme',
      '/var/run/axoneme',
      '/var/run/netns',
      '/var/run/secrets/axoneme',
    ]);
  });

  test('without LB-IPAM the operator may not write to Services', async () => {
    const r = await template('--set', 'lbIPAM.enabled=false');
    expect(JSON.stringify(dig(one(documents(r.out), 'ClusterRole', 'axoneme-operator'), 'rules'))).not.toContain('services/status');
  });

  test('other Leases than its own are open to the operator only for announcements', async () => {
    const leases = (all: Rendered[]): string[][] =>
      (one(all, 'Role', 'axoneme-operator').rules as { resources: string[]; resourceNames?: string[]; verbs: string[] }[])
        .filter((r) => r.resources.includes('leases') && r.resourceNames === undefined)
        .map((r) => r.verbs);
    expect(leases(rendered)).toEqual([['create']]);
    const on = documents((await template('--set', 'l2announcements.enabled=true')).out);
    expect(leases(on)).toEqual([['create'], ['get', 'list', 'watch', 'update', 'delete']]);
  });

  test('the operator may read what it watches and write nothing of a user but status', () => {
    const rules = one(rendered, 'ClusterRole', 'axoneme-operator').rules as { resources: string[]; verbs: string[] }[];
    const verbsOn = (r: string): string[] => rules.filter((x) => x.resources.includes(r)).flatMap((x) => x.verbs);
    for (const r of [
      'pods',
      'services',
      'nodes',
      'namespaces',
      'endpointslices',
      'ciliumnetworkpolicies',
      'ciliumclusterwidenetworkpolicies',
      'ciliumloadbalancerippools',
    ]) {
      expect([r, verbsOn(r)]).toEqual([r, ['get', 'list', 'watch']]);
    }
    expect(verbsOn('secrets')).toEqual([]);
    expect([verbsOn('services/status'), verbsOn('ciliumloadbalancerippools/status')]).toEqual([['patch'], ['patch']]);
    expect(JSON.stringify(rules)).not.toContain('"*"');
  });

  test('both tolerate every taint and belong to nobody else', () => {
    for (const [kind, name] of [
      ['Deployment', 'axoneme-operator'],
      ['DaemonSet', 'axoneme-agent'],
    ] as const) {
      expect(dig(one(rendered, kind, name), 'spec', 'template', 'spec', 'tolerations')).toEqual([{ operator: 'Exists' }]);
    }
    for (const o of rendered)
      expect([o.metadata.name, o.metadata.labels?.['app.kubernetes.io/managed-by']]).toEqual([o.metadata.name, 'Helm']);
  });

  test('the policy for the mirror is one of ours', () => {
    expect(parseCiliumNetworkPolicy(one(rendered, 'CiliumNetworkPolicy', 'axoneme-redis')).ok).toBe(true);
  });
});
