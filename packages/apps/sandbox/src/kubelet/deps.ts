// What every part of a node's kubelet needs. Made once per node by the kubelet.
import type { Clock, Log } from '@axoneme/std';
import type { Caches } from '../client/cache.ts';
import type { KubeClient } from '../client/kube-client.ts';
import type { ImageRegistry } from '../images/registry.ts';
import type { SandboxNode } from '../nodes/node.ts';
import type { Cni } from './cni.ts';
import type { EventRecorder } from './events.ts';

export interface ClusterFacts {
  /** Where processes of the cluster reach the API server. */
  readonly apiHost: string;
  readonly apiPort: number;
  readonly caPem: string;
  readonly domain: string;
  /** Directories every container must see (the checkout, when it lies in a private tree). */
  readonly visible: readonly string[];
}

export interface Gate {
  /** Runs `work` when fewer than the limit run already. */
  run<T>(work: () => Promise<T>): Promise<T>;
}

export interface KubeletDeps {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventRecorder;
  readonly images: ImageRegistry;
  readonly sbx: string;
  readonly node: SandboxNode;
  readonly cni: Cni;
  readonly cluster: ClusterFacts;
  readonly gate: Gate;
}

export function createGate(limit: number): Gate {
  let active = 0;
  const waiting: (() => void)[] = [];
  return {
    async run(work) {
      if (active >= limit) await new Promise<void>((go) => waiting.push(go));
      else active++;
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next === undefined) active--;
        else next();
      }
    },
  };
}
