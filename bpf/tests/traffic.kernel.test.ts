// Real stacks on both ends of our programs: checksums, segmentation offload, fragments and NAT have to survive.
import { type ChildProcess, spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { build, dp } from './kit.ts';
import { PROTO } from './names.ts';
import { createWorld, ns, tryIn, type World } from './world.ts';

const TARGETS = {
  4: { own: '10.0.1.254', near: '10.0.1.2', far: '10.0.2.3', out: '192.168.8.2', node: '192.168.9.1', farNode: '192.168.9.2' },
  6: { own: 'fd00:1::fe', near: 'fd00:1::2', far: 'fd00:2::3', out: 'fd98::2', node: 'fd99::1', farNode: 'fd99::2' },
} as const;

describe.each([4, 6] as const)('underlay IPv%i', (underlay) => {
  let world: World;
  const servers: ChildProcess[] = [];

  beforeAll(async () => {
    build();
    world = createWorld(underlay);
    for (const n of ['b', 'c', 'out']) {
      const server = spawn('ip', ['netns', 'exec', ns(n), 'iperf3', '-s', '--forceflush'], { stdio: ['ignore', 'pipe', 'ignore'] });
      servers.push(server);
      await new Promise((ready) => server.stdout.once('data', ready));
    }
  });
  afterAll(() => {
    for (const s of servers) s.kill('SIGKILL');
    world.close();
  });

  const ping = (from: string, to: string, size: number): void => {
    const r = tryIn(from, `ping -c2 -i0.05 -W2 -s ${size} ${to}`);
    expect([to, size, r.out.match(/(\d) received/)?.[1]]).toEqual([to, size, '2']);
  };

  test.each([4, 6] as const)('IPv%i echo everywhere, whole and in fragments', (f) => {
    for (const to of Object.values(TARGETS[f])) for (const size of [56, 4000]) ping('a', to, size);
    for (const from of ['n1', 'n2']) for (const to of [TARGETS[f].near, TARGETS[f].far]) ping(from, to, 56);
    for (const from of ['c', 'n2']) ping(from, f === 4 ? '10.0.1.1' : 'fd00:1::1', 4000);
  });

  test.each([4, 6] as const)('IPv%i streams at speed, both ways', (f) => {
    for (const to of ['near', 'far', 'out'] as const) {
      for (const way of ['', '-R']) {
        const r = tryIn('a', `iperf3 -J -c ${TARGETS[f][to]} -n 100M ${way}`);
        const end = (JSON.parse(r.out) as { end: { sum_received?: { bytes: number; bits_per_second: number } } }).end.sum_received;
        expect([to, way, (end?.bytes ?? 0) > 90e6, (end?.bits_per_second ?? 0) > 500e6]).toEqual([to, way, true, true]);
      }
    }
  });

  test.each([4, 6] as const)('IPv%i: a closed port outside tells the masqueraded sender', (f) => {
    const type = f === 4 ? 'udp4' : 'udp6';
    const script = `const s=require("dgram").createSocket("${type}");s.on("error",(e)=>{console.log(e.code);process.exit()});s.connect(9,"${TARGETS[f].out}",()=>s.send("x"));setTimeout(()=>process.exit(),2000)`;
    expect(tryIn('a', `env NODE_OPTIONS= ${process.execPath} -e '${script}'`).out.trim()).toBe('ECONNREFUSED');
  });

  test('nothing was dropped on the way', () => {
    for (const { lab } of [world.n1, world.n2]) {
      const reasons = Array.from({ length: 126 }, (_, i) => 130 + i).filter((r) => lab.dropped(r, 0) + lab.dropped(r, 1) > 0);
      expect(reasons).toEqual([]);
    }
  });

  test('C13: IPv4 on an IPv6 socket is IPv4 to every policy', () => {
    const { lab } = world.n1;
    lab.policy(1002, dp.SubjectFlag.denyIngress, [{ direction: 'ingress', peer: 1001, proto: PROTO.udp, port: 9 }]);
    lab.bump();
    lab.events();
    const send = (port: number, to: string): void => {
      const script = `const s=require("dgram").createSocket("udp6");s.send("x",${port},"${to}",()=>s.close())`;
      expect(tryIn('a', `env NODE_OPTIONS= ${process.execPath} -e '${script}'`)).toMatchObject({ ok: true });
    };
    for (const to of [`::ffff:${TARGETS[4].near}`, TARGETS[6].near]) for (const port of [9, 10]) send(port, to);
    const seen = lab.events().filter((e) => e.proto === PROTO.udp);
    expect(seen.map((e) => [e.family, e.dport, e.reason])).toEqual([
      [4, 9, 0],
      [4, 10, 133],
      [6, 9, 0],
      [6, 10, 133],
    ]);
    lab.policy(1002, 0);
    lab.bump();
  });
});
