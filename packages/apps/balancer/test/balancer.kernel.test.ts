// A stand-alone balancer between a real client and real servers: what it forwards, what it notices, what a change costs.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { BALANCER, backendAddress, CLIENT, createLab, type Lab, until, VIP } from './lab.ts';

const families = [4, 6] as const;
const kinds = ['tcp', 'udp'] as const;
const vips = (ports: readonly number[]): string =>
  ports
    .flatMap((port) =>
      families.flatMap((f) => (['TCP', 'UDP'] as const).map((p) => `      - {address: "${VIP[f]}", port: ${port}, protocol: ${p}}`)),
    )
    .join('\n');
const backends = (port: number, more: Readonly<Record<number, string>> = {}): string =>
  [1, 2, 3].flatMap((n) => families.map((f) => `      - {address: "${backendAddress(n, f)}", port: ${port}${more[n] ?? ''}}`)).join('\n');
const service = (name: string, port: number, rest = '    health: {type: tcp}', more = {}): string =>
  `  - name: ${name}\n    vips:\n${vips([port])}\n    backends:\n${backends(80, more)}\n${rest}\n`;
const file = (...services: string[]): string => `services:\n${services.join('')}`;
const all = (family: 4 | 6): string[] => [1, 2, 3].map((n) => backendAddress(n, family));
const but = (n: number, family: 4 | 6): string[] => all(family).filter((a) => a !== backendAddress(n, family));

let lab: Lab;
beforeAll(async () => {
  lab = createLab();
  await Promise.all(([1, 2, 3] as const).map((n) => lab.serve(n)));
  lab.write(file(service('web', 80)));
  await lab.start();
  await until(async () => (await lab.status()).probes.targets === 6, 'first results');
});
afterAll(() => lab.close());

/** Answers to 16 questions from different ports. */
const askAll = (family: 4 | 6, port: number, kind: 'tcp' | 'udp'): string[] =>
  lab.ask(
    family,
    port,
    kind,
    Array.from({ length: 16 }, (_, i) => 20_000 + i * 97),
  );

test.each(families.flatMap((f) => kinds.map((k) => [f, k] as const)))(
  'IPv%i %s reaches every backend, from the balancer’s address',
  (f, kind) => {
    const answers = new Set(askAll(f, 80, kind));
    expect([...answers].sort()).toEqual([1, 2, 3].map((n) => `b${n} ${BALANCER[f]}`));
  },
);

test('explain names the backend that answers', async () => {
  for (const f of families)
    for (const port of [30_001, 30_002, 30_003, 30_004]) {
      const socket = (a: string, p: number): string => (f === 6 ? `[${a}]:${p}` : `${a}:${p}`);
      const said = await lab.explain(socket(CLIENT[f], port), socket(VIP[f], 80));
      const n = [1, 2, 3].find((m) => backendAddress(m, f) === said);
      expect(lab.ask(f, 80, 'tcp', [port])).toEqual([`b${n} ${BALANCER[f]}`]);
    }
});

test('L4-a: a backend that dies is out of all tables within 3 s, one that falls silent too, and both come back', async () => {
  for (const [fail, heal] of [
    [() => lab.kill(2), () => lab.serve(2)],
    [async () => void lab.ip('switch', 'link set to2 down'), async () => void lab.ip('switch', 'link set to2 up')],
  ] as const) {
    const began = performance.now();
    await fail();
    for (const f of families)
      await until(
        () => lab.serving(f, 80).join() === but(2, f).join(),
        `IPv${f} without the second backend`,
        3_000 - (performance.now() - began),
      );
    const load = await lab.newcomers(4, 80);
    await until(
      async () => (await lab.status()).services[0]?.backends.filter((b) => b.state === 'quarantined').length === 2,
      'the status to say so',
    );
    const tally = await load.finish();
    expect(tally.failures).toEqual([]);
    expect(Object.keys(tally.answers).sort()).toEqual(['b1', 'b3']);
    await heal();
    for (const f of families) await until(() => lab.serving(f, 80).join() === all(f).join(), 'the second backend again');
  }
});

test('L4-b: a balancer that is cut off itself takes nothing out', async () => {
  lab.ip('switch', 'link set tob down');
  await until(
    async () => (await lab.status()).services[0]?.backends.every((b) => b.probe?.ok === false && b.probe.streak > 3),
    'failures of everything',
  );
  for (const f of families) expect(lab.serving(f, 80)).toEqual(all(f));
  expect((await lab.status()).services[0]?.backends.every((b) => b.state === 'active')).toBe(true);
  lab.ip('switch', 'link set tob up');
  await until(async () => (await lab.status()).services[0]?.backends.every((b) => b.probe?.ok === true), 'answers again');
  expect(lab.ask(4, 80)[0]).toMatch(/^b\d /);
});

test('changes of the file, good and bad, and restarts fail no flow', async () => {
  const held = await Promise.all(families.map((f) => lab.holders(f, 80, 30)));
  const loads = await Promise.all(families.map((f) => lab.newcomers(f, 80)));
  // another service beside it
  lab.write(file(service('web', 80), service('extra', 8080)));
  await until(() => lab.serving(4, 8080).length === 3, 'the new service');
  expect(lab.ask(6, 8080)[0]).toMatch(/^b\d /);
  // a file that is wrong
  lab.write(file(service('web', 80), service('extra', 80)));
  const { problems } = await until(async () => {
    const s = await lab.status();
    return s.problems.length > 0 && s;
  }, 'the problem');
  expect(problems[0]).toContain('services[1].vips[0] 192.0.2.10 80/TCP belongs to services[0].vips[0] already');
  expect(lab.serving(4, 8080)).toEqual(all(4));
  // weights and a drain, by command
  lab.write(file(service('web', 80, '    health: {type: http, path: /ready}', { 3: ', weight: 200' })));
  await until(async () => lab.serving(4, 8080).length === 0 && (await lab.status()).problems.length === 0, 'the file in force');
  for (const f of families) expect(lab.cli('lb', 'drain', backendAddress(1, f), '-f', lab.file)).toMatchObject({ code: 0 });
  for (const f of families) await until(() => lab.serving(f, 80).join() === but(1, f).join(), 'the drain');
  const drained = Date.now() / 1000;
  expect(readFileSync(lab.file, 'utf8')).toContain(`"${backendAddress(1, 4)}", port: 80, state: maintenance}`);
  await lab.stop();
  await lab.start();
  await lab.stop('SIGKILL');
  await lab.start();
  expect(
    lab
      .log()
      .split('\n')
      .findLast((l) => l.includes('stored commit taken up')),
  ).toContain('"drift":[]');
  const after = await Promise.all(loads.map((l) => l.finish()));
  for (const [i, h] of (await Promise.all(held.map((t) => t.finish()))).entries()) {
    expect(h.failures).toEqual([]);
    expect(h.asked).toBeGreaterThan(100);
    expect(Object.keys(h.answers).sort()).toEqual(['b1', 'b2', 'b3']);
    expect(after[i]?.failures).toEqual([]);
    // nobody new after the drain
    expect(after[i]?.last?.b1).toBeLessThan(drained + 0.2);
    expect(after[i]?.last?.b2).toBeGreaterThan(drained);
  }
});

test('what failed its checks before a restart gets nothing after it', async () => {
  lab.write(file(service('web', 80)));
  await until(() => lab.serving(4, 80).length === 3, 'three backends');
  await lab.kill(3);
  await until(() => lab.serving(4, 80).length === 2, 'two backends');
  await lab.stop();
  const load = await lab.newcomers(4, 80);
  await lab.start();
  await until(async () => (await lab.status()).probes.targets === 6, 'results');
  expect((await load.finish()).failures).toEqual([]);
  await lab.serve(3);
  for (const f of families) await until(() => lab.serving(f, 80).length === 3, 'the third backend again');
});

test('source ranges and affinity', async () => {
  const shut = service('shut', 81, '    sourceRanges: [198.51.100.0/24, "2001:db8:9::/48"]');
  const sticky = service('sticky', 82, '    sessionAffinity: 1h\n    algorithm: random');
  lab.write(file(service('web', 80), shut, sticky));
  await until(() => lab.serving(4, 82).length === 3, 'the file in force');
  for (const f of families) {
    expect(lab.ask(f, 81)[0]).toMatch(/Timeout|timeout/);
    expect(new Set(askAll(f, 82, 'tcp')).size).toBe(1);
  }
  expect((await lab.status()).drops).toMatchObject({ 'Denied by LB src range check': expect.any(Number) });
});
