// `axoneme service explain` makes the decisions of service.h, north.h and translate.h again from rows. Random tables, random clients, thousands
// of first packets through the real programs and connections of real sockets: it must name the verdict, the way and the backend, one of the set
// where the lot falls.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Explanation, explain, type Way } from '../../packages/apps/cli/src/service/explain.ts';
import { createDice, type Dice } from './dice.ts';
import { type Asked, createRandomNode, PLACES, type Setting } from './explain-world.ts';
import { build, dp } from './kit.ts';
import { PROTO } from './names.ts';
import { FAMILIES, type Family } from './pods.ts';
import { createCgroup, createMan, createNetns, type Man } from './sockets.ts';

/** Of each family; every world has its own tables. */
const WORLDS = Number(process.env.AXO_WORLDS ?? 60);
const PACKETS = 40;
const CONNECTIONS = 12;
let node: ReturnType<typeof createRandomNode>;
let cgroup: ReturnType<typeof createCgroup>;
let spaces: ReturnType<typeof createNetns>[] = [];
let men: Man[] = [];

beforeAll(async () => {
  build();
  node = createRandomNode();
  cgroup = createCgroup(node.lab, 'axe');
  spaces = ['node', 'pod'].map((name) => createNetns(name));
  men = await Promise.all(spaces.map((s) => createMan(cgroup.path, s.name)));
});
afterAll(async () => {
  for (const m of men) await m.stop();
  for (const s of spaces) s.close();
  cgroup?.close();
  node?.close();
});
const cookies = (): [bigint, bigint] => [spaces[0]!.cookie, spaces[1]!.cookie];
const protocol = (proto: number) => (proto === PROTO.tcp ? 'TCP' : 'UDP');
const ask = (q: Asked, port = true): Promise<Explanation> =>
  explain(node.rows, {
    client: q.client,
    clientPort: port ? q.sport : undefined,
    to: q.to,
    toPort: q.port,
    protocol: protocol(q.proto),
  } as never);

/** In the words of `outcome` in explain-world.ts. */
function wayText({ backend, mode, text, dropReason }: Way): string {
  if (mode === 'dropped') return `drop ${dropReason}`;
  const as = /(?:SNAT to|, as) (\S+)/.exec(text)?.[1];
  const by = /through the tunnel to ([^\s:]\S*?)(?::? |$)/.exec(text)?.[1];
  return `${mode} ${backend}${as === undefined ? '' : ` as ${as}`}${by === undefined ? '' : ` by ${by}`}`;
}
function expected(e: Explanation): readonly string[] {
  if (e.outcome === 'dropped') return [`drop ${e.dropReason}`];
  return e.ways.length === 0 ? [e.outcome] : e.ways.map(wayText);
}
const told = (q: Asked, e: Explanation): string => `${JSON.stringify(q)}\n${e.steps.map((s) => s.join(': ')).join('\n')}`;

/** Mostly of a frontend there is. */
function question(f: Family, d: Dice, { fronts }: Setting, clients: readonly (keyof (typeof PLACES)[4])[]): Asked {
  const p = PLACES[f];
  const nobody = ['vip', 'vip2', 'own', 'node', 'cluster', 'b', 'pod', 'loose', 'router', 'world'] as const;
  const [address, port, proto] = d.once(5) ? [p[d.of(nobody)], d.of([80, 81, 30_080, 443]), d.of([PROTO.tcp, PROTO.udp])] : d.of(fronts);
  const to = address === p.any ? p[d.of(['own', 'own', 'router', 'node', 'vip'] as const)] : address;
  return { client: p[d.of(clients)], sport: 1024 + d.below(60_000), to, port, proto };
}

/** How often each way was seen. */
function createTally() {
  const seen = new Map<string, number>();
  return {
    hold: (q: Asked, e: Explanation, words: readonly string[], got: string): void => {
      if (!words.includes(got)) throw new TypeError(`${got} is not ${words.join(' or ')}\n${told(q, e)}`);
      const what = got.startsWith('drop') ? got : got.split(' ')[0]!;
      seen.set(what, (seen.get(what) ?? 0) + 1);
      if (e.outcome === 'by lot') seen.set('by lot', (seen.get('by lot') ?? 0) + 1);
    },
    count: (what: string): number => seen.get(what) ?? 0,
  };
}

describe.each(FAMILIES)('IPv%i', (f) => {
  test(`packets: the verdict, the backend, the way and the reason for a drop, seed ${f}`, async () => {
    const d = createDice(f);
    const tally = createTally();
    for (let w = 0; w < WORLDS; w++) {
      const setting = node.shuffle(f, d, cookies());
      const inside = setting.flags & dp.NodeFlag.podServices ? (['a', 'a', 'a'] as const) : [];
      for (let i = 0; i < PACKETS; i++) {
        const q = question(f, d, setting, ['world', 'world2', 'world', 'world2', 'loose', 'pod', 'unlisted', 'node', 'api', ...inside]);
        const e = await ask(q);
        const got = node.send(f, q, setting.sender);
        tally.hold(q, e, expected(e), got);
        // what there is now is told of the next packet
        const after = (await ask(q)).steps.find(([what]) => what === 'connection')?.[1];
        expect([got, after]).toEqual([got, /^(drop|refused|no )/.test(got) ? undefined : expect.stringContaining(got.split(' ')[1]!)]);
      }
    }
    const ways = ['local', 'stack', 'snat', 'dsr', 'ipip', 'refused', 'no', 'drop 158', 'drop 167', 'drop 170', 'drop 177'];
    expect(ways.filter((way) => tally.count(way) === 0)).toEqual([]);
    expect(tally.count('by lot')).toBeGreaterThan(WORLDS);
  });

  test(`connections of pods and of programs of the node: the backend or the refusal, seed ${f}`, async () => {
    const d = createDice(f + 10);
    const tally = createTally();
    for (let w = 0; w < WORLDS; w++) {
      const setting = node.shuffle(f, d, cookies());
      for (let i = 0; i < CONNECTIONS; i++) {
        const q = question(f, d, setting, setting.flags & dp.NodeFlag.podServices ? ['own'] : ['own', 'a']);
        const to = d.once(8) ? (f === 4 ? '127.0.0.1' : '::1') : q.to;
        const asked = { ...q, to };
        const e = await ask(asked, false);
        const { error } = await men[q.client === PLACES[f].a ? 1 : 0]!.touch(to, q.port, q.proto === PROTO.tcp);
        // a program does not see whether nobody serves it or there is no service
        const words = e.outcome === 'dropped' ? ['no service'] : expected(e);
        tally.hold(asked, e, words, node.connected(f, asked, error));
      }
    }
    expect(['local', 'refused', 'no'].filter((way) => tally.count(way) < WORLDS / 4)).toEqual([]);
    expect(tally.count('by lot')).toBeGreaterThan(WORLDS / 2);
  });
});
