// Rules that can never decide because a stronger one stands above them, as the operator's compiler reports them. Called by `policy validate`.
import { compileSide, createNumbering, originText } from '@axoneme/policy';
import { type Finding, findingAt, type Validation } from './findings.ts';
import { pathOfEntry } from './lints.ts';
import { createModel, planState } from './model.ts';
import type { ManifestWorld, WorldConfig } from './world.ts';

/** Silent without workloads. */
export function coveredFindings({ policies }: Validation, world: ManifestWorld, config: WorldConfig): Finding[] {
  if (!world.workloads.some((w) => !w.hostNetwork)) return [];
  const model = createModel(
    world,
    policies.flatMap((p) => p.rules),
    config,
  );
  const { compiler } = compileSide(planState(model, true), createNumbering());
  return policies.flatMap(({ manifest, parsed, rules }) =>
    (compiler.report(parsed.key)?.shadowed ?? []).flatMap((s) => {
      const rule = rules.find((r) => r.origins.some((o) => o.id === s.rule));
      const by = compiler.origin(s.by);
      if (rule === undefined) return [];
      const message = `never decides: ${by === undefined ? 'another rule' : originText(by)} stands above it`;
      return [findingAt(manifest, { level: 'warning', rule: 'never-decides', path: pathOfEntry(rule, { id: s.rule }), message })];
    }),
  );
}
