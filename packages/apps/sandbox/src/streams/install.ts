// Plugs exec, attach, logs and port-forward of the sandbox's pods into the embedded API server.
import { type Clock, describeError, type Log } from '@axoneme/std';
import type { ApiServer, KubeObject } from '../apiserver/types.ts';
import { nameOf } from '../client/object.ts';
import { podSpecOf } from '../kubelet/pod-types.ts';
import type { PodWorker } from '../kubelet/pod-worker.ts';
import { handleAttach, handleExec } from './exec.ts';
import { handleLogs } from './logs.ts';
import { handlePortForward } from './port-forward.ts';

export interface StreamDeps {
  readonly sbx: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly workerOf: (pod: KubeObject) => PodWorker | undefined;
}

const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container';

const firstContainer = (pod: KubeObject): string =>
  pod.metadata.annotations?.[DEFAULT_CONTAINER] ?? podSpecOf(pod).containers[0]?.name ?? '';

export function installStreams(api: ApiServer, d: StreamDeps): void {
  const guard = (what: Promise<void>): void => {
    what.catch((e: unknown) => d.log.warn('pod stream failed', { error: describeError(e) }));
  };
  api.onPodStream('exec', (req, socket, head, pod) => guard(handleExec(d.sbx, d.workerOf(pod), req, socket, head, firstContainer(pod))));
  api.onPodStream('attach', (req, socket, head, pod) => guard(handleAttach(d.workerOf(pod), req, socket, head, firstContainer(pod))));
  api.onPodStream('portforward', (req, socket, head, pod) => guard(handlePortForward(d.sbx, d.workerOf(pod), req, socket, head)));
  api.onPodLog((req, res, pod) => handleLogs(d.workerOf(pod), nameOf(pod), firstContainer(pod), d.clock.nowMs(), req, res));
}
