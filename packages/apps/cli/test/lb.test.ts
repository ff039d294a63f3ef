// `axoneme lb` where no balancer is needed: files that are right and wrong, exit codes, what status prints.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from '@jest/globals';
import { renderLbStatus } from '../src/commands/lb.ts';
import { runCli } from '../src/program.ts';

const example = fileURLToPath(new URL('../../../../examples/lb/snat.yaml', import.meta.url));
const dir = mkdtempSync(`${tmpdir()}/axc-lb-`);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function lb(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const io = {
    out: { write: (t: string) => void out.push(t) },
    err: { write: (t: string) => void err.push(t) },
    signal: new AbortController().signal,
  };
  const code = await runCli(['lb', ...args], io);
  return { code, out: out.join(''), err: err.join('') };
}

test('check: right, wrong, and not there', async () => {
  expect(await lb('check', '-f', example)).toEqual({ code: 0, out: `${example} is right: 1 services, 2 VIPs, 4 backends\n`, err: '' });
  const bad = `${dir}/bad.yaml`;
  writeFileSync(bad, readFileSync(example, 'utf8').replace('port: 443 }', 'port: 0 }'));
  const wrong = await lb('check', '-f', bad);
  expect(wrong).toMatchObject({ code: 1, out: '' });
  expect(wrong.err).toBe(`${bad}:7: services[0].vips[0].port 0 is out of range: write 1 to 65535\n`);
  const asJson = await lb('check', '-f', bad, '-o', 'json');
  expect(asJson.code).toBe(1);
  expect(JSON.parse(asJson.out)).toMatchObject({ ok: false, problems: [{ at: 'services[0].vips[0].port', line: 7 }] });
  expect((await lb('check', '-f', `${dir}/none.yaml`)).code).toBe(2);
});

test('status of nobody, a drain of nobody', async () => {
  const none = await lb('status', '--socket', `${dir}/none.sock`);
  expect(none.code).toBe(3);
  expect(none.err).toContain('axoneme lb run');
  expect((await lb('drain', '10.9.9.9', '-f', example)).code).toBe(5);
});

test('status names what runs, what does not, and why', () => {
  const backend = { address: '10.0.0.1', port: 80, weight: 100, state: 'active', failing: false, probe: null, flows: 3 };
  const probe = { ok: false, streak: 7, reason: 'ECONNREFUSED', latencyMs: 1, ageMs: 10 };
  const text = renderLbStatus({
    file: 'lb.yaml',
    problems: ['lb.yaml:3: something'],
    devices: ['eth0'],
    addresses: ['10.0.0.254', 'fe80::1'],
    health: [{ name: 'acceleration', state: 'degraded', reason: 'no XDP on eth0' }],
    services: [
      {
        ...{ name: 'web', mode: 'snat', algorithm: 'maglev', vips: ['192.0.2.10:80/TCP', '192.0.2.10:443/TCP', '192.0.2.11:80/TCP'] },
        backends: [backend, { ...backend, address: 'fd00::1', failing: true, probe }],
      },
    ],
    drops: { 'Denied by LB src range check': 2 },
    probes: { targets: 2, asking: 0, waiting: 0 },
  });
  expect(text).toBe(`File:     lb.yaml (NOT in force as it is now)
          lb.yaml:3: something
Devices:  eth0
Own:      10.0.0.254
Problem:  acceleration: no XDP on eth0
Probes:   2 targets, 0 under way, 0 waiting

SERVICE  VIP                 BACKEND       WEIGHT  STATE             FLOWS  CHECK
web      192.0.2.10:80/TCP   10.0.0.1:80      100  active                3  -
-        192.0.2.10:443/TCP  [fd00::1]:80     100  active (failing)      3  ECONNREFUSED (7 in a row)
          web also has 192.0.2.11:80/TCP

DROPPED                       PACKETS
Denied by LB src range check        2
`);
});
