// Who owns a service address when several Services ask for it: the oldest, then the first by name. Nobody else gets a frontend on it, so that
// no namespace can take traffic meant for another one. Shared by compileAll and the incremental compiler.
import type { IpAddr, ObjectKey } from '@axoneme/model';
import type { ServiceInput } from './inputs.ts';

export interface Claims {
  /** Adds or replaces what a service asks for; returns the services whose ownership may have changed. */
  put(service: ServiceInput): readonly ObjectKey[];
  drop(key: ObjectKey): readonly ObjectKey[];
  owns(key: ObjectKey, ip: IpAddr): boolean;
  /** Addresses with more than one claimant, ascending by text. */
  conflicts(): readonly AddressConflict[];
}

export interface AddressConflict {
  readonly ip: IpAddr;
  readonly owner: ObjectKey;
  readonly refused: readonly ObjectKey[];
}

const stronger = (a: ServiceInput, b: ServiceInput): number => a.createdMs - b.createdMs || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

export function createClaims(): Claims {
  const services = new Map<ObjectKey, ServiceInput>();
  /** Claimants of an address, the owner first. */
  const byIp = new Map<IpAddr, readonly ServiceInput[]>();
  const settle = (ip: IpAddr, list: readonly ServiceInput[], moved: Set<ObjectKey>): void => {
    const before = byIp.get(ip)?.[0];
    const sorted = [...list].sort(stronger);
    if (sorted.length === 0) byIp.delete(ip);
    else byIp.set(ip, sorted);
    if (before?.key === sorted[0]?.key) return;
    if (before !== undefined) moved.add(before.key);
    if (sorted[0] !== undefined) moved.add(sorted[0].key);
  };
  const remove = (key: ObjectKey, moved: Set<ObjectKey>): void => {
    const old = services.get(key);
    services.delete(key);
    for (const ip of new Set(old?.clusterIps)) {
      const others = (byIp.get(ip) ?? []).filter((s) => s.key !== key);
      settle(ip, others, moved);
    }
  };
  return {
    put(service) {
      const moved = new Set<ObjectKey>([service.key]);
      remove(service.key, moved);
      services.set(service.key, service);
      for (const ip of new Set(service.clusterIps)) settle(ip, [...(byIp.get(ip) ?? []), service], moved);
      return [...moved];
    },
    drop(key) {
      const moved = new Set<ObjectKey>([key]);
      remove(key, moved);
      return [...moved];
    },
    owns: (key, ip) => byIp.get(ip)?.[0]?.key === key,
    conflicts: () =>
      [...byIp]
        .filter(([, list]) => list.length > 1)
        .map(([ip, list]) => ({ ip, owner: list[0]!.key, refused: list.slice(1).map((s) => s.key) }))
        .sort((a, b) => (a.ip < b.ip ? -1 : 1)),
  };
}
