// Everything an administrator can set, parsed once at start, frozen. Unknown flags are refused. Called by main.
import { parseArgs } from 'node:util';
import { maps } from '@axoneme/datapath';
import { fail, ok, type Result } from '@axoneme/std';

export interface AgentConfig {
  readonly nodeName: string;
  readonly stateDir: string;
  readonly socket: string;
  readonly bpffs: string;
  /** Empty: first cgroup2 mount. */
  readonly cgroupRoot: string;
  readonly cniConfDir: string;
  readonly cniBinDir: string;
  /** The plugin to copy into cniBinDir; empty: none is copied. */
  readonly cniBinary: string;
  readonly trustDir: string;
  readonly tokenFile: string;
  readonly objectsDir: string;
  /** Empty: the interfaces that hold the default routes or the node's addresses. */
  readonly devices: readonly string[];
  /** Rows per table, by map name; other maps keep the size in the object. */
  readonly mapSizes: Readonly<Record<string, number>>;
  /** 127.0.0.1 port of health and metrics; 0 chooses one, -1 turns it off. */
  readonly healthPort: number;
  readonly logLevel: string;
  /** How long CNI ADD waits for the identity of a pod while an operator is connected. */
  readonly identityWaitMs: number;
  /** How long a changed host policy is tried before the one before is put back, unless an operator is reached. */
  readonly hostPolicyConfirmMs: number;
}

const defaults = {
  'node-name': '',
  'state-dir': '/var/lib/axoneme',
  socket: '/var/run/axoneme/agent.sock',
  bpffs: '/sys/fs/bpf',
  'cgroup-root': '',
  'cni-conf-dir': '/etc/cni/net.d',
  'cni-bin-dir': '/opt/cni/bin',
  'cni-binary': '',
  'trust-dir': '/etc/axoneme/trust',
  'token-file': '/var/run/secrets/axoneme/token',
  'objects-dir': '',
  devices: '',
  'map-sizes': '',
  'health-port': '9879',
  'log-level': 'info',
  'identity-wait-ms': '1500',
  'host-policy-confirm-ms': '20000',
} as const;

type FlagName = keyof typeof defaults;
const flagNames = Object.keys(defaults) as FlagName[];
/** `--state-dir` is also AXONEME_STATE_DIR; `--node-name` is NODE_NAME, as the downward API sets it. */
const envName = (flag: FlagName): string => (flag === 'node-name' ? 'NODE_NAME' : `AXONEME_${flag.replaceAll('-', '_').toUpperCase()}`);

const invalid = (flag: string, why: string): Result<never> =>
  fail({ code: 'agent/config', message: `--${flag}: ${why}`, hint: 'see axoneme-agent --help' });

export const usage = (): string =>
  [
    'axoneme-agent: the part of Axoneme that runs on every node',
    ...flagNames.map((f) => `  --${f} (${envName(f)}) default "${defaults[f]}"`),
  ].join('\n');

function parseSizes(text: string): Result<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const item of text.split(',').filter((t) => t !== '')) {
    const [name = '', value = ''] = item.split('=');
    const n = Number(value);
    if (!Object.hasOwn(maps, name) || !Number.isInteger(n) || n < 1 || n > 2 ** 26) {
      return invalid('map-sizes', `"${item}" is not map=rows with 1 to ${2 ** 26} rows; maps: ${Object.keys(maps).join(', ')}`);
    }
    sizes[name] = n;
  }
  return ok(sizes);
}

function parseWhole(flag: FlagName, text: string, min: number, max: number): Result<number> {
  const n = Number(text);
  return text.trim() !== '' && Number.isInteger(n) && n >= min && n <= max
    ? ok(n)
    : invalid(flag, `"${text}" is not a whole number from ${min} to ${max}`);
}

function readFlags(argv: readonly string[]): Result<Partial<Record<FlagName, string>>> {
  try {
    const options = Object.fromEntries(flagNames.map((f) => [f, { type: 'string' as const }]));
    return ok(parseArgs({ args: [...argv], options, strict: true, allowPositionals: false }).values as Partial<Record<FlagName, string>>);
  } catch (e) {
    return fail({ code: 'agent/config', message: e instanceof Error ? e.message : String(e), hint: usage(), cause: e });
  }
}

/** Errors: `agent/config`. Flags win over the environment. */
export function parseConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  paths: { readonly objectsDir: string; readonly cniBinary: string },
): Result<AgentConfig> {
  const flags = readFlags(argv);
  if (!flags.ok) return flags;
  // unknown variables are not refused: Kubernetes puts service links named like ours into every pod
  const get = (f: FlagName): string => flags.value[f] ?? env[envName(f)] ?? defaults[f];

  const nodeName = get('node-name');
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(nodeName)) {
    return invalid('node-name', nodeName === '' ? 'must be set, or NODE_NAME' : `"${nodeName}" is no node name`);
  }
  const mapSizes = parseSizes(get('map-sizes'));
  if (!mapSizes.ok) return mapSizes;
  const healthPort = parseWhole('health-port', get('health-port'), -1, 65535);
  if (!healthPort.ok) return healthPort;
  const wait = parseWhole('identity-wait-ms', get('identity-wait-ms'), 0, 60_000);
  if (!wait.ok) return wait;
  const confirm = parseWhole('host-policy-confirm-ms', get('host-policy-confirm-ms'), 1_000, 600_000);
  if (!confirm.ok) return confirm;
  return ok(
    Object.freeze({
      nodeName,
      stateDir: get('state-dir'),
      socket: get('socket'),
      bpffs: get('bpffs'),
      cgroupRoot: get('cgroup-root'),
      cniConfDir: get('cni-conf-dir'),
      cniBinDir: get('cni-bin-dir'),
      cniBinary: get('cni-binary') || paths.cniBinary,
      trustDir: get('trust-dir'),
      tokenFile: get('token-file'),
      objectsDir: get('objects-dir') || paths.objectsDir,
      devices: get('devices')
        .split(',')
        .filter((d) => d !== ''),
      mapSizes: mapSizes.value,
      healthPort: healthPort.value,
      logLevel: get('log-level'),
      identityWaitMs: wait.value,
      hostPolicyConfirmMs: confirm.value,
    }),
  );
}

/** For the log at start. The agent's settings are paths and sizes; no secret is among them, the token stays in its file. */
export const redacted = (c: AgentConfig): Record<string, unknown> => ({ ...c });
