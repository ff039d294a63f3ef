// The cluster's DNS zone: names of Services, headless endpoints and pods → records. Pure; the server keeps the view current.
import type { KubeObject } from '../apiserver/types.ts';
import { nameOf, nsOf } from '../client/object.ts';
import type { ServiceSpec } from '../controllers/shapes.ts';

export type RecordType = 'A' | 'AAAA' | 'SRV' | 'CNAME' | 'PTR' | 'SOA';

export interface DnsRecord {
  readonly type: RecordType;
  readonly name: string;
  readonly ttl: number;
  readonly data: unknown;
}

export interface ZoneAnswer {
  /** false = the name does not exist. */
  readonly exists: boolean;
  readonly answers: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

export interface ZoneView {
  readonly domain: string;
  service(ns: string, name: string): KubeObject | undefined;
  slices(ns: string, service: string): readonly KubeObject[];
  /** `namespace/name` of the Service with this cluster address. */
  serviceAt(ip: string): KubeObject | undefined;
  /** Names outside the cluster that the sandbox knows, e.g. `world.test`. */
  outside(name: string): { readonly v4: string; readonly v6: string } | undefined;
}

interface Endpoint {
  readonly address: string;
  readonly hostname: string;
  readonly ports: readonly { readonly name?: string; readonly protocol?: string; readonly port?: number }[];
}

const TTL = 5;
const NOTHING: ZoneAnswer = { exists: false, answers: [], additionals: [] };
const EMPTY: ZoneAnswer = { exists: true, answers: [], additionals: [] };

export const isV6 = (ip: string): boolean => ip.includes(':');
const dashed = (ip: string): string => ip.replaceAll(/[.:]/g, '-');

function addressRecords(name: string, type: string, ips: readonly string[]): DnsRecord[] {
  return ips
    .filter((ip) => (type === 'AAAA' && isV6(ip)) || (type === 'A' && !isV6(ip)))
    .map((data) => ({ type: isV6(data) ? 'AAAA' : 'A', name, ttl: TTL, data }));
}

const clusterIps = (s: KubeObject): string[] => {
  const spec = s.spec as ServiceSpec & { clusterIPs?: string[] };
  return (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter((ip) => ip !== '' && ip !== 'None');
};

interface SliceEndpoint {
  readonly addresses?: readonly string[];
  readonly hostname?: string;
  readonly conditions?: { readonly ready?: boolean };
}

function endpointsOf(v: ZoneView, ns: string, service: string): Endpoint[] {
  const out: Endpoint[] = [];
  for (const slice of v.slices(ns, service)) {
    const ports = (slice.ports as Endpoint['ports'] | undefined) ?? [];
    for (const e of (slice.endpoints as SliceEndpoint[] | undefined) ?? []) {
      if (e.conditions?.ready === false) continue;
      for (const address of e.addresses ?? []) out.push({ address, hostname: e.hostname ?? dashed(address), ports });
    }
  }
  return out;
}

function hostRecords(v: ZoneView, ns: string, service: string, host: string, name: string, type: string): ZoneAnswer {
  const ips = endpointsOf(v, ns, service)
    .filter((e) => e.hostname === host)
    .map((e) => e.address);
  return ips.length === 0 ? NOTHING : { ...EMPTY, answers: addressRecords(name, type, ips) };
}

function serviceName(v: ZoneView, s: KubeObject, name: string, type: string): ZoneAnswer {
  const spec = s.spec as ServiceSpec & { externalName?: string };
  if (spec.type === 'ExternalName') return { ...EMPTY, answers: [{ type: 'CNAME', name, ttl: TTL, data: spec.externalName ?? '' }] };
  const ips = clusterIps(s);
  const all = ips.length > 0 ? ips : [...new Set(endpointsOf(v, nsOf(s), nameOf(s)).map((e) => e.address))];
  if (ips.length === 0 && all.length === 0) return NOTHING;
  return { ...EMPTY, answers: addressRecords(name, type, all) };
}

interface Target {
  readonly host: string;
  readonly port: number;
  readonly ips: readonly string[];
}

function serviceTargets(v: ZoneView, s: KubeObject, wanted: (name: string, protocol: string) => boolean): Target[] {
  const ips = clusterIps(s);
  const base = `${nameOf(s)}.${nsOf(s)}.svc.${v.domain}`;
  const spec = s.spec as ServiceSpec;
  if (ips.length > 0)
    return (spec.ports ?? []).filter((p) => wanted(p.name ?? '', p.protocol ?? 'TCP')).map((p) => ({ host: base, port: p.port, ips }));
  return endpointsOf(v, nsOf(s), nameOf(s)).flatMap((e) =>
    e.ports
      .filter((p) => wanted(p.name ?? '', p.protocol ?? 'TCP'))
      .map((p) => ({ host: `${e.hostname}.${base}`, port: p.port ?? 0, ips: [e.address] })),
  );
}

function srv(v: ZoneView, s: KubeObject, port: string, protocol: string, name: string, type: string): ZoneAnswer {
  const targets = serviceTargets(v, s, (p, q) => p === port && q.toLowerCase() === protocol);
  if (targets.length === 0) return NOTHING;
  if (type !== 'SRV') return EMPTY;
  return {
    exists: true,
    answers: targets.map((t) => ({ type: 'SRV', name, ttl: TTL, data: { target: t.host, port: t.port, priority: 0, weight: 100 } })),
    additionals: targets.flatMap((t) => [...addressRecords(t.host, 'A', t.ips), ...addressRecords(t.host, 'AAAA', t.ips)]),
  };
}

/** `10-244-1-5.ns.pod` back to the address. */
export function undash(text: string): string | undefined {
  if (/^\d+(-\d+){3}$/.test(text)) return text.replaceAll('-', '.');
  return /^[0-9a-f-]+$/.test(text) && text.includes('-') ? text.replaceAll('-', ':') : undefined;
}

function inZone(v: ZoneView, labels: readonly string[], name: string, type: string): ZoneAnswer {
  const kind = labels.at(-1);
  const ns = labels.at(-2);
  if (kind === undefined) return EMPTY;
  if (kind === 'pod' && labels.length === 3) {
    const ip = undash(labels[0] ?? '');
    return ip === undefined ? NOTHING : { ...EMPTY, answers: addressRecords(name, type, [ip]) };
  }
  if (kind !== 'svc') return NOTHING;
  if (ns === undefined || labels.length === 2) return EMPTY;
  const service = labels.at(-3) ?? '';
  const object = v.service(ns, service);
  if (object === undefined) return NOTHING;
  const [a = '', b = ''] = labels;
  if (labels.length === 3) return serviceName(v, object, name, type);
  if (labels.length === 4) return hostRecords(v, ns, service, a, name, type);
  if (labels.length === 5 && a.startsWith('_') && b.startsWith('_')) return srv(v, object, a.slice(1), b.slice(1), name, type);
  return NOTHING;
}

/** The address a reverse name stands for. */
export function reverseAddress(name: string): string | undefined {
  const v4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa$/.exec(name);
  if (v4 !== null) return v4.slice(1).reverse().join('.');
  if (!/^([0-9a-f]\.){32}ip6\.arpa$/.test(name)) return undefined;
  const digits = name.slice(0, 63).split('.').reverse().join('');
  return canonicalV6((digits.match(/.{4}/g) ?? []).join(':'));
}

/** One spelling per IPv6 address. */
export function canonicalV6(ip: string): string {
  try {
    return new URL(`http://[${ip}]/`).hostname.slice(1, -1);
  } catch {
    return ip;
  }
}

export function resolve(v: ZoneView, rawName: string, type: string): ZoneAnswer {
  const name = rawName.toLowerCase().replace(/\.$/, '');
  const suffix = `.${v.domain}`;
  if (name === v.domain) return EMPTY;
  if (name.endsWith(suffix)) return inZone(v, name.slice(0, -suffix.length).split('.'), rawName, type);
  const ip = reverseAddress(name);
  const service = ip === undefined ? undefined : v.serviceAt(ip);
  if (service !== undefined) {
    return { ...EMPTY, answers: [{ type: 'PTR', name: rawName, ttl: TTL, data: `${nameOf(service)}.${nsOf(service)}.svc.${v.domain}` }] };
  }
  const outside = v.outside(name);
  return outside === undefined ? NOTHING : { ...EMPTY, answers: addressRecords(rawName, type, [outside.v4, outside.v6]) };
}

export const soaOf = (domain: string): DnsRecord => ({
  type: 'SOA',
  name: domain,
  ttl: TTL,
  data: { mname: `ns.dns.${domain}`, rname: `hostmaster.${domain}`, serial: 1, refresh: 7200, retry: 1800, expire: 86400, minimum: TTL },
});
