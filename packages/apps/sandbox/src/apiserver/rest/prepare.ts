// From a raw body to an object fit for the store: unknown fields, normal form, pruning, defaults, checks. Called by ./write.ts.

import { applyDefaults } from '../kinds/defaults.ts';
import { validateObject } from '../kinds/validate.ts';
import { podStatusCauses } from '../kinds/validate-pod.ts';
import { asObj, clone, isObj, type Obj } from '../obj.ts';
import { apiVersionOf, type Resource } from '../registry.ts';
import { builtinSchema } from '../schema/builtin.ts';
import { normalize, type TypeProblem } from '../schema/normalize.ts';
import { unknownFields } from '../schema/unknown.ts';
import { badRequest, invalid, invalidValue } from '../status-error.ts';
import type { KubeObject } from '../types.ts';
import type { WriteContext } from './context.ts';
import type { RestEnv } from './env.ts';

/** What else is known of a body: fields it names twice, and whether it is the outcome of a patch. */
export interface BodyFacts {
  readonly duplicates?: readonly string[];
  readonly patched?: boolean;
}

/** The stored form of a body: right kind, known fields only, defaults filled in. Not yet checked for meaning. */
export function toTyped(env: RestEnv, r: Resource, raw: unknown, ctx: WriteContext, facts: BodyFacts = {}): KubeObject {
  const o = requireKind(r, raw);
  reportUnknown(r, o, ctx, facts);
  const problems: TypeProblem[] = [];
  const metadata = normalize(o.metadata ?? {}, builtinSchema('ObjectMeta'), problems, 'metadata') as KubeObject['metadata'];
  if (r.custom !== undefined) {
    throwProblems(r, problems);
    return env.custom.prepare(r, { ...clone(o), metadata } as KubeObject);
  }
  const typed = normalize({ ...o, metadata }, r.schema, problems) as KubeObject;
  throwProblems(r, problems);
  const out = { apiVersion: apiVersionOf(r), kind: r.kind, ...typed };
  applyDefaults(r.typeName, out);
  return out;
}

function requireKind(r: Resource, raw: unknown): Obj {
  if (!isObj(raw)) throw badRequest(`the object provided is unrecognized (must be of type ${r.kind})`);
  const want = apiVersionOf(r);
  const { apiVersion = want, kind = r.kind } = raw;
  if (apiVersion !== want || kind !== r.kind) {
    const message =
      kind !== r.kind
        ? `${r.kind} in version "${r.version}" cannot be handled as a ${r.kind}: the object provided is unrecognized: got kind ${String(kind)} in ${String(apiVersion)}`
        : `the API version in the data (${String(apiVersion)}) does not match the expected API version (${want})`;
    throw badRequest(message);
  }
  if (raw.metadata !== undefined && raw.metadata !== null && !isObj(raw.metadata)) throw badRequest('metadata must be an object');
  return { ...raw, apiVersion, kind };
}

function reportUnknown(r: Resource, o: Obj, ctx: WriteContext, facts: BodyFacts): void {
  if (ctx.fieldValidation === 'Ignore') return;
  const unknown = unknownFields(o.metadata ?? {}, builtinSchema('ObjectMeta'), 'metadata');
  const { metadata: _m, ...rest } = o;
  unknown.push(...unknownFields(rest, r.schema));
  const texts = [
    ...unknown.map((p) => `unknown field ${JSON.stringify(p)}`),
    ...(facts.duplicates ?? []).map((p) => `duplicate field ${JSON.stringify(p)}`),
  ];
  if (texts.length === 0) return;
  if (ctx.fieldValidation === 'Warn') {
    ctx.warnings.push(...texts);
    return;
  }
  const strict = `strict decoding error: ${texts.join(', ')}`;
  if (facts.patched === true) throw invalid('', '', '', [invalidValue('patch', JSON.stringify(o), strict)]);
  throw badRequest(`${r.kind} in version "${r.version}" cannot be handled as a ${r.kind}: ${strict}`);
}

function throwProblems(r: Resource, problems: readonly TypeProblem[]): void {
  const p = problems[0];
  if (p === undefined) return;
  throw badRequest(
    `${r.kind} in version "${r.version}" cannot be handled as a ${r.kind}: json: cannot unmarshal ${p.got} into Go struct field ${r.kind}.${p.path} of type ${p.want}`,
  );
}

/** Throws 422 with every cause. `old` is undefined on create. */
export function validate(env: RestEnv, r: Resource, o: KubeObject, old: KubeObject | undefined, subresource: string): void {
  if (r.custom === undefined && subresource !== '' && subresource !== 'status') return;
  const causes = [
    ...(r.typeName === 'Pod' && subresource === 'status' ? podStatusCauses(asObj(o.status), asObj(old?.status)) : []),
    ...(subresource === '' ? validateObject(r, o, old) : []),
    ...(r.custom === undefined ? [] : env.custom.validate(r, o, old)),
  ];
  if (causes.length > 0) throw invalid(r.group, r.kind, o.metadata.name ?? '', causes);
}
