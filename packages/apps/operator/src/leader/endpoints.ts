// Leader duty: one CiliumEndpoint per reported endpoint, so that `kubectl get ciliumendpoints` shows identity and addresses. Called by leader.ts.

import { canonicalJson, createYielder } from '@axoneme/std';
import { isKubeError, type KubeClient } from 'kopf-ts';
import { labelsOfIdentity } from '../compile/pods.ts';
import { ciliumResources } from '../sources/sources.ts';
import { type EndpointRow, keyOf, type PodRow } from '../world/rows.ts';
import type { World } from '../world/world.ts';

export interface EndpointWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly assertLeader: () => void;
}

const WRITES_AT_ONCE = 8;

function statusOf(e: EndpointRow, pod: PodRow, world: World): Record<string, unknown> {
  const identity = world.tables.identities.get(String(e.identity));
  const v4 = e.addresses.find((a) => !a.includes(':'));
  const v6 = e.addresses.find((a) => a.includes(':'));
  const nodeAddress = world.tables.nodes.get(e.node)?.internalAddresses[0];
  return {
    id: e.endpointId,
    state: e.state,
    identity: {
      id: e.identity,
      labels: identity === undefined ? [] : labelsOfIdentity(identity).list.map((l) => `${l.source}:${l.key}=${l.value}`),
    },
    networking: {
      addressing: [{ ...(v4 === undefined ? {} : { ipv4: v4 }), ...(v6 === undefined ? {} : { ipv6: v6 }) }],
      ...(nodeAddress === undefined ? {} : { node: nodeAddress }),
    },
    'external-identifiers': { 'k8s-namespace': e.namespace, 'k8s-pod-name': e.pod, 'pod-name': keyOf(e.namespace, e.pod) },
    ...(pod.namedPorts.length === 0 ? {} : { 'named-ports': pod.namedPorts }),
  };
}

/** Wanted objects by key; an endpoint of a pod that is gone has none (the owner reference removes its object). */
function wantedObjects(
  world: World,
): Map<string, { text: string; object: Record<string, unknown> & { metadata: { name: string; namespace: string } } }> {
  const out = new Map();
  for (const e of world.tables.endpoints.values()) {
    const pod = world.tables.pods.get(keyOf(e.namespace, e.pod));
    if (pod === undefined || pod.uid !== e.uid || e.state === 'disconnected') continue;
    const object = {
      metadata: {
        name: e.pod,
        namespace: e.namespace,
        labels: pod.labels,
        ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: e.pod, uid: e.uid }],
      },
      status: statusOf(e, pod, world),
    };
    out.set(keyOf(e.namespace, e.pod), { text: canonicalJson(object), object });
  }
  return out;
}

export function createEndpointWriter(deps: EndpointWriterDeps): () => Promise<void> {
  const { client, world } = deps;
  const written = new Map<string, string>();

  const put = async (
    key: string,
    text: string,
    object: Record<string, unknown> & { metadata: { name: string; namespace: string } },
  ): Promise<void> => {
    deps.assertLeader();
    const ref = { name: object.metadata.name, namespace: object.metadata.namespace };
    try {
      await client.patch(ciliumResources.endpoints, ref, { type: 'apply', body: object, fieldManager: 'axoneme-operator', force: true });
      written.set(key, text);
    } catch (e) {
      // the namespace is going away, and the pod with it
      if (!isKubeError(e, 'kube/forbidden') && !isKubeError(e, 'kube/not-found')) throw e;
    }
  };

  const drop = async (key: string): Promise<void> => {
    deps.assertLeader();
    const [namespace, name] = key.split('/') as [string, string];
    try {
      await client.delete(ciliumResources.endpoints, { namespace, name });
    } catch (e) {
      if (!isKubeError(e, 'kube/not-found')) throw e;
    }
    written.delete(key);
  };

  return async () => {
    const wanted = wantedObjects(world);
    const pause = createYielder();
    const jobs: (() => Promise<void>)[] = [];
    for (const [key, w] of wanted) if (written.get(key) !== w.text) jobs.push(() => put(key, w.text, w.object));
    for (const key of written.keys()) if (!wanted.has(key)) jobs.push(() => drop(key));
    for (let i = 0; i < jobs.length; i += WRITES_AT_ONCE) {
      await Promise.all(jobs.slice(i, i + WRITES_AT_ONCE).map((j) => j()));
      await pause();
    }
  };
}
