// Objects a cluster has before anybody uses it: namespaces, the `kubernetes` Service, cluster DNS.
import type { Gvr, KubeObject } from '../apiserver/types.ts';
import { DEPLOYMENTS, ENDPOINT_SLICES, ENDPOINTS, NAMESPACES, SERVICE_ACCOUNTS, SERVICES } from '../client/kinds.ts';
import { ignoreExists, isAlreadyExists, type KubeClient } from '../client/kube-client.ts';

export const DNS_ADDRESS = '10.96.0.10';
const KUBERNETES_ADDRESS = '10.96.0.1';
export const CLUSTER_DOMAIN = 'cluster.local';
const RBAC = (resource: string): Gvr => ({ group: 'rbac.authorization.k8s.io', version: 'v1', resource });
const NAMES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
const PRIVILEGED_PORT = 53;

/** Creates or, when someone was faster, leaves alone. */
async function put(client: KubeClient, gvr: Gvr, o: KubeObject): Promise<void> {
  // asked first: a fixed cluster address that is taken is reported before the name is
  if ((await client.get(gvr, o.metadata.namespace ?? '', o.metadata.name ?? '')) === undefined) await ignoreExists(client.create(gvr, o));
}

export async function createNamespaces(client: KubeClient): Promise<void> {
  for (const name of NAMES) await put(client, NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
}

export interface ApiAddress {
  readonly v4: string;
  readonly v6?: string;
  readonly port: number;
}

/** The Service through which pods find the API server, with the machine's address behind it. */
export async function createKubernetesService(client: KubeClient, api: ApiAddress): Promise<void> {
  const metadata = { name: 'kubernetes', namespace: 'default', labels: { component: 'apiserver', provider: 'kubernetes' } };
  const ports = [{ name: 'https', port: 443, protocol: 'TCP', targetPort: api.port }];
  await put(client, SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { type: 'ClusterIP', clusterIP: KUBERNETES_ADDRESS, sessionAffinity: 'None', ports },
  });
  const labels = { 'kubernetes.io/service-name': 'kubernetes' };
  const slicePorts = [{ name: 'https', port: api.port, protocol: 'TCP' }];
  await replace(client, ENDPOINT_SLICES, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'kubernetes', namespace: 'default', labels },
    addressType: 'IPv4',
    ports: slicePorts,
    endpoints: [{ addresses: [api.v4], conditions: { ready: true } }],
  });
  await replace(client, ENDPOINTS, {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { name: 'kubernetes', namespace: 'default' },
    subsets: [{ addresses: [{ ip: api.v4 }], ports: slicePorts }],
  });
}

async function replace(client: KubeClient, gvr: Gvr, o: KubeObject): Promise<void> {
  try {
    await client.create(gvr, o);
  } catch (e) {
    if (!isAlreadyExists(e)) throw e;
    await client.update(gvr, o);
  }
}

const dnsLabels = { 'k8s-app': 'kube-dns' };

function dnsDeployment(): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'sandbox-dns', namespace: 'kube-system', labels: dnsLabels },
    spec: {
      replicas: 1,
      selector: { matchLabels: dnsLabels },
      template: {
        metadata: { labels: dnsLabels },
        spec: {
          serviceAccountName: 'sandbox-dns',
          dnsPolicy: 'Default',
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'dns',
              image: 'axoneme/sandbox-dns:latest',
              args: ['--domain', CLUSTER_DOMAIN, '--port', String(PRIVILEGED_PORT)],
              ports: [
                { name: 'dns', containerPort: PRIVILEGED_PORT, protocol: 'UDP' },
                { name: 'dns-tcp', containerPort: PRIVILEGED_PORT, protocol: 'TCP' },
              ],
              readinessProbe: { tcpSocket: { port: PRIVILEGED_PORT }, periodSeconds: 10 },
            },
          ],
        },
      },
    },
  };
}

/** Cluster DNS as users know it: Service kube-dns in kube-system, k8s-app=kube-dns pods behind it. */
export async function createDns(client: KubeClient): Promise<void> {
  await put(client, SERVICE_ACCOUNTS, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'sandbox-dns', namespace: 'kube-system' },
  });
  await put(client, RBAC('clusterroles'), {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'sandbox-dns' },
    rules: [
      { apiGroups: [''], resources: ['services', 'pods'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] },
    ],
  });
  await put(client, RBAC('clusterrolebindings'), {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'sandbox-dns' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'sandbox-dns' },
    subjects: [{ kind: 'ServiceAccount', name: 'sandbox-dns', namespace: 'kube-system' }],
  });
  await put(client, SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'kube-dns', namespace: 'kube-system', labels: { ...dnsLabels, 'kubernetes.io/name': 'CoreDNS' } },
    spec: {
      selector: dnsLabels,
      clusterIP: DNS_ADDRESS,
      ports: [
        { name: 'dns', port: PRIVILEGED_PORT, protocol: 'UDP', targetPort: 'dns' },
        { name: 'dns-tcp', port: PRIVILEGED_PORT, protocol: 'TCP', targetPort: 'dns-tcp' },
      ],
    },
  });
  await put(client, DEPLOYMENTS, dnsDeployment());
}
