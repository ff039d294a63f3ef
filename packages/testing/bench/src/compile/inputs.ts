// Made-up clusters for the compile bench: the shape of the reference benches (one subject, R rules, I peers) and a wide one (every
// identity is somebody's subject). The same numbers give the same objects.
import { type IdentityId, labelsFromMap } from '@axoneme/model';
import { type ParsedPolicy, type PolicyConfig, type PolicyIdentity, parsePolicy } from '@axoneme/policy';
import { invariant } from '@axoneme/std';

export const config: PolicyConfig = { mode: 'default', clusterName: 'default', allowLocalhost: true };
const FIRST_ID = 1000;
const APPS = 100;
const NAMESPACES = 20;

const identity = (id: number, app: string, namespace: string, extra: Readonly<Record<string, string>>): PolicyIdentity => ({
  id: id as IdentityId,
  labels: labelsFromMap({
    'k8s:app': app,
    'k8s:io.kubernetes.pod.namespace': namespace,
    'k8s:io.cilium.k8s.policy.cluster': 'default',
    'k8s:io.cilium.k8s.policy.serviceaccount': 'default',
    ...extra,
  }),
});

/** Peer `i` of the reference benches. */
export const peer = (i: number): PolicyIdentity =>
  identity(FIRST_ID + 1 + i, `svc-${i % APPS}`, `ns-${i % NAMESPACES}`, { 'k8s:pod-template': String(i) });

/** The identity all rules of the reference benches select. */
export const subject = (): PolicyIdentity => identity(FIRST_ID, 'subject', 'default', {});

function parse(name: string, namespace: string, spec: object): ParsedPolicy {
  const kind = namespace === '' ? 'CiliumClusterwideNetworkPolicy' : 'CiliumNetworkPolicy';
  const metadata = namespace === '' ? { name } : { name, namespace };
  const parsed = parsePolicy({ kind, metadata, spec }, { clusterName: 'default' });
  invariant(parsed.ok, `policy ${name} is valid`);
  return parsed.value;
}

/** Rule j allows app svc-(j mod 100) on TCP 1000+⌊j/100⌋, all on the one subject. */
export const oneSubjectPolicies = (rules: number): readonly ParsedPolicy[] =>
  Array.from({ length: rules }, (_, j) =>
    parse(`rule-${j}`, '', {
      endpointSelector: { matchLabels: { app: 'subject' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: `svc-${j % APPS}` } }],
          toPorts: [{ ports: [{ port: String(1000 + Math.floor(j / APPS)), protocol: 'TCP' }] }],
        },
      ],
    }),
  );

/** Policy n: in namespace n mod 20, pods of one app admit another app on two ports. */
export const widePolicies = (count: number): readonly ParsedPolicy[] =>
  Array.from({ length: count }, (_, n) =>
    parse(`policy-${n}`, `ns-${n % NAMESPACES}`, {
      // apps and namespaces of peers share their remainder: only these pairs have pods
      endpointSelector: { matchLabels: { app: `svc-${appOf(n)}` } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: `svc-${appOf(n + NAMESPACES)}` } }],
          toPorts: [{ ports: [443, 8000 + (n % 50)].map((port) => ({ port: String(port), protocol: 'TCP' })) }],
        },
      ],
    }),
  );

/** An app that has pods in namespace n mod 20. */
const appOf = (n: number): number => (n % NAMESPACES) + NAMESPACES * (Math.floor(n / NAMESPACES) % (APPS / NAMESPACES));
