// Services → EndpointSlices and Endpoints: which pods answer, on which ports, per address family.
import { canonicalJson } from '@axoneme/std';
import type { KubeObject } from '../apiserver/types.ts';
import { ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES } from '../client/kinds.ts';
import { ignoreExists, ignoreNotFound } from '../client/kube-client.ts';
import { isTerminating, keyOf, nameOf, nsOf, ownerRef, splitKey } from '../client/object.ts';
import { labelsMatch } from '../client/selector.ts';
import { type PodSpec, podSpecOf } from '../kubelet/pod-types.ts';
import { type Controller, type ControllerDeps, createReconciler } from './reconciler.ts';
import { isFinished, isReady, type ServicePort, type ServiceSpec, specOf } from './shapes.ts';

type Family = 'IPv4' | 'IPv6';
const MANAGER = 'endpointslice-controller.k8s.io';
const SLICE_MAX = 100;

interface Target {
  readonly pod: KubeObject;
  readonly address: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}

interface Group {
  readonly family: Family;
  readonly ports: readonly { readonly name: string; readonly protocol: string; readonly port: number; readonly appProtocol?: string }[];
  readonly targets: Target[];
}

const podIps = (pod: KubeObject): string[] => ((pod.status as { podIPs?: { ip: string }[] } | undefined)?.podIPs ?? []).map((p) => p.ip);

function portOf(p: ServicePort, spec: PodSpec): number | undefined {
  const target = p.targetPort === undefined || p.targetPort === 0 ? p.port : p.targetPort;
  if (typeof target === 'number') return target;
  if (/^\d+$/.test(target)) return Number(target);
  const sidecars = (spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  return [...spec.containers, ...sidecars]
    .flatMap((c) => c.ports ?? [])
    .find((q) => q.name === target && (q.protocol ?? 'TCP') === (p.protocol ?? 'TCP'))?.containerPort;
}

/** Pods that answer for a service, grouped by family and by the port numbers they use. Pure. */
export function groupsOf(service: KubeObject, pods: readonly KubeObject[]): Group[] {
  const spec = specOf<ServiceSpec>(service);
  const selector = spec.selector ?? {};
  const groups = new Map<string, Group>();
  const chosen = pods.filter((p) => labelsMatch(selector, p.metadata.labels) && !isFinished(p));
  for (const family of (spec.ipFamilies ?? ['IPv4']) as Family[]) {
    for (const pod of chosen) {
      const address = podIps(pod).find((ip) => ip.includes(':') === (family === 'IPv6'));
      if (address === undefined) continue;
      const ports = (spec.ports ?? []).flatMap((p) => {
        const port = portOf(p, podSpecOf(pod));
        return port === undefined
          ? []
          : [
              {
                name: p.name ?? '',
                protocol: p.protocol ?? 'TCP',
                port,
                ...(p.appProtocol === undefined ? {} : { appProtocol: p.appProtocol }),
              },
            ];
      });
      if (ports.length === 0 && (spec.ports ?? []).length > 0) continue;
      const id = `${family}/${canonicalJson(ports)}`;
      const group = groups.get(id) ?? { family, ports, targets: [] };
      groups.set(id, group);
      const serving = isReady(pod) || spec.publishNotReadyAddresses === true;
      const terminating = isTerminating(pod);
      group.targets.push({
        pod,
        address,
        ready: serving && (!terminating || spec.publishNotReadyAddresses === true),
        serving,
        terminating,
      });
    }
  }
  for (const g of groups.values()) g.targets.sort((a, b) => (nameOf(a.pod) < nameOf(b.pod) ? -1 : 1));
  return [...groups.values()];
}

const targetRef = (pod: KubeObject): Record<string, unknown> => ({
  kind: 'Pod',
  namespace: nsOf(pod),
  name: nameOf(pod),
  uid: pod.metadata.uid,
});

function sliceBody(service: KubeObject, name: string, g: Omit<Group, 'targets'>, targets: readonly Target[]): KubeObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name,
      namespace: nsOf(service),
      labels: {
        ...service.metadata.labels,
        'kubernetes.io/service-name': nameOf(service),
        'endpointslice.kubernetes.io/managed-by': MANAGER,
      },
      ownerReferences: [ownerRef(service, 'v1', 'Service')],
    },
    addressType: g.family,
    ports: g.ports,
    endpoints: targets.map((t) => {
      const { nodeName, hostname } = podSpecOf(t.pod);
      return {
        addresses: [t.address],
        conditions: { ready: t.ready, serving: t.serving, terminating: t.terminating },
        ...(nodeName === undefined ? {} : { nodeName }),
        ...(hostname === undefined ? {} : { hostname }),
        targetRef: targetRef(t.pod),
      };
    }),
  };
}

function endpointsBody(service: KubeObject, groups: readonly Group[]): KubeObject {
  const first = specOf<ServiceSpec>(service).ipFamilies?.[0] ?? 'IPv4';
  const address = (t: Target): Record<string, unknown> => {
    const { nodeName, hostname } = podSpecOf(t.pod);
    return {
      ip: t.address,
      ...(hostname === undefined ? {} : { hostname }),
      ...(nodeName === undefined ? {} : { nodeName }),
      targetRef: targetRef(t.pod),
    };
  };
  const subsets = groups
    .filter((g) => g.family === first)
    .map((g) => {
      const addresses = g.targets.filter((t) => t.ready).map(address);
      const notReadyAddresses = g.targets.filter((t) => !t.ready && !t.terminating).map(address);
      return {
        ...(addresses.length === 0 ? {} : { addresses }),
        ...(notReadyAddresses.length === 0 ? {} : { notReadyAddresses }),
        ports: g.ports,
      };
    })
    .filter((s) => 'addresses' in s || 'notReadyAddresses' in s);
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name: nameOf(service),
      namespace: nsOf(service),
      labels: { ...service.metadata.labels, 'endpoints.kubernetes.io/managed-by': 'endpoint-controller' },
    },
    ...(subsets.length === 0 ? {} : { subsets }),
  };
}

/** Wanted slices by name; names follow family, ports and page, so that a change of pods updates in place. */
function wantedSlices(service: KubeObject, groups: readonly Group[]): Map<string, KubeObject> {
  const out = new Map<string, KubeObject>();
  const families = (specOf<ServiceSpec>(service).ipFamilies ?? ['IPv4']) as Family[];
  const filled = [...groups];
  for (const family of families) if (!groups.some((g) => g.family === family)) filled.push({ family, ports: [], targets: [] });
  const counts = new Map<Family, number>();
  for (const g of filled) {
    for (let at = 0; at === 0 || at < g.targets.length; at += SLICE_MAX) {
      const n = counts.get(g.family) ?? 0;
      counts.set(g.family, n + 1);
      const name = `${nameOf(service)}-${g.family.toLowerCase()}${n === 0 ? '' : `-${n}`}`;
      out.set(name, sliceBody(service, name, g, g.targets.slice(at, at + SLICE_MAX)));
    }
  }
  return out;
}

const payload = (o: KubeObject): string =>
  canonicalJson([o.metadata.labels ?? {}, o.addressType, o.ports ?? [], o.endpoints ?? [], o.subsets ?? []]);

export function createEndpointsController(d: ControllerDeps): Controller {
  const services = d.caches.of(SERVICES);
  const pods = d.caches.of(PODS);
  const slices = d.caches.of(ENDPOINT_SLICES);
  const endpoints = d.caches.of(ENDPOINTS);

  const ownSlices = (ns: string, name: string): KubeObject[] =>
    slices
      .inNamespace(ns)
      .filter(
        (s) =>
          s.metadata.labels?.['kubernetes.io/service-name'] === name &&
          s.metadata.labels['endpointslice.kubernetes.io/managed-by'] === MANAGER,
      );

  async function put(gvr: typeof ENDPOINT_SLICES, cache: typeof slices, wanted: KubeObject): Promise<void> {
    const held = cache.get(nsOf(wanted), nameOf(wanted));
    if (held === undefined) return cache.settle(await ignoreExists(d.client.create(gvr, wanted)));
    if (payload(held) === payload(wanted)) return;
    const metadata = { ...held.metadata, labels: { ...wanted.metadata.labels } };
    await cache.settle(await d.client.update(gvr, { ...wanted, metadata }));
  }

  async function reconcile(key: string): Promise<void> {
    await Promise.all([services.synced(), pods.synced(), slices.synced(), endpoints.synced()]);
    const [ns, name] = splitKey(key);
    const service = services.get(ns, name);
    if (service === undefined) {
      for (const s of ownSlices(ns, name)) await ignoreNotFound(d.client.delete(ENDPOINT_SLICES, ns, nameOf(s)));
      if (endpoints.get(ns, name) !== undefined) await ignoreNotFound(d.client.delete(ENDPOINTS, ns, name));
      return;
    }
    const spec = specOf<ServiceSpec>(service);
    if (spec.selector === undefined || spec.type === 'ExternalName' || isTerminating(service)) return;
    const groups = groupsOf(service, pods.inNamespace(ns));
    const wanted = wantedSlices(service, groups);
    for (const s of wanted.values()) await put(ENDPOINT_SLICES, slices, s);
    for (const s of ownSlices(ns, name)) if (!wanted.has(nameOf(s))) await ignoreNotFound(d.client.delete(ENDPOINT_SLICES, ns, nameOf(s)));
    await put(ENDPOINTS, endpoints, endpointsBody(service, groups));
  }

  const queue = createReconciler('endpoints', d, reconcile);
  const stops: (() => void)[] = [];
  return {
    name: 'endpoints',
    start() {
      stops.push(services.listen((_, o) => queue.mark(keyOf(o))));
      stops.push(
        pods.listen((_, pod, previous) => {
          for (const s of services.inNamespace(nsOf(pod))) {
            const selector = specOf<ServiceSpec>(s).selector;
            if (selector === undefined) continue;
            if (labelsMatch(selector, pod.metadata.labels) || (previous !== undefined && labelsMatch(selector, previous.metadata.labels)))
              queue.mark(keyOf(s));
          }
        }),
      );
      stops.push(
        slices.listen((_, s) => {
          const service = s.metadata.labels?.['kubernetes.io/service-name'];
          if (service !== undefined && s.metadata.labels?.['endpointslice.kubernetes.io/managed-by'] === MANAGER)
            queue.mark(`${nsOf(s)}/${service}`);
        }),
      );
    },
    stop() {
      queue.stop();
      for (const s of stops) s();
    },
  };
}
