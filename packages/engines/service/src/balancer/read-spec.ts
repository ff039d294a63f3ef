// A plain object (from YAML or JSON) → BalancerSpec, or every problem it has. Pure; called by whoever reads a file, and by `axoneme lb check`.
import { type Cidr, type IpAddr, ipFamily, type Port, parseCidrOrIp, parseIp } from '@axoneme/model';
import { maglevSizes } from '../maglev.ts';
import { createFieldReader, type FieldReader, type Problem } from './fields.ts';
import { type BalancedBackend, type BalancedService, type BalancerSpec, type HealthCheck, healthDefaults, type Vip } from './spec.ts';

export type ReadSpec = { readonly ok: true; readonly spec: BalancerSpec } | { readonly ok: false; readonly problems: readonly Problem[] };

const servicesMax = 10_000;
const weightMax = 65_535;
const dayMs = 86_400_000;

/** Nothing a packet could be sent to, or that means something else on every machine. */
const unusable = (ip: IpAddr): boolean =>
  ip.includes(':') ? /^(::1?$|ff|fe[89ab])/.test(ip) : /^(0\.|127\.|22[4-9]\.|2[3-5]\d\.|169\.254\.)/.test(ip);

function addressOf(r: FieldReader, at: string, value: unknown): IpAddr | undefined {
  if (value === undefined || value === null) {
    r.problem(at, 'is missing', 'write an IPv4 or IPv6 address');
    return undefined;
  }
  const ip = parseIp(typeof value === 'string' ? value : '');
  if (!ip.ok) {
    r.problem(at, `${JSON.stringify(value)} is no address`, 'write one address as in 192.0.2.10 or "2001:db8::10", without port or prefix');
    return undefined;
  }
  if (!unusable(ip.value)) return ip.value;
  r.problem(at, `${ip.value} cannot be reached from elsewhere`, 'write a unicast address that is not loopback or link-local');
  return undefined;
}

const portOf = (r: FieldReader, at: string, value: unknown): Port => r.whole(at, value, { min: 1, max: 65_535 }) as Port;

function readVips(r: FieldReader, at: string, value: unknown): Vip[] {
  return r.list(at, value, 'one at least').flatMap((v, i): Vip[] => {
    const here = `${at}[${i}]`;
    const f = r.fields(here, v, ['address', 'port', 'protocol']);
    const address = addressOf(r, `${here}.address`, f.address);
    const port = portOf(r, `${here}.port`, f.port);
    const protocol = r.choice(`${here}.protocol`, f.protocol, ['TCP', 'UDP', 'SCTP'], 'TCP');
    return address === undefined ? [] : [{ address, port, protocol }];
  });
}

function readBackends(r: FieldReader, at: string, value: unknown, vips: readonly Vip[]): BalancedBackend[] {
  const ports = [...new Set(vips.map((v) => v.port))];
  const seen = new Map<string, string>();
  return r.list(at, value, 'one at least').flatMap((v, i): BalancedBackend[] => {
    const here = `${at}[${i}]`;
    const f = r.fields(here, v, ['address', 'port', 'weight', 'state']);
    const address = addressOf(r, `${here}.address`, f.address);
    // the port of the only VIP need not be written again
    const port = f.port === undefined && ports.length === 1 ? ports[0]! : portOf(r, `${here}.port`, f.port);
    const weight = r.whole(`${here}.weight`, f.weight, { min: 0, max: weightMax, fallback: 100 });
    const state = r.choice(`${here}.state`, f.state, ['active', 'maintenance'], 'active');
    if (address === undefined) return [];
    const text = `${address} ${port}`;
    const twin = seen.get(text);
    if (twin !== undefined) r.problem(here, `is the same backend as ${twin}`, 'leave one of them out; give the other more weight');
    seen.set(text, here);
    return [{ address, port, weight, state }];
  });
}

function readRanges(r: FieldReader, at: string, value: unknown): readonly Cidr[] | undefined {
  if (value === undefined || value === null) return undefined;
  return r.list(at, value, 'one at least').flatMap((v, i) => {
    const cidr = parseCidrOrIp(typeof v === 'string' ? v : '');
    if (cidr.ok) return [cidr.value];
    r.problem(`${at}[${i}]`, `${JSON.stringify(v)} is no prefix`, 'write a prefix as in 198.51.100.0/24, without host bits');
    return [];
  });
}

function readCodes(r: FieldReader, at: string, value: unknown): HealthCheck['codes'] {
  if (value === undefined || value === null) return healthDefaults.codes;
  const codes = r.list(at, value, 'one at least').flatMap((v, i): (readonly [number, number])[] => {
    const parts = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(typeof v === 'number' || typeof v === 'string' ? String(v) : '');
    const [first, last] = [Number(parts?.[1]), Number(parts?.[2] ?? parts?.[1])];
    if (parts !== null && first <= last) return [[first, last]];
    r.problem(`${at}[${i}]`, `${JSON.stringify(v)} is no status code`, 'write a code as in 200 or a range as in 200-299');
    return [];
  });
  return codes.length === 0 ? healthDefaults.codes : codes;
}

const healthFields = ['type', 'port', 'path', 'host', 'codes', 'interval', 'timeout', 'rise', 'fall'];

function readHealth(r: FieldReader, at: string, value: unknown): HealthCheck | undefined {
  if (value === undefined || value === null) return undefined;
  const f = r.fields(at, value, healthFields);
  const type = r.choice(`${at}.type`, f.type, ['tcp', 'http'], 'tcp');
  const intervalMs = r.duration(`${at}.interval`, f.interval, { min: 100, max: 3_600_000, fallback: healthDefaults.intervalMs });
  const fallback = Math.min(healthDefaults.timeoutMs, intervalMs);
  const timeoutMs = r.duration(`${at}.timeout`, f.timeout, { min: 10, max: 60_000, fallback });
  if (timeoutMs > intervalMs) r.problem(`${at}.timeout`, 'is longer than interval', 'write a timeout of at most the interval');
  if (type === 'tcp')
    for (const name of ['path', 'host', 'codes'])
      if (f[name] !== undefined) r.problem(`${at}.${name}`, 'means nothing with type tcp', 'write type: http, or leave it out');
  const path = r.text(`${at}.path`, f.path, '/');
  if (!/^\/[\x21-\x7e]*$/.test(path)) r.problem(`${at}.path`, `${JSON.stringify(path)} is no path`, 'begin it with /, without spaces');
  return {
    type,
    port: f.port === undefined ? 0 : portOf(r, `${at}.port`, f.port),
    path,
    host: r.text(`${at}.host`, f.host, ''),
    codes: readCodes(r, `${at}.codes`, f.codes),
    intervalMs,
    timeoutMs,
    rise: r.whole(`${at}.rise`, f.rise, { min: 1, max: 100, fallback: healthDefaults.rise }),
    fall: r.whole(`${at}.fall`, f.fall, { min: 1, max: 100, fallback: healthDefaults.fall }),
  };
}

const serviceFields = ['name', 'vips', 'backends', 'algorithm', 'mode', 'sessionAffinity', 'sourceRanges', 'health'];

function readBalanced(r: FieldReader, at: string, value: unknown): BalancedService {
  const f = r.fields(at, value, serviceFields);
  const name = r.text(`${at}.name`, f.name, '');
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name))
    r.problem(
      `${at}.name`,
      name === '' ? 'is missing' : `${JSON.stringify(name)} is no name`,
      'write small letters, digits and dashes, 63 at most',
    );
  const vips = readVips(r, `${at}.vips`, f.vips);
  const s: BalancedService = {
    name,
    vips,
    backends: readBackends(r, `${at}.backends`, f.backends, vips),
    algorithm: r.choice(`${at}.algorithm`, f.algorithm, ['maglev', 'random'], 'maglev'),
    mode: r.choice(`${at}.mode`, f.mode, ['snat', 'dsr'], 'snat'),
    affinitySeconds: Math.round(r.duration(`${at}.sessionAffinity`, f.sessionAffinity, { min: 1000, max: dayMs, fallback: 0 }) / 1000),
    sourceRanges: readRanges(r, `${at}.sourceRanges`, f.sourceRanges),
    health: readHealth(r, `${at}.health`, f.health),
  };
  checkTogether(r, at, s);
  return s;
}

/** What is right in itself and wrong beside the rest. */
function checkTogether(r: FieldReader, at: string, s: BalancedService): void {
  // an address that could not be read is no reason to complain of its absence
  const readable = r.problems.every((p) => !p.at.startsWith(`${at}.vips`) && !p.at.startsWith(`${at}.backends`));
  s.vips.forEach((v, i) => {
    const family = ipFamily(v.address);
    if (readable && !s.backends.some((b) => ipFamily(b.address) === family))
      r.problem(`${at}.vips[${i}].address`, `has no backend of its family`, `add a backend with an IPv${family} address`);
  });
  s.backends.forEach((b, i) => {
    const here = `${at}.backends[${i}]`;
    const family = ipFamily(b.address);
    if (readable && !s.vips.some((v) => ipFamily(v.address) === family))
      r.problem(`${here}.address`, 'has no VIP of its family', `add a VIP with an IPv${family} address, or leave the backend out`);
    const other = s.vips.find((v) => v.port !== b.port);
    if (s.mode === 'dsr' && other !== undefined)
      r.problem(
        `${here}.port`,
        `${b.port} is not the port of ${other.address}`,
        `write port: ${other.port}; with mode dsr ports stay as they are`,
      );
    if (s.algorithm === 'random' && b.weight !== 100 && b.weight !== 0)
      r.problem(`${here}.weight`, 'means nothing with algorithm random', 'write algorithm: maglev, or leave the weight out');
  });
}

function checkServices(r: FieldReader, at: string, services: readonly BalancedService[]): void {
  const names = new Map<string, number>();
  const vips = new Map<string, string>();
  services.forEach((s, i) => {
    const twin = names.get(s.name);
    if (twin !== undefined && s.name !== '') r.problem(`${at}[${i}].name`, `"${s.name}" is ${at}[${twin}] already`, 'choose another name');
    names.set(s.name, i);
    s.vips.forEach((v, j) => {
      const [here, text] = [`${at}[${i}].vips[${j}]`, `${v.address} ${v.port}/${v.protocol}`];
      const taken = vips.get(text);
      if (taken !== undefined) r.problem(here, `${text} belongs to ${taken} already`, 'choose another address or port');
      vips.set(text, here);
    });
  });
  const addresses = new Map(services.flatMap((s, i) => s.vips.map((v, j) => [v.address, `${at}[${i}].vips[${j}]`] as const)));
  services.forEach((s, i) => {
    s.backends.forEach((b, j) => {
      const vip = addresses.get(b.address);
      if (vip !== undefined)
        r.problem(`${at}[${i}].backends[${j}].address`, `${b.address} is the address of ${vip}`, 'write the address of the server itself');
    });
  });
}

/** A list of services at `at`, and what is wrong with them, each alone and beside the others. */
export function readServices(r: FieldReader, at: string, value: unknown): BalancedService[] {
  // nothing to do is a thing to do
  const list = r.list(at, value, 'may be empty');
  const whole = at.slice(0, Math.max(0, at.lastIndexOf('.')));
  if (value === undefined && r.problems.every((p) => p.at !== whole)) r.problem(at, 'is missing', 'write a list; services: [] is one');
  if (list.length > servicesMax) r.problem(at, `has ${list.length} entries`, `write ${servicesMax} at most`);
  const services = list.map((s, i) => readBalanced(r, `${at}[${i}]`, s));
  checkServices(r, at, services);
  return services;
}

export function readBalancerSpec(value: unknown): ReadSpec {
  const r = createFieldReader();
  const f = r.fields('', value, ['maglevTableSize', 'noBackend', 'services']);
  const maglevSize = r.whole('maglevTableSize', f.maglevTableSize, { min: 1, max: 2 ** 31, fallback: 16_381 });
  const size = maglevSizes.find((m) => m === maglevSize);
  if (size === undefined) r.problem('maglevTableSize', `${maglevSize} is no size of a table`, `write one of ${maglevSizes.join(', ')}`);
  const noBackend = r.choice('noBackend', f.noBackend, ['reject', 'drop'], 'reject');
  const services = readServices(r, 'services', f.services);
  if (r.problems.length > 0) return { ok: false, problems: r.problems };
  return { ok: true, spec: { maglevSize: size!, noBackend, services } };
}
