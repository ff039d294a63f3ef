// AdminNetworkPolicy, BaselineAdminNetworkPolicy (v1alpha1) and ClusterNetworkPolicy (v1alpha2) → one rule of tier admin or baseline.
// Called by parsePolicy. What a newer version of these APIs may say and we do not know fails closed: an allow matches nothing, anything else denies all.

import { createSelector, matchAllSelector, type Selector } from '@axoneme/model';
import { type AdminContext, type AdminRuleContext, type Dialect, podsOf } from './admin-context.ts';
import { type AdminPeers, parseAdminPeers } from './admin-peers.ts';
import { type AdminPorts, parseAdminPorts, parseProtocols } from './admin-ports.ts';
import type { ObjectContext } from './entry-context.ts';
import { namespaceRequirements } from './kubernetes-selector.ts';
import type { PolicyObject } from './policy-object.ts';
import { checkFields, isPresent, type JsonObject, readInteger, readItem, readList, readObject, readString, shown } from './read.ts';
import { defaultDenyText, entryText, ruleIdOf } from './rule-id.ts';
import { type Action, allTraffic, type Direction, directions, type Rule, type RuleEntry, type RuleOrigin, type Tier } from './rules.ts';

const priorityOfObjectMax = 1000;
/** Rules of one object are told apart below its priority. */
const rulesPerObject = 128;
const nameLengthMax = 100;

const v1alpha1 = { allow: 'Allow', rulesMax: 100, itemsMax: 100, portsField: 'ports' } as const;
const dialects: Readonly<Record<string, Dialect>> = {
  AdminNetworkPolicy: { ...v1alpha1, actions: ['Allow', 'Deny', 'Pass'], fields: ['priority', 'subject', 'ingress', 'egress'] },
  BaselineAdminNetworkPolicy: { ...v1alpha1, actions: ['Allow', 'Deny'], fields: ['subject', 'ingress', 'egress'] },
  ClusterNetworkPolicy: {
    allow: 'Accept',
    actions: ['Accept', 'Deny', 'Pass'],
    fields: ['tier', 'priority', 'subject', 'ingress', 'egress'],
    rulesMax: 25,
    itemsMax: 25,
    portsField: 'protocols',
  },
};

export function parseAdminPolicy(object: ObjectContext, policy: PolicyObject): readonly Rule[] {
  const { issues, source } = object;
  const dialect = dialects[source.kind]!;
  if (isPresent(policy.specs)) issues.error('specs', 'unknown field', `a ${source.kind} has one spec`);
  if (!isPresent(policy.spec)) issues.error('spec', 'the policy has no spec');
  const spec = readObject(issues, 'spec', policy.spec) ?? {};
  checkFields(issues, 'spec', spec, dialect.fields);
  const baseline = source.kind === 'BaselineAdminNetworkPolicy';
  if (baseline && source.name !== 'default')
    issues.error('metadata.name', `${shown(source.name)} is not "default"`, 'a cluster has one BaselineAdminNetworkPolicy, named default');
  const tier = baseline ? 'baseline' : dialect.fields.includes('tier') ? readTier(object, spec) : 'admin';
  const priority = baseline ? 0 : readPriority(object, spec);
  const ctx: AdminContext = { ...object, tier, dialect, selectors: { ...object.scope, issues, filter: object.filter } };
  const subject = parseSubject(ctx, spec.subject);
  const entries: RuleEntry[] = [];
  const origins: RuleOrigin[] = [];
  for (const direction of directions) parseDirection(ctx, spec, direction, priority, entries, origins);
  if (entries.length === 0) issues.lint('spec', 'has no rules: it changes nothing');
  const id = (d: Direction): RuleOrigin['id'] => ruleIdOf(defaultDenyText(source, '', d));
  const open = { defaultDeny: { ingress: false, egress: false }, defaultDenyIds: { ingress: id('ingress'), egress: id('egress') } };
  return [{ source, tier, mode: ctx.mode, subjectKind: 'endpoints', subject, entries, ...open, origins }];
}

function readTier(ctx: ObjectContext, spec: JsonObject): Tier {
  if (spec.tier === 'Admin') return 'admin';
  if (spec.tier === 'Baseline') return 'baseline';
  ctx.issues.error('spec.tier', isPresent(spec.tier) ? `unknown tier ${shown(spec.tier)}` : 'the tier is missing', 'use Admin or Baseline');
  return 'admin';
}

function readPriority(ctx: ObjectContext, spec: JsonObject): number {
  if (!isPresent(spec.priority)) ctx.issues.error('spec.priority', 'the priority is missing', 'a number from 0 to 1000; lower is stronger');
  return (readInteger(ctx.issues, 'spec.priority', spec.priority, 0, priorityOfObjectMax) ?? 0) * rulesPerObject;
}

function parseSubject(ctx: AdminContext, value: unknown): Selector {
  const raw = readObject(ctx.issues, 'spec.subject', value) ?? {};
  checkFields(ctx.issues, 'spec.subject', raw, ['namespaces', 'pods']);
  if (isPresent(raw.namespaces) === isPresent(raw.pods)) {
    ctx.issues.error('spec.subject', 'needs exactly one of namespaces and pods', 'write "namespaces: {}" to select every pod');
    return matchAllSelector;
  }
  const requirements = isPresent(raw.pods)
    ? podsOf(ctx, 'spec.subject.pods', raw.pods)
    : namespaceRequirements(ctx.selectors, 'spec.subject.namespaces', raw.namespaces);
  return createSelector(requirements ?? []);
}

function parseDirection(
  ctx: AdminContext,
  spec: JsonObject,
  direction: Direction,
  priority: number,
  entries: RuleEntry[],
  origins: RuleOrigin[],
): void {
  const path = `spec.${direction}`;
  const list = readList(ctx.issues, path, spec[direction]) ?? [];
  const { rulesMax } = ctx.dialect;
  if (list.length > rulesMax) ctx.issues.error(path, `has ${list.length} rules, at most ${rulesMax} are possible`, 'use a second policy');
  for (const [index, item] of list.slice(0, rulesMax).entries()) {
    const text = entryText(ctx.source, direction, index);
    const parsed = parseRule(ctx, `${path}[${index}]`, direction, item);
    const name = parsed.name === '' ? {} : { description: parsed.name };
    origins.push({ ...ctx.source, id: ruleIdOf(text), text, direction, list: direction, index, ...name });
    entries.push({ id: ruleIdOf(text), direction, priority: priority + index, ...parsed.entry });
  }
}

interface ParsedRule {
  readonly name: string;
  readonly entry: Pick<RuleEntry, 'action' | 'peers' | 'ports'>;
}

function parseRule(object: AdminContext, path: string, direction: Direction, item: unknown): ParsedRule {
  const { issues, dialect } = object;
  const raw = readItem(issues, path, item) ?? {};
  const field = direction === 'ingress' ? 'from' : 'to';
  checkFields(issues, path, raw, ['name', 'action', field, dialect.portsField]);
  const name = readString(issues, `${path}.name`, raw.name) ?? '';
  if (name.length > nameLengthMax) issues.error(`${path}.name`, `is longer than ${nameLengthMax} characters`);
  const ctx: AdminRuleContext = { ...object, path, direction, action: readAction(object, `${path}.action`, raw.action) };
  const peers = parseAdminPeers(ctx, `${path}.${field}`, raw[field]);
  const parse = dialect.portsField === 'ports' ? parseAdminPorts : parseProtocols;
  const ports = parse(ctx, `${path}.${dialect.portsField}`, raw[dialect.portsField], peers.addressed);
  return { name: name.slice(0, nameLengthMax), entry: closedEntry(ctx, peers, ports) };
}

/** Pass in the last tier ends in the open default, so it is an allow there. */
function readAction(ctx: AdminContext, path: string, value: unknown): Action {
  const { actions, allow } = ctx.dialect;
  if (!actions.includes(value as string)) {
    const problem = isPresent(value) ? `unknown action ${shown(value)}` : 'the action is missing';
    ctx.issues.error(path, problem, `use ${actions.join(', ')}`);
  }
  if (value === 'Pass') return ctx.tier === 'baseline' ? 'allow' : 'pass';
  return value === allow ? 'allow' : 'deny';
}

/** Where something is not known or not possible yet, an allow admits less than written and everything else denies more. */
function closedEntry(ctx: AdminRuleContext, peers: AdminPeers, ports: AdminPorts): ParsedRule['entry'] {
  if (ctx.action === 'allow') {
    const nothing = peers.unknown || ports.unknown;
    return { action: 'allow', peers: nothing ? [] : peers.peers, ports: ports.ports };
  }
  if (peers.unknown || ports.unknown) return { action: 'deny', peers: [{ kind: 'any' }], ports: [allTraffic] };
  if (peers.unsupported) return { action: 'deny', peers: [{ kind: 'any' }], ports: ports.ports };
  return { action: ctx.action, peers: peers.peers, ports: ports.ports };
}
