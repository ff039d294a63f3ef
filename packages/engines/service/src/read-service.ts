// A Service from its plain JSON. Nothing in it makes the reader fail: what is wrong is left out and remarked. Called by the operator's sources.
import type { Selector } from '@axoneme/model';
import type { Algorithm, FrontendKind, ServiceInput, ServicePort } from './inputs.ts';
import {
  type Json,
  keyOfMeta,
  list,
  num,
  obj,
  quote,
  type Remark,
  readCidrs,
  readIps,
  readPort,
  str,
  strings,
  timeMs,
  words,
} from './read-json.ts';
import { selectorFromText } from './selector-text.ts';

const types: readonly string[] = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'];
const defaultAffinitySeconds = 10_800;
const maxAffinitySeconds = 86_400;

export const PROXY_LABEL = 'service.kubernetes.io/service-proxy-name';
const HEADLESS_LABEL = 'service.kubernetes.io/headless';
const TOPOLOGY_ANNOTATIONS = ['service.kubernetes.io/topology-mode', 'service.kubernetes.io/topology-aware-hints'];
const PREFIX = 'service.cilium.io/';

const kindsByType: Readonly<Record<string, FrontendKind>> = {
  ClusterIP: 'cluster-ip',
  NodePort: 'node-port',
  LoadBalancer: 'load-balancer',
};

export function readService(raw: unknown): ServiceInput {
  const meta = obj(obj(raw).metadata);
  const spec = obj(obj(raw).spec);
  const labels = strings(meta.labels);
  const annotations = strings(meta.annotations);
  const remarks: string[] = [];
  const remark: Remark = (text) => void remarks.push(text);
  const type = (types.includes(str(spec.type)) ? str(spec.type) : 'ClusterIP') as ServiceInput['type'];
  if (str(spec.type) !== '' && str(spec.type) !== type) remark(`spec.type: ${quote(spec.type)} is unknown and read as ClusterIP`);
  const headless = labels[HEADLESS_LABEL] !== undefined;
  const virtual = type !== 'ExternalName' && !headless;
  return {
    key: keyOfMeta(meta),
    createdMs: timeMs(meta.creationTimestamp),
    type,
    proxyName: labels[PROXY_LABEL] ?? '',
    clusterIps: virtual ? readClusterIps(spec, remark) : [],
    externalIps: virtual ? readIps(spec.externalIPs, 'spec.externalIPs', remark) : [],
    loadBalancerIps: virtual && type === 'LoadBalancer' ? readStatus(obj(obj(raw).status), remark) : [],
    loadBalancerClass: str(spec.loadBalancerClass),
    ports: readPorts(spec, virtual && (type === 'NodePort' || type === 'LoadBalancer'), remark),
    affinitySeconds: readAffinity(spec, remark),
    externalLocal: spec.externalTrafficPolicy === 'Local',
    internalLocal: spec.internalTrafficPolicy === 'Local',
    near: readNear(spec, annotations, remark),
    restrictsSources: type === 'LoadBalancer' && list(spec.loadBalancerSourceRanges).length > 0,
    sourceRanges: type === 'LoadBalancer' ? readCidrs(spec.loadBalancerSourceRanges, 'spec.loadBalancerSourceRanges', remark) : [],
    healthCheckPort: type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local' ? num(spec.healthCheckNodePort) : 0,
    ...readAnnotations(annotations, remark),
    remarks,
  };
}

function readClusterIps(spec: Json, remark: Remark): ServiceInput['clusterIps'] {
  const texts = Array.isArray(spec.clusterIPs) ? spec.clusterIPs : [spec.clusterIP];
  return readIps(
    texts.filter((t) => t !== undefined && t !== null && t !== '' && t !== 'None'),
    'spec.clusterIPs',
    remark,
  );
}

/** Addresses of mode Proxy are answered for by somebody in front of the nodes. */
function readStatus(status: Json, remark: Remark): ServiceInput['loadBalancerIps'] {
  const ingress = list(obj(status.loadBalancer).ingress).map(obj);
  const ours = ingress.filter((i) => i.ip !== undefined && (i.ipMode === undefined || i.ipMode === null || i.ipMode === 'VIP'));
  return readIps(
    ours.map((i) => i.ip),
    'status.loadBalancer.ingress',
    remark,
  );
}

/** A port number and protocol twice in one service: the API server refuses it, the first wins here. */
function readPorts(spec: Json, onNodes: boolean, remark: Remark): ServicePort[] {
  const out = new Map<string, ServicePort>();
  for (const [i, raw] of list(spec.ports).map(obj).entries()) {
    const field = `spec.ports[${i}]`;
    const port = readPort(raw, field, remark);
    if (port === undefined) continue;
    const at = `${port.port}/${port.protocol}`;
    if (out.has(at)) remark(`${field}: ${at} is there twice`);
    else out.set(at, { ...port, nodePort: onNodes ? readNodePort(raw, field, remark) : 0 });
  }
  return [...out.values()].sort((a, b) => a.port - b.port || (a.protocol < b.protocol ? -1 : 1));
}

function readNodePort(raw: Json, field: string, remark: Remark): number {
  // 0 and absent: none was allocated
  const n = num(raw.nodePort);
  if (Number.isInteger(n) && n >= 0 && n <= 65_535) return n;
  return remark(`${field}.nodePort: ${quote(raw.nodePort)} is not a port`) ?? 0;
}

function readAffinity(spec: Json, remark: Remark): number {
  if (spec.sessionAffinity !== 'ClientIP') return 0;
  const raw = obj(obj(spec.sessionAffinityConfig).clientIP).timeoutSeconds;
  if (raw === undefined || raw === null) return defaultAffinitySeconds;
  const seconds = num(raw);
  if (Number.isInteger(seconds) && seconds > 0 && seconds <= maxAffinitySeconds) return seconds;
  remark(`spec.sessionAffinityConfig.clientIP.timeoutSeconds: ${quote(raw)} is not 1 to ${maxAffinitySeconds}`);
  return defaultAffinitySeconds;
}

function readNear(spec: Json, annotations: Readonly<Record<string, string>>, remark: Remark): ServiceInput['near'] {
  const wish = spec.trafficDistribution;
  if (wish === 'PreferClose' || wish === 'PreferSameZone') return 'zone';
  if (wish === 'PreferSameNode') return 'node';
  if (wish !== undefined && wish !== null) remark(`spec.trafficDistribution: ${quote(wish)} is unknown and has no effect`);
  return TOPOLOGY_ANNOTATIONS.some((a) => annotations[a]?.toLowerCase() === 'auto') ? 'zone' : 'any';
}

type Annotated = Pick<ServiceInput, 'kinds' | 'nodes' | 'nodeSelector' | 'forwarding' | 'algorithm' | 'sourceRangesDeny'>;

function readAnnotations(annotations: Readonly<Record<string, string>>, remark: Remark): Annotated {
  const choice = <T extends string>(name: string, values: readonly T[]): T | undefined => {
    const value = annotations[PREFIX + name];
    if (value === undefined || values.includes(value as T)) return value as T | undefined;
    return remark(`${PREFIX}${name}: ${quote(value)} is none of ${values.join(', ')}`);
  };
  const nodes = annotations[`${PREFIX}node`];
  return {
    kinds: readKinds(annotations[`${PREFIX}type`], remark),
    nodes: nodes === undefined ? undefined : new Set(words(nodes)),
    nodeSelector: readSelector(annotations[`${PREFIX}node-selector`], remark),
    forwarding: choice('forwarding-mode', ['snat', 'dsr']),
    algorithm: choice<Algorithm>('lb-algorithm', ['random', 'maglev']),
    sourceRangesDeny: choice('src-ranges-policy', ['allow', 'deny']) === 'deny',
  };
}

/** What is meant to have fewer frontends does not get all of them because of a typing error: unknown words mean none. */
function readKinds(text: string | undefined, remark: Remark): ReadonlySet<FrontendKind> | undefined {
  if (text === undefined) return undefined;
  const kinds = new Set<FrontendKind>();
  for (const word of words(text)) {
    const kind = kindsByType[word];
    if (kind === undefined) remark(`${PREFIX}type: ${quote(word)} is not a type`);
    else kinds.add(kind);
  }
  return kinds;
}

/** One that cannot be read selects no node. */
function readSelector(text: string | undefined, remark: Remark): Selector | undefined {
  if (text === undefined) return undefined;
  const selector = selectorFromText(text);
  if (selector.ok) return selector.value;
  remark(`${PREFIX}node-selector: ${selector.error.message}`);
  return noNode;
}

/** A name that no label has. */
const noNode: Selector = {
  requirements: [{ source: 'any', key: '', at: 'any:', operator: 'In', values: [] }],
  text: '',
};
