// What is wrong or doubtful in manifests, each with file and line. Called by `policy validate` and, for broken input, by the other commands.

import { ciliumClusterwideNetworkPolicy, ciliumNetworkPolicy, parseWith, schemaIssues } from '@axoneme/crds';
import {
  bindRules,
  type Invariant,
  type ParsedPolicy,
  type PolicyIssue,
  type PolicyObject,
  parseCidrGroup,
  parseInvariant,
  parsePolicy,
  type Rule,
} from '@axoneme/policy';
import type { BrokenDocument, Documents, Manifest } from './documents.ts';
import { str } from './documents.ts';
import { worldLints } from './lints.ts';
import { referencesIn } from './references.ts';
import { type ManifestWorld, metaOf, type WorldConfig } from './world.ts';

/** Ids are stable: pipelines filter by them. */
export const findingRules = {
  'broken-document': 'The document is not YAML or JSON, or no Kubernetes object.',
  'invalid-field': 'The policy does not fit the schema of its kind; the API server would refuse it.',
  'invalid-policy': 'The policy has an error; Axoneme would refuse it and enforce nothing of it.',
  'not-supported': 'A part of the policy is not supported and compiled on the safe side.',
  'probably-not-meant': 'The policy is valid, but does something else than it seems to say.',
  'selects-nobody': 'The policy selects none of the workloads in the input.',
  'peer-selects-nobody': 'A peer of the policy is none of the workloads in the input.',
  'unknown-port-name': 'No container in question defines the port name; the rule is skipped.',
  'never-decides': 'A stronger rule stands above this one for every subject in the input.',
  'missing-reference': 'The policy names a Service or CIDR group that is not in the input; that peer is nobody.',
  'defined-twice': 'Two documents define the same object; which one wins depends on the order they are applied in.',
} as const;
export type FindingRule = keyof typeof findingRules;

export interface Finding {
  readonly level: 'error' | 'warning';
  readonly rule: FindingRule;
  readonly file: string;
  readonly document: number;
  readonly line: number;
  /** `kind namespace/name`; empty for a broken document. */
  readonly object: string;
  /** Empty where it is about the whole object. */
  readonly path: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

export interface ValidPolicy {
  readonly manifest: Manifest;
  readonly parsed: ParsedPolicy;
  /** Without references. */
  readonly rules: readonly Rule[];
}

export interface Validation {
  readonly findings: readonly Finding[];
  readonly policies: readonly ValidPolicy[];
  readonly invariants: readonly Invariant[];
  /** Policies, invariants and CIDR groups. */
  readonly checked: number;
}

export function objectName(m: Manifest): string {
  const { namespace, name } = metaOf(m.object);
  return `${str(m.object.kind)} ${str(namespace) === '' ? '' : `${str(namespace)}/`}${str(name)}`;
}

export const brokenFinding = (b: BrokenDocument): Finding => ({
  level: 'error',
  rule: 'broken-document',
  file: b.file,
  document: b.document,
  line: b.line,
  object: '',
  path: '',
  message: b.message,
});

export function findingAt(
  m: Manifest,
  about: Pick<Finding, 'level' | 'rule' | 'path' | 'message'> & { readonly hint?: string | undefined },
): Finding {
  const { hint, ...rest } = about;
  return {
    ...rest,
    file: m.file,
    document: m.document,
    line: m.lineOf(about.path),
    object: objectName(m),
    ...(hint === undefined ? {} : { hint }),
  };
}

const issueRules: Readonly<Record<PolicyIssue['severity'], FindingRule>> = {
  error: 'invalid-policy',
  unsupported: 'not-supported',
  lint: 'probably-not-meant',
};

/** The object as the operator gets it: a namespaced one has its namespace. */
export function policyObject(m: Manifest, config: WorldConfig): PolicyObject {
  const metadata = metaOf(m.object);
  const namespaced = ['CiliumNetworkPolicy', 'NetworkPolicy'].includes(str(m.object.kind));
  const namespace = namespaced ? { namespace: str(metadata.namespace) || config.defaultNamespace } : {};
  return { ...m.object, metadata: { ...metadata, ...namespace } } as unknown as PolicyObject;
}

const schemas = { CiliumNetworkPolicy: ciliumNetworkPolicy, CiliumClusterwideNetworkPolicy: ciliumClusterwideNetworkPolicy } as const;

/** What the API server would refuse before any of us sees it; fields the parser has an opinion of are left to it. */
function schemaFindings(m: Manifest, known: readonly PolicyIssue[]): Finding[] {
  const kind = str(m.object.kind);
  if (kind !== 'CiliumNetworkPolicy' && kind !== 'CiliumClusterwideNetworkPolicy') return [];
  const checked = parseWith(schemas[kind], kind, m.object);
  if (checked.ok) return [];
  return schemaIssues(checked.error)
    .filter((s) => !known.some((i) => i.severity === 'error' && (i.path.startsWith(s.path) || s.path.startsWith(i.path))))
    .map((s) => findingAt(m, { level: 'error', rule: 'invalid-field', path: s.path, message: s.message, hint: s.hint }));
}

export function validate(documents: Documents, world: ManifestWorld, config: WorldConfig): Validation {
  const findings: Finding[] = documents.broken.map(brokenFinding);
  const policies: ValidPolicy[] = [];
  const references = referencesIn(world, config);
  const addIssues = (m: Manifest, issues: readonly PolicyIssue[]): void => {
    for (const i of issues)
      findings.push(findingAt(m, { ...i, level: i.severity === 'error' ? 'error' : 'warning', rule: issueRules[i.severity] }));
  };
  for (const manifest of world.policies) {
    const parsed = parsePolicy(policyObject(manifest, config), { clusterName: config.clusterName });
    const issues = parsed.ok ? parsed.value.issues : parsed.error;
    const schema = schemaFindings(manifest, issues);
    findings.push(...schema);
    addIssues(manifest, issues);
    if (!parsed.ok) continue;
    const { rules, missing } = bindRules(parsed.value.rules, references);
    if (schema.length === 0) policies.push({ manifest, parsed: parsed.value, rules });
    for (const message of missing.filter((t) => world.services.length > 0 || !isAboutServices(t)))
      findings.push(findingAt(manifest, { level: 'warning', rule: 'missing-reference', path: 'spec', message }));
    findings.push(...rules.flatMap((r) => worldLints(r, world)).map((l) => findingAt(manifest, { level: 'warning', ...l })));
  }
  for (const m of world.cidrGroups) addIssues(m, parseCidrGroup(m.object).issues);
  const invariants = world.invariants.flatMap((m) => {
    const parsed = parseInvariant(m.object, { clusterName: config.clusterName });
    if (!parsed.ok) addIssues(m, parsed.error);
    return parsed.ok ? [parsed.value] : [];
  });
  const checked = world.policies.length + world.invariants.length + world.cidrGroups.length;
  findings.push(...duplicates([...world.policies, ...world.cidrGroups, ...world.invariants], config));
  return { findings: findings.map(trimmed).sort(byPlace), policies, invariants, checked };
}

/** Without any Service in the input nothing is said about Services. */
const isAboutServices = (text: string): boolean => /\bService\b/.test(text);

/** `severity` of an issue must not leak into the output. */
const trimmed = ({ level, rule, file, document, line, object, path, message, hint }: Finding): Finding => ({
  level,
  rule,
  file,
  document,
  line,
  object,
  path,
  message,
  ...(hint === undefined ? {} : { hint }),
});

export const byPlace = (a: Finding, b: Finding): number =>
  a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || (a.rule < b.rule ? -1 : a.rule > b.rule ? 1 : 0);

function duplicates(manifests: readonly Manifest[], config: WorldConfig): Finding[] {
  const first = new Map<string, Manifest>();
  const out: Finding[] = [];
  for (const m of manifests) {
    const { namespace, name } = policyObject(m, config).metadata;
    const key = `${str(m.object.kind)} ${namespace ?? ''}/${name ?? ''}`;
    const other = first.get(key);
    if (other === undefined) first.set(key, m);
    else
      out.push(
        findingAt(m, {
          level: 'warning',
          rule: 'defined-twice',
          path: '',
          message: `is also defined in ${other.file}, line ${other.line}`,
        }),
      );
  }
  return out;
}
