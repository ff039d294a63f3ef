// Plans what a commit becomes when it touches the host's own policy: the new rows go in, what the old ones need stays beside them until the
// new ones are confirmed; or it all goes back. Pure over what is held. Called by apply; the clock and the question "can the operator be
// reached?" are the guard's.
import type { AppError, Digest } from '@axoneme/std';
import { type Held, type HeldArtifact, localPrefix, overridingSeq } from '../apply/held.ts';
import type { TablePlan, Upsert } from '../apply/plan.ts';
import { type ArtifactContent, contentDigest } from '../store/artifact-file.ts';
import { formerRows, mergeRows } from './former.ts';
import { handlesOf, hostArtifacts, isHostSubject, policyUnder } from './host-rows.ts';
import { afterRevert, type HostState, localTable, readState, refusalError, refusalOf, stateArtifact, stateUpsert } from './state.ts';

export interface Change {
  readonly upserts: readonly Upsert[];
  readonly removes: readonly string[];
}

export interface Guarded extends Change {
  /** Part of the commit was left out; everything else is to be applied. */
  readonly refused: AppError | undefined;
}

export interface TrialView {
  readonly held: Held;
  readonly read: (a: { readonly digest: Digest }) => ArtifactContent;
  readonly nowMs: number;
  /** What a change would do to one table. */
  readonly plan: (table: string, change: Change) => TablePlan | undefined;
}

/** Artifacts the old policy needs, under their own digests. */
const keepPrefix = `${localPrefix}keep/`;
/** How addresses were seen under the old policy; no rows until it is put back. */
const formerPrefix = `${localPrefix}former/`;
/** The same, put back: rows no commit overrides. */
const overPrefix = `${localPrefix}over/`;
/** Tables that say who is behind an address. */
const addressTables = ['ipcache', 'addr_class'] as const;

const locals = (held: Held, ...prefixes: readonly string[]): HeldArtifact[] =>
  [...held.all()].filter((a) => prefixes.some((p) => a.name.startsWith(p)));

const names = (list: readonly { readonly name: string }[]): string[] => list.map((a) => a.name);

/** Upserts and removals that leave `state` remembered. */
function remember(state: HostState, held: Held): Change {
  const upsert = stateUpsert(state);
  if (upsert !== undefined) return { upserts: [upsert], removes: [] };
  return { upserts: [], removes: held.get(stateArtifact) ? [stateArtifact] : [] };
}

const join = (...changes: readonly Change[]): Change => ({
  upserts: changes.flatMap((c) => c.upserts),
  removes: [...new Set(changes.flatMap((c) => c.removes))],
});

/** `a` again under a local name, as old as it is, so that what replaces it wins. */
function keep(a: HeldArtifact, v: TrialView): Upsert {
  return { entry: { name: `${keepPrefix}${a.name}`, table: a.table, digest: a.digest, seq: a.seq }, content: v.read(a) };
}

/** The commit as it is to be applied. */
export function guardCommit(change: Change, v: TrialView): Guarded {
  const state = readState(v.held, v.read);
  const incoming = change.upserts.filter((u) => isHostSubject(u.content));
  const refusal = incoming.map((u) => refusalOf(state, u.entry.digest, v.nowMs)).find((r) => r !== undefined);
  if (refusal !== undefined) return { ...withhold(change, incoming, v), refused: refusalError(refusal) };
  const own = hostArtifacts(v.held);
  const replaced = new Set(names(incoming.map((u) => u.entry)));
  const left = own.filter((a) => !change.removes.includes(a.name));
  // without a policy nothing of the node is dropped: there is nothing to try, and nothing to go back to
  if (incoming.length === 0 && left.length === 0) {
    if (own.length === 0 && !v.held.get(stateArtifact)) return { ...change, refused: undefined };
    const rest = names(locals(v.held, keepPrefix, formerPrefix, overPrefix));
    const forgotten = remember({ ...state, trial: undefined }, v.held);
    return { ...join(change, { upserts: [], removes: rest }, forgotten), refused: undefined };
  }
  if (incoming.length === 0 && state.trial === undefined) return { ...change, refused: undefined };
  const before = state.trial === undefined ? own.filter((a) => replaced.has(a.name) || change.removes.includes(a.name)) : [];
  const trial =
    incoming.length === 0
      ? state.trial
      : { changes: incoming.map((u) => ({ artifact: u.entry.name, digest: u.entry.digest })), sinceMs: v.nowMs };
  const kept = keepNeeded(change, before, v);
  return { ...join(kept, remember({ ...state, trial }, v.held), change), refused: undefined };
}

/** What `before` and the policy already kept need of what the change takes away. */
function keepNeeded(change: Change, before: readonly HeldArtifact[], v: TrialView): Change {
  const subjects = [...before, ...locals(v.held, keepPrefix).filter((a) => a.table === 'subject')];
  const policy = policyUnder(v.held, new Set(subjects.flatMap((a) => [...handlesOf(v.read(a))])));
  const rows = change.removes.filter((n) => policy.artifacts.has(n)).flatMap((n) => v.held.get(n) ?? []);
  const former = addressTables.flatMap((table): Upsert[] => {
    const plan = v.plan(table, change);
    const known = mergeRows([overPrefix, formerPrefix].flatMap((p) => v.held.get(`${p}${table}`) ?? []).map(v.read));
    const fresh = plan === undefined ? [] : [formerRows(table, plan, policy.peers, known, v)];
    const merged = mergeRows([known, ...fresh]);
    if (merged.keys.length === 0) return [];
    const content = { table: localTable, keys: merged.keys, values: merged.values, blob: Buffer.alloc(0) };
    return [{ entry: { name: `${formerPrefix}${table}`, table: localTable, digest: contentDigest(content), seq: 0 }, content }];
  });
  return { upserts: [...before, ...rows].map((a) => keep(a, v)).concat(former), removes: names(locals(v.held, overPrefix)) };
}

/** The commit without the refused policy, and without taking from the one in force what it needs. */
function withhold(change: Change, incoming: readonly Upsert[], v: TrialView): Change {
  const own = hostArtifacts(v.held);
  const needed = policyUnder(v.held, new Set(own.flatMap((a) => [...handlesOf(v.read(a))]))).artifacts;
  const stay = new Set([...needed, ...names(own)]);
  return { upserts: change.upserts.filter((u) => !incoming.includes(u)), removes: change.removes.filter((n) => !stay.has(n)) };
}

/** The policy on trial has proved itself. */
export function confirmChange(v: TrialView): Change {
  const rest = { upserts: [], removes: names(locals(v.held, keepPrefix, formerPrefix, overPrefix)) };
  return join(rest, remember({ trial: undefined, refused: [] }, v.held));
}

/** Back to the policy before, or to none. */
export function revertChange(v: TrialView): Change {
  const state = readState(v.held, v.read);
  const kept = locals(v.held, keepPrefix);
  let seq = v.held.nextSeq();
  const back = kept.map(
    (a): Upsert => ({
      entry: { name: a.name.slice(keepPrefix.length), table: a.table, digest: a.digest, seq: seq++ },
      content: v.read(a),
    }),
  );
  const former = locals(v.held, formerPrefix);
  const over = former.map((a): Upsert => {
    const table = a.name.slice(formerPrefix.length);
    const { keys, values, blob } = v.read(a);
    const content = { table, keys, values, blob };
    return { entry: { name: `${overPrefix}${table}`, table, digest: contentDigest(content), seq: overridingSeq }, content };
  });
  const restored = new Set(back.map((u) => u.entry.name));
  const tried = hostArtifacts(v.held).filter((a) => !restored.has(a.name));
  return join(
    { upserts: [...back, ...over], removes: names([...kept, ...former, ...tried]) },
    remember(afterRevert(state, v.nowMs), v.held),
  );
}
