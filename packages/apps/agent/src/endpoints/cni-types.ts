// The CNI protocol as the plugin carries it: one JSON request per line, one JSON answer per line; results and errors of spec 1.1.
// Called by the request server and the endpoint manager.
import { AppError, fail, ok, type Result } from '@axoneme/std';

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS';

export interface CniRequest {
  readonly command: CniCommand;
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  readonly args: Readonly<Record<string, string>>;
  readonly conf: CniConf;
}

export interface CniConf {
  readonly cniVersion: string;
  readonly name: string;
  readonly prevResult: unknown;
  readonly validAttachments: readonly Attachment[];
}

export interface Attachment {
  readonly containerId: string;
  readonly ifname: string;
}

export interface CniError {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details: string;
}

/** Codes of the CNI specification; from 100 on they are ours. */
export const cniCode = {
  version: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  environment: 4,
  io: 5,
  decode: 6,
  invalidConfig: 7,
  tryAgain: 11,
  notAvailable: 50,
  noAddress: 101,
  failed: 999,
} as const;

const commands: readonly string[] = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'];
export const supportedVersions: readonly string[] = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];

const record = (v: unknown): Readonly<Record<string, unknown>> =>
  v !== null && typeof v === 'object' && !Array.isArray(v) ? (v as Record<string, unknown>) : {};
const text = (v: unknown): string => (typeof v === 'string' ? v : '');

const refuse = (code: number, message: string): Result<never> => fail({ code: 'agent/cni-request', message, fields: { cni: code } });

function parseConf(v: unknown): CniConf {
  const c = record(v);
  const valid = c['cni.dev/valid-attachments'] ?? c['cni.dev/attachments'];
  return {
    cniVersion: text(c.cniVersion) || '0.3.1',
    name: text(c.name),
    prevResult: c.prevResult,
    validAttachments: (Array.isArray(valid) ? valid : []).map((a) => {
      const r = record(a);
      return { containerId: text(r.containerID), ifname: text(r.ifname) };
    }),
  };
}

/** `K8S_POD_NAME=x;K8S_POD_NAMESPACE=y` */
function parseArgs(args: string): Record<string, string> {
  const pairs = args.split(';').map((p) => p.split('=', 2));
  return Object.fromEntries(pairs.filter((p) => p.length === 2)) as Record<string, string>;
}

/** Errors carry the CNI code in `fields.cni`. */
export function parseRequest(line: string): Result<CniRequest> {
  let raw: Readonly<Record<string, unknown>>;
  try {
    raw = record(JSON.parse(line));
  } catch {
    return refuse(cniCode.decode, 'the network configuration is no JSON');
  }
  const command = text(raw.command);
  if (!commands.includes(command)) return refuse(cniCode.environment, `CNI_COMMAND "${command}" is not known`);
  const conf = parseConf(raw.conf);
  if (!supportedVersions.includes(conf.cniVersion)) {
    return refuse(cniCode.version, `CNI version ${conf.cniVersion} is not supported; supported: ${supportedVersions.join(', ')}`);
  }
  const request = {
    command: command as CniCommand,
    containerId: text(raw.containerId),
    netns: text(raw.netns),
    ifname: text(raw.ifname),
    args: parseArgs(text(raw.args)),
    conf,
  };
  if (command === 'GC' || command === 'STATUS') return ok(request);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(request.containerId))
    return refuse(cniCode.environment, 'CNI_CONTAINERID is missing or malformed');
  if (!/^[^/:\s]{1,15}$/.test(request.ifname)) return refuse(cniCode.environment, 'CNI_IFNAME is missing or malformed');
  if (command !== 'DEL' && request.netns === '') return refuse(cniCode.environment, 'CNI_NETNS is missing');
  return ok(request);
}

export function toCniError(e: unknown, cniVersion: string): CniError {
  const code = e instanceof AppError ? (e.fields.cni as number | undefined) : undefined;
  const msg = e instanceof Error ? e.message : String(e);
  const details = e instanceof AppError ? [e.code, e.hint].filter(Boolean).join(': ') : '';
  return { cniVersion, code: code ?? cniCode.failed, msg, details };
}

export interface AddResultInput {
  readonly hostIfname: string;
  readonly hostMac: string;
  readonly ifname: string;
  readonly mac: string;
  readonly sandbox: string;
  readonly mtu: number;
  readonly ips: readonly { readonly address: string; readonly gateway: string }[];
}

/** The ADD result in the shape `cniVersion` asks for. */
export function addResult(cniVersion: string, r: AddResultInput): Record<string, unknown> {
  const old = cniVersion.startsWith('0.');
  const six = (a: string): boolean => a.includes(':');
  const mtu = cniVersion === '1.1.0' ? { mtu: r.mtu } : {};
  return {
    cniVersion,
    interfaces: [
      { name: r.hostIfname, mac: r.hostMac, ...mtu },
      { name: r.ifname, mac: r.mac, sandbox: r.sandbox, ...mtu },
    ],
    ips: r.ips.map(({ address, gateway }) => ({
      ...(old ? { version: six(address) ? '6' : '4' } : {}),
      address: `${address}/${six(address) ? 128 : 32}`,
      gateway,
      interface: 1,
    })),
    routes: r.ips.map(({ address, gateway }) => ({ dst: six(address) ? '::/0' : '0.0.0.0/0', gw: gateway })),
    dns: {},
  };
}
