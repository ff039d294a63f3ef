// Local redirects: traffic to an address, or to a Service of the policy's own namespace, goes to ready pods of that namespace on the client's
// node. Index of policies and pods, owned by the compiler; the compile of Services asks it for their ports, addresses are compiled here.
import { type IpAddr, ipFamily, matchesSelector, type ObjectKey, type PortProtocol } from '@axoneme/model';
import { canonicalJson, hash32, hash64, type NodeName } from '@axoneme/std';
import { type BackendSet, type Candidate, createSet } from './backends.ts';
import type { Claims } from './claims.ts';
import { bySetId, type ServiceContent, sealContent } from './compile.ts';
import type { PortRedirect } from './context.ts';
import { type Frontend, frontendFlags } from './frontends.ts';
import type { AddressGuard } from './guard.ts';
import type { RedirectInput, RedirectPod, ServiceInput, ServicePort, SliceEndpoint, SlicePort } from './inputs.ts';
import { pairOf } from './read-redirect.ts';

/** `redirect/<namespace>/<name>`, on nodes with a backend only */
export const redirectArtifactName = (key: ObjectKey): string => `redirect/${key}`;

export interface CompiledRedirect {
  readonly key: ObjectKey;
  /** Of address matchers; nodes without a backend have nothing. What is matched by Service is part of that Service. */
  readonly byNode: ReadonlyMap<NodeName, ServiceContent>;
  readonly sets: readonly BackendSet[];
  /** Nodes with a backend. */
  readonly nodes: readonly NodeName[];
  /** Why it redirects nothing, or not all it names; empty if all is well. */
  readonly problems: readonly string[];
  readonly hash: bigint;
}

export interface RedirectTouch {
  readonly redirects: Set<ObjectKey>;
  readonly services: Set<ObjectKey>;
}

export interface Redirects {
  put(redirect: RedirectInput, touched: RedirectTouch): void;
  drop(key: ObjectKey, touched: RedirectTouch): void;
  putPod(pod: RedirectPod, touched: RedirectTouch): void;
  dropPod(key: ObjectKey, touched: RedirectTouch): void;
  /** Policies that ask for an address, or for a Service. */
  asking(what: IpAddr | ObjectKey): Iterable<ObjectKey>;
  withAddress(): Iterable<ObjectKey>;
  /** By `port/PROTOCOL`; the oldest policy has a port. */
  portsOf(service: ServiceInput): ReadonlyMap<string, PortRedirect>;
  compile(key: ObjectKey, world: RedirectWorld): CompiledRedirect | undefined;
}

export interface RedirectWorld {
  readonly claims: Claims;
  readonly guard: AddressGuard;
  readonly service: (key: ObjectKey) => ServiceInput | undefined;
  /** Whether the API server is reached by this address. */
  readonly isApiServer: (ip: IpAddr) => boolean;
}

const portText = (p: { readonly port: number; readonly protocol: PortProtocol }): string => `${p.port}/${p.protocol}`;
const namespaceOf = (key: ObjectKey): string => key.slice(0, key.indexOf('/'));
const placeOf = (r: RedirectInput): IpAddr | ObjectKey | undefined =>
  r.frontend?.kind === 'address' ? r.frontend.ip : r.frontend?.service;
const older = (a: RedirectInput, b: RedirectInput): number => a.createdMs - b.createdMs || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
const endpointOn = (node: string): SliceEndpoint => ({
  addresses: [],
  ready: true,
  serving: true,
  terminating: false,
  node,
  hintZones: [],
  hintNodes: [],
});

function addTo<K, V>(map: Map<K, Set<V>>, at: K, value: V): void {
  const held = map.get(at);
  if (held === undefined) map.set(at, new Set([value]));
  else held.add(value);
}

function takeFrom<K, V>(map: Map<K, Set<V>>, at: K, value: V): void {
  const held = map.get(at);
  held?.delete(value);
  if (held?.size === 0) map.delete(at);
}

/** The backend port for a port of the Service; undefined if the policy leaves it alone. */
function servicePair(r: RedirectInput, port: ServicePort, only: boolean): SlicePort | undefined {
  if (r.frontend?.kind !== 'service') return undefined;
  const { ports } = r.frontend;
  if (ports === undefined) return pairOf(port, only, r.ports);
  const named = ports.find((p) => p.port === port.port && p.protocol === port.protocol);
  return named && pairOf(named, ports.length === 1, r.ports);
}

function candidatesOf(pods: readonly RedirectPod[], port: SlicePort): Map<NodeName, Candidate[]> {
  const out = new Map<NodeName, Candidate[]>();
  for (const pod of pods) {
    const endpoint = endpointOn(pod.node);
    const list = out.get(pod.node) ?? [];
    for (const ip of pod.addresses) list.push({ ip, port: port.port, state: 'active', weight: 100, endpoint });
    out.set(pod.node, list);
  }
  return out;
}

export function createRedirects(): Redirects {
  const held = new Map<ObjectKey, RedirectInput>();
  const pods = new Map<ObjectKey, RedirectPod>();
  const podsIn = new Map<string, Set<ObjectKey>>();
  const policiesIn = new Map<string, Set<ObjectKey>>();
  const asking = new Map<IpAddr | ObjectKey, Set<ObjectKey>>();

  const selects = (r: RedirectInput, pod: RedirectPod): boolean =>
    r.selector !== undefined && pod.namespace === namespaceOf(r.key) && matchesSelector(r.selector, pod.labels);
  const touch = (r: RedirectInput, touched: RedirectTouch): void => {
    const place = placeOf(r);
    touched.redirects.add(r.key);
    for (const k of place === undefined ? [] : (asking.get(place) ?? [])) touched.redirects.add(k);
    if (r.frontend?.kind === 'service') touched.services.add(r.frontend.service);
  };
  const drop = (key: ObjectKey, touched: RedirectTouch): void => {
    const old = held.get(key);
    if (old === undefined) return;
    touch(old, touched);
    held.delete(key);
    takeFrom(policiesIn, namespaceOf(key), key);
    const place = placeOf(old);
    if (place !== undefined) takeFrom(asking, place, key);
  };
  const touchPod = (pod: RedirectPod | undefined, touched: RedirectTouch): void => {
    if (pod === undefined || !pod.ready) return;
    for (const key of policiesIn.get(pod.namespace) ?? []) {
      const r = held.get(key)!;
      if (!selects(r, pod)) continue;
      touched.redirects.add(key);
      if (r.frontend?.kind === 'service') touched.services.add(r.frontend.service);
    }
  };
  const dropPod = (key: ObjectKey, touched: RedirectTouch): void => {
    const old = pods.get(key);
    if (old === undefined) return;
    touchPod(old, touched);
    pods.delete(key);
    takeFrom(podsIn, old.namespace, key);
  };
  const backendsOf = (r: RedirectInput): RedirectPod[] =>
    [...(podsIn.get(namespaceOf(r.key)) ?? [])]
      .map((key) => pods.get(key)!)
      .filter((p) => p.ready && p.node !== '' && p.addresses.length > 0 && selects(r, p))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  const rivals = (what: IpAddr | ObjectKey): RedirectInput[] => [...(asking.get(what) ?? [])].map((k) => held.get(k)!).sort(older);

  return {
    put(r, touched) {
      drop(r.key, touched);
      held.set(r.key, r);
      addTo(policiesIn, namespaceOf(r.key), r.key);
      const place = placeOf(r);
      if (place !== undefined) addTo(asking, place, r.key);
      touch(r, touched);
    },
    drop,
    putPod(pod, touched) {
      const old = pods.get(pod.key);
      if (old !== undefined && podText(old) === podText(pod)) return;
      dropPod(pod.key, touched);
      pods.set(pod.key, pod);
      addTo(podsIn, pod.namespace, pod.key);
      touchPod(pod, touched);
    },
    dropPod,
    asking: (what) => asking.get(what) ?? [],
    withAddress: () => [...held.values()].filter((r) => r.frontend?.kind === 'address').map((r) => r.key),
    portsOf(service) {
      const out = new Map<string, PortRedirect>();
      if (!asking.has(service.key)) return out;
      for (const r of rivals(service.key)) {
        const backends = backendsOf(r);
        for (const port of service.ports) {
          const pair = servicePair(r, port, service.ports.length === 1);
          if (pair === undefined || out.has(portText(port))) continue;
          out.set(portText(port), { policy: r.key, skipOwn: r.skipOwn, byNode: candidatesOf(backends, pair) });
        }
      }
      return out;
    },
    compile(key, world) {
      const r = held.get(key);
      if (r === undefined) return undefined;
      const backends = backendsOf(r);
      const place = placeOf(r);
      const others = place === undefined ? [] : rivals(place).filter((o) => older(o, r) < 0);
      const [byNode, problems] =
        r.frontend?.kind === 'address'
          ? compileAddress(r, backends, others, world)
          : [new Map<NodeName, ServiceContent>(), [...r.problems, ...serviceProblems(r, others, world)]];
      const sets = new Map([...byNode.values()].flatMap((c) => c.sets).map((s) => [s.id, s]));
      const nodes = [...new Set(backends.map((p) => p.node))].sort();
      const facts = [[...byNode].map(([node, c]) => [node, c.hash.toString()]), nodes, problems];
      return { key, byNode, sets: [...sets.values()].sort(bySetId), nodes, problems, hash: hash64(canonicalJson(facts)) };
    },
  };
}

const podText = (p: RedirectPod): string => JSON.stringify([p.node, p.labels.text, p.addresses, p.ready]);

/** Nobody else's address is ever taken: not a Service's, not the cluster's, not what an older policy has. */
function compileAddress(
  r: RedirectInput,
  backends: readonly RedirectPod[],
  others: readonly RedirectInput[],
  { claims, guard, isApiServer }: RedirectWorld,
): [Map<NodeName, ServiceContent>, string[]] {
  const byNode = new Map<NodeName, ServiceContent>();
  if (r.frontend?.kind !== 'address') return [byNode, []];
  const { ip, ports } = r.frontend;
  const field = 'spec.redirectFrontend.addressMatcher';
  const service = claims.claimant(ip);
  const why =
    service !== undefined
      ? `${ip} is an address of Service ${service} (use serviceMatcher, in its namespace)`
      : isApiServer(ip)
        ? `${ip} is an address of the API server`
        : guard.redirect(ip);
  if (why !== undefined) return [byNode, [`${field}.ip: ${why}`]];
  const problems: string[] = [];
  const pairs = ports.flatMap((port, i) => {
    const owner = others.find((o) => o.frontend?.ports?.some((p) => portText(p) === portText(port)));
    if (owner !== undefined) problems.push(`${field}.toPorts[${i}]: ${ip} ${portText(port)} belongs to the older policy ${owner.key}`);
    return owner === undefined ? [{ port, candidates: candidatesOf(backends, pairOf(port, ports.length === 1, r.ports)!) }] : [];
  });
  for (const node of new Set(backends.map((p) => p.node))) {
    const sets: BackendSet[] = [];
    const frontends = pairs.flatMap(({ port, candidates }) => {
      const here = (candidates.get(node) ?? []).filter((c) => ipFamily(c.ip) === ipFamily(ip));
      const set = here.length === 0 ? undefined : createSet(port.protocol, here);
      if (set === undefined) return [];
      sets.push(set);
      return [redirectFrontend(r, ip, port, set)];
    });
    const unique = [...new Map(sets.map((s) => [s.id, s])).values()];
    if (frontends.length > 0) byNode.set(node, sealContent(frontends, unique));
  }
  return [byNode, problems];
}

/** Clients outside of the cluster never see it; backends that are to be left alone have no other set: their traffic goes on as it is. */
function redirectFrontend(r: RedirectInput, ip: IpAddr, port: SlicePort, set: BackendSet): Frontend {
  return {
    kind: 'local-redirect',
    ip,
    port: port.port,
    protocol: port.protocol,
    setIn: set.id,
    setOut: 0n,
    countIn: set.backends.length,
    countOut: 0,
    maglevSize: 0,
    serviceId: hash32(`redirect ${r.key}:${portText(port)}`),
    affinitySeconds: 0,
    flags: frontendFlags.localRedirect | (r.skipOwn ? frontendFlags.skipOwn : 0),
    sourceRanges: false,
  };
}

function serviceProblems(r: RedirectInput, others: readonly RedirectInput[], { service }: RedirectWorld): string[] {
  if (r.frontend?.kind !== 'service') return [];
  const field = 'spec.redirectFrontend.serviceMatcher';
  const found = service(r.frontend.service);
  if (found === undefined) return [`${field}.serviceName: there is no Service ${r.frontend.service}`];
  if (found.clusterIps.length === 0) return [`${field}.serviceName: Service ${found.key} has no ClusterIP`];
  const only = found.ports.length === 1;
  const mine = found.ports.filter((p) => servicePair(r, p, only) !== undefined);
  if (mine.length === 0)
    return [`${field}: no port of Service ${found.key} pairs with one of spec.redirectBackend.toPorts (by name and protocol)`];
  return mine.flatMap((p) => {
    const owner = others.find((o) => servicePair(o, p, only) !== undefined);
    return owner === undefined ? [] : [`${field}: port ${portText(p)} belongs to the older policy ${owner.key}`];
  });
}
