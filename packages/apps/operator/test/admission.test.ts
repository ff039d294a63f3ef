import { Agent, request } from 'node:https';
import { createCa, issueServer } from '@axoneme/pki';
import { systemClock, unwrap } from '@axoneme/std';
import { createRandom, runSeed } from '@axoneme/testkit';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { answerReview } from '../src/admission/review.ts';
import { createWebhookServer, type WebhookServer } from '../src/admission/server.ts';
import { createCompiler } from '../src/compile/compiler.ts';
import { parseConfig } from '../src/config.ts';
import { projectPolicy } from '../src/world/project.ts';
import { createWorld } from '../src/world/world.ts';
import { fuzzed, type Sample, samples } from './fuzz-policies.ts';

interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: {
    readonly message: string;
    readonly code: number;
    readonly details: { readonly causes: { field?: string; message: string }[] };
  };
  readonly warnings?: readonly string[];
}

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => log } as never;
const config = unwrap(parseConfig({}, {}));

const reviewOf = (s: Sample, more: object = {}): string =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u-1',
      kind: { group: s.group, version: 'v1', kind: s.kind },
      operation: 'CREATE',
      name: 'p',
      namespace: 'shop',
      object: s.object,
      ...more,
    },
  });

const pure = (s: Sample, more: object = {}): Response =>
  (JSON.parse(answerReview(reviewOf(s, more), config.clusterName).body) as { response: Response }).response;

const valid = samples[0]!;
const broken: Sample = {
  ...valid,
  object: {
    ...valid.object,
    spec: { endpointSelector: {}, ingress: [{ fromEntities: ['everyone'], fromEndpoints: [{}] }, { fromCIDR: ['10.0.0.0/33'] }] },
  },
};

describe('admission over HTTPS', () => {
  let server: WebhookServer;
  let caPem: string;
  const stop = new AbortController();
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });

  const post = (body: string | Buffer, path = '/validate', method = 'POST'): Promise<{ status: number; body: string }> =>
    new Promise((resolve, reject) => {
      const req = request(
        { host: '127.0.0.1', port: server.port(), path, method, agent, ca: caPem, servername: 'axoneme-webhook.ns.svc' },
        (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (b: Buffer) => chunks.push(b));
          res.on('end', () => resolve({ status: res.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }));
          res.on('error', reject);
        },
      );
      req.on('error', reject);
      req.end(body);
    });

  beforeAll(async () => {
    const ca = await createCa({ name: 'test', days: 1 });
    caPem = ca.certPem;
    const tls = await issueServer(ca, { dnsNames: ['axoneme-webhook.ns.svc'], ttlMs: 3_600_000 });
    server = createWebhookServer({ log, clock: systemClock }, { host: '127.0.0.1', port: 0, clusterName: config.clusterName }, tls);
    await server.start(stop.signal);
  });
  afterAll(() => {
    agent.destroy();
    stop.abort();
  });

  test('P3-b: the verdict at admission is the verdict of the compiler, for 10,000 broken and whole objects', async () => {
    const seed = runSeed();
    const random = createRandom(seed);
    const world = createWorld();
    const compiler = createCompiler(config);
    compiler.compile(world.tables, world.takeDirty());
    const tally = { allowed: 0, denied: 0 };
    const one = async (n: number): Promise<void> => {
      const s = fuzzed(random);
      const text = reviewOf(s);
      const { object } = (JSON.parse(text) as { request: { object: Record<string, unknown> } }).request;
      const answer = await post(text);
      const { response } = JSON.parse(answer.body) as { response: Response };
      // between await and here nobody else touches the world: one object at a time
      const row = { ...projectPolicy(s.kind as never, object), name: 'p', uid: `u${n}`, generation: 1 };
      world.set('policies', 'p', row);
      const verdict = compiler.compile(world.tables, world.takeDirty()).policies.get('p')!;
      const what = `seed ${seed} object ${n}: ${text}`;
      expect([what, answer.status, response.allowed]).toEqual([what, 200, verdict.problems.length === 0]);
      if (response.allowed) {
        const notes = [...verdict.unsupported, ...verdict.warnings];
        expect(response.warnings?.length ?? 0).toBe(Math.min(notes.length, 16));
        for (const [i, w] of (response.warnings ?? []).slice(0, 15).entries()) expect(notes[i]!.startsWith(w.replace(/…$/, ''))).toBe(true);
      } else {
        for (const p of verdict.problems.slice(0, 19)) expect(response.status!.message).toContain(p.slice(0, 511));
      }
      tally[response.allowed ? 'allowed' : 'denied'] += 1;
    };
    for (let n = 0; n < 10_000; n += 8) await Promise.all(Array.from({ length: 8 }, (_, i) => one(n + i)));
    // the fuzzer must reach both sides
    expect(tally.allowed).toBeGreaterThan(500);
    expect(tally.denied).toBeGreaterThan(500);
  }, 120_000);

  test('every problem is listed with field and fix', async () => {
    const { response } = JSON.parse((await post(reviewOf(broken))).body) as { response: Response };
    expect(response).toMatchObject({ uid: 'u-1', allowed: false, status: { code: 422 } });
    expect(response.status!.message).toContain(
      'spec.ingress[0]: combines fromEndpoints and fromEntities (write one entry for each kind of peer',
    );
    expect(response.status!.message).toContain('; spec.ingress[1].fromCIDR[0]: ');
    expect(response.status!.details.causes.map((c) => c.field)).toEqual(['spec.ingress[0]', 'spec.ingress[1].fromCIDR[0]']);
  });

  test('garbage, strangers and giants get a clear answer and the server lives on', async () => {
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '{"kind":"AdmissionReview"}',
      '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":7}',
    ])
      expect((await post(text)).status).toBe(400);
    for (let i = 0; i < 50; i++)
      expect(
        (
          await post(
            Buffer.from(
              createRandom(i + 1)
                .next()
                .toString()
                .repeat(i),
            ),
          )
        ).status,
      ).toBe(400);
    expect(await post('{}', '/')).toMatchObject({ status: 404 });
    expect(await post('', '/validate', 'GET')).toMatchObject({ status: 405 });
    const giant = await post(Buffer.alloc(9 << 20, 32)).catch((e: NodeJS.ErrnoException) => ({ status: 413, body: e.code }));
    expect(giant.status).toBe(413);
    expect((await post(reviewOf(valid))).status).toBe(200);
  }, 30_000);

  test('an object nested beyond reason is refused, not a crash', async () => {
    const deep = `${'{"endpointSelector":'.repeat(50_000)}{}${'}'.repeat(50_000)}`;
    const text = reviewOf({ ...valid, object: { spec: 'DEEP' } }, { operation: 'UPDATE', oldObject: {} }).replace('"DEEP"', deep);
    const { response } = JSON.parse((await post(text)).body) as { response: Response };
    expect(response.allowed).toBe(false);
    expect((await post(reviewOf(valid))).status).toBe(200);
  });

  test('a new certificate serves new connections', async () => {
    const ca = await createCa({ name: 'next', days: 1 });
    server.updateTls(await issueServer(ca, { dnsNames: ['axoneme-webhook.ns.svc'], ttlMs: 3_600_000 }));
    const old = caPem;
    caPem = ca.certPem;
    expect((await post(reviewOf(valid))).status).toBe(200);
    caPem = old;
  });
});

describe('one review', () => {
  test('the samples that are broken for the comparison are whole', () => {
    for (const s of samples) expect([s.kind, pure(s)]).toEqual([s.kind, expect.objectContaining({ allowed: true })]);
  });

  test('what cannot change the meaning is never refused: finalizers of an invalid object, and its end', () => {
    const stale = { ...broken.object, metadata: { ...(broken.object.metadata as object), finalizers: ['x'] } };
    const update = pure(broken, { operation: 'UPDATE', oldObject: stale });
    expect(update.allowed).toBe(true);
    expect(update.warnings?.[0]).toContain('spec.ingress[0]');
    expect(pure(broken, { operation: 'UPDATE', oldObject: valid.object }).allowed).toBe(false);
    const leaving = { ...broken, object: { ...broken.object, metadata: { name: 'p', deletionTimestamp: '2026-01-01T00:00:00Z' } } };
    expect(pure(leaving, { operation: 'UPDATE', oldObject: valid.object }).allowed).toBe(true);
    expect(pure(broken, { operation: 'DELETE', object: null }).allowed).toBe(true);
  });

  test('the mode annotation is part of the meaning', () => {
    const wrong = { ...valid.object, metadata: { name: 'p', namespace: 'shop', annotations: { 'policy.axoneme.io/mode': 'sometimes' } } };
    const r = pure({ ...valid, object: wrong }, { operation: 'UPDATE', oldObject: valid.object });
    expect(r.allowed).toBe(pure({ ...valid, object: wrong }).allowed);
  });

  test('kinds of others are let through', () => {
    expect(pure({ group: 'apps', kind: 'Deployment', object: {} })).toEqual({ uid: 'u-1', allowed: true });
    expect(pure({ group: '__proto__', kind: 'toString', object: {} })).toEqual({ uid: 'u-1', allowed: true });
  });

  test('warnings are short and few', () => {
    const many = Array.from({ length: 60 }, (_, i) => ({ toFQDNs: [{ matchName: `${'long'.repeat(40)}${i}.example.com` }] }));
    const r = pure({ ...valid, object: { ...valid.object, spec: { endpointSelector: {}, egress: many } } });
    expect(r.warnings!.length).toBe(16);
    expect(r.warnings!.at(-1)).toMatch(/^and \d+ more$/);
    for (const w of r.warnings!) expect(w.length).toBeLessThanOrEqual(256);
  });
});
