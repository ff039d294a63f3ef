// One layer alone: what is enforced in tier normal. For callers that know no tiers; the layered compilers do the work.
import { type IdentityId, reservedIds } from '@axoneme/model';
import { compileLayers, type PolicySnapshot } from './compile-layers.ts';
import type { LayeredDelta } from './compiler-subjects.ts';
import type { SubjectSet } from './layer-plan.ts';
import { createLayeredCompiler, type LayeredCompiler, type PolicyChanges } from './layers.ts';
import { noRows, type PolicyHandle, type PolicyRows } from './rows.ts';
import type { OriginTable } from './rule-id.ts';
import { noDefaults, type PolicyConfig, type SubjectPolicy } from './subjects.ts';

export interface PolicyTable extends OriginTable {
  readonly subjects: ReadonlyMap<IdentityId, SubjectPolicy>;
  /** Without the empty one. */
  readonly policies: ReadonlyMap<PolicyHandle, PolicyRows>;
}

export interface PolicyDelta extends Omit<LayeredDelta, 'subjects'> {
  readonly subjects: readonly SubjectPolicy[];
}

export interface PolicyCompiler extends Omit<LayeredCompiler, 'update' | 'subject' | 'table'> {
  update(changes: PolicyChanges): PolicyDelta;
  subject(id: IdentityId): SubjectPolicy | undefined;
  table(): PolicyTable;
}

/** A node without host policy. */
const hostSubject = (config: PolicyConfig): SubjectPolicy => ({
  identity: reservedIds.host,
  rows: noRows,
  usesClasses: false,
  defaultDeny: noDefaults.isolation,
  denyRules: noDefaults.denyRules,
  allowLocalhost: config.allowLocalhost,
});

const normalOf = (subjects: ReadonlyMap<IdentityId, SubjectSet>, config: PolicyConfig): Map<IdentityId, SubjectPolicy> =>
  new Map([[reservedIds.host, hostSubject(config)], ...[...subjects].map(([id, s]) => [id, s.layers.normal] as const)]);

export function compileAll(snapshot: PolicySnapshot, config: PolicyConfig): PolicyTable {
  const table = compileLayers(snapshot, config);
  return { ...table, subjects: normalOf(table.subjects, config) };
}

export function createPolicyCompiler(config: PolicyConfig): PolicyCompiler {
  const inner = createLayeredCompiler(config);
  return {
    ...inner,
    update(changes) {
      const delta = inner.update(changes);
      return { ...delta, subjects: delta.subjects.map((s) => s.layers.normal) };
    },
    subject: (id) => (id === reservedIds.host ? hostSubject(config) : inner.subject(id)?.layers.normal),
    table() {
      const table = inner.table();
      return { ...table, subjects: normalOf(table.subjects, config) };
    },
  };
}
