// What the server hands out itself: ClusterIPs (v4 and v6), node ports, job selectors. Owned by no field manager. Called by ../rest/prepare.ts.
import { isIP } from 'node:net';
import { asList, asObj, isObj, type Obj } from '../obj.ts';
import type { Resource } from '../registry.ts';
import { invalid, invalidValue } from '../status-error.ts';
import type { MemoryStore } from '../store/memory.ts';
import type { KubeObject } from '../types.ts';

export interface Allocator {
  /** Fills in what the object lacks; changes its argument, which the caller owns. Throws 422 when a wish can't be met. */
  allocate(r: Resource, o: KubeObject, old: KubeObject | undefined): void;
}

export interface AllocatorConfig {
  readonly serviceCidrV4: string;
  readonly serviceCidrV6: string;
  readonly nodePortRange: readonly [number, number];
}

interface Range {
  readonly family: 4 | 6;
  readonly base: bigint;
  readonly size: bigint;
}

const searchMax = 65_536;

/** Who has which address and node port; follows the store. */
interface Used {
  readonly ips: Map<string, string>;
  readonly ports: Map<string, string>;
  /** Where the search for a free address goes on, by family. */
  readonly next: { 4: bigint; 6: bigint };
}

const portKey = (port: unknown, protocol: unknown): string => `${port}/${protocol}`;

function followServices(store: MemoryStore): Used {
  // the first address is the API server's, the tenth by habit the DNS server's: start behind them
  const used: Used = { ips: new Map(), ports: new Map(), next: { 4: 16n, 6: 16n } };
  const keysOf = (o: KubeObject): { readonly ips: string[]; readonly ports: string[] } => ({
    ips: asList(asObj(o.spec).clusterIPs).map(String),
    ports: [
      ...asList(asObj(o.spec).ports).flatMap((p) =>
        asObj(p).nodePort === undefined ? [] : [portKey(asObj(p).nodePort, asObj(p).protocol)],
      ),
      ...(asObj(o.spec).healthCheckNodePort === undefined ? [] : [portKey(asObj(o.spec).healthCheckNodePort, 'TCP')]),
    ],
  });
  store.listen('/services', (c) => {
    if (c.previous !== undefined) {
      const old = keysOf(c.previous);
      for (const k of old.ips) used.ips.delete(k);
      for (const k of old.ports) used.ports.delete(k);
    }
    if (c.type === 'DELETED') return;
    const now = keysOf(c.object);
    const uid = c.object.metadata.uid ?? '';
    for (const k of now.ips) if (k !== 'None') used.ips.set(k, uid);
    for (const k of now.ports) used.ports.set(k, uid);
  });
  return used;
}

export function createAllocator(store: MemoryStore, c: AllocatorConfig): Allocator {
  const ranges = { IPv4: parseRange(c.serviceCidrV4), IPv6: parseRange(c.serviceCidrV6) };
  const used = followServices(store);
  return {
    allocate(r, o, old) {
      if (r.typeName === 'Service') allocateService(o, old, used, ranges, c.nodePortRange);
      else if (r.typeName === 'Job' && old === undefined) jobSelector(o);
    },
  };
}

function jobSelector(o: KubeObject): void {
  const spec = asObj(o.spec);
  if (spec.manualSelector === true || spec.selector !== undefined) return;
  const uid = o.metadata.uid ?? '';
  const ours = { 'batch.kubernetes.io/controller-uid': uid };
  spec.selector = { matchLabels: ours };
  const template = asObj(spec.template);
  const meta = asObj(template.metadata);
  const name = o.metadata.name ?? '';
  meta.labels = { ...asObj(meta.labels), ...ours, 'batch.kubernetes.io/job-name': name, 'controller-uid': uid, 'job-name': name };
  template.metadata = meta;
}

type Families = Readonly<Record<'IPv4' | 'IPv6', Range>>;

function allocateService(o: KubeObject, old: KubeObject | undefined, used: Used, ranges: Families, ports: readonly [number, number]): void {
  const spec = asObj(o.spec);
  if (spec.type === 'ExternalName') {
    delete spec.clusterIP;
    delete spec.clusterIPs;
    delete spec.ipFamilies;
    delete spec.ipFamilyPolicy;
  } else allocateIps(o, spec, old === undefined ? undefined : asObj(old.spec), used, ranges);
  if (!needsHealthCheck(spec)) delete spec.healthCheckNodePort;
  if (spec.type === 'NodePort' || spec.type === 'LoadBalancer')
    allocatePorts(o, spec, old === undefined ? {} : asObj(old.spec), used, ports);
  else for (const p of asList(spec.ports)) if (isObj(p)) delete p.nodePort;
}

function allocateIps(o: KubeObject, spec: Obj, old: Obj | undefined, used: Used, ranges: Families): void {
  if (old?.clusterIP !== undefined && old.clusterIP !== '') {
    if (spec.clusterIP !== undefined && spec.clusterIP !== old.clusterIP && old.type !== 'ExternalName')
      throw fail(
        o,
        'spec.clusterIPs[0]',
        asList(spec.clusterIPs).length > 0 ? spec.clusterIPs : [spec.clusterIP],
        'may not change once set',
      );
    for (const k of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy']) if (spec[k] === undefined) spec[k] = old[k];
  }
  const policy = String(spec.ipFamilyPolicy ?? 'SingleStack');
  const families = wantedFamilies(spec, policy);
  spec.ipFamilies = families;
  spec.ipFamilyPolicy = policy;
  const given = asList(spec.clusterIPs).map(String);
  if (given.length === 0 && typeof spec.clusterIP === 'string' && spec.clusterIP !== '') given.push(spec.clusterIP);
  if (given[0] === 'None') {
    spec.clusterIP = 'None';
    spec.clusterIPs = ['None'];
    return;
  }
  const uid = o.metadata.uid ?? '';
  const mine = new Set<string>();
  const taken = (ip: string): boolean => mine.has(ip) || (used.ips.get(ip) ?? uid) !== uid;
  const ips = families.map((f, i) => {
    const want = given[i];
    if (want === undefined || want === '') return pickIp(o, ranges[f], used);
    const was = asList(old?.clusterIPs).includes(want);
    if (isIP(want) === 0) throw fail(o, `spec.clusterIPs[${i}]`, want, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)');
    if (!was && !inRange(want, ranges[f]))
      throw fail(o, 'spec.clusterIPs', given, `failed to allocate IP ${want}: the provided network does not match the current range`);
    if (taken(want)) throw fail(o, 'spec.clusterIPs', given, `failed to allocate IP ${want}: provided IP is already allocated`);
    mine.add(want);
    return want;
  });
  spec.clusterIP = ips[0];
  spec.clusterIPs = ips;
}

function wantedFamilies(spec: Obj, policy: string): ('IPv4' | 'IPv6')[] {
  const asked = asList(spec.ipFamilies).filter((f): f is 'IPv4' | 'IPv6' => f === 'IPv4' || f === 'IPv6');
  if (asked.length === 0) {
    for (const ip of asList(spec.clusterIPs).length > 0 ? asList(spec.clusterIPs) : [spec.clusterIP]) {
      if (isIP(String(ip)) === 4) asked.push('IPv4');
      if (isIP(String(ip)) === 6) asked.push('IPv6');
    }
  }
  const first = asked[0] ?? 'IPv4';
  if (policy === 'SingleStack') return [first];
  return [first, asked[1] ?? (first === 'IPv4' ? 'IPv6' : 'IPv4')];
}

function pickIp(o: KubeObject, range: Range, used: Used): string {
  const limit = range.size < BigInt(searchMax) ? range.size - 1n : BigInt(searchMax);
  const first = limit > 16n ? 16n : 1n;
  for (let i = first; i < limit; i++) {
    const at = used.next[range.family];
    used.next[range.family] = at + 1n >= limit ? first : at + 1n;
    const ip = formatIp(range.base + at, range.family);
    if (!used.ips.has(ip)) return ip;
  }
  throw fail(o, 'spec.clusterIPs', [], 'failed to allocate a serviceIP: range is full');
}

function allocatePorts(o: KubeObject, spec: Obj, old: Obj, used: Used, [low, high]: readonly [number, number]): void {
  const uid = o.metadata.uid ?? '';
  const mine = new Set<string>();
  const taken = (key: string): boolean => mine.has(key) || (used.ports.get(key) ?? uid) !== uid;
  const before = asList(old.ports).map(asObj);
  const withPorts = spec.type !== 'LoadBalancer' || spec.allocateLoadBalancerNodePorts !== false;
  for (const p of asList(spec.ports)) {
    if (!isObj(p)) continue;
    if (withPorts) p.nodePort ??= before.find((b) => b.port === p.port && b.protocol === p.protocol)?.nodePort;
    if (typeof p.nodePort !== 'number') continue;
    if (p.nodePort < low || p.nodePort > high)
      throw fail(
        o,
        'spec.ports[0].nodePort',
        p.nodePort,
        `provided port is not in the valid range. The range of valid ports is ${low}-${high}`,
      );
    if (taken(portKey(p.nodePort, p.protocol))) throw fail(o, 'spec.ports[0].nodePort', p.nodePort, 'provided port is already allocated');
    mine.add(portKey(p.nodePort, p.protocol));
  }
  if (needsHealthCheck(spec)) {
    if (needsHealthCheck(old)) spec.healthCheckNodePort ??= old.healthCheckNodePort;
    const asked = portKey(spec.healthCheckNodePort, 'TCP');
    if (taken(asked)) throw fail(o, 'spec.healthCheckNodePort', spec.healthCheckNodePort, 'provided port is already allocated');
    mine.add(asked);
  }
  const pick = (field: string, protocol: unknown): number => {
    let port = low;
    while (port <= high && taken(portKey(port, protocol))) port++;
    if (port > high) throw fail(o, field, 0, 'failed to allocate a nodePort: range is full');
    mine.add(portKey(port, protocol));
    return port;
  };
  for (const p of asList(spec.ports))
    if (withPorts && isObj(p) && typeof p.nodePort !== 'number') p.nodePort = pick('spec.ports[0].nodePort', p.protocol);
  if (needsHealthCheck(spec)) spec.healthCheckNodePort ??= pick('spec.healthCheckNodePort', 'TCP');
}

/** Balancers in front of the nodes ask there which of them have a backend. */
const needsHealthCheck = (spec: Obj): boolean => spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';

const fail = (o: KubeObject, field: string, value: unknown, why: string): Error =>
  invalid('', 'Service', o.metadata.name ?? '', [invalidValue(field, value, why)]);

export function parseRange(cidr: string): Range {
  const [ip = '', bits = '0'] = cidr.split('/');
  const family = isIP(ip) === 6 ? 6 : 4;
  const width = family === 4 ? 32 : 128;
  const size = 1n << BigInt(width - Number(bits));
  return { family, base: (parseIp(ip) / size) * size, size };
}

const inRange = (ip: string, r: Range): boolean => (isIP(ip) === r.family ? parseIp(ip) >= r.base && parseIp(ip) < r.base + r.size : false);

function parseIp(ip: string): bigint {
  if (isIP(ip) === 4) return ip.split('.').reduce((acc, b) => (acc << 8n) | BigInt(b), 0n);
  const [head = '', tail] = ip.split('::');
  const words = (s: string): string[] => (s === '' ? [] : s.split(':'));
  const h = words(head);
  const t = tail === undefined ? [] : words(tail);
  const all = tail === undefined ? h : [...h, ...Array<string>(8 - h.length - t.length).fill('0'), ...t];
  return all.reduce((acc, w) => (acc << 16n) | BigInt(`0x${w}`), 0n);
}

export function formatIp(v: bigint, family: 4 | 6): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((s) => (v >> s) & 0xffn).join('.');
  const words = Array.from({ length: 8 }, (_, i) => ((v >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1);
}
