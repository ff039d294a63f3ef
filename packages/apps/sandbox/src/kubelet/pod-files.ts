// Texts a pod finds in /etc, and its volumes. Called before every container start and when a ConfigMap or Secret changed.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type AppError, err, ok, type Result } from '@axoneme/std';
import type { KubeObject } from '../apiserver/types.ts';
import { CONFIG_MAPS, SECRETS, SERVICES } from '../client/kinds.ts';
import { nameOf, nsOf, uidOf } from '../client/object.ts';
import type { KubeletDeps } from './deps.ts';
import type { PodFacts } from './env.ts';
import { type Container, type PodSpec, podSpecOf, type Volume } from './pod-types.ts';
import { publishFiles, scratchDir, volumeFiles } from './volumes.ts';

const ACCOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const ROOT_CA = 'kube-root-ca.crt';
const ACCOUNT_VOLUME = 'kube-api-access-sandbox';
const DNS_SERVICES = ['kube-dns', 'coredns'];

const accountVolume: Volume = {
  name: ACCOUNT_VOLUME,
  projected: {
    sources: [
      { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
      { configMap: { name: ROOT_CA, optional: true, items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } },
    ],
  },
};

const withAccount = (c: Container): Container =>
  c.volumeMounts?.some((m) => m.mountPath === ACCOUNT_PATH) === true
    ? c
    : { ...c, volumeMounts: [...(c.volumeMounts ?? []), { name: ACCOUNT_VOLUME, mountPath: ACCOUNT_PATH, readOnly: true }] };

/** The spec as admission would have left it: with the service account's token mounted. */
export function effectiveSpec(pod: KubeObject): PodSpec {
  const spec = podSpecOf(pod);
  if (spec.automountServiceAccountToken === false) return spec;
  return {
    ...spec,
    volumes: [...(spec.volumes ?? []), accountVolume],
    containers: spec.containers.map(withAccount),
    initContainers: (spec.initContainers ?? []).map(withAccount),
  };
}

/** A foreign cluster publishes its own CA; pods reach its API server through a relay of the sandbox and must trust that too. */
function trustRelay(config: KubeObject, caPem: string): KubeObject {
  const held = (config.data as Record<string, string> | undefined)?.['ca.crt'] ?? '';
  return held.includes(caPem.trim()) ? config : { ...config, data: { 'ca.crt': `${held.trimEnd()}\n${caPem}`.trimStart() } };
}

export function factsOf(d: KubeletDeps, pod: KubeObject, podIps: readonly string[]): PodFacts {
  const ns = nsOf(pod);
  return {
    pod,
    podIps,
    hostIps: [d.node.address.v4, d.node.address.v6],
    configMap: (name) => {
      const held = d.caches.of(CONFIG_MAPS).get(ns, name);
      return name === ROOT_CA && held !== undefined ? trustRelay(held, d.cluster.caPem) : held;
    },
    secret: (name) => d.caches.of(SECRETS).get(ns, name),
  };
}

export function dnsAddresses(d: KubeletDeps): readonly string[] {
  for (const name of DNS_SERVICES) {
    const spec = d.caches.of(SERVICES).get('kube-system', name)?.spec as { clusterIP?: string; clusterIPs?: string[] } | undefined;
    const ips = (spec?.clusterIPs ?? [spec?.clusterIP ?? '']).filter((ip) => ip !== '' && ip !== 'None');
    if (ips.length > 0) return ips.slice(0, 1);
  }
  return [];
}

export function resolvConf(d: KubeletDeps, pod: KubeObject): string {
  const spec = podSpecOf(pod);
  const policy = spec.dnsPolicy ?? 'ClusterFirst';
  const cluster = policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && spec.hostNetwork !== true);
  const base = `${nsOf(pod)}.svc.${d.cluster.domain} svc.${d.cluster.domain} ${d.cluster.domain}`.split(' ');
  const nameservers = [...(cluster ? dnsAddresses(d) : []), ...(spec.dnsConfig?.nameservers ?? [])];
  const searches = [...(cluster ? base : []), ...(spec.dnsConfig?.searches ?? [])];
  const options = [
    ...(cluster ? ['ndots:5'] : []),
    ...(spec.dnsConfig?.options ?? []).map((o) => (o.value === undefined ? o.name : `${o.name}:${o.value}`)),
  ];
  return [
    ...nameservers.map((n) => `nameserver ${n}`),
    ...(searches.length === 0 ? [] : [`search ${searches.join(' ')}`]),
    ...(options.length === 0 ? [] : [`options ${options.join(' ')}`]),
    '',
  ].join('\n');
}

export const hostnameOf = (pod: KubeObject): string => (podSpecOf(pod).hostname ?? nameOf(pod)).slice(0, 63);

export function etcHosts(d: KubeletDeps, pod: KubeObject, ips: readonly string[]): string {
  const spec = podSpecOf(pod);
  const host = hostnameOf(pod);
  const long = spec.subdomain === undefined ? '' : `${host}.${spec.subdomain}.${nsOf(pod)}.svc.${d.cluster.domain}\t`;
  const lines = ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback'];
  for (const ip of ips) lines.push(`${ip}\t${spec.hostNetwork === true ? d.node.name : `${long}${host}`}`);
  for (const a of spec.hostAliases ?? []) lines.push(`${a.ip}\t${(a.hostnames ?? []).join('\t')}`);
  return `${lines.join('\n')}\n`;
}

export interface VolumeUpdate {
  /** When a token in one of the volumes must be renewed; infinity if none. */
  readonly renewAtMs: number;
}

/** Brings every volume of the pod up to date on disk. The first missing, non-optional object is the error. */
export async function updateVolumes(d: KubeletDeps, pod: KubeObject, podIps: readonly string[]): Promise<Result<VolumeUpdate, AppError>> {
  const facts = factsOf(d, pod, podIps);
  const account = podSpecOf(pod).serviceAccountName ?? 'default';
  let renewAtMs = Number.POSITIVE_INFINITY;
  for (const v of effectiveSpec(pod).volumes ?? []) {
    if (v.hostPath !== undefined) continue;
    const dir = join(d.node.paths.pods, uidOf(pod), 'volumes', v.name);
    mkdirSync(join(dir, '..'), { recursive: true });
    const files = await volumeFiles(v, {
      facts,
      caPem: d.cluster.caPem,
      token: (audience, expirationSeconds) =>
        d.client.token(nsOf(pod), account, { ...(audience === undefined ? {} : { audiences: [audience] }), expirationSeconds, pod }),
      onExpiry: (atMs) => {
        const now = d.clock.nowMs();
        renewAtMs = Math.min(renewAtMs, now + (atMs - now) * 0.8);
      },
    });
    if (files === undefined) scratchDir(dir);
    else if (files.ok) publishFiles(dir, files.value);
    else return err(files.error);
  }
  return ok({ renewAtMs });
}

/** Names of ConfigMaps and Secrets the pod's volumes show. */
export function volumeReferences(pod: KubeObject): { readonly configMaps: ReadonlySet<string>; readonly secrets: ReadonlySet<string> } {
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  for (const v of effectiveSpec(pod).volumes ?? []) {
    for (const s of [v, ...(v.projected?.sources ?? [])]) {
      if (s.configMap?.name !== undefined) configMaps.add(s.configMap.name);
      const secret = s.secret?.secretName ?? s.secret?.name;
      if (secret !== undefined) secrets.add(secret);
    }
  }
  return { configMaps, secrets };
}
