// Made-up clusters at the sizes the requirements name. The same numbers give the same objects.
import { type IdentityId, labelsFromMap } from '@axoneme/model';
import { type ParsedPolicy, type PolicyIdentity, type PolicyObject, parsePolicy } from '@axoneme/policy';
import { invariant } from '@axoneme/std';

export interface Scale {
  readonly identities: readonly PolicyIdentity[];
  readonly policies: readonly ParsedPolicy[];
}

const pod = (id: number, app: string, namespace: string, shared = false): PolicyIdentity => ({
  id: id as IdentityId,
  labels: labelsFromMap({
    'k8s:app': app,
    ...(shared ? { 'k8s:shared': 'yes' } : {}),
    'k8s:io.kubernetes.pod.namespace': namespace,
    'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name': namespace,
    'k8s:io.cilium.k8s.policy.cluster': 'default',
    'k8s:io.cilium.k8s.policy.serviceaccount': 'default',
  }),
});

function parsed(object: PolicyObject): ParsedPolicy {
  const r = parsePolicy(object, { clusterName: 'default' });
  invariant(r.ok, 'the made-up policy is valid');
  return r.value;
}

const cnp = (name: string, namespace: string, spec: object): ParsedPolicy =>
  parsed({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace }, spec });
const app = (name: string): object => ({ matchLabels: { app: name } });
const port = (n: number): object => ({ toPorts: [{ ports: [{ port: String(n), protocol: 'TCP' }] }] });
const FIRST = 1000;

/** Two Deployments a namespace (of two pods each), three policies a namespace: the namespace itself, front to back, back to DNS. */
export function wholeCluster(namespaces: number): Scale {
  const identities: PolicyIdentity[] = [];
  const policies: ParsedPolicy[] = [];
  for (let n = 0; n < namespaces; n++) {
    const ns = `ns-${n}`;
    identities.push(pod(FIRST + 2 * n, 'front', ns), pod(FIRST + 2 * n + 1, 'back', ns));
    policies.push(
      cnp('same-namespace', ns, { endpointSelector: {}, ingress: [{ fromEndpoints: [{}] }] }),
      cnp('front-to-back', ns, { endpointSelector: app('back'), ingress: [{ fromEndpoints: [app('front')], ...port(8000 + (n % 50)) }] }),
      cnp('back-to-dns', ns, {
        endpointSelector: app('back'),
        egress: [{ toEndpoints: [{ matchLabels: { app: 'dns', 'k8s:io.kubernetes.pod.namespace': 'ns-0' } }], ...port(53) }],
      }),
    );
  }
  return { identities, policies };
}

/** Every policy selects every pod, and admits every pod on one of ten ports. */
export function allMatching(policies: number, pods: number): Scale {
  return {
    identities: Array.from({ length: pods }, (_, i) => pod(FIRST + i, `app-${i}`, 'one')),
    policies: Array.from({ length: policies }, (_, i) =>
      cnp(`p-${i}`, 'one', { endpointSelector: {}, ingress: [{ fromEndpoints: [{}], ...port(1000 + (i % 10)) }] }),
    ),
  };
}

/** One policy a pod, each with rows of its own; each admits the first `shared` pods. */
export function ownPolicies(count: number, shared: number): Scale {
  return {
    identities: Array.from({ length: count }, (_, i) => pod(FIRST + i, `app-${i}`, 'one', i < shared)),
    policies: Array.from({ length: count }, (_, i) =>
      cnp(`p-${i}`, 'one', {
        endpointSelector: app(`app-${i}`),
        ingress: [{ fromEndpoints: [{ matchLabels: { shared: 'yes' } }], ...port(1000 + (i % 10)) }],
      }),
    ),
  };
}

/** One more pod in the namespace of `allMatching` and `ownPolicies`; the latter all admit it. */
export const extraPod = (i: number): PolicyIdentity => pod(FIRST + 100_000 + i, `app-new-${i}`, 'one', true);
/** A policy about `pods` of the pods of `allMatching`. */
export const editOf = (pods: number): ParsedPolicy =>
  cnp('edit', 'one', {
    endpointSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: Array.from({ length: pods }, (_, i) => `app-${i}`) }] },
    ingress: [{ fromEndpoints: [{}], ...port(22) }],
  });
