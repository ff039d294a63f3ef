// What the kubelet decides without a node: programs, environment, volumes, logs; and the framing of port-forward.
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { constants, createDeflate } from 'node:zlib';
import { systemClock, unwrap } from '@axoneme/std';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../src/apiserver/types.ts';
import { createImageRegistry, repositoryOf } from '../src/images/registry.ts';
import { findNetwork } from '../src/kubelet/cni.ts';
import { argvOf } from '../src/kubelet/container-spec.ts';
import { environmentOf, expand, type PodFacts } from '../src/kubelet/env.ts';
import { createLogFile } from '../src/kubelet/log-file.ts';
import { publishFiles } from '../src/kubelet/volumes.ts';
import { logQuery, selectLines } from '../src/streams/logs.ts';
import { parseHeaders, SPDY_DICTIONARY, serveSpdy } from '../src/streams/spdy.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'axoneme-kubelet-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const images = createImageRegistry({ native: { sbx: '/b/sbx', demo: '/b/demo', forward: '/b/forward' }, repo: '/repo', node: '/n/node' });

describe('images', () => {
  test.each([
    ['nginx', 'nginx'],
    ['docker.io/library/nginx:1.27', 'nginx'],
    ['registry:5000/axoneme/agent@sha256:0123', 'axoneme/agent'],
    ['quay.io/cilium/starwars:v2.1', 'cilium/starwars'],
    ['localhost/a/b', 'a/b'],
  ])('%s is %s', (image, repository) => expect(repositoryOf(image)).toBe(repository));

  test('ours map to the workspace whatever the registry and tag; strangers need a command', () => {
    const agent = unwrap(
      argvOf(
        { name: 'c', image: 'my.registry/mirror/axoneme/agent:9', args: ['--x=1'] },
        images.find('my.registry/mirror/axoneme/agent:9'),
        {},
      ),
    );
    expect(agent[0]).toBe('/n/node');
    expect(agent.slice(-2)).toEqual(['/repo/packages/apps/agent/bin/axoneme-agent.mjs', '--x=1']);
    const none = argvOf({ name: 'c', image: 'foo/bar' }, images.find('foo/bar'), {});
    expect(none.ok ? '' : none.error.code).toBe('sandbox/unknown-image');
    expect(unwrap(argvOf({ name: 'c', image: 'foo/bar', command: ['echo', '$(A)'] }, undefined, { A: 'x' }))).toEqual(['echo', 'x']);
  });
});

describe('environment', () => {
  const pod: KubeObject = {
    metadata: { name: 'p', namespace: 'ns', uid: 'u', labels: { app: 'a' } },
    spec: { nodeName: 'n', containers: [] },
  };
  const facts: PodFacts = {
    pod,
    podIps: ['10.0.0.1', 'fd00::1'],
    hostIps: ['172.30.0.11'],
    configMap: (name) => (name === 'cm' ? { metadata: { name }, data: { k: 'v' } } : undefined),
    secret: (name) => (name === 's' ? { metadata: { name }, data: { p: Buffer.from('geheim').toString('base64') } } : undefined),
  };

  test('fields, keys, references to earlier names', () => {
    const env = unwrap(
      environmentOf(
        {
          name: 'c',
          image: 'x',
          envFrom: [{ prefix: 'CM_', configMapRef: { name: 'cm' } }],
          env: [
            { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'LABEL', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
            { name: 'IPS', valueFrom: { fieldRef: { fieldPath: 'status.podIPs' } } },
            { name: 'SECRET', valueFrom: { secretKeyRef: { name: 's', key: 'p' } } },
            { name: 'MAYBE', valueFrom: { configMapKeyRef: { name: 'none', key: 'k', optional: true } } },
            { name: 'BOTH', value: '$(NAME)-$(BASE)-$$(NAME)-$(UNKNOWN)' },
          ],
        },
        facts,
        { BASE: 'b' },
      ),
    );
    expect(env).toEqual({
      BASE: 'b',
      CM_k: 'v',
      NAME: 'p',
      LABEL: 'a',
      IPS: '10.0.0.1,fd00::1',
      SECRET: 'geheim',
      BOTH: 'p-b-$(NAME)-$(UNKNOWN)',
    });
    expect(expand('$(A)$(A)', new Map([['A', '1']]))).toBe('11');
  });

  test('a missing object that is not optional is an error, not an empty value', () => {
    const r = environmentOf(
      { name: 'c', image: 'x', env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'none', key: 'k' } } }] },
      facts,
      {},
    );
    expect(r.ok ? '' : r.error.message).toBe('configmap "none" not found');
  });
});

test('a published volume changes whole, keeps links for readers and forgets removed keys', () => {
  const v = join(dir, 'vol');
  expect(
    publishFiles(
      v,
      new Map([
        ['a', Buffer.from('1')],
        ['sub/b', Buffer.from('2')],
      ]),
    ),
  ).toBe(true);
  const first = readlinkSync(join(v, '..data'));
  expect(
    publishFiles(
      v,
      new Map([
        ['sub/b', Buffer.from('2')],
        ['a', Buffer.from('1')],
      ]),
    ),
  ).toBe(false);
  expect(readFileSync(join(v, 'sub/b'), 'utf8')).toBe('2');
  expect(publishFiles(v, new Map([['a', Buffer.from('3')]]))).toBe(true);
  expect(readFileSync(join(v, 'a'), 'utf8')).toBe('3');
  expect(readdirSync(v).sort()).toEqual(['..data', readlinkSync(join(v, '..data')), 'a'].sort());
  expect(readlinkSync(join(v, '..data'))).not.toBe(first);
});

test('log lines are whole, tails and times select them, followers hear what comes later', () => {
  const log = createLogFile(join(dir, '0.log'), systemClock);
  log.write('stdout', Buffer.from('one\ntw'));
  const heard: string[] = [];
  log.follow(
    (l) => heard.push(l.text),
    () => heard.push('end'),
  );
  log.write('stdout', Buffer.from('o\n'));
  log.write('stderr', Buffer.from('rest'));
  log.end();
  expect(log.lines().map((l) => l.text)).toEqual(['one', 'two', 'rest']);
  expect(heard).toEqual(['two', 'rest', 'end']);
  const q = (query: string) => logQuery(`/log?${query}`, 'c', Date.now());
  expect(selectLines(log.lines(), q('tailLines=1')).map((l) => l.text)).toEqual(['rest']);
  expect(selectLines(log.lines(), q('tailLines=0'))).toEqual([]);
  expect(selectLines(log.lines(), q('sinceSeconds=60'))).toHaveLength(3);
  expect(selectLines(log.lines(), q('sinceTime=2999-01-01T00:00:00Z'))).toEqual([]);
});

test('without configuration the network says what is missing', () => {
  expect(findNetwork(join(dir, 'none'), dir)).toMatch(/no network configuration/);
});

describe('SPDY', () => {
  test('the dictionary is the protocol’s own', () => {
    let [a, b] = [1, 0];
    for (const byte of SPDY_DICTIONARY) {
      a = (a + byte) % 65521;
      b = (b + a) % 65521;
    }
    expect((b * 65536 + a).toString(16)).toBe('e3c6a7c2');
  });

  test('a stream is opened, answered and ended', async () => {
    const [client, server] = duplexPair();
    const opened = Promise.withResolvers<Record<string, string>>();
    serveSpdy(server, (s) => {
      s.onData = (d) => {
        s.write(Buffer.from(`re: ${d.toString()}`));
        s.end();
      };
      opened.resolve({ ...s.headers });
    });
    const block = Buffer.concat([u32(1), u32(10), Buffer.from('streamtype'), u32(4), Buffer.from('data')]);
    const deflate = createDeflate({ dictionary: SPDY_DICTIONARY, flush: constants.Z_SYNC_FLUSH });
    const packed = await new Promise<Buffer>((done) => deflate.write(block, () => done(deflate.read() as Buffer)));
    const frames: Buffer[] = [];
    client.on('data', (d: Buffer) => frames.push(d));
    client.write(Buffer.concat([Buffer.from([0x80, 3, 0, 1]), u32(packed.length + 10), u32(1), u32(0), Buffer.from([0, 0]), packed]));
    client.write(Buffer.concat([u32(1), u32(2), Buffer.from('hi')]));
    expect(await opened.promise).toEqual({ streamtype: 'data' });
    while (!Buffer.concat(frames).includes('re: hi')) await new Promise((r) => setImmediate(r));
    const all = Buffer.concat(frames);
    expect(all.readUInt16BE(2)).toBe(2);
    expect(all.subarray(-8)).toEqual(Buffer.from([0, 0, 0, 1, 1, 0, 0, 0]));
    client.destroy();
  });

  test('headers are read in pairs', () => {
    expect(parseHeaders(Buffer.concat([u32(1), u32(1), Buffer.from('a'), u32(2), Buffer.from('bc')]))).toEqual({ a: 'bc' });
  });
});

function u32(v: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(v);
  return b;
}
