// Which backend would a connection get on a node, and why: the decisions of bpf/lib/service.h (sockets) and bpf/lib/north.h (packets), made again
// from the rows the node has at this moment. Pure but for the rows it asks for. Called by the command; tests give it rows of their own.
import {
  AffinityScope,
  Axo,
  addressText,
  Drop,
  flagNames,
  handleText,
  LbFlag,
  NatFlag,
  NatVia,
  NodeFlag,
  type ValueOf,
} from '@axoneme/datapath';
import { type IpAddr, ipBytes, ipFamily, type PortProtocol, protocolNumbers } from '@axoneme/model';
import { lookupHash } from '@axoneme/service';
import type { NodeRows } from './node-rows.ts';
import { type Place, placesOf } from './places.ts';
import { rowSocket, socketText } from './text.ts';

export interface ExplainQuery {
  readonly client: IpAddr;
  /** Undefined: not said. */
  readonly clientPort: number | undefined;
  readonly to: IpAddr;
  readonly toPort: number;
  readonly protocol: PortProtocol;
}

export interface Way {
  readonly backend: string;
  /** local, stack, snat, dsr or ipip. */
  readonly mode: 'local' | 'stack' | 'snat' | 'dsr' | 'ipip' | 'dropped';
  readonly text: string;
  /** Hubble's number, of mode `dropped`. */
  readonly dropReason?: number;
}

export interface Explanation {
  readonly outcome: 'backend' | 'by lot' | 'depends on the port' | 'refused' | 'dropped' | 'no service';
  readonly scope: 'in' | 'out';
  /** At the socket, or packet by packet. */
  readonly at: 'socket' | 'packet';
  readonly serviceId: number;
  readonly frontend: string;
  /** Hubble's number; 0: nothing is dropped. */
  readonly dropReason: number;
  readonly ways: readonly Way[];
  readonly steps: readonly (readonly [what: string, text: string])[];
}

type Frontend = ValueOf<'lb_frontend'>;
type Config = ValueOf<'node_config'>;
interface Slot {
  readonly index: number;
  readonly addr: IpAddr;
  readonly text: string;
  readonly row: ValueOf<'lb_slot'>;
}

const SLOTS_MAX = 65_536;
const tick = 26n;

interface Trace {
  readonly rows: NodeRows;
  readonly q: ExplainQuery;
  readonly config: Config;
  readonly client: Place;
  readonly at: Explanation['at'];
  readonly scope: Explanation['scope'];
  readonly steps: [string, string][];
}

const any = (ip: IpAddr): IpAddr => (ipFamily(ip) === 4 ? '0.0.0.0' : '::') as IpAddr;
const has = (f: Pick<Frontend, 'flags'>, flag: number): boolean => (f.flags & flag) !== 0;

/** Sockets of this node are translated before there is a packet, unless pods are left alone. */
function hookOf(client: Place, config: Config): Explanation['at'] {
  if (client.kind === 'node here') return 'socket';
  return client.kind === 'pod here' && (config.flags & NodeFlag.podServices) === 0 ? 'socket' : 'packet';
}

const whose: Readonly<Record<Place['kind'], string>> = {
  'pod here': 'a pod of this node',
  'node here': 'this node itself',
  pod: 'a pod of another node, whose packets to Services are translated there: ask that node',
  node: 'another node, whose packets to Services are translated there: ask that node',
  outside: 'outside the cluster',
};

export async function explain(rows: NodeRows, q: ExplainQuery): Promise<Explanation> {
  const config = await rows.one('node_config', 0);
  const [client] = await placesOf(rows, [q.client]);
  if (config === undefined || client === undefined) return nothing('packet', 'out', [['node', 'has no configuration yet']]);
  const at = hookOf(client, config);
  const scope = client.kind === 'outside' ? 'out' : 'in';
  const steps: [string, string][] = [
    [
      'client',
      `${q.client} is ${whose[client.kind]} (identity ${client.identity}): scope ${scope}, decided ${at === 'socket' ? 'at its socket' : 'packet by packet'}`,
    ],
  ];
  const t: Trace = { rows, q, config, client, at, scope, steps };
  if (at === 'packet') await noteConnection(t);
  const found = await findFrontend(t);
  return found === undefined || 'outcome' in found ? (found ?? nothing(at, scope, steps)) : serve(t, found);
}

const nothing = (at: Explanation['at'], scope: Explanation['scope'], steps: Explanation['steps']): Explanation => ({
  outcome: 'no service',
  scope,
  at,
  serviceId: 0,
  frontend: '',
  dropReason: 0,
  ways: [],
  steps,
});

interface Found {
  readonly text: string;
  readonly row: Frontend;
}

const endOf = (t: Trace, f: Found, end: Pick<Explanation, 'outcome'> & Partial<Explanation>): Explanation => ({
  ...nothing(t.at, t.scope, t.steps),
  serviceId: f.row.serviceId,
  frontend: f.text,
  ...end,
});

/** Whose address is asked for, as `place_of` and `find_frontend` see it: a loopback is the node's for its own programs. */
async function askedPlace(t: Trace): Promise<Place> {
  const [place] = await placesOf(t.rows, [t.q.to]);
  const loopback = t.q.to === any(t.q.to) || t.q.to === '::1' || t.q.to.startsWith('127.');
  const outside: Place = { kind: 'outside', identity: 0, tunnel: '', isPod: false };
  if (t.at === 'packet' || !loopback) return place ?? outside;
  return t.client.kind === 'node here' ? { ...outside, kind: 'node here' } : outside;
}

/** What packets are no service's, whatever the rows say. As `scope_of` in bpf/lib/translate.h. */
function isPassed(t: Trace, place: Place): boolean {
  if (t.at === 'socket') return false;
  if (t.client.kind === 'pod here') {
    if (place.kind !== 'pod here' && (place.kind !== 'pod' || place.tunnel === '')) return false;
    t.steps.push(['frontend', `${t.q.to} is a pod: pods are no services, whatever has their address`]);
    return true;
  }
  const overlay = t.client.kind === 'pod' && t.client.tunnel !== '' && (t.config.flags & NodeFlag.tunnel) !== 0;
  if (!overlay || place.kind === 'node here') return false;
  t.steps.push(['frontend', `out of the tunnel nothing but addresses of this node are services, which ${t.q.to} is not`]);
  return true;
}

/** The row of the address, or of every address of the node, or of what no port of the address matches. */
async function findFrontend(t: Trace): Promise<Found | Explanation | undefined> {
  const { q, rows, steps } = t;
  const family = ipFamily(q.to);
  const proto = protocolNumbers[q.protocol];
  const keys = [q.to, any(q.to)].map((ip) => ({ addr: ipBytes(ip), port: q.toPort, proto, family }));
  const [own, wild, rest] = await rows.find('lb_frontend', [...keys, { addr: ipBytes(q.to), port: 0, proto: 0, family }]);
  const exact = q.to === any(q.to) ? undefined : own;
  const place = await askedPlace(t);
  if (isPassed(t, place)) return undefined;
  const here = place.kind === 'node here';
  const usable = (f: Frontend): boolean => here || (has(f, LbFlag.nodePort) && place.kind === 'node' && t.client.kind.endsWith('here'));
  if (exact !== undefined && has(exact, LbFlag.hostPort) && !here) {
    steps.push(['frontend', `the host port of ${socketText(q.to, q.toPort)}/${q.protocol} is on addresses of its node alone`]);
    return undefined;
  }
  const row = exact ?? (wild !== undefined && usable(wild) ? wild : undefined);
  const text = `${socketText(row === exact ? q.to : any(q.to), q.toPort)}/${q.protocol}`;
  if (row !== undefined) {
    const about = row === exact ? "the address is the frontend's" : `${q.to} is an address of ${here ? 'this' : 'another'} node`;
    steps.push(['frontend', `${text}: ${about}; ${flagNames(row.flags, LbFlag).join(', ') || 'cluster-ip'}`]);
    if (t.scope === 'in' || has(row, LbFlag.external)) return { text, row };
    steps.push(['scope', 'the frontend is not for clients outside the cluster: the packet is what it looks like']);
    return undefined;
  }
  if (rest !== undefined && has(rest, LbFlag.blackhole) && t.at === 'packet') {
    steps.push(['frontend', `no port ${q.toPort}/${q.protocol} at ${q.to}, and what no port of the address matches is dropped`]);
    return endOf(t, { text: q.to, row: rest }, { outcome: 'dropped', dropReason: Drop.noServiceBackend });
  }
  steps.push([
    'frontend',
    `none for ${socketText(q.to, q.toPort)}/${q.protocol}${wild === undefined ? '' : `: ${q.to} is no address of this node`}`,
  ]);
  return undefined;
}

async function serve(t: Trace, f: Found): Promise<Explanation> {
  const refused = await sourceRefused(t, f);
  if (refused !== undefined) return refused;
  const own = await isOwnBackend(t, f);
  if (own) t.steps.push(['redirect', `${t.q.client} is one of the backends itself: what was there before the redirect`]);
  const [set, count] = t.scope === 'out' || own ? [f.row.setOut, f.row.countOut] : [f.row.setIn, f.row.countIn];
  if (own && set === 0n) return endOf(t, f, { outcome: 'no service' });
  if (count === 0) {
    const silent = t.scope === 'out' && has(f.row, LbFlag.outLocal);
    const reject = has(f.row, LbFlag.reject) && !silent;
    t.steps.push(['backends', `none in scope ${t.scope}: ${reject ? 'refused at once' : 'dropped in silence'}`]);
    return endOf(t, f, { outcome: reject ? 'refused' : 'dropped', dropReason: Drop.noServiceBackend });
  }
  t.steps.push(['set', `${handleText(set)}: ${count} ${count === 1 ? 'backend' : 'backends'} for new connections`]);
  const kept = await keptBackend(t, f, set, count);
  if (kept !== undefined) return endOf(t, f, { outcome: 'backend', ways: await waysOf(t, f, [kept]) });
  return choose(t, f, set, count);
}

/** Backends of a local redirect may want to reach what was there before. */
async function isOwnBackend(t: Trace, f: Found): Promise<boolean> {
  if (!has(f.row, LbFlag.skipOwn) || t.client.kind !== 'pod here') return false;
  const indexes = Array.from({ length: f.row.countIn }, (_, i) => i);
  return (await slotsOf(t, f.row.setIn, indexes)).some((s) => s.addr === t.q.client);
}

async function sourceRefused(t: Trace, f: Found): Promise<Explanation | undefined> {
  if (!has(f.row, LbFlag.sourceRanges) || t.scope === 'in') return undefined;
  const family = ipFamily(t.q.client);
  const key = { prefixlen: family === 4 ? 96 : 192, serviceId: f.row.serviceId, family, addr: ipBytes(t.q.client) };
  const row = await t.rows.one('lb_source', key);
  const deny = has(f.row, LbFlag.sourceRangesDeny);
  const allowed = deny ? row === undefined : row !== undefined && row.allowed !== 0;
  t.steps.push([
    'source',
    `${t.q.client} is ${row === undefined ? 'in none' : 'in one'} of the source ranges, which ${deny ? 'may not' : 'may'}: ${allowed ? 'allowed' : 'dropped'}`,
  ]);
  return allowed ? undefined : endOf(t, f, { outcome: 'dropped', dropReason: Drop.sourceRange });
}

async function slotsOf(t: Trace, set: bigint, indexes: readonly number[]): Promise<readonly Slot[]> {
  const found = await t.rows.find(
    'lb_slot',
    indexes.map((index) => ({ set, index })),
  );
  return found.flatMap((row, i) => {
    const addr = row && addressText(row.addr, row.family);
    return addr === undefined || row === undefined
      ? []
      : [{ index: indexes[i]!, addr: addr as IpAddr, text: rowSocket(row.addr, row.port, row.family), row }];
  });
}

/** The backend that this client had a while ago. */
async function keptBackend(t: Trace, f: Found, set: bigint, count: number): Promise<Slot | undefined> {
  if (!has(f.row, LbFlag.affinity)) return undefined;
  const { q } = t;
  const cookie = t.at === 'socket' ? await netnsOf(t) : 0n;
  if (cookie === undefined) {
    t.steps.push(['affinity', 'is kept by network namespace of the pod, which is not known here: what follows is for a pod without one']);
    return undefined;
  }
  const client = t.at === 'socket' ? cookieBytes(cookie) : ipBytes(q.client);
  const scope = t.at === 'socket' ? AffinityScope.netns : AffinityScope.address;
  const family = ipFamily(q.to);
  const row = await t.rows.one('lb_affinity', { serviceId: f.row.serviceId, family, proto: protocolNumbers[q.protocol], scope, client });
  const age = row === undefined ? 0 : Number((t.rows.nowNs() - row.lastNs) / 1_000_000_000n);
  if (row === undefined || age >= f.row.affinityS) {
    t.steps.push(['affinity', row === undefined ? 'none kept of this client' : `kept until ${age - f.row.affinityS} s ago`]);
    return undefined;
  }
  const indexes = Array.from({ length: Math.min(count, SLOTS_MAX) }, (_, i) => i);
  const text = rowSocket(row.addr, row.port, row.family);
  const slot = (await slotsOf(t, set, indexes)).find((s) => s.row.backendId === row.backendId && s.text === text);
  t.steps.push([
    'affinity',
    `${text}, ${age} s ago of ${f.row.affinityS}${slot === undefined ? ', which is not in the set any more' : ''}`,
  ]);
  return slot;
}

/** Cookie of the namespace that the client's sockets are in. */
async function netnsOf({ rows, q, client, config }: Trace): Promise<bigint | undefined> {
  if (client.kind === 'node here') return config.netnsCookie;
  const row = (await rows.list('endpoint_netns')).find((r) => r.ipv4 === q.client || r.ipv6 === q.client);
  return typeof row?.cookie === 'string' ? BigInt(`0x${row.cookie}`) : undefined;
}

function cookieBytes(cookie: bigint): Uint8Array {
  const out = new Uint8Array(16);
  new DataView(out.buffer).setBigUint64(0, cookie, true);
  return out;
}

async function choose(t: Trace, f: Found, set: bigint, count: number): Promise<Explanation> {
  const size = f.row.maglevSize;
  const sticky = has(f.row, LbFlag.affinity);
  if (t.at === 'socket' || size === 0) return byLot(t, f, set, count, t.at === 'socket' && size > 0 ? ' (sockets choose by lot)' : '');
  if (t.q.clientPort === undefined && !sticky) {
    t.steps.push(['choice', `Maglev, by address and port of the client: say --client ${socketText(t.q.client, 40_000)}`]);
    return endOf(t, f, { outcome: 'depends on the port' });
  }
  const clientPort = sticky ? 0 : (t.q.clientPort ?? 0);
  const entry = lookupHash({ client: t.q.client, clientPort, protocol: t.q.protocol }) % size;
  const chunk = await t.rows.one('lb_maglev', { set, chunk: Math.floor(entry / Axo.maglevChunk) });
  if (chunk === undefined) return byLot(t, f, set, count, ' (this part of the Maglev table is missing)');
  const index = chunk.slot[entry % Axo.maglevChunk]!;
  const [slot] = await slotsOf(t, set, [index]);
  t.steps.push(['choice', `Maglev entry ${entry} of ${size}: slot ${index}, ${slot?.text ?? 'which is missing'}`]);
  if (slot === undefined) return endOf(t, f, { outcome: 'dropped', dropReason: Drop.noServiceBackend });
  return endOf(t, f, { outcome: 'backend', ways: await waysOf(t, f, [slot]) });
}

async function byLot(t: Trace, f: Found, set: bigint, count: number, why: string): Promise<Explanation> {
  const slots = await slotsOf(
    t,
    set,
    Array.from({ length: Math.min(count, SLOTS_MAX) }, (_, i) => i),
  );
  t.steps.push(['choice', count === 1 ? 'the only one' : `by lot of ${count}${why}`]);
  return endOf(t, f, { outcome: count === 1 ? 'backend' : 'by lot', ways: await waysOf(t, f, slots) });
}

async function waysOf(t: Trace, f: Found, slots: readonly Slot[]): Promise<readonly Way[]> {
  const places = await placesOf(
    t.rows,
    slots.map((s) => s.addr),
  );
  return slots.map((s, i) => ({ backend: s.text, ...wayTo(t, f, s, places[i]!) }));
}

type Going = Omit<Way, 'backend'>;

/** The address that packets leave this node with: the router's towards pods. Undefined: the node has none of the family. */
function sourceOf({ q, config }: Trace, router: boolean): string | undefined {
  const family = ipFamily(q.to);
  const [of, own] = family === 4 ? [config.routerIp4, config.nodeIp4] : [config.routerIp6, config.nodeIp6];
  const source = router && of.some((b) => b !== 0) ? of : own;
  return source.some((b) => b !== 0) ? addressText(source, family) : undefined;
}

const snat = (source: string | undefined, text: (source: string) => string): Going =>
  source === undefined
    ? { mode: 'dropped', text: 'this node has no address of the family to lend', dropReason: Drop.natNoMapping }
    : { mode: 'snat', text: text(source) };

/** As `north_create` in bpf/lib/north.h. */
function wayTo(t: Trace, f: Found, slot: Slot, place: Place): Going {
  const { config } = t;
  const balancer = (config.flags & NodeFlag.balancer) !== 0;
  if (t.at === 'socket') return { mode: 'local', text: 'the socket is connected to it; no packet bears the address of the Service' };
  const ends = refusedBackend(t, f, slot, place);
  if (ends !== undefined) return ends;
  if (t.client.kind === 'pod here' && slot.addr === t.q.client)
    return snat(sourceOf(t, true), (as) => `back to where it came from, as ${as}`);
  if (place.kind === 'pod here') return { mode: 'local', text: 'a pod of this node, which sees the client' };
  if (place.kind === 'node here') return { mode: 'stack', text: 'this node itself, which sees the client' };
  if (t.client.kind === 'pod here') return { mode: 'local', text: 'goes on as a packet of the pod to that address' };
  const tunnel = place.tunnel !== '' && (config.flags & NodeFlag.tunnel) !== 0 && place.kind === 'pod' && !balancer;
  const by = tunnel ? `through the tunnel to ${place.tunnel}` : 'by the route of this node';
  return (
    directTo(t, f, place, by) ?? snat(sourceOf(t, place.isPod && !balancer), (as) => `SNAT to ${as} ${by}: the backend sees this node`)
  );
}

/** The backend is told to everybody, and nobody who comes this way may have it. */
function refusedBackend(t: Trace, f: Found, slot: Slot, place: Place): Going | undefined {
  const { vxlanPort } = t.config;
  if (t.q.protocol === 'UDP' && vxlanPort !== 0 && slot.row.port === vxlanPort && place.kind !== 'pod here')
    return { mode: 'dropped', text: "the port of the nodes' tunnels", dropReason: Drop.encapProhibited };
  if (t.scope === 'out' && has(f.row, LbFlag.outLocal) && !place.kind.endsWith('here'))
    return { mode: 'dropped', text: 'externalTrafficPolicy Local never leaves the node', dropReason: Drop.noServiceBackend };
  return undefined;
}

/** The backend, or its node, answers the client by itself. As `north_goes_direct` in bpf/lib/north.h. */
function directTo(t: Trace, f: Found, place: Place, by: string): Going | undefined {
  const { flags } = t.config;
  if (t.scope !== 'out' || !has(f.row, LbFlag.dsr)) return undefined;
  const whole: Going = { mode: 'ipip', text: `DSR, IP in IP ${by}: the backend sees the client and answers it itself` };
  // the outer header comes from the node
  const wrapped = sourceOf(t, false) === undefined ? undefined : whole;
  const wraps = has(f.row, LbFlag.ipip);
  if ((flags & NodeFlag.balancer) !== 0) return wraps || (flags & NodeFlag.dsrIpip) !== 0 ? wrapped : undefined;
  // stacks of pods and nodes would not unpack it
  if (wraps) return place.kind === 'outside' ? wrapped : undefined;
  if (!place.isPod) return undefined;
  return { mode: 'dsr', text: `DSR by option ${by}: the backend sees the client, its node answers` };
}

/** A connection that exists keeps its backend, whatever is chosen for new ones. */
async function noteConnection(t: Trace): Promise<void> {
  const { q, rows } = t;
  if (q.clientPort === undefined) return;
  const ends = { sport: q.clientPort, dport: q.toPort, proto: protocolNumbers[q.protocol], kind: 0 };
  const number = (ip: IpAddr): number => Buffer.from(ipBytes(ip)).readUInt32BE(0);
  const row =
    ipFamily(q.to) === 4
      ? await rows.one('nat4', { saddr: number(q.client), daddr: number(q.to), ...ends })
      : await rows.one('nat6', { saddr: ipBytes(q.client), daddr: ipBytes(q.to), ...ends });
  if (row === undefined || (row.flags & NatFlag.reply) !== 0) return;
  const [flows, services] = await rows.find('generation', [0, 1]);
  const ticks = BigInt.asIntN(32, BigInt(row.expires) - (rows.nowNs() >> tick));
  if (ticks < 0n) return;
  const left = (ticks << tick) / 1_000_000_000n;
  const current = row.revision === ((flows ?? 0) + (services ?? 0)) % 2 ** 32;
  const via = Object.entries(NatVia).find(([, n]) => n === row.action)?.[0] ?? String(row.action);
  const text = `${rowSocket(row.daddr, row.dport, ipFamily(q.to))} (${via}), ${left} s more without a packet${current ? '' : ', asked again with the next packet'}`;
  t.steps.push(['connection', `exists, to ${text}; what follows is for a new one`]);
}
