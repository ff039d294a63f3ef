// One Service × its EndpointSlices → frontends and backend sets. Pure core of compileAll and of the incremental compiler.

import { compareIp, type IpAddr, ipFamily, type ObjectKey, type Port, type PortProtocol, protocolNumbers } from '@axoneme/model';
import { canonicalJson, hash32, hash64 } from '@axoneme/std';
import type { ServiceInput, ServicePort, SliceInput } from './inputs.ts';

export interface Backend {
  readonly ip: IpAddr;
  readonly port: Port;
  /** Stable over all sets: the same address, port and protocol have the same id. */
  readonly id: number;
  /** Ready; false for one that terminates and serves only because nothing better is left. */
  readonly active: boolean;
}

/** Immutable and named by content; slot index = position in `backends`. */
export interface BackendSet {
  readonly id: bigint;
  readonly protocol: PortProtocol;
  readonly backends: readonly Backend[];
}

/** `cluster-ip` today; node-port, load-balancer and external kinds come beside it. */
export type FrontendKind = 'cluster-ip';

export interface Frontend {
  readonly kind: FrontendKind;
  readonly ip: IpAddr;
  readonly port: Port;
  readonly protocol: PortProtocol;
  /** 0 when there is no backend. */
  readonly set: bigint;
  readonly count: number;
  readonly serviceId: number;
  readonly affinitySeconds: number;
}

export interface CompiledService {
  readonly key: ObjectKey;
  readonly frontends: readonly Frontend[];
  /** Sets the frontends point at, by ascending id; empty sets are left out. */
  readonly sets: readonly BackendSet[];
  /** Changes exactly when something above does. */
  readonly hash: bigint;
}

/** `backends/<set>` */
export const backendsArtifactName = (set: bigint): string => `backends/${set.toString(16).padStart(16, '0')}`;
/** `service/<namespace>/<name>` */
export const serviceArtifactName = (key: ObjectKey): string => `service/${key}`;

/** `owns` says whether the service may answer on one of its addresses; see claims.ts. */
export function compileService(service: ServiceInput, slices: readonly SliceInput[], owns: (ip: IpAddr) => boolean): CompiledService {
  const sets = new Map<bigint, BackendSet>();
  const frontends: Frontend[] = [];
  for (const ip of [...new Set(service.clusterIps)].filter(owns).sort(compareIp)) {
    for (const port of uniquePorts(service.ports)) {
      const backends = selectBackends(port, ipFamily(ip), slices);
      const set = backends.length === 0 ? undefined : createSet(port.protocol, backends);
      if (set !== undefined) sets.set(set.id, set);
      frontends.push({
        kind: 'cluster-ip',
        ip,
        port: port.port,
        protocol: port.protocol,
        set: set?.id ?? 0n,
        count: backends.length,
        serviceId: hash32(`${service.key}:${port.port}`),
        affinitySeconds: service.affinitySeconds,
      });
    }
  }
  const sorted = [...sets.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const facts = frontends.map((f) => ({ ...f, set: f.set.toString() }));
  return { key: service.key, frontends, sets: sorted, hash: hash64(canonicalJson(facts)) };
}

/** A port number and protocol twice in one service: the API server refuses it, the first wins here. */
function uniquePorts(ports: readonly ServicePort[]): ServicePort[] {
  const seen = new Map<string, ServicePort>();
  for (const p of ports) if (!seen.has(`${p.port}/${p.protocol}`)) seen.set(`${p.port}/${p.protocol}`, p);
  return [...seen.values()].sort((a, b) => a.port - b.port || (a.protocol < b.protocol ? -1 : 1));
}

/** Ready ones; if there is none, those that terminate but still serve. */
function selectBackends(port: ServicePort, family: 4 | 6, slices: readonly SliceInput[]): Backend[] {
  const ready = new Map<string, Backend>();
  const leaving = new Map<string, Backend>();
  for (const slice of slices) {
    for (const target of slice.ports) {
      if (target.name !== port.name || target.protocol !== port.protocol) continue;
      for (const endpoint of slice.endpoints) {
        const into = endpoint.ready ? ready : endpoint.serving && endpoint.terminating ? leaving : undefined;
        if (into === undefined) continue;
        for (const ip of endpoint.addresses) {
          if (ipFamily(ip) === family) into.set(`${ip} ${target.port}`, createBackend(ip, target, endpoint.ready));
        }
      }
    }
  }
  return [...(ready.size > 0 ? ready : leaving).values()].sort((a, b) => compareIp(a.ip, b.ip) || a.port - b.port);
}

function createBackend(ip: IpAddr, target: ServicePort, active: boolean): Backend {
  return { ip, port: target.port, id: hash32(`${ip} ${target.port} ${protocolNumbers[target.protocol]}`), active };
}

function createSet(protocol: PortProtocol, backends: readonly Backend[]): BackendSet {
  const text = backends.map((b) => `${b.ip} ${b.port} ${b.active ? 1 : 0}\n`).join('');
  return { id: hash64(`${protocol}\n`, text), protocol, backends };
}
