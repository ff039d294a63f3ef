// The cluster that a heap of manifests describes: workloads as classes of pods, nodes, Services, policies. Called by the `policy` commands.
import {
  type Cidr,
  type IpAddr,
  identityLabels,
  type Labels,
  type NamedPort,
  parseCidr,
  parseIp,
  parsePort,
  parsePortProtocol,
  podLabels,
} from '@axoneme/model';
import { type Json, list, type Manifest, obj, str } from './documents.ts';

/** A pod, or the pods of one template: all alike for policy. */
export interface Workload {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Identity-relevant labels of its pods. */
  readonly labels: Labels;
  readonly namedPorts: readonly NamedPort[];
  /** Of a Pod that runs; empty for templates. */
  readonly addresses: readonly IpAddr[];
  readonly node: string | undefined;
  /** Shares the network of its node: policy sees the node, not the pod. */
  readonly hostNetwork: boolean;
  /** Made by a controller that is in the input too; stands for placement only. */
  readonly owned: boolean;
  readonly manifest: Manifest;
}

export interface NodeEntry {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly IpAddr[];
  readonly podCidrs: readonly Cidr[];
}

export interface ManifestWorld {
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly workloads: readonly Workload[];
  readonly nodes: readonly NodeEntry[];
  /** Addresses behind the Service default/kubernetes. */
  readonly apiServers: ReadonlySet<IpAddr>;
  readonly policies: readonly Manifest[];
  readonly invariants: readonly Manifest[];
  readonly services: readonly Manifest[];
  readonly slices: readonly Manifest[];
  readonly cidrGroups: readonly Manifest[];
}

export interface WorldConfig {
  readonly clusterName: string;
  /** For objects that do not name their namespace. */
  readonly defaultNamespace: string;
  /** The operator's policyEnforcementMode. */
  readonly enforcement: 'default' | 'always' | 'never';
}

export const policyKinds: ReadonlyMap<string, string> = new Map([
  ['CiliumNetworkPolicy', 'cilium.io'],
  ['CiliumClusterwideNetworkPolicy', 'cilium.io'],
  ['NetworkPolicy', 'networking.k8s.io'],
  ['AdminNetworkPolicy', 'policy.networking.k8s.io'],
  ['BaselineAdminNetworkPolicy', 'policy.networking.k8s.io'],
  ['ClusterNetworkPolicy', 'policy.networking.k8s.io'],
]);

const templatesOf: Readonly<Record<string, (spec: Json) => unknown>> = {
  Deployment: (s) => s.template,
  StatefulSet: (s) => s.template,
  DaemonSet: (s) => s.template,
  ReplicaSet: (s) => s.template,
  ReplicationController: (s) => s.template,
  Job: (s) => s.template,
  CronJob: (s) => obj(obj(s.jobTemplate).spec).template,
};

const groupOf = (o: Json): string => {
  const version = str(o.apiVersion);
  return version.includes('/') ? version.slice(0, version.indexOf('/')) : '';
};

/** True for a policy object of a group we serve; another `NetworkPolicy` (Calico's) is not ours. */
export const isPolicy = (o: Json): boolean => {
  const group = policyKinds.get(str(o.kind));
  return group !== undefined && (groupOf(o) === group || str(o.apiVersion) === '');
};

export const metaOf = (o: Json): Json => obj(o.metadata);

export function strings(v: unknown): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [k, s] of Object.entries(obj(v))) if (typeof s === 'string') out[k] = s;
  return out;
}

function ipsOf(texts: readonly unknown[]): IpAddr[] {
  return texts.flatMap((t) => {
    const ip = parseIp(str(t));
    return ip.ok ? [ip.value] : [];
  });
}

/** Names are compared in lower case, as policies do. */
function namedPortsOf(spec: Json): NamedPort[] {
  return [...list(spec.containers), ...list(spec.initContainers)].flatMap((c) =>
    list(obj(c).ports).flatMap((p) => {
      const name = str(obj(p).name).toLowerCase();
      const port = parsePort(Number(obj(p).containerPort));
      const protocol = parsePortProtocol(str(obj(p).protocol) || 'TCP');
      return name !== '' && port.ok && protocol.ok ? [{ name, port: port.value, protocol: protocol.value }] : [];
    }),
  );
}

interface Reading {
  readonly config: WorldConfig;
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** `kind namespace/name` of every object. */
  readonly present: ReadonlySet<string>;
}

const namespaceOf = (o: Json, config: WorldConfig): string => str(metaOf(o).namespace) || config.defaultNamespace;

export function buildWorld(manifests: readonly Manifest[], config: WorldConfig): ManifestWorld {
  const of = (kind: string, group = ''): Manifest[] => manifests.filter((m) => str(m.object.kind) === kind && groupOf(m.object) === group);
  const namespaces = namespacesOf(manifests, config);
  const present = new Set(manifests.map((m) => `${str(m.object.kind)} ${namespaceOf(m.object, config)}/${str(metaOf(m.object).name)}`));
  const reading: Reading = { config, namespaces, present };
  const slices = of('EndpointSlice', 'discovery.k8s.io');
  return {
    namespaces,
    workloads: manifests.flatMap((m) => workloadOf(reading, m)),
    nodes: nodesOf(of('Node'), of('CiliumNode', 'cilium.io')),
    apiServers: new Set(slices.filter((m) => isApiServerSlice(m.object)).flatMap((m) => sliceAddresses(m.object))),
    policies: manifests.filter((m) => isPolicy(m.object)),
    invariants: of('ReachabilityInvariant', 'axoneme.io'),
    services: of('Service'),
    slices,
    cidrGroups: of('CiliumCIDRGroup', 'cilium.io'),
  };
}

/** Every namespace anything lives in; what has no object has the label the API server gives to all. */
function namespacesOf(manifests: readonly Manifest[], config: WorldConfig): Map<string, Readonly<Record<string, string>>> {
  const out = new Map<string, Readonly<Record<string, string>>>();
  const put = (name: string, labels: Readonly<Record<string, string>>): void =>
    void out.set(name, { ...labels, 'kubernetes.io/metadata.name': name });
  for (const m of manifests) {
    const kind = str(m.object.kind);
    if (kind === 'Pod' || templatesOf[kind] !== undefined) put(namespaceOf(m.object, config), {});
  }
  for (const m of manifests) {
    if (str(m.object.kind) === 'Namespace' && groupOf(m.object) === '') put(str(metaOf(m.object).name), strings(metaOf(m.object).labels));
  }
  return out;
}

function workloadOf(r: Reading, m: Manifest): Workload[] {
  const kind = str(m.object.kind);
  if (kind === 'Pod' && groupOf(m.object) === '') {
    const status = obj(m.object.status);
    const finished = ['Succeeded', 'Failed'].includes(str(status.phase));
    return finished ? [] : [fromTemplate(r, m, m.object, {})];
  }
  const template = templatesOf[kind]?.(obj(m.object.spec));
  if (template === null || typeof template !== 'object') return [];
  // The Job controller adds these; a CronJob's Jobs have names of their own that are not known yet.
  const name = str(metaOf(m.object).name);
  return [fromTemplate(r, m, obj(template), kind === 'Job' ? { 'job-name': name, 'batch.kubernetes.io/job-name': name } : {})];
}

/** `template` is a Pod or a pod template: both have metadata and spec. */
function fromTemplate(r: Reading, m: Manifest, template: Json, added: Readonly<Record<string, string>>): Workload {
  const spec = obj(template.spec);
  const status = obj(template.status);
  const namespace = namespaceOf(m.object, r.config);
  const labels = podLabels({
    podLabels: { ...strings(metaOf(template).labels), ...added },
    namespace,
    namespaceLabels: r.namespaces.get(namespace) ?? {},
    serviceAccount: str(spec.serviceAccountName) || 'default',
    cluster: r.config.clusterName,
  });
  const reported = list(status.podIPs).map((i) => obj(i).ip);
  return {
    kind: str(m.object.kind),
    namespace,
    name: str(metaOf(m.object).name) || str(metaOf(m.object).generateName),
    labels: identityLabels(labels),
    namedPorts: namedPortsOf(spec),
    addresses: ipsOf(reported.length > 0 ? reported : [status.podIP]),
    node: str(spec.nodeName) || undefined,
    hostNetwork: spec.hostNetwork === true,
    owned: list(metaOf(m.object).ownerReferences).some((o) => r.present.has(`${str(obj(o).kind)} ${namespace}/${str(obj(o).name)}`)),
    manifest: m,
  };
}

function nodesOf(nodes: readonly Manifest[], ciliumNodes: readonly Manifest[]): NodeEntry[] {
  const blocks = new Map(ciliumNodes.map((m) => [str(metaOf(m.object).name), list(obj(obj(m.object.spec).ipam).podCIDRs)]));
  return nodes.map((m) => {
    const name = str(metaOf(m.object).name);
    const spec = obj(m.object.spec);
    const addresses = list(obj(m.object.status).addresses).map(obj);
    const cidrs = blocks.get(name) ?? (list(spec.podCIDRs).length > 0 ? list(spec.podCIDRs) : [spec.podCIDR]);
    return {
      name,
      labels: strings(metaOf(m.object).labels),
      addresses: ipsOf(addresses.filter((a) => a.type === 'InternalIP').map((a) => a.address)),
      podCidrs: cidrs.flatMap((c) => {
        const cidr = parseCidr(str(c));
        return cidr.ok ? [cidr.value] : [];
      }),
    };
  });
}

const isApiServerSlice = (o: Json): boolean =>
  str(metaOf(o).namespace) === 'default' && strings(metaOf(o).labels)['kubernetes.io/service-name'] === 'kubernetes';
const sliceAddresses = (o: Json): IpAddr[] => list(o.endpoints).flatMap((e) => ipsOf(list(obj(e).addresses)));
