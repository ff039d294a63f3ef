// Checks of everything above L4. Nothing of it is compiled yet; wrong input is refused all the same, so that it does not surprise later.

import type { EntryContext } from './entry-context.ts';
import type { IssueList } from './issues.ts';
import {
  checkFields,
  isPresent,
  type JsonObject,
  listLength,
  readInteger,
  readItem,
  readList,
  readObject,
  readString,
  shown,
  textOf,
} from './read.ts';

const families = ['http', 'kafka', 'dns', 'l7proto'] as const;
// Written without nested repetition: linear on every text.
const nameText = /^[-a-zA-Z0-9_]+([.][-a-zA-Z0-9_]+)*[.]?$/;
const patternText = /^[-a-zA-Z0-9_*]+([.][-a-zA-Z0-9_*]+)*[.]?$/;
const serverNameText = /^(\*?\*\.)?[-a-zA-Z0-9_]+([.][-a-zA-Z0-9_]+)*[.]?$/;
const regexLengthMax = 4096;

/** True if any L7 family is written, even with an empty list. */
export function hasL7(item: JsonObject): boolean {
  const rules = item.rules;
  return typeof rules === 'object' && rules !== null && [...families, 'l7'].some((f) => isPresent((rules as JsonObject)[f]));
}

/** Fields besides `rules` that make the allow conditional. */
export const otherConditions = (item: JsonObject): string[] =>
  ['listener', 'originatingTLS', 'terminatingTLS', 'serverNames'].filter((f) => isPresent(item[f]));

export function checkL7(ctx: EntryContext, path: string, item: JsonObject): void {
  const rules = readObject(ctx.issues, `${path}.rules`, item.rules) ?? {};
  checkFields(ctx.issues, `${path}.rules`, rules, [...families, 'l7']);
  const used = families.filter((f) => isPresent(rules[f]));
  if (used.length > 1) ctx.issues.error(`${path}.rules`, `combines ${used.join(' and ')}`, 'one toPorts item has one kind of L7 rules');
  if (isPresent(rules.l7) && !isPresent(rules.l7proto)) ctx.issues.error(`${path}.rules.l7`, 'needs l7proto', 'name the parser in l7proto');
  if (hasL7(item)) checkL7Ports(ctx, path, item, used.includes('dns'));
  if (used.includes('dns')) checkDns(ctx, `${path}.rules.dns`, rules.dns);
  if (used.includes('http')) checkHttp(ctx.issues, `${path}.rules.http`, rules.http);
  if (used.includes('kafka')) checkKafka(ctx.issues, `${path}.rules.kafka`, rules.kafka);
  checkServerNames(ctx.issues, path, item);
  checkListener(ctx, path, item);
}

function checkL7Ports(ctx: EntryContext, path: string, item: JsonObject, dns: boolean): void {
  const ports = readList(ctx.issues, `${path}.ports`, item.ports) ?? [];
  if (dns && ports.length === 0) ctx.issues.error(`${path}.ports`, 'DNS rules need ports', 'usually 53 with protocol ANY');
  for (const [i, port] of ports.entries()) {
    const raw = (typeof port === 'object' && port !== null ? port : {}) as JsonObject;
    const at = `${path}.ports[${i}]`;
    const protocol = textOf(raw.protocol) || 'ANY';
    if (dns ? protocol === 'SCTP' : protocol !== 'TCP')
      ctx.issues.error(`${at}.protocol`, `L7 rules are not possible on ${protocol}`, dns ? 'use UDP, TCP or ANY' : 'write protocol: TCP');
    if (['', '0'].includes(textOf(raw.port))) ctx.issues.error(`${at}.port`, 'L7 rules need a port', 'name the ports of the service');
    if (dns && isPresent(raw.endPort) && raw.endPort !== 0) ctx.issues.error(`${at}.endPort`, 'DNS rules cannot have a port range');
  }
}

function checkDns(ctx: EntryContext, path: string, value: unknown): void {
  if (ctx.direction === 'ingress') ctx.issues.error(path, 'DNS rules are not possible at ingress', 'write them at egress of the clients');
  checkFqdns(ctx.issues, path, readList(ctx.issues, path, value) ?? []);
}

/** Items of toFQDNs and rules.dns. */
export function checkFqdns(issues: IssueList, path: string, list: readonly unknown[]): void {
  for (const [i, item] of list.entries()) {
    const at = `${path}[${i}]`;
    const raw = readItem(issues, at, item) ?? {};
    checkFields(issues, at, raw, ['matchName', 'matchPattern']);
    const name = readString(issues, `${at}.matchName`, raw.matchName) ?? '';
    const pattern = readString(issues, `${at}.matchPattern`, raw.matchPattern) ?? '';
    if ((name === '') === (pattern === '')) issues.error(at, 'needs exactly one of matchName and matchPattern');
    if (name !== '' && !(name.length <= 255 && nameText.test(name)))
      issues.error(`${at}.matchName`, `"${name.slice(0, 64)}" is not a DNS name`, 'use matchPattern for wildcards');
    if (pattern !== '' && !(pattern.length <= 255 && patternText.test(pattern)))
      issues.error(`${at}.matchPattern`, `"${pattern.slice(0, 64)}" is not a DNS pattern`);
  }
}

function checkHttp(issues: IssueList, path: string, value: unknown): void {
  for (const [i, item] of (readList(issues, path, value) ?? []).entries()) {
    const at = `${path}[${i}]`;
    const raw = readItem(issues, at, item) ?? {};
    checkFields(issues, at, raw, ['path', 'method', 'host', 'headers', 'headerMatches']);
    for (const field of ['path', 'method', 'host']) {
      const text = readString(issues, `${at}.${field}`, raw[field]);
      if (text !== undefined && !isRegex(text)) issues.error(`${at}.${field}`, `"${text.slice(0, 64)}" is not a valid regular expression`);
    }
    for (const [j, match] of (readList(issues, `${at}.headerMatches`, raw.headerMatches) ?? []).entries()) {
      const header = readObject(issues, `${at}.headerMatches[${j}]`, match) ?? {};
      if ((header.name ?? '') === '') issues.error(`${at}.headerMatches[${j}].name`, 'the header name is missing');
      const mismatch = header.mismatch ?? '';
      if (
        !['', 'LOG', 'ADD', 'DELETE', 'REPLACE'].includes(
          textOf(mismatch) || (isPresent(header.mismatch) && header.mismatch !== '' ? '?' : ''),
        )
      )
        issues.error(`${at}.headerMatches[${j}].mismatch`, `unknown action ${shown(mismatch)}`);
    }
  }
}

function isRegex(text: string): boolean {
  if (text.length > regexLengthMax) return false;
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}

const kafkaKeys =
  'produce fetch offsets metadata leaderandisr stopreplica updatemetadata controlledshutdown offsetcommit offsetfetch findcoordinator joingroup heartbeat leavegroup syncgroup describegroups listgroups saslhandshake apiversions createtopics deletetopics deleterecords initproducerid offsetforleaderepoch addpartitionstotxn addoffsetstotxn endtxn writetxnmarkers txnoffsetcommit describeacls createacls deleteacls describeconfigs alterconfigs'.split(
    ' ',
  );

function checkKafka(issues: IssueList, path: string, value: unknown): void {
  for (const [i, item] of (readList(issues, path, value) ?? []).entries()) {
    const at = `${path}[${i}]`;
    const raw = readItem(issues, at, item) ?? {};
    const key = textOf(raw.apiKey).toLowerCase();
    const role = textOf(raw.role).toLowerCase();
    if (key !== '' && role !== '') issues.error(at, 'apiKey and role exclude each other');
    if (key !== '' && !kafkaKeys.includes(key)) issues.error(`${at}.apiKey`, `unknown Kafka request "${key.slice(0, 32)}"`);
    if (role !== '' && role !== 'produce' && role !== 'consume')
      issues.error(`${at}.role`, `unknown role "${role.slice(0, 32)}"`, 'use produce or consume');
    if (!/^[0-9]*$/.test(textOf(raw.apiVersion))) issues.error(`${at}.apiVersion`, 'must be a number');
    if (textOf(raw.topic).length > 255) issues.error(`${at}.topic`, 'is longer than 255 characters');
  }
}

function checkServerNames(issues: IssueList, path: string, item: JsonObject): void {
  const names = readList(issues, `${path}.serverNames`, item.serverNames);
  if (names === undefined) return;
  if (names.length === 0) issues.error(`${path}.serverNames`, 'must not be empty', 'remove the field to allow every name');
  if (names.length > 0 && hasL7(item) && !isPresent(item.terminatingTLS))
    issues.error(`${path}.serverNames`, 'with L7 rules needs terminatingTLS');
  for (const [i, name] of names.entries()) {
    if (typeof name !== 'string' || name.length > 255 || !serverNameText.test(name))
      issues.error(`${path}.serverNames[${i}]`, `${shown(name)} is not a server name`);
  }
}

function checkListener(ctx: EntryContext, path: string, item: JsonObject): void {
  const listener = readObject(ctx.issues, `${path}.listener`, item.listener);
  if (listener === undefined) return;
  const at = `${path}.listener`;
  if (ctx.direction === 'ingress') ctx.issues.error(at, 'is not possible at ingress');
  if (hasL7(item)) ctx.issues.error(at, 'excludes L7 rules');
  if ((listener.name ?? '') === '') ctx.issues.error(`${at}.name`, 'the name of the listener is missing');
  const config = readObject(ctx.issues, `${at}.envoyConfig`, listener.envoyConfig) ?? {};
  if ((config.name ?? '') === '') ctx.issues.error(`${at}.envoyConfig.name`, 'the name is missing');
  if (ctx.scope.namespace === undefined && config.kind === 'CiliumEnvoyConfig')
    ctx.issues.error(`${at}.envoyConfig.kind`, 'a cluster-wide policy needs a CiliumClusterwideEnvoyConfig');
  readInteger(ctx.issues, `${at}.priority`, listener.priority, 1, 100);
}

const l7RulesOf = (item: unknown): JsonObject => ((item as JsonObject | null | undefined)?.rules as JsonObject | null | undefined) ?? {};

/** True if the item of toPorts has HTTP or Kafka rules, which host policies cannot have. */
export const hasHttpOrKafka = (item: unknown): boolean => listLength(l7RulesOf(item).http) > 0 || listLength(l7RulesOf(item).kafka) > 0;
export const hasDnsRules = (item: unknown): boolean => listLength(l7RulesOf(item).dns) > 0;
