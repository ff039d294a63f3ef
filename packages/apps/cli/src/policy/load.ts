// Paths → documents → world → model, with complaints about what could not be read. Called by `verdict`, `why` and `plan`.
import type { Output } from '../output.ts';
import type { Documents } from './documents.ts';
import { validate } from './findings.ts';
import { createModel, type Model } from './model.ts';
import { messageText } from './sarif.ts';
import { buildWorld, type WorldConfig } from './world.ts';

/** A policy with errors counts for nothing, as in the cluster; that is said, because it changes the answer. */
export function loadModel(documents: Documents, config: WorldConfig, err: Output): Model {
  const world = buildWorld(documents.manifests, config);
  const { findings, policies } = validate(documents, world, config);
  for (const f of findings) if (f.level === 'error') err.write(`${f.file}:${f.line}: ignored: ${messageText(f)}\n`);
  return createModel(
    world,
    policies.flatMap((p) => p.rules),
    config,
  );
}
