// The operator's configuration: one JSON document plus the pod's environment, parsed once, unknown keys rejected. Called by main.ts.
import fs from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseCidrOrIp } from '@axoneme/model';
import { maglevSizes } from '@axoneme/service';
import { AppError, fail, ok, type Result } from '@axoneme/std';

export interface OperatorConfig {
  readonly clusterName: string;
  readonly clusterId: number;
  readonly routingMode: 'tunnel' | 'native';
  readonly masqueradeIpv4: boolean;
  readonly masqueradeIpv6: boolean;
  readonly policyEnforcementMode: 'default' | 'always' | 'never';
  /** What policy would drop passes on every node, and is told. */
  readonly policyAuditMode: boolean;
  /** Pools the nodes' blocks come from, CIDR notation. */
  readonly ipv4PodCidrs: readonly string[];
  readonly ipv6PodCidrs: readonly string[];
  readonly ipv4MaskSize: number;
  readonly ipv6MaskSize: number;
  /** 0 = the agent derives it from the node's device. */
  readonly mtu: number;
  readonly vxlanPort: number;
  /** Node protocol and admin, mTLS. */
  readonly port: number;
  /** Certificate signing, server-side TLS only. */
  readonly bootstrapPort: number;
  readonly adminPort: number;
  readonly metricsPort: number;
  /** Admission webhook; 0 = none. */
  readonly webhookPort: number;
  readonly redisEnabled: boolean;
  /** redis://host:port; empty = the Service `axoneme-redis` in the operator's namespace. */
  readonly redisUrl: string;
  /** Directory of the eBPF objects nodes run; empty = each agent runs those of its image. */
  readonly datapathObjectsDir: string;
  /** How nodes change to other objects. */
  readonly datapathRollout: 'all' | 'one-by-one';
  /** Prefixes outside of the cluster that host policies must never shut out, and from which ports. */
  readonly hostFirewallAdminCidrs: readonly string[];
  readonly hostFirewallAdminPorts: readonly number[];
  /** How clients from outside are spread; a Service may say otherwise. */
  readonly loadBalancerAlgorithm: 'random' | 'maglev';
  /** A prime of the list in docs/design/services.md. */
  readonly maglevTableSize: number;
  /** annotation: snat, unless a Service says otherwise. */
  readonly loadBalancerMode: 'snat' | 'dsr' | 'hybrid' | 'annotation';
  /** How the address of a Service travels with DSR: in an IPv4 option, in an IPv6 destination option. */
  readonly loadBalancerDsrDispatch: 'opt';
  /** Where clients of the outside are served: XDP, or tc alone. */
  readonly loadBalancerAcceleration: 'disabled' | 'native' | 'best-effort';
  /** First and last port, with a comma between. */
  readonly nodePortRange: string;
  /** Sockets of pods are left alone, their packets to Services are translated one by one. */
  readonly socketLbHostNamespaceOnly: boolean;
  /** Where nodes say whether they serve; empty: nowhere. */
  readonly healthzBindAddress: string;
  readonly serviceNoBackendResponse: 'reject' | 'drop';
  /** Prefixes that ClusterIPs are given from: no external IP and no load balancer address is taken of them. */
  readonly serviceCidrs: readonly string[];
  /** External IPs must be inside of one; empty: anywhere outside of the cluster. */
  readonly allowedExternalCidrs: readonly string[];
  /** Whether CiliumLocalRedirectPolicies have an effect, and where their addresses must be; no prefixes: anywhere outside of the cluster. */
  readonly localRedirectPolicies: boolean;
  readonly localRedirectCidrs: readonly string[];
  /** Whether Services are given addresses of CiliumLoadBalancerIPPools. */
  readonly lbIpamEnabled: boolean;
  /** Who gives addresses to Services without class. */
  readonly defaultLbServiceIpam: 'lbipam' | 'nodeipam' | 'none';
  /** Whether Services of class `io.cilium/node` are given addresses of nodes. */
  readonly nodeIpamEnabled: boolean;
  /** Whether nodes answer for addresses of Services on their local network. */
  readonly l2AnnouncementsEnabled: boolean;
  /** How long a node may announce after it asked. */
  readonly l2LeaseDuration: string;
  readonly l2LeaseRetryPeriod: string;
  /** Rows per map that agents are configured with; maps that are not named have their own default. */
  readonly mapSizes: Readonly<Record<string, number>>;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly podName: string;
  readonly podNamespace: string;
  /** Address agents reach this replica at. */
  readonly advertiseAddress: string;
}

/** Beside this code: the objects this operator was built with. */
export const OWN_OBJECTS_DIR = fileURLToPath(new URL('../../../../bpf/build', import.meta.url));

const DEFAULTS: OperatorConfig = {
  clusterName: 'default',
  clusterId: 0,
  routingMode: 'tunnel',
  masqueradeIpv4: true,
  masqueradeIpv6: true,
  policyEnforcementMode: 'default',
  policyAuditMode: false,
  ipv4PodCidrs: ['10.244.0.0/16'],
  ipv6PodCidrs: ['fd00:10:244::/112'],
  ipv4MaskSize: 24,
  ipv6MaskSize: 120,
  mtu: 0,
  vxlanPort: 8472,
  port: 9443,
  bootstrapPort: 9444,
  adminPort: 9445,
  metricsPort: 9963,
  webhookPort: 9446,
  redisEnabled: true,
  redisUrl: '',
  datapathObjectsDir: OWN_OBJECTS_DIR,
  datapathRollout: 'one-by-one',
  hostFirewallAdminCidrs: [],
  hostFirewallAdminPorts: [22],
  loadBalancerAlgorithm: 'random',
  maglevTableSize: 16381,
  loadBalancerMode: 'snat',
  loadBalancerDsrDispatch: 'opt',
  loadBalancerAcceleration: 'disabled',
  nodePortRange: '30000,32767',
  socketLbHostNamespaceOnly: false,
  healthzBindAddress: '',
  serviceNoBackendResponse: 'reject',
  serviceCidrs: [],
  allowedExternalCidrs: [],
  localRedirectPolicies: false,
  localRedirectCidrs: [],
  lbIpamEnabled: true,
  defaultLbServiceIpam: 'lbipam',
  nodeIpamEnabled: false,
  l2AnnouncementsEnabled: false,
  l2LeaseDuration: '3s',
  l2LeaseRetryPeriod: '1s',
  mapSizes: {},
  logLevel: 'info',
  podName: os.hostname(),
  podNamespace: 'axoneme-system',
  advertiseAddress: '127.0.0.1',
};

const CHOICES: Readonly<Record<string, readonly string[]>> = {
  routingMode: ['tunnel', 'native'],
  policyEnforcementMode: ['default', 'always', 'never'],
  loadBalancerAlgorithm: ['random', 'maglev'],
  loadBalancerMode: ['snat', 'dsr', 'hybrid', 'annotation'],
  loadBalancerDsrDispatch: ['opt'],
  loadBalancerAcceleration: ['disabled', 'native', 'best-effort'],
  serviceNoBackendResponse: ['reject', 'drop'],
  defaultLbServiceIpam: ['lbipam', 'nodeipam', 'none'],
  logLevel: ['debug', 'info', 'warn', 'error'],
  datapathRollout: ['all', 'one-by-one'],
};

const PREFIX_LISTS: readonly string[] = ['hostFirewallAdminCidrs', 'serviceCidrs', 'allowedExternalCidrs', 'localRedirectCidrs'];

const isSizes = (v: unknown): boolean =>
  v !== null && typeof v === 'object' && !Array.isArray(v) && Object.values(v).every((n) => Number.isInteger(n) && n > 0);

/** First and last port; undefined if it is no range. */
function parsePortRange(text: string): { readonly min: number; readonly max: number } | undefined {
  const [, min = 0, max = 0] = (/^(\d{1,5}),(\d{1,5})$/.exec(text) ?? []).map(Number);
  return min > 0 && min <= max && max <= 65_535 ? { min, max } : undefined;
}

export const nodePortsOf = (c: Pick<OperatorConfig, 'nodePortRange'>): { readonly min: number; readonly max: number } =>
  parsePortRange(c.nodePortRange) ?? { min: 30_000, max: 32_767 };

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/** As Cilium writes durations: 3s, 1m30s, 500ms. NaN for other texts. */
export function durationMs(text: string): number {
  if (!/^(\d+(\.\d+)?(ms|s|m))+$/.test(text)) return Number.NaN;
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m)/g)].reduce((sum, [, n, unit]) => sum + Number(n) * (UNIT_MS[unit ?? ''] ?? 0), 0);
}

const DURATIONS: readonly string[] = ['l2LeaseDuration', 'l2LeaseRetryPeriod'];

/** Values that mean something elsewhere and cannot work here. */
const IMPOSSIBLE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  loadBalancerDsrDispatch: {
    geneve: 'geneve is not there: nodes are joined by VXLAN or native routing; use opt',
    ipip: 'ipip needs backends that take the outer header off, which pods do not: only the stand-alone load balancer (axoneme lb) has it; use opt',
  },
};

/** Values that are fine alone and cannot work together. */
function conflicts(c: OperatorConfig): string[] {
  const out: string[] = [];
  const retry = durationMs(c.l2LeaseRetryPeriod);
  if (retry < 100 || retry * 2 > durationMs(c.l2LeaseDuration))
    out.push('l2LeaseRetryPeriod: must be at least 100ms and at most half of l2LeaseDuration');
  return out;
}

function problemOf(key: string, value: unknown): string | undefined {
  const sample = (DEFAULTS as unknown as Record<string, unknown>)[key];
  if (sample === undefined) return `unknown key; known keys: ${Object.keys(DEFAULTS).join(', ')}`;
  if (Array.isArray(sample)) {
    const item = typeof (sample[0] ?? '');
    if (!Array.isArray(value) || !value.every((v) => typeof v === item)) return `must be a list of ${item}s`;
    const wrong = PREFIX_LISTS.includes(key) ? (value as string[]).find((v) => !parseCidrOrIp(v).ok) : undefined;
    return wrong === undefined ? undefined : `"${wrong}" is not a prefix`;
  }
  if (typeof sample === 'object') return isSizes(value) ? undefined : 'must be an object of numbers';
  if (typeof value !== typeof sample) return `must be a ${typeof sample}`;
  if (key === 'maglevTableSize' && !maglevSizes.includes(value as never)) return `must be one of ${maglevSizes.join(', ')}`;
  if (DURATIONS.includes(key) && Number.isNaN(durationMs(value as string))) return 'must be a duration, like 3s';
  if (key === 'nodePortRange' && parsePortRange(value as string) === undefined) return 'must be two ports, like 30000,32767';
  const impossible = IMPOSSIBLE[key]?.[String(value)];
  if (impossible !== undefined) return impossible;
  const choices = CHOICES[key];
  if (choices !== undefined && !choices.includes(value as string)) return `must be one of ${choices.join(', ')}`;
  return undefined;
}

/** Parses the document; every problem is named with its key. */
export function parseConfig(document: unknown, env: NodeJS.ProcessEnv): Result<OperatorConfig> {
  if (document === null || typeof document !== 'object' || Array.isArray(document)) {
    return fail({ code: 'operator/config-invalid', message: 'the configuration must be a JSON object' });
  }
  const problems = Object.entries(document).flatMap(([k, v]) => {
    const p = problemOf(k, v);
    return p === undefined ? [] : [`${k}: ${p}`];
  });
  const config = { ...DEFAULTS, ...(document as Partial<OperatorConfig>) };
  if (problems.length === 0) problems.push(...conflicts(config));
  if (problems.length > 0) {
    return fail({
      code: 'operator/config-invalid',
      message: `the configuration is not valid: ${problems.join('; ')}`,
      hint: 'change the Helm values or the ConfigMap axoneme-config',
    });
  }
  const fromEnv = {
    ...(env.POD_NAME ? { podName: env.POD_NAME } : {}),
    ...(env.POD_NAMESPACE ? { podNamespace: env.POD_NAMESPACE } : {}),
    ...(env.POD_IP ? { advertiseAddress: env.POD_IP } : {}),
  };
  return ok(Object.freeze({ ...config, ...fromEnv }));
}

/** Reads the file named by `--config`; a missing flag means defaults. */
export function loadConfig(argv: readonly string[], env: NodeJS.ProcessEnv): Result<OperatorConfig> {
  const i = argv.indexOf('--config');
  const file = i >= 0 ? argv[i + 1] : undefined;
  if (i >= 0 && file === undefined) return fail({ code: 'operator/config-invalid', message: '--config needs a file name' });
  if (file === undefined) return parseConfig({}, env);
  try {
    return parseConfig(JSON.parse(fs.readFileSync(file, 'utf8')), env);
  } catch (cause) {
    return {
      ok: false,
      error: new AppError({ code: 'operator/config-unreadable', message: `cannot read ${file}: ${(cause as Error).message}`, cause }),
    };
  }
}
