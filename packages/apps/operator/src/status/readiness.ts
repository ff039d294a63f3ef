// Pods that ask for it are told when their node enforces their policy: readiness gate `axoneme.io/policy-enforced`. Called by duties.ts.

import type { Clock } from '@axoneme/std';
import { isKubeError, type KubeClient, resources } from 'kopf-ts';
import type { Compiled } from '../compile/compiler.ts';
import { keyOf, type PodRow } from '../world/rows.ts';
import type { Dirty, World } from '../world/world.ts';

/** First revision that carries this identity of a pod, with all policies that select it. */
interface Carried {
  readonly identity: number;
  readonly revision: number;
}

export interface PodGates {
  /** After each compile, on every replica: whoever leads next knows. */
  note(compiled: Compiled, dirty: Dirty, revision: number): void;
  readonly pods: ReadonlyMap<string, PodRow>;
  carried(uid: string): Carried | undefined;
}

export function createPodGates(world: World): PodGates {
  const gated = new Map<string, PodRow>();
  const carried = new Map<string, Carried>();
  let last: Compiled['pods'] | undefined;
  return {
    pods: gated,
    carried: (uid) => carried.get(uid),
    note(compiled, dirty, revision) {
      for (const key of dirty.get('pods') ?? []) {
        const old = gated.get(key);
        const row = world.tables.pods.get(key);
        if (old !== undefined && old.uid !== row?.uid) carried.delete(old.uid);
        if (row?.gate === undefined) gated.delete(key);
        else gated.set(key, row);
      }
      if (gated.size === 0 || compiled.pods === last) return;
      last = compiled.pods;
      for (const { view, identity } of compiled.pods) {
        const { gate, uid } = view.row;
        if (gate !== undefined && identity !== 0 && carried.get(uid)?.identity !== identity) carried.set(uid, { identity, revision });
      }
    },
  };
}

export interface GateState {
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

const no = (reason: string, message: string): GateState => ({ status: 'False', reason, message });

/** Undefined: nothing to say yet. */
export function gateState(
  row: PodRow,
  carried: Carried | undefined,
  reported: { readonly identity: number } | undefined,
  acked: number,
): GateState | undefined {
  if (row.finished || row.node === '') return undefined;
  if (row.hostNetwork)
    return { status: 'True', reason: 'NodeNetwork', message: 'the pod uses the network of its node; policies for pods do not apply to it' };
  if (carried === undefined) return no('NoIdentity', 'the pod has no security identity yet');
  if (reported === undefined) return no('NoEndpoint', `node ${row.node} has not reported the pod's endpoint yet`);
  if (acked < carried.revision)
    return no('Pending', `node ${row.node} is at revision ${acked}, the pod's policy is part of revision ${carried.revision}`);
  if (reported.identity !== carried.identity)
    return no('Pending', `node ${row.node} still knows the pod under identity ${reported.identity}`);
  const message = `node ${row.node} enforces the policy of identity ${carried.identity} since revision ${carried.revision}`;
  return { status: 'True', reason: 'Enforced', message };
}

export const POLICY_GATE = 'axoneme.io/policy-enforced';
/** While a pod waits its reason may change this often in its status. */
const REASON_MS = 1_000;

export interface GateWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly gates: PodGates;
  readonly acked: (node: string) => number;
  /** Wish for another run after so many milliseconds. */
  readonly later: (ms: number) => void;
  readonly assertLeader: () => void;
}

export function createGateWriter(d: GateWriterDeps): () => Promise<void> {
  const written = new Map<string, { readonly state: GateState; readonly atMs: number; readonly since: string }>();

  const write = async (row: PodRow, state: GateState, since: string): Promise<void> => {
    d.assertLeader();
    const { namespace, name, uid } = row;
    const condition = { type: POLICY_GATE, ...state, lastTransitionTime: since };
    const body = { metadata: { name, namespace, uid }, status: { conditions: [condition] } };
    try {
      await d.client.patch(
        resources.pods,
        { namespace, name },
        { type: 'apply', body, fieldManager: 'axoneme-operator', force: true },
        { subresource: 'status' },
      );
    } catch (e) {
      // gone, or another pod of the same name by now
      if (!isKubeError(e, 'kube/not-found') && !isKubeError(e, 'kube/conflict')) throw e;
    }
  };
  const due = (row: PodRow, state: GateState, now: number): boolean => {
    const mine = written.get(row.uid);
    const held = mine?.state ?? row.gate;
    if (held?.status === state.status && held.reason === state.reason) return false;
    if (state.status === 'True' || mine === undefined || now - mine.atMs >= REASON_MS) return true;
    d.later(REASON_MS - (now - mine.atMs) + 1);
    return false;
  };

  return async () => {
    const living = new Set([...d.gates.pods.values()].map((r) => r.uid));
    for (const uid of written.keys()) if (!living.has(uid)) written.delete(uid);
    for (const row of d.gates.pods.values()) {
      // the gate is about the start: an edit of a policy later is no reason to take a pod out of service
      if (row.gate?.status === 'True' || written.get(row.uid)?.state.status === 'True') continue;
      const reported = d.world.tables.endpoints.get(`${row.node}|${keyOf(row.namespace, row.name)}|${row.uid}`);
      const state = gateState(row, d.gates.carried(row.uid), reported, d.acked(row.node));
      const now = d.clock.monotonicMs();
      if (state === undefined || !due(row, state, now)) continue;
      const mine = written.get(row.uid);
      const since = mine?.state.status === state.status ? mine.since : new Date(d.clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
      await write(row, state, since);
      written.set(row.uid, { state, atMs: now, since });
    }
  };
}
