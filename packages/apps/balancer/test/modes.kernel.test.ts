// Direct server return of a stand-alone balancer: packets go to backends in an envelope, answers to clients without it. In tc and in XDP. This
// kernel has no device that takes packets out of it; a program in the backends does it. SNAT through XDP is here too.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { BALANCER, backendAddress, CLIENT, createLab, type Lab, until, VIP } from './lab.ts';

const families = [4, 6] as const;
const kinds = ['tcp', 'udp'] as const;
const text = `services:
  - name: web
    mode: dsr
    vips:
${families.flatMap((f) => kinds.map((k) => `      - {address: "${VIP[f]}", port: 80, protocol: ${k}}`)).join('\n')}
    backends:
${[1, 2, 3].flatMap((n) => families.map((f) => `      - {address: "${backendAddress(n, f)}"}`)).join('\n')}
    health: {type: tcp}
`;

describe.each(['disabled', 'native'])('acceleration %s', (acceleration) => {
  let lab: Lab;
  beforeAll(async () => {
    lab = createLab();
    await Promise.all(([1, 2, 3] as const).map((n) => lab.serve(n)));
    await lab.unwrap();
    if (acceleration !== 'disabled') await lab.prepareXdp();
    lab.write(text);
    await lab.start('--acceleration', acceleration);
    await until(async () => (await lab.status()).probes.targets === 6, 'first results');
  });
  afterAll(() => lab.close());

  test.each(families.flatMap((f) => kinds.map((k) => [f, k] as const)))(
    'IPv%i %s: backends see the client, the client sees the VIP',
    (f, kind) => {
      const locals = Array.from({ length: 16 }, (_, i) => 20_000 + i * 97);
      const answers = new Set(lab.ask(f, 80, kind, locals));
      expect([...answers].sort()).toEqual([1, 2, 3].map((n) => `b${n} ${CLIENT[f]}`));
    },
  );

  test.each([
    [4, 20],
    [6, 40],
  ] as const)('L3-a: IPv%i packets of 1400 to 1500 bytes in an envelope: delivered or answered by ICMP, never silent', (f, envelope) => {
    const most = 1500 - envelope;
    expect(lab.sizes(f, 80, [1400, most - 1, most, most + 1, 1499, 1500])).toEqual([
      ...[1400, most - 1, most].map((n) => `${n} delivered`),
      ...[most + 1, 1499, 1500].map((n) => `${n} told ${most}`),
    ]);
  });

  test('L4-a: a backend that dies gets no new flows, others lose none', async () => {
    const held = await lab.holders(4, 80, 20);
    await lab.kill(2);
    await until(() => lab.serving(4, 80).length === 2, 'the backend to go', 3_000);
    const load = await lab.newcomers(4, 80);
    await until(
      async () => (await lab.status()).services[0]?.backends.filter((b) => b.state === 'quarantined').length === 2,
      'the status to say so',
    );
    const tally = await load.finish();
    expect(tally.failures).toEqual([]);
    expect(Object.keys(tally.answers).sort()).toEqual(['b1', 'b3']);
    expect((await held.finish()).failures.filter(([, e]) => !e.startsWith('b2 '))).toEqual([]);
  });

  test('another mode in the file: backends see the balancer', async () => {
    await lab.serve(2);
    lab.write(text.replace('mode: dsr', 'mode: snat'));
    await until(async () => (await lab.status()).services[0]?.mode === 'snat', 'the file in force');
    for (const f of families) await until(() => lab.serving(f, 80).length === 3, 'all backends');
    for (const [f, kind] of families.flatMap((x) => kinds.map((k) => [x, k] as const))) {
      const locals = Array.from({ length: 16 }, (_, i) => 22_000 + i * 97);
      expect([...new Set(lab.ask(f, 80, kind, locals))].sort()).toEqual([1, 2, 3].map((n) => `b${n} ${BALANCER[f]}`));
    }
  });

  test('removed, nothing of it is left', async () => {
    await lab.stop();
    expect(lab.ip('balancer', '-d link show eth0').includes('xdp')).toBe(acceleration === 'native');
    const done = lab.cli('lb', 'remove', '--bpffs', `${lab.dir}/bpf`, '--state-dir', `${lab.dir}/state`, '--socket', `${lab.dir}/lb.sock`);
    expect(done).toMatchObject({ code: 0 });
    expect(lab.ip('balancer', '-d link show eth0')).not.toContain('xdp');
    expect(done.out).toContain('program dev-eth0-ingress removed');
  });
});
