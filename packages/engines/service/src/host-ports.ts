// Ports of nodes that pods ask for: a frontend with one backend, on the pod's node only. Called by the compiler.
import { type IpAddr, ipFamily, type ObjectKey, type PortProtocol } from '@axoneme/model';
import { hash32, type NodeName } from '@axoneme/std';
import { type BackendSet, createSet } from './backends.ts';
import { bySetId, type ServiceContent, sealContent } from './compile.ts';
import { type Frontend, frontendFlags } from './frontends.ts';
import type { HostPort, HostPortPod, ServiceConfig, SliceEndpoint } from './inputs.ts';

export interface CompiledHostPorts extends ServiceContent {
  readonly key: ObjectKey;
  readonly node: NodeName;
  readonly remarks: readonly string[];
}

/** `hostport/<namespace>/<pod>` */
export const hostPortArtifactName = (key: ObjectKey): string => `hostport/${key}`;

export interface HostPorts {
  /** Returns the pods that may have to be compiled again. */
  put(pod: HostPortPod): readonly ObjectKey[];
  drop(key: ObjectKey): readonly ObjectKey[];
  /** Pods that ask for a port of their node. */
  asking(port: number, protocol: PortProtocol): readonly ObjectKey[];
  compile(
    key: ObjectKey,
    isNodePort: (port: number, protocol: PortProtocol) => boolean,
    config: ServiceConfig,
  ): CompiledHostPorts | undefined;
}

const slot = (p: HostPort): string => `${p.hostPort}/${p.protocol}`;
const place = (pod: HostPortPod, p: HostPort): string => `${pod.node} ${p.hostIp ?? ''} ${slot(p)}`;

export function createHostPorts(): HostPorts {
  const pods = new Map<ObjectKey, HostPortPod>();
  /** Who asks, by port, and by port of one address of one node. */
  const bySlot = new Map<string, Set<ObjectKey>>();
  const byPlace = new Map<string, Set<ObjectKey>>();
  const count = (map: Map<string, Set<ObjectKey>>, at: string, key: ObjectKey, there: boolean): void => {
    const keys = map.get(at) ?? new Set();
    if (there) keys.add(key);
    else keys.delete(key);
    if (keys.size > 0) map.set(at, keys);
    else map.delete(at);
  };
  const index = (pod: HostPortPod, there: boolean, moved: Set<ObjectKey>): void => {
    for (const p of pod.ports) {
      count(bySlot, slot(p), pod.key, there);
      count(byPlace, place(pod, p), pod.key, there);
      for (const k of byPlace.get(place(pod, p)) ?? []) moved.add(k);
    }
  };
  const remove = (key: ObjectKey, moved: Set<ObjectKey>): void => {
    const old = pods.get(key);
    if (old === undefined) return;
    pods.delete(key);
    index(old, false, moved);
  };
  return {
    put(pod) {
      const moved = new Set([pod.key]);
      remove(pod.key, moved);
      pods.set(pod.key, pod);
      index(pod, true, moved);
      return [...moved];
    },
    drop(key) {
      const moved = new Set([key]);
      remove(key, moved);
      return [...moved];
    },
    asking: (port, protocol) => [...(bySlot.get(`${port}/${protocol}`) ?? [])],
    compile(key, isNodePort, config) {
      const pod = pods.get(key);
      if (pod === undefined) return undefined;
      const remarks: string[] = [];
      const mine = pod.ports.filter((p) => {
        const first = [...byPlace.get(place(pod, p))!].sort()[0];
        if (isNodePort(p.hostPort, p.protocol)) remarks.push(`host port ${slot(p)} is a port of a Service`);
        else if (first !== key) remarks.push(`host port ${slot(p)} belongs to ${first} on ${pod.node}`);
        else return true;
        return false;
      });
      return compilePod(pod, mine, remarks, config);
    },
  };
}

function compilePod(
  pod: HostPortPod,
  ports: readonly HostPort[],
  remarks: readonly string[],
  config: ServiceConfig,
): CompiledHostPorts | undefined {
  const sets: BackendSet[] = [];
  const frontends = new Map<string, Frontend>();
  for (const p of ports) {
    for (const ip of pod.addresses) {
      if (p.hostIp !== undefined && ipFamily(p.hostIp) !== ipFamily(ip)) continue;
      const at = `${p.hostIp ?? ipFamily(ip)} ${slot(p)}`;
      if (frontends.has(at)) continue;
      const set = createSet(p.protocol, [{ ip, port: p.port, state: 'active', weight: 100, endpoint: lonely }])!;
      sets.push(set);
      frontends.set(at, hostFrontend(pod, p, ip, set, config));
    }
  }
  if (frontends.size === 0) return undefined;
  const unique = [...new Map(sets.map((s) => [s.id, s])).values()].sort(bySetId);
  return { ...sealContent([...frontends.values()], unique), key: pod.key, node: pod.node, remarks };
}

const lonely: SliceEndpoint = { addresses: [], ready: true, serving: true, terminating: false, node: '', hintNodes: [], hintZones: [] };

/** The pod is here: traffic from outside never leaves the node, and no address of another node is meant. */
function hostFrontend(pod: HostPortPod, p: HostPort, ip: IpAddr, set: BackendSet, config: ServiceConfig): Frontend {
  const { hostPort, external, outLocal, reject } = frontendFlags;
  const anyIp = (ipFamily(ip) === 4 ? '0.0.0.0' : '::') as IpAddr;
  return {
    kind: 'host-port',
    ip: p.hostIp ?? anyIp,
    port: p.hostPort,
    protocol: p.protocol,
    setIn: set.id,
    setOut: set.id,
    countIn: 1,
    countOut: 1,
    maglevSize: 0,
    serviceId: hash32(`hostport ${pod.key}:${slot(p)}`),
    affinitySeconds: 0,
    flags: hostPort | external | outLocal | (config.noBackend === 'reject' ? reject : 0),
    sourceRanges: false,
  };
}
