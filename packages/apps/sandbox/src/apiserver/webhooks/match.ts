// Which webhooks a request concerns: rules, selectors, match conditions. Called by ./run.ts.
import { toCel } from '../crd/cel.ts';
import { createCelEnvironment } from '../crd/cel-env.ts';
import { asList, asObj, asStr, type Obj } from '../obj.ts';
import type { MemoryStore } from '../store/memory.ts';
import { selectorMatches } from '../store/selector.ts';
import type { AdmissionRequest } from '../types.ts';

const celVariables = ['object', 'oldObject', 'request'];
let environment: ReturnType<typeof createCelEnvironment> | undefined;

export function webhookMatches(store: MemoryStore, hook: Obj, r: AdmissionRequest, namespaced: boolean): boolean {
  if (!asList(hook.rules).some((rule) => ruleMatches(asObj(rule), r, namespaced, hook.matchPolicy !== 'Exact'))) return false;
  if (!namespaceMatches(store, hook.namespaceSelector, r)) return false;
  const objects = [r.object, r.oldObject].filter((o) => o !== undefined);
  if (hook.objectSelector !== undefined && !objects.some((o) => selectorMatches(hook.objectSelector, o.metadata.labels ?? {})))
    return false;
  return asList(hook.matchConditions).every((c) => conditionHolds(asStr(asObj(c).expression), r));
}

function ruleMatches(rule: Obj, r: AdmissionRequest, namespaced: boolean, anyVersion: boolean): boolean {
  const has = (list: unknown, v: string): boolean => asList(list).includes('*') || asList(list).includes(v);
  if (!has(rule.operations, r.operation) || !has(rule.apiGroups, r.gvr.group)) return false;
  if (!anyVersion && !has(rule.apiVersions, r.gvr.version)) return false;
  if (rule.scope === 'Namespaced' && !namespaced) return false;
  if (rule.scope === 'Cluster' && namespaced) return false;
  const { resource } = r.gvr;
  return asList(rule.resources).some((want) => {
    const [res, sub = ''] = asStr(want).split('/');
    return (res === '*' || res === resource) && (sub === '*' || sub === r.subresource);
  });
}

function namespaceMatches(store: MemoryStore, selector: unknown, r: AdmissionRequest): boolean {
  if (selector === undefined) return true;
  if (r.gvr.group === '' && r.gvr.resource === 'namespaces')
    return selectorMatches(selector, (r.object ?? r.oldObject)?.metadata.labels ?? {});
  if (r.namespace === '') return true;
  return selectorMatches(selector, store.get('/namespaces', '', r.namespace)?.metadata.labels ?? {});
}

/** A condition that cannot be evaluated counts as met: the webhook's failure policy is the safer judge. */
function conditionHolds(expression: string, r: AdmissionRequest): boolean {
  environment ??= createCelEnvironment(celVariables);
  const request = {
    operation: r.operation,
    name: r.name,
    namespace: r.namespace,
    subResource: r.subresource,
    dryRun: r.dryRun,
    userInfo: r.user,
  };
  try {
    return environment.evaluate(expression, { object: toCel(r.object ?? null), oldObject: toCel(r.oldObject ?? null), request }) !== false;
  } catch {
    return true;
  }
}
