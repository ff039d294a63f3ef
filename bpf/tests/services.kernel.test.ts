// What a service is to sockets of a node and of a pod: NodePorts, host ports, affinity, protected ports. Two namespaces, one cgroup.
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { build, createLab, dp, type Lab } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { type Backend, createCgroup, createMan, createNetns, type Man, putService } from './sockets.ts';

const { LbFlag } = dp;
const OWN = { 4: '192.0.2.10', 6: 'fd02::10' } as const;
const OTHER = { 4: '192.0.2.11', 6: 'fd02::11' } as const;
const APISERVER = '192.0.2.12';
const WORLD = { 4: '192.0.2.99', 6: 'fd02::99' } as const;
const LOOPBACK = { 4: '127.0.0.1', 6: '::1' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
const PORTS = [9001, 9002, 9003, 9004, 9005, 9006];

let lab: Lab;
let netnsCookie: bigint;
let node: Man;
let pod: Man;
let pod2: Man;
const closers: (() => void)[] = [];
const men = (): Man[] => [node, pod, pod2];
const all = (v: 4 | 6): Backend[] => PORTS.map((p) => [LOOPBACK[v], p]);

beforeAll(async () => {
  build();
  lab = createLab({ objects: ['sock'] });
  closers.push(() => lab.close());
  const cgroup = createCgroup(lab, 'axs');
  closers.push(cgroup.close);
  const spaces = [createNetns('node', [`${OWN[4]}/32`, `${OWN[6]}/128`]), createNetns('pod'), createNetns('pod2')];
  for (const s of spaces) closers.push(s.close);
  netnsCookie = spaces[0]!.cookie;
  lab.config({ netnsCookie });
  for (const v of [4, 6] as const) {
    lab.host(OWN[v]);
    lab.ipcache(`${OTHER[v]}/${v === 4 ? 32 : 128}`, 6);
  }
  lab.ipcache(`${APISERVER}/32`, 7);
  const started = await Promise.all(spaces.map((s) => createMan(cgroup.path, s.name)));
  [node, pod, pod2] = started as [Man, Man, Man];
  // every namespace has all backends on its own loopback: who answers is what was chosen
  for (const m of started) for (const p of PORTS) await m.serve(String(p), p);
});
afterAll(async () => {
  for (const m of men()) await m?.stop();
  for (const close of closers.toReversed()) close();
});
afterEach(() => {
  for (const name of ['lb_frontend', 'lb_slot', 'lb_affinity', 'lb_sock']) {
    for (const [key] of [...lab.map(name).entries()]) lab.map(name).delete(key);
  }
});

const monotonic = (): bigint => process.hrtime.bigint();

describe.each([[4], [6]] as const)('IPv%i', (v) => {
  const vip = v === 4 ? '10.96.0.1' : 'fd96::1';

  test('sockets of pods can be left alone, those of the node not', async () => {
    // an address that routes to the loopback: who is not translated finds nobody there
    const local = v === 4 ? '127.96.0.1' : '::1';
    putService(lab, { vip: local, port: 81, set: 1n, backends: all(v) });
    for (const man of [node, pod]) expect(await man.act('tcp', local, 81)).toMatchObject({ text: expect.stringMatching(/^900/) });
    lab.config({ netnsCookie, flags: dp.NodeFlag.podServices });
    try {
      for (const kind of ['tcp', 'connected'] as const) {
        expect(await node.act(kind, local, 81)).toMatchObject({ text: expect.stringMatching(/^900/) });
        expect(await pod.act(kind, local, 81)).toEqual({ error: 'ECONNREFUSED' });
      }
    } finally {
      lab.config({ netnsCookie });
    }
  });

  describe('NodePort', () => {
    const nodePort = (): void =>
      putService(lab, { vip: ANY[v], port: 30080, set: 1n, backends: all(v), flags: LbFlag.nodePort | LbFlag.reject });

    test('every address of every node serves it, to pods and to the node', async () => {
      nodePort();
      for (const man of [node, pod]) {
        for (const host of [OWN[v], OTHER[v], ...(v === 4 ? [APISERVER] : [])]) {
          expect(await man.act('tcp', host, 30080)).toMatchObject({ peer: `${host} 30080`, text: expect.stringMatching(/^900/) });
          expect(await man.act('udp', host, 30080)).toMatchObject({ from: `${host} 30080` });
          expect(await man.act('connected', host, 30080)).toMatchObject({ from: `${host} 30080` });
        }
      }
    });

    test('a loopback is the node for the node only', async () => {
      nodePort();
      for (const host of [LOOPBACK[v], ANY[v]]) {
        expect(await node.act('tcp', host, 30080)).toMatchObject({ text: expect.stringMatching(/^900/) });
        expect(await pod.act('tcp', host, 30080)).toEqual({ error: 'ECONNREFUSED' });
      }
    });

    test('other addresses and other ports are left alone', async () => {
      nodePort();
      for (const man of [node, pod]) {
        expect(await man.act('tcp', WORLD[v], 30080)).toEqual({ error: 'ENETUNREACH' });
        expect(await man.act('tcp', OTHER[v], 30081)).toEqual({ error: 'ENETUNREACH' });
      }
    });

    test('an address of its own goes before every address of the node', async () => {
      nodePort();
      putService(lab, { vip: OWN[v], port: 30080, set: 2n, backends: [[LOOPBACK[v], 9001]], flags: LbFlag.externalIp });
      for (let i = 0; i < 8; i++) expect(await pod.act('tcp', OWN[v], 30080)).toMatchObject({ text: '9001' });
    });

    test('no program of the node can listen where it would get nothing; pods can', async () => {
      nodePort();
      for (const kind of ['bindTcp', 'bindUdp'] as const) {
        for (const host of [ANY[v], OWN[v], LOOPBACK[v]]) {
          expect([host, await node.act(kind, host, 30080)]).toEqual([host, { error: 'EADDRINUSE' }]);
          expect(await node.act(kind, host, 30081)).toEqual({ text: 'bound' });
        }
        expect(await pod.act(kind, ANY[v], 30080)).toEqual({ text: 'bound' });
      }
      // one socket for both families takes the port in both
      if (v === 4) expect(await node.act('bindTcp', '::', 30080)).toEqual({ error: 'EADDRINUSE' });
      if (v === 4) expect(await node.act('bindTcp', `::ffff:${OWN[4]}`, 30080)).toEqual({ error: 'EADDRINUSE' });
    });
  });

  test('C32: a host port is on the addresses of this node and on no others', async () => {
    const hostPort = (host: string, port: number): void =>
      putService(lab, { vip: host, port, set: 3n, backends: [[LOOPBACK[v], 9002]], flags: LbFlag.hostPort });
    hostPort(ANY[v], 8080);
    for (const man of [node, pod]) {
      expect(await man.act('tcp', OWN[v], 8080)).toMatchObject({ text: '9002', peer: `${OWN[v]} 8080` });
      expect(await man.act('udp', OWN[v], 8080)).toMatchObject({ text: '9002' });
      for (const host of [OTHER[v], WORLD[v]]) expect(await man.act('tcp', host, 8080)).toEqual({ error: 'ENETUNREACH' });
    }
    // a pod cannot ask for an address that is not the node's
    hostPort(WORLD[v], 8081);
    hostPort(OTHER[v], 8081);
    hostPort(OWN[v], 8081);
    for (const host of [OTHER[v], WORLD[v]]) expect(await pod.act('tcp', host, 8081)).toEqual({ error: 'ENETUNREACH' });
    expect(await pod.act('tcp', OWN[v], 8081)).toMatchObject({ text: '9002' });
    // the node's loopback is not the pod's
    hostPort(LOOPBACK[v], 8082);
    expect(await node.act('tcp', LOOPBACK[v], 8082)).toMatchObject({ text: '9002' });
    expect(await pod.act('tcp', LOOPBACK[v], 8082)).toEqual({ error: 'ECONNREFUSED' });
  });

  test('clients of the cluster use the set for the inside', async () => {
    putService(lab, { vip, port: 80, set: 4n, setOut: 5n, backends: [[LOOPBACK[v], 9003]], flags: LbFlag.loadBalancer });
    lab.put(dp.tables.lb_slot, { set: 5n, index: 0 }, { addr: IP.table(LOOPBACK[v]), port: 9004, family: v, flags: 0, backendId: 1 });
    for (const man of [node, pod]) {
      for (let i = 0; i < 4; i++) expect(await man.act('tcp', vip, 80)).toMatchObject({ text: '9003', peer: `${vip} 80` });
    }
  });

  test('without backends a client is refused, or left to wait', async () => {
    putService(lab, { vip, port: 80, set: 0n, backends: [], flags: LbFlag.reject });
    putService(lab, { vip, port: 81, set: 0n, backends: [], flags: 0 });
    for (const kind of ['tcp', 'udp', 'connected'] as const) {
      expect(await pod.act(kind, vip, 80)).toEqual({ error: 'ECONNREFUSED' });
      // nothing of ours answers: the packet goes its way, which ends here for want of a route
      expect(await pod.act(kind, vip, 81)).toEqual({ error: 'ENETUNREACH' });
    }
  });

  describe('L1-a: session affinity', () => {
    const HOUR = 3600;
    const put = (set: bigint, backends: readonly Backend[]): void =>
      putService(lab, { vip, port: 80, set, backends, flags: LbFlag.affinity | LbFlag.reject, affinityS: HOUR, serviceId: 77 });
    const rows = (): [Buffer, dp.LbAffinityKey, dp.LbAffinityValue][] =>
      [...lab.map('lb_affinity').entries()].map(([k, value]) => [k, dp.lbAffinityKey.decode(k), dp.lbAffinityValue.decode(value)]);
    /** As if the clients had been here this long ago. */
    const age = (seconds: number): void => {
      for (const [key, , value] of rows()) {
        const last = monotonic() - BigInt(seconds) * 1_000_000_000n;
        lab.map('lb_affinity').update(key, dp.lbAffinityValue.encode({ ...value, lastNs: last }));
      }
    };
    const many = async (man: Man, kind: 'tcp' | 'udp' | 'connected', n = 12): Promise<string[]> => {
      const seen = new Set<string>();
      for (let i = 0; i < n; i++) seen.add((await man.act(kind, vip, 80)).text ?? '');
      return [...seen];
    };

    test.each(['tcp', 'udp', 'connected'] as const)('%s: a client keeps its backend', async (kind) => {
      put(1n, all(v));
      expect(await many(pod, kind)).toHaveLength(1);
    });

    test('each namespace is a client of its own', async () => {
      put(1n, all(v));
      const [a, b] = [await many(pod, 'tcp'), await many(pod2, 'tcp')];
      expect([a.length, b.length]).toEqual([1, 1]);
      expect(rows()).toHaveLength(2);
      expect(new Set(rows().map(([, k]) => Buffer.from(k.client).toString('hex'))).size).toBe(2);
      expect(rows().every(([, k]) => k.scope === dp.AffinityScope.netns && k.serviceId === 77 && k.proto === PROTO.tcp)).toBe(true);
      // the lot falls anew for each: not all clients have the same one
      const firsts = new Set<string>([...a, ...b]);
      for (let i = 0; i < 40 && firsts.size < 2; i++) {
        for (const [key] of rows()) lab.map('lb_affinity').delete(key);
        firsts.add((await pod.act('tcp', vip, 80)).text!);
      }
      expect(firsts.size).toBe(2);
    });

    test('until it was away longer than the timeout', async () => {
      put(1n, all(v));
      const [mine] = await many(pod, 'tcp', 1);
      for (let i = 0; i < 6; i++) {
        age(HOUR - 5);
        // and every use counts: the clock starts anew
        expect(await pod.act('tcp', vip, 80)).toMatchObject({ text: mine });
      }
      const seen = new Set<string>();
      for (let i = 0; i < 60 && seen.size < 3; i++) {
        age(HOUR + 1);
        seen.add((await pod.act('tcp', vip, 80)).text!);
      }
      expect(seen.size).toBe(3);
    });

    test('it stays while its backend stays, and moves once when that leaves', async () => {
      put(1n, all(v));
      const [mine] = await many(pod, 'tcp');
      // others leave, one by one
      const others = all(v).filter(([, p]) => String(p) !== mine);
      for (const n of [4, 3, 2, 1, 0]) {
        put(BigInt(10 + n), [...others.slice(0, n), [LOOPBACK[v], Number(mine)]]);
        expect(await pod.act('tcp', vip, 80)).toMatchObject({ text: mine });
      }
      put(20n, others);
      const after = await many(pod, 'tcp');
      expect(after).toHaveLength(1);
      expect(after).not.toEqual([mine]);
      // and does not come back when its first one does
      put(21n, all(v));
      expect(await many(pod, 'tcp')).toEqual(after);
    });

    test('L1-b: a drained backend gets nothing new, whoever stuck to it', async () => {
      put(1n, all(v));
      for (const man of men()) await man.act('tcp', vip, 80);
      put(2n, all(v).slice(1));
      for (const man of men()) for (let i = 0; i < 10; i++) expect((await man.act('tcp', vip, 80)).text).not.toBe(String(PORTS[0]));
    });

    test('a service without it does not stick', async () => {
      putService(lab, { vip, port: 80, set: 1n, backends: all(v), affinityS: HOUR });
      expect((await many(pod, 'tcp', 40)).length).toBeGreaterThan(1);
      expect(rows()).toEqual([]);
    });
  });
});

test('an IPv4 address on an IPv6 socket is the same client', async () => {
  const flags = LbFlag.affinity | LbFlag.nodePort;
  putService(lab, { vip: ANY[4], port: 30080, set: 1n, backends: all(4), flags, affinityS: 60 });
  const first = await pod.act('tcp', OWN[4], 30080);
  for (let i = 0; i < 8; i++) {
    expect(await pod.act('tcp', `::ffff:${OTHER[4]}`, 30080)).toEqual({ text: first.text, peer: `::ffff:${OTHER[4]} 30080` });
  }
});
