// Services and CIDR groups of a manifest world, as rules refer to them. Called by findings.ts.
import { parseIp } from '@axoneme/model';
import { createReferenceIndex, parseCidrGroup, type ReferencedService, type References, serviceLabels } from '@axoneme/policy';
import { type Json, list, type Manifest, obj, str } from './documents.ts';
import { type ManifestWorld, metaOf, strings, type WorldConfig } from './world.ts';

export function referencesIn(world: ManifestWorld, config: WorldConfig): References {
  const namespaceOf = (o: Json): string => str(metaOf(o).namespace) || config.defaultNamespace;
  const backends = new Map<string, Manifest[]>();
  for (const m of world.slices) {
    const key = `${namespaceOf(m.object)}/${strings(metaOf(m.object).labels)['kubernetes.io/service-name'] ?? ''}`;
    backends.set(key, [...(backends.get(key) ?? []), m]);
  }
  const services = world.services.map(({ object }): ReferencedService => {
    const [namespace, name] = [namespaceOf(object), str(metaOf(object).name)];
    const selector = strings(obj(object.spec).selector);
    return {
      namespace,
      name,
      labels: serviceLabels(strings(metaOf(object).labels)),
      ...(Object.keys(selector).length === 0 ? {} : { selector }),
      addresses: (backends.get(`${namespace}/${name}`) ?? []).flatMap((m) => addressesOf(m.object)),
    };
  });
  return createReferenceIndex(
    services,
    world.cidrGroups.map((m) => parseCidrGroup(m.object).group),
  );
}

const addressesOf = (slice: Json) =>
  list(slice.endpoints).flatMap((e) =>
    list(obj(e).addresses).flatMap((a) => {
      const ip = parseIp(str(a));
      return ip.ok ? [ip.value] : [];
    }),
  );
