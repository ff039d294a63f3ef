// Fleets of load balancers from objects to what each node is given: rows on the nodes that are selected, questions to those who can ask.
import { type Row, type TableName, unpackRows } from '@axoneme/datapath';
import { ipFromBytes } from '@axoneme/model';
import { Probes } from '@axoneme/proto';
import { frontendFlags } from '@axoneme/service';
import { createRandom, runSeed } from '@axoneme/testkit';
import { describe, expect, test } from '@jest/globals';
import { downOfStatus, servicesStatus } from '../src/compile/fleet-status.ts';
import { PROBES } from '../src/compile/fleets.ts';
import { addNode, createLab, type Lab, labConfig } from './lab.ts';

const balancer = { role: 'lb' };
const old = '2026-01-01T00:00:00Z';
const young = '2026-02-01T00:00:00Z';

export const web = (more: object = {}): object => ({
  name: 'web',
  vips: [{ address: '192.0.2.10', port: 80 }],
  backends: [{ address: '10.9.0.1' }, { address: '10.9.0.2' }],
  health: { type: 'tcp' },
  ...more,
});

let generation = 0;
export function putFleet(
  lab: Pick<Lab, 'world'>,
  services: unknown,
  more: { name?: string; created?: string; selector?: object; status?: object } = {},
): void {
  const { name = 'edge', created = old, selector = { matchLabels: balancer }, status } = more;
  generation += 1;
  const metadata = { name, uid: `uid-${name}`, generation, creationTimestamp: created };
  lab.world.set('fleets', name, { metadata, spec: { nodeSelector: selector, services }, ...(status === undefined ? {} : { status }) });
}

function putService(lab: Lab, ip: string, created: string, port = 80): void {
  lab.world.set('services', 'shop/web', {
    metadata: { namespace: 'shop', name: 'web', creationTimestamp: created },
    spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'], ports: [{ port }] },
    status: { loadBalancer: { ingress: [{ ip }] } },
  });
}

function rowsOn<N extends TableName>(lab: Lab, node: string, table: N): Row<N>[] {
  return [...lab.given.get(node)!].flatMap(([name, digest]) => {
    const body = lab.compiler.body(name, digest as never);
    if (body === undefined) throw new TypeError(`${node} was given ${name}, which nobody has`);
    return body.table === table ? [...unpackRows(table, body.keys, body.values)] : [];
  });
}

/** `address:port backends` for clients of the outside, without what no port matches. */
function frontends(lab: Lab, node: string): string[] {
  const slots = rowsOn(lab, node, 'lb_slot');
  return rowsOn(lab, node, 'lb_frontend')
    .filter(([k]) => k.port !== 0)
    .map(([k, v]) => {
      const backends = Array.from({ length: v.countOut }, (_, i) => slots.find(([s]) => s.set === v.setOut && s.index === i)![1]);
      return `${ipFromBytes(k.family as 4, k.addr)}:${k.port} ${backends.map((b) => ipFromBytes(b.family as 4, b.addr)).join(',') || '-'}`;
    })
    .sort();
}

const probesOf = (lab: Lab, node: string): string[] => {
  const digest = lab.given.get(node)!.get(PROBES);
  if (digest === undefined) return [];
  return Probes.decode(lab.compiler.body(PROBES, digest as never)!.blob).probes.map((p) => p.address);
};

function createCluster(nodes = 2, config: object = {}): Lab {
  const lab = createLab(labConfig(config));
  for (let i = 1; i <= nodes; i++) addNode(lab.world, `lb-${i}`, i, balancer);
  addNode(lab.world, 'worker', 9);
  return lab;
}
const both = '10.9.0.1,10.9.0.2';
const remarks = (lab: Lab): string[] => [...lab.compile().serviceRemarks].flatMap(([key, list]) => list.map((r) => `${key}: ${r}`));

describe('rows', () => {
  test('a fleet is on the nodes it selects, follows edits and labels, and leaves nothing', () => {
    const lab = createCluster();
    lab.compile();
    const before = new Map([...lab.given].map(([node, names]) => [node, [...names.keys()].sort()]));
    putFleet(lab, [web()]);
    lab.compile();
    for (const n of ['lb-1', 'lb-2']) expect(frontends(lab, n)).toEqual([`192.0.2.10:80 ${both}`]);
    for (const table of ['lb_frontend', 'lb_slot', 'lb_maglev', 'lb_source'] as const) expect(rowsOn(lab, 'worker', table)).toEqual([]);

    const backends = [{ address: '10.9.0.3' }];
    putFleet(lab, [
      web({ vips: [{ address: '192.0.2.11', port: 443 }], backends: [{ address: '10.9.0.1', port: 8443 }] }),
      web({ name: 'b', backends }),
    ]);
    lab.compile();
    expect(frontends(lab, 'lb-1')).toEqual(['192.0.2.10:80 10.9.0.3', '192.0.2.11:443 10.9.0.1']);
    addNode(lab.world, 'worker', 9, balancer);
    addNode(lab.world, 'lb-1', 1);
    lab.compile();
    expect([frontends(lab, 'worker').length, frontends(lab, 'lb-1').length]).toEqual([2, 0]);
    putFleet(lab, [web()], { selector: {} });
    lab.compile();
    for (const n of lab.given.keys()) expect(frontends(lab, n)).toEqual([`192.0.2.10:80 ${both}`]);

    lab.world.remove('fleets', 'edge');
    lab.compile();
    for (const [node, names] of lab.given) expect([...names.keys()].sort()).toEqual(before.get(node));
  });

  test('the same rows for all nodes under the same names; flags of direct server return', () => {
    const lab = createCluster(3, { maglevTableSize: 251 });
    putFleet(lab, [web({ mode: 'dsr' }), web({ name: 'plain', vips: [{ address: '192.0.2.11', port: 80, protocol: 'UDP' }] })]);
    lab.compile();
    const digest = (node: string) => lab.given.get(node)!.get('service/axoneme:lbf/edge.web-80-tcp');
    expect(digest('lb-1')).toBeDefined();
    expect([digest('lb-2'), digest('lb-3'), digest('worker')]).toEqual([digest('lb-1'), digest('lb-1'), undefined]);
    const flags = rowsOn(lab, 'lb-1', 'lb_frontend').flatMap(([k, v]) => (k.port === 0 ? [] : [v.flags]));
    const base = frontendFlags.loadBalancer | frontendFlags.external | frontendFlags.reject;
    expect(flags.sort((a, b) => a - b)).toEqual([base, base | frontendFlags.dsr | frontendFlags.ipip]);
    expect(rowsOn(lab, 'lb-1', 'lb_maglev').length).toBeGreaterThan(0);
  });

  test('an envelope that does not fit between nodes: SNAT, and a remark', () => {
    const lab = createCluster(1);
    // room for the option of pods (24), not for the envelope (40)
    lab.compiler.pathMtus.hear('lb-1', 1310, 0);
    putFleet(lab, [web({ mode: 'dsr', vips: [{ address: '2001:db8::10', port: 80 }], backends: [{ address: 'fd99::1' }] })]);
    const said = remarks(lab);
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^axoneme:lbf\/edge\.web-80-tcp: SNAT instead of DSR: .* the 40 that DSR adds/);
  });

  test('an object that cannot be read any more changes nothing; one that never could has no effect', () => {
    const lab = createCluster();
    putFleet(lab, [web({ vips: [] })]);
    expect(lab.compile().fleets.get('edge')?.problems).toContain('spec.services[0].vips: is empty (write one entry at least)');
    expect(frontends(lab, 'lb-1')).toEqual([]);
    putFleet(lab, [web()]);
    expect(lab.compile().fleets.get('edge')?.problems).toEqual([]);
    putFleet(lab, [web({ algorithm: 'best' })]);
    expect(lab.compile().fleets.get('edge')?.problems).toEqual([
      'spec.services[0].algorithm: "best" is not known (write maglev or random)',
    ]);
    expect(frontends(lab, 'lb-1')).toEqual([`192.0.2.10:80 ${both}`]);
  });
});

describe('addresses', () => {
  test('the older of a Service and a fleet keeps it, the other is told who has it, and gets it when it is free', () => {
    const lab = createCluster();
    putService(lab, '192.0.2.10', old);
    putFleet(lab, [web()], { created: young });
    expect(remarks(lab)).toEqual(['axoneme:lbf/edge.web-80-tcp: load balancer address 192.0.2.10 80/TCP belongs to Service shop/web']);
    expect(frontends(lab, 'lb-1')).toEqual(['10.96.0.1:80 -', '192.0.2.10:80 -']);
    lab.world.remove('services', 'shop/web');
    expect(remarks(lab)).toEqual([]);
    expect(frontends(lab, 'lb-1')).toEqual([`192.0.2.10:80 ${both}`]);
    putService(lab, '192.0.2.10', '2026-03-01T00:00:00Z');
    expect(remarks(lab)).toEqual(['shop/web: load balancer address 192.0.2.10 80/TCP belongs to fleet edge']);
    expect(frontends(lab, 'lb-1')).toEqual(['10.96.0.1:80 -', `192.0.2.10:80 ${both}`]);
    lab.world.remove('fleets', 'edge');
    expect(remarks(lab)).toEqual([]);
    expect(frontends(lab, 'worker')).toEqual(['10.96.0.1:80 -', '192.0.2.10:80 -']);
  });

  test('of two fleets the older; another port is nobody else’s', () => {
    const lab = createCluster();
    putFleet(lab, [web()], { created: young });
    putFleet(lab, [web({ backends: [{ address: '10.9.0.7' }] }), web({ name: 'tls', vips: [{ address: '192.0.2.10', port: 443 }] })], {
      name: 'first',
    });
    expect(remarks(lab)).toEqual(['axoneme:lbf/edge.web-80-tcp: load balancer address 192.0.2.10 80/TCP belongs to fleet first']);
    expect(frontends(lab, 'lb-1')).toEqual([`192.0.2.10:443 ${both}`, '192.0.2.10:80 10.9.0.7']);
  });

  test('addresses of nodes and of pods are nobody’s VIP', () => {
    const lab = createCluster();
    putFleet(lab, [
      web({
        vips: [
          { address: '172.30.0.9', port: 80 },
          { address: '10.244.1.5', port: 80 },
        ],
      }),
    ]);
    expect(remarks(lab)).toEqual([
      "axoneme:lbf/edge.web-80-tcp: load balancer address refused: 10.244.1.5 is inside of the cluster's own prefixes",
      'axoneme:lbf/edge.web-80-tcp: load balancer address refused: 172.30.0.9 is an address of a node',
    ]);
    expect(frontends(lab, 'lb-1')).toEqual([]);
    lab.world.remove('nodes', 'worker');
    lab.world.remove('ciliumNodes', 'worker');
    lab.compile();
    expect(frontends(lab, 'lb-1')).toEqual([`172.30.0.9:80 ${both}`]);
  });
});

describe('backends that fail', () => {
  const fails = (lab: Lab, ...addresses: string[]): void => {
    const { targets } = lab.compile().fleets.get('edge')!;
    const ids = [...targets.values()].filter((t) => addresses.includes(t.address)).map((t) => t.id);
    lab.world.set('downTargets', 'edge', new Map(ids.map((id) => [id, 'refused'])));
    lab.compile();
  };

  test('leave the set, and come back; if all fail all stay', () => {
    const lab = createCluster();
    putFleet(lab, [web(), web({ name: 'other', vips: [{ address: '192.0.2.11', port: 80 }], backends: [{ address: '10.9.0.8' }] })]);
    fails(lab, '10.9.0.1');
    expect(frontends(lab, 'lb-1')).toEqual(['192.0.2.10:80 10.9.0.2', '192.0.2.11:80 10.9.0.8']);
    fails(lab, '10.9.0.1', '10.9.0.2');
    expect(frontends(lab, 'lb-1')[0]).toBe(`192.0.2.10:80 ${both}`);
    fails(lab, '10.9.0.2');
    expect(frontends(lab, 'lb-1')[0]).toBe('192.0.2.10:80 10.9.0.1');
    fails(lab);
    expect(frontends(lab, 'lb-1')[0]).toBe(`192.0.2.10:80 ${both}`);
  });

  test('who does not judge believes the status, from the first compile on', () => {
    const lab = createCluster();
    const backends = [
      { address: '10.9.0.1', port: 80, state: 'quarantined', reason: 'refused' },
      { address: '10.9.0.2', port: 80, state: 'active' },
    ];
    putFleet(lab, [web()], { status: { services: [{ name: 'web', backends }] } });
    expect([...lab.compile().fleets.get('edge')!.down.values()]).toEqual(['refused']);
    expect(frontends(lab, 'lb-1')).toEqual(['192.0.2.10:80 10.9.0.2']);
    for (const status of [{ services: 7 }, { services: [null, { name: 'web', backends: [null, { failing: true }] }] }, null]) {
      putFleet(lab, [web()], { status: status as never });
      lab.compile();
      expect(frontends(lab, 'lb-1')).toEqual([`192.0.2.10:80 ${both}`]);
    }
  });
});

test('the status of a very large fleet has what there is to say, and enough for the next leader', () => {
  const lab = createCluster();
  const services = Array.from({ length: 300 }, (_, i) => ({
    ...{ name: `s${i}`, vips: [{ address: '192.0.2.10', port: 1000 + i }], health: {} },
    backends: Array.from({ length: 10 }, (_b, j) => ({
      address: `10.8.${i % 250}.${j + 1}`,
      port: 1000 + i,
      ...(i === 7 && j === 0 ? { state: 'maintenance' } : {}),
    })),
  }));
  putFleet(lab, services);
  const { fleet, targets } = lab.compile().fleets.get('edge')!;
  const down = new Map([...targets.keys()].slice(0, 3).map((id) => [id, 'refused']));
  const said = servicesStatus(fleet!, down, (s) => (s.name === 's9' ? ['belongs to another'] : []));
  expect(said.flatMap((s) => s.backends).filter((b) => b.failing)).toHaveLength(3);
  expect(said.map((s) => s.name)).toEqual(expect.arrayContaining(['s7', 's9']));
  expect(said.length).toBeLessThan(6);
  expect(new Map(downOfStatus({ services: said }, fleet!))).toEqual(down);
  const everything = new Map([...targets.keys()].map((id) => [id, 'x'.repeat(500)]));
  expect(JSON.stringify(servicesStatus(fleet!, everything, () => [])).length).toBeLessThan(1_000_000);
});

describe('questions', () => {
  const many = Array.from({ length: 40 }, (_, i) => ({ address: `10.9.1.${i + 1}` }));
  const connect = (lab: Lab, ...nodes: string[]): void => {
    for (const n of nodes) lab.world.set('probers', n, true);
  };
  const shares = (lab: Lab, nodes: readonly string[]): Map<string, Set<string>> => {
    lab.compile();
    return new Map(nodes.map((n) => [n, new Set(probesOf(lab, n))]));
  };
  const five = ['lb-1', 'lb-2', 'lb-3', 'lb-4', 'lb-5'];

  test('three nodes ask each backend; when one leaves, only its own move', () => {
    const lab = createCluster(5);
    putFleet(lab, [web({ backends: many })]);
    connect(lab, ...five, 'worker');
    const before = shares(lab, five);
    const asked = (all: Map<string, Set<string>>) => many.map((b) => [...all.values()].filter((s) => s.has(b.address)).length);
    expect(new Set(asked(before))).toEqual(new Set([3]));
    expect(probesOf(lab, 'worker')).toEqual([]);
    lab.world.remove('probers', 'lb-5');
    const after = shares(lab, five);
    expect(new Set(asked(after))).toEqual(new Set([3]));
    expect(after.get('lb-5')!.size).toBe(0);
    const gained = five.slice(0, 4).map((n) => {
      for (const b of before.get(n)!) expect(after.get(n)!.has(b)).toBe(true);
      return after.get(n)!.size - before.get(n)!.size;
    });
    expect(gained.reduce((a, b) => a + b)).toBe(before.get('lb-5')!.size);
  });

  test('while less than half are connected everybody keeps the share he will have', () => {
    const lab = createCluster(5);
    putFleet(lab, [web({ backends: many })]);
    connect(lab, ...five);
    const before = shares(lab, five);
    for (const n of five.slice(2)) lab.world.remove('probers', n);
    const after = shares(lab, five);
    for (const n of five.slice(0, 2)) expect(after.get(n)).toEqual(before.get(n));
    for (const n of five.slice(2)) expect(after.get(n)!.size).toBe(0);
  });

  test('two fleets that ask the same ask once; nothing is asked of a fleet that is gone', () => {
    const lab = createCluster(1);
    connect(lab, 'lb-1');
    putFleet(lab, [web()]);
    putFleet(lab, [web({ vips: [{ address: '192.0.2.11', port: 80 }] })], { name: 'other' });
    lab.compile();
    expect(probesOf(lab, 'lb-1')).toEqual(['10.9.0.1', '10.9.0.2']);
    lab.world.remove('fleets', 'edge');
    lab.world.remove('fleets', 'other');
    lab.compile();
    expect(lab.given.get('lb-1')!.has(PROBES)).toBe(false);
  });

  test('a question says everything there is to ask', () => {
    const lab = createCluster(1);
    connect(lab, 'lb-1');
    const health = { type: 'http', port: 8080, path: '/up', host: 'shop.example', codes: [200, '300-399'], interval: '2s', rise: 3 };
    putFleet(lab, [web({ backends: [{ address: '10.9.0.1' }], health })]);
    lab.compile();
    const [probe, ...more] = Probes.decode(lab.compiler.body(PROBES, lab.given.get('lb-1')!.get(PROBES) as never)!.blob).probes;
    expect(more).toEqual([]);
    expect(probe).toEqual({
      ...{
        id: expect.stringContaining('http 10.9.0.1:8080 '),
        address: '10.9.0.1',
        port: 8080,
        type: 'http',
        path: '/up',
        host: 'shop.example',
      },
      ...{ codes: [200, 200, 300, 399], intervalMs: 2000, timeoutMs: 500, rise: 3, fall: 2 },
    });
  });
});

test('any history of fleets and Services: each node has the sets, tables and ranges its own rows need, and in the end nothing', () => {
  const seed = runSeed();
  const random = createRandom(seed);
  const lab = createCluster(2, { maglevTableSize: 251, loadBalancerAlgorithm: 'maglev' });
  const setsOf = (node: string): Set<bigint> =>
    new Set(rowsOn(lab, node, 'lb_frontend').flatMap(([, v]) => [v.setIn, v.setOut].filter((set) => set !== 0n)));
  const some = (): { address: string }[] =>
    ['10.9.0.1', '10.9.0.2', '10.9.0.3'].slice(random.int(0, 1), random.int(2, 3)).map((address) => ({ address }));
  const step = (): void => {
    const name = random.pick(['edge', 'other']);
    const what = random.int(0, 5);
    if (what === 0) lab.world.remove('fleets', name);
    else if (what === 1) addNode(lab.world, 'worker', 9, random.bool() ? balancer : {});
    else if (what === 2) lab.world.remove('slices', 'shop/web-1');
    else if (what === 3) {
      putService(lab, random.pick(['192.0.2.10', '192.0.2.20']), old);
      lab.world.set('slices', 'shop/web-1', {
        metadata: { namespace: 'shop', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
        ...{ addressType: 'IPv4', ports: [{ name: '', protocol: 'TCP', port: 80 }] },
        endpoints: some().map(({ address }) => ({ addresses: [address] })),
      });
    } else {
      const more = { backends: some(), ...(random.bool() ? { sourceRanges: ['198.51.100.0/24'] } : {}) };
      putFleet(lab, [web(more), web({ ...more, name: 'b', vips: [{ address: '192.0.2.11', port: 80 }] })], { name });
    }
  };
  for (let i = 0; i < 120; i++) {
    step();
    lab.compile();
    const everywhere = new Set(rowsOn(lab, 'worker', 'lb_slot').map(([k]) => k.set));
    for (const node of lab.given.keys()) {
      const needed = setsOf(node);
      const slots = new Set(rowsOn(lab, node, 'lb_slot').map(([k]) => k.set));
      for (const set of needed) expect([seed, i, node, slots.has(set)]).toEqual([seed, i, node, true]);
      for (const set of slots) expect([seed, i, node, needed.has(set) || everywhere.has(set)]).toEqual([seed, i, node, true]);
      const tables = new Set(rowsOn(lab, node, 'lb_maglev').map(([k]) => k.set));
      const ranged = new Set(rowsOn(lab, node, 'lb_source').map(([k]) => k.serviceId));
      for (const [, v] of rowsOn(lab, node, 'lb_frontend')) {
        if (v.maglevSize > 0) expect([seed, i, node, tables.has(v.setOut)]).toEqual([seed, i, node, true]);
        expect([seed, i, node, (v.flags & frontendFlags.sourceRanges) === 0 || ranged.has(v.serviceId)]).toEqual([seed, i, node, true]);
      }
    }
  }
  for (const f of ['edge', 'other']) lab.world.remove('fleets', f);
  lab.world.remove('services', 'shop/web');
  lab.world.remove('slices', 'shop/web-1');
  lab.compile();
  for (const node of lab.given.keys())
    for (const table of ['lb_frontend', 'lb_slot', 'lb_maglev', 'lb_source'] as const)
      expect([node, rowsOn(lab, node, table)]).toEqual([node, []]);
});
