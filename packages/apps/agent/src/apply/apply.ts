// Owns what this node holds and brings it into the kernel: commits from the operator, the stored commit after a restart. Called by sync and
// wiring. Commits run one after another; a failed one leaves disk, memory and kernel as they were.
import { AppError, type Clock, type Digest, describeError, err, fail, type Log, ok, type Result } from '@axoneme/std';
import { type HostState, readState, sameTrial, stateArtifact, type Trial } from '../host/state.ts';
import { type Change, confirmChange, guardCommit, revertChange, type TrialView } from '../host/trial.ts';
import { type Tables, tableOrder } from '../ports/tables.ts';
import type { ArtifactContent } from '../store/artifact-file.ts';
import type { IndexEntry, StoreIndex } from '../store/index-file.ts';
import type { Prepared, Store } from '../store/store.ts';
import { checkCapacity, execute } from './execute.ts';
import { createHeld, type Held, indexAfter, isLocal } from './held.ts';
import { todaysRows } from './old-rows.ts';
import { planTable, type TablePlan, type Upsert } from './plan.ts';
import { type Drift, reconcile } from './reconcile.ts';

export interface CommitUpsert {
  readonly name: string;
  readonly digest: Digest;
  readonly content: ArtifactContent;
}

export interface CommitRequest {
  readonly revision: number;
  readonly epoch: number;
  readonly heldDigest: Buffer;
  readonly upserts: readonly CommitUpsert[];
  readonly removes: readonly string[];
}

export interface Applied {
  readonly revision: number;
  readonly epoch: number;
  readonly heldDigest: Buffer;
  readonly applyUs: number;
}

/** A blob artifact that came, changed (`blob` set) or went. */
export interface BlobChange {
  readonly name: string;
  readonly blob: Buffer | undefined;
}

export interface Occupancy {
  readonly entries: number;
  readonly capacity: number;
}

export interface Apply {
  /** Takes up the stored commit and corrects the kernel towards it. */
  start(): void;
  commit(request: CommitRequest): Promise<Result<Applied>>;
  /** Looks for rows that differ from what is held and repairs them. */
  verify(): readonly Drift[];
  readonly revision: number;
  readonly epoch: number;
  /** A complete commit has been applied since the start, or taken up from disk. */
  readonly complete: boolean;
  heldDigest(): Buffer;
  heldNames(): Iterable<readonly [string, Digest]>;
  occupancy(): Record<string, Occupancy>;
  /** Listeners run after the rows are in the kernel. */
  onBlobs(listener: (changes: readonly BlobChange[]) => void): void;
  /** Host policies on trial and refused. */
  host(): HostState;
  /** What this trial is about stays. Nothing happens when another one has begun, as for `revertHost`. */
  confirmHost(trial: Trial): Promise<Result<void>>;
  /** The rows of before the trial again, and the policy refused for a while. */
  revertHost(trial: Trial): Promise<Result<void>>;
  /** Listeners run after `host` changed, also at the start. */
  onHost(listener: (state: HostState) => void): void;
}

/** Goes back to the objects before the commit. */
export type ObjectsBack = () => void;

export interface ApplyDeps {
  readonly store: Store;
  /**
   * Takes over the eBPF objects that the commit names, before anything of it is written. `find` gives the content an artifact has after
   * the commit. Called only when an artifact that `concerns` says yes to comes, changes or goes.
   */
  readonly objects?: {
    concerns(artifact: string): boolean;
    take(find: (name: string) => ArtifactContent | undefined): Result<ObjectsBack>;
  };
  /** Says of a blob that comes whether this agent can use it: a commit with one that it cannot is refused as a whole. */
  readonly checkBlob?: (artifact: string, blob: Buffer) => Result<unknown>;
  readonly tables: Tables;
  readonly clock: Clock;
  readonly log: Log;
}

type Checks = Pick<ApplyDeps, 'tables'> & { readonly checkBlob: ApplyDeps['checkBlob'] | undefined };

const noBytes = Buffer.alloc(0);
const isKernelTable = (name: string): boolean => tableOrder.includes(name);

/** Errors: `agent/table-unknown`, `agent/malformed-artifact`. */
function checkUpsert(u: CommitUpsert, { tables, checkBlob }: Checks): Result<unknown> {
  const { table, keys, values } = u.content;
  if (keys.length === 0 && values.length === 0)
    return isKernelTable(table) ? ok(undefined) : (checkBlob?.(u.name, u.content.blob) ?? ok(undefined));
  const t = isKernelTable(table) ? tables.get(table) : undefined;
  const fields = { artifact: u.name, table };
  if (!t) return fail({ code: 'agent/table-unknown', message: `this datapath has no table ${table}`, fields });
  const rows = keys.length / t.keySize;
  if (Number.isInteger(rows) && values.length === rows * t.valueSize) return ok(undefined);
  return fail({ code: 'agent/malformed-artifact', message: `rows of ${u.name} do not fit table ${table}`, fields });
}

export function createApply({ store, tables, objects, checkBlob, clock, log }: ApplyDeps): Apply {
  let held: Held = createHeld();
  const listeners: ((changes: readonly BlobChange[]) => void)[] = [];
  const hostListeners: ((state: HostState) => void)[] = [];
  let hostDigest: Digest | undefined;
  let hostState: HostState = { trial: undefined, refused: [] };
  let revision = 0;
  let epoch = 0;
  // whether the kernel is known to hold exactly what `held` says; `drifted`: it should, but a failed rollback left a difference
  let kernel: 'unknown' | 'drifted' | 'equal' = 'unknown';
  let complete = false;
  let queue: Promise<unknown> = Promise.resolve();

  const keySize = (table: string): number => (isKernelTable(table) ? (tables.get(table)?.keySize ?? 0) : 0);
  // changes of our own that the disk had no room for; the next commit stores them
  const unsaved = new Map<Digest, ArtifactContent>();
  const read = (a: { readonly digest: Digest }): ArtifactContent => {
    const waiting = unsaved.get(a.digest);
    if (waiting) return waiting;
    const r = store.read(a.digest);
    if (!r.ok) throw r.error;
    return todaysRows(r.value, tables.get(r.value.table));
  };
  const keysOf = (name: string): Buffer => {
    const a = held.get(name);
    return a && keySize(a.table) > 0 ? read(a).keys : noBytes;
  };
  const tell = (changes: readonly BlobChange[]): void => {
    if (changes.length > 0) for (const l of listeners) l(changes);
  };

  const planOne = (name: string, { upserts, removes }: Change): TablePlan | undefined => {
    const leaving = [...removes, ...upserts.map((u) => u.entry.name)].map((n) => held.get(n)).filter((a) => a !== undefined);
    const t = tables.get(name);
    const ups = upserts.filter((u) => u.entry.table === name && u.content.keys.length > 0);
    const gone = leaving.filter((a) => a.table === name);
    if (!t || ups.length + gone.length === 0) return undefined;
    const { keySize: ks, valueSize: vs } = t;
    return planTable(name, { keySize: ks, valueSize: vs, keys: held.keys, upserts: ups, gone, byId: held.byId, read });
  };
  const planAll = (c: Change): TablePlan[] => tableOrder.flatMap((name) => planOne(name, c) ?? []);
  const trialView = (): TrialView => ({ held, read, nowMs: clock.nowMs(), plan: planOne });
  const tellHost = (): void => {
    const now = held.get(stateArtifact)?.digest;
    if (now === hostDigest) return;
    hostDigest = now;
    hostState = readState(held, read);
    for (const l of hostListeners) l(hostState);
  };

  const blobChanges = (upserts: readonly Upsert[], removes: readonly string[]): BlobChange[] => [
    ...removes.filter((n) => !isLocal(n) && !isKernelTable(held.get(n)?.table ?? '')).map((name) => ({ name, blob: undefined })),
    ...upserts
      .filter((u) => !isLocal(u.entry.name) && !isKernelTable(u.entry.table))
      .map((u) => ({ name: u.entry.name, blob: u.content.blob })),
  ];

  const adopt = (upserts: readonly Upsert[], removes: readonly string[], oldKeys: ReadonlyMap<string, Buffer>): void => {
    for (const name of removes) held.remove(name, oldKeys.get(name) ?? noBytes, keySize(held.get(name)?.table ?? ''));
    for (const { entry, content } of upserts) held.set(entry, content.keys, keySize(entry.table), oldKeys.get(entry.name) ?? noBytes);
  };

  /** Held state of an index from scratch. */
  const build = (index: StoreIndex, contentOf: (a: IndexEntry) => ArtifactContent): Held => {
    const made = createHeld();
    for (const a of index.artifacts) made.set(a, contentOf(a).keys, keySize(a.table), noBytes);
    return made;
  };

  /** The kernel may hold anything (first start, damaged store): compare instead of trusting a plan. */
  const replaceAll = async (next: StoreIndex, prepared: Prepared, added: ReadonlyMap<Digest, ArtifactContent>): Promise<Result<Held>> => {
    const after = build(next, (a) => added.get(a.digest) ?? read(a));
    const room = checkCapacity(
      tableOrder.map((table) => ({ table, peak: after.keys.count(table) })).filter((p) => p.peak > 0),
      tables,
    );
    if (!room.ok) {
      await prepared.abort();
      return room;
    }
    await prepared.publish();
    reconcile(after, tables, read);
    return ok(after);
  };

  /** The kernel equals `held`: write the difference, or put it back. */
  const change = async (plans: readonly TablePlan[], prepared: Prepared): Promise<Result<void>> => {
    const done = execute(plans, tables);
    if (!done.ok) {
      if (done.error.code === 'agent/rollback-failed') kernel = 'drifted';
      await prepared.abort();
      return done;
    }
    try {
      await prepared.publish();
      return ok(undefined);
    } catch (e) {
      reconcile(held, tables, read);
      throw e;
    }
  };

  const run = async (c: CommitRequest): Promise<Result<Applied>> => {
    const started = clock.monotonicMs();
    const refused = refuse(c, epoch, held, { tables, checkBlob });
    if (refused) return err(refused);
    const {
      upserts,
      removes,
      refused: withheld,
    } = guardCommit({ upserts: fresh(c.upserts, held), removes: c.removes.filter((n) => held.get(n) !== undefined) }, trialView());
    if (kernel === 'drifted') reconcileHeld();
    const plans = kernel === 'equal' ? planAll({ upserts, removes }) : [];
    const room = checkCapacity(plans, tables);
    if (!room.ok) return room;
    const taken = takeObjects(upserts, removes);
    if (!taken.ok) return taken;
    // a node that left something out has not reached the revision
    const reached = withheld ? { revision, epoch: c.epoch } : c;
    const done = await write(reached, { upserts, removes, plans }).catch((e: unknown) => err(asAppError(e)));
    if (!done.ok) {
      taken.value();
      return done;
    }
    tell(done.value);
    tellHost();
    if (withheld) return err(withheld);
    return ok({ revision, epoch, heldDigest: held.digest(), applyUs: Math.round((clock.monotonicMs() - started) * 1000) });
  };

  /** Errors: `agent/object-rejected`; then the objects of before run. */
  const takeObjects = (upserts: readonly Upsert[], removes: readonly string[]): Result<ObjectsBack> => {
    const names = [...removes, ...upserts.map((u) => u.entry.name)];
    if (objects === undefined || !names.some((n) => objects.concerns(n))) return ok(() => undefined);
    return objects.take((name) => {
      const upsert = upserts.find((u) => u.entry.name === name);
      const old = removes.includes(name) ? undefined : held.get(name);
      return upsert?.content ?? (old && read(old));
    });
  };

  interface Planned extends Change {
    readonly plans: readonly TablePlan[];
  }

  /** Disk first, then the kernel; or nothing at all. */
  const write = async (
    c: Pick<CommitRequest, 'revision' | 'epoch'>,
    { upserts, removes, plans }: Planned,
  ): Promise<Result<readonly BlobChange[]>> => {
    const entries = upserts.map((u) => u.entry);
    const oldKeys = new Map([...removes, ...entries.map((e) => e.name)].map((n) => [n, keysOf(n)]));
    const added = new Map([...unsaved, ...upserts.map((u) => [u.entry.digest, u.content] as const)]);
    const next = indexAfter(held, c.revision, c.epoch, entries, removes);
    const prepared = await store.prepare(next, added);
    const changes = blobChanges(upserts, removes);
    if (kernel === 'equal') {
      const done = await change(plans, prepared);
      if (!done.ok) return done;
      adopt(upserts, removes, oldKeys);
    } else {
      const done = await replaceAll(next, prepared, added);
      if (!done.ok) return done;
      held = done.value;
      kernel = 'equal';
      complete = true;
    }
    unsaved.clear();
    revision = c.revision;
    epoch = c.epoch;
    return ok(changes);
  };

  /** A change of the agent's own. What is in the kernel matters more here than what is on disk: a full disk must not keep a node cut off. */
  const runLocal = async (change: Change): Promise<Result<void>> => {
    if (kernel === 'drifted') reconcileHeld();
    const plans = planAll(change);
    const stored =
      kernel === 'equal' ? await write({ revision, epoch }, { ...change, plans }).catch((e: unknown) => err(asAppError(e))) : undefined;
    if (stored?.ok) {
      tellHost();
      return ok(undefined);
    }
    const done = execute(plans, tables);
    if (!done.ok) return done;
    const changed = [...change.removes, ...change.upserts.map((u) => u.entry.name)];
    const oldKeys = new Map(changed.map((n) => [n, keysOf(n)]));
    for (const u of change.upserts) unsaved.set(u.entry.digest, u.content);
    adopt(change.upserts, change.removes, oldKeys);
    tellHost();
    return stored ?? ok(undefined);
  };

  const reconcileHeld = (): readonly Drift[] => {
    const drift = reconcile(held, tables, read);
    kernel = 'equal';
    return drift;
  };

  const inTurn = <T>(work: () => Promise<Result<T>>): Promise<Result<T>> => {
    const next = queue.then(work).catch((e: unknown) => err(asAppError(e)));
    queue = next;
    return next;
  };

  return {
    start() {
      const loaded = store.load();
      for (const p of loaded.problems) log.error('stored artifact is damaged', { problem: p });
      const changes: BlobChange[] = [];
      held = build(loaded.index, (a) => {
        const c = read(a);
        if (!isKernelTable(a.table)) changes.push({ name: a.name, blob: c.blob });
        return c;
      });
      revision = loaded.index.revision;
      epoch = loaded.index.epoch;
      if (loaded.state === 'complete') {
        const drift = reconcileHeld();
        complete = true;
        log.info('stored commit taken up', { revision, artifacts: held.size, drift });
      }
      tell(changes.filter((c) => !isLocal(c.name)));
      tellHost();
    },
    commit: (request) => inTurn(() => run(request)),
    host: () => hostState,
    confirmHost: (trial) => inTurn(async () => (sameTrial(trial, hostState.trial) ? runLocal(confirmChange(trialView())) : ok(undefined))),
    revertHost: (trial) => inTurn(async () => (sameTrial(trial, hostState.trial) ? runLocal(revertChange(trialView())) : ok(undefined))),
    onHost(listener) {
      hostListeners.push(listener);
    },
    verify() {
      return kernel === 'unknown' ? [] : reconcileHeld();
    },
    get revision() {
      return revision;
    },
    get epoch() {
      return epoch;
    },
    get complete() {
      return complete;
    },
    heldDigest: () => held.digest(),
    *heldNames() {
      for (const a of held.all()) if (!isLocal(a.name)) yield [a.name, a.digest] as const;
    },
    occupancy() {
      const present = tableOrder.map((n) => tables.get(n)).filter((t) => t !== undefined);
      return Object.fromEntries(present.map((t) => [t.name, { entries: held.keys.count(t.name), capacity: t.capacity }]));
    },
    onBlobs(listener) {
      listeners.push(listener);
    },
  };
}

const asAppError = (e: unknown): AppError =>
  e instanceof AppError ? e : new AppError({ code: 'agent/apply-failed', message: describeError(e), retry: 'later', cause: e });

/** Upserts that change something, with their place in the order. */
function fresh(upserts: readonly CommitUpsert[], held: Held): Upsert[] {
  let seq = held.nextSeq();
  return upserts
    .filter((u) => held.get(u.name)?.digest !== u.digest)
    .map((u) => ({
      entry: { name: u.name, table: u.content.table, digest: u.digest, seq: seq++ } satisfies IndexEntry,
      content: u.content,
    }));
}

/** Reasons to leave a commit alone before anything is written. */
function refuse(c: CommitRequest, epoch: number, held: Held, check: Checks): AppError | undefined {
  if (c.epoch < epoch) {
    return new AppError({ code: 'agent/stale-epoch', message: `epoch ${c.epoch} is older than ${epoch}`, retry: 'refresh' });
  }
  for (const u of c.upserts) {
    const r = checkUpsert(u, check);
    if (!r.ok) return r.error;
  }
  const entries = fresh(c.upserts, held).map((u) => u.entry);
  const removes = c.removes.filter((n) => held.get(n) !== undefined);
  if (held.digestAfter(entries, removes).equals(c.heldDigest)) return undefined;
  return new AppError({ code: 'agent/digest-mismatch', message: 'this commit would not give what the operator expects', retry: 'refresh' });
}
