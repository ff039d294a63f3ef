import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { silentLog, systemClock, unwrap } from '@axoneme/std';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createApply } from '../src/apply/apply.ts';
import { createRegistry, type Endpoint } from '../src/endpoints/registry.ts';
import { createStore } from '../src/store/store.ts';
import { blobArtifact, createScript, rowsArtifact } from './commits.ts';
import { createFakeTables, snapshot } from './fake-tables.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(`${tmpdir()}/axa-full-`);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'axa-full', dir]);
});
afterAll(() => {
  execFileSync('umount', [dir]);
  rmSync(dir, { recursive: true });
});

describe('a full disk', () => {
  test('refuses the commit, changes nothing, and goes on when there is room again', async () => {
    const tables = createFakeTables();
    const apply = createApply({ store: createStore(dir), tables, clock: systemClock, log: silentLog });
    apply.start();
    const s = createScript();
    unwrap(await apply.commit(s.commit({ a: rowsArtifact('policy', { 1: 1 }) })));
    const files = readdirSync(`${dir}/store/artifacts`);
    const kernel = snapshot(tables);
    const big = { big: blobArtifact('workload', 'x'.repeat(400_000)), b: rowsArtifact('policy', { 2: 2 }) };
    const r = await apply.commit(s.commit(big));
    s.back();
    expect(r.ok ? '' : { code: r.error.code, hint: r.error.hint }).toMatchObject({
      code: 'agent/store-full',
      hint: expect.stringContaining('free space'),
    });
    expect(apply.revision).toBe(1);
    expect(readdirSync(`${dir}/store/artifacts`)).toEqual(files);
    expect(readdirSync(`${dir}/store`).sort()).toEqual(['artifacts', 'index']);
    expect(snapshot(tables)).toBe(kernel);
    expect(unwrap(await apply.commit(s.commit({ b: big.b }))).revision).toBe(3);
  });

  test('gives no endpoint that is not on disk', async () => {
    const registry = createRegistry(dir, silentLog);
    const e: Endpoint = {
      id: 1,
      containerId: 'c',
      ifname: 'eth0',
      netns: '/n',
      namespace: 'a',
      pod: 'b',
      podUid: '',
      ipv4: '10.0.0.2',
      ipv6: '',
      mac: '',
      hostMac: '',
      hostIfname: 'axo1',
      ifindex: 0,
    };
    await registry.put(e);
    expect(() => writeFileSync(`${dir}/ballast`, Buffer.alloc(400_000))).toThrow(/ENOSPC/);
    await expect(registry.put({ ...e, id: 2, containerId: 'd' })).rejects.toMatchObject({ code: 'agent/store-full' });
    expect(registry.all()).toEqual([e]);
    // taking something away always works, at least in memory
    await expect(registry.remove('c/eth0')).rejects.toMatchObject({ code: 'agent/store-full' });
    expect(registry.all()).toEqual([]);
    rmSync(`${dir}/ballast`);
    expect(createRegistry(dir, silentLog).all()).toEqual([e]);
    await registry.put({ ...e, id: 2 });
    expect(createRegistry(dir, silentLog).all()).toEqual([{ ...e, id: 2 }]);
    writeFileSync(`${dir}/endpoints.json`, 'cut');
    expect(createRegistry(dir, silentLog).all()).toEqual([]);
    expect(readdirSync(dir)).toContain('endpoints.json.damaged');
  });
});
