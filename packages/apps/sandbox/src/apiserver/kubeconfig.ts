// kubeconfig text for a server and a token. Called by ./server.ts.
import { stringify } from 'yaml';

export interface KubeconfigFields {
  readonly cluster: string;
  readonly server: string;
  readonly caPem: string;
  readonly token: string;
}

export function kubeconfigText(f: KubeconfigFields): string {
  const user = `${f.cluster}-admin`;
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: f.cluster, cluster: { server: f.server, 'certificate-authority-data': Buffer.from(f.caPem).toString('base64') } }],
    users: [{ name: user, user: { token: f.token } }],
    contexts: [{ name: f.cluster, context: { cluster: f.cluster, user, namespace: 'default' } }],
    'current-context': f.cluster,
  });
}
