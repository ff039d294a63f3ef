// Clients outside the cluster, with real stacks: every kind of frontend × every kind of backend × both families × TCP and UDP, with a
// tunnel and with native routing. What the backend sees, and what the client sees.
import { type ChildProcess, spawn } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { createMan, type Man } from './sockets.ts';
import { createWorld, ns, tryIn, type World } from './world.ts';

const { LbFlag, Drop } = dp;
const PORT = 8080;
const NODE_PORT = 30080;
const BACKEND = {
  4: { a: '10.0.1.1', b: '10.0.1.2', c: '10.0.2.3', n1: '192.168.9.1', n2: '192.168.9.2' },
  6: { a: 'fd00:1::1', b: 'fd00:1::2', c: 'fd00:2::3', n1: 'fd99::1', n2: 'fd99::2' },
} as const;
type Who = keyof (typeof BACKEND)[4];
const CLIENT = { 4: '192.168.8.2', 6: 'fd98::2' } as const;
const ROUTER = { 4: '10.0.1.254', 6: 'fd00:1::fe' } as const;
const EDGE = { 4: '192.168.8.1', 6: 'fd98::1' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
const VIP = { 4: '203.0.113.7', 6: 'fd20::7' } as const;
const EXTERNAL = { 4: '198.51.100.9', 6: 'fd21::9' } as const;

interface Front {
  readonly f: 4 | 6;
  readonly address: string;
  readonly port: number;
  readonly flags: number;
  readonly backends: readonly Who[];
  readonly backendPort?: number;
}

let last = 100n;
function publish(lab: Lab, s: Front): void {
  const set = ++last;
  for (const [index, who] of s.backends.entries())
    lab.put(
      dp.tables.lb_slot,
      { set, index },
      { addr: IP.table(BACKEND[s.f][who]), port: s.backendPort ?? PORT, family: s.f, flags: 0, backendId: PORT + who.charCodeAt(0) },
    );
  const count = s.backends.length;
  for (const proto of [PROTO.tcp, PROTO.udp]) {
    const key = { addr: IP.table(s.address), port: s.port, proto, family: s.f };
    const sets = { setOut: set, setIn: set, countOut: count, countIn: count, maglevSize: 0 };
    lab.put(dp.tables.lb_frontend, key, { ...sets, serviceId: 5, affinityS: 0, flags: s.flags && s.flags | LbFlag.external });
  }
  lab.bump();
}
function unpublish(lab: Lab): void {
  for (const [key] of [...lab.map('lb_frontend').entries()]) lab.map('lb_frontend').delete(key);
  for (const [key] of [...lab.map('lb_slot').entries()]) lab.map('lb_slot').delete(key);
  lab.bump();
}

const FRONTS = {
  'node port': { flags: LbFlag.nodePort, port: NODE_PORT, row: ANY, to: EDGE },
  'node port of the other device': { flags: LbFlag.nodePort, port: NODE_PORT, row: ANY, to: { 4: BACKEND[4].n1, 6: BACKEND[6].n1 } },
  'load balancer': { flags: LbFlag.loadBalancer, port: 80, row: VIP, to: VIP },
  'external address': { flags: LbFlag.externalIp, port: 80, row: EXTERNAL, to: EXTERNAL },
  'host port': { flags: LbFlag.hostPort, port: 8443, row: ANY, to: EDGE },
} as const;

describe.each([
  ['tunnel over IPv4', 4],
  ['tunnel over IPv6', 6],
  ['native routing', 0],
] as const)('%s', (_name, mode) => {
  let world: World;
  let lab: Lab;
  const servers: ChildProcess[] = [];
  const men = new Map<string, Man>();
  const man = (name: string): Man => men.get(name)!;

  beforeAll(async () => {
    build();
    world = createWorld(mode);
    lab = world.n1.lab;
    // fragments of whole 1500 bytes do not fit a tunnel over IPv6, and nobody cuts them a second time
    const mtu = mode === 6 ? 'mtu 1400' : '';
    for (const [v, nets] of [
      ['', ['203.0.113.0/24', '198.51.100.0/24']],
      ['-6', ['fd20::/64', 'fd21::/64']],
    ] as const)
      for (const net of nets) tryIn('out', `ip ${v} route add ${net} via ${v === '' ? EDGE[4] : EDGE[6]} ${mtu}`);
    for (const name of ['out', 'a', 'b', 'c', 'n1', 'n2']) men.set(name, await createMan('', ns(name)));
    for (const name of ['a', 'c', 'n1', 'n2']) {
      const server = spawn('ip', ['netns', 'exec', ns(name), 'iperf3', '-s', '--forceflush'], { stdio: ['ignore', 'pipe', 'ignore'] });
      servers.push(server);
      await new Promise((ready) => server.stdout.once('data', ready));
    }
    for (const name of ['a', 'b', 'c', 'n1', 'n2'] as const)
      expect(await man(name).witness(name, PORT, [BACKEND[4][name], BACKEND[6][name]])).toEqual({ port: PORT });
  });
  afterAll(async () => {
    for (const s of servers) s.kill('SIGKILL');
    for (const m of men.values()) await m.stop();
    world.close();
  });
  beforeEach(() => {
    unpublish(lab);
    for (const id of [1001, 1002]) lab.policy(id, 0);
    world.n2.lab.policy(1003, 0);
    lab.events();
  });

  const seen = (f: 4 | 6, who: Who): string => {
    if (who === 'c') return ROUTER[f];
    return who === 'n2' ? BACKEND[f].n1 : CLIENT[f];
  };

  describe.each([4, 6] as const)('IPv%i', (f) => {
    test.each(Object.keys(FRONTS) as (keyof typeof FRONTS)[])('%s: every backend, TCP and UDP', async (kind) => {
      const front = FRONTS[kind];
      for (const who of ['a', 'c', 'n1', 'n2'] as const) {
        publish(lab, { f, address: front.row[f], port: front.port, flags: front.flags, backends: [who] });
        const wanted = { text: `${who} ${seen(f, who)}`, from: `${front.to[f]} ${front.port}` };
        expect([who, 'tcp', await man('out').question(front.to[f], front.port)]).toEqual([who, 'tcp', wanted]);
        expect([who, 'udp', await man('out').datagram(front.to[f], front.port)]).toEqual([who, 'udp', wanted]);
      }
    });

    test('fragments in both directions', async () => {
      for (const who of ['a', 'c', 'n1', 'n2'] as const) {
        publish(lab, { f, address: VIP[f], port: 80, flags: LbFlag.loadBalancer, backends: [who] });
        expect([who, await man('out').datagram(VIP[f], 80, { size: 5000 })]).toEqual([who, { text: '5000', from: `${VIP[f]} 80` }]);
      }
    });

    test('one port of the client at two addresses of one backend', async () => {
      publish(lab, { f, address: VIP[f], port: 80, flags: LbFlag.loadBalancer, backends: ['a'] });
      publish(lab, { f, address: EXTERNAL[f], port: 80, flags: LbFlag.externalIp, backends: ['a'] });
      for (const to of [VIP[f], EXTERNAL[f]]) expect(await man('out').dial(to, to, 80, 23_000 + f)).toEqual({ text: 'connected' });
      for (const to of [VIP[f], EXTERNAL[f]]) expect(await man('out').say(to)).toEqual({ text: `a ${CLIENT[f]}` });
      for (const to of [VIP[f], EXTERNAL[f]]) await man('out').hang(to);
    });

    test('policy judges the client and the pod, not the address between them', async () => {
      const allowed = (port: number) => [{ direction: 'ingress', peer: f === 4 ? 9 : 10, proto: PROTO.tcp, port } as const];
      publish(lab, { f, address: VIP[f], port: 80, flags: LbFlag.loadBalancer, backends: ['a'] });
      lab.policy(1001, dp.SubjectFlag.denyIngress, allowed(80));
      lab.bump();
      expect(await man('out').question(VIP[f], 80)).toEqual({ error: 'silence' });
      const drop = lab.events().find((e) => e.type === 2 && e.direction === 0 && e.dport !== 80 && e.tcpFlags === 2)!;
      expect([IP.text(Buffer.from(drop.daddr).subarray(0, f === 4 ? 4 : 16)), drop.dport, drop.reason]).toEqual([
        IP.text(IP(BACKEND[f].a)),
        PORT,
        Drop.policy,
      ]);
      lab.policy(1001, dp.SubjectFlag.denyIngress, allowed(PORT));
      lab.bump();
      expect(await man('out').question(VIP[f], 80)).toMatchObject({ text: `a ${CLIENT[f]}` });
    });

    test('a pod of another node judges who comes through this one as the world', async () => {
      const peer = mode === 0 ? 6 : 2;
      const { lab: far } = world.n2;
      publish(lab, { f, address: VIP[f], port: 80, flags: LbFlag.loadBalancer, backends: ['c'] });
      far.policy(1003, dp.SubjectFlag.denyIngress, [{ direction: 'ingress', peer: 1, proto: PROTO.tcp, port: PORT }]);
      far.bump();
      expect(await man('out').question(VIP[f], 80)).toEqual({ error: 'silence' });
      // what is allowed to nodes by their addresses is not allowed to whom they pass on
      const nodes = 0x02000001;
      far.addrClass(`${ROUTER[f]}/${f === 4 ? 32 : 128}`, nodes);
      far.policy(1003, dp.SubjectFlag.denyIngress, [{ direction: 'ingress', peer: nodes, proto: PROTO.tcp, port: PORT }]);
      far.bump();
      if (mode !== 0) expect(await man('out').question(VIP[f], 80)).toEqual({ error: 'silence' });
      far.clearClasses();
      far.policy(1003, dp.SubjectFlag.denyIngress, [{ direction: 'ingress', peer, proto: PROTO.tcp, port: PORT }]);
      far.bump();
      expect(await man('out').dial('x', VIP[f], 80)).toEqual({ text: 'connected' });
      // and so it does when it is the server that speaks first after a change
      far.bump();
      for (let i = 0; i < 2; i++) expect(await man('out').say('x')).toEqual({ text: `c ${ROUTER[f]}` });
      await man('out').hang('x');
    });

    test('connections outlive changes; datagrams leave a backend that has gone', async () => {
      for (const [who, next] of [
        ['a', 'b'],
        ['c', 'a'],
        ['n1', 'c'],
        ['n2', 'n1'],
      ] as const) {
        const front = { f, address: VIP[f], port: 80, flags: LbFlag.loadBalancer };
        publish(lab, { ...front, backends: [who] });
        expect(await man('out').dial('x', VIP[f], 80)).toEqual({ text: 'connected' });
        const from = 24_000 + who.charCodeAt(0) + f;
        expect(await man('out').datagram(VIP[f], 80, { from })).toMatchObject({ text: `${who} ${seen(f, who)}` });
        lab.bump();
        world.n2.lab.bump();
        expect(await man('out').say('x')).toEqual({ text: `${who} ${seen(f, who)}` });
        expect(await man('out').datagram(VIP[f], 80, { from })).toMatchObject({ text: `${who} ${seen(f, who)}` });
        publish(lab, { ...front, backends: [who, next] });
        expect(await man('out').datagram(VIP[f], 80, { from })).toMatchObject({ text: `${who} ${seen(f, who)}` });
        publish(lab, { ...front, backends: [next] });
        expect(await man('out').say('x')).toEqual({ text: `${who} ${seen(f, who)}` });
        expect(await man('out').datagram(VIP[f], 80, { from })).toMatchObject({ text: `${next} ${seen(f, next)}` });
        expect(await man('out').question(VIP[f], 80)).toMatchObject({ text: `${next} ${seen(f, next)}` });
        await man('out').hang('x');
      }
    });

    test('pods whose sockets were left alone: every backend, with their own address', async () => {
      const own = BACKEND[f].a;
      for (const who of ['b', 'c', 'n1', 'n2'] as const) {
        // a plain ClusterIP, and the NodePort at another node's address
        publish(lab, { f, address: VIP[f], port: 80, flags: 0, backends: [who] });
        publish(lab, { f, address: ANY[f], port: NODE_PORT, flags: LbFlag.nodePort, backends: [who] });
        for (const [address, port] of [
          [VIP[f], 80],
          [EDGE[f], NODE_PORT],
          [BACKEND[f].n2, NODE_PORT],
        ] as const) {
          const wanted = { text: `${who} ${own}`, from: `${address} ${port}` };
          expect([who, 'tcp', await man('a').question(address, port)]).toEqual([who, 'tcp', wanted]);
          expect([who, 'udp', await man('a').datagram(address, port)]).toEqual([who, 'udp', wanted]);
        }
        expect(await man('a').datagram(VIP[f], 80, { size: 5000 })).toEqual({ text: '5000', from: `${VIP[f]} 80` });
      }
      // itself it does not see, but the node; no policy stands between a pod and itself
      publish(lab, { f, address: VIP[f], port: 80, flags: 0, backends: ['a'] });
      lab.policy(1001, dp.SubjectFlag.denyEgress | dp.SubjectFlag.denyIngress);
      lab.bump();
      const itself = { text: `a ${ROUTER[f]}`, from: `${VIP[f]} 80` };
      for (let i = 0; i < 2; i++) expect(await man('a').question(VIP[f], 80)).toEqual(itself);
      expect(await man('a').datagram(VIP[f], 80)).toEqual(itself);
      expect(await man('a').datagram(VIP[f], 80, { size: 5000 })).toEqual({ text: '5000', from: `${VIP[f]} 80` });
      lab.policy(1001, dp.SubjectFlag.denyEgress, [{ direction: 'egress', peer: 1002, proto: PROTO.tcp, port: PORT }]);
      for (const [who, text] of [
        ['b', `b ${own}`],
        ['c', undefined],
      ] as const) {
        publish(lab, { f, address: VIP[f], port: 80, flags: 0, backends: [who] });
        expect((await man('a').question(VIP[f], 80)).text).toBe(text);
      }
    });

    test('packets of a pod that a local redirect leads to go on to the original backends', async () => {
      const front = { f, address: VIP[f], port: 80, flags: 0 };
      publish(lab, { ...front, backends: ['c'] });
      const setOut = last;
      publish(lab, { ...front, backends: ['a'] });
      const sets = { setOut, setIn: last, countOut: 1, countIn: 1, maglevSize: 0 };
      const flags = LbFlag.localRedirect | LbFlag.skipOwn;
      for (const proto of [PROTO.tcp, PROTO.udp])
        lab.put(
          dp.tables.lb_frontend,
          { addr: IP.table(VIP[f]), port: 80, proto, family: f },
          { ...sets, serviceId: 5, affinityS: 0, flags },
        );
      lab.bump();
      const from = `${VIP[f]} 80`;
      for (const [client, who] of [
        ['a', 'c'],
        ['b', 'a'],
      ] as const) {
        const wanted = { text: `${who} ${BACKEND[f][client]}`, from };
        expect([client, 'tcp', await man(client).question(VIP[f], 80)]).toEqual([client, 'tcp', wanted]);
        expect([client, 'udp', await man(client).datagram(VIP[f], 80)]).toEqual([client, 'udp', wanted]);
      }
    });

    test('a host port for pods and programs of another node', async () => {
      for (const who of ['a', 'n1'] as const) {
        publish(lab, { f, address: ANY[f], port: 8443, flags: LbFlag.hostPort, backends: [who] });
        for (const [client, own] of [
          ['c', BACKEND[f].c],
          ['n2', BACKEND[f].n2],
        ] as const) {
          const wanted = { text: `${who} ${own}`, from: `${BACKEND[f].n1} 8443` };
          for (let i = 0; i < 2; i++) expect([client, who, await man(client).question(BACKEND[f].n1, 8443)]).toEqual([client, who, wanted]);
          expect([client, who, await man(client).datagram(BACKEND[f].n1, 8443)]).toEqual([client, who, wanted]);
        }
      }
    });

    test('streams at speed, both ways', () => {
      for (const who of ['a', 'c', 'n1', 'n2'] as const) {
        publish(lab, { f, address: VIP[f], port: 80, flags: LbFlag.loadBalancer, backends: [who], backendPort: 5201 });
        for (const way of ['', '-R']) {
          const { out } = tryIn('out', `iperf3 -J -c ${VIP[f]} -p 80 -n 60M ${way}`);
          const end = (JSON.parse(out) as { end: { sum_received?: { bytes: number; bits_per_second: number } } }).end.sum_received;
          expect([who, way, (end?.bytes ?? 0) > 40e6, (end?.bits_per_second ?? 0) > 200e6]).toEqual([who, way, true, true]);
        }
      }
    });

    test('an enforced node judges what services send to it', async () => {
      const config = lab.map('node_config');
      const was = dp.nodeConfig.decode(config.lookup(Buffer.alloc(4))!);
      const enforce = (port: number): void => {
        lab.put(dp.tables.node_config, 0, { ...was, flags: was.flags | dp.NodeFlag.hostPolicy });
        lab.policy(1, dp.SubjectFlag.denyIngress, [{ direction: 'ingress', proto: PROTO.tcp, port }]);
        lab.bump();
      };
      publish(lab, { f, address: ANY[f], port: NODE_PORT, flags: LbFlag.nodePort, backends: ['n1'] });
      enforce(PORT);
      const from = `${EDGE[f]} ${NODE_PORT}`;
      for (let i = 0; i < 2; i++) expect(await man('out').question(EDGE[f], NODE_PORT)).toEqual({ text: `n1 ${CLIENT[f]}`, from });
      enforce(NODE_PORT);
      expect(await man('out').question(EDGE[f], NODE_PORT)).toEqual({ error: 'silence' });
      // what only passes through is none of the node's
      publish(lab, { f, address: ANY[f], port: NODE_PORT, flags: LbFlag.nodePort, backends: ['c'] });
      expect(await man('out').question(EDGE[f], NODE_PORT)).toMatchObject({ text: `c ${ROUTER[f]}` });
      lab.put(dp.tables.node_config, 0, was);
      lab.forget(1);
      lab.bump();
    });

    test('externalTrafficPolicy Local stays on the node', async () => {
      const flags = LbFlag.loadBalancer | LbFlag.outLocal | LbFlag.reject;
      publish(lab, { f, address: VIP[f], port: 80, flags, backends: ['c'] });
      expect(await man('out').question(VIP[f], 80)).toEqual({ error: 'silence' });
      publish(lab, { f, address: VIP[f], port: 80, flags, backends: ['b'] });
      expect(await man('out').question(VIP[f], 80)).toMatchObject({ text: `b ${CLIENT[f]}` });
    });
  });

  test('the stacks saw no bad checksum and no packet was lost to us', () => {
    for (const { lab: l } of [world.n1, world.n2]) {
      const reasons = Array.from({ length: 126 }, (_, i) => 130 + i).filter((r) => l.dropped(r, 0) + l.dropped(r, 1) > 0);
      expect(reasons.filter((r) => r !== Drop.policy && r !== Drop.noServiceBackend)).toEqual([]);
    }
    for (const name of ['out', 'a', 'c', 'n1', 'n2']) {
      const { out } = tryIn(name, 'nstat -asz TcpInCsumErrors UdpInCsumErrors Udp6InCsumErrors');
      expect([name, ...out.matchAll(/CsumErrors\s+(\d+)/g)].slice(1).every((m) => (m as RegExpMatchArray)[1] === '0')).toBe(true);
    }
  });
});
