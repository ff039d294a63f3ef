// The objects of a running cluster as documents, read from the API server with the rights of the user. Called by the `policy` commands when they
// are given no manifests.
import { crdResources } from '@axoneme/crds';
import { AppError } from '@axoneme/std';
import { isKubeError, type KubeClient, type LooseObject, type Resource, resources } from 'kopf-ts';
import { type ConnectOptions, connectTo } from '../connect.ts';
import { exitCodeOf, exitCodes } from '../failure.ts';
import { type Documents, type Json, type Manifest, obj, str } from './documents.ts';
import type { WorldConfig } from './world.ts';

export interface LiveCluster {
  readonly documents: Documents;
  /** As the operator is configured. */
  readonly config: WorldConfig;
}

const workload = (group: string, plural: string, kind: string): Resource => ({ group, version: 'v1', plural, kind, namespaced: true });

/** Needed to answer at all. */
const needed: readonly Resource[] = [resources.namespaces, resources.pods];

/** Kinds that may not be installed, or that the user may not list: the answer is told to lack them. */
const wanted: readonly Resource[] = [
  crdResources.networkPolicies,
  crdResources.clusterwidePolicies,
  workload('networking.k8s.io', 'networkpolicies', 'NetworkPolicy'),
  crdResources.adminPolicies,
  crdResources.baselinePolicies,
  crdResources.clusterPolicies,
  crdResources.cidrGroups,
  crdResources.invariants,
  crdResources.nodes,
  resources.nodes,
  resources.services,
  resources.endpointSlices,
  workload('apps', 'deployments', 'Deployment'),
  workload('apps', 'statefulsets', 'StatefulSet'),
  workload('apps', 'daemonsets', 'DaemonSet'),
  workload('apps', 'replicasets', 'ReplicaSet'),
  workload('batch', 'jobs', 'Job'),
  workload('batch', 'cronjobs', 'CronJob'),
];

const pageSize = 500;

async function readAll(kube: KubeClient, resource: Resource): Promise<Manifest[]> {
  const out: Manifest[] = [];
  const apiVersion = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
  for await (const page of kube.pages<LooseObject>(resource, { limit: pageSize })) {
    for (const item of page.items) {
      const object = { ...item, apiVersion, kind: resource.kind } as Json;
      out.push({ file: 'cluster', document: 1, line: 1, object, lineOf: () => 1 });
    }
  }
  return out;
}

/** The usual exit code of a cluster that cannot be reached means "denied" here. */
function notDenied(e: unknown): unknown {
  if (!(e instanceof AppError) || exitCodeOf(e) !== exitCodes.unreachable) return e;
  return new AppError({ code: 'cli/no-cluster', message: e.message, ...(e.hint === undefined ? {} : { hint: e.hint }), cause: e });
}

function openCluster(o: ConnectOptions): KubeClient {
  try {
    return connectTo(o);
  } catch (e) {
    throw notDenied(e);
  }
}

export async function readCluster(o: ConnectOptions, warn: (text: string) => void): Promise<LiveCluster> {
  const kube = openCluster(o);
  try {
    const manifests: Manifest[] = [];
    for (const r of needed) manifests.push(...(await readAll(kube, r)));
    for (const r of wanted) {
      try {
        manifests.push(...(await readAll(kube, r)));
      } catch (e) {
        if (isKubeError(e, 'kube/forbidden')) warn(`not allowed to list ${r.plural}: the answer does not know of them\n`);
        else if (!isKubeError(e, 'kube/not-found')) throw e;
      }
    }
    return { documents: { manifests: manifests.filter(isCurrent), broken: [] }, config: await readConfig(kube, o.namespace, warn) };
  } catch (e) {
    throw notDenied(e);
  } finally {
    kube.close();
  }
}

/** A ReplicaSet of an earlier rollout has no pods, but labels that look alive. */
const isCurrent = (m: Manifest): boolean => str(m.object.kind) !== 'ReplicaSet' || obj(m.object.spec).replicas !== 0;

async function readConfig(kube: KubeClient, namespace: string, warn: (text: string) => void): Promise<WorldConfig> {
  const map = await kube.find<LooseObject>(resources.configMaps, { namespace, name: 'axoneme-config' }).catch((e: unknown) => {
    if (isKubeError(e, 'kube/forbidden')) return undefined;
    throw e;
  });
  const text = str(obj(map?.data)['config.json']);
  if (text === '') warn(`ConfigMap ${namespace}/axoneme-config is not there or may not be read: defaults are assumed\n`);
  let config: Json = {};
  try {
    config = text === '' ? {} : obj(JSON.parse(text));
  } catch (cause) {
    throw new AppError({ code: 'cli/garbage', message: `ConfigMap ${namespace}/axoneme-config holds no JSON`, cause });
  }
  const mode = str(config.policyEnforcementMode);
  return {
    clusterName: str(config.clusterName) || 'default',
    defaultNamespace: 'default',
    enforcement: mode === 'always' || mode === 'never' ? mode : 'default',
  };
}

/** Objects of `over` take the place of those with the same kind and name; their status stays: nobody applies one. */
export function overlay(under: Documents, over: Documents, config: WorldConfig): Documents {
  const keyOf = ({ object }: Manifest): string => {
    const { namespace, name } = obj(object.metadata);
    return `${str(object.kind)} ${str(namespace) || config.defaultNamespace}/${str(name)}`;
  };
  const before = new Map(under.manifests.map((m) => [keyOf(m), m]));
  const put = over.manifests.map((m): Manifest => {
    const old = before.get(keyOf(m));
    if (old === undefined) return m;
    const { status: _written, ...object } = m.object;
    return { ...m, object: old.object.status === undefined ? object : { ...object, status: old.object.status } };
  });
  const replaced = new Set(over.manifests.map(keyOf));
  return { manifests: [...under.manifests.filter((m) => !replaced.has(keyOf(m))), ...put], broken: [...under.broken, ...over.broken] };
}
