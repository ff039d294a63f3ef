import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { AppError, silentLog, systemClock, unwrap } from '@axoneme/std';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Apply, type BlobChange, createApply } from '../src/apply/apply.ts';
import { createStore } from '../src/store/store.ts';
import { blobArtifact, createScript, rowsArtifact } from './commits.ts';
import { createFakeTables, type FakeTables, fakeSpecs, snapshot } from './fake-tables.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/axa-apply-`);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function startApply(tables: FakeTables, at = dir): { apply: Apply; blobs: BlobChange[] } {
  const apply = createApply({ store: createStore(at), tables, clock: systemClock, log: silentLog });
  const blobs: BlobChange[] = [];
  apply.onBlobs((c) => blobs.push(...c));
  apply.start();
  return { apply, blobs };
}

const sizes = (t: FakeTables): Record<string, number> => Object.fromEntries([...t.rows].map(([n, r]) => [n, r.size]));

describe('commits', () => {
  test('write rows, hand out blobs, bump the generation once, survive a restart without touching the kernel', async () => {
    const tables = createFakeTables();
    const s = createScript();
    const { apply, blobs } = startApply(tables);
    expect(apply.complete).toBe(false);
    const done = await apply.commit(
      s.commit({
        'policy/1': rowsArtifact('policy', { 1: 1, 2: 2 }),
        'ipcache/9': rowsArtifact('ipcache', { 7: 9 }),
        'workload/a/b': blobArtifact('workload', 'x'),
      }),
    );
    expect(unwrap(done).revision).toBe(1);
    expect(sizes(tables)).toMatchObject({ policy: 2, ipcache: 1 });
    expect(blobs).toEqual([{ name: 'workload/a/b', blob: Buffer.from('x') }]);
    expect(tables.generation).toBe(1);

    const again = startApply(tables);
    expect(again.apply).toMatchObject({ revision: 1, epoch: 1, complete: true });
    expect(again.apply.heldDigest()).toEqual(unwrap(done).heldDigest);
    expect(again.blobs).toEqual(blobs);
    expect(tables.generation).toBe(1);
    expect(again.apply.occupancy()).toMatchObject({ policy: { entries: 2, capacity: 1000 } });
  });

  test('go in dependency order and come back in reverse', async () => {
    const tables = createFakeTables();
    const ops: string[] = [];
    tables.fault = (t, op) => void ops.push(`${op} ${t}`);
    const { apply } = startApply(tables);
    const s = createScript();
    const all = {
      i: rowsArtifact('ipcache', { 1: 1 }),
      s: rowsArtifact('subject', { 1: 1 }),
      c: rowsArtifact('addr_class', { 1: 1 }),
      p: rowsArtifact('policy', { 1: 1 }),
      f: rowsArtifact('lb_frontend', { 1: 1 }),
      r: rowsArtifact('lb_source', { 1: 1 }),
      m: rowsArtifact('lb_maglev', { 1: 1 }),
      b: rowsArtifact('lb_slot', { 1: 1 }),
    };
    unwrap(await apply.commit(s.commit(all)));
    unwrap(await apply.commit(s.commit({ p2: rowsArtifact('policy', { 2: 2 }) }, Object.keys(all))));
    const up = ['lb_slot', 'lb_maglev', 'lb_source', 'lb_frontend', 'policy', 'subject', 'addr_class', 'ipcache'];
    expect(ops).toEqual([...up.map((t) => `put ${t}`), 'put policy', ...[...up].reverse().map((t) => `remove ${t}`)]);
  });

  test('a key that moves between artifacts is overwritten, never deleted; a shared key falls back to the other owner', async () => {
    const tables = createFakeTables();
    const { apply } = startApply(tables);
    const s = createScript();
    unwrap(await apply.commit(s.commit({ 'ipcache/1': rowsArtifact('ipcache', { 5: 1, 6: 1 }) })));
    tables.fault = (_t, op) => expect(op).toBe('put');
    unwrap(await apply.commit(s.commit({ 'ipcache/2': rowsArtifact('ipcache', { 5: 2, 6: 2 }) }, ['ipcache/1'])));
    unwrap(await apply.commit(s.commit({ 'ipcache/3': rowsArtifact('ipcache', { 5: 3 }) })));
    const value = (): string[] => [...tables.rows.get('ipcache')!.values()].map((v) => Buffer.from(v, 'latin1').toString('hex'));
    expect(value()).toEqual(['00000003', '00000002']);
    expect(startApply(tables).apply.verify()).toEqual([]);
    unwrap(await apply.commit(s.commit({}, ['ipcache/3'])));
    expect(value()).toEqual(['00000002', '00000002']);
  });

  test('an older epoch, a wrong held digest and rows that do not fit change nothing', async () => {
    const tables = createFakeTables();
    const { apply } = startApply(tables);
    const s = createScript();
    unwrap(await apply.commit(s.commit({ a: rowsArtifact('policy', { 1: 1 }) }, [], 5)));
    const before = snapshot(tables);
    const b = { b: rowsArtifact('policy', { 2: 2 }) };
    const code = async (c: Parameters<Apply['commit']>[0]): Promise<string> => {
      const r = await apply.commit(c);
      s.back();
      return r.ok ? 'ok' : r.error.code;
    };
    expect(await code(s.commit(b, [], 4))).toBe('agent/stale-epoch');
    expect(await code({ ...s.commit(b, [], 5), heldDigest: Buffer.alloc(16) })).toBe('agent/digest-mismatch');
    expect(await code(s.commit({ c: { ...b.b, values: b.b.values.subarray(1) } }, [], 5))).toBe('agent/malformed-artifact');
    expect(await code(s.commit({ d: { ...b.b, table: 'nosuch' } }, [], 5))).toBe('agent/table-unknown');
    expect(snapshot(tables)).toBe(before);
    expect(unwrap(await apply.commit(s.commit(b, [], 5))).revision).toBe(6);
  });

  test('a table that is too small is named with what it needs, before anything is written', async () => {
    const tables = createFakeTables(2);
    const { apply } = startApply(tables);
    const s = createScript();
    unwrap(await apply.commit(s.commit({ a: rowsArtifact('policy', { 1: 1, 2: 2 }) })));
    tables.fault = () => {
      throw new AppError({ code: 'test/never', message: 'written' });
    };
    const r = await apply.commit(s.commit({ a: rowsArtifact('policy', { 3: 3, 4: 4 }) }));
    expect(r.ok ? '' : { code: r.error.code, ...r.error.fields }).toEqual({
      code: 'agent/table-full',
      table: 'policy',
      needed: 4,
      capacity: 2,
    });
    expect(apply.revision).toBe(1);
  });

  test('no space for the store: refused, disk and kernel as before', async () => {
    const tables = createFakeTables();
    const { apply } = startApply(tables);
    const s = createScript();
    unwrap(await apply.commit(s.commit({ a: rowsArtifact('policy', { 1: 1 }) })));
    const files = readdirSync(`${dir}/store/artifacts`);
    const kernel = snapshot(tables);
    const store = createStore(dir);
    const full = createApply({
      store: { ...store, prepare: async () => Promise.reject(new AppError({ code: 'agent/store-full', message: 'no space' })) },
      tables,
      clock: systemClock,
      log: silentLog,
    });
    full.start();
    const r = await full.commit(s.commit({ b: rowsArtifact('policy', { 2: 2 }) }));
    expect(r.ok ? '' : r.error.code).toBe('agent/store-full');
    expect(full.revision).toBe(1);
    expect(snapshot(tables)).toBe(kernel);
    expect(readdirSync(`${dir}/store/artifacts`)).toEqual(files);
  });
});

describe('damage', () => {
  test('a truncated artifact is asked for again while the kernel keeps its rows', async () => {
    const tables = createFakeTables();
    const s = createScript();
    const first = startApply(tables).apply;
    const a = rowsArtifact('policy', { 1: 1 });
    const b = rowsArtifact('subject', { 2: 2 });
    const done = unwrap(await first.commit(s.commit({ a, b })));
    const file = readdirSync(`${dir}/store/artifacts`)[0]!;
    truncateSync(`${dir}/store/artifacts/${file}`, 20);
    const kernel = snapshot(tables);
    const { apply } = startApply(tables);
    expect(apply.complete).toBe(false);
    expect([...apply.heldNames()]).toHaveLength(1);
    expect(snapshot(tables)).toBe(kernel);
    unwrap(await apply.commit(s.commit({ a, b })));
    expect(apply.complete).toBe(true);
    expect(apply.heldDigest()).toEqual(done.heldDigest);
    expect(snapshot(tables)).toBe(kernel);
  });

  test('a damaged index holds nothing and still leaves the kernel alone', async () => {
    const tables = createFakeTables();
    const s = createScript();
    unwrap(await startApply(tables).apply.commit(s.commit({ a: rowsArtifact('policy', { 1: 1 }) })));
    const text = readFileSync(`${dir}/store/index`, 'utf8');
    writeFileSync(`${dir}/store/index`, text.slice(0, -4));
    const { apply } = startApply(tables);
    expect([...apply.heldNames()]).toEqual([]);
    expect(sizes(tables)).toMatchObject({ policy: 1 });
    // the first commit replaces everything, also rows nobody remembers
    unwrap(await apply.commit(createScript().commit({ z: rowsArtifact('policy', { 9: 9 }) })));
    expect([...tables.rows.get('policy')!.keys()]).toEqual([Buffer.from('00000009', 'hex').toString('latin1')]);
  });

  test('rows changed behind our back are repaired', async () => {
    const tables = createFakeTables();
    const { apply } = startApply(tables);
    unwrap(await apply.commit(createScript().commit({ a: rowsArtifact('policy', { 1: 1, 2: 2 }) })));
    const want = snapshot(tables);
    const policy = tables.rows.get('policy')!;
    policy.clear();
    policy.set('zzzz', 'yyyy');
    expect(apply.verify()).toEqual([{ table: 'policy', written: 2, deleted: 1 }]);
    expect(snapshot(tables)).toBe(want);
  });
});

type TableName = keyof typeof fakeSpecs;
const tableNames = Object.keys(fakeSpecs) as TableName[];
const step = fc.record({
  upserts: fc.array(
    fc.record({
      n: fc.integer({ min: 0, max: 2 }),
      table: fc.constantFrom(...tableNames),
      rows: fc.dictionary(fc.integer({ min: 0, max: 5 }).map(String), fc.integer({ min: 0, max: 3 }), { maxKeys: 4 }),
    }),
    { maxLength: 4 },
  ),
  removes: fc.array(fc.record({ n: fc.integer({ min: 0, max: 2 }), table: fc.constantFrom(...tableNames) }), { maxLength: 3 }),
  failAfter: fc.option(fc.integer({ min: 0, max: 8 })),
  restart: fc.boolean(),
});

describe('any history of commits', () => {
  test('gives the rows of the last good commit, whatever failed in between', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
        const at = mkdtempSync(`${dir}/p-`);
        const tables = createFakeTables();
        let { apply } = startApply(tables, at);
        const s = createScript();
        // model: artifacts in the order they were last written
        let model: { name: string; table: TableName; rows: Record<string, number> }[] = [];
        unwrap(await apply.commit(s.commit({})));
        for (const st of steps) {
          const ups = new Map(st.upserts.map((u) => [`${u.table}/${u.n}`, u]));
          const removes = st.removes.map((r) => `${r.table}/${r.n}`).filter((n) => !ups.has(n));
          const commit = s.commit(Object.fromEntries([...ups].map(([n, u]) => [n, rowsArtifact(u.table, u.rows)])), removes);
          const before = snapshot(tables);
          let left = st.failAfter ?? Number.POSITIVE_INFINITY;
          tables.fault = () => {
            if (left-- !== 0) return;
            throw new AppError({ code: 'test/fault', message: 'kernel says no' });
          };
          const r = await apply.commit(commit);
          tables.fault = undefined;
          if (r.ok) {
            const same = (n: string, u: { rows: unknown }): boolean =>
              JSON.stringify(model.find((m) => m.name === n)?.rows) === JSON.stringify(u.rows);
            const changed = [...ups].filter(([n, u]) => !same(n, u));
            const out = new Set([...removes, ...changed.map(([n]) => n)]);
            model = [...model.filter((m) => !out.has(m.name)), ...changed.map(([name, u]) => ({ name, table: u.table, rows: u.rows }))];
          } else {
            s.back();
            expect(snapshot(tables)).toBe(before);
          }
          const want = createFakeTables();
          for (const m of model) {
            const c = rowsArtifact(m.table, m.rows);
            want.get(m.table)!.put(c.keys, c.values);
          }
          expect(snapshot(tables)).toBe(snapshot(want));
          if (st.restart) apply = startApply(tables, at).apply;
          expect(apply.verify()).toEqual([]);
        }
      }),
      { numRuns: 150 },
    );
  });
});
