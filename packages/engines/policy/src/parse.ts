// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy objects → rules. Called by the operator for each object, and by the admission check.

import { type LabelSelector, matchAllSelector, type Selector } from '@axoneme/model';
import { err, ok, type Result } from '@axoneme/std';
import type { EntryContext } from './entry-context.ts';
import { createIssueList, type IssueList, type PolicyIssue } from './issues.ts';
import { hasHttpOrKafka } from './parse-l7.ts';
import { parsePeers } from './parse-peers.ts';
import { type ParsedPorts, parsePorts } from './parse-ports.ts';
import { isPresent, type JsonObject, listLength, readBoolean, readList, readObject, readString } from './read.ts';
import { defaultDenyText, entryText, ruleIdOf } from './rule-id.ts';
import {
  allTraffic,
  type Direction,
  directions,
  type PeerSelector,
  type PolicyKey,
  type PolicySource,
  policyKey,
  type Rule,
  type RuleEntry,
  type RuleOrigin,
} from './rules.ts';
import { type Scope, scopeSubject } from './scope.ts';

/** Any object of the two kinds, as parsed JSON. */
export interface PolicyObject {
  readonly kind?: string | undefined;
  readonly metadata: { readonly name?: string | undefined; readonly namespace?: string | undefined; readonly uid?: string | undefined };
  readonly spec?: object | null | undefined;
  readonly specs?: readonly object[] | null | undefined;
}

export interface ParseConfig {
  readonly clusterName: string;
  /** Peers that do not name a cluster are of the local one; default true. */
  readonly defaultLocalCluster?: boolean | undefined;
}

export interface ParsedPolicy {
  readonly key: PolicyKey;
  readonly source: PolicySource;
  readonly rules: readonly Rule[];
  /** Unsupported parts and lints; an object with errors is not parsed at all. */
  readonly issues: readonly PolicyIssue[];
}

type List = 'ingress' | 'ingressDeny' | 'egress' | 'egressDeny';
const lists: readonly { readonly list: List; readonly direction: Direction; readonly deny: boolean }[] = [
  { list: 'ingress', direction: 'ingress', deny: false },
  { list: 'ingressDeny', direction: 'ingress', deny: true },
  { list: 'egress', direction: 'egress', deny: false },
  { list: 'egressDeny', direction: 'egress', deny: true },
];

interface SpecContext {
  readonly issues: IssueList;
  readonly path: string;
  /** Empty for `spec`, `specs[n].` else: keeps rule ids apart. */
  readonly prefix: string;
  readonly source: PolicySource;
  readonly scope: Scope;
}

/** The error is the list of all issues, with at least one of severity `error`. */
export function parsePolicy(object: PolicyObject, config: ParseConfig): Result<ParsedPolicy, readonly PolicyIssue[]> {
  const issues = createIssueList();
  const kind = object.kind ?? (isPresent(object.metadata.namespace) ? 'CiliumNetworkPolicy' : 'CiliumClusterwideNetworkPolicy');
  const namespaced = kind === 'CiliumNetworkPolicy';
  const namespace = namespaced ? (object.metadata.namespace ?? 'default') : '';
  const source: PolicySource = {
    kind,
    namespace,
    name: object.metadata.name ?? '',
    ...(object.metadata.uid === undefined ? {} : { uid: object.metadata.uid }),
  };
  if (kind !== 'CiliumNetworkPolicy' && kind !== 'CiliumClusterwideNetworkPolicy')
    issues.error('kind', `unknown kind "${kind.slice(0, 64)}"`);
  const scope: Scope = {
    namespace: namespaced ? namespace : undefined,
    clusterName: config.clusterName,
    defaultLocalCluster: config.defaultLocalCluster ?? true,
  };
  const rules: Rule[] = [];
  const add = (path: string, prefix: string, value: unknown): void => {
    const spec = readObject(issues, path, value);
    const rule = spec === undefined ? undefined : parseSpec({ issues, path, prefix, source, scope }, spec);
    if (rule !== undefined) rules.push(rule);
  };
  const specs = readList(issues, 'specs', object.specs) ?? [];
  if (!isPresent(object.spec) && specs.length === 0) issues.error('spec', 'the policy has neither spec nor specs');
  add('spec', '', object.spec);
  for (const [i, spec] of specs.entries()) add(`specs[${i}]`, `specs[${i}].`, spec);
  if (issues.items.some((i) => i.severity === 'error')) return err(issues.items);
  return ok({ key: policyKey(source), source, rules, issues: issues.items });
}

/** Undefined if there is nothing to enforce on endpoints. */
function parseSpec(ctx: SpecContext, spec: JsonObject): Rule | undefined {
  if (lists.every((l) => listLength(spec[l.list]) === 0)) {
    ctx.issues.error(
      ctx.path,
      'has no ingress, ingressDeny, egress or egressDeny entries',
      'write "ingress: [{}]" to isolate without allowing anything',
    );
  }
  const { subject, enforced } = parseSubject(ctx, spec);
  const entries: RuleEntry[] = [];
  const origins: RuleOrigin[] = [];
  const shared = describeSpec(ctx, spec);
  for (const { list, direction, deny } of lists) {
    for (const [index, item] of (readList(ctx.issues, `${ctx.path}.${list}`, spec[list]) ?? []).entries()) {
      const path = `${ctx.path}.${list}[${index}]`;
      const raw = readObject(ctx.issues, path, item) ?? {};
      const text = entryText(ctx.source, `${ctx.prefix}${list}`, index);
      const id = ruleIdOf(text);
      origins.push({ ...ctx.source, id, text, direction, list: `${ctx.prefix}${list}`, index, ...shared });
      entries.push(...parseEntry({ issues: ctx.issues, path, direction, deny, scope: ctx.scope, subject }, raw).map((e) => ({ ...e, id })));
    }
  }
  const defaultDeny = parseDefaultDeny(ctx, spec);
  const ids = directions.map((direction) => {
    const text = defaultDenyText(ctx.source, ctx.prefix, direction);
    if (defaultDeny[direction]) origins.push({ ...ctx.source, id: ruleIdOf(text), text, direction, list: 'default-deny', ...shared });
    return ruleIdOf(text);
  });
  if (!enforced) return undefined;
  return {
    source: ctx.source,
    tier: 'normal',
    mode: 'enforce',
    subjectKind: 'endpoints',
    subject,
    entries,
    defaultDeny,
    defaultDenyIds: { ingress: ids[0]!, egress: ids[1]! },
    origins,
  };
}

/** Not enforced: the rest is still read, so that one look shows everything that is wrong. */
function parseSubject(ctx: SpecContext, spec: JsonObject): { readonly subject: Selector; readonly enforced: boolean } {
  const none = { subject: matchAllSelector, enforced: false };
  const forEndpoints = isPresent(spec.endpointSelector);
  const forNodes = isPresent(spec.nodeSelector);
  if (forEndpoints === forNodes) {
    ctx.issues.error(
      ctx.path,
      'needs exactly one of endpointSelector and nodeSelector',
      'write "endpointSelector: {}" to select every pod in scope',
    );
    return none;
  }
  const field = `${ctx.path}.${forNodes ? 'nodeSelector' : 'endpointSelector'}`;
  if (forNodes && ctx.scope.namespace !== undefined) {
    ctx.issues.error(field, 'is not possible in a namespaced policy', 'use a CiliumClusterwideNetworkPolicy');
    return none;
  }
  const raw = readObject(ctx.issues, field, forNodes ? spec.nodeSelector : spec.endpointSelector);
  if (raw === undefined) return none;
  const subject = scopeSubject(raw as LabelSelector, ctx.scope);
  if (!subject.ok) {
    ctx.issues.error(field, subject.error.message, subject.error.hint);
    return none;
  }
  if (subject.value.overwritten !== undefined) {
    ctx.issues.lint(
      field,
      `namespace "${subject.value.overwritten}" is ignored: the policy selects in its own namespace "${ctx.scope.namespace}"`,
    );
  }
  if (!forNodes) return { subject: subject.value.selector, enforced: true };
  checkHostRules(ctx, spec);
  ctx.issues.unsupported(field, 'policies for nodes are not supported yet: nothing is enforced on nodes');
  return none;
}

function checkHostRules(ctx: SpecContext, spec: JsonObject): void {
  for (const { list } of lists) {
    for (const [i, entry] of (readList(ctx.issues, `${ctx.path}.${list}`, spec[list]) ?? []).entries()) {
      const items = (entry as JsonObject | null)?.toPorts;
      if (Array.isArray(items) && items.some((t: JsonObject) => hasHttpOrKafka(t)))
        ctx.issues.error(`${ctx.path}.${list}[${i}].toPorts`, 'HTTP and Kafka rules are not possible for nodes');
    }
  }
}

function describeSpec(ctx: SpecContext, spec: JsonObject): { description?: string; log?: string } {
  const description = readString(ctx.issues, `${ctx.path}.description`, spec.description);
  const log = readString(ctx.issues, `${ctx.path}.log.value`, readObject(ctx.issues, `${ctx.path}.log`, spec.log)?.value);
  return { ...(description === undefined ? {} : { description }), ...(log === undefined ? {} : { log }) };
}

/** Unset: on in the directions that have entries. True without entries has no effect. */
function parseDefaultDeny(ctx: SpecContext, spec: JsonObject): { ingress: boolean; egress: boolean } {
  const raw = readObject(ctx.issues, `${ctx.path}.enableDefaultDeny`, spec.enableDefaultDeny) ?? {};
  const on = (direction: Direction): boolean => {
    const set = readBoolean(ctx.issues, `${ctx.path}.enableDefaultDeny.${direction}`, raw[direction]);
    const has = listLength(spec[direction]) + listLength(spec[`${direction}Deny`]) > 0;
    if (set === true && !has)
      ctx.issues.lint(
        `${ctx.path}.enableDefaultDeny.${direction}`,
        `has no effect: there are no ${direction} entries`,
        `add "${direction}: [{}]"`,
      );
    return has && set !== false;
  };
  return { ingress: on('ingress'), egress: on('egress') };
}

/** One written entry becomes up to three: plain ports, ports with L7 rules, ports with other conditions. */
function parseEntry(ctx: EntryContext, raw: JsonObject): Omit<RuleEntry, 'id'>[] {
  const peers = parsePeers(ctx, raw);
  const ports = parsePorts(ctx, raw);
  const auth = parseAuthentication(ctx, raw);
  if (peers === undefined && ports === undefined) {
    // `- {}` is the idiom for "isolate"; anything else without effect was probably not meant.
    if (ctx.deny || Object.keys(raw).length > 0) {
      ctx.issues.lint(
        ctx.path,
        `an entry without peers and ports ${ctx.deny ? 'denies' : 'allows'} nothing`,
        'name peers or ports; entity "all" means everyone',
      );
    }
    return [];
  }
  const parts: ParsedPorts = ports ?? { plain: [allTraffic], l7: [], other: [] };
  const to: readonly PeerSelector[] = peers ?? [{ kind: 'any' }];
  const base = { direction: ctx.direction, priority: 0, peers: to };
  if (ctx.deny) return [{ ...base, action: 'deny', ports: parts.plain }];
  if (auth) return [{ ...base, action: 'redirect', condition: 'other', ports: [...parts.plain, ...parts.l7, ...parts.other] }];
  const out: Omit<RuleEntry, 'id'>[] = [{ ...base, action: 'allow', ports: parts.plain }];
  if (parts.l7.length > 0) out.push({ ...base, action: 'redirect', condition: 'l7', ports: parts.l7 });
  if (parts.other.length > 0) out.push({ ...base, action: 'redirect', condition: 'other', ports: parts.other });
  return out.filter((e) => e.ports.length > 0);
}

/** True if the entry asks for a check nobody makes yet. */
function parseAuthentication(ctx: EntryContext, raw: JsonObject): boolean {
  const path = `${ctx.path}.authentication`;
  const auth = readObject(ctx.issues, path, raw.authentication);
  if (auth === undefined) return false;
  if (ctx.deny) ctx.issues.error(path, 'is not possible in deny rules');
  const mode = readString(ctx.issues, `${path}.mode`, auth.mode) ?? '';
  if (mode === 'disabled') return false;
  if (mode !== 'required' && mode !== 'test-always-fail')
    ctx.issues.error(`${path}.mode`, `unknown mode "${mode.slice(0, 32)}"`, 'use disabled, required or test-always-fail');
  else ctx.issues.unsupported(path, 'mutual authentication is not supported yet: the traffic it would admit is blocked');
  return true;
}
