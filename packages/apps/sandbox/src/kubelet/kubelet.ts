// The kubelet of one node: registers the Node, runs the pods bound to it, keeps Ready in step with the CNI configuration.
import { type FSWatcher, watch } from 'node:fs';
import { describeError, type Timer } from '@axoneme/std';
import type { KubeObject } from '../apiserver/types.ts';
import { CONFIG_MAPS, NODES, PODS, SECRETS } from '../client/kinds.ts';
import { ignoreExists } from '../client/kube-client.ts';
import { nameOf, nsOf, uidOf } from '../client/object.ts';
import { createCni } from './cni.ts';
import { createGate, type KubeletDeps } from './deps.ts';
import { createEventRecorder } from './events.ts';
import { nodeObject, nodeStatus } from './node-object.ts';
import { conditionsOf, phaseOf, podSpecOf } from './pod-types.ts';
import { PodWorker } from './pod-worker.ts';

export interface KubeletConfig {
  readonly labels: Readonly<Record<string, string>>;
  /** false with a foreign API server: it would try to resolve the node's name to reach the kubelet. */
  readonly nameIsAddress?: boolean;
}

export interface Kubelet {
  readonly nodeName: string;
  /** Registers the node, then runs until `stop`. */
  start(): Promise<void>;
  worker(podUid: string): PodWorker | undefined;
  stop(): void;
}

const STARTS_AT_ONCE = 8;
const HEARTBEAT_MS = 30_000;
const CONF_SETTLE_MS = 50;

export function createKubelet(base: Omit<KubeletDeps, 'cni' | 'events' | 'gate'>, config: KubeletConfig): Kubelet {
  const d: KubeletDeps = {
    ...base,
    log: base.log.child({ node: base.node.name }),
    cni: createCni(base.sbx, base.node),
    events: createEventRecorder(base, 'kubelet', base.node.name),
    gate: createGate(STARTS_AT_ONCE),
  };
  const name = d.node.name;
  const workers = new Map<string, PodWorker>();
  const stops: (() => void)[] = [];
  let watcher: FSWatcher | undefined;
  let heartbeat: Timer | undefined;
  let settle: Timer | undefined;

  const isOver = (pod: KubeObject): boolean => ['Succeeded', 'Failed'].includes(phaseOf(pod));

  function onPod(type: string, pod: KubeObject): void {
    if (podSpecOf(pod)?.nodeName !== name) return;
    const uid = uidOf(pod);
    const held = workers.get(uid);
    if (held !== undefined) {
      held.update(type === 'DELETED' ? undefined : pod);
      return;
    }
    if (type === 'DELETED' || (isOver(pod) && pod.metadata.deletionTimestamp === undefined)) return;
    const worker = new PodWorker(d, pod);
    workers.set(uid, worker);
    void worker.done.then(() => workers.delete(uid));
    worker.start();
  }

  const onConfig = (kind: 'configMaps' | 'secrets') => (_: string, o: KubeObject) => {
    for (const w of workers.values()) if (w.namespace === nsOf(o)) w.configChanged(kind, nameOf(o));
  };

  async function writeNodeStatus(): Promise<void> {
    const network = d.cni.network();
    const problem = typeof network === 'string' ? network : undefined;
    const previous = d.caches.of(NODES).get('', name);
    // merge, not strategic: addresses are keyed by type there, and two of one type would become one
    const status = nodeStatus(
      d.node,
      problem,
      d.clock.nowMs(),
      previous === undefined ? [] : conditionsOf(previous),
      config.nameIsAddress !== false,
    );
    try {
      await d.client.patch(NODES, '', name, 'merge', { status }, { subresource: 'status' });
    } catch (e) {
      d.log.warn('node status not written', { error: describeError(e) });
    }
  }

  function beat(): void {
    heartbeat = d.clock.after(HEARTBEAT_MS, () => void writeNodeStatus().then(beat));
  }

  return {
    nodeName: name,
    async start() {
      await ignoreExists(d.client.create(NODES, nodeObject(d.node, config.labels)));
      await writeNodeStatus();
      const onConf = (): void => {
        settle?.cancel();
        settle = d.clock.after(CONF_SETTLE_MS, () => void writeNodeStatus());
      };
      watcher = watch(d.node.paths.cniConf, onConf);
      stops.push(d.caches.of(PODS).listen(onPod));
      stops.push(d.caches.of(CONFIG_MAPS).listen(onConfig('configMaps')), d.caches.of(SECRETS).listen(onConfig('secrets')));
      beat();
    },
    worker: (uid) => workers.get(uid),
    stop() {
      watcher?.close();
      heartbeat?.cancel();
      settle?.cancel();
      for (const s of stops) s();
      for (const w of workers.values()) w.abandon();
    },
  };
}
