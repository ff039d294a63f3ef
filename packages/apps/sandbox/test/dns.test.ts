// The DNS zone from Services and EndpointSlices, and the wire format of answers.
import { describe, expect, test } from '@jest/globals';
import { decode, encode } from 'dns-packet';
import type { KubeObject } from '../src/apiserver/types.ts';
import { reply } from '../src/dns/server.ts';
import { resolve, reverseAddress, undash, type ZoneView } from '../src/dns/zone.ts';

const service = (name: string, spec: object): KubeObject => ({ metadata: { name, namespace: 'default' }, spec });
const services = new Map<string, KubeObject>([
  ['web', service('web', { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7', 'fd00:10:96::7'], ports: [{ name: 'http', port: 80 }] })],
  ['db', service('db', { clusterIP: 'None', clusterIPs: ['None'], ports: [{ name: 'sql', port: 5432 }] })],
  ['empty', service('empty', { clusterIP: 'None', clusterIPs: ['None'] })],
  ['far', service('far', { type: 'ExternalName', externalName: 'world.test' })],
]);
const slice: KubeObject = {
  metadata: { name: 'db-1', namespace: 'default' },
  ports: [{ name: 'sql', protocol: 'TCP', port: 5432 }],
  endpoints: [
    { addresses: ['10.244.0.5'], hostname: 'db-0', conditions: { ready: true } },
    { addresses: ['10.244.1.6'], conditions: { ready: true } },
    { addresses: ['10.244.1.7'], conditions: { ready: false } },
  ],
};
const view: ZoneView = {
  domain: 'cluster.local',
  service: (ns, name) => (ns === 'default' ? services.get(name) : undefined),
  slices: (_, name) => (name === 'db' ? [slice] : []),
  serviceAt: (ip) => (ip === '10.96.0.7' || ip === 'fd00:10:96::7' ? services.get('web') : undefined),
  outside: (name) => (name === 'world.test' ? { v4: '203.0.113.9', v6: '2001:db8:ffff::9' } : undefined),
};
const data = (name: string, type: string): unknown[] => resolve(view, name, type).answers.map((a) => a.data);

describe('zone', () => {
  test.each([
    ['web.default.svc.cluster.local', 'A', ['10.96.0.7']],
    ['WEB.default.svc.cluster.local.', 'AAAA', ['fd00:10:96::7']],
    ['db.default.svc.cluster.local', 'A', ['10.244.0.5', '10.244.1.6']],
    ['db-0.db.default.svc.cluster.local', 'A', ['10.244.0.5']],
    ['10-244-1-6.db.default.svc.cluster.local', 'A', ['10.244.1.6']],
    ['10-244-9-9.default.pod.cluster.local', 'A', ['10.244.9.9']],
    ['far.default.svc.cluster.local', 'A', ['world.test']],
    ['world.test', 'AAAA', ['2001:db8:ffff::9']],
    ['7.0.96.10.in-addr.arpa', 'PTR', ['web.default.svc.cluster.local']],
  ])('%s %s', (name, type, expected) => {
    expect(data(name, type)).toEqual(expected);
  });

  test('SRV names every endpoint of a headless service with its addresses', () => {
    const a = resolve(view, '_sql._tcp.db.default.svc.cluster.local', 'SRV');
    expect(a.answers.map((r) => (r.data as { target: string }).target)).toEqual([
      'db-0.db.default.svc.cluster.local',
      '10-244-1-6.db.default.svc.cluster.local',
    ]);
    expect(a.additionals.map((r) => r.data)).toEqual(['10.244.0.5', '10.244.1.6']);
  });

  test('no such name differs from no such record', () => {
    expect(resolve(view, 'nope.default.svc.cluster.local', 'A').exists).toBe(false);
    expect(resolve(view, 'empty.default.svc.cluster.local', 'A').exists).toBe(false);
    expect(resolve(view, 'web.other.svc.cluster.local', 'A').exists).toBe(false);
    expect(resolve(view, 'example.com', 'A').exists).toBe(false);
    const db = resolve(view, 'db.default.svc.cluster.local', 'AAAA');
    expect([db.exists, db.answers.length]).toEqual([true, 0]);
    expect(resolve(view, 'default.svc.cluster.local', 'A').exists).toBe(true);
  });

  test('address spellings', () => {
    expect(undash('fd00--5')).toBe('fd00::5');
    expect(undash('web')).toBeUndefined();
    expect(reverseAddress('7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa')).toBe('fd00:10:96::7');
  });
});

test('a reply survives the wire and a missing name says so with an SOA', () => {
  const ask = (name: string): ReturnType<typeof decode> =>
    decode(encode(reply(view, decode(encode({ id: 7, type: 'query', questions: [{ type: 'A', name }] })))));
  expect(ask('web.default.svc.cluster.local')).toMatchObject({ id: 7, answers: [{ type: 'A', data: '10.96.0.7' }] });
  const missing = ask('nope.default.svc.cluster.local');
  expect((missing.flags ?? 0) & 15).toBe(3);
  expect(missing.authorities).toMatchObject([{ type: 'SOA' }]);
});
