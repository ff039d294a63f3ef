// The status of a pod from the state of its containers. Pure.
import type { KubeObject } from '../apiserver/types.ts';
import { nowIso } from '../client/object.ts';
import type { ContainerRuntime, ContainerState, Terminated } from './container.ts';
import { type Condition, type Container, conditionsOf, podSpecOf } from './pod-types.ts';

export interface ContainerView {
  readonly spec: Container;
  /** undefined until its turn comes. */
  readonly runtime: ContainerRuntime | undefined;
  readonly ready: boolean;
  readonly started: boolean;
}

export interface PodView {
  readonly pod: KubeObject;
  readonly init: readonly ContainerView[];
  readonly main: readonly ContainerView[];
  readonly podIps: readonly string[];
  readonly hostIps: readonly string[];
  readonly startedAtMs: number;
  readonly nowMs: number;
}

function terminatedJson(t: Terminated): Record<string, unknown> {
  const { exitCode, signal, reason, message, startedAtMs, finishedAtMs } = t;
  return {
    exitCode,
    reason,
    startedAt: nowIso(startedAtMs),
    finishedAt: nowIso(finishedAtMs),
    ...(signal === undefined ? {} : { signal }),
    ...(message === undefined ? {} : { message }),
  };
}

function stateJson(s: ContainerState): Record<string, unknown> {
  switch (s.kind) {
    case 'waiting':
      return { waiting: { reason: s.reason, ...(s.message === undefined ? {} : { message: s.message }) } };
    case 'running':
      return { running: { startedAt: nowIso(s.startedAtMs) } };
    case 'terminated':
      return { terminated: terminatedJson(s) };
  }
}

const stateOf = (v: ContainerView, creating: string): ContainerState => v.runtime?.state() ?? { kind: 'waiting', reason: creating };

function containerStatus(v: ContainerView, creating: string, podUid: string): Record<string, unknown> {
  const state = stateOf(v, creating);
  const last = v.runtime?.lastTermination();
  const running = state.kind === 'running';
  return {
    name: v.spec.name,
    image: v.spec.image,
    imageID: `sandbox://${v.spec.image}`,
    containerID: v.runtime === undefined ? '' : `sandbox://${podUid}/${v.spec.name}/${v.runtime.restartCount()}`,
    restartCount: v.runtime?.restartCount() ?? 0,
    ready: running && v.ready,
    started: running && v.started,
    state: stateJson(state),
    lastState: last !== undefined && state !== last ? { terminated: terminatedJson(last) } : {},
  };
}

const isSidecar = (c: Container): boolean => c.restartPolicy === 'Always';
const finishedWell = (v: ContainerView): boolean => {
  const s = v.runtime?.state();
  return s?.kind === 'terminated' && s.exitCode === 0;
};

function initDone(p: PodView): boolean {
  return p.init.every((v) => (isSidecar(v.spec) ? v.started : finishedWell(v)));
}

function phaseOf(p: PodView): string {
  const policy = podSpecOf(p.pod).restartPolicy ?? 'Always';
  const failedInit = p.init.some((v) => {
    const s = v.runtime?.state();
    return policy === 'Never' && s?.kind === 'terminated' && s.exitCode !== 0;
  });
  if (failedInit) return 'Failed';
  if (!initDone(p) || p.main.every((v) => v.runtime === undefined)) return 'Pending';
  const states = p.main.map((v) => v.runtime?.state());
  const over = (s: ContainerState | undefined): boolean =>
    s?.kind === 'terminated' && (policy === 'Never' || (policy === 'OnFailure' && s.exitCode === 0));
  if (states.every(over)) return states.every((s) => s?.kind === 'terminated' && s.exitCode === 0) ? 'Succeeded' : 'Failed';
  const everStarted = p.main.every((v) => v.runtime?.state().kind === 'running' || v.runtime?.lastTermination() !== undefined);
  return everStarted ? 'Running' : 'Pending';
}

function condition(p: PodView, type: string, good: boolean, reason = '', message = ''): Condition {
  const status = good ? 'True' : 'False';
  const old = conditionsOf(p.pod).find((c) => c.type === type);
  const lastTransitionTime = old?.status === status && old.lastTransitionTime !== undefined ? old.lastTransitionTime : nowIso(p.nowMs);
  return { type, status, lastTransitionTime, ...(good || reason === '' ? {} : { reason, message }) };
}

function readiness(p: PodView, phase: string): Condition[] {
  const unready = p.main.filter((v) => !(v.runtime?.state().kind === 'running' && v.ready)).map((v) => v.spec.name);
  const over = phase === 'Succeeded' || phase === 'Failed';
  const containers = !over && unready.length === 0;
  const why = over ? 'PodCompleted' : 'ContainersNotReady';
  const text = over ? '' : `containers with unready status: [${unready.join(' ')}]`;
  const gates = podSpecOf(p.pod).readinessGates ?? [];
  const closed = gates.map((g) => g.conditionType).filter((t) => conditionsOf(p.pod).find((c) => c.type === t)?.status !== 'True');
  const gateText = `corresponding condition of pod readiness gate ${JSON.stringify(closed[0] ?? '')} does not exist or is not True.`;
  return [
    containers && closed.length > 0
      ? condition(p, 'Ready', false, 'ReadinessGatesNotReady', gateText)
      : condition(p, 'Ready', containers, why, text),
    condition(p, 'ContainersReady', containers, why, text),
  ];
}

/** A strategic merge would keep the addresses of an earlier life of the pod. */
const addresses = (ips: readonly string[]): object[] => [{ $patch: 'replace' }, ...ips.map((ip) => ({ ip }))];

/** The status to write. Conditions of others are not in it: they are merged by type. */
export function podStatus(p: PodView): Record<string, unknown> {
  const phase = phaseOf(p);
  const uid = p.pod.metadata.uid ?? '';
  const waitingForInit = p.init.length > 0 && !initDone(p);
  const creating = waitingForInit ? 'PodInitializing' : 'ContainerCreating';
  const pendingInit = p.init.filter((v) => (isSidecar(v.spec) ? !v.started : !finishedWell(v))).map((v) => v.spec.name);
  return {
    phase,
    startTime: nowIso(p.startedAtMs),
    ...(p.hostIps[0] === undefined ? {} : { hostIP: p.hostIps[0], hostIPs: addresses(p.hostIps) }),
    ...(p.podIps[0] === undefined ? {} : { podIP: p.podIps[0], podIPs: addresses(p.podIps) }),
    conditions: [
      condition(p, 'PodReadyToStartContainers', p.podIps.length > 0),
      condition(
        p,
        'Initialized',
        !waitingForInit,
        'ContainersNotInitialized',
        `containers with incomplete status: [${pendingInit.join(' ')}]`,
      ),
      ...readiness(p, phase),
      condition(p, 'PodScheduled', true),
    ],
    ...(p.init.length === 0 ? {} : { initContainerStatuses: p.init.map((v) => containerStatus(v, 'PodInitializing', uid)) }),
    containerStatuses: p.main.map((v) => containerStatus(v, creating, uid)),
  };
}
