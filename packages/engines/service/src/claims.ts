// Who owns an address, or a port of it, when several Services ask for it. ClusterIPs are given by the API server and come first, then addresses
// of load balancers, then external IPs, which anybody may write; among equals the oldest, then the first by name. Nobody else gets a frontend
// on it, so that no namespace can take traffic meant for another one. Shared by compileAll and the incremental compiler.
import type { IpAddr, ObjectKey, PortProtocol } from '@axoneme/model';
import { hash32 } from '@axoneme/std';
import type { ServiceInput, ServicePort } from './inputs.ts';

export interface Claims {
  /** Adds or replaces what a service asks for; returns the services whose ownership may have changed. */
  put(service: ServiceInput): readonly ObjectKey[];
  drop(key: ObjectKey): readonly ObjectKey[];
  ownsClusterIp(key: ObjectKey, ip: IpAddr): boolean;
  ownsLoadBalancerPort(key: ObjectKey, ip: IpAddr, port: number, protocol: PortProtocol): boolean;
  /** What no port of a load balancer address matches is the business of one of its Services. */
  ownsRestOf(key: ObjectKey, ip: IpAddr): boolean;
  ownsExternalPort(key: ObjectKey, ip: IpAddr, port: number, protocol: PortProtocol): boolean;
  /** Of the port of an address, or of the whole address. */
  ownerOf(ip: IpAddr, port: number, protocol: PortProtocol): ObjectKey | undefined;
  ownsNodePort(key: ObjectKey, port: number, protocol: PortProtocol): boolean;
  /** Number of a port of a Service: affinity and source ranges are kept under it, so that no two ports ever have the same. */
  serviceId(key: ObjectKey, port: ServicePort): number | undefined;
  isNodePort(port: number, protocol: PortProtocol): boolean;
  /** One of the Services that ask for the address, whatever became of it. */
  claimant(ip: IpAddr): ObjectKey | undefined;
  /** Addresses, ports of them and ports of nodes with a claimant that did not get it, ascending by text. */
  conflicts(): readonly Conflict[];
}

export interface Conflict {
  /** `10.96.0.1`, `192.0.2.1 80/TCP` or `node 30080/TCP`. */
  readonly at: string;
  readonly owner: ObjectKey;
  readonly refused: readonly ObjectKey[];
}

const stronger = (a: ServiceInput, b: ServiceInput): number => a.createdMs - b.createdMs || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
const namespaceOf = (key: ObjectKey): string => key.slice(0, key.indexOf('/'));

/** Everybody who asks for something of one address, or for one port of the nodes. */
interface Place {
  readonly claimants: Map<ObjectKey, ServiceInput>;
  /** Owner by what is owned; made when asked for. */
  owners: Map<string, ObjectKey> | undefined;
  refused: Map<string, ObjectKey[]>;
}

const nodePlace = (port: number, protocol: PortProtocol): string => `node ${port}/${protocol}`;
const portsOf = (s: ServiceInput): string[] => s.ports.map((p) => `${p.port}/${p.protocol}`);

const idPlace = (id: number): string => `id ${id}`;

const portText = (p: ServicePort): string => `${p.port}/${p.protocol}`;
const idMemo = new WeakMap<ServiceInput, ReadonlyMap<string, readonly number[]>>();

/** Numbers by port. The second is for the day on which somebody else has the first. */
function idsOf(s: ServiceInput): ReadonlyMap<string, readonly number[]> {
  let ids = idMemo.get(s);
  if (ids === undefined) {
    ids = new Map(s.ports.map((p) => [portText(p), [hash32(`${s.key}:${portText(p)}`), hash32(`again ${s.key}:${portText(p)}`)]]));
    idMemo.set(s, ids);
  }
  return ids;
}

function placesOf(s: ServiceInput): string[] {
  const places = new Set<string>([...s.clusterIps, ...s.loadBalancerIps, ...s.externalIps]);
  for (const ids of idsOf(s).values()) for (const id of ids) places.add(idPlace(id));
  for (const p of s.ports) if (p.nodePort !== 0) places.add(nodePlace(p.nodePort, p.protocol));
  return [...places];
}

/** Who asks for the same things as before changes nothing for others. */
const claimText = (s: ServiceInput): string =>
  JSON.stringify([s.createdMs, s.clusterIps, s.loadBalancerIps, s.externalIps, s.ports.map((p) => [p.port, p.protocol, p.nodePort])]);

function settle(place: string, p: Place): Map<string, ObjectKey> {
  const owners = new Map<string, ObjectKey>();
  p.refused = new Map();
  p.owners = owners;
  const sorted = [...p.claimants.values()].sort(stronger);
  const claim = (s: ServiceInput, what: string, masters: readonly (ObjectKey | undefined)[] = []): void => {
    const master = masters.find((m) => m !== undefined && m !== s.key) ?? owners.get(what);
    if (master === undefined) owners.set(what, s.key);
    else if (master !== s.key) p.refused.set(what, [...(p.refused.get(what) ?? []), s.key]);
  };
  if (place.startsWith('node ') || place.startsWith('id ')) {
    for (const s of sorted) claim(s, '');
    return owners;
  }
  for (const s of sorted) if (s.clusterIps.includes(place as IpAddr)) claim(s, '');
  const cluster = owners.get('');
  for (const s of sorted) {
    if (!s.loadBalancerIps.includes(place as IpAddr) || s.clusterIps.includes(place as IpAddr)) continue;
    if (cluster === undefined && !owners.has('*')) owners.set('*', s.key);
    for (const port of portsOf(s)) claim(s, port, [cluster]);
  }
  const balancer = owners.get('*');
  for (const s of sorted) {
    if (!s.externalIps.includes(place as IpAddr) || [...s.clusterIps, ...s.loadBalancerIps].includes(place as IpAddr)) continue;
    const foreign = balancer !== undefined && namespaceOf(balancer) !== namespaceOf(s.key) ? balancer : undefined;
    for (const port of portsOf(s)) claim(s, port, [cluster, foreign]);
  }
  return owners;
}

export function createClaims(): Claims {
  const services = new Map<ObjectKey, ServiceInput>();
  const places = new Map<string, Place>();
  const ownersOf = (at: string): ReadonlyMap<string, ObjectKey> | undefined => {
    const place = places.get(at);
    return place && (place.owners ?? settle(at, place));
  };
  const remove = (key: ObjectKey, moved: Set<ObjectKey>): void => {
    const old = services.get(key);
    services.delete(key);
    for (const at of old === undefined ? [] : placesOf(old)) {
      const place = places.get(at)!;
      for (const k of place.claimants.keys()) moved.add(k);
      place.claimants.delete(key);
      place.owners = undefined;
      if (place.claimants.size === 0) places.delete(at);
    }
  };
  const owns = (key: ObjectKey, at: string, what: string): boolean => ownersOf(at)?.get(what) === key;
  return {
    put(service) {
      const old = services.get(service.key);
      const moved = new Set<ObjectKey>([service.key]);
      if (old !== undefined && claimText(old) === claimText(service)) return [...moved];
      remove(service.key, moved);
      services.set(service.key, service);
      for (const at of placesOf(service)) {
        const place = places.get(at) ?? { claimants: new Map(), owners: undefined, refused: new Map() };
        places.set(at, place);
        place.claimants.set(service.key, service);
        place.owners = undefined;
        for (const k of place.claimants.keys()) moved.add(k);
      }
      return [...moved];
    },
    drop(key) {
      const moved = new Set<ObjectKey>([key]);
      remove(key, moved);
      return [...moved];
    },
    ownsClusterIp: (key, ip) => owns(key, ip, ''),
    ownsLoadBalancerPort: (key, ip, port, protocol) => owns(key, ip, `${port}/${protocol}`),
    ownsRestOf: (key, ip) => owns(key, ip, '*'),
    ownsExternalPort: (key, ip, port, protocol) => owns(key, ip, `${port}/${protocol}`),
    ownerOf(ip, port, protocol) {
      const owners = ownersOf(ip);
      return owners?.get(`${port}/${protocol}`) ?? owners?.get('');
    },
    ownsNodePort: (key, port, protocol) => owns(key, nodePlace(port, protocol), ''),
    serviceId(key, port) {
      const service = services.get(key);
      return (
        service &&
        idsOf(service)
          .get(portText(port))
          ?.find((id) => owns(key, idPlace(id), ''))
      );
    },
    isNodePort: (port, protocol) => places.has(nodePlace(port, protocol)),
    claimant: (ip) => [...(places.get(ip)?.claimants.values() ?? [])].sort(stronger)[0]?.key,
    conflicts: () =>
      [...places]
        .filter(([at]) => !at.startsWith('id '))
        .flatMap(([at, p]) => conflictsOf(at, p))
        .sort((a, b) => (a.at < b.at ? -1 : 1)),
  };
}

function conflictsOf(at: string, p: Place): Conflict[] {
  const owners = p.owners ?? settle(at, p);
  // a port that is refused because of the whole address has no owner of its own
  const whole = owners.get('') ?? owners.get('*');
  return [...p.refused].map(([what, refused]) => ({ at: `${at} ${what}`.trim(), owner: (owners.get(what) ?? whole)!, refused }));
}
