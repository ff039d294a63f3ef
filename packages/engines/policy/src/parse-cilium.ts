// spec and specs of CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy → rules. Called by parsePolicy.

import { matchAllSelector, type Selector } from '@axoneme/model';
import type { ObjectContext } from './entry-context.ts';
import { nodeSelector } from './kubernetes-selector.ts';
import { lintLabels } from './lint-labels.ts';
import { parseEntry } from './parse-entry.ts';
import { hasDnsRules, hasHttpOrKafka } from './parse-l7.ts';
import type { PolicyObject } from './policy-object.ts';
import {
  checkFields,
  isPresent,
  type JsonObject,
  listLength,
  readBoolean,
  readItem,
  readList,
  readObject,
  readSelector,
  readString,
} from './read.ts';
import { defaultDenyText, entryText, ruleIdOf } from './rule-id.ts';
import { type Direction, directions, type Rule, type RuleEntry, type RuleOrigin } from './rules.ts';
import { scopeSubject } from './scope.ts';

type List = 'ingress' | 'ingressDeny' | 'egress' | 'egressDeny';
const lists: readonly { readonly list: List; readonly direction: Direction; readonly deny: boolean }[] = [
  { list: 'ingress', direction: 'ingress', deny: false },
  { list: 'ingressDeny', direction: 'ingress', deny: true },
  { list: 'egress', direction: 'egress', deny: false },
  { list: 'egressDeny', direction: 'egress', deny: true },
];
const specFields = ['description', 'endpointSelector', 'nodeSelector', 'enableDefaultDeny', 'labels', 'log', ...lists.map((l) => l.list)];

interface SpecContext extends ObjectContext {
  readonly path: string;
  /** Empty for `spec`, `specs[n].` else: keeps rule ids apart. */
  readonly prefix: string;
}

export function parseCiliumPolicy(ctx: ObjectContext, object: PolicyObject): readonly Rule[] {
  const rules: Rule[] = [];
  const written: JsonObject[] = [];
  const add = (path: string, prefix: string, value: unknown): void => {
    const spec = readObject(ctx.issues, path, value);
    if (spec === undefined) return;
    written.push(spec);
    const rule = parseSpec({ ...ctx, path, prefix }, spec);
    if (rule !== undefined) rules.push(rule);
  };
  const specs = readList(ctx.issues, 'specs', object.specs) ?? [];
  if (!isPresent(object.spec) && specs.length === 0) ctx.issues.error('spec', 'the policy has neither spec nor specs');
  add('spec', '', object.spec);
  for (const [i, spec] of specs.entries()) {
    if (!isPresent(spec)) ctx.issues.error(`specs[${i}]`, 'must be an object');
    add(`specs[${i}]`, `specs[${i}].`, spec);
  }
  lintNames(ctx, written);
  return rules;
}

/** Undefined if there is nothing to enforce. */
function parseSpec(ctx: SpecContext, spec: JsonObject): Rule | undefined {
  checkFields(ctx.issues, ctx.path, spec, specFields);
  if (lists.every((l) => listLength(spec[l.list]) === 0)) {
    ctx.issues.error(
      ctx.path,
      'has no ingress, ingressDeny, egress or egressDeny entries',
      'write "ingress: [{}]" to isolate without allowing anything',
    );
  }
  const subject = parseSubject(ctx, spec);
  const entries: RuleEntry[] = [];
  const origins: RuleOrigin[] = [];
  const shared = describeSpec(ctx, spec);
  const entryContext = { issues: ctx.issues, scope: ctx.scope, filter: ctx.filter, subject: subject?.selector ?? matchAllSelector };
  for (const { list, direction, deny } of lists) {
    for (const [index, item] of (readList(ctx.issues, `${ctx.path}.${list}`, spec[list]) ?? []).entries()) {
      const path = `${ctx.path}.${list}[${index}]`;
      const raw = readItem(ctx.issues, path, item) ?? {};
      const text = entryText(ctx.source, `${ctx.prefix}${list}`, index);
      const id = ruleIdOf(text);
      origins.push({ ...ctx.source, id, text, direction, list: `${ctx.prefix}${list}`, index, ...shared });
      entries.push(...parseEntry({ ...entryContext, path, direction, deny }, raw).map((e) => ({ ...e, id })));
    }
  }
  const defaultDeny = parseDefaultDeny(ctx, spec);
  const [ingress, egress] = directions.map((direction) => {
    const text = defaultDenyText(ctx.source, ctx.prefix, direction);
    if (defaultDeny[direction]) origins.push({ ...ctx.source, id: ruleIdOf(text), text, direction, list: 'default-deny', ...shared });
    return ruleIdOf(text);
  });
  if (subject === undefined) return undefined;
  return {
    source: ctx.source,
    tier: 'normal',
    mode: ctx.mode,
    subjectKind: subject.kind,
    subject: subject.selector,
    entries,
    defaultDeny,
    defaultDenyIds: { ingress: ingress!, egress: egress! },
    origins,
  };
}

interface Subject {
  readonly kind: Rule['subjectKind'];
  readonly selector: Selector;
}

/** Undefined: nobody is enforced. The rest is still read, so that one look shows everything that is wrong. */
function parseSubject(ctx: SpecContext, spec: JsonObject): Subject | undefined {
  const forNodes = isPresent(spec.nodeSelector);
  if (isPresent(spec.endpointSelector) === forNodes) {
    ctx.issues.error(
      ctx.path,
      'needs exactly one of endpointSelector and nodeSelector',
      'write "endpointSelector: {}" to select every pod in scope',
    );
    return undefined;
  }
  return forNodes ? parseNodeSubject(ctx, spec) : parsePodSubject(ctx, spec);
}

function parsePodSubject(ctx: SpecContext, spec: JsonObject): Subject | undefined {
  const field = `${ctx.path}.endpointSelector`;
  const raw = readSelector(ctx.issues, field, spec.endpointSelector);
  if (raw === undefined) return undefined;
  const subject = scopeSubject(raw, ctx.scope);
  if (!subject.ok) {
    ctx.issues.error(field, subject.error.message, subject.error.hint);
    return undefined;
  }
  if (subject.value.overwritten !== undefined) {
    ctx.issues.lint(
      field,
      `namespace "${subject.value.overwritten}" is ignored: the policy selects in its own namespace "${ctx.scope.namespace}"`,
    );
  }
  lintLabels(ctx.issues, field, subject.value.selector, ctx.filter);
  return { kind: 'endpoints', selector: subject.value.selector };
}

function parseNodeSubject(ctx: SpecContext, spec: JsonObject): Subject | undefined {
  const field = `${ctx.path}.nodeSelector`;
  if (ctx.scope.namespace !== undefined) {
    ctx.issues.error(field, 'is not possible in a namespaced policy', 'use a CiliumClusterwideNetworkPolicy');
    return undefined;
  }
  const selector = nodeSelector(ctx.issues, field, spec.nodeSelector);
  if (selector === undefined) return undefined;
  checkHostRules(ctx, spec);
  if (ctx.mode === 'enforce') return { kind: 'nodes', selector };
  ctx.issues.unsupported(field, 'shadow mode is not supported for nodes yet: the policy is neither judged nor enforced');
  return undefined;
}

function checkHostRules(ctx: SpecContext, spec: JsonObject): void {
  for (const { list } of lists) {
    if (!Array.isArray(spec[list])) continue;
    for (const [i, entry] of (spec[list] as unknown[]).entries()) {
      const items = (entry as JsonObject | null | undefined)?.toPorts;
      if (Array.isArray(items) && items.some((t) => hasHttpOrKafka(t)))
        ctx.issues.error(`${ctx.path}.${list}[${i}].toPorts`, 'HTTP and Kafka rules are not possible for nodes');
    }
  }
}

const logLengthMax = 32;

function describeSpec(ctx: SpecContext, spec: JsonObject): { description?: string; log?: string } {
  const description = readString(ctx.issues, `${ctx.path}.description`, spec.description);
  const raw = readObject(ctx.issues, `${ctx.path}.log`, spec.log) ?? {};
  checkFields(ctx.issues, `${ctx.path}.log`, raw, ['value']);
  const log = readString(ctx.issues, `${ctx.path}.log.value`, raw.value);
  if (log !== undefined) checkLog(ctx, log);
  return { ...(description === undefined ? {} : { description }), ...(log === undefined || log === '' ? {} : { log }) };
}

function checkLog(ctx: SpecContext, log: string): void {
  const path = `${ctx.path}.log.value`;
  if (log.length > logLengthMax * 2 || [...log].length > logLengthMax)
    ctx.issues.error(path, `is longer than ${logLengthMax} characters`, 'events carry this text: keep it short');
  if (/\p{C}/u.test(log.slice(0, logLengthMax * 2))) ctx.issues.error(path, 'has characters that cannot be printed');
}

/** Unset: on in the directions that have entries. True without entries has no effect. */
function parseDefaultDeny(ctx: SpecContext, spec: JsonObject): { ingress: boolean; egress: boolean } {
  const raw = readObject(ctx.issues, `${ctx.path}.enableDefaultDeny`, spec.enableDefaultDeny) ?? {};
  checkFields(ctx.issues, `${ctx.path}.enableDefaultDeny`, raw, directions);
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

/** Names become addresses only by watching DNS answers, which only a DNS rule lets through the proxy. */
function lintNames(ctx: ObjectContext, specs: readonly JsonObject[]): void {
  const entries = specs.flatMap((s) => (Array.isArray(s.egress) ? (s.egress as (JsonObject | null)[]) : []));
  if (!entries.some((e) => listLength(e?.toFQDNs) > 0)) return;
  if (entries.some((e) => Array.isArray(e?.toPorts) && e.toPorts.some((t) => hasDnsRules(t)))) return;
  ctx.issues.lint(
    isPresent(specs[0]) ? 'spec' : 'specs',
    'selects peers by DNS name, but names are learned only by a DNS rule',
    'add an egress entry to the DNS service with "rules: {dns: [{matchPattern: \'*\'}]}"',
  );
}
