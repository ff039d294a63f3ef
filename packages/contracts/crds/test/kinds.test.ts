import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import {
  parseCiliumEndpoint,
  parseCiliumIdentity,
  parseCiliumL2AnnouncementPolicy,
  parseCiliumLoadBalancerIPPool,
  parseCiliumLocalRedirectPolicy,
  parseCiliumNode,
  parseLoadBalancerFleet,
  portNumberPattern,
} from '../src/index.ts';

describe('kinds the operator writes', () => {
  test('identity', () => {
    const o = { metadata: { name: '12345' }, 'security-labels': { 'k8s:app': 'a' } };
    expect(parseCiliumIdentity(o)).toEqual({ ok: true, value: o });
    expect(parseCiliumIdentity({ ...o, metadata: { name: 'abc' } }).ok).toBe(false);
    expect(parseCiliumIdentity({ metadata: { name: '1' } }).ok).toBe(false);
  });

  test('endpoint, with fields we do not know kept', () => {
    const o = {
      metadata: { name: 'p', namespace: 'n' },
      status: {
        id: 1,
        state: 'ready',
        identity: { id: 300, labels: ['k8s:a=b'] },
        networking: { addressing: [{ ipv4: '10.0.0.1' }], node: '1.1.1.1' },
        novel: { x: 1 },
      },
    };
    expect(parseCiliumEndpoint(o)).toEqual({ ok: true, value: o });
    expect(parseCiliumEndpoint({ ...o, status: { state: 'sleeping' } }).ok).toBe(false);
  });

  test('node', () => {
    const o = {
      metadata: { name: 'n1' },
      spec: {
        addresses: [{ type: 'InternalIP', ip: '192.0.2.1' }],
        ipam: { podCIDRs: ['10.244.1.0/24', 'fd00::/120'], pools: { allocated: [{ pool: 'default', cidrs: ['10.0.0.0/24'] }] } },
      },
      status: { ipam: { 'pod-cidrs': { '10.244.1.0/24': { status: 'in-use' } } } },
    };
    expect(parseCiliumNode(o)).toEqual({ ok: true, value: o });
    expect(parseCiliumNode({ ...o, spec: { ipam: { 'pre-allocate': -1 } } }).ok).toBe(false);
  });
});

test('a pool of load balancer addresses', () => {
  const o = {
    metadata: { name: 'blue' },
    spec: {
      allowFirstLastIPs: 'No',
      blocks: [{ cidr: '192.0.2.0/24' }, { start: 'fd00::1', stop: 'fd00::9' }],
      serviceSelector: { matchLabels: { 'io.kubernetes.service.namespace': 'shop' } },
    },
    status: { conditions: [{ type: 'cilium.io/PoolConflict', status: 'False', reason: 'resolved', message: '' }] },
  };
  expect(parseCiliumLoadBalancerIPPool(o)).toEqual({ ok: true, value: o });
  expect(parseCiliumLoadBalancerIPPool({ ...o, spec: { allowFirstLastIPs: 'maybe' } }).ok).toBe(false);
  expect(parseCiliumLoadBalancerIPPool({ ...o, spec: { cidrs: [] } }).ok).toBe(false);
});

test('an announcement policy keeps its form', () => {
  const o = {
    apiVersion: 'cilium.io/v2alpha1',
    kind: 'CiliumL2AnnouncementPolicy',
    metadata: { name: 'blue' },
    spec: {
      serviceSelector: { matchLabels: { 'io.kubernetes.service.namespace': 'default' } },
      nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' }] },
      interfaces: ['^eth[0-9]+'],
      externalIPs: true,
      loadBalancerIPs: true,
    },
  };
  expect(parseCiliumL2AnnouncementPolicy(o)).toEqual({ ok: true, value: o });
  expect(parseCiliumL2AnnouncementPolicy({ ...o, spec: { interfaces: 'eth0' } }).ok).toBe(false);
  expect(parseCiliumL2AnnouncementPolicy({ ...o, spec: { devices: [] } }).ok).toBe(false);
});

test('a fleet of balancers: the example fits, and fields that are nobody’s do not', () => {
  const file = path.resolve(import.meta.dirname, '../../../../examples/lb/fleet.yaml');
  const o = parse(fs.readFileSync(file, 'utf8')) as { spec: { services: object[] } };
  expect(parseLoadBalancerFleet(o)).toEqual({ ok: true, value: o });
  for (const spec of [{ ...o.spec, maglevTableSize: 251 }, { services: [{ ...o.spec.services[0], colour: 'red' }] }, { services: {} }])
    expect(parseLoadBalancerFleet({ ...o, spec }).ok).toBe(false);
});

describe('a local redirect', () => {
  const port = (n: string) => [{ port: n, protocol: 'TCP' }];
  const policy = (n: string, more: object = {}) => ({
    metadata: { name: 'metadata', namespace: 'shop' },
    spec: {
      redirectFrontend: { addressMatcher: { ip: '169.254.169.254', toPorts: port(n) } },
      redirectBackend: { localEndpointSelector: { matchLabels: { app: 'proxy' } }, toPorts: port('8080') },
      ...more,
    },
  });

  test('every port from 1 to 65535 is accepted, by us and by the pattern that API servers see, and nothing else', () => {
    const pattern = new RegExp(portNumberPattern);
    for (let n = 1; n <= 65_535; n++) if (!pattern.test(String(n))) throw new TypeError(`${n} is refused`);
    for (const n of ['1', '80', '60000', '60999', '65000', '65535']) expect(parseCiliumLocalRedirectPolicy(policy(n)).ok).toBe(true);
    for (const n of ['0', '00', '0000', '080', '65536', '99999', '', ' 80', '80 ', '8e1', '-1', 'http']) {
      expect([n, pattern.test(n), parseCiliumLocalRedirectPolicy(policy(n)).ok]).toEqual([n, false, false]);
    }
  });

  test('the examples fit', () => {
    const file = path.resolve(import.meta.dirname, '../../../../examples/services/local-redirect.yaml');
    const objects = parseAllDocuments(fs.readFileSync(file, 'utf8')).map((d) => d.toJS() as unknown);
    expect(objects.map((o) => parseCiliumLocalRedirectPolicy(o).ok)).toEqual([true, true]);
  });

  test('one matcher, neither none nor two', () => {
    const serviceMatcher = { namespace: 'shop', serviceName: 'dns' };
    expect(parseCiliumLocalRedirectPolicy(policy('1', { redirectFrontend: { serviceMatcher } })).ok).toBe(true);
    for (const redirectFrontend of [{}, { ...policy('1').spec.redirectFrontend, serviceMatcher }]) {
      const r = parseCiliumLocalRedirectPolicy(policy('1', { redirectFrontend }));
      expect(r.ok ? '' : r.error.message).toContain('exactly one of addressMatcher, serviceMatcher is required');
    }
  });
});
