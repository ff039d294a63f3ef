// The columns of pods: what state a pod is really in. Called by ./columns.ts.
import { asList, asObj, asStr, dig, type Obj } from '../obj.ts';
import type { KubeObject } from '../types.ts';
import { ageOf } from './age.ts';

export const podColumns = [
  { name: 'Name', type: 'string', format: 'name' },
  { name: 'Ready', type: 'string' },
  { name: 'Status', type: 'string' },
  { name: 'Restarts', type: 'string' },
  { name: 'Age', type: 'string' },
  { name: 'IP', type: 'string', priority: 1 },
  { name: 'Node', type: 'string', priority: 1 },
  { name: 'Nominated Node', type: 'string', priority: 1 },
  { name: 'Readiness Gates', type: 'string', priority: 1 },
];

export function podCells(o: KubeObject, nowMs: number): unknown[] {
  const statuses = asList(dig(o, 'status', 'containerStatuses')).map(asObj);
  const total = asList(dig(o, 'spec', 'containers')).length;
  const ready = statuses.filter((c) => c.ready === true).length;
  const none = (v: unknown): unknown => (v === undefined || v === '' ? '<none>' : v);
  return [
    o.metadata.name ?? '',
    `${ready}/${total}`,
    podState(o, statuses),
    restarts(statuses, nowMs),
    ageOf(o.metadata.creationTimestamp, nowMs),
    none(dig(o, 'status', 'podIP')),
    none(dig(o, 'spec', 'nodeName')),
    none(dig(o, 'status', 'nominatedNodeName')),
    '<none>',
  ];
}

function restarts(statuses: readonly Obj[], nowMs: number): string {
  const n = statuses.reduce((sum, c) => sum + Number(c.restartCount ?? 0), 0);
  const last = statuses
    .map((c) => asStr(dig(c, 'lastState', 'terminated', 'finishedAt')))
    .filter((t) => t !== '')
    .sort()
    .at(-1);
  return n > 0 && last !== undefined ? `${n} (${ageOf(last, nowMs)} ago)` : String(n);
}

function podState(o: KubeObject, statuses: readonly Obj[]): string {
  let text = asStr(dig(o, 'status', 'reason')) || asStr(dig(o, 'status', 'phase')) || 'Unknown';
  const init = initState(o);
  if (init !== undefined) text = init;
  else {
    let running = false;
    for (const c of [...statuses].reverse()) {
      const waiting = asStr(dig(c, 'state', 'waiting', 'reason'));
      const ended = asObj(dig(c, 'state', 'terminated'));
      if (waiting !== '') text = waiting;
      else if (Object.keys(ended).length > 0) text = endText(ended);
      else if (c.ready === true && dig(c, 'state', 'running') !== undefined) running = true;
    }
    if (text === 'Completed' && running) text = 'Running';
  }
  if (o.metadata.deletionTimestamp === undefined) return text;
  return asStr(dig(o, 'status', 'reason')) === 'NodeLost' ? 'Unknown' : 'Terminating';
}

const endText = (t: Obj): string =>
  asStr(t.reason) || (Number(t.signal ?? 0) !== 0 ? `Signal:${String(t.signal)}` : `ExitCode:${String(t.exitCode ?? 0)}`);

/** `Init:0/2` and the like while init containers have not all ended well. */
function initState(o: KubeObject): string | undefined {
  const total = asList(dig(o, 'spec', 'initContainers')).length;
  const statuses = asList(dig(o, 'status', 'initContainerStatuses')).map(asObj);
  for (const [i, c] of statuses.entries()) {
    const ended = asObj(dig(c, 'state', 'terminated'));
    if (Object.keys(ended).length > 0) {
      if (Number(ended.exitCode ?? 0) === 0) continue;
      return `Init:${endText(ended)}`;
    }
    if (c.started === true && dig(c, 'state', 'running') !== undefined && isSidecar(o, c.name)) continue;
    const waiting = asStr(dig(c, 'state', 'waiting', 'reason'));
    return waiting !== '' && waiting !== 'PodInitializing' ? `Init:${waiting}` : `Init:${i}/${total}`;
  }
  return undefined;
}

const isSidecar = (o: KubeObject, name: unknown): boolean =>
  asList(dig(o, 'spec', 'initContainers'))
    .map(asObj)
    .some((c) => c.name === name && c.restartPolicy === 'Always');
