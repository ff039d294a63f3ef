// The server's own certificate authority and certificate. Called by ./server.ts at start.
import { createCa, issueServer } from '@axoneme/pki';

export interface ServerCertificate {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

const lifetimeDays = 365;

export async function makeCertificate(dnsNames: readonly string[], ips: readonly string[]): Promise<ServerCertificate> {
  const ca = await createCa({ name: 'axoneme-sandbox', days: lifetimeDays });
  const leaf = await issueServer(ca, { commonName: 'kube-apiserver', dnsNames: [...new Set(dnsNames)], ips: [...new Set(ips)] });
  return { caPem: ca.certPem, certPem: leaf.certPem, keyPem: leaf.keyPem };
}
