import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { AppError, silentLog } from '@axoneme/std';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type CniHandler, createCniServer } from '../src/endpoints/cni-server.ts';
import { addResult, type CniRequest } from '../src/endpoints/cni-types.ts';

const plugin = fileURLToPath(new URL('../../cni/build/axoneme-cni', import.meta.url));
const dir = mkdtempSync(`${tmpdir()}/axa-cni-`);
const path = `${dir}/agent.sock`;
const env = {
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/x',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'K8S_POD_NAMESPACE=a;K8S_POD_NAME=b',
  CNI_PATH: '/opt/cni/bin',
};

beforeAll(() => {
  execFileSync('make', ['-C', fileURLToPath(new URL('../../cni', import.meta.url))]);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let stops: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const s of stops) await s();
  stops = [];
});

function call(command: string, conf: unknown, more: Record<string, string> = {}): Promise<{ code: number; out: string }> {
  return new Promise((resolve) => {
    const child = execFile(plugin, { env: { ...env, CNI_COMMAND: command, AXONEME_SOCKET: path, ...more } }, (e, out) =>
      resolve({ code: typeof e?.code === 'number' ? e.code : 0, out }),
    );
    child.stdin?.end(typeof conf === 'string' ? conf : JSON.stringify(conf, undefined, 2));
  });
}

async function serve(handle: CniHandler): Promise<void> {
  const server = createCniServer(path, handle, silentLog);
  await server.start();
  stops.push(() => server.stop(1000));
}

const conf = { cniVersion: '1.1.0', name: 'axoneme', type: 'axoneme-cni' };

describe('the plugin', () => {
  test('carries the request and prints the result', async () => {
    const seen: CniRequest[] = [];
    await serve(async (r) => {
      seen.push(r);
      return { cniVersion: r.conf.cniVersion, ips: [] };
    });
    const r = await call('ADD', conf, { CNI_ARGS: 'K8S_POD_NAME=quo"te\\;X=\t' });
    expect(r).toEqual({ code: 0, out: '{"cniVersion":"1.1.0","ips":[]}\n' });
    expect(seen[0]).toMatchObject({
      command: 'ADD',
      containerId: 'c1',
      netns: '/run/netns/x',
      ifname: 'eth0',
      args: { K8S_POD_NAME: 'quo"te\\', X: '\t' },
    });
  });

  test('prints nothing for an empty result and fails with the error of the agent', async () => {
    await serve(async (r) => {
      if (r.command === 'DEL') return null;
      throw new AppError({ code: 'agent/x', message: 'no', hint: 'wait', fields: { cni: 50 } });
    });
    expect(await call('DEL', conf)).toEqual({ code: 0, out: '' });
    const r = await call('STATUS', conf);
    expect(r.code).toBe(1);
    expect(JSON.parse(r.out)).toEqual({ cniVersion: '1.1.0', code: 50, msg: 'no', details: 'agent/x: wait' });
  });

  test('refuses bad requests with the code of the specification', async () => {
    await serve(async () => null);
    const code = async (...a: Parameters<typeof call>): Promise<number> => JSON.parse((await call(...a)).out).code;
    expect(await code('ADD', { ...conf, cniVersion: '9.9.9' })).toBe(1);
    expect(await code('ADD', conf, { CNI_CONTAINERID: '../x' })).toBe(4);
    expect(await code('ADD', conf, { CNI_NETNS: '' })).toBe(4);
    expect(await code('NONSENSE', conf)).toBe(4);
    expect(await code('ADD', '{"cniVersion": broken')).toBe(6);
  });

  test('answers VERSION alone, and says when the agent is away, silent or gone', async () => {
    expect(JSON.parse((await call('VERSION', { cniVersion: '1.0.0' })).out)).toMatchObject({ cniVersion: '1.0.0' });
    const away = await call('ADD', conf);
    expect(away.code).toBe(1);
    expect(JSON.parse(away.out)).toMatchObject({ code: 11, msg: 'the Axoneme agent is not running on this node' });
    const rude = createServer((s) => s.once('data', () => s.destroy()));
    await new Promise<void>((r) => rude.listen(path, r));
    stops.push(() => void rude.close());
    expect(JSON.parse((await call('ADD', conf)).out)).toMatchObject({ code: 11, msg: 'the Axoneme agent closed the connection' });
  });

  test('waits for an agent that is just starting', async () => {
    const pending = call('ADD', conf);
    await serve(async () => ({ late: true }));
    expect((await pending).out).toBe('{"late":true}\n');
  });
});

test('results follow the version asked for', () => {
  const input = {
    hostIfname: 'axo1',
    hostMac: 'a',
    ifname: 'eth0',
    mac: 'b',
    sandbox: '/n',
    mtu: 1450,
    ips: [{ address: 'fd00::2', gateway: 'fd00::1' }],
  };
  expect(addResult('1.1.0', input)).toMatchObject({
    interfaces: [{ mtu: 1450 }, { sandbox: '/n' }],
    ips: [{ address: 'fd00::2/128', interface: 1 }],
    routes: [{ dst: '::/0', gw: 'fd00::1' }],
  });
  expect(addResult('0.4.0', input)).toMatchObject({ ips: [{ version: '6' }] });
});
