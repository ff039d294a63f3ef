// NetworkPolicy (networking.k8s.io/v1) → one rule, with the meaning Kubernetes gives it. Called by parsePolicy.

import { createSelector } from '@axoneme/model';
import type { ObjectContext } from './entry-context.ts';
import { parseIpBlock } from './kubernetes-block.ts';
import { parseKubernetesPorts } from './kubernetes-ports.ts';
import { inNamespace, type KubernetesScope, namespaceRequirements, peerSelector, podRequirements } from './kubernetes-selector.ts';
import type { PolicyObject } from './policy-object.ts';
import { checkFields, isPresent, type JsonObject, listLength, readItem, readList, readObject, shown } from './read.ts';
import { defaultDenyText, entryText, ruleIdOf } from './rule-id.ts';
import { type Direction, directions, type PeerSelector, type Rule, type RuleEntry, type RuleOrigin } from './rules.ts';

const typeNames: Readonly<Record<Direction, string>> = { ingress: 'Ingress', egress: 'Egress' };
const peerFields: Readonly<Record<Direction, string>> = { ingress: 'from', egress: 'to' };

interface PolicyContext extends ObjectContext {
  readonly selectors: KubernetesScope;
  readonly namespace: string;
}

export function parseNetworkPolicy(object: ObjectContext, policy: PolicyObject): readonly Rule[] {
  const selectors = { ...object.scope, issues: object.issues, filter: object.filter };
  const ctx: PolicyContext = { ...object, selectors, namespace: object.source.namespace };
  if (isPresent(policy.specs)) ctx.issues.error('specs', 'unknown field', 'a NetworkPolicy has one spec');
  const spec = readObject(ctx.issues, 'spec', policy.spec) ?? {};
  checkFields(ctx.issues, 'spec', spec, ['podSelector', 'policyTypes', 'ingress', 'egress']);
  const own = podRequirements(selectors, 'spec.podSelector', spec.podSelector) ?? [];
  const isolates = readTypes(ctx, spec);
  const entries: RuleEntry[] = [];
  const origins: RuleOrigin[] = [];
  for (const direction of directions) {
    const list = readList(ctx.issues, `spec.${direction}`, spec[direction]) ?? [];
    if (list.length > 0 && !isolates[direction]) {
      ctx.issues.lint(
        `spec.${direction}`,
        `is ignored: policyTypes does not list ${typeNames[direction]}`,
        `add ${typeNames[direction]} to policyTypes`,
      );
    }
    for (const [index, item] of list.entries()) {
      const entry = parseEntry(ctx, direction, index, item);
      if (!isolates[direction]) continue;
      entries.push(entry);
      origins.push(originOf(ctx, direction, index));
    }
    if (isolates[direction]) origins.push(originOf(ctx, direction));
  }
  const denyIds = { ingress: denyIdOf(ctx, 'ingress'), egress: denyIdOf(ctx, 'egress') };
  const subject = createSelector([...own, inNamespace(ctx.namespace)]);
  const rest = { entries, defaultDeny: isolates, defaultDenyIds: denyIds, origins };
  return [{ source: ctx.source, tier: 'normal', mode: ctx.mode, subjectKind: 'endpoints', subject, ...rest }];
}

const denyIdOf = (ctx: ObjectContext, direction: Direction): RuleOrigin['id'] => ruleIdOf(defaultDenyText(ctx.source, '', direction));

/** Without index: the isolation of the direction. */
function originOf(ctx: ObjectContext, direction: Direction, index?: number): RuleOrigin {
  const text = index === undefined ? defaultDenyText(ctx.source, '', direction) : entryText(ctx.source, direction, index);
  const where = index === undefined ? { list: 'default-deny' } : { list: direction, index };
  return { ...ctx.source, id: ruleIdOf(text), text, direction, ...where };
}

/** Absent: Ingress, and Egress if there are egress rules, as the API server fills it in. */
function readTypes(ctx: ObjectContext, spec: JsonObject): { ingress: boolean; egress: boolean } {
  const list = readList(ctx.issues, 'spec.policyTypes', spec.policyTypes) ?? [];
  for (const [i, type] of list.entries()) {
    if (!Object.values(typeNames).includes(type as string))
      ctx.issues.error(`spec.policyTypes[${i}]`, `unknown policy type ${shown(type)}`, 'use Ingress and Egress');
  }
  if (list.length > 2) ctx.issues.error('spec.policyTypes', 'has more than two items', 'use Ingress and Egress, each once');
  if (list.length === 0) return { ingress: true, egress: listLength(spec.egress) > 0 };
  return { ingress: list.includes('Ingress'), egress: list.includes('Egress') };
}

function parseEntry(ctx: PolicyContext, direction: Direction, index: number, item: unknown): RuleEntry {
  const path = `spec.${direction}[${index}]`;
  const raw = readItem(ctx.issues, path, item) ?? {};
  const field = peerFields[direction];
  checkFields(ctx.issues, path, raw, [field, 'ports']);
  const peers = readList(ctx.issues, `${path}.${field}`, raw[field]) ?? [];
  return {
    id: ruleIdOf(entryText(ctx.source, direction, index)),
    direction,
    action: 'allow',
    priority: 0,
    peers: peers.length === 0 ? [{ kind: 'any' }] : peers.flatMap((p, i) => parsePeer(ctx, `${path}.${field}[${i}]`, p)),
    ports: parseKubernetesPorts(ctx.issues, `${path}.ports`, raw.ports),
  };
}

function parsePeer(ctx: PolicyContext, path: string, item: unknown): PeerSelector[] {
  const raw = readObject(ctx.issues, path, item) ?? {};
  checkFields(ctx.issues, path, raw, ['podSelector', 'namespaceSelector', 'ipBlock']);
  const byLabel = isPresent(raw.podSelector) || isPresent(raw.namespaceSelector);
  if (!byLabel && !isPresent(raw.ipBlock)) {
    ctx.issues.error(path, 'names no peer', 'write podSelector, namespaceSelector or ipBlock; "namespaceSelector: {}" is every pod');
    return [];
  }
  if (byLabel && isPresent(raw.ipBlock)) {
    ctx.issues.error(path, 'combines ipBlock with a selector', 'write one item for each; items are ORed');
    return [];
  }
  if (!byLabel) return parseIpBlock(ctx.issues, `${path}.ipBlock`, raw.ipBlock);
  const namespaces = isPresent(raw.namespaceSelector)
    ? namespaceRequirements(ctx.selectors, `${path}.namespaceSelector`, raw.namespaceSelector)
    : [inNamespace(ctx.namespace)];
  const pods = isPresent(raw.podSelector) ? podRequirements(ctx.selectors, `${path}.podSelector`, raw.podSelector) : [];
  if (namespaces === undefined || pods === undefined) return [];
  return [{ kind: 'labels', selector: peerSelector(ctx.selectors, [...namespaces, ...pods]) }];
}
