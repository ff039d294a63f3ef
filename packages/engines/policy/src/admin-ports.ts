// ports (v1alpha1) and protocols (v1alpha2) of the admin policies → port matches. Called by the admin parser.
import { protocolNumbers } from '@axoneme/model';
import type { AdminRuleContext } from './admin-context.ts';
import { readPortName, readPortNumber, readProtocol } from './kubernetes-ports.ts';
import { checkFields, isPresent, type JsonObject, readList, readObject, readString, shown } from './read.ts';
import { allTraffic, type PortMatch } from './rules.ts';

export interface AdminPorts {
  readonly ports: readonly PortMatch[];
  /** An item of a kind we do not know. */
  readonly unknown: boolean;
}

/** `addressed`: the peer field that has no named ports, if the rule has one. */
type ParseItem = (ctx: AdminRuleContext, path: string, raw: JsonObject, addressed: string | undefined) => readonly PortMatch[] | undefined;

/** Absent: every protocol and port. */
export const parseAdminPorts = (ctx: AdminRuleContext, path: string, value: unknown, addressed: string | undefined): AdminPorts =>
  parseItems(ctx, path, value, addressed, parsePort);

export const parseProtocols = (ctx: AdminRuleContext, path: string, value: unknown, addressed: string | undefined): AdminPorts =>
  parseItems(ctx, path, value, addressed, parseProtocol);

function parseItems(ctx: AdminRuleContext, path: string, value: unknown, addressed: string | undefined, parse: ParseItem): AdminPorts {
  if (!isPresent(value)) return { ports: [allTraffic], unknown: false };
  const list = readList(ctx.issues, path, value) ?? [];
  if (list.length === 0) ctx.issues.error(path, 'is empty', 'remove the field to mean every port');
  const { itemsMax } = ctx.dialect;
  if (list.length > itemsMax) ctx.issues.error(path, `has ${list.length} items, at most ${itemsMax} are possible`, 'use a second rule');
  const parsed = list.slice(0, itemsMax).map((item, i) => parseItem(ctx, `${path}[${i}]`, item, addressed, parse));
  return { ports: parsed.flatMap((p) => p ?? []), unknown: parsed.includes(undefined) };
}

/** Undefined: of a kind we do not know. */
function parseItem(
  ctx: AdminRuleContext,
  path: string,
  item: unknown,
  addressed: string | undefined,
  parse: ParseItem,
): readonly PortMatch[] | undefined {
  const raw = readObject(ctx.issues, path, item) ?? {};
  const present = Object.keys(raw).filter((k) => isPresent(raw[k]));
  if (present.length > 1)
    ctx.issues.error(path, `combines ${present.slice(0, 4).map(shown).join(' and ')}`, 'write one item for each; items are ORed');
  const ports = parse(ctx, path, raw, addressed);
  if (ports !== undefined) return ports;
  const what = present.length === 0 ? 'names no port' : `${shown(present[0])} is not understood`;
  ctx.issues.unsupported(path, `${what}: ${ctx.action === 'allow' ? 'the rule allows nothing' : 'the rule denies everything'}`);
  return undefined;
}

function parsePort(ctx: AdminRuleContext, path: string, raw: JsonObject, addressed: string | undefined): readonly PortMatch[] | undefined {
  if (isPresent(raw.portNumber)) {
    const at = `${path}.portNumber`;
    const number = readObject(ctx.issues, at, raw.portNumber) ?? {};
    checkFields(ctx.issues, at, number, ['protocol', 'port']);
    const protocol = readProtocol(ctx.issues, `${at}.protocol`, number.protocol);
    const port = readPortNumber(ctx.issues, `${at}.port`, number.port);
    return protocol === undefined || port === undefined ? [] : [{ kind: 'range', protocol, first: port, last: port }];
  }
  if (isPresent(raw.portRange)) {
    const at = `${path}.portRange`;
    const range = readObject(ctx.issues, at, raw.portRange) ?? {};
    checkFields(ctx.issues, at, range, ['protocol', 'start', 'end']);
    const protocol = readProtocol(ctx.issues, `${at}.protocol`, range.protocol);
    return protocol === undefined ? [] : readRange(ctx, at, range, protocol);
  }
  return isPresent(raw.namedPort) ? readName(ctx, `${path}.namedPort`, raw.namedPort, addressed) : undefined;
}

const transports = { tcp: protocolNumbers.TCP, udp: protocolNumbers.UDP, sctp: protocolNumbers.SCTP } as const;

function parseProtocol(
  ctx: AdminRuleContext,
  path: string,
  raw: JsonObject,
  addressed: string | undefined,
): readonly PortMatch[] | undefined {
  if (isPresent(raw.destinationNamedPort)) return readName(ctx, `${path}.destinationNamedPort`, raw.destinationNamedPort, addressed);
  const name = (['tcp', 'udp', 'sctp'] as const).find((t) => isPresent(raw[t]));
  if (name === undefined) return undefined;
  const match = readObject(ctx.issues, `${path}.${name}`, raw[name]) ?? {};
  if (Object.keys(match).some((k) => k !== 'destinationPort' && isPresent(match[k])) || !isPresent(match.destinationPort)) return undefined;
  const at = `${path}.${name}.destinationPort`;
  const port = readObject(ctx.issues, at, match.destinationPort) ?? {};
  checkFields(ctx.issues, at, port, ['number', 'range']);
  if (isPresent(port.number) === isPresent(port.range)) {
    ctx.issues.error(at, 'needs exactly one of number and range');
    return [];
  }
  if (isPresent(port.number)) {
    const number = readPortNumber(ctx.issues, `${at}.number`, port.number);
    return number === undefined ? [] : [{ kind: 'range', protocol: transports[name], first: number, last: number }];
  }
  const range = readObject(ctx.issues, `${at}.range`, port.range) ?? {};
  checkFields(ctx.issues, `${at}.range`, range, ['start', 'end']);
  return readRange(ctx, `${at}.range`, range, transports[name]);
}

function readRange(ctx: AdminRuleContext, path: string, raw: JsonObject, protocol: number): PortMatch[] {
  const first = readPortNumber(ctx.issues, `${path}.start`, raw.start);
  const last = readPortNumber(ctx.issues, `${path}.end`, raw.end);
  if (first === undefined || last === undefined) return [];
  if (last > first) return [{ kind: 'range', protocol, first, last }];
  ctx.issues.error(`${path}.end`, `end ${last} is not above start ${first}`, 'use a port number to mean one port');
  return [];
}

/** A name without protocol is that of any transport. */
function readName(ctx: AdminRuleContext, path: string, value: unknown, addressed: string | undefined): PortMatch[] {
  const text = readString(ctx.issues, path, value);
  if (text === undefined) return [];
  if (addressed !== undefined) {
    ctx.issues.error(path, `is not possible together with ${addressed}: only pods have named ports`, 'write the number');
    return [];
  }
  const name = readPortName(ctx.issues, path, text);
  return name === undefined ? [] : [{ kind: 'named', protocol: 0, name }];
}
