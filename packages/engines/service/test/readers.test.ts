import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compileAll, compileFor, readEndpointSlice, readHostPorts, readService, selectorFromText } from '../src/index.ts';
import { scaled } from './runs.ts';
import { node, service } from './world.ts';

const json = fc.jsonValue({ maxDepth: 3 });
const names = [
  'spec',
  'metadata',
  'status',
  'ports',
  'clusterIPs',
  'externalIPs',
  'annotations',
  'labels',
  'endpoints',
  'loadBalancer',
  'ingress',
  'ip',
  'port',
  'addresses',
  'conditions',
  'hints',
  'forZones',
  'containers',
  'podIPs',
  'nodeName',
  'sessionAffinityConfig',
  'clientIP',
  'type',
];
const wild = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    json,
    fc.constantFrom('LoadBalancer', '10.0.0.1', 'Local', 80, 'fe80::1%eth0'),
    tie('object'),
    fc.array(tie('value'), { maxLength: 3 }),
  ),
  object: fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 8 }),
})).object;

test('nothing that is JSON makes the readers or the compile fail', () => {
  fc.assert(
    fc.property(wild, wild, wild, (s, e, p) => {
      const slice = readEndpointSlice({ ...e, metadata: { labels: { 'kubernetes.io/service-name': 'x' } } });
      const pod = readHostPorts(p);
      const t = compileAll({
        services: [readService(s)],
        slices: slice === undefined ? [] : [slice],
        pods: pod === undefined ? [] : [pod],
      });
      compileFor(t, node('n1'));
    }),
    { numRuns: scaled(1000) },
  );
});

test('what is wrong is left out and said', () => {
  const s = service(
    {
      type: 'Balancer',
      clusterIPs: ['10.96.0.1', '10.96.0.300'],
      externalIPs: ['x'],
      ports: [{ port: 80 }, { port: 80 }, { port: 70_000 }, { port: 1, protocol: 'ICMP' }],
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 90_000 } },
      trafficDistribution: 'Far',
    },
    { annotations: { 'service.cilium.io/lb-algorithm': 'best' } },
  );
  expect([s.clusterIps, s.externalIps, s.ports.map((p) => p.port), s.affinitySeconds]).toEqual([['10.96.0.1'], [], [80], 10_800]);
  expect([...s.remarks].sort()).toEqual([
    'service.cilium.io/lb-algorithm: "best" is none of random, maglev',
    'spec.clusterIPs: "10.96.0.300" is not an address',
    'spec.externalIPs: "x" is not an address',
    'spec.ports[1]: 80/TCP is there twice',
    'spec.ports[2]: 70000 is not a port',
    'spec.ports[3]: protocol "ICMP" is not served',
    'spec.sessionAffinityConfig.clientIP.timeoutSeconds: 90000 is not 1 to 86400',
    'spec.trafficDistribution: "Far" is unknown and has no effect',
    'spec.type: "Balancer" is unknown and read as ClusterIP',
  ]);
});

test.each([
  ['', ''],
  ['a=b', 'any:a In "b"'],
  ['a==b,!c', 'any:a In "b",any:c DoesNotExist '],
  ['a in (x, y), b notin (z), c != d, e', 'any:a In "x"|"y",any:b NotIn "z",any:c NotIn "d",any:e Exists '],
])('selector %j', (text, canonical) => {
  const r = selectorFromText(text);
  expect(r.ok && r.value.text).toBe(canonical);
});

test.each(['a in x', '= b', 'a in (', '-=b'])('no selector: %j', (text) => expect(selectorFromText(text).ok).toBe(false));
