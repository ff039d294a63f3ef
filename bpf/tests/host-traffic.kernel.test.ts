// An enforced node among real stacks: connections older than the policy, the tunnel, masquerade and routing beside it.
import { type ChildProcess, spawn } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { build, dp, type Lab, type PolicyRow } from './kit.ts';
import { PROTO } from './names.ts';
import { DENY } from './pods.ts';
import { createWorld, ns, sh, tryIn, type World } from './world.ts';

const HOST = 1;
const BOTH = DENY.ingress | DENY.egress;
const AT = {
  4: {
    node: '192.168.9.1',
    near: '192.168.8.1',
    out: '192.168.8.2',
    other: '192.168.9.2',
    here: '10.0.1.2',
    there: '10.0.2.3',
    router: '10.0.1.254',
  },
  6: { node: 'fd99::1', near: 'fd98::1', out: 'fd98::2', other: 'fd99::2', here: 'fd00:1::2', there: 'fd00:2::3', router: 'fd00:1::fe' },
} as const;
let world: World;
let lab: Lab;
const children: ChildProcess[] = [];

/** A process that echoes lines over TCP (server), or sends a line a request and prints what comes back (client). */
const serverScript = (port: number): string =>
  `require("net").createServer((c)=>{c.on("error",()=>0);c.pipe(c)}).listen(${port},"::",()=>console.log("up"))`;
const clientScript = (host: string, port: number): string =>
  `const c=require("net").connect(${port},"${host}",()=>console.log("up"));c.on("error",(e)=>console.log(e.code));c.on("data",(d)=>process.stdout.write("got "+d));process.stdin.on("data",(d)=>c.write(d))`;

interface Talker {
  readonly up: Promise<void>;
  /** Whether a word comes back; TCP takes its time after it was blocked. */
  says(word: string, withinMs?: number): Promise<boolean>;
}

function talk(where: string, script: string): Talker {
  const p = spawn('ip', ['netns', 'exec', ns(where), process.execPath, '-e', script], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { PATH: process.env.PATH ?? '' },
  });
  children.push(p);
  let text = '';
  let heard: () => void = () => undefined;
  p.stdout.setEncoding('utf8').on('data', (t: string) => {
    text += t;
    heard();
  });
  const seen = (what: string, ms: number): Promise<boolean> =>
    new Promise((resolve) => {
      const timer = setTimeout(() => resolve(text.includes(what)), ms);
      heard = () => {
        if (!text.includes(what)) return;
        clearTimeout(timer);
        resolve(true);
      };
      heard();
    });
  return {
    up: seen('up', 5_000).then((ok) => expect([where, ok]).toEqual([where, true])),
    says(word, withinMs = 1_000) {
      p.stdin.write(`${word}\n`);
      return seen(word, withinMs);
    },
  };
}

const setFlag = (on: boolean): void => {
  const key = Buffer.alloc(4);
  const config = lab.map('node_config');
  const now = dp.nodeConfig.decode(config.lookup(key)!);
  const flags = on ? now.flags | dp.NodeFlag.hostPolicy : now.flags & ~dp.NodeFlag.hostPolicy;
  config.update(key, dp.nodeConfig.encode({ ...now, flags }));
};
const given = (flags: number, rows: readonly PolicyRow[] = []): void => {
  lab.policy(HOST, flags, rows);
  setFlag(true);
  lab.bump();
};
const open = (): void => {
  setFlag(false);
  lab.forget(HOST);
  lab.bump();
};

beforeAll(() => {
  build();
  world = createWorld(4);
  lab = world.n1.lab;
  // the way back for what `out` sends through n1
  for (const route of ['route add 192.168.8.0/24 via 192.168.9.1', '-6 route add fd98::/64 via fd99::1']) sh(`ip -n ${ns('n2')} ${route}`);
});
afterAll(() => {
  for (const c of children) c.kill('SIGKILL');
  world.close();
});
beforeEach(() => open());

const pings = (from: string, to: string, size = 56): boolean => / 0% packet loss/.test(tryIn(from, `ping -c1 -W0.4 -s ${size} ${to}`).out);

describe.each([4, 6] as const)('IPv%i', (f) => {
  const at = AT[f];

  test('connections older than the policy are judged by who opened them', async () => {
    const ports = [7001 + f * 10, 7002 + f * 10] as const;
    const servers = [talk('n1', serverScript(ports[0])), talk('out', serverScript(ports[1]))];
    for (const s of servers) await s.up;
    const inwards = talk('out', clientScript(at.near, ports[0]));
    const outwards = talk('n1', clientScript(at.out, ports[1]));
    for (const c of [inwards, outwards]) await c.up;
    expect(await Promise.all([inwards.says('in1'), outwards.says('out1')])).toEqual([true, true]);

    given(BOTH, [{ direction: 'ingress', proto: PROTO.tcp, port: ports[0] }]);
    expect(await Promise.all([inwards.says('in2'), outwards.says('out2')])).toEqual([true, false]);
    given(BOTH, [{ direction: 'egress', proto: PROTO.tcp, port: ports[1] }]);
    expect(await Promise.all([inwards.says('in3'), outwards.says('out3', 8_000)])).toEqual([false, true]);
    // default deny of one direction does not let the other one's answers pass for something new
    given(DENY.egress);
    expect(await outwards.says('out4')).toBe(false);
    open();
    expect(await Promise.all([inwards.says('in5', 15_000), outwards.says('out5', 15_000)])).toEqual([true, true]);
  }, 60_000);

  test('a closed node still carries its pods: tunnel, masquerade, fragments, neighbours', () => {
    given(BOTH);
    for (const n of ['n1', 'n2', 'out']) sh(`ip -n ${ns(n)} neigh flush all 2>/dev/null || true`);
    for (const to of [at.here, at.there, at.out, at.other]) expect([to, pings('a', to)]).toEqual([to, true]);
    expect(pings('a', at.there, 4000)).toBe(true);
    expect(pings('c', at.here)).toBe(true);
    for (const to of [at.out, at.other, at.here, at.there]) expect([to, pings('n1', to)]).toEqual([to, false]);
    for (const [from, to] of [
      ['out', at.near],
      ['n2', at.node],
      ['a', at.node],
      ['a', at.router],
      ['c', at.node],
    ] as const) {
      expect([from, to, pings(from, to)]).toEqual([from, to, false]);
    }
    expect(lab.dropped(133, 0) + lab.dropped(133, 1)).toBeGreaterThan(0);
  });

  test('and passes on what is for others', () => {
    given(BOTH);
    expect([pings('out', at.other), pings('n2', at.out)]).toEqual([true, true]);
  });

  test('what is allowed gets through, on every way', () => {
    const echo = { proto: f === 4 ? PROTO.icmp : PROTO.icmp6, port: f === 4 ? 8 : 128 };
    given(BOTH, [{ direction: 'ingress', ...echo }]);
    for (const [from, to] of [
      ['out', at.near],
      ['n2', at.node],
      ['a', at.node],
      ['c', at.node],
    ] as const) {
      expect([from, to, pings(from, to, 4000)]).toEqual([from, to, true]);
    }
    expect(pings('n1', at.out)).toBe(false);
    given(BOTH, [{ direction: 'egress', ...echo }]);
    for (const to of [at.out, at.other, at.here, at.there]) expect([to, pings('n1', to)]).toEqual([to, true]);
    expect(pings('out', at.near)).toBe(false);
  });
});
