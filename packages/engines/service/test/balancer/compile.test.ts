// State files become the same sets, frontends and tables as Services of a cluster.
import type { IpAddr } from '@axoneme/model';
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import {
  type BalancerSpec,
  compileBalancer,
  createMaglevTables,
  explainBalancer,
  frontendFlags,
  judgeBackends,
  lookupHash,
  probeTargets,
  type TargetId,
  type Tuple,
} from '../../src/index.ts';
import { spec, web } from './files.ts';

const none: ReadonlySet<TargetId> = new Set();
const targetOf = (s: BalancerSpec, address: string): TargetId => probeTargets(s).find((t) => t.address === address)!.id;
const frontends = (s: BalancerSpec, down = none) => {
  const table = compileBalancer(s, down);
  return [...table.services.values()]
    .flatMap((c) => c.frontends)
    .map((f) => ({
      at: `${f.ip} ${f.port}/${f.protocol}`,
      backends: table.sets.get(f.setOut)?.backends.map((b) => `${b.ip}:${b.port}`),
      draining: table.sets.get(f.setOut)?.draining.map((b) => `${b.ip}:${b.port}`),
      maglev: f.maglevSize,
      flags: f.flags,
    }));
};

const { loadBalancer, external, reject, blackhole, dsr, affinity, sourceRanges } = frontendFlags;

describe('frontends', () => {
  test('every VIP has those backends of its family; what no port matches is dropped', () => {
    const four = ['10.0.0.1:8080', '10.0.0.2:8080', '10.0.0.3:8081'];
    const flags = loadBalancer | external | reject;
    const rest = { backends: undefined, draining: undefined, maglev: 0, flags: loadBalancer | external | blackhole };
    expect(frontends(spec(web())).sort((a, b) => (a.at < b.at ? -1 : 1))).toEqual([
      { at: '192.0.2.10 0/ANY', ...rest },
      { at: '192.0.2.10 53/UDP', backends: four, draining: [], maglev: 16381, flags },
      { at: '192.0.2.10 80/TCP', backends: four, draining: [], maglev: 16381, flags },
      { at: '2001:db8::10 0/ANY', ...rest },
      { at: '2001:db8::10 80/TCP', backends: ['fd00::1:8080'], draining: [], maglev: 0, flags },
    ]);
  });

  test('what no port of an address of the machine matches is the machine’s', () => {
    const table = compileBalancer(spec(web()), none, ['192.0.2.10' as IpAddr]);
    const rest = [...table.services.values()].flatMap((s) => s.frontends).filter((f) => f.port === 0);
    expect(rest.map((f) => f.ip)).toEqual(['2001:db8::10']);
  });

  test('mode, affinity, ranges and algorithm are flags and fields', () => {
    const same = { vips: [{ address: '192.0.2.10', port: 80 }], backends: [{ address: '10.0.0.1' }, { address: '10.0.0.2' }] };
    const s = spec({ name: 'web', ...same, mode: 'dsr', algorithm: 'random', sessionAffinity: '10m', sourceRanges: ['198.51.100.0/24'] });
    const table = compileBalancer(s, none);
    const service = [...table.services.values()][0]!;
    const f = service.frontends.find((x) => x.port === 80)!;
    expect(f).toMatchObject({ maglevSize: 0, affinitySeconds: 600 });
    expect(f.flags).toBe(loadBalancer | external | reject | dsr | affinity | sourceRanges);
    expect(service.sources).toEqual([{ serviceId: f.serviceId, cidr: '198.51.100.0/24' }]);
  });

  test('services with equal backends share one set and one table', () => {
    const backends = [
      { address: '10.0.0.1', port: 8080 },
      { address: '10.0.0.2', port: 8080 },
    ];
    const s = spec(
      {
        name: 'a',
        vips: [
          { address: '192.0.2.1', port: 80 },
          { address: '192.0.2.1', port: 443 },
        ],
        backends,
      },
      { name: 'b', vips: [{ address: '192.0.2.2', port: 80 }], backends },
    );
    const table = compileBalancer(s, none);
    expect(table.sets.size).toBe(1);
    expect(table.tables.size).toBe(1);
  });
});

describe('states', () => {
  const pair = (first: object, more: object = {}) =>
    spec({
      name: 'web',
      vips: [{ address: '192.0.2.10', port: 80 }],
      backends: [{ address: '10.0.0.1', ...first }, { address: '10.0.0.2' }],
      health: {},
      ...more,
    });

  test('maintenance and weight 0: no new flows, those there are keep their slot', () => {
    for (const first of [{ state: 'maintenance' }, { weight: 0 }])
      expect(frontends(pair(first))[0]).toMatchObject({ backends: ['10.0.0.2:80'], draining: ['10.0.0.1:80'] });
  });

  test('a backend whose checks fail is out of the set', () => {
    const s = pair({});
    expect(frontends(s, new Set([targetOf(s, '10.0.0.1')]))[0]).toMatchObject({ backends: ['10.0.0.2:80'], draining: [] });
    expect(judgeBackends(s.services[0]!, new Set([targetOf(s, '10.0.0.1')])).map((b) => b.now)).toEqual(['quarantined', 'active']);
  });

  test('checks of all fail: all are kept in', () => {
    const s = pair({});
    const down = new Set(probeTargets(s).map((t) => t.id));
    expect(frontends(s, down)[0]).toMatchObject({ backends: ['10.0.0.1:80', '10.0.0.2:80'] });
    expect(judgeBackends(s.services[0]!, down).map((b) => [b.now, b.failing])).toEqual([
      ['active', true],
      ['active', true],
    ]);
  });

  test('checks of all that are not in maintenance fail: those are kept in', () => {
    const s = pair({ state: 'maintenance' });
    const down = new Set([targetOf(s, '10.0.0.2')]);
    expect(frontends(s, down)[0]).toMatchObject({ backends: ['10.0.0.2:80'], draining: ['10.0.0.1:80'] });
  });

  test('a service without checks believes its file', () => {
    const s = pair({}, { health: undefined });
    expect(probeTargets(s)).toEqual([]);
    expect(frontends(s)[0]).toMatchObject({ backends: ['10.0.0.1:80', '10.0.0.2:80'] });
  });

  test('a question is asked once for all who have it', () => {
    const more = { vips: [{ address: '192.0.2.11', port: 80 }], backends: [{ address: '10.0.0.1', port: 80 }], health: {} };
    const s = { ...pair({}), services: [...pair({}).services, ...spec({ name: 'other', ...more }).services] };
    expect(probeTargets(s).map((t) => t.address)).toEqual(['10.0.0.1', '10.0.0.2']);
  });
});

describe('explain', () => {
  const s = spec({
    name: 'web',
    vips: [{ address: '192.0.2.10', port: 80 }],
    backends: [{ address: '10.0.0.1' }, { address: '10.0.0.2' }, { address: '10.0.0.3' }],
    sourceRanges: ['198.51.100.0/24'],
    health: {},
  });
  const tuple = (more: Partial<Tuple> = {}): Tuple => ({
    ...{ client: '198.51.100.7' as IpAddr, clientPort: 4711, address: '192.0.2.10' as IpAddr, port: 80, protocol: 'TCP' },
    ...more,
  });
  const ask = (t: Tuple, down = none) => explainBalancer(s, down, t, createMaglevTables());

  test('names the backend that the table has for the hash', () => {
    const table = compileBalancer(s, none);
    const set = [...table.tables.values()][0]!;
    const tables = createMaglevTables();
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 254 }), fc.integer({ min: 1, max: 65535 }), (last, clientPort) => {
        const t = tuple({ client: `198.51.100.${last}` as IpAddr, clientPort });
        const slot = tables.get(set.backends, 16381)[lookupHash(t) % 16381]!;
        expect(explainBalancer(s, none, t, tables)).toMatchObject({ verdict: 'backend', backends: [set.backends[slot]] });
      }),
      { numRuns: 50 },
    );
  });
  test('never names one whose checks fail', () => {
    const down = new Set([targetOf(s, '10.0.0.2')]);
    for (let p = 1; p < 200; p++) expect(ask(tuple({ clientPort: p }), down).backends[0]?.ip).not.toBe('10.0.0.2');
    expect(ask(tuple(), down).steps.join('\n')).toContain('checks fail: 10.0.0.2');
  });
  test('knows who may not, what nobody has, and what is not its business', () => {
    expect(ask(tuple({ client: '203.0.113.1' as IpAddr }))).toMatchObject({ verdict: 'dropped', service: 'web' });
    expect(ask(tuple({ port: 81 }))).toMatchObject({ verdict: 'dropped', service: undefined });
    expect(ask(tuple({ address: '192.0.2.99' as IpAddr }))).toMatchObject({ verdict: 'not-balanced' });
  });
});
