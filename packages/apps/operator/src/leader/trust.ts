// The operator's trust: CA in a Secret (truth), this replica's server certificate (memory), the CLI's client certificate (Secret)
// and the ConfigMap axoneme-trust through which the kubelet tells agents whom to trust and where operators are. Called by wiring.ts.

import { type Ca, clientSpiffeUri, createCa, issueClient, issueServer, readCertificate, renewAtMs } from '@axoneme/pki';
import { AppError, type Log } from '@axoneme/std';
import { operatorServerName } from '@axoneme/stream';
import { isKubeError, type KubeClient, type LooseObject, resources } from 'kopf-ts';

export interface TrustConfig {
  readonly namespace: string;
  readonly clusterName: string;
  readonly advertiseAddress: string;
  readonly port: number;
  readonly bootstrapPort: number;
}

export const CA_SECRET = 'axoneme-ca';
export const CLI_SECRET = 'axoneme-cli';
export const TRUST_CONFIG_MAP = 'axoneme-trust';
/** The API server asks for the webhook by this name. */
const WEBHOOK_SERVICE = 'axoneme-webhook';
const CA_DAYS = 3650;
const CLI_DAYS = 90;
const SERVER_DAYS = 30;
const DAY_MS = 86_400_000;

const b64 = (s: string): string => Buffer.from(s, 'utf8').toString('base64');

function fromSecret(o: LooseObject, key: string): string {
  const v = (o.data as Readonly<Record<string, string>> | undefined)?.[key];
  return v === undefined ? '' : Buffer.from(v, 'base64').toString('utf8');
}

const labels = { 'app.kubernetes.io/name': 'axoneme', 'app.kubernetes.io/managed-by': 'axoneme-operator' };

function caOf(secret: LooseObject): Ca {
  const ca = { certPem: fromSecret(secret, 'tls.crt'), keyPem: fromSecret(secret, 'tls.key') };
  if (!readCertificate(ca.certPem).ok || ca.keyPem === '') {
    throw new AppError({
      code: 'operator/ca-unusable',
      message: `Secret ${secret.metadata.namespace}/${CA_SECRET} holds no usable CA`,
      hint: 'restore its tls.crt and tls.key, or delete the Secret to have a new CA made (agents then ask for new certificates)',
    });
  }
  return ca;
}

/** Reads the CA, or makes one; of two replicas that race, the API server picks the winner. */
export async function ensureCa(client: KubeClient, c: TrustConfig, log: Log): Promise<Ca> {
  const ref = { namespace: c.namespace, name: CA_SECRET };
  const existing = await client.find<LooseObject>(resources.secrets, ref);
  if (existing !== undefined) return caOf(existing);
  const ca = await createCa({ name: `axoneme ${c.clusterName}`, days: CA_DAYS });
  const object = {
    metadata: { ...ref, labels },
    type: 'kubernetes.io/tls',
    data: { 'tls.crt': b64(ca.certPem), 'tls.key': b64(ca.keyPem) },
  };
  try {
    await client.create<LooseObject>(resources.secrets, object);
    log.info('certificate authority created', { secret: CA_SECRET });
    return ca;
  } catch (e) {
    if (!isKubeError(e, 'kube/already-exists')) throw e;
    return caOf(await client.get<LooseObject>(resources.secrets, ref));
  }
}

export async function issueReplicaCertificate(ca: Ca, c: TrustConfig): Promise<{ certPem: string; keyPem: string }> {
  return issueServer(ca, {
    dnsNames: [operatorServerName, 'axoneme-operator', 'localhost', `${WEBHOOK_SERVICE}.${c.namespace}.svc`],
    ips: [...new Set([c.advertiseAddress, '127.0.0.1', '::1'])],
    ttlMs: SERVER_DAYS * DAY_MS,
  });
}

/** Keeps the CLI's client certificate fresh and signed by the CA in use. */
export async function ensureCliCertificate(client: KubeClient, ca: Ca, c: TrustConfig, nowMs: number): Promise<void> {
  const ref = { namespace: c.namespace, name: CLI_SECRET };
  const existing = await client.find<LooseObject>(resources.secrets, ref);
  if (existing !== undefined && fromSecret(existing, 'ca.crt') === ca.certPem) {
    const info = readCertificate(fromSecret(existing, 'tls.crt'));
    if (info.ok && nowMs < renewAtMs(info.value, () => 0)) return;
  }
  const issued = await issueClient(ca, {
    commonName: 'axoneme-cli',
    uri: clientSpiffeUri(c.clusterName, 'admin'),
    ttlMs: CLI_DAYS * DAY_MS,
  });
  const data = { 'tls.crt': b64(issued.certPem), 'tls.key': b64(issued.keyPem), 'ca.crt': b64(ca.certPem) };
  if (existing === undefined) await client.create<LooseObject>(resources.secrets, { metadata: { ...ref, labels }, type: 'Opaque', data });
  else await client.patch(resources.secrets, ref, { type: 'merge', body: { data } });
}

/** Writes trust bundle and operator addresses; only when they changed. */
export async function publishTrust(client: KubeClient, ca: Ca, c: TrustConfig, addresses: readonly string[]): Promise<void> {
  const ref = { namespace: c.namespace, name: TRUST_CONFIG_MAP };
  const hosts = [...new Set(addresses.length > 0 ? addresses : [c.advertiseAddress])].sort();
  const at = (port: number): string => hosts.map((h) => `${h.includes(':') ? `[${h}]` : h}:${port}\n`).join('');
  const data = { 'ca.crt': ca.certPem, endpoints: at(c.port), 'bootstrap-endpoints': at(c.bootstrapPort), cluster: c.clusterName };
  const existing = await client.find<LooseObject>(resources.configMaps, ref);
  if (existing === undefined) {
    await client.create<LooseObject>(resources.configMaps, { metadata: { ...ref, labels }, data });
    return;
  }
  const held = (existing.data ?? {}) as Readonly<Record<string, string>>;
  if (Object.entries(data).every(([k, v]) => held[k] === v)) return;
  await client.patch(resources.configMaps, ref, { type: 'merge', body: { data } });
}
