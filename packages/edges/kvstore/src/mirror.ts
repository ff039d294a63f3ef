// Writes what the operator knows into Redis and keeps it true: newest value per key, compared with the truth after every doubt (start,
// takeover, FLUSHALL, lost writes). Called by the operator's leader; callers never wait for Redis.
import { randomUUID } from 'node:crypto';
import { AppError, type Clock, canonicalJson, createBackoff, describeError, type Health, type Living, type Log } from '@axoneme/std';
import { type Connection, type ConnectionConfig, connect, loadScript } from './connection.ts';
import { list, readHash } from './read.ts';
import { type Entry, type Kind, keysOf, kinds, type Records } from './records.ts';

export interface MirrorConfig extends ConnectionConfig {
  readonly cluster: string;
  readonly batchMax: number;
  /** Changes kept while Redis is away; beyond it they are dropped and everything is compared later. */
  readonly pendingMax: number;
  readonly journalMax: number;
  /** How often an idle mirror looks whether it was flushed. */
  readonly probeMs: number;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
}

export const mirrorDefaults: Omit<MirrorConfig, 'url' | 'cluster'> = {
  name: 'axoneme-mirror',
  batchMax: 256,
  pendingMax: 50_000,
  journalMax: 100_000,
  probeMs: 1_000,
  backoff: { baseMs: 100, maxMs: 5_000 },
};

export interface MirrorDeps {
  /** Everything that must be in the mirror, from the truth (CRDs, reports). Read whenever the mirror is in doubt. */
  readonly snapshot: () => Iterable<Entry>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface MirrorCounts {
  readonly pending: number;
  /** Changes written. */
  readonly written: number;
  /** Comparisons with the truth. */
  readonly compared: number;
  readonly failures: number;
}

export interface Mirror extends Living {
  /** Notes a change; undefined deletes. Ignored while not leading. */
  set<K extends Kind>(kind: K, key: string, value: Records[K] | undefined): void;
  /** Starts writing with this fencing epoch. */
  lead(epoch: number): void;
  /** Stops writing; another replica leads. */
  yield(): void;
  /** Compares everything with `snapshot` soon. */
  replaceAll(): void;
  counts(): MirrorCounts;
  /** True when everything noted so far is written. */
  settled(): boolean;
}

interface Change {
  readonly kind: Kind;
  readonly key: string;
  /** Empty deletes. */
  readonly text: string;
}

interface Claim {
  readonly epoch: number;
  readonly generation: string;
  sequence: number;
}

const scripts = { claim: loadScript('claim'), apply: loadScript('apply'), position: loadScript('position') };
const idOf = (kind: Kind, key: string): string => `${kind} ${key}`;

/** Changes by key, newest wins. */
function createPending(max: number) {
  const changes = new Map<string, Change>();
  return {
    size: () => changes.size,
    /** False when full. */
    put(c: Change): boolean {
      const id = idOf(c.kind, c.key);
      if (changes.size >= max && !changes.has(id)) return false;
      changes.set(id, c);
      return true;
    },
    take(n: number): Change[] {
      const batch: Change[] = [];
      for (const [id, c] of changes) {
        if (batch.length >= n) break;
        changes.delete(id);
        batch.push(c);
      }
      return batch;
    },
    /** Puts a failed batch back, unless something newer came. */
    restore(batch: readonly Change[]): void {
      for (const c of batch) if (!changes.has(idOf(c.kind, c.key))) changes.set(idOf(c.kind, c.key), c);
    },
    clear: () => changes.clear(),
  };
}

/** Thrown inside the loop when the mirror is not what we think it is. */
const doubt = new AppError({ code: 'kvstore/doubt', message: 'the mirror was flushed or lost writes', retry: 'refresh' });

export function createMirror(d: MirrorDeps, config: MirrorConfig): Mirror {
  const keys = keysOf(config.cluster);
  const allKeys = [keys.meta, keys.journal, ...keys.hashes];
  const pending = createPending(config.pendingMax);
  const backoff = createBackoff(config.backoff);
  let connection: Connection | undefined;
  let epoch: number | undefined;
  let claim: Claim | undefined;
  let busy = false;
  let health: Health = { state: 'stopped', reason: 'not started' };
  let wake: () => void = () => undefined;
  const count = { written: 0, compared: 0, failures: 0 };

  const fenced = (newer: number): void => {
    d.log.warn('mirror is held by a newer leader', { epoch, newer });
    epoch = undefined;
    claim = undefined;
    pending.clear();
  };

  const apply = async (c: Connection, held: Claim, batch: readonly Change[]): Promise<void> => {
    const args = batch.flatMap((x) => [kinds.indexOf(x.kind) + 1, x.kind, x.key, x.text]);
    const reply = list(await c.script(scripts.apply, allKeys, [held.epoch, held.generation, held.sequence, config.journalMax, ...args]));
    if (reply[0] === 1) return fenced(-1);
    if (reply[0] !== 0) throw doubt;
    held.sequence = Number(reply[1]);
    count.written += batch.length;
  };

  /** Brings the mirror to the truth by writing only what differs. */
  const compare = async (c: Connection, at: number): Promise<void> => {
    const [status, generation, sequence, newer] = list(await c.script(scripts.claim, allKeys, [at, randomUUID(), config.journalMax]));
    if (status !== 0) return fenced(Number(newer));
    const held: Claim = { epoch: at, generation: String(generation), sequence: Number(sequence) };
    // The truth is read after this: what was noted before is in it.
    pending.clear();
    const wanted = new Map<Kind, Map<string, string>>(kinds.map((k) => [k, new Map()]));
    for (const [kind, key, value] of d.snapshot()) wanted.get(kind)?.set(key, canonicalJson(value));
    for (const kind of kinds) {
      const want = wanted.get(kind) as Map<string, string>;
      const have = await readHash(c, keys.hash(kind));
      const changes: Change[] = [];
      for (const [key, text] of want) if (have.get(key) !== text) changes.push({ kind, key, text });
      for (const key of have.keys()) if (!want.has(key)) changes.push({ kind, key, text: '' });
      for (let i = 0; i < changes.length && epoch === at; i += config.batchMax) await apply(c, held, changes.slice(i, i + config.batchMax));
    }
    if (epoch !== at) return;
    claim = held;
    count.compared++;
    d.log.info('mirror compared with the truth', { generation: held.generation, sequence: held.sequence });
  };

  const probe = async (c: Connection, held: Claim): Promise<void> => {
    const [generation, sequence] = list(await c.script(scripts.position, [keys.meta, keys.journal], []));
    if (generation !== held.generation || sequence !== held.sequence) throw doubt;
  };

  const turn = async (c: Connection): Promise<void> => {
    if (epoch === undefined) return;
    if (claim === undefined || claim.epoch !== epoch) return await compare(c, epoch);
    if (pending.size() === 0) return await probe(c, claim);
    const batch = pending.take(config.batchMax);
    try {
      await apply(c, claim, batch);
    } catch (e) {
      pending.restore(batch);
      throw e;
    }
  };

  const idle = async (signal: AbortSignal): Promise<void> => {
    if (epoch !== undefined && (claim === undefined || pending.size() > 0)) return;
    const woken = new AbortController();
    wake = () => woken.abort();
    await d.clock.sleep(config.probeMs, AbortSignal.any([signal, woken.signal]));
    wake = () => undefined;
  };

  const run = async (c: Connection, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await idle(signal);
      if (signal.aborted) break;
      busy = true;
      try {
        await turn(c);
        if (health.state !== 'ok') d.log.info('mirror is written again');
        health = { state: 'ok' };
        backoff.reset();
      } catch (e) {
        if (e === doubt) {
          d.log.warn('mirror is in doubt and will be compared');
          claim = undefined;
        } else {
          count.failures++;
          if (health.state === 'ok') d.log.warn('mirror cannot be written', { error: e });
          health = { state: 'degraded', reason: describeError(e) };
          await d.clock.sleep(backoff.nextMs(), signal);
        }
      } finally {
        busy = false;
      }
    }
    health = { state: 'stopped', reason: 'shut down' };
    c.close();
  };

  return {
    name: 'kvstore',
    health: () => health,
    counts: () => ({ pending: pending.size(), ...count }),
    settled: () => epoch !== undefined && claim !== undefined && !busy && pending.size() === 0,
    set(kind, key, value) {
      if (epoch === undefined) return;
      if (!pending.put({ kind, key, text: value === undefined ? '' : canonicalJson(value) })) {
        d.log.warn('too many changes wait for redis; everything will be compared', { pendingMax: config.pendingMax });
        pending.clear();
        claim = undefined;
      }
      wake();
    },
    lead(next) {
      epoch = next;
      wake();
    },
    yield() {
      epoch = undefined;
      claim = undefined;
      pending.clear();
    },
    replaceAll() {
      claim = undefined;
      wake();
    },
    async start(signal) {
      connection = connect(config);
      health = { state: 'degraded', reason: 'not connected yet' };
      const c = connection;
      signal.addEventListener('abort', () => wake(), { once: true });
      void run(c, signal);
    },
  };
}
