// Leader duty: one CiliumEndpoint per reported endpoint, so that `kubectl get ciliumendpoints` shows identity and addresses. Called by leader.ts.

import { canonicalJson, createYielder } from '@axoneme/std';
import { isKubeError, type KubeClient } from 'kopf-ts';
import { labelsOfIdentity } from '../compile/pods.ts';
import { ciliumResources } from '../sources/sources.ts';
import { type EndpointRow, type IdentityRow, keyOf, type PodRow } from '../world/rows.ts';
import type { World } from '../world/world.ts';

export interface EndpointWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly assertLeader: () => void;
}

const WRITES_AT_ONCE = 8;

function statusOf(
  e: EndpointRow,
  pod: PodRow,
  identity: IdentityRow | undefined,
  nodeAddress: string | undefined,
): Record<string, unknown> {
  const v4 = e.addresses.find((a) => !a.includes(':'));
  const v6 = e.addresses.find((a) => a.includes(':'));
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

type EndpointObject = Record<string, unknown> & { metadata: { name: string; namespace: string; [k: string]: unknown } };

interface Wanted {
  readonly text: string;
  readonly object: EndpointObject;
}

/** What an object is made of. Rows are immutable: the same ones make the same object. */
interface Parts {
  readonly pod: PodRow;
  readonly identity: IdentityRow | undefined;
  readonly nodeAddress: string | undefined;
}

function objectOf(e: EndpointRow, { pod, identity, nodeAddress }: Parts): EndpointObject {
  return {
    metadata: {
      name: e.pod,
      namespace: e.namespace,
      labels: pod.labels,
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: e.pod, uid: e.uid }],
    },
    status: statusOf(e, pod, identity, nodeAddress),
  };
}

/** Wanted objects by key; an endpoint of a pod that is gone has none (the owner reference removes its object). */
function createWantedObjects(world: World): () => Map<string, Wanted> {
  const memo = new WeakMap<EndpointRow, Parts & Wanted>();
  const wantedOf = (e: EndpointRow, parts: Parts): Wanted => {
    const held = memo.get(e);
    if (held?.pod === parts.pod && held.identity === parts.identity && held.nodeAddress === parts.nodeAddress) return held;
    const object = objectOf(e, parts);
    const made = { ...parts, object, text: canonicalJson(object) };
    memo.set(e, made);
    return made;
  };
  return () => {
    const { endpoints, pods, identities, nodes } = world.tables;
    const out = new Map<string, Wanted>();
    for (const e of endpoints.values()) {
      const key = keyOf(e.namespace, e.pod);
      const pod = pods.get(key);
      if (pod === undefined || pod.uid !== e.uid || e.state === 'disconnected') continue;
      const parts = { pod, identity: identities.get(String(e.identity)), nodeAddress: nodes.get(e.node)?.internalAddresses[0] };
      out.set(key, wantedOf(e, parts));
    }
    return out;
  };
}

export function createEndpointWriter(deps: EndpointWriterDeps): () => Promise<void> {
  const { client, world } = deps;
  const wantedObjects = createWantedObjects(world);
  const written = new Map<string, string>();

  const put = async (key: string, { text, object }: Wanted): Promise<void> => {
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
    const wanted = wantedObjects();
    const pause = createYielder();
    const jobs: (() => Promise<void>)[] = [];
    for (const [key, w] of wanted) if (written.get(key) !== w.text) jobs.push(() => put(key, w));
    for (const key of written.keys()) if (!wanted.has(key)) jobs.push(() => drop(key));
    for (let i = 0; i < jobs.length; i += WRITES_AT_ONCE) {
      await Promise.all(jobs.slice(i, i + WRITES_AT_ONCE).map((j) => j()));
      await pause();
    }
  };
}
