// The zone's data from the API: Services and EndpointSlices, indexed for lookups.
import type { Caches } from '../client/cache.ts';
import { ENDPOINT_SLICES, SERVICES } from '../client/kinds.ts';
import { keyOf } from '../client/object.ts';
import { WORLD } from '../nodes/addresses.ts';
import { canonicalV6, isV6, type ZoneView } from './zone.ts';

const OUTSIDE = 'world.test';

export async function createZoneView(caches: Caches, domain: string): Promise<ZoneView> {
  const services = caches.of(SERVICES);
  const slices = caches.of(ENDPOINT_SLICES);
  const byService = new Map<string, Set<string>>();
  const byAddress = new Map<string, string>();
  slices.listen((type, s) => {
    const id = `${s.metadata.namespace}/${s.metadata.labels?.['kubernetes.io/service-name'] ?? ''}`;
    const set = byService.get(id) ?? new Set();
    byService.set(id, set);
    if (type === 'DELETED') set.delete(s.metadata.name ?? '');
    else set.add(s.metadata.name ?? '');
    if (set.size === 0) byService.delete(id);
  });
  services.listen((type, s) => {
    const ips = (s.spec as { clusterIPs?: string[] } | undefined)?.clusterIPs ?? [];
    for (const ip of ips.map((i) => (isV6(i) ? canonicalV6(i) : i))) {
      if (type === 'DELETED') byAddress.delete(ip);
      else if (ip !== 'None') byAddress.set(ip, keyOf(s));
    }
  });
  await Promise.all([services.synced(), slices.synced()]);
  return {
    domain,
    service: (ns, name) => services.get(ns, name),
    slices: (ns, service) => [...(byService.get(`${ns}/${service}`) ?? [])].flatMap((name) => slices.get(ns, name) ?? []),
    serviceAt(ip) {
      const [ns = '', name = ''] = (byAddress.get(ip) ?? '').split('/');
      return name === '' ? undefined : services.get(ns, name);
    },
    outside: (name) => (name === OUTSIDE || name.endsWith(`.${OUTSIDE}`) ? WORLD : undefined),
  };
}
