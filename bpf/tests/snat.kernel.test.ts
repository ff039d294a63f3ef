// Ports that packets leave with: sixty thousand flows to one destination, and never a port that answers for itself. Both ways a
// node lends its address: to clients outside that it passes on, and to pods that speak to the world.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab, netlink, VERDICT } from './kit.ts';
import { IP, PROTO } from './names.ts';
import { packet, TCP } from './packet.ts';
import { ADDRESS, B, createPods, FAMILIES, type Family } from './pods.ts';
import { createMan } from './sockets.ts';
import { createUplink } from './uplink.ts';
import { sh } from './world.ts';

const { LbFlag } = dp;
const NETNS = `axd-snat-${process.pid}`;
const NODE_PORTS = { nodePortMin: 30000, nodePortMax: 32767 };
const VIP = { 4: '203.0.113.7', 6: 'fd20::7' } as const;
const CONFIG = {
  nodeIp4: IP(ADDRESS[4].node),
  nodeIp6: IP(ADDRESS[6].node),
  routerIp4: IP(ADDRESS[4].router),
  routerIp6: IP(ADDRESS[6].router),
  flags: dp.NodeFlag.tunnel | dp.NodeFlag.masquerade4 | dp.NodeFlag.masquerade6,
  ifindexVxlan: 1,
  ...NODE_PORTS,
};
const POD = { ...B, ifindex: 0, id: 3, identity: 1002, ips: ['10.0.1.9', 'fd00:1::9'] } as const;
let lab: Lab;
let uplink = 0;

const inside = <T>(fn: () => T): T => netlink.inNetns(netlink.netnsPath(NETNS), fn);

beforeAll(() => {
  build();
  uplink = createUplink(NETNS).ifindex;
  // the sizes nodes have unless told otherwise
  lab = createPods({ maxEntries: { flow4: 262144, flow6: 131072, nat4: 131072, nat6: 131072 } });
  lab.pod({ ...POD, ifindex: uplink });
});
afterAll(() => {
  lab.close();
  sh(`ip netns del ${NETNS}`);
});
beforeEach(() => {
  lab.config({ ...CONFIG, flags: CONFIG.flags | dp.NodeFlag.noEvents });
  for (const name of ['lb_frontend', 'lb_slot']) for (const [key] of [...lab.map(name).entries()]) lab.map(name).delete(key);
  lab.bump();
});

function frontend(f: Family, address: string, port: number, proto: number, flags: number, count = 0): void {
  const value = { setOut: 7n, setIn: 7n, countOut: count, countIn: count, maglevSize: 0, serviceId: 1, affinityS: 0 };
  lab.put(dp.tables.lb_frontend, { addr: IP.table(address), port, proto, family: f }, { ...value, flags: flags | LbFlag.external });
}
/** A service whose only backend is on another node, on this port: another one for every test, and its ports are free. */
function service(f: Family, port: number): void {
  lab.put(dp.tables.lb_slot, { set: 7n, index: 0 }, { addr: IP.table(ADDRESS[f].c), port, family: f, flags: 0, backendId: 1 });
  for (const proto of [PROTO.tcp, PROTO.udp]) frontend(f, VIP[f], 80, proto, LbFlag.loadBalancer, 1);
  lab.bump();
}

const SPORT_AT = { 4: 34, 6: 54 } as const;
const SADDR_END = { 4: 28, 6: 36 } as const;
/** Frame number n of a client: another port, every 50,000 another address. */
function numbered(frame: Buffer, f: Family, n: number): Buffer {
  frame.writeUInt16BE(10_000 + (n % 50_000), SPORT_AT[f]);
  frame[SADDR_END[f] + 1] = 1 + Math.floor(n / 50_000);
  return frame;
}
const client = { 4: '198.51.100.0', 6: '2001:db8:1::' } as const;
const toService = (f: Family, proto: number, flags: number = TCP.syn): Buffer =>
  packet({ src: client[f], dst: VIP[f], dport: 80, proto, flags, payload: Buffer.alloc(40) });
const fromPod = (f: Family, proto: number, dport: number): Buffer =>
  packet({ src: POD.ips[f === 4 ? 0 : 1], dst: ADDRESS[f].world, dport, proto, flags: TCP.syn, payload: Buffer.alloc(40) });
const sport = (f: Family, frame: Buffer): number => frame.readUInt16BE(SPORT_AT[f]);

describe.each(FAMILIES)('IPv%i', (f) => {
  test('L7-a: sixty thousand flows to one backend through one node', () => {
    service(f, 8080);
    const FLOWS = 60_000;
    const frame = toService(f, PROTO.tcp);
    const ports = new Uint16Array(FLOWS);
    const dropped = (): number => lab.dropped(dp.Drop.natNoMapping, 0) + lab.dropped(dp.Drop.natNoMapping, 1);
    const before = dropped();
    inside(() => {
      for (let n = 0; n < FLOWS; n++) {
        const r = lab.run('from_netdev', numbered(frame, f, n), uplink);
        if (r.verdict !== VERDICT.redirect) throw new Error(`flow ${n}: ${r.verdict}`);
        ports[n] = sport(f, r.packet);
      }
    });
    expect(new Set(ports).size).toBe(FLOWS);
    expect(ports.every((p) => p >= 1024 && (p < 30000 || p > 32767))).toBe(true);
    // all of them are still there, on the ports they had, and each answer finds its client
    const later = toService(f, PROTO.tcp, TCP.ack);
    const answer = packet({ src: ADDRESS[f].c, dst: ADDRESS[f].router, sport: 8080, flags: TCP.ack, payload: Buffer.alloc(40) });
    let same = 0;
    let home = 0;
    inside(() => {
      for (let n = 0; n < FLOWS; n += 1) {
        same += Number(sport(f, lab.run('from_netdev', numbered(later, f, n), uplink).packet) === ports[n]);
        if (n % 4 > 0) continue;
        answer.writeUInt16BE(ports[n]!, SPORT_AT[f] + 2);
        const back = lab.run('from_overlay', answer, uplink).packet;
        home += Number(back.readUInt16BE(SPORT_AT[f] + 2) === 10_000 + (n % 50_000) && sport(f, back) === 80);
      }
    });
    expect([same, home]).toEqual([FLOWS, FLOWS / 4]);
    expect(dropped()).toBe(before);
  });

  test('L7-a: sixty thousand flows of pods to one address of the world', () => {
    const FLOWS = 60_000;
    const frame = fromPod(f, PROTO.tcp, 443);
    const ports = new Uint16Array(FLOWS);
    const dropped = (): number => lab.dropped(dp.Drop.natNoMapping, 0) + lab.dropped(dp.Drop.natNoMapping, 1);
    const before = dropped();
    inside(() => {
      // a node's pods, each with its own ports
      for (let n = 0; n < FLOWS; n++) {
        frame.writeUInt16BE(1_000 + n, SPORT_AT[f]);
        const r = lab.run('from_pod', frame, uplink);
        if (r.verdict !== VERDICT.redirect) throw new Error(`flow ${n}: ${r.verdict}`);
        ports[n] = sport(f, r.packet);
      }
    });
    expect(new Set(ports).size).toBe(FLOWS);
    expect(ports.every((p) => p >= 1024 && (p < 30000 || p > 32767))).toBe(true);
    expect(ports.slice(0, 3000).every((p) => p >= 20000 && p <= 29999)).toBe(true);
    expect(dropped()).toBe(before);
  });

  test('L7-b: SNAT never picks a NodePort', () => {
    service(f, 8081);
    // random ports of services: node ports elsewhere than in the range, host ports, ports of the very addresses
    const taken = { [PROTO.tcp]: new Set<number>(), [PROTO.udp]: new Set<number>() } as Record<number, Set<number>>;
    const any = f === 4 ? '0.0.0.0' : '::';
    for (let i = 0; i < 6000; i++) {
      const port = 1024 + Math.floor(Math.random() * 64_512);
      const proto = i % 2 ? PROTO.tcp : PROTO.udp;
      const where = [any, ADDRESS[f].router, ADDRESS[f].node][i % 3]!;
      frontend(f, where, port, proto, [LbFlag.nodePort, LbFlag.hostPort, LbFlag.externalIp][i % 3]!);
      taken[proto]!.add(port);
      // ports of one address are free at another: only what no pick may ever have is in `taken`
      if (where === ADDRESS[f].node) frontend(f, ADDRESS[f].router, port, proto, LbFlag.externalIp);
      if (where === ADDRESS[f].router) frontend(f, ADDRESS[f].node, port, proto, LbFlag.externalIp);
    }
    lab.bump();
    const refused = (p: number, proto: number): boolean => p < 1024 || (p >= 30000 && p <= 32767) || taken[proto]!.has(p);
    const bad: number[] = [];
    for (const [min, max] of [
      [20000, 29999],
      [29000, 33000],
      [31000, 31001],
    ] as const) {
      lab.config({ ...CONFIG, flags: CONFIG.flags | dp.NodeFlag.noEvents, snatMin: min, snatMax: max });
      for (const proto of [PROTO.tcp, PROTO.udp]) {
        const [there, out] = [toService(f, proto), fromPod(f, proto, 444)];
        inside(() => {
          for (let n = 0; n < 1500; n++) {
            out.writeUInt16BE(1_000 + n + min, SPORT_AT[f]);
            const runs = [lab.run('from_netdev', numbered(there, f, n + min), uplink), lab.run('from_pod', out, uplink)];
            for (const r of runs) if (r.verdict !== VERDICT.redirect || refused(sport(f, r.packet), proto)) bad.push(sport(f, r.packet));
          }
        });
      }
    }
    expect(bad).toEqual([]);
  });

  test('no port a program of the node has towards the same backend', () => {
    service(f, 8082);
    // all but six ports are for services, and programs of the node have five of them
    lab.config({ ...CONFIG, ...{ nodePortMin: 1030, nodePortMax: 65535 } });
    for (let port = 1024; port < 1029; port++) {
      const own = packet({
        src: ADDRESS[f].router,
        dst: ADDRESS[f].c,
        sport: port,
        dport: 8082,
        flags: TCP.syn,
        payload: Buffer.alloc(40),
      });
      expect(inside(() => lab.run('from_host', own)).verdict).toBe(VERDICT.redirect);
    }
    const frame = toService(f, PROTO.tcp);
    const run = (n: number): { verdict: number; packet: Buffer } => inside(() => lab.run('from_netdev', numbered(frame, f, n), uplink));
    expect(sport(f, run(1).packet)).toBe(1029);
    // and when there is none, that is said
    expect(run(2).verdict).toBe(VERDICT.drop);
    expect(lab.events().at(-1)?.reason).toBe(dp.Drop.natNoMapping);
  });

  test('frames that a switch gives everybody, because it does not know whose they are, are left alone', () => {
    service(f, 8083);
    for (const proto of [PROTO.tcp, PROTO.udp]) {
      const frame = numbered(toService(f, proto), f, 7);
      expect(inside(() => lab.runAsIs('from_netdev', frame))).toBe(VERDICT.ok);
      expect(inside(() => lab.run('from_netdev', frame, uplink)).verdict).toBe(VERDICT.redirect);
      // nor do they go on with a flow
      expect(inside(() => lab.runAsIs('from_netdev', frame))).toBe(VERDICT.ok);
    }
  });

  test('no port of a program of the node towards the same peer', async () => {
    const man = await createMan('', NETNS);
    const listening = Array.from({ length: 250 }, (_, i) => 33_000 + i * 100);
    for (const port of listening) await man.witness('x', port, []);
    lab.config({ ...CONFIG, snatMin: 25000, snatMax: 25000 });
    const frame = fromPod(f, PROTO.tcp, 445);
    const seen = new Set<number>();
    inside(() => {
      for (let n = 0; n < 3000; n++) {
        frame.writeUInt16BE(1_000 + n, SPORT_AT[f]);
        seen.add(sport(f, lab.run('from_pod', frame, uplink).packet));
      }
    });
    expect([seen.size, listening.filter((p) => seen.has(p))]).toEqual([3000, []]);
    await man.stop();
  });
});
