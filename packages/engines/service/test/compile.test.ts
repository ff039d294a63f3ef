import type { ObjectKey } from '@axoneme/model';
import { describe, expect, test } from '@jest/globals';
import { backendsArtifactName, compileAll, readEndpointSlice, readService, type ServiceTable, type SliceInput } from '../src/index.ts';

interface RawEndpoint {
  addresses: string[];
  conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
}

const key = (t: string): ObjectKey => t as ObjectKey;
const service = (spec: object) => readService({ metadata: { namespace: 'shop', name: 'web' }, spec });
const slice = (
  endpoints: RawEndpoint[],
  more: { name?: string; type?: string; ports?: { name?: string; protocol?: string; port: number }[] } = {},
): SliceInput =>
  readEndpointSlice({
    metadata: { namespace: 'shop', name: more.name ?? 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: more.type ?? 'IPv4',
    ports: more.ports ?? [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints,
  })!;
const shown = (t: ServiceTable) =>
  t.services.get(key('shop/web'))?.frontends.map(
    (f) =>
      `${f.ip}:${f.port}/${f.protocol} -> ${
        t.sets
          .get(f.setIn)
          ?.backends.map((b) => `${b.ip}:${b.port}`)
          .join(' ') ?? ''
      }`,
  );

const web = service({ clusterIPs: ['10.96.0.10'], ports: [{ port: 80, protocol: 'TCP' }] });

describe('frontends', () => {
  test('ready backends of the matching port, sorted', () => {
    const t = compileAll({
      services: [web],
      slices: [slice([{ addresses: ['10.0.1.9'] }, { addresses: ['10.0.0.9'], conditions: { ready: true } }])],
    });
    expect(shown(t)).toEqual(['10.96.0.10:80/TCP -> 10.0.0.9:8080 10.0.1.9:8080']);
  });

  test('dual stack: each family has its own backends', () => {
    const dual = service({ clusterIPs: ['10.96.0.10', 'fd00::10'], ports: [{ port: 80 }] });
    const slices = [slice([{ addresses: ['10.0.0.9'] }]), slice([{ addresses: ['fd00:1::9'] }], { name: 'web-6', type: 'IPv6' })];
    expect(shown(compileAll({ services: [dual], slices }))).toEqual([
      '10.96.0.10:80/TCP -> 10.0.0.9:8080',
      'fd00::10:80/TCP -> fd00:1::9:8080',
    ]);
  });

  test('ports are matched by name and protocol', () => {
    const s = service({
      clusterIPs: ['10.96.0.10'],
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
        { name: 'gone', port: 99 },
      ],
    });
    const ports = [
      { name: 'dns', protocol: 'UDP', port: 1053 },
      { name: 'dns-tcp', protocol: 'TCP', port: 2053 },
    ];
    expect(shown(compileAll({ services: [s], slices: [slice([{ addresses: ['10.0.0.9'] }], { ports })] }))).toEqual([
      '10.96.0.10:53/TCP -> 10.0.0.9:2053',
      '10.96.0.10:53/UDP -> 10.0.0.9:1053',
      '10.96.0.10:99/TCP -> ',
    ]);
  });

  test.each<[string, RawEndpoint[], string]>([
    ['not ready is left out', [{ addresses: ['10.0.0.1'], conditions: { ready: false } }, { addresses: ['10.0.0.2'] }], '10.0.0.2:8080'],
    [
      'terminating is left out while something is ready',
      [{ addresses: ['10.0.0.1'], conditions: { ready: false, serving: true, terminating: true } }, { addresses: ['10.0.0.2'] }],
      '10.0.0.2:8080',
    ],
    [
      'terminating and serving is used when nothing is ready',
      [
        { addresses: ['10.0.0.1'], conditions: { ready: false, serving: true, terminating: true } },
        { addresses: ['10.0.0.2'], conditions: { ready: false } },
      ],
      '10.0.0.1:8080',
    ],
    [
      'terminating and not serving is never used',
      [{ addresses: ['10.0.0.1'], conditions: { ready: false, serving: false, terminating: true } }],
      '',
    ],
  ])('%s', (_name, endpoints, expected) =>
    expect(shown(compileAll({ services: [web], slices: [slice(endpoints)] }))).toEqual([`10.96.0.10:80/TCP -> ${expected}`]),
  );

  test('headless and ExternalName have none', () => {
    expect(
      compileAll({ services: [service({ clusterIP: 'None', clusterIPs: ['None'], ports: [{ port: 80 }] })], slices: [] }).services.size,
    ).toBe(0);
    expect(compileAll({ services: [service({ type: 'ExternalName', ports: [{ port: 80 }] })], slices: [] }).services.size).toBe(0);
  });

  test('affinity is carried, default three hours', () => {
    const affinity = (config?: object) =>
      service({ clusterIPs: ['10.96.0.1'], ports: [], sessionAffinity: 'ClientIP', ...config }).affinitySeconds;
    expect(affinity()).toBe(10_800);
    expect(affinity({ sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } })).toBe(60);
    expect(web.affinitySeconds).toBe(0);
  });

  test('an empty service keeps its frontend with count 0', () => {
    const f = compileAll({ services: [web], slices: [] }).services.get(key('shop/web'))!.frontends[0]!;
    expect([f.setIn, f.countIn]).toEqual([0n, 0]);
  });

  test('equal backends are one set, in whatever order and slices they come', () => {
    const other = { ...web, key: key('shop/other') };
    const a = slice([{ addresses: ['10.0.0.1'] }, { addresses: ['10.0.0.2'] }]);
    const b1 = { ...slice([{ addresses: ['10.0.0.2'] }], { name: 'o-1' }), service: other.key };
    const b2 = { ...slice([{ addresses: ['10.0.0.1'] }], { name: 'o-2' }), service: other.key };
    const t = compileAll({ services: [web, other], slices: [b2, a, b1] });
    expect(t.sets.size).toBe(1);
    expect(backendsArtifactName([...t.sets.keys()][0]!)).toMatch(/^backends\/[0-9a-f]{16}$/);
  });
});
