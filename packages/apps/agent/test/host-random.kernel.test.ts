// P5-a, part 1: a thousand random host policies against a node whose operator link runs over the enforced device. Real: the agent's apply, trial and
// guard, its store, the kernel's tables and the programs that judge every packet of the link. Simulated: time, and the link itself (a connection is
// packets through to_netdev and from_netdev by test runs).
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type BpfObject, ensureBpffs, openObject, skBuffContext } from '@axoneme/bpf';
import { EndpointFlag, endpointKey, endpointValue, NodeFlag, nodeConfig } from '@axoneme/datapath';
import { ipBytes, parseIp } from '@axoneme/model';
import { createHeldDigest } from '@axoneme/proto';
import { silentLog, unwrap } from '@axoneme/std';
import { buildFrame, createFakeClock, createRandom, tcpFlags } from '@axoneme/testkit';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Apply, createApply } from '../src/apply/apply.ts';
import { createTables } from '../src/datapath/tables.ts';
import { ipBytes16 } from '../src/endpoints/address.ts';
import { createHostGuard, type HostGuard } from '../src/host/guard.ts';
import { type ArtifactContent, contentDigest } from '../src/store/artifact-file.ts';
import { createStore } from '../src/store/store.ts';
import { build } from './harness.ts';
import { addresses, type HostRow, hostName, hostPolicy } from './host-kit.ts';

const policies = Number(process.env.AXA_HOST_POLICIES ?? 1000);
const confirmMs = 20_000;
const revertMsMax = 30_000;
const quietMsMax = 15_000;
const node = { 4: '192.168.9.1', 6: 'fd99::1' } as const;
const operator = { 4: '10.50.0.5', 6: 'fd50::5' } as const;
const operatorPort = 7443;
const random = createRandom(20_261_122);
const bpffs = `/tmp/axa-random-${process.pid}`;
const dirs = { 4: mkdtempSync(`${tmpdir()}/axa-random-`), 6: mkdtempSync(`${tmpdir()}/axa-random-`) };
let object: BpfObject;

beforeAll(() => {
  build();
  mkdirSync(bpffs);
  ensureBpffs(bpffs);
  const maxEntries = { flow4: 16384, flow6: 16384, lb_sock: 1024, counters: 65536, events: 1 << 20 };
  object = openObject(fileURLToPath(new URL('../../../../bpf/build/netdev.o', import.meta.url)), { pinRoot: bpffs, maxEntries });
  const none = (n: number): Uint8Array => new Uint8Array(n);
  const v6 = ipBytes(unwrap(parseIp(node[6])));
  object.map('node_config').update(
    Buffer.alloc(4),
    Buffer.from(
      nodeConfig.encode({
        nodeIp4: Uint8Array.from([192, 168, 9, 1]),
        routerIp4: none(4),
        nodeIp6: v6,
        routerIp6: none(16),
        ifindexVxlan: 0,
        ifindexHost: 0,
        ifindexNet: 0,
        ifindexNetdev: 1,
        macHost: none(6),
        macNet: none(6),
        flags: NodeFlag.tunnel,
        vxlanPort: 8472,
        snatMin: 20000,
        snatMax: 29999,
        nodePortMin: 30000,
        nodePortMax: 32767,
        pathMtu: 0,
        netnsCookie: 0n,
        eventSample: 0,
        dropSample: 0,
      }),
    ),
  );
  for (const family of [4, 6] as const) {
    const value = endpointValue.encode({ ifindex: 0, identity: 1, id: 0, flags: EndpointFlag.host, mac: none(6), hostMac: none(6) });
    object.map('endpoint').update(Buffer.from(endpointKey.encode({ addr: ipBytes16(node[family]), family })), Buffer.from(value));
  }
});
afterAll(() => {
  object.close();
  execFileSync('umount', ['-l', bpffs]);
  rmdirSync(bpffs);
  for (const dir of Object.values(dirs)) rmSync(dir, { recursive: true, force: true });
});

type Family = 4 | 6;
let lastPort = 10_000;
const passes = (program: string, family: Family, out: boolean, port: number, flags: number): boolean => {
  const [here, there] = [unwrap(parseIp(node[family])), unwrap(parseIp(operator[family]))];
  const frame = buildFrame({
    src: out ? here : there,
    dst: out ? there : here,
    l4: { kind: 'tcp', srcPort: out ? port : operatorPort, dstPort: out ? operatorPort : port, flags, payload: Buffer.alloc(40) },
  });
  return object.program(program).testRun({ packet: frame, context: skBuffContext({ ingressIfindex: 1 }) }).verdict === 0;
};
const out = (f: Family, port: number, flags: number): boolean => passes('to_netdev', f, true, port, flags);
const back = (f: Family, port: number, flags: number): boolean => passes('from_netdev', f, false, port, flags);

/** A new connection of the node to its operator: its port, or undefined when a packet of the handshake is lost. */
function dial(f: Family): number | undefined {
  lastPort = lastPort < 60_000 ? lastPort + 1 : 10_001;
  const port = lastPort;
  const shaken = out(f, port, tcpFlags.syn) && back(f, port, tcpFlags.syn | tcpFlags.ack) && out(f, port, tcpFlags.ack);
  return shaken ? port : undefined;
}
const alive = (f: Family, port: number): boolean => out(f, port, tcpFlags.ack) && back(f, port, tcpFlags.ack);

const peers = [0, 1003, 6, 7, 9, 10, 0x01000001, 0x01000002, 0x01000003] as const;
const pick = <T>(from: readonly T[]): T => from[random.int(0, from.length - 1)] as T;
function randomRow(): HostRow {
  const proto = pick([0, 0, 6, 6, 6, 17, 1]);
  const ports = proto === 6 || proto === 17;
  const plen = ports ? pick([0, 8, 12, 16, 16]) : 0;
  return {
    direction: pick(['ingress', 'egress'] as const),
    peer: pick(peers),
    proto,
    ...(plen === 0 ? {} : { port: pick([operatorPort, 22, 443, 10250]), plen }),
    verdict: pick(['allow', 'allow', 'deny'] as const),
  };
}
/** A policy and how the operator's addresses look meanwhile: in a prefix, in a longer one, a node's, the world. */
function randomWish(): Record<string, ArtifactContent> {
  const world = pick<Record<string, number>>([
    {},
    { '10.50.0.0/16': 0x01000001, 'fd50::/32': 0x01000002 },
    { '10.50.0.0/24': 0x01000003, 'fd50::/64': 0x01000003 },
    { '10.50.0.0/16': 0x01000001, '10.50.0.0/28': 0x01000002, 'fd50::/16': 0x01000003 },
    { '10.50.0.5/32': 6, 'fd50::5/128': 6 },
    { '10.50.0.5/32': 7, '0.0.0.0/0': 0x01000002, '::/0': 0x01000001 },
  ]);
  const cidr = { 'ipcache/cidr': addresses(world) };
  if (random.int(0, 9) === 0) return cidr;
  const p = hostPolicy(random.int(0, 3), Array.from({ length: random.int(0, 6) }, randomRow));
  return { ...cidr, [p.policyName]: p.policy, [hostName]: p.subject };
}

const clock = createFakeClock();
interface Agent {
  readonly apply: Apply;
  readonly guard: HostGuard;
  readonly life: AbortController;
}
async function startAgent(f: Family): Promise<Agent> {
  const life = new AbortController();
  const apply = createApply({ store: createStore(dirs[f]), tables: createTables(object.maps), clock, log: silentLog });
  apply.start();
  const guard = createHostGuard({
    apply,
    confirmMs,
    reachable: async () => dial(f) !== undefined,
    reconnect: () => undefined,
    clock,
    log: silentLog,
  });
  await guard.start(life.signal);
  return { apply, guard, life };
}
/** Everything queued in front is done. */
const barrier = (a: Agent): Promise<unknown> => a.apply.confirmHost({ changes: [], sinceMs: -1 });

/** What an operator sends that was told in full what the node holds. */
async function push(a: Agent, wish: Readonly<Record<string, ArtifactContent>>): Promise<string> {
  const held = new Map(a.apply.heldNames());
  const list = Object.entries(wish).map(([name, content]) => ({ name, content, digest: contentDigest(content) }));
  const heldDigest = createHeldDigest(new Map(list.map((u) => [u.name, u.digest]))).bytes();
  const upserts = list.filter((u) => held.get(u.name) !== u.digest);
  const removes = [...held.keys()].filter((n) => !Object.hasOwn(wish, n));
  const done = await a.apply.commit({ revision: a.apply.revision + 1, epoch: 1, heldDigest, upserts, removes });
  return done.ok ? 'ok' : done.error.code;
}

const title = `P5-a: ${policies / 2} random host policies over IPv%i, killed agents among them: the node is never lost and back within 30 s`;
test.each([4, 6] as const)(
  title,
  async (f) => {
    const seen = { confirmed: 0, reverted: 0, killed: 0, opened: 0, refused: 0, worstMs: 0 };
    const first = await startAgent(f);
    await push(first, {});
    first.life.abort();
    for (let n = 0; n < policies / 2; n++) {
      let agent = await startAgent(f);
      let link = dial(f);
      // before every policy the node can be reached: this is what "not lost" means
      expect([n, link !== undefined]).toEqual([n, true]);
      const refusals = agent.apply.host().refused.length;
      const code = await push(agent, randomWish());
      if (code !== 'ok') {
        expect([n, code]).toEqual([n, 'agent/host-policy-reverted']);
        seen.refused++;
      } else if (agent.apply.host().trial === undefined) seen.opened++;
      const trial = agent.apply.host().trial !== undefined;
      const killAt = random.int(0, 4) === 0 ? random.int(0, 19) : -1;
      let brokenMs = 0;
      let quietMs = 0;
      for (let second = 0; second <= revertMsMax / 1000 && agent.apply.host().trial !== undefined; second++) {
        if (second === killAt) {
          agent.life.abort();
          agent = await startAgent(f);
          link = undefined;
          seen.killed++;
        }
        const works = link !== undefined && alive(f, link);
        quietMs = works ? 0 : quietMs + 1000;
        if (works && second % 5 === 4) agent.guard.heard();
        if (quietMs > quietMsMax || link === undefined) link = dial(f);
        if (dial(f) === undefined) brokenMs = (second + 1) * 1000;
        await clock.advanceAsync(1000);
        await barrier(agent);
      }
      expect([n, agent.apply.host().trial]).toEqual([n, undefined]);
      if (agent.apply.host().refused.length > refusals) seen.reverted++;
      else if (trial && code === 'ok') seen.confirmed++;
      seen.worstMs = Math.max(seen.worstMs, brokenMs);
      expect([n, dial(f) !== undefined, agent.apply.verify()]).toEqual([n, true, []]);
      agent.life.abort();
    }
    expect(seen.worstMs).toBeLessThanOrEqual(revertMsMax);
    // both ends of the story were told often
    expect(Math.min(seen.confirmed, seen.reverted)).toBeGreaterThan(policies / 20);
    process.stderr.write(`host policies over IPv${f}: ${JSON.stringify(seen)}\n`);
  },
  300_000,
);
