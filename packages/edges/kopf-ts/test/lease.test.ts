import { silentLog } from '@axoneme/std';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  connectKube,
  createElection,
  type Election,
  type ElectionOptions,
  epochAnnotation,
  type KubeClient,
  type StopReason,
} from '../src/index.ts';
import { type FakeApi, startFakeApi, until } from './fake-api.ts';

const leases = 'coordination.k8s.io/leases';
let api: FakeApi;
let clients: KubeClient[];
let stops: AbortController[];
let watcher: NodeJS.Timeout | undefined;

const leaseSpec = (): { holderIdentity?: string; leaseTransitions?: number } =>
  (api.get(leases, 'kube-system/axoneme-operator')?.spec as object | undefined) ?? {};

interface Candidate {
  readonly election: Election;
  readonly stop: AbortController;
  readonly epochs: number[];
  readonly reasons: StopReason[];
  readonly terms: AbortSignal[];
}

async function candidate(identity: string, o: Partial<ElectionOptions> = {}): Promise<Candidate> {
  const client = connectKube({ kind: 'text', text: api.kubeconfig }, { requestTimeoutMs: 150 });
  const stop = new AbortController();
  const epochs: number[] = [];
  const reasons: StopReason[] = [];
  const terms: AbortSignal[] = [];
  const election = createElection({
    client,
    lease: { name: 'axoneme-operator', namespace: 'kube-system' },
    identity,
    log: silentLog,
    leaseDurationMs: 400,
    renewDeadlineMs: 250,
    retryMs: 20,
    onStarted: (epoch, signal) => {
      epochs.push(epoch);
      terms.push(signal);
    },
    onStopped: (r) => void reasons.push(r),
    ...o,
  });
  clients.push(client);
  stops.push(stop);
  await election.start(stop.signal);
  return { election, stop, epochs, reasons, terms };
}

beforeEach(async () => {
  api = await startFakeApi();
  clients = [];
  stops = [];
});
afterEach(async () => {
  clearInterval(watcher);
  for (const s of stops) s.abort();
  for (const c of clients) c.close();
  await api.close();
});

describe('election', () => {
  test('one of three leads; after a clean stop another takes over at once with a higher epoch', async () => {
    const all = await Promise.all(['a', 'b', 'c'].map((n) => candidate(n, { leaseDurationMs: 60_000, renewDeadlineMs: 40_000 })));
    await until('somebody leads', () => all.some((c) => c.election.isLeader()));
    const first = all.find((c) => c.election.isLeader());
    expect(all.filter((c) => c.election.isLeader()).length).toBe(1);
    first?.stop.abort();
    await first?.election.ended;
    expect(first?.reasons).toEqual(['stopped']);
    expect(first?.terms[0]?.aborted).toBe(true);
    await until('another leads', () => all.some((c) => c !== first && c.election.isLeader()));
    const second = all.find((c) => c.election.isLeader());
    expect(second?.epochs[0]).toBeGreaterThan(first?.epochs[0] ?? 0);
    const third = all.find((c) => c !== first && c !== second);
    expect(third?.election.epoch()).toBeUndefined();
    await until('the third knows of the new term', () => third?.election.epochSeen() === second?.epochs[0]);
  });

  test('a leader that dies in silence is replaced only after its lease has run out', async () => {
    const a = await candidate('a');
    await until('a leads', () => a.election.isLeader());
    // a is cut off: its renewals fail while b reaches the server
    const b = await candidate('b', { leaseDurationMs: 400 });
    const overlap: boolean[] = [];
    watcher = setInterval(() => overlap.push(a.election.isLeader() && b.election.isLeader()), 1);
    api.faults.cut.push({ match: 'PUT', times: 1e9 });
    await until('a noticed', () => a.reasons.length > 0);
    expect(a.reasons[0]).toBe('renewal failed');
    api.faults.cut.length = 0;
    await until('someone leads again', () => a.epochs.length + b.epochs.length === 2);
    expect(overlap.some((x) => x)).toBe(false);
    const epochs = [...a.epochs, ...b.epochs].sort((x, y) => x - y);
    expect(epochs[1]).toBeGreaterThan(epochs[0] ?? 0);
  });

  test('stale inputs: steps down, does not apply, comes back when fresh with a new epoch', async () => {
    let fresh = true;
    const a = await candidate('a', { isFresh: () => fresh });
    await until('a leads', () => a.election.isLeader());
    fresh = false;
    await until('stepped down', () => a.reasons.length === 1);
    expect(a.reasons).toEqual(['inputs stale']);
    await until('released', () => leaseSpec().holderIdentity === '');
    const looks = api.requests.length;
    await until('it keeps looking', () => api.requests.length > looks + 3);
    expect(a.epochs.length).toBe(1);
    fresh = true;
    await until('leads again', () => a.election.isLeader());
    expect(a.epochs[1]).toBeGreaterThan(a.epochs[0] ?? 0);
  });

  test('a hanging renewal cannot keep a leader in office', async () => {
    const a = await candidate('a');
    await until('a leads', () => a.election.isLeader());
    api.faults.refuse.push({ match: 'PUT', status: 500, times: 1e9 });
    await until('stepped down', () => a.reasons.length === 1);
    expect(a.election.isLeader()).toBe(false);
    expect(a.election.epoch()).toBeUndefined();
  });

  test('the epoch grows even when the Lease was deleted, and stays above a known floor', async () => {
    const a = await candidate('a');
    await until('a leads', () => a.election.isLeader());
    const floor = (a.epochs[0] ?? 0) + 1_000_000;
    api.remove(leases, 'kube-system/axoneme-operator');
    await until('a noticed', () => a.reasons.includes('taken over'));
    a.stop.abort();
    await a.election.ended;
    api.remove(leases, 'kube-system/axoneme-operator');
    const b = await candidate('b', { epochFloor: () => floor });
    await until('b leads', () => b.election.isLeader());
    expect(b.epochs[0]).toBeGreaterThan(floor);
    expect(api.get(leases, 'kube-system/axoneme-operator')?.metadata.annotations?.[epochAnnotation]).toBe(String(b.epochs[0]));
  });

  test('somebody else in the lease ends the term', async () => {
    const a = await candidate('a');
    await until('a leads', () => a.election.isLeader());
    const l = api.get(leases, 'kube-system/axoneme-operator');
    api.put(leases, { metadata: l?.metadata as never, spec: { ...(l?.spec as object), holderIdentity: 'thief' } });
    await until('a noticed', () => a.reasons.length === 1);
    expect(a.reasons).toEqual(['taken over']);
  });

  test('an earlier process of the same pod is known to be dead', async () => {
    api.put(leases, {
      metadata: { name: 'axoneme-operator', namespace: 'kube-system', annotations: { [epochAnnotation]: '7' } },
      spec: { holderIdentity: 'pod-0_old', leaseDurationSeconds: 3600, leaseTransitions: 3 },
    });
    const b = await candidate('pod-0_new', { leaseDurationMs: 3_600_000, isDead: (h) => h.startsWith('pod-0_') });
    await until('b leads', () => b.election.isLeader());
    expect(leaseSpec().leaseTransitions).toBe(4);
  });
});
