// toPorts and icmps of one entry → port matches. Numbers are checked again here: the published schema lets nonsense through.
import { icmpTypeByName, protocolNumbers } from '@axoneme/model';
import type { EntryContext } from './entry-context.ts';
import { checkL7, hasL7, otherConditions } from './parse-l7.ts';
import { checkFields, isPresent, type JsonObject, listLength, readItem, readList, readString, shown } from './read.ts';
import { allTraffic, type PortMatch } from './rules.ts';

export interface ParsedPorts {
  /** Plain L4. */
  readonly plain: readonly PortMatch[];
  /** Under an L7 condition. */
  readonly l7: readonly PortMatch[];
  /** Under TLS, SNI or listener conditions. */
  readonly other: readonly PortMatch[];
}

const itemsMax = 40;
const nameLengthMax = 15;
/** Text that begins with digits and runs on with letters is neither: `80abc` is a slip of the pen, `8080-http` is a name. */
const nameText = /^([a-z][a-z0-9]*|[0-9]+(?=-))(-[a-z0-9]+)*$/;
const numberText = /^(0|[1-9][0-9]*)$/;
const itemFields = ['ports', 'rules', 'listener', 'originatingTLS', 'terminatingTLS', 'serverNames'];
const portProtocols: readonly string[] = ['TCP', 'UDP', 'SCTP'];

/** Undefined: neither toPorts nor icmps, so the peers decide alone. */
export function parsePorts(ctx: EntryContext, entry: JsonObject): ParsedPorts | undefined {
  const toPorts = readList(ctx.issues, `${ctx.path}.toPorts`, entry.toPorts);
  const icmps = readList(ctx.issues, `${ctx.path}.icmps`, entry.icmps);
  if (listLength(toPorts) > 0 && listLength(icmps) > 0) {
    ctx.issues.error(ctx.path, 'combines toPorts and icmps', 'write one entry for each');
    return { plain: [], l7: [], other: [] };
  }
  if (toPorts === undefined && icmps === undefined) return undefined;
  const plain: PortMatch[] = [];
  const l7: PortMatch[] = [];
  const other: PortMatch[] = [];
  for (const [i, item] of (icmps ?? []).entries()) plain.push(...parseIcmp(ctx, `${ctx.path}.icmps[${i}]`, item));
  for (const [i, item] of (toPorts ?? []).entries()) {
    const path = `${ctx.path}.toPorts[${i}]`;
    const raw = readItem(ctx.issues, path, item);
    if (raw === undefined) continue;
    checkFields(ctx.issues, path, raw, itemFields);
    const ports = parsePortList(ctx, path, raw);
    const into = classify(ctx, path, raw) === 'other' ? other : hasL7(raw) ? l7 : plain;
    into.push(...ports);
  }
  if (plain.length + l7.length + other.length === 0) return nothingListed(ctx);
  return { plain, l7, other };
}

/** A list without a single port: an allow opens nothing; a deny that could mean all ports does. */
function nothingListed(ctx: EntryContext): ParsedPorts {
  ctx.issues.lint(
    ctx.path,
    `lists no port: ${ctx.deny ? 'the deny covers every port' : 'nothing is allowed by it'}`,
    'remove toPorts to mean every port',
  );
  return { plain: ctx.deny ? [allTraffic] : [], l7: [], other: [] };
}

function classify(ctx: EntryContext, path: string, raw: JsonObject): 'plain' | 'l7' | 'other' {
  if (ctx.deny) {
    for (const field of ['rules', 'listener', 'originatingTLS', 'terminatingTLS', 'serverNames']) {
      if (isPresent(raw[field])) ctx.issues.error(`${path}.${field}`, 'is not possible in deny rules');
    }
    return 'plain';
  }
  checkL7(ctx, path, raw);
  const conditions = otherConditions(raw);
  for (const field of conditions) ctx.issues.unsupported(`${path}.${field}`, 'is not supported yet: the traffic it would admit is blocked');
  if (conditions.length > 0) return 'other';
  if (!hasL7(raw)) return 'plain';
  ctx.issues.unsupported(`${path}.rules`, 'L7 rules are not supported yet: these ports are blocked for these peers');
  return 'l7';
}

function parsePortList(ctx: EntryContext, path: string, raw: JsonObject): PortMatch[] {
  const list = readList(ctx.issues, `${path}.ports`, raw.ports) ?? [];
  if (list.length > itemsMax)
    ctx.issues.error(
      `${path}.ports`,
      `has ${list.length} ports, at most ${itemsMax} are possible`,
      'split them over several toPorts items',
    );
  return list.slice(0, itemsMax).flatMap((item, i) => {
    const at = `${path}.ports[${i}]`;
    const port = readItem(ctx.issues, at, item);
    return port === undefined ? [] : parsePort(ctx, at, port);
  });
}

function parsePort(ctx: EntryContext, path: string, raw: JsonObject): PortMatch[] {
  checkFields(ctx.issues, path, raw, ['port', 'endPort', 'protocol']);
  const protocol = readString(ctx.issues, `${path}.protocol`, raw.protocol) ?? 'ANY';
  const text = typeof raw.port === 'number' ? String(raw.port) : (readString(ctx.issues, `${path}.port`, raw.port) ?? '');
  if (protocol === 'VRRP' || protocol === 'IGMP') {
    if (text !== '' && text !== '0') ctx.issues.error(`${path}.port`, `${protocol} has no ports`, 'remove the port or write 0');
    return [{ kind: 'range', protocol: protocolNumbers[protocol], first: 0, last: 65_535 }];
  }
  if (protocol !== 'ANY' && !portProtocols.includes(protocol)) {
    ctx.issues.error(`${path}.protocol`, `unknown protocol ${shown(protocol)}`, 'use TCP, UDP, SCTP or ANY; ICMP has its own field, icmps');
    return [];
  }
  const numbers = (protocol === 'ANY' ? portProtocols : [protocol]).map((p) => protocolNumbers[p as 'TCP']);
  if (numberText.test(text)) {
    const range = readRange(ctx, path, text, raw.endPort);
    return range === undefined ? [] : numbers.map((n) => ({ kind: 'range', protocol: n, ...range }));
  }
  if (isPresent(raw.endPort)) ctx.issues.lint(`${path}.endPort`, 'has no meaning with the name of a port');
  return readName(ctx, path, text, protocol === 'ANY' ? 0 : numbers[0]!);
}

function readName(ctx: EntryContext, path: string, text: string, protocol: number): PortMatch[] {
  const name = text.slice(0, nameLengthMax + 1).toLowerCase();
  if (name.length <= nameLengthMax && nameText.test(name) && /[a-z]/.test(name)) return [{ kind: 'named', protocol, name }];
  ctx.issues.error(
    `${path}.port`,
    text === '' ? 'the port is missing' : `${shown(text)} is neither a port number nor a port name`,
    'write a number from 0 to 65535 or the name of a container port',
  );
  return [];
}

function readRange(ctx: EntryContext, path: string, text: string, rawEnd: unknown): { first: number; last: number } | undefined {
  const first = Number(text);
  if (text.length > 5 || first > 65_535) {
    ctx.issues.error(`${path}.port`, `port ${text.slice(0, 32)} is out of range`, 'a port is 0 to 65535; 0 means every port');
    return undefined;
  }
  const end = isPresent(rawEnd) ? rawEnd : 0;
  if (typeof end !== 'number' || !Number.isInteger(end) || end < 0 || end > 65_535) {
    ctx.issues.error(`${path}.endPort`, `endPort ${shown(rawEnd)} is out of range`, 'an endPort is 0 to 65535');
    return undefined;
  }
  if (first === 0 && end > 0) {
    ctx.issues.error(`${path}.endPort`, 'a range cannot start at port 0', 'start at 1, or remove endPort to mean every port');
    return undefined;
  }
  if (end !== 0 && end < first) ctx.issues.lint(`${path}.endPort`, `endPort ${end} is below port ${first}: only port ${first} is meant`);
  return first === 0 ? { first: 0, last: 65_535 } : { first, last: Math.max(first, end) };
}

function parseIcmp(ctx: EntryContext, path: string, item: unknown): PortMatch[] {
  const raw = readItem(ctx.issues, path, item);
  if (raw !== undefined) checkFields(ctx.issues, path, raw, ['fields']);
  const fields = readList(ctx.issues, `${path}.fields`, raw?.fields) ?? [];
  if (fields.length > itemsMax) ctx.issues.error(`${path}.fields`, `has ${fields.length} types, at most ${itemsMax} are possible`);
  return fields.slice(0, itemsMax).flatMap((f, i) => parseIcmpField(ctx, `${path}.fields[${i}]`, f));
}

function parseIcmpField(ctx: EntryContext, path: string, item: unknown): PortMatch[] {
  const raw = readItem(ctx.issues, path, item) ?? {};
  checkFields(ctx.issues, path, raw, ['family', 'type']);
  const familyText = readString(ctx.issues, `${path}.family`, raw.family) ?? 'IPv4';
  if (familyText !== 'IPv4' && familyText !== 'IPv6') {
    ctx.issues.error(`${path}.family`, `unknown family ${shown(familyText)}`, 'use IPv4 or IPv6');
    return [];
  }
  const text = typeof raw.type === 'number' || typeof raw.type === 'string' ? String(raw.type) : '';
  const type = /^[0-9]{1,3}$/.test(text) ? Number(text) : icmpTypeByName(familyText === 'IPv4' ? 4 : 6, text);
  if (type === undefined || type > 255) {
    ctx.issues.error(
      `${path}.type`,
      `${shown(text)} is no ICMP type of ${familyText}`,
      'write a number from 0 to 255 or a type name of that family',
    );
    return [];
  }
  const protocol = familyText === 'IPv4' ? protocolNumbers.ICMP : protocolNumbers.ICMPv6;
  return [{ kind: 'range', protocol, first: type, last: type }];
}
