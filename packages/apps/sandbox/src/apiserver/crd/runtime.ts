// Everything particular to custom resources on the write path. Called by ../rest.
import type { Clock } from '@axoneme/std';
import { clone, nameOf } from '../obj.ts';
import type { Registry, Resource } from '../registry.ts';
import type { WriteContext } from '../rest/context.ts';
import { unknownFields } from '../schema/unknown.ts';
import { badRequest, type Cause } from '../status-error.ts';
import type { MemoryStore } from '../store/memory.ts';
import type { KubeObject } from '../types.ts';
import { createCelRunner } from './cel.ts';
import { establishedStatus, resourcesOf } from './establish.ts';
import { applyDefaults, prune } from './prune.ts';
import { validateValue } from './values.ts';

export const crdStorage = 'apiextensions.k8s.io/customresourcedefinitions';

export interface CustomRuntime {
  /** Pruned and defaulted; owns its argument. */
  prepare(r: Resource, o: KubeObject): KubeObject;
  validate(r: Resource, o: KubeObject, old: KubeObject | undefined): Cause[];
  /** An applied configuration without fields the schema does not know (any kind); reports them first. */
  dropUnknown(r: Resource, config: KubeObject, ctx: WriteContext): KubeObject;
  /** Last touch before a CRD is stored: its status. */
  beforeCommit(r: Resource, o: KubeObject, old: KubeObject | undefined): void;
}

export function createCustomRuntime(store: MemoryStore, registry: Registry, clock: Clock): CustomRuntime {
  const cel = createCelRunner();
  store.listen(crdStorage, (c) => {
    const served = resourcesOf(c.object);
    registry.setCustom(nameOf(c.object), c.type === 'DELETED' ? [] : served);
    // the objects of a kind go with its definition
    const storage = served[0]?.storage;
    if (c.type === 'DELETED' && storage !== undefined) for (const o of store.list(storage, '')) store.remove(storage, o);
  });
  return {
    prepare(r, o) {
      const out = prune(o, r.schema) as KubeObject;
      applyDefaults(out, r.schema);
      return out;
    },
    validate(r, o, old) {
      const out: Cause[] = [];
      validateValue(o, r.schema, '', out);
      if (!cel.hasRules(r.schema)) return out;
      if (out.length > 0 && out.some((c) => c.reason !== 'FieldValueDuplicate')) {
        out.push({
          reason: 'FieldValueInvalid',
          field: '',
          message:
            'Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
        });
        return out;
      }
      cel.run(o, old, r.schema, '', out);
      return out;
    },
    dropUnknown(r, config, ctx) {
      const unknown = unknownFields(config, r.schema);
      if (unknown.length === 0) return config;
      const texts = unknown.map((p) => `unknown field ${JSON.stringify(p)}`);
      if (ctx.fieldValidation === 'Strict')
        throw badRequest(
          `failed to create typed patch object (${config.metadata.namespace ?? ''}/${nameOf(config)}; ${config.apiVersion}, Kind=${r.kind}): ${unknown.map((p) => `.${p}: field not declared in schema`).join(', ')}`,
        );
      if (ctx.fieldValidation === 'Warn') ctx.warnings.push(...texts);
      return prune(clone(config), r.schema) as KubeObject;
    },
    beforeCommit(r, o) {
      if (r.storage === crdStorage) o.status = establishedStatus(o, clock.nowMs());
    },
  };
}
