// Paths → documents → world → model, with complaints about what could not be read. Called by `verdict`, `why` and `plan`.
import type { Output } from '../output.ts';
import type { Documents } from './documents.ts';
import { validate } from './findings.ts';
import { createModel, type Model } from './model.ts';
import type { PlanInput } from './plan-report.ts';
import { messageText } from './sarif.ts';
import { buildWorld, type WorldConfig } from './world.ts';

/** A policy with errors counts for nothing, as in the cluster; that is said, because it changes the answer. */
export function loadInput(documents: Documents, config: WorldConfig, err: Output): PlanInput {
  const world = buildWorld(documents.manifests, config);
  const { findings, policies, invariants } = validate(documents, world, config);
  for (const f of findings) if (f.level === 'error') err.write(`${f.file}:${f.line}: ignored: ${messageText(f)}\n`);
  const rules = policies.flatMap((p) => p.rules);
  return { model: createModel(world, rules, config), invariants };
}

export const loadModel = (documents: Documents, config: WorldConfig, err: Output): Model => loadInput(documents, config, err).model;
