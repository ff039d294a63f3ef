// `KIND/NAME` on the command line → which policy object is meant. Called by the commands that ask the operator about policies.
import { AppError } from '@axoneme/std';
import type { Resource } from 'kopf-ts';

export interface PolicyRef {
  readonly kind: string;
  readonly resource: Resource;
  /** Empty for cluster-wide kinds. */
  readonly namespace: string;
  readonly name: string;
}

const kind = (kindName: string, group: string, version: string, plural: string, namespaced: boolean, ...short: readonly string[]) => ({
  resource: { group, version, plural, kind: kindName, namespaced },
  names: [kindName.toLowerCase(), plural, `${plural}.${group}`, `${kindName.toLowerCase()}.${group}`, ...short],
});

const admin = 'policy.networking.k8s.io';
const kinds = [
  kind('CiliumNetworkPolicy', 'cilium.io', 'v2', 'ciliumnetworkpolicies', true, 'cnp', 'ciliumnp'),
  kind('CiliumClusterwideNetworkPolicy', 'cilium.io', 'v2', 'ciliumclusterwidenetworkpolicies', false, 'ccnp'),
  kind('NetworkPolicy', 'networking.k8s.io', 'v1', 'networkpolicies', true, 'netpol'),
  kind('AdminNetworkPolicy', admin, 'v1alpha1', 'adminnetworkpolicies', false, 'anp'),
  kind('BaselineAdminNetworkPolicy', admin, 'v1alpha1', 'baselineadminnetworkpolicies', false, 'banp'),
  kind('ClusterNetworkPolicy', admin, 'v1alpha2', 'clusternetworkpolicies', false),
];

/** `cnp/web`, `networkpolicy/web`, `ccnp/web`; the name may be left out where a whole kind is meant. */
export function parsePolicyRef(text: string, namespace: string): PolicyRef {
  const [kindText = '', name = '', ...rest] = text.split('/');
  const found = kinds.find((k) => k.names.includes(kindText.toLowerCase()));
  if (found === undefined || rest.length > 0) {
    const known = kinds.map((k) => k.names.at(-1)).join(', ');
    throw new AppError({ code: 'cli/usage', message: `"${text}" names no policy`, hint: `write KIND/NAME, with one of ${known} as KIND` });
  }
  const { resource } = found;
  return { kind: resource.kind, resource, namespace: resource.namespaced ? namespace : '', name };
}

export const refText = (r: Pick<PolicyRef, 'kind' | 'namespace' | 'name'>): string =>
  `${r.kind} ${r.namespace === '' ? r.name : `${r.namespace}/${r.name}`}`;
