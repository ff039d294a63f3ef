// Leader duty: the chart makes the webhook configuration, we put the CA into it and nothing else. Called by wiring.ts.
import type { Clock } from '@axoneme/std';
import { isKubeError, type KubeClient, type LooseObject, type Resource } from 'kopf-ts';
import { asObject } from './kinds.ts';

export const WEBHOOK_CONFIGURATION = 'axoneme-policy';

const resource: Resource = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  plural: 'validatingwebhookconfigurations',
  kind: 'ValidatingWebhookConfiguration',
  namespaced: false,
};

/** Somebody may put the configuration back as the chart has it; looked for now and then, not at every wake-up. */
export const CA_BUNDLE_LOOK_MS = 5_000;

export interface CaBundleDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly caPem: string;
  readonly assertLeader: () => void;
}

/** Resolves quickly when there is nothing to do. Without the configuration there is nothing to do: the webhook is switched off. */
export function createCaBundleWriter(deps: CaBundleDeps): () => Promise<void> {
  const bundle = Buffer.from(deps.caPem, 'utf8').toString('base64');
  let lookAt = 0;
  return async () => {
    const now = deps.clock.monotonicMs();
    if (now < lookAt) return;
    // one look a period, however often we are woken
    const ref = { name: WEBHOOK_CONFIGURATION };
    const held = await deps.client.find<LooseObject>(resource, ref);
    const hooks = (Array.isArray(held?.webhooks) ? held.webhooks : []).map(asObject);
    const body = hooks.flatMap((h, i) =>
      asObject(h.clientConfig).caBundle === bundle
        ? []
        : [
            { op: 'test', path: `/webhooks/${i}/name`, value: h.name },
            { op: 'add', path: `/webhooks/${i}/clientConfig/caBundle`, value: bundle },
          ],
    );
    if (body.length > 0) {
      deps.assertLeader();
      try {
        await deps.client.patch(resource, ref, { type: 'json', body });
      } catch (e) {
        if (!isKubeError(e, 'kube/not-found')) throw e;
      }
    }
    lookAt = now + CA_BUNDLE_LOOK_MS / 2;
  };
}
