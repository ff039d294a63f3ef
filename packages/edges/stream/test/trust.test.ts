import { createCa, createCsr, issueClient, nodeSpiffeUri, readCertificate, signCsr } from '@axoneme/pki';
import { AppError, silentLog } from '@axoneme/std';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { bootstrapSign, type ClientTls, createAdminClient, type NodeServer, type ReportHandler } from '../src/index.ts';
import { Agent, cluster, createWorld, name, Store, startAgent, until, unusedAdmin, type World } from './fixture.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world.stop.abort());

const connect = (server: NodeServer, node: string, tls: ClientTls): Promise<Agent> =>
  startAgent(new Agent(node), { endpoints: () => [`127.0.0.1:${server.ports().node}`], tls, signal: world.stop.signal });

describe('who may speak for a node', () => {
  test('another name than the certificate has is refused and nothing is sent', async () => {
    const store = new Store();
    store.put('secret', 's');
    const server = await world.operator(store);
    server.hub.setDesired(name('victim'), store.desired('secret'), { revision: 1, epoch: 1 });
    const thief = await connect(server, 'victim', await world.nodeTls('thief'));
    await until(() => thief.client.link().reason.includes('the certificate is for node thief'), 'refusal');
    expect(thief.commits).toHaveLength(0);
    expect(server.hub.link(name('victim'))?.connected).toBe(false);
  });

  test('a certificate that names no node, a foreign CA and no certificate are refused', async () => {
    const server = await world.operator(new Store());
    const admin = await connect(server, 'n', await world.adminTls());
    await until(() => admin.client.link().reason.includes('does not name a node'), 'no node');
    const foreignCa = await createCa({ name: 'foreign', days: 1 });
    const foreign = await issueClient(foreignCa, { commonName: 'n', uri: nodeSpiffeUri(cluster, 'n') });
    let links = 0;
    for (const tls of [{ caPem: world.ca.certPem, ...foreign }, { caPem: world.ca.certPem }]) {
      const agent = await startAgent(new Agent('n'), {
        endpoints: () => [`127.0.0.1:${server.ports().node}`],
        tls,
        signal: world.stop.signal,
        deps: { linkChanged: (s) => (links += s.connected ? 1 : 0) },
      });
      await until(() => agent.client.link().reason !== 'connecting' && agent.client.link().reason !== '', 'refusal');
    }
    expect(links).toBe(0);
    expect(server.hub.status()).toEqual([]);
  });

  test('a server certificate of another CA is refused by the agent', async () => {
    const server = await world.operator(new Store());
    const tls = await world.nodeTls('n');
    const foreignCa = await createCa({ name: 'foreign', days: 1 });
    const agent = await connect(server, 'n', { ...tls, caPem: foreignCa.certPem });
    await until(() => /certificate/i.test(agent.client.link().reason), 'refusal');
  });

  test('bootstrap signs without a client certificate and says why not', async () => {
    const server = await world.operator(new Store(), {
      deps: {
        async sign(r) {
          if (r.token !== 'good')
            throw new AppError({ code: 'stream/unauthenticated', message: 'the token is not valid', hint: 'take a new one' });
          const uri = nodeSpiffeUri(cluster, r.nodeName);
          const certificatePem = await signCsr(world.ca, r.csrPem, { commonName: r.nodeName, uri, ttlMs: 60_000 });
          return { certificatePem, caPem: world.ca.certPem, notAfterUnixMs: Date.now() + 60_000 };
        },
      },
    });
    const { csrPem, keyPem } = await createCsr({ commonName: 'fresh' });
    const endpoint = `127.0.0.1:${server.ports().bootstrap}`;
    const ask = (token: string) => bootstrapSign({ endpoint, caPem: world.ca.certPem, request: { csrPem, token, nodeName: 'fresh' } });
    await expect(ask('bad')).rejects.toMatchObject({
      code: 'stream/unauthenticated',
      message: 'the token is not valid',
      hint: 'take a new one',
      retry: 'never',
    });
    const signed = await ask('good');
    expect(readCertificate(signed.certificatePem)).toMatchObject({ value: { uris: ['spiffe://c1/node/fresh'] } });
    const agent = await connect(server, 'fresh', { caPem: signed.caPem, certPem: signed.certificatePem, keyPem });
    await until(() => agent.client.link().connected, 'connected with the signed certificate');
  });

  test('the admin service is for the admin role only', async () => {
    const server = await world.operator(new Store(), {
      deps: {
        admin: {
          ...unusedAdmin,
          async *listTable(q) {
            if (q.node !== 'n1') throw new AppError({ code: 'stream/not-found', message: `no node ${q.node}` });
            for (let i = 0; i < 3; i++) yield { json: `{"row":${i}}` };
          },
          async *monitor(_q, signal) {
            yield { node: 'n1', flow: undefined, source: '', destination: '', rule: '', dropReasonName: '', policyLog: '', shadowRule: '' };
            await new Promise<void>((r) => signal.addEventListener('abort', () => r()));
          },
        },
      },
    });
    const endpoint = `127.0.0.1:${server.ports().admin}`;
    const stranger = createAdminClient({ endpoint, tls: await world.nodeTls('n1') });
    await expect(stranger.getStatus()).rejects.toMatchObject({ code: 'stream/forbidden' });
    const admin = createAdminClient({ endpoint, tls: await world.adminTls() });
    expect(await admin.getStatus()).toMatchObject({ operatorId: 'op' });
    const rows: string[] = [];
    for await (const r of admin.listTable({ node: 'n1', table: 'policy', limit: 0 })) rows.push(r.json);
    expect(rows).toEqual(['{"row":0}', '{"row":1}', '{"row":2}']);
    const missing = (async () => {
      for await (const _ of admin.listTable({ node: 'nx', table: 'policy', limit: 0 }));
    })();
    await expect(missing).rejects.toMatchObject({ code: 'stream/not-found', message: 'no node nx' });
    const stop = new AbortController();
    let seen = 0;
    for await (const _ of admin.monitor({ dropsOnly: false, node: '', last: 0, noFollow: false }, stop.signal)) {
      seen++;
      stop.abort();
    }
    expect(seen).toBe(1);
    stranger.close();
    admin.close();
  });
});

describe('reports and questions', () => {
  test('reports are acknowledged in order, and agents hear whether flows are wanted', async () => {
    const got: [string, number][] = [];
    const report: ReportHandler = async (node, r) => void got.push([node, r.sequence]);
    const server = await world.operator(new Store(), { deps: { report } });
    const agent = await connect(server, 'r1', await world.nodeTls('r1'));
    await until(() => agent.events.includes('up'), 'report link');
    const body = { endpoints: [], full: true, flows: [], counters: [], lostSamples: 0, probes: [], fullProbes: false };
    expect([agent.client.send(body), agent.client.send(body)]).toEqual([1, 2]);
    await until(() => agent.events.includes('acked 2'), 'acknowledged');
    expect(got).toEqual([
      ['r1', 1],
      ['r1', 2],
    ]);
    server.setWantFlows(true);
    await until(() => agent.events.includes('flows true'), 'flows wanted');
    agent.client.reconnect();
    await until(() => agent.events.filter((e) => e === 'up').length === 2, 'second link');
    expect(agent.events).toContain('down');
  });

  test('a busy operator makes the agent keep its reports', async () => {
    let release = (): void => undefined;
    const stored = new Promise<void>((r) => {
      release = r;
    });
    const server = await world.operator(new Store(), { deps: { report: () => stored } });
    const agent = await connect(server, 'r2', await world.nodeTls('r2'));
    await until(() => agent.events.includes('up'), 'report link');
    const body = { endpoints: [], full: false, flows: [], counters: [], lostSamples: 0, probes: [], fullProbes: false };
    let taken = 0;
    while (agent.client.send(body) !== undefined) taken++;
    expect(taken).toBe(8);
    release();
    await until(() => agent.events.includes('acked 8'), 'drained');
    expect(agent.client.send(body)).toBe(9);
  });

  test('questions reach the node; its lines, refusals and absence come back', async () => {
    const server = await world.operator(new Store(), { config: { relay: { silenceMs: 5000 } } });
    let cancelled = false;
    let read = 0;
    await startAgent(new Agent('q1'), {
      endpoints: () => [`127.0.0.1:${server.ports().node}`],
      tls: await world.nodeTls('q1'),
      signal: world.stop.signal,
      deps: {
        log: silentLog,
        answer: async function* (query, limit, signal) {
          if (query === 'endless') {
            signal.addEventListener('abort', () => {
              cancelled = true;
            });
            while (!signal.aborted) yield 'y'.repeat(1000);
          }
          if (query === 'bad') throw new AppError({ code: 'agent/unknown-query', message: 'no such table' });
          for (let i = 0; i < 20_000; i++) yield JSON.stringify({ query, limit, i, text: 'ü'.repeat(i % 7) });
        },
      },
    });
    const ask = async (node: string, query: string, limit: number): Promise<string[]> => {
      const lines: string[] = [];
      for await (const l of server.relay(name(node), query, limit)) lines.push(l);
      return lines;
    };
    await expect(ask('q0', 'policy', 0)).rejects.toMatchObject({ code: 'stream/unavailable' });
    await until(() => server.hub.link(name('q1'))?.connected === true, 'connected');
    let all: string[] = [];
    // The relay stream opens beside sync, a moment later.
    for (const deadline = Date.now() + 15_000; all.length === 0 && Date.now() < deadline; ) {
      all = await ask('q1', 'policy', 0).catch(() => new Promise<string[]>((r) => setTimeout(() => r([]), 5)));
    }
    expect(all).toHaveLength(20_000);
    expect(JSON.parse(all[19_999] as string)).toEqual({ query: 'policy', limit: 0, i: 19_999, text: '' });
    expect(await ask('q1', 'policy', 3)).toHaveLength(3);
    await expect(ask('q1', 'bad', 0)).rejects.toMatchObject({ message: 'no such table' });
    // more often than once: a stream left paused by an answer nobody finished shows only when chunks were piled up
    for (let i = 0; i < 3; i++) {
      cancelled = false;
      for await (const line of server.relay(name('q1'), 'endless', 0)) {
        expect(line).toHaveLength(1000);
        await new Promise((r) => setImmediate(r));
        if (++read >= 50 * i) break;
      }
      await until(() => cancelled, 'cancel reaches the node');
      expect(await ask('q1', 'policy', 3)).toHaveLength(3);
    }
  });
});
