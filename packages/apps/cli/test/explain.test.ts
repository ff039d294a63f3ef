// What `service explain` makes of a node's rows, case by case.
import { AffinityScope, LbFlag, NatVia, NodeFlag } from '@axoneme/datapath';
import { type IpAddr, ipBytes } from '@axoneme/model';
import { lookupHash, maglevTable } from '@axoneme/service';
import { describe, expect, test } from '@jest/globals';
import { readExplainQuery } from '../src/commands/service.ts';
import { type Explanation, explain } from '../src/service/explain.ts';
import { createNode, external, here, outside, putFrontend, type Rows, there } from './service-world.ts';

const vip = '192.0.2.10';
const all = [here.pod, there.pod, there.node];
const ask = (rows: Rows, client: string, to: string, protocol = 'tcp'): Promise<Explanation> =>
  explain(rows, readExplainQuery({ client, to, protocol }));
const step = (e: Explanation, what: string): string => e.steps.find(([w]) => w === what)?.[1] ?? '';
const modes = (e: Explanation): string[] => e.ways.map((w) => `${w.backend} ${w.mode}`);

describe('clients outside', () => {
  test('by lot: every backend with what would become of the packet', async () => {
    const rows = createNode();
    putFrontend(rows, { at: '0.0.0.0', port: 30080, backends: all, flags: external | LbFlag.nodePort });
    const e = await ask(rows, `${outside}:40000`, `${here.node}:30080`);
    expect(e).toMatchObject({ outcome: 'by lot', scope: 'out', at: 'packet', serviceId: 7, frontend: '0.0.0.0:30080/TCP' });
    expect(modes(e)).toEqual([`${here.pod}:8080 local`, `${there.pod}:8080 snat`, `${there.node}:8080 snat`]);
    expect(e.ways.map((w) => w.text)).toEqual([
      'a pod of this node, which sees the client',
      `SNAT to ${here.router} through the tunnel to ${there.node}: the backend sees this node`,
      `SNAT to ${here.node} by the route of this node: the backend sees this node`,
    ]);
    expect(step(e, 'choice')).toBe('by lot of 3');
  });

  test("NodePorts of another node are not this node's business; ClusterIPs are not for them", async () => {
    const rows = createNode();
    putFrontend(rows, { at: '0.0.0.0', port: 30080, backends: all, flags: external | LbFlag.nodePort });
    putFrontend(rows, { at: '10.96.0.1', port: 80, backends: all, flags: LbFlag.reject });
    expect((await ask(rows, outside, `${there.node}:30080`)).outcome).toBe('no service');
    const e = await ask(rows, outside, '10.96.0.1:80');
    expect([e.outcome, step(e, 'scope')]).toEqual(['no service', expect.stringContaining('not for clients outside')]);
    expect((await ask(rows, outside, '203.0.113.1:80')).outcome).toBe('no service');
  });

  test('Maglev: the entry of address and port, and with affinity of the address alone', async () => {
    const rows = createNode();
    putFrontend(rows, { at: vip, port: 80, backends: all, flags: external | LbFlag.loadBalancer, maglev: 1021 });
    const table = maglevTable(
      all.map((ip) => ({ ip: ip as IpAddr, port: 8080, weight: 100 })),
      1021,
    );
    for (const clientPort of [1024, 40_000, 65_535]) {
      const entry = lookupHash({ client: outside as IpAddr, clientPort, protocol: 'TCP' }) % 1021;
      const e = await ask(rows, `${outside}:${clientPort}`, `${vip}:80`);
      expect(step(e, 'choice')).toBe(`Maglev entry ${entry} of 1021: slot ${table[entry]}, ${all[table[entry]!]}:8080`);
      expect([e.outcome, e.ways[0]!.backend]).toEqual(['backend', `${all[table[entry]!]}:8080`]);
    }
    expect((await ask(rows, outside, `${vip}:80`)).outcome).toBe('depends on the port');
    putFrontend(rows, { at: vip, port: 81, backends: all, flags: external | LbFlag.affinity, maglev: 251, affinityS: 60 });
    const entry = lookupHash({ client: outside as IpAddr, clientPort: 0, protocol: 'TCP' }) % 251;
    const e = await ask(rows, outside, `${vip}:81`);
    expect(step(e, 'choice')).toContain(`Maglev entry ${entry} of 251`);
    expect(step(e, 'affinity')).toBe('none kept of this client');
  });

  test('affinity: what the client had a while ago, if it is still there', async () => {
    const rows = createNode();
    const set = putFrontend(rows, { at: vip, port: 80, backends: all, flags: external | LbFlag.affinity, affinityS: 60 });
    const key = { serviceId: 7, family: 4, proto: 6, scope: AffinityScope.address, client: ipBytes(outside as IpAddr) };
    const had = (ip: string, backendId: number, ageS: bigint): void =>
      rows.put('lb_affinity', key, {
        set,
        lastNs: rows.nowNs() - ageS * 1_000_000_000n,
        addr: ipBytes(ip as IpAddr),
        port: 8080,
        family: 4,
        backendId,
      });
    had(there.pod, 101, 12n);
    const e = await ask(rows, outside, `${vip}:80`);
    expect([e.outcome, modes(e), step(e, 'affinity')]).toEqual([
      'backend',
      [`${there.pod}:8080 snat`],
      `${there.pod}:8080, 12 s ago of 60`,
    ]);
    had(there.pod, 101, 61n);
    expect(step(await ask(rows, outside, `${vip}:80`), 'affinity')).toBe('kept until 1 s ago');
    had(there.pod2, 55, 1n);
    const gone = await ask(rows, outside, `${vip}:80`);
    expect([gone.outcome, step(gone, 'affinity')]).toEqual(['by lot', expect.stringContaining('not in the set any more')]);
  });

  test.each([
    ['allowed', 0, '198.51.100.0', 'by lot', 0],
    ['not among those that may', 0, '203.0.113.0', 'dropped', 177],
    ['among those that may not', LbFlag.sourceRangesDeny, '198.51.100.0', 'dropped', 177],
    ['not among those that may not', LbFlag.sourceRangesDeny, '203.0.113.0', 'by lot', 0],
  ])('source ranges: %s', async (_name, deny, range, outcome, dropReason) => {
    const rows = createNode();
    putFrontend(rows, { at: vip, port: 80, backends: all, flags: external | LbFlag.sourceRanges | deny });
    rows.put('lb_source', { prefixlen: 64 + 24, serviceId: 7, family: 4, addr: ipBytes(range as IpAddr) }, { allowed: 1 });
    expect(await ask(rows, outside, `${vip}:80`)).toMatchObject({ outcome, dropReason });
    // clients of the cluster are not asked
    expect((await ask(rows, here.pod, `${vip}:80`)).outcome).toBe('by lot');
  });

  test('DSR, by option and in IP, and where it cannot be', async () => {
    const server = '198.51.100.80';
    const dsr = external | LbFlag.loadBalancer | LbFlag.dsr;
    const balancer = NodeFlag.balancer | NodeFlag.dsrIpip;
    for (const [nodeFlags, flags, ...expected] of [
      [NodeFlag.tunnel, dsr, 'dsr', 'snat', 'snat'],
      [NodeFlag.tunnel, dsr | LbFlag.ipip, 'snat', 'snat', 'ipip'],
      [0, dsr | LbFlag.ipip, 'snat', 'snat', 'ipip'],
      [balancer, dsr, 'ipip', 'ipip', 'ipip'],
      [balancer, external, 'snat', 'snat', 'snat'],
    ] as const) {
      const rows = createNode(nodeFlags);
      putFrontend(rows, { at: vip, port: 80, backends: [...all, server], flags });
      const [first, ...others] = modes(await ask(rows, outside, `${vip}:80`));
      expect(first).toBe(`${here.pod}:8080 local`);
      expect(others).toEqual([there.pod, there.node, server].map((a, i) => `${a}:8080 ${expected[i]}`));
    }
  });

  test('externalTrafficPolicy Local, no backends, other ports of an address', async () => {
    const rows = createNode();
    putFrontend(rows, { at: vip, port: 80, backends: [], inside: all, flags: external | LbFlag.outLocal });
    putFrontend(rows, { at: vip, port: 81, backends: [], flags: external });
    putFrontend(rows, { at: vip, port: 82, backends: [], flags: LbFlag.external });
    putFrontend(rows, { at: vip, port: 0, backends: [], flags: LbFlag.external | LbFlag.blackhole | LbFlag.loadBalancer, serviceId: 0 });
    const outcome = async (port: number, client: string = outside) => {
      const e = await ask(rows, client, `${vip}:${port}`);
      return [e.outcome, e.dropReason];
    };
    expect(await outcome(80)).toEqual(['dropped', 158]);
    expect(await outcome(80, here.pod)).toEqual(['by lot', 0]);
    expect(await outcome(81)).toEqual(['refused', 158]);
    expect(await outcome(82)).toEqual(['dropped', 158]);
    expect(await outcome(83)).toEqual(['dropped', 158]);
  });

  test('a connection that exists is told', async () => {
    const rows = createNode();
    putFrontend(rows, { at: vip, port: 80, backends: all, flags: external });
    rows.put('generation', 0, 5 as never);
    rows.put('generation', 1, 6 as never);
    const nat = (revision: number, ticks: bigint): void =>
      rows.put(
        'nat4',
        { saddr: 0xc6336407, daddr: 0xc000020a, sport: 40_000, dport: 80, proto: 6, kind: 0 },
        {
          revision,
          expires: Number((rows.nowNs() >> 26n) + ticks),
          daddr: ipBytes(there.pod2 as IpAddr),
          dport: 8080,
          action: NatVia.tunnel,
        },
      );
    nat(11, 150n);
    expect(step(await ask(rows, `${outside}:40000`, `${vip}:80`), 'connection')).toBe(
      `exists, to ${there.pod2}:8080 (tunnel), 10 s more without a packet; what follows is for a new one`,
    );
    nat(10, 150n);
    expect(step(await ask(rows, `${outside}:40000`, `${vip}:80`), 'connection')).toContain('asked again with the next packet');
    nat(11, -1n);
    expect(step(await ask(rows, `${outside}:40000`, `${vip}:80`), 'connection')).toBe('');
  });
});

describe('clients of the cluster', () => {
  test('at the socket: the backends for inside, by lot whatever the table', async () => {
    const rows = createNode();
    putFrontend(rows, { at: vip, port: 80, backends: [there.pod], inside: all, flags: external, maglev: 251 });
    for (const client of [here.pod, here.node]) {
      const e = await ask(rows, client, `${vip}:80`);
      expect(e).toMatchObject({ outcome: 'by lot', scope: 'in', at: 'socket' });
      expect(e.ways).toHaveLength(3);
    }
    putFrontend(rows, { at: '0.0.0.0', port: 30080, backends: all, flags: external | LbFlag.nodePort });
    expect((await ask(rows, here.pod, `${there.node}:30080`)).outcome).toBe('by lot');
    putFrontend(rows, { at: '0.0.0.0', port: 8080, backends: [here.pod], flags: external | LbFlag.hostPort });
    expect((await ask(rows, here.pod, `${there.node}:8080`)).outcome).toBe('no service');
    expect(modes(await ask(rows, here.pod, `${here.node}:8080`))).toEqual([`${here.pod}:8080 local`]);
  });

  test('pods whose sockets are left alone are translated packet by packet', async () => {
    const rows = createNode(NodeFlag.tunnel | NodeFlag.podServices);
    putFrontend(rows, { at: '10.96.0.1', port: 80, backends: [there.pod], flags: LbFlag.reject });
    expect(await ask(rows, here.pod, '10.96.0.1:80')).toMatchObject({ at: 'packet', scope: 'in', outcome: 'backend' });
    expect(await ask(rows, here.node, '10.96.0.1:80')).toMatchObject({ at: 'socket', outcome: 'backend' });
    putFrontend(rows, { at: '10.96.0.1', port: 81, backends: [here.pod], flags: LbFlag.reject });
    expect((await ask(rows, here.pod, '10.96.0.1:81')).ways).toEqual([
      { backend: `${here.pod}:8080`, mode: 'snat', text: `back to where it came from, as ${here.router}` },
    ]);
  });

  test('of another node: translated there', async () => {
    const rows = createNode();
    putFrontend(rows, { at: '10.96.0.1', port: 80, backends: [there.pod], flags: LbFlag.reject });
    expect(step(await ask(rows, there.pod, '10.96.0.1:80'), 'client')).toContain('ask that node');
  });

  test('a backend of a local redirect reaches what was there before', async () => {
    const flags = LbFlag.localRedirect | LbFlag.skipOwn;
    for (const node of [NodeFlag.tunnel, NodeFlag.tunnel | NodeFlag.podServices]) {
      const rows = createNode(node);
      putFrontend(rows, { at: '10.96.0.1', port: 80, backends: [there.pod], inside: [here.pod], flags });
      putFrontend(rows, { at: '169.254.169.254', port: 80, backends: [], inside: [here.pod], flags });
      expect(modes(await ask(rows, here.pod2, '10.96.0.1:80'))).toEqual([`${here.pod}:8080 local`]);
      expect(modes(await ask(rows, here.pod, '10.96.0.1:80'))).toEqual([`${there.pod}:8080 local`]);
      expect((await ask(rows, here.pod2, '169.254.169.254:80')).outcome).toBe('backend');
      expect((await ask(rows, here.pod, '169.254.169.254:80')).outcome).toBe('no service');
    }
  });

  test('affinity of the node itself, and of a pod, is by network namespace', async () => {
    const rows = createNode();
    const set = putFrontend(rows, { at: vip, port: 80, backends: all, flags: external | LbFlag.affinity, affinityS: 60 });
    const client = new Uint8Array(16);
    client[0] = 77;
    rows.put(
      'lb_affinity',
      { serviceId: 7, family: 4, proto: 6, scope: AffinityScope.netns, client },
      { set, lastNs: rows.nowNs(), addr: ipBytes(there.pod as IpAddr), port: 8080, family: 4, backendId: 101 },
    );
    expect((await ask(rows, here.node, `${vip}:80`)).ways.map((w) => w.backend)).toEqual([`${there.pod}:8080`]);
    expect((await ask(rows, here.pod, `${vip}:80`)).outcome).toBe('by lot');
    rows.put('endpoint_netns', { cookie: 77n }, { ip4: ipBytes(here.pod as IpAddr).subarray(0, 4) });
    expect((await ask(rows, here.pod, `${vip}:80`)).ways.map((w) => w.backend)).toEqual([`${there.pod}:8080`]);
  });
});

test.each([
  [{ client: '1.2.3.4', to: '1.2.3.4', protocol: 'tcp' }, 'no address with port'],
  [{ client: 'nobody', to: '1.2.3.4:80', protocol: 'tcp' }, 'no address with port'],
  [{ client: '::1', to: '1.2.3.4:80', protocol: 'tcp' }, 'different families'],
  [{ client: '1.2.3.4:99999', to: '1.2.3.4:80', protocol: 'tcp' }, 'no address with port'],
])('%j is refused', (o, why) => {
  expect(() => readExplainQuery(o)).toThrow(why);
});
