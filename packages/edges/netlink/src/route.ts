// Routes and policy rules, both families. Requests for NetlinkSocket.execute, and the parsers of their messages.
import { AF, attributes, formatAddress, type Message, NLM, parseAddress, textOf, u32Of } from './message.ts';
import type { NetlinkSocket, Request } from './socket.ts';

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
const RTA = { dst: 1, oif: 4, gateway: 5, priority: 6, prefsrc: 7, metrics: 8, table: 15, via: 18 } as const;
const RTAX_MTU = 2;
const ONLINK = 4;
const CLONED = 0x200;
const MAIN_TABLE = 254;
/** Marks routes and rules as ours: `ip route show proto 97`. A restarted agent knows them by it. */
export const OUR_PROTOCOL = 97;
const SCOPE = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;
const TYPE = { unicast: 1, local: 2, blackhole: 6, unreachable: 7, prohibit: 8, throw: 9 } as const;
export type RouteType = keyof typeof TYPE;

export interface RouteSpec {
  /** `10.1.0.0/16`, `0.0.0.0/0` or `::/0` for the default route. */
  readonly to: string;
  readonly ifindex?: number;
  /** Gateway, either family. */
  readonly via?: string;
  readonly src?: string;
  readonly scope?: keyof typeof SCOPE;
  /** The gateway is reachable on the device although no route says so. */
  readonly onlink?: boolean;
  readonly table?: number;
  readonly mtu?: number;
  readonly metric?: number;
  readonly type?: RouteType;
  readonly protocol?: number;
}

export interface Route {
  readonly to: string;
  readonly ifindex: number;
  readonly via: string | undefined;
  readonly src: string | undefined;
  readonly table: number;
  readonly metric: number;
  readonly mtu: number | undefined;
  readonly scope: number;
  readonly type: number;
  readonly protocol: number;
}

function routeRequest(s: RouteSpec, message: { readonly type: number; readonly flags: number; readonly operation: string }): Request {
  const to = parseAddress(s.to);
  const via = s.via === undefined ? undefined : parseAddress(s.via);
  const table = s.table ?? MAIN_TABLE;
  const header = Buffer.alloc(12); // struct rtmsg
  header[0] = to.af;
  header[1] = to.bits;
  header[4] = table < 256 ? table : 0;
  header[5] = s.protocol ?? OUR_PROTOCOL;
  header[6] = to.af === AF.v4 ? SCOPE[s.scope ?? (via === undefined ? 'link' : 'universe')] : 0;
  header[7] = TYPE[s.type ?? 'unicast'];
  if (message.type === RTM_DELROUTE) {
    header[6] = SCOPE.nowhere;
    header[7] = 0;
  }
  header.writeUInt32LE(s.onlink === true ? ONLINK : 0, 8);
  return {
    operation: message.operation,
    about: `${s.to}${s.via === undefined ? '' : ` via ${s.via}`}${s.ifindex === undefined ? '' : ` dev ${s.ifindex}`}`,
    type: message.type,
    flags: message.flags,
    header,
    fill: (m) => {
      if (to.bits > 0) m.attr(RTA.dst, to.bytes);
      if (via !== undefined) {
        if (via.af === to.af) m.attr(RTA.gateway, via.bytes);
        else m.attr(RTA.via, Buffer.concat([Uint8Array.of(via.af, 0), via.bytes])); // struct rtvia: an IPv4 route over IPv6
      }
      if (s.src !== undefined) m.attr(RTA.prefsrc, parseAddress(s.src).bytes);
      if (s.ifindex !== undefined) m.u32(RTA.oif, s.ifindex);
      if (s.metric !== undefined) m.u32(RTA.priority, s.metric);
      m.u32(RTA.table, table);
      if (s.mtu !== undefined) m.nest(RTA.metrics, () => m.u32(RTAX_MTU, s.mtu!));
    },
  };
}

/** Adds, or replaces the route with the same destination, table and metric. */
export const setRoute = (s: RouteSpec): Request =>
  routeRequest(s, { type: RTM_NEWROUTE, flags: NLM.create | NLM.replace, operation: 'route-set' });
export const addRoute = (s: RouteSpec): Request =>
  routeRequest(s, { type: RTM_NEWROUTE, flags: NLM.create | NLM.excl, operation: 'route-add' });
export const deleteRoute = (s: RouteSpec): Request => routeRequest(s, { type: RTM_DELROUTE, flags: 0, operation: 'route-delete' });

export interface RouteFilter {
  readonly family?: 4 | 6;
  readonly table?: number;
  readonly protocol?: number;
  readonly ifindex?: number;
}

/** Routes that match; cached clones are left out. */
export function listRoutes(socket: NetlinkSocket, filter: RouteFilter = {}): readonly Route[] {
  const families = filter.family === undefined ? [AF.v4, AF.v6] : [filter.family === 4 ? AF.v4 : AF.v6];
  return families.flatMap((af) => {
    const header = Buffer.alloc(12);
    header[0] = af;
    header[5] = filter.protocol ?? 0; // the kernel filters too where it can
    return socket.dump({ operation: 'route-list', about: '', type: RTM_GETROUTE, flags: 0, header }, (m) => {
      const r = parseRoute(m);
      if (r === undefined || (m.payload.readUInt32LE(8) & CLONED) !== 0) return undefined;
      if (filter.table !== undefined && r.table !== filter.table) return undefined;
      if (filter.protocol !== undefined && r.protocol !== filter.protocol) return undefined;
      return filter.ifindex === undefined || r.ifindex === filter.ifindex ? r : undefined;
    });
  });
}

export function parseRoute(m: Message): Route | undefined {
  if (m.type !== RTM_NEWROUTE && m.type !== RTM_DELROUTE) return undefined;
  const p = m.payload;
  const af = p[0]!;
  if (af !== AF.v4 && af !== AF.v6) return undefined;
  const a = attributes(p, 12);
  const metrics = a.get(RTA.metrics);
  const text = (b: Buffer | undefined): string | undefined => (b === undefined ? undefined : formatAddress(af, b));
  const via = a.get(RTA.via);
  return {
    to: `${formatAddress(af, a.get(RTA.dst) ?? Buffer.alloc(16))}/${p[1]!}`,
    ifindex: u32Of(a.get(RTA.oif)) ?? 0,
    via: via === undefined ? text(a.get(RTA.gateway)) : formatAddress(via.readUInt16LE(0), via.subarray(2)),
    src: text(a.get(RTA.prefsrc)),
    table: u32Of(a.get(RTA.table)) ?? p[4]!,
    metric: u32Of(a.get(RTA.priority)) ?? 0,
    mtu: metrics === undefined ? undefined : u32Of(attributes(metrics, 0).get(RTAX_MTU)),
    scope: p[6]!,
    type: p[7]!,
    protocol: p[5]!,
  };
}

const FRA = { dst: 1, src: 2, iifname: 3, priority: 6, fwmark: 10, table: 15, fwmask: 16, oifname: 17, protocol: 21 } as const;
const TO_TABLE = 1;

export interface RuleSpec {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  readonly from?: string;
  readonly to?: string;
  readonly mark?: number;
  readonly mask?: number;
  readonly iif?: string;
  readonly protocol?: number;
}

export interface Rule {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly mark: number | undefined;
  readonly mask: number | undefined;
  readonly iif: string | undefined;
  readonly protocol: number;
}

function ruleRequest(s: RuleSpec, message: { readonly type: number; readonly flags: number; readonly operation: string }): Request {
  const from = s.from === undefined ? undefined : parseAddress(s.from);
  const to = s.to === undefined ? undefined : parseAddress(s.to);
  const header = Buffer.alloc(12); // struct fib_rule_hdr
  header[0] = s.family === 4 ? AF.v4 : AF.v6;
  header[1] = to?.bits ?? 0;
  header[2] = from?.bits ?? 0;
  header[4] = s.table < 256 ? s.table : 0;
  header[7] = TO_TABLE;
  return {
    operation: message.operation,
    about: `priority ${s.priority} table ${s.table}`,
    type: message.type,
    flags: message.flags,
    header,
    fill: (m) => {
      if (from !== undefined) m.attr(FRA.src, from.bytes);
      if (to !== undefined) m.attr(FRA.dst, to.bytes);
      if (s.iif !== undefined) m.text(FRA.iifname, s.iif);
      m.u32(FRA.priority, s.priority)
        .u32(FRA.table, s.table)
        .u8(FRA.protocol, s.protocol ?? OUR_PROTOCOL);
      if (s.mark !== undefined) m.u32(FRA.fwmark, s.mark);
      if (s.mask !== undefined) m.u32(FRA.fwmask, s.mask);
    },
  };
}

export const addRule = (s: RuleSpec): Request => ruleRequest(s, { type: RTM_NEWRULE, flags: NLM.create | NLM.excl, operation: 'rule-add' });
export const deleteRule = (s: RuleSpec): Request => ruleRequest(s, { type: RTM_DELRULE, flags: 0, operation: 'rule-delete' });

export function listRules(socket: NetlinkSocket, family: 4 | 6): readonly Rule[] {
  const header = Buffer.alloc(12);
  header[0] = family === 4 ? AF.v4 : AF.v6;
  return socket.dump({ operation: 'rule-list', about: '', type: RTM_GETRULE, flags: 0, header }, parseRule);
}

export function parseRule(m: Message): Rule | undefined {
  if (m.type !== RTM_NEWRULE && m.type !== RTM_DELRULE) return undefined;
  const p = m.payload;
  const af = p[0]!;
  const a = attributes(p, 12);
  const prefix = (b: Buffer | undefined, bits: number): string | undefined =>
    b === undefined ? undefined : `${formatAddress(af, b)}/${bits}`;
  return {
    family: af === AF.v6 ? 6 : 4,
    priority: u32Of(a.get(FRA.priority)) ?? 0,
    table: u32Of(a.get(FRA.table)) ?? p[4]!,
    from: prefix(a.get(FRA.src), p[2]!),
    to: prefix(a.get(FRA.dst), p[1]!),
    mark: u32Of(a.get(FRA.fwmark)),
    mask: u32Of(a.get(FRA.fwmask)),
    iif: textOf(a.get(FRA.iifname)),
    protocol: a.get(FRA.protocol)?.[0] ?? 0,
  };
}
