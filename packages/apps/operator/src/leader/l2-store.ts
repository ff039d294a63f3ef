// Who announces which address, as Leases beside the operator's own: durable, and every replica reads them. Called by l2.ts.

import type { L2Record } from '@axoneme/ipam';
import { type IpAddr, ipBytes, ipFamily } from '@axoneme/model';
import type { Clock } from '@axoneme/std';
import { isKubeError, type KubeClient, type KubeObject, resources } from 'kopf-ts';
import { L2_ADDRESS_ANNOTATION, L2_FORMER_ANNOTATION, L2_LABEL, projectL2Lease } from '../world/project.ts';
import type { L2LeaseRow } from '../world/rows.ts';

export interface L2Store {
  readonly namespace: string;
  /**
   * Replaces what was seen, `held`, and nothing newer. The row it has become; undefined: there is none any more. `refused`: it is not as it was
   * seen. Throws when it is not known what became of it.
   */
  write(next: L2Record | undefined, held: L2LeaseRow | undefined, services: readonly string[]): Promise<L2LeaseRow | undefined | 'refused'>;
}

interface Lease extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

/** `192-0-2-1`; IPv6 with all its groups, for a name must not end with a dash. */
export function l2LeaseName(address: IpAddr): string {
  const bytes = ipBytes(address);
  const parts = ipFamily(address) === 4 ? address.split('.') : Array.from({ length: 8 }, (_, i) => groupOf(bytes, i));
  return `cilium-l2announce-${parts.join('-')}`;
}

const groupOf = (bytes: Uint8Array, i: number): string => (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16);

const REFUSALS = ['kube/conflict', 'kube/already-exists', 'kube/not-found'] as const;
const SERVICES_ANNOTATION = 'axoneme.io/services';

export function createL2Store(d: {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly assertLeader: () => void;
  readonly namespace: string;
  readonly validMs: number;
}): L2Store {
  const bodyOf = (r: L2Record, services: readonly string[], held: L2LeaseRow | undefined): Lease => {
    const time = new Date(d.clock.nowMs()).toISOString().replace('Z', '000Z');
    return {
      metadata: {
        name: held?.name ?? l2LeaseName(r.address),
        namespace: d.namespace,
        labels: { [L2_LABEL]: '' },
        annotations: {
          [L2_ADDRESS_ANNOTATION]: r.address,
          [SERVICES_ANNOTATION]: services.join(','),
          [L2_FORMER_ANNOTATION]: r.former.join(','),
        },
        ...(held === undefined ? {} : { uid: held.uid, resourceVersion: held.resourceVersion }),
      },
      spec: {
        holderIdentity: r.node,
        leaseDurationSeconds: Math.max(1, Math.ceil(d.validMs / 1000)),
        acquireTime: time,
        renewTime: time,
        leaseTransitions: r.epoch,
      },
    };
  };
  return {
    namespace: d.namespace,
    async write(next, held, services) {
      d.assertLeader();
      try {
        if (next === undefined) {
          if (held !== undefined)
            await d.client.delete(
              resources.leases,
              { name: held.name, namespace: d.namespace },
              { uid: held.uid, resourceVersion: held.resourceVersion },
            );
          return undefined;
        }
        const body = bodyOf(next, services, held);
        const written = held === undefined ? await d.client.create(resources.leases, body) : await d.client.replace(resources.leases, body);
        return projectL2Lease(written as unknown as Readonly<Record<string, unknown>>);
      } catch (e) {
        if (REFUSALS.some((code) => isKubeError(e, code))) return 'refused';
        throw e;
      }
    },
  };
}
