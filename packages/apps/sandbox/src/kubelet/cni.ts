// The container runtime's side of CNI 1.1: finds the network configuration, calls the plugins in a node's namespaces, reads the result.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '@axoneme/std';
import type { SandboxNode } from '../nodes/node.ts';
import { run } from '../nodes/run.ts';
import type { ContainerPort } from './pod-types.ts';

export interface CniPlugin {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly [key: string]: unknown;
}

export interface CniNetwork {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly CniPlugin[];
}

export interface CniAttachment {
  readonly containerId: string;
  /** Path inside the node. */
  readonly netns: string;
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
  readonly ports: readonly ContainerPort[];
}

export interface Cni {
  /** The network in use, or why there is none. */
  network(): CniNetwork | string;
  /**
   * Returns the pod's addresses, IPv4 before IPv6. The first one of a node waits until the plugin was told that no attachment is alive (GC; since
   * 1.1): told at any other time, it would remove the pod that is being added.
   */
  add(a: CniAttachment): Promise<readonly string[]>;
  del(a: CniAttachment): Promise<void>;
}

const INTERFACE = 'eth0';
const PLUGIN_TIMEOUT_MS = 60_000;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function parseNetwork(path: string): CniNetwork | string {
  try {
    const conf = JSON.parse(readFileSync(path, 'utf8')) as CniNetwork & CniPlugin;
    const plugins = path.endsWith('.conflist') ? conf.plugins : [conf];
    if (!Array.isArray(plugins) || plugins.length === 0) return `no plugins in ${path}`;
    return { name: conf.name, cniVersion: conf.cniVersion ?? '1.0.0', plugins };
  } catch (e) {
    return `cannot read network configuration: ${(e as Error).message}`;
  }
}

export function findNetwork(confDir: string, binDir: string): CniNetwork | string {
  const file = existsSync(confDir)
    ? readdirSync(confDir)
        .filter((f) => /\.(conflist|conf|json)$/.test(f))
        .sort()[0]
    : undefined;
  if (file === undefined) return 'cni plugin not initialized: no network configuration in /etc/cni/net.d';
  const network = parseNetwork(join(confDir, file));
  if (typeof network === 'string') return network;
  const missing = network.plugins.find((p) => !existsSync(join(binDir, p.type)));
  return missing === undefined ? network : `cni plugin not initialized: ${missing.type} is not in /opt/cni/bin`;
}

function failure(command: string, type: string, text: string, stderr: string): AppError {
  let why = text.trim() || stderr.trim() || 'no output';
  try {
    const e = JSON.parse(text) as { msg?: string; details?: string };
    why = [e.msg, e.details].filter((s) => s !== undefined && s !== '').join(': ');
  } catch {
    // not an error object: show what it said
  }
  return new AppError({ code: 'sandbox/cni', message: `plugin type="${type}" failed (${command.toLowerCase()}): ${why}`, retry: 'later' });
}

interface CniResult {
  readonly ips?: readonly { readonly address: string }[];
}

const atLeast11 = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 1 || (major === 1 && minor >= 1);
};

function pluginConf(
  network: CniNetwork,
  plugin: CniPlugin,
  a: CniAttachment | undefined,
  extra: Readonly<Record<string, unknown>>,
): string {
  const mappings = (a?.ports ?? [])
    .filter((p) => p.hostPort !== undefined)
    .map((p) => ({
      hostPort: p.hostPort,
      containerPort: p.containerPort,
      protocol: (p.protocol ?? 'TCP').toLowerCase(),
      hostIP: p.hostIP ?? '',
    }));
  const wants = plugin.capabilities?.portMappings === true && mappings.length > 0;
  const { capabilities: _, ...rest } = plugin;
  return JSON.stringify({
    ...rest,
    name: network.name,
    cniVersion: network.cniVersion,
    ...(wants ? { runtimeConfig: { portMappings: mappings } } : {}),
    ...extra,
  });
}

function envOf(command: string, a: CniAttachment | undefined): Record<string, string> {
  if (a === undefined) return { PATH, CNI_COMMAND: command, CNI_PATH: '/opt/cni/bin' };
  const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=${a.namespace};K8S_POD_NAME=${a.pod};K8S_POD_INFRA_CONTAINER_ID=${a.containerId};K8S_POD_UID=${a.uid}`;
  return {
    PATH,
    CNI_COMMAND: command,
    CNI_PATH: '/opt/cni/bin',
    CNI_CONTAINERID: a.containerId,
    CNI_NETNS: a.netns,
    CNI_IFNAME: INTERFACE,
    CNI_ARGS: args,
  };
}

export function createCni(sbx: string, node: SandboxNode): Cni {
  const network = (): CniNetwork | string => findNetwork(node.paths.cniConf, node.paths.cniBin);

  const usable = (): CniNetwork => {
    const n = network();
    if (typeof n === 'string') throw new AppError({ code: 'sandbox/cni-not-ready', message: n, retry: 'later' });
    return n;
  };

  async function call(
    command: string,
    n: CniNetwork,
    plugin: CniPlugin,
    a: CniAttachment | undefined,
    extra: Readonly<Record<string, unknown>>,
  ): Promise<string> {
    const argv = [...node.enter(), 'chdir', '/', 'exec', `/opt/cni/bin/${plugin.type}`];
    const r = await run(sbx, argv, { input: pluginConf(n, plugin, a, extra), env: envOf(command, a), timeoutMs: PLUGIN_TIMEOUT_MS });
    if (r.code !== 0) throw failure(command, plugin.type, r.stdout, r.stderr);
    return r.stdout;
  }

  let collected: Promise<void> | undefined;
  async function collect(n: CniNetwork): Promise<void> {
    if (!atLeast11(n.cniVersion)) return;
    for (const p of n.plugins) await call('GC', n, p, undefined, { 'cni.dev/valid-attachments': [] });
  }

  return {
    network,
    async add(a) {
      const n = usable();
      collected ??= collect(n);
      try {
        await collected;
      } catch (e) {
        collected = undefined;
        throw e;
      }
      let prevResult: CniResult | undefined;
      for (const p of n.plugins) {
        const out = await call('ADD', n, p, a, prevResult === undefined ? {} : { prevResult });
        prevResult = JSON.parse(out) as CniResult;
      }
      const ips = (prevResult?.ips ?? []).map((i) => i.address.replace(/\/\d+$/, ''));
      if (ips.length === 0)
        throw new AppError({ code: 'sandbox/cni', message: 'the network plugin gave the pod no address', retry: 'later' });
      return [...ips.filter((i) => !i.includes(':')), ...ips.filter((i) => i.includes(':'))];
    },
    async del(a) {
      const n = usable();
      for (const p of [...n.plugins].reverse()) await call('DEL', n, p, a, {});
    },
  };
}
