// Writes of the leader into the status of objects it has planned with: only what was seen is changed. Called by the duties that give and announce
// addresses.
import { isKubeError, type KubeClient, type ObjectRef, type Resource, resources } from 'kopf-ts';
import { ciliumResources } from '../sources/sources.ts';
import type { World } from '../world/world.ts';

type Raw = Readonly<Record<string, unknown>>;
interface Meta extends ObjectRef {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

const kinds = {
  services: resources.services,
  lbPools: ciliumResources.lbPools,
  l2Policies: ciliumResources.l2Policies,
} as const satisfies Readonly<Record<string, Resource>>;

/** False: it is another object by now; the watch tells, and we come again. True: written, and the world has it at once, whether the watch is quick or not. */
export type WriteSeenStatus = (table: keyof typeof kinds, key: string, seen: Raw, status: unknown) => Promise<boolean>;

export interface SeenStatusDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly assertLeader: () => void;
}

/** `fieldManager`: who the fields belong to, as users of Cilium know it. */
export function createSeenStatus({ client, world, assertLeader }: SeenStatusDeps, fieldManager?: string): WriteSeenStatus {
  return async (table, key, seen, status) => {
    const { name, namespace, uid, resourceVersion } = seen.metadata as Meta;
    assertLeader();
    try {
      // under the version that was seen: an address must not come back to whoever lost it meanwhile
      const body = { metadata: { uid, resourceVersion }, status };
      const ref = namespace === undefined ? { name } : { name, namespace };
      const options = { subresource: 'status', ...(fieldManager === undefined ? {} : { fieldManager }) } as const;
      const written = await client.patch(kinds[table], ref, { type: 'merge', body }, options);
      if (world.tables[table].get(key) === seen) world.set(table, key, written as unknown as Raw);
      return true;
    } catch (e) {
      if (!isKubeError(e, 'kube/not-found') && !isKubeError(e, 'kube/conflict')) throw e;
      return false;
    }
  };
}
