// Starts the controllers a cluster misses. Called by `sandbox up`: all of them with the embedded API server, those that nobody else
// runs with a foreign one.
import { LEASES } from '../client/kinds.ts';
import { createDaemonSetController } from './daemon-set.ts';
import { createDeploymentController } from './deployment.ts';
import { createEndpointsController } from './endpoints.ts';
import { createGarbageCollector } from './garbage.ts';
import { createJobController } from './job.ts';
import { createNamespaceController } from './namespaces.ts';
import { createNodeController } from './nodes.ts';
import type { Controller, ControllerDeps } from './reconciler.ts';
import { createReplicaSetController } from './replica-set.ts';
import { createScheduler } from './scheduler.ts';
import { createStatefulSetController } from './stateful-set.ts';

const LEASE_STALE_MS = 60_000;

export interface ControllerManager {
  readonly names: readonly string[];
  stop(): void;
}

/** Whether somebody renewed the lease of a control plane part lately. */
async function runsElsewhere(d: ControllerDeps, lease: string): Promise<boolean> {
  const object = await d.client.get(LEASES, 'kube-system', lease).catch(() => undefined);
  const renewed = (object?.spec as { renewTime?: string } | undefined)?.renewTime;
  return renewed !== undefined && d.clock.nowMs() - Date.parse(renewed) < LEASE_STALE_MS;
}

export async function startControllers(d: ControllerDeps, caPem: string, external: boolean): Promise<ControllerManager> {
  const scheduler = external && (await runsElsewhere(d, 'kube-scheduler')) ? [] : [createScheduler(d)];
  const manager = external && (await runsElsewhere(d, 'kube-controller-manager'));
  const rest: readonly Controller[] = manager
    ? []
    : [
        createNamespaceController(d, caPem),
        createReplicaSetController(d),
        createDeploymentController(d),
        createDaemonSetController(d),
        createStatefulSetController(d),
        createJobController(d),
        createEndpointsController(d),
        createNodeController(d),
        createGarbageCollector(d),
      ];
  const all = [...scheduler, ...rest];
  for (const c of all) c.start();
  return {
    names: all.map((c) => c.name),
    stop() {
      for (const c of all) c.stop();
    },
  };
}
