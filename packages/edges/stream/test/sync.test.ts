import { issueServer } from '@axoneme/pki';
import { NodeProtocolServiceDefinition, type SyncRequest, type SyncResponse } from '@axoneme/proto';
import { AppError, err } from '@axoneme/std';
import { type Client, type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createAssembler } from '../src/client/assemble.ts';
import { openChannel } from '../src/client/channel.ts';
import { type NodeServer, operatorServerName, type ReceivedCommit } from '../src/index.ts';
import { methodOf } from '../src/wire.ts';
import { Agent, createWorld, name, Store, startAgent, until, type World } from './fixture.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world.stop.abort());

const at = (revision: number, epoch = 1): { revision: number; epoch: number } => ({ revision, epoch });
const agentOf = async (server: NodeServer, node: string, agent = new Agent(node)): Promise<Agent> =>
  startAgent(agent, { endpoints: () => [`127.0.0.1:${server.ports().node}`], tls: await world.nodeTls(node), signal: world.stop.signal });

/** A stream that is read by hand. */
async function rawStream(
  server: NodeServer,
  node: string,
): Promise<{ call: ClientDuplexStream<SyncRequest, SyncResponse>; client: Client }> {
  const client = openChannel(`127.0.0.1:${server.ports().node}`, await world.nodeTls(node), operatorServerName);
  const m = methodOf<SyncRequest, SyncResponse>(NodeProtocolServiceDefinition, NodeProtocolServiceDefinition.methods.sync);
  const call = client.makeBidiStreamRequest(m.path, m.requestSerialize, m.responseDeserialize, new Metadata());
  call.on('error', () => undefined);
  call.write({ message: { $case: 'hello', value: new Agent(node).hello(true) } });
  return { call, client };
}

describe('commits', () => {
  test('first all, then only what changed, and nothing when nothing did', async () => {
    const store = new Store();
    for (const n of ['a', 'b', 'c']) store.put(n, `${n}1`);
    const server = await world.operator(store);
    server.hub.setDesired(name('n1'), store.desired('a', 'b', 'c'), at(1));
    const agent = await agentOf(server, 'n1');
    await until(() => server.hub.link(name('n1'))?.ackedRevision === 1, 'first ack');
    expect(agent.texts()).toEqual({ a: 'a1', b: 'b1', c: 'c1' });
    expect(agent.commits).toHaveLength(1);

    store.put('b', 'b2');
    server.hub.setDesired(name('n1'), store.desired('a', 'b'), at(2));
    await until(() => server.hub.link(name('n1'))?.ackedRevision === 2, 'second ack');
    expect(agent.commits[1]).toMatchObject({ revision: 2, removes: ['c'] });
    expect(agent.commits[1]?.upserts.map((u) => u.name)).toEqual(['b']);
    expect(agent.texts()).toEqual({ a: 'a1', b: 'b2' });

    const sent = server.hub.totals().sent;
    server.hub.setDesired(name('n1'), store.desired('a', 'b'), at(3));
    expect(server.hub.link(name('n1'))?.ackedRevision).toBe(3);
    agent.client.reconnect();
    await until(() => agent.commits.length === 3, 'empty commit after reconnect');
    expect(agent.commits[2]).toMatchObject({ revision: 3, upserts: [], removes: [] });
    expect(server.hub.totals().sent).toMatchObject({ artifacts: sent.artifacts, artifactBytes: sent.artifactBytes });
    expect(agent.fullHellos).toBe(0);
  });

  test('an operator that restarts with the same result sends no artifact and asks for no list', async () => {
    const store = new Store();
    store.put('a', 'a1');
    const stop = new AbortController();
    const first = await world.operator(store, { signal: stop.signal });
    const { node: port } = first.ports();
    first.hub.setDesired(name('n2'), store.desired('a'), at(1));
    const agent = await agentOf(first, 'n2');
    await until(() => agent.commits.length === 1, 'first commit');
    stop.abort();
    const second = await world.operator(store, { port });
    // The agent is back before the operator has compiled anything: it must wait, not be asked for its list.
    await until(() => second.hub.link(name('n2'))?.connected === true, 'reconnect');
    second.hub.setDesired(name('n2'), store.desired('a'), at(9, 2));
    await until(() => second.hub.link(name('n2'))?.ackedRevision === 9, 'ack at the new operator');
    expect(second.hub.totals().sent).toMatchObject({ artifacts: 0, artifactBytes: 0 });
    expect(agent.fullHellos).toBe(0);
  });

  test('an agent with an unknown set is asked for its list and gets the difference', async () => {
    const store = new Store();
    store.put('a', 'a1');
    const b = store.put('b', 'b1');
    const server = await world.operator(store);
    const agent = new Agent('n3');
    agent.held.set('b', { digest: b, text: 'b1' });
    agent.held.set('old', { digest: b, text: 'x' });
    server.hub.setDesired(name('n3'), store.desired('a', 'b'), at(1));
    await agentOf(server, 'n3', agent);
    await until(() => agent.commits.length === 1, 'commit');
    expect(agent.fullHellos).toBe(1);
    expect(agent.commits[0]).toMatchObject({ removes: ['old'] });
    expect(agent.commits[0]?.upserts.map((u) => u.name)).toEqual(['a']);
  });

  test('a refused commit stays visible, is sent again, and the acknowledgement clears it', async () => {
    const store = new Store();
    store.put('a', 'a1');
    const nacks: string[] = [];
    const server = await world.operator(store, {
      config: { hub: { nackBackoff: { baseMs: 5, maxMs: 10 } } },
      deps: { events: { nack: (_, n) => nacks.push(n.code) } },
    });
    const agent = new Agent('n4');
    let full = true;
    agent.refuse = () =>
      full ? err(new AppError({ code: 'agent/table-full', message: 'table policy is full', fields: { artifact: 'a' } })) : undefined;
    server.hub.setDesired(name('n4'), store.desired('a'), at(1));
    await agentOf(server, 'n4', agent);
    await until(() => nacks.length >= 3, 'repeated nacks');
    expect(server.hub.link(name('n4'))).toMatchObject({ ackedRevision: 0, lag: 1, lastNack: { code: 'agent/table-full', artifact: 'a' } });
    full = false;
    await until(() => server.hub.link(name('n4'))?.ackedRevision === 1, 'ack');
    expect(server.hub.link(name('n4'))?.lastNack).toBeUndefined();
    expect(agent.texts()).toEqual({ a: 'a1' });
  });

  test('an acknowledgement with another digest makes the operator ask what is really held', async () => {
    const store = new Store();
    store.put('a', 'a1');
    store.put('b', 'b1');
    const server = await world.operator(store);
    const agent = new Agent('n5');
    server.hub.setDesired(name('n5'), store.desired('a', 'b'), at(1));
    await agentOf(server, 'n5', agent);
    await until(() => agent.commits.length === 1, 'commit');
    agent.held.delete('a');
    store.put('b', 'b2');
    server.hub.setDesired(name('n5'), store.desired('a', 'b'), at(2));
    await until(() => agent.held.has('a'), 'the lost artifact comes back');
    expect(agent.texts()).toEqual({ a: 'a1', b: 'b2' });
    expect(agent.fullHellos).toBe(1);
  });

  test('5 MiB go in chunks below 1 MiB', async () => {
    const store = new Store();
    const big = Buffer.alloc(5 * 1024 * 1024, 'abcdefg');
    store.put('big', big);
    const server = await world.operator(store);
    server.hub.setDesired(name('n6'), store.desired('big'), at(1));
    const agent = await agentOf(server, 'n6');
    await until(() => agent.commits.length === 1, 'commit');
    expect(agent.held.get('big')?.text === big.toString('latin1')).toBe(true);
  });

  test('one artifact for fifty streams is encoded once', async () => {
    const store = new Store();
    store.put('shared', 'x'.repeat(10_000));
    const server = await world.operator(store);
    const agents = await Promise.all(Array.from({ length: 50 }, (_, i) => agentOf(server, `m${i}`)));
    for (const [i] of agents.entries()) server.hub.setDesired(name(`m${i}`), store.desired('shared'), at(1));
    await until(() => agents.every((a) => a.commits.length === 1), 'all fifty');
    expect(server.hub.totals()).toMatchObject({ connected: 50, encodes: 1 });
    expect(server.hub.totals().sent.artifacts).toBe(50);
  });
});

describe('slow and vanishing nodes', () => {
  test('a reader that stops costs no memory and finds the newest state in one commit', async () => {
    const store = new Store();
    const names = Array.from({ length: 40 }, (_, i) => `s${i}`);
    for (const n of names) store.put(n, Buffer.alloc(100_000, 0));
    const cacheBytesMax = 8 * 1024 * 1024;
    const server = await world.operator(store, { config: { hub: { cacheBytesMax } } });
    const { call, client } = await rawStream(server, 'slow');
    server.hub.setDesired(name('slow'), store.desired(...names), at(1));
    await until(() => (server.hub.link(name('slow'))?.sent.artifacts ?? 0) > 0, 'first artifact');
    for (let r = 2; r <= 50; r++) {
      for (const n of names.slice(0, 20)) store.put(n, Buffer.alloc(100_000, r));
      server.hub.setDesired(name('slow'), store.desired(...names), at(r));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(server.hub.totals().cachedBytes).toBeLessThanOrEqual(cacheBytesMax);
    expect(server.hub.link(name('slow'))).toMatchObject({ lag: 40, artifacts: 40, ackedRevision: 0 });
    // 50 revisions of 2 MB were made; what waits on the stream is a handful of messages.
    expect(server.hub.link(name('slow'))?.sent.bytes).toBeLessThan(6 * 1024 * 1024);

    const assembler = createAssembler(1e9);
    const commit = await new Promise<ReceivedCommit>((resolve, reject) => {
      call.on('data', ({ message: m }: SyncResponse) => {
        if (m?.$case === 'upsert') assembler.upsert(m.value);
        if (m?.$case === 'remove') assembler.remove(m.value.name);
        if (m?.$case !== 'commit') return;
        const c = assembler.commit(m.value);
        if (c.ok) resolve(c.value);
        else reject(c.error);
      });
    });
    expect(commit.revision).toBe(50);
    expect(new Map(commit.upserts.map((u) => [u.name, u.digest]))).toEqual(store.desired(...names));
    client.close();
  });

  test('changes that outrun the reader do not keep it from its commit', async () => {
    const store = new Store();
    store.put('hot', Buffer.alloc(90_000, 0));
    store.put('cold', Buffer.alloc(90_000, 0));
    const server = await world.operator(store);
    const { call, client } = await rawStream(server, 'hot');
    server.hub.setDesired(name('hot'), store.desired('hot', 'cold'), at(1));
    const commit = await new Promise<number>((resolve) => {
      let n = 1;
      call.on('data', ({ message: m }: SyncResponse) => {
        if (m?.$case === 'upsert') {
          n++;
          store.put('hot', Buffer.alloc(90_000, n % 256));
          server.hub.setDesired(name('hot'), store.desired('hot', 'cold'), at(n));
        }
        if (m?.$case === 'commit') resolve(m.value.revision);
      });
    });
    expect(commit).toBeGreaterThan(0);
    client.close();
  });

  test('a node that vanishes in the middle of a commit starts it again from the beginning', async () => {
    const store = new Store();
    const names = Array.from({ length: 100 }, (_, i) => `v${i}`);
    for (const n of names) store.put(n, Buffer.alloc(50_000, 1));
    const server = await world.operator(store);
    server.hub.setDesired(name('gone'), store.desired(...names), at(1));
    const { call, client } = await rawStream(server, 'gone');
    await new Promise<void>((resolve) => {
      call.on('data', ({ message: m }: SyncResponse) => {
        if (m?.$case === 'upsert') resolve();
      });
    });
    call.cancel();
    client.close();
    await until(() => server.hub.link(name('gone'))?.connected === false, 'disconnect');
    expect(server.hub.link(name('gone'))).toMatchObject({ ackedRevision: 0, lag: 100 });
    const agent = await agentOf(server, 'gone');
    await until(() => agent.commits.length === 1, 'commit');
    expect(agent.commits[0]?.upserts).toHaveLength(100);
  });

  test('a node that leaves the cluster loses its stream, and its record goes', async () => {
    const store = new Store();
    store.put('a', 'a1');
    const gone: string[] = [];
    const server = await world.operator(store, { deps: { events: { disconnected: (_, reason) => gone.push(reason) } } });
    server.hub.setDesired(name('left'), store.desired('a'), at(1));
    const agent = await agentOf(server, 'left');
    await until(() => agent.commits.length === 1, 'commit');
    server.hub.forget(name('left'));
    expect(server.hub.status()).toEqual([]);
    // It may come back, but gets nothing; its stored state stays as it was.
    await until(() => server.hub.link(name('left'))?.connected === true, 'back');
    expect(agent.texts()).toEqual({ a: 'a1' });
    expect(agent.commits).toHaveLength(1);
    const { call, client } = await rawStream(server, 'stray');
    await until(() => server.hub.link(name('stray')) !== undefined, 'stray node');
    call.cancel();
    client.close();
    await until(() => server.hub.link(name('stray')) === undefined, 'no record is left');
  });

  test('a silent agent is let go', async () => {
    const server = await world.operator(new Store(), { config: { hub: { heartbeatMs: 10, quietBeatsMax: 3 } } });
    const { client } = await rawStream(server, 'mute');
    await until(() => server.hub.link(name('mute'))?.connected === true, 'connect');
    await until(() => server.hub.totals().connected === 0, 'let go');
    client.close();
  });

  test('the newer of two streams of a node wins', async () => {
    const store = new Store();
    store.put('a', 'a1');
    const server = await world.operator(store);
    server.hub.setDesired(name('twin'), store.desired('a'), at(1));
    const { call, client } = await rawStream(server, 'twin');
    const ended = new Promise<{ code?: number }>((resolve) => call.on('error', resolve));
    call.resume();
    await until(() => server.hub.link(name('twin'))?.connected === true, 'first stream');
    const agent = await agentOf(server, 'twin');
    expect((await ended).code).toBe(10);
    await until(() => agent.commits.length === 1, 'commit on the newer stream');
    expect(server.hub.totals().connected).toBe(1);
    client.close();
  });
});

describe('which operator', () => {
  test('an operator that cannot see is left for one that can', async () => {
    const store = new Store();
    store.put('a', 'a1');
    let blindAgeMs = 0;
    const blind = await world.operator(store, {
      freshness: () => ({ epoch: 1, leader: false, inputAgeMs: { pods: blindAgeMs, services: 0 } }),
      config: { operatorId: 'blind', hub: { heartbeatMs: 20 } },
    });
    const seeing = await world.operator(store, { config: { operatorId: 'seeing' } });
    for (const s of [blind, seeing]) s.hub.setDesired(name('f1'), store.desired('a'), at(1));
    const endpoints = [blind, seeing].map((s) => `127.0.0.1:${s.ports().node}`);
    let known = endpoints.slice(0, 1);
    const agent = await startAgent(new Agent('f1'), {
      endpoints: () => known,
      tls: await world.nodeTls('f1'),
      signal: world.stop.signal,
      config: { staleInputMs: 1000 },
    });
    await until(() => agent.client.link().operatorId === 'blind', 'first operator');
    blindAgeMs = 5000;
    await until(() => (agent.client.link().inputAgeMs ?? 0) === 5000, 'stale, but nobody else is known');
    expect(agent.client.link().connected).toBe(true);
    known = endpoints;
    await until(() => agent.client.link().operatorId === 'seeing', 'failover');
    await until(() => agent.commits.length >= 2, 'confirmed at the second operator');
    expect(seeing.hub.totals().sent.artifacts).toBe(0);
  });

  test('an operator with an older epoch is left, unless nobody has a newer one', async () => {
    const store = new Store();
    const epochs = { a: 5, b: 3 };
    const make = (id: 'a' | 'b') =>
      world.operator(store, { freshness: () => ({ epoch: epochs[id], leader: true, inputAgeMs: {} }), config: { operatorId: id } });
    const [a, b] = [await make('a'), await make('b')];
    for (const s of [a, b]) s.hub.setDesired(name('f2'), new Map(), at(1));
    let known = [`127.0.0.1:${a.ports().node}`];
    const agent = await startAgent(new Agent('f2'), { endpoints: () => known, tls: await world.nodeTls('f2'), signal: world.stop.signal });
    await until(() => agent.client.link().epoch === 5, 'newest');
    known = [`127.0.0.1:${b.ports().node}`, `127.0.0.1:${a.ports().node}`];
    for (let i = 0; i < 4; i++) {
      agent.client.reconnect();
      await until(() => !agent.client.link().connected, 'left');
      await until(() => agent.client.link().operatorId === 'a', 'back at the newest');
    }
    known = [`127.0.0.1:${b.ports().node}`];
    agent.client.reconnect();
    await until(() => agent.client.link().operatorId === 'b' && agent.client.link().connected, 'the only one left');
  });

  test('a replaced server certificate is used for new connections', async () => {
    const server = await world.operator(new Store());
    const fresh = await issueServer(world.ca, { dnsNames: ['somebody.else'] });
    server.updateTls({ ...fresh, caPem: world.ca.certPem });
    const agent = await agentOf(server, 'rot');
    await until(() => /somebody\.else|altnames|Hostname/i.test(agent.client.link().reason), 'refused by name');
    const right = await issueServer(world.ca, { dnsNames: [operatorServerName] });
    server.updateTls({ ...right, caPem: world.ca.certPem });
    await until(() => agent.client.link().connected, 'accepted');
  });
});

describe('leave to announce', () => {
  test('is asked for on the clock of the node, given by the operator for a time, and may be refused', async () => {
    const store = new Store();
    const asked: string[] = [];
    let validMs = 0;
    const grant = (node: string): number => {
      asked.push(node);
      return validMs;
    };
    const server = await world.operator(store, { deps: { grant } });
    server.hub.setDesired(name('l1'), new Map(), at(1));
    let ask: ((askedMs: number) => void) | undefined;
    const until_: number[] = [];
    const leases = {
      start: (fn: (askedMs: number) => void) => {
        ask = fn;
      },
      granted: (ms: number) => until_.push(ms),
    };
    const agent = new Agent('l1');
    await startAgent(agent, {
      endpoints: () => [`127.0.0.1:${server.ports().node}`],
      tls: await world.nodeTls('l1'),
      signal: world.stop.signal,
      deps: { leases },
    });
    await until(() => ask !== undefined, 'the stream is there');
    ask?.(1000);
    await until(() => asked.length === 1, 'the question arrives');
    validMs = 3000;
    ask?.(1500);
    await until(() => until_.length === 1, 'the answer arrives');
    expect([asked, until_]).toEqual([['l1', 'l1'], [4500]]);
  });

  test('what a node holds is known when it has said so, and not while a commit is on its way', async () => {
    const store = new Store();
    const digest = store.put('l2/leases', 'one');
    const server = await world.operator(store);
    server.hub.setDesired(name('l2'), store.desired('l2/leases'), at(1));
    const agent = new Agent('l2');
    let release = (): void => undefined;
    const gate = new Promise<void>((r) => {
      release = r;
    });
    const commit = agent.commit.bind(agent);
    let reached = false;
    agent.commit = async (c) => {
      reached = true;
      await gate;
      return commit(c);
    };
    expect(server.hub.holding(name('l2'), 'l2/leases')).toBeUndefined();
    await agentOf(server, 'l2', agent);
    await until(() => reached, 'the commit is with the node');
    expect(server.hub.holding(name('l2'), 'l2/leases')).toBeUndefined();
    // back to what it held before, while the commit is still with it
    server.hub.setDesired(name('l2'), new Map(), at(2));
    expect(server.hub.holding(name('l2'), 'l2/leases')).toBeUndefined();
    server.hub.setDesired(name('l2'), store.desired('l2/leases'), at(3));
    release();
    await until(() => server.hub.holding(name('l2'), 'l2/leases')?.digest === digest, 'it holds it');
    server.hub.setDesired(name('l2'), new Map(), at(4));
    expect(server.hub.holding(name('l2'), 'l2/leases')).toBeUndefined();
    await until(() => server.hub.holding(name('l2'), 'l2/leases') !== undefined, 'it says what it holds');
    expect(server.hub.holding(name('l2'), 'l2/leases')).toEqual({ digest: undefined });
    agent.client.reconnect();
    expect(server.hub.holding(name('l3'), 'l2/leases')).toBeUndefined();
  });
});
