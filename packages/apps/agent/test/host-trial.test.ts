import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { AppError, type Clock, ok, type Result, silentLog, unwrap } from '@axoneme/std';
import { createFakeClock, type FakeClock } from '@axoneme/testkit';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Applied, type Apply, createApply } from '../src/apply/apply.ts';
import { createHostGuard, type HostGuard } from '../src/host/guard.ts';
import { type ArtifactContent, contentDigest } from '../src/store/artifact-file.ts';
import { createStore, type Store } from '../src/store/store.ts';
import { createScript } from './commits.ts';
import { createFakeTables, type FakeTables, realSpecs } from './fake-tables.ts';
import { addresses, type HostPolicyArtifacts, hostName, hostPolicy, podSubject } from './host-kit.ts';

let dir: string;
let clock: FakeClock;
beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/axa-host-`);
  clock = createFakeClock();
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const tablesOf = (): FakeTables => createFakeTables(10_000, realSpecs);
function start(tables: FakeTables, store: Store = createStore(dir)): Apply {
  const apply = createApply({ store, tables, clock, log: silentLog });
  apply.start();
  return apply;
}

type Policy = HostPolicyArtifacts | undefined;
const P0 = hostPolicy(2, [{ direction: 'egress', peer: 0x01000001, proto: 6, port: 443 }]);
const P1 = hostPolicy(2, [{ direction: 'egress', peer: 6, proto: 6, port: 443 }]);
const P2 = hostPolicy(3);

const upsertsOf = (p: HostPolicyArtifacts): Record<string, ArtifactContent> => ({ [p.policyName]: p.policy, [hostName]: p.subject });
/** From one policy to another, with what no longer is in use removed. */
const turn = (from: Policy, to: Policy): [Record<string, ArtifactContent>, string[]] => [
  to ? upsertsOf(to) : {},
  from && from !== to ? (to ? [from.policyName] : [from.policyName, hostName]) : [],
];

const text = (b: Buffer): string => b.toString('latin1');
const inForce = (t: FakeTables): string | undefined => t.rows.get('subject')?.get(text(P0.subject.keys));
const valueIn = (p: HostPolicyArtifacts): string => text(p.subject.values);
const hasRows = (t: FakeTables, p: HostPolicyArtifacts): boolean => t.rows.get('policy')?.has(text(p.policy.keys.subarray(0, 16))) ?? false;
const trialOf = (apply: Apply): NonNullable<ReturnType<Apply['host']>['trial']> => {
  const { trial } = apply.host();
  if (trial === undefined) throw new Error('no trial');
  return trial;
};
const names = (apply: Apply): string[] => [...apply.heldNames()].map(([n]) => n).sort();
const code = (r: Result<Applied>): string => (r.ok ? 'ok' : r.error.code);

describe('a changed host policy', () => {
  test('is in force at once, with the rows of the one before beside it until it is confirmed', async () => {
    const tables = tablesOf();
    const apply = start(tables);
    const s = createScript();
    unwrap(await apply.commit(s.commit(...turn(undefined, P0))));
    unwrap(await apply.confirmHost(trialOf(apply)));
    const done = unwrap(await apply.commit(s.commit(...turn(P0, P1))));
    expect(inForce(tables)).toBe(valueIn(P1));
    expect([hasRows(tables, P0), hasRows(tables, P1)]).toEqual([true, true]);
    // the operator sees what it sent, and nothing of this
    expect(names(apply)).toEqual([P1.policyName, hostName].sort());
    expect(apply.heldDigest()).toEqual(done.heldDigest);
    expect(apply.verify()).toEqual([]);
    unwrap(await apply.confirmHost(trialOf(apply)));
    expect([inForce(tables), hasRows(tables, P0), hasRows(tables, P1)]).toEqual([valueIn(P1), false, true]);
    expect(apply.host()).toEqual({ trial: undefined, refused: [] });
    expect(apply.verify()).toEqual([]);
  });

  test('goes back to the one before; that one alone stays out, the rest of later commits does not', async () => {
    const tables = tablesOf();
    const apply = start(tables);
    const s = createScript();
    unwrap(await apply.commit(s.commit(...turn(undefined, P0))));
    unwrap(await apply.confirmHost(trialOf(apply)));
    unwrap(await apply.commit(s.commit(...turn(P0, P1))));
    const generation = tables.generation;
    unwrap(await apply.revertHost(trialOf(apply)));
    expect([inForce(tables), hasRows(tables, P0)]).toEqual([valueIn(P0), true]);
    expect(tables.generation).toBeGreaterThan(generation);
    // what the next Hello says is the truth
    expect(Object.fromEntries(apply.heldNames())).toMatchObject({
      [hostName]: contentDigest(P0.subject),
      [P0.policyName]: contentDigest(P0.policy),
    });
    expect(apply.verify()).toEqual([]);

    const again = createScript();
    again.commit({ ...upsertsOf(P0), [P1.policyName]: P1.policy });
    const revision = apply.revision;
    const pods = { [P2.policyName]: P2.policy, 'subject/1001': podSubject(1001, P2) };
    const wanted = again.commit({ ...upsertsOf(P1), ...pods }, [P0.policyName]);
    const refused = await apply.commit(wanted);
    expect(refused).toMatchObject({ ok: false, error: { code: 'agent/host-policy-reverted', fields: { artifact: hostName } } });
    expect([inForce(tables), hasRows(tables, P0), tables.rows.get('subject')?.size]).toEqual([valueIn(P0), true, 2]);
    expect(apply.revision).toBe(revision);
    // to the operator all of it was refused: it sends it all again
    expect(code(await apply.commit(wanted))).toBe('agent/host-policy-reverted');
    // and if it wants something else meanwhile, it is told to look first
    expect(code(await apply.commit({ ...again.commit({}), upserts: [], removes: [] }))).toBe('agent/digest-mismatch');

    clock.advance(300_001);
    const late = createScript();
    late.commit({ ...upsertsOf(P0), [P1.policyName]: P1.policy, ...pods });
    expect(code(await apply.commit(late.commit(upsertsOf(P1), [P0.policyName])))).toBe('ok');
    expect(inForce(tables)).toBe(valueIn(P1));
    unwrap(await apply.revertHost(trialOf(apply)));
    // the second time it waits twice as long
    expect(apply.host().refused).toMatchObject([{ digest: contentDigest(P1.subject), strikes: 2, untilMs: clock.nowMs() + 600_000 }]);
  });

  test('is tried at once when it is another one', async () => {
    const tables = tablesOf();
    const apply = start(tables);
    const s = createScript();
    unwrap(await apply.commit(s.commit(...turn(undefined, P1))));
    unwrap(await apply.revertHost(trialOf(apply)));
    expect([inForce(tables), names(apply)]).toEqual([undefined, [P1.policyName]]);
    const next = createScript();
    next.commit({ [P1.policyName]: P1.policy });
    expect(code(await apply.commit(next.commit(...turn(P1, P2))))).toBe('ok');
    expect(inForce(tables)).toBe(valueIn(P2));
    unwrap(await apply.confirmHost(trialOf(apply)));
    expect(apply.host()).toEqual({ trial: undefined, refused: [] });
    expect(hasRows(tables, P1)).toBe(false);
  });

  test('that goes is no trial: an open node is not cut off', async () => {
    const tables = tablesOf();
    const apply = start(tables);
    const s = createScript();
    unwrap(await apply.commit(s.commit(...turn(undefined, P0))));
    unwrap(await apply.confirmHost(trialOf(apply)));
    unwrap(await apply.commit(s.commit(...turn(P0, P1))));
    unwrap(await apply.commit(s.commit(...turn(P1, undefined))));
    expect(apply.host().trial).toBeUndefined();
    expect(Object.fromEntries([...tables.rows].map(([n, r]) => [n, r.size]))).toMatchObject({ subject: 0, policy: 0, ipcache: 0 });
    expect(names(apply)).toEqual([]);
  });

  test('on top of one on trial: back means back to the last that was confirmed', async () => {
    const tables = tablesOf();
    const apply = start(tables);
    const s = createScript();
    unwrap(await apply.commit(s.commit(...turn(undefined, P0))));
    unwrap(await apply.confirmHost(trialOf(apply)));
    unwrap(await apply.commit(s.commit(upsertsOf(P1))));
    const first = trialOf(apply);
    clock.advance(1000);
    // only now does P0 lose its rows for others
    unwrap(await apply.commit(s.commit(upsertsOf(P2), [P1.policyName, P0.policyName])));
    unwrap(await apply.revertHost(first)); // not this one any more
    expect(inForce(tables)).toBe(valueIn(P2));
    unwrap(await apply.revertHost(trialOf(apply)));
    expect([inForce(tables), hasRows(tables, P0)]).toEqual([valueIn(P0), true]);
    expect(apply.verify()).toEqual([]);
  });

  test('survives a restart with everything it needs, and so does its refusal', async () => {
    const tables = tablesOf();
    const s = createScript();
    const first = start(tables);
    unwrap(await first.commit(s.commit(...turn(undefined, P0))));
    unwrap(await first.confirmHost(trialOf(first)));
    unwrap(await first.commit(s.commit(...turn(P0, P1))));
    const second = start(tables);
    expect(second.host()).toEqual(first.host());
    expect([inForce(tables), hasRows(tables, P0), second.verify()]).toEqual([valueIn(P1), true, []]);
    unwrap(await second.revertHost(trialOf(second)));
    const third = start(tables);
    expect(third.host()).toMatchObject({ trial: undefined, refused: [{ digest: contentDigest(P1.subject) }] });
    expect([inForce(tables), third.verify()]).toEqual([valueIn(P0), []]);
  });

  test('goes back on a full disk too', async () => {
    const tables = tablesOf();
    const store = createStore(dir);
    let full = false;
    const apply = start(tables, {
      ...store,
      prepare: (...a) =>
        full ? Promise.reject(new AppError({ code: 'agent/store-full', message: 'no space left', retry: 'later' })) : store.prepare(...a),
    });
    const s = createScript();
    unwrap(await apply.commit(s.commit(...turn(undefined, P0))));
    unwrap(await apply.confirmHost(trialOf(apply)));
    unwrap(await apply.commit(s.commit(...turn(P0, P1))));
    full = true;
    expect(await apply.revertHost(trialOf(apply))).toMatchObject({ ok: false, error: { code: 'agent/store-full' } });
    expect([inForce(tables), hasRows(tables, P0)]).toEqual([valueIn(P0), true]);
    expect(apply.host().refused).toHaveLength(1);
    full = false;
    const next = createScript();
    next.commit({ ...upsertsOf(P0), [P1.policyName]: P1.policy });
    unwrap(await apply.commit(next.commit({}, [P1.policyName])));
    const later = start(tables);
    expect([later.host().refused.length, later.verify(), inForce(tables)]).toEqual([1, [], valueIn(P0)]);
  });
});

describe('addresses the policy before depends on', () => {
  const identityOf = (t: FakeTables, cidr: string): number | undefined => {
    const value = t.rows.get('ipcache')?.get(text(addresses({ [cidr]: 0 }).keys));
    return value === undefined ? undefined : Buffer.from(value, 'latin1').readUInt32LE(0);
  };

  test('are again what they were when it is put back, and free when the matter is settled', async () => {
    const tables = tablesOf();
    const apply = start(tables);
    const s = createScript();
    const cidr = 0x01000001;
    const before = { '10.1.0.0/16': cidr, '10.9.0.0/16': 0x01000009, '10.2.0.1/32': 1003 };
    unwrap(await apply.commit(s.commit({ ...upsertsOf(P0), 'ipcache/cidr': addresses(before) })));
    unwrap(await apply.confirmHost(trialOf(apply)));
    // the wide prefix goes, a longer one comes, another one is nobody's business, a pod moves
    const after = { '10.1.2.0/24': 0x01000002, '10.9.0.0/16': 0x0100000a, '10.2.0.1/32': 1004 };
    const [upserts, removes] = turn(P0, P1);
    unwrap(await apply.commit(s.commit({ ...upserts, 'ipcache/cidr': addresses(after) }, removes)));
    expect(['10.1.0.0/16', '10.1.2.0/24'].map((c) => identityOf(tables, c))).toEqual([undefined, 0x01000002]);
    unwrap(await apply.revertHost(trialOf(apply)));
    const seen = (): (number | undefined)[] =>
      ['10.1.0.0/16', '10.1.2.0/24', '10.9.0.0/16', '10.2.0.1/32'].map((c) => identityOf(tables, c));
    expect(seen()).toEqual([cidr, cidr, 0x0100000a, 1004]);

    // others may come and go, these stay
    const more = createScript();
    more.commit({ ...upsertsOf(P0), [P1.policyName]: P1.policy, 'ipcache/cidr': addresses(after) });
    const changed = { ...after, '10.1.2.0/24': 0x01000003, '10.9.0.0/16': 0x0100000b };
    expect(code(await apply.commit(more.commit({ [hostName]: P1.subject, 'ipcache/cidr': addresses(changed) }, [P0.policyName])))).toBe(
      'agent/host-policy-reverted',
    );
    expect(seen()).toEqual([cidr, cidr, 0x0100000b, 1004]);
    expect([start(tables).verify(), inForce(tables)]).toEqual([[], valueIn(P0)]);

    const last = createScript();
    last.commit({ ...upsertsOf(P0), [P1.policyName]: P1.policy, 'ipcache/cidr': addresses(changed) });
    unwrap(await apply.commit(last.commit(...turn(P0, P2))));
    expect(seen()).toEqual([undefined, 0x01000003, 0x0100000b, 1004]);
    unwrap(await apply.revertHost(trialOf(apply)));
    expect(seen()).toEqual([cidr, cidr, 0x0100000b, 1004]);
    clock.advance(400_000);
    const done = createScript();
    done.commit({ ...upsertsOf(P0), [P1.policyName]: P1.policy, [P2.policyName]: P2.policy, 'ipcache/cidr': addresses(changed) });
    unwrap(await apply.commit(done.commit(upsertsOf(P2), [P0.policyName])));
    unwrap(await apply.confirmHost(trialOf(apply)));
    expect(seen()).toEqual([undefined, 0x01000003, 0x0100000b, 1004]);
    expect(apply.verify()).toEqual([]);
  });

  test('the world is somebody too', async () => {
    const tables = tablesOf();
    const apply = start(tables);
    const s = createScript();
    const world = hostPolicy(2, [{ direction: 'egress', peer: 9 }]);
    unwrap(await apply.commit(s.commit(upsertsOf(world))));
    unwrap(await apply.confirmHost(trialOf(apply)));
    const [upserts, removes] = turn(world, P0);
    unwrap(
      await apply.commit(s.commit({ ...upserts, 'ipcache/cidr': addresses({ '0.0.0.0/0': 0x01000001, '::/0': 0x01000002 }) }, removes)),
    );
    unwrap(await apply.revertHost(trialOf(apply)));
    expect([identityOf(tables, '0.0.0.0/0'), identityOf(tables, '::/0')]).toEqual([9, 0x01000002]);
  });
});

describe('the guard', () => {
  interface Rig {
    readonly apply: Apply;
    readonly guard: HostGuard;
    readonly tables: FakeTables;
    reachable: boolean;
    asked: number;
    reconnects: number;
    stop(): void;
  }
  async function rig(tables: FakeTables = tablesOf(), c: Clock = clock): Promise<Rig> {
    const life = new AbortController();
    const apply = start(tables);
    const r: Rig = {
      apply,
      tables,
      reachable: true,
      asked: 0,
      reconnects: 0,
      stop: () => life.abort(),
      guard: createHostGuard({
        apply,
        confirmMs: 20_000,
        reachable: async () => {
          r.asked++;
          return r.reachable;
        },
        reconnect: () => void r.reconnects++,
        clock: c,
        log: silentLog,
      }),
    };
    await r.guard.start(life.signal);
    return r;
  }
  /** Lets the disk do its part. */
  const settled = async (probe: () => boolean): Promise<void> => {
    for (let i = 0; i < 5_000 && !probe(); i++) await new Promise((done) => setTimeout(done, 1));
    expect(probe()).toBe(true);
  };
  const inTrial = (r: Rig): boolean => r.apply.host().trial !== undefined;

  test('believes an operator that was heard and is reached afresh', async () => {
    const r = await rig();
    const s = createScript();
    unwrap(await r.apply.commit(s.commit(...turn(undefined, P0))));
    await clock.advanceAsync(4_000);
    expect([inTrial(r), r.asked]).toEqual([true, 0]);
    r.guard.heard();
    await settled(() => !inTrial(r));
    await clock.advanceAsync(60_000);
    expect([inForce(r.tables), r.reconnects, r.guard.health()]).toEqual([valueIn(P0), 0, { state: 'ok' }]);
    expect(clock.pending()).toBe(0);
  });

  test.each([
    ['nothing is heard', false, true],
    ['messages come, but nobody can be reached afresh', true, false],
  ])('goes back after 20 s when %s', async (_name, hears, reaches) => {
    const r = await rig();
    r.reachable = reaches;
    const s = createScript();
    unwrap(await r.apply.commit(s.commit(...turn(undefined, P0))));
    for (let at = 0; at < 19; at++) {
      if (hears) r.guard.heard();
      await clock.advanceAsync(1_000);
    }
    expect([inTrial(r), inForce(r.tables)]).toEqual([true, valueIn(P0)]);
    await clock.advanceAsync(1_000);
    await settled(() => !inTrial(r) && r.reconnects === 1);
    expect(inForce(r.tables)).toBeUndefined();
    expect(r.guard.health()).toMatchObject({ state: 'degraded', reason: expect.stringContaining('taken back') });
    await clock.advanceAsync(300_000);
    expect(r.guard.health()).toEqual({ state: 'ok' });
  });

  test('finds an operator that comes back in time', async () => {
    const r = await rig();
    r.reachable = false;
    unwrap(await r.apply.commit(createScript().commit(...turn(undefined, P0))));
    r.guard.heard();
    await clock.advanceAsync(15_000);
    r.reachable = true;
    await clock.advanceAsync(1_000);
    await settled(() => !inTrial(r));
    expect(inForce(r.tables)).toBe(valueIn(P0));
  });

  test.each([
    ['goes on counting', 12_000, 8_000],
    ['goes back at once when the time is over', 90_000, 0],
  ])('after a restart it %s', async (_name, awayMs, leftMs) => {
    const tables = tablesOf();
    const first = await rig(tables);
    unwrap(await first.apply.commit(createScript().commit(...turn(undefined, P0))));
    first.stop();
    clock.advance(awayMs);
    expect(inForce(tables)).toBe(valueIn(P0));
    const second = await rig(tables);
    if (leftMs > 0) {
      await clock.advanceAsync(leftMs - 1);
      expect(inForce(tables)).toBe(valueIn(P0));
    }
    await clock.advanceAsync(1);
    await settled(() => !inTrial(second));
    expect(inForce(tables)).toBeUndefined();
  });

  test('counts anew for a change on top of a change', async () => {
    const r = await rig();
    const s = createScript();
    unwrap(await r.apply.commit(s.commit(...turn(undefined, P0))));
    await clock.advanceAsync(15_000);
    unwrap(await r.apply.commit(s.commit(...turn(P0, P1))));
    await clock.advanceAsync(15_000);
    expect(inForce(r.tables)).toBe(valueIn(P1));
    await clock.advanceAsync(5_000);
    await settled(() => !inTrial(r));
    expect(inForce(r.tables)).toBeUndefined();
  });
});

describe('any history', () => {
  type Step = { readonly kind: 'commit'; readonly to: number } | { readonly kind: 'confirm' | 'revert' | 'restart' | 'wait' };
  const policies: readonly Policy[] = [undefined, P0, P1, P2];
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('commit' as const), to: fc.integer({ min: 0, max: 3 }) }) },
    { weight: 4, arbitrary: fc.constantFrom<Step>({ kind: 'confirm' }, { kind: 'revert' }, { kind: 'restart' }, { kind: 'wait' }) },
  );

  test('enforces what was confirmed last or is on trial, and holds no row too many', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (steps) => {
        rmSync(dir, { recursive: true, force: true });
        const tables = tablesOf();
        let apply = start(tables);
        let safe: Policy;
        let tried: Policy;
        for (const s of steps) {
          if (s.kind === 'restart') apply = start(tables);
          if (s.kind === 'wait') clock.advance(200_000);
          const { trial } = apply.host();
          if (trial && s.kind === 'confirm') {
            unwrap(await apply.confirmHost(trial));
            [safe, tried] = [tried, undefined];
          }
          if (trial && s.kind === 'revert') {
            unwrap(await apply.revertHost(trial));
            tried = undefined;
          }
          if (s.kind === 'commit') {
            const to = policies[s.to];
            const result = await pushTo(apply, to);
            if (to === undefined) [safe, tried] = [undefined, undefined];
            else if (result.ok && apply.host().trial) tried = to;
          }
          const now = tried ?? safe;
          expect(inForce(tables)).toBe(now && valueIn(now));
          if (now && now.policy.keys.length > 0) expect(hasRows(tables, now)).toBe(true);
          expect(apply.verify()).toEqual([]);
        }
        unwrap(await pushTo(apply, undefined));
        expect(Object.fromEntries([...tables.rows].map(([n, r]) => [n, r.size]))).toMatchObject({ subject: 0, policy: 0, ipcache: 0 });
      }),
      { numRuns: 60 },
    );
  });

  /** As an operator that was told in full what the node holds. */
  async function pushTo(apply: Apply, to: Policy): Promise<Result<Applied>> {
    const held = new Map(apply.heldNames());
    const wanted = to ? upsertsOf(to) : {};
    const list = Object.entries(wanted).map(([name, content]) => ({ name, content, digest: contentDigest(content) }));
    const removes = [...held.keys()].filter((n) => !(n in wanted));
    const { createHeldDigest } = await import('@axoneme/proto');
    const heldDigest = createHeldDigest(new Map(list.map((u) => [u.name, u.digest]))).bytes();
    const upserts = list.filter((u) => held.get(u.name) !== u.digest);
    if (upserts.length + removes.length === 0) return ok({ revision: apply.revision, epoch: 1, heldDigest, applyUs: 0 });
    return apply.commit({ revision: apply.revision + 1, epoch: 1, heldDigest, upserts, removes });
  }
});
