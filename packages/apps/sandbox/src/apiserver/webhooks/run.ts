// Calls the webhooks that Mutating- and ValidatingWebhookConfigurations name. Called by ../rest/admission.ts.
import { asList, asObj, asStr, isObj, type Obj } from '../obj.ts';
import { jsonPatch } from '../patch/json.ts';
import type { Registry } from '../registry.ts';
import { badRequest, StatusError } from '../status-error.ts';
import type { MemoryStore } from '../store/memory.ts';
import type { AdmissionRequest, Gvr, KubeObject, ServiceDial } from '../types.ts';
import { callWebhook } from './call.ts';
import { webhookMatches } from './match.ts';

export interface Webhooks {
  mutate(r: AdmissionRequest, warnings: string[]): Promise<KubeObject | undefined>;
  /** False when no validating webhook exists at all. */
  concerns(g: Gvr): boolean;
  validate(r: AdmissionRequest, warnings: string[]): Promise<void>;
}

export interface WebhookDeps {
  readonly store: MemoryStore;
  readonly registry: Registry;
  readonly uuid: () => string;
  readonly dial: ServiceDial;
}

const configGroup = 'admissionregistration.k8s.io';
const mutatingStorage = `${configGroup}/mutatingwebhookconfigurations`;
const validatingStorage = `${configGroup}/validatingwebhookconfigurations`;

export function createWebhooks(d: WebhookDeps): Webhooks {
  const matching = (storage: string, r: AdmissionRequest): Obj[] => {
    if (r.gvr.group === configGroup) return [];
    const namespaced = d.registry.get(r.gvr)?.namespaced === true;
    return d.store
      .list(storage, '')
      .flatMap((c) => asList(c.webhooks).map(asObj))
      .filter((hook) => webhookMatches(d.store, hook, r, namespaced));
  };
  return {
    async mutate(r, warnings) {
      let object = r.object;
      for (const hook of matching(mutatingStorage, r)) {
        const response = await ask(d, hook, { ...r, object }, warnings);
        if (response === undefined || typeof response.patch !== 'string' || object === undefined) continue;
        object = jsonPatch(object, JSON.parse(Buffer.from(response.patch, 'base64').toString('utf8'))) as KubeObject;
      }
      return object;
    },
    concerns: (g) => g.group !== configGroup && d.store.collection(validatingStorage).size() > 0,
    async validate(r, warnings) {
      await Promise.all(matching(validatingStorage, r).map((hook) => ask(d, hook, r, warnings)));
    },
  };
}

/** The response of one webhook; undefined when it failed and may be ignored. Throws when it denies. */
async function ask(d: WebhookDeps, hook: Obj, r: AdmissionRequest, warnings: string[]): Promise<Obj | undefined> {
  const name = asStr(hook.name);
  if (r.dryRun && hook.sideEffects !== 'None' && hook.sideEffects !== 'NoneOnDryRun') {
    throw badRequest(`admission webhook "${name}" does not support dry run`);
  }
  let response: Obj;
  try {
    response = await callWebhook(
      { clientConfig: asObj(hook.clientConfig), timeoutSeconds: Number(hook.timeoutSeconds ?? 10) },
      reviewOf(d, r),
      d.dial,
    );
  } catch (e) {
    if (hook.failurePolicy === 'Ignore') return undefined;
    const why = e instanceof Error ? e.message : String(e);
    throw new StatusError(
      500,
      'InternalError',
      `Internal error occurred: failed calling webhook "${name}": failed to call webhook: ${why}`,
      {
        causes: [{ message: `failed calling webhook "${name}": ${why}` }],
      },
    );
  }
  for (const w of asList(response.warnings)) warnings.push(String(w));
  if (response.allowed === true) return response;
  const status = asObj(response.status);
  const message = asStr(status.message);
  throw new StatusError(
    typeof status.code === 'number' && status.code >= 400 ? status.code : 403,
    asStr(status.reason) || 'Forbidden',
    message === ''
      ? `admission webhook "${name}" denied the request without explanation`
      : `admission webhook "${name}" denied the request: ${message}`,
    isObj(status.details) ? status.details : undefined,
  );
}

function reviewOf(d: WebhookDeps, r: AdmissionRequest): Obj {
  const { group, version, resource } = r.gvr;
  const kind = { group, version, kind: r.kind };
  const optionKinds = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions' };
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid: d.uuid(),
      kind,
      resource: r.gvr,
      requestKind: kind,
      requestResource: { group, version, resource },
      ...(r.subresource === '' ? {} : { subResource: r.subresource, requestSubResource: r.subresource }),
      name: r.name,
      ...(r.namespace === '' ? {} : { namespace: r.namespace }),
      operation: r.operation,
      userInfo: r.user,
      object: r.object ?? null,
      oldObject: r.oldObject ?? null,
      dryRun: r.dryRun,
      options: { kind: optionKinds[r.operation], apiVersion: 'meta.k8s.io/v1' },
    },
  };
}
