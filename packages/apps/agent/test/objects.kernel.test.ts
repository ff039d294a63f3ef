// eBPF objects that the operator names: swapped under traffic, refused when they cannot run, taken up again after a restart.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SCHEMA_DIGEST } from '@axoneme/datapath';
import { DatapathSet } from '@axoneme/proto';
import { withoutEnd } from '@axoneme/testkit';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { objectHash, objectNames } from '../src/datapath/objects.ts';
import type { ArtifactContent } from '../src/store/artifact-file.ts';
import type { TestOperator, TestPod } from './harness.ts';
import { ask, build, count, createNode, createOperator, createPod, flood, startEcho, stopTraffic, until } from './harness.ts';
import { client, server, stranger, workload, world } from './scenario.ts';

const node = createNode();
const pods: TestPod[] = [];
let operator: TestOperator;
const named = {
  'workload/default/client': workload('client', client),
  'workload/default/server': workload('server', server),
  'workload/default/stranger': workload('stranger', stranger),
};

const objectsDir = fileURLToPath(new URL('../../../../bpf/build', import.meta.url));

type Objects = ReadonlyMap<string, Buffer>;
const none = Buffer.alloc(0);
const blob = (table: string, bytes: Uint8Array): ArtifactContent => ({ table, keys: none, values: none, blob: Buffer.from(bytes) });
const builtin = (): Objects => new Map(objectNames.map((n) => [n, readFileSync(`${objectsDir}/${n}.o`)]));
/** Same programs, other bytes: what follows the sections of an ELF file is nobody's. */
const tagged = (tag: string): Objects => new Map([...builtin()].map(([n, b]) => [n, Buffer.concat([b, Buffer.from(tag)])]));
const broken = (): Objects => new Map([...tagged('broken')].map(([n, b]) => [n, withoutEnd(b)]));
const hashes = (objects: Objects): Record<string, string> => Object.fromEntries([...objects].map(([n, b]) => [n, objectHash(b)]));
const setOf = (objects: Objects, schemaDigest = SCHEMA_DIGEST): ArtifactContent =>
  blob('datapath', DatapathSet.encode({ objects: hashes(objects), schemaDigest }).finish());
const artifactsOf = (objects: Objects): Record<string, ArtifactContent> => ({
  'node/datapath': setOf(objects),
  ...Object.fromEntries([...objects.values()].map((b) => [`object/${objectHash(b)}`, blob('object', b)])),
});
const gone = (objects: Objects): Record<string, null> =>
  Object.fromEntries([...objects.values()].map((b) => [`object/${objectHash(b)}`, null]));
const pinned = (): string[] => node.exec('ls', `${node.dir}/bpf/axoneme/progs`).trim().split('\n');

beforeAll(async () => {
  build();
  operator = await createOperator(node.gateway);
  node.start();
  node.writeTrust(operator);
  await operator.push(node.name, { ...world(node), ...named });
  for (const name of ['client', 'server', 'stranger']) {
    const p = createPod('default', name);
    pods.push(p);
    expect(await node.cni('ADD', p)).toMatchObject({ code: 0 });
  }
}, 60_000);
afterEach(stopTraffic);
afterAll(async () => {
  operator?.stop();
  for (const p of pods) p.close();
  await node.close();
});

/** Runs `act` under allowed and forbidden traffic: nothing allowed is lost, nothing forbidden passes. */
async function underTraffic(act: () => Promise<void>): Promise<void> {
  const [clientPod, serverPod, strangerPod] = pods as [TestPod, TestPod, TestPod];
  const counter = await count(serverPod);
  const floods = await Promise.all(['10.231.1.3', 'fd23:1:1::3'].flatMap((a) => [flood(clientPod, a), flood(strangerPod, a)]));
  await act();
  const sent = await Promise.all(floods.map(async (f) => Number(await f.finish())));
  expect(JSON.parse(await counter.finish())).toEqual({ '10.231.1.2': sent[0], 'fd23:1:1::2': sent[2] });
  expect(sent.every((n) => n > 100)).toBe(true);
}

test('the objects of the image run, are announced, and naming them changes nothing', async () => {
  const link = operator.server.hub.link(node.name as never);
  expect(link?.hello?.datapath).toEqual({ running: hashes(builtin()), builtin: hashes(builtin()), stored: {} });
  const before = node.log().length;
  const ack = await operator.push(node.name, { 'node/datapath': setOf(builtin()) });
  expect(ack.running).toEqual(hashes(builtin()));
  expect(node.log().slice(before)).not.toMatch(/swapped|loaded/);
});

test('there and back five times under traffic: nothing lost, nothing passed, one set of programs left', async () => {
  await underTraffic(async () => {
    for (let i = 0; i < 5; i++) {
      const next = tagged(`round ${i}`);
      expect((await operator.push(node.name, artifactsOf(next))).running).toEqual(hashes(next));
      const back = { 'node/datapath': setOf(builtin()), ...gone(next) };
      expect((await operator.push(node.name, back)).running).toEqual(hashes(builtin()));
    }
  });
  expect(node.log().match(/"outcome":"swapped"/g)?.length).toBeGreaterThan(40);
  expect(pinned()).toHaveLength(1);
}, 120_000);

test('objects the verifier refuses: a Nack with its words, the old programs go on at the old revision', async () => {
  const bad = broken();
  const before = pinned();
  const held = operator.acks.at(-1)?.revision;
  await underTraffic(async () => {
    operator.set(node.name, artifactsOf(bad));
    const nack = await until(() => operator.nacks.at(-1), 'the refusal');
    expect(nack).toMatchObject({ code: 'agent/object-rejected', artifact: 'node/datapath', heldRevision: held });
    expect(nack.reason).toMatch(/unknown opcode ff|not an exit/);
    expect(pinned()).toEqual(before);
    const ack = await operator.push(node.name, {
      'node/datapath': setOf(builtin()),
      ...gone(bad),
      'workload/default/more': workload('more', client),
    });
    expect(ack.running).toEqual(hashes(builtin()));
  });
}, 120_000);

test('objects for other tables, and sets that lack one, are refused', async () => {
  const refused = async (set: ArtifactContent): Promise<string> => {
    const seen = operator.nacks.length;
    operator.set(node.name, { 'node/datapath': set });
    return until(() => operator.nacks[seen]?.reason, 'the refusal');
  };
  expect(await refused(setOf(tagged('x'), 'other'))).toContain('other tables');
  expect(await refused(setOf(new Map([...builtin()].slice(1))))).toContain('lacks the object pod');
  expect(await refused(setOf(tagged('not sent')))).toContain('is not on this node');
  await operator.push(node.name, { 'node/datapath': setOf(builtin()), 'workload/default/other': workload('other', client) });
}, 120_000);

test('a restarted agent goes on with what was named, also without pins', async () => {
  const next = tagged('stays');
  await operator.push(node.name, artifactsOf(next));
  for (const wipe of [false, true]) {
    await node.kill();
    if (wipe) node.exec('umount', `${node.dir}/bpf`);
    const before = node.log().length;
    node.start();
    await until(() => node.log().slice(before).includes('"agent serves"'), 'the agent serves again');
    const sent = operator.server.hub.totals().sent.artifacts;
    await until(() => operator.server.hub.link(node.name as never)?.connected, 'the link');
    const hello = operator.server.hub.link(node.name as never)?.hello?.datapath;
    expect(hello).toMatchObject({ running: hashes(next), builtin: hashes(builtin()) });
    expect(Object.keys(hello?.stored ?? {}).sort()).toEqual(Object.values(hashes(next)).sort());
    expect(operator.server.hub.totals().sent.artifacts).toBe(sent);
  }
  const echo = await startEcho(pods[1] as TestPod);
  await until(() => ask(pods[0] as TestPod, '10.231.1.3') === 'pong', 'traffic');
  expect(ask(pods[2] as TestPod, '10.231.1.3')).toBe('timeout');
  echo.kill();
}, 60_000);

test('without a name the node runs the objects of its image', async () => {
  const ack = await operator.push(node.name, { 'node/datapath': null, ...gone(tagged('stays')) });
  expect(ack.running).toEqual(hashes(builtin()));
});
