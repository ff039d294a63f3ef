// A CiliumLocalRedirectPolicy from its plain JSON. Every problem names its field and says what to write instead; a policy with problems redirects
// nothing. Called by the operator: for the compile, and by its admission webhook.
import { compileSelector, type LabelSelector, objectKey, parseIp, parsePort, parsePortProtocol } from '@axoneme/model';
import type { RedirectFrontend, RedirectInput, SlicePort } from './inputs.ts';
import { type Json, keyOfMeta, list, obj, quote, str, timeMs } from './read-json.ts';

type Problem = (text: string) => undefined;

export function readRedirect(raw: unknown): RedirectInput {
  const meta = obj(obj(raw).metadata);
  const spec = obj(obj(raw).spec);
  const problems: string[] = [];
  const problem: Problem = (text) => void problems.push(text);
  const backend = obj(spec.redirectBackend);
  const frontend = readFrontend(obj(spec.redirectFrontend), str(meta.namespace), problem);
  const ports = readPorts(backend.toPorts, 'spec.redirectBackend.toPorts', true, problem);
  const selector = readSelector(backend.localEndpointSelector, problem);
  if (frontend?.ports !== undefined && problems.length === 0) checkPairs(frontend.ports, portsField(frontend), ports, problem);
  if (frontend?.kind === 'service' && frontend.ports === undefined) nameAll(ports, 'spec.redirectBackend.toPorts', problem);
  return {
    key: keyOfMeta(meta),
    createdMs: timeMs(meta.creationTimestamp),
    frontend: problems.length === 0 ? frontend : undefined,
    selector,
    ports,
    skipOwn: spec.skipRedirectFromBackend === true,
    problems,
  };
}

const portsField = (f: RedirectFrontend): string =>
  `spec.redirectFrontend.${f.kind === 'address' ? 'addressMatcher' : 'serviceMatcher'}.toPorts`;

function readFrontend(spec: Json, namespace: string, problem: Problem): RedirectFrontend | undefined {
  const { addressMatcher, serviceMatcher } = spec;
  if ((addressMatcher === undefined) === (serviceMatcher === undefined))
    return problem('spec.redirectFrontend: one of addressMatcher and serviceMatcher is needed (write exactly one of them)');
  if (addressMatcher !== undefined) {
    const text = str(obj(addressMatcher).ip);
    const ip = parseIp(text);
    const ports = readPorts(obj(addressMatcher).toPorts, 'spec.redirectFrontend.addressMatcher.toPorts', true, problem);
    if (!ip.ok)
      return problem(`spec.redirectFrontend.addressMatcher.ip: ${quote(obj(addressMatcher).ip)} is not an address (169.254.169.254, say)`);
    return { kind: 'address', ip: ip.value, ports };
  }
  const m = obj(serviceMatcher);
  const [name, of] = [str(m.serviceName), str(m.namespace)];
  if (name === '') return problem('spec.redirectFrontend.serviceMatcher.serviceName: is required (the name of a Service)');
  if (of !== namespace)
    return problem(
      `spec.redirectFrontend.serviceMatcher.namespace: ${quote(m.namespace)} is not the namespace of the policy (write "${namespace}", or make the policy there)`,
    );
  const all = m.toPorts === undefined || m.toPorts === null || list(m.toPorts).length === 0;
  const ports = all ? undefined : readPorts(m.toPorts, 'spec.redirectFrontend.serviceMatcher.toPorts', false, problem);
  return { kind: 'service', service: objectKey(of, name), ports };
}

function readPorts(value: unknown, field: string, required: boolean, problem: Problem): SlicePort[] {
  const out: SlicePort[] = [];
  if (required && list(value).length === 0) problem(`${field}: is required (at least one port)`);
  for (const [i, raw] of list(value).map(obj).entries()) {
    const text = str(raw.port);
    // text, as the API has it; a number is understood too
    const port = /^[1-9][0-9]*$/.test(text) || typeof raw.port === 'number' ? parsePort(Number(raw.port)) : undefined;
    const protocol = parsePortProtocol(str(raw.protocol));
    if (port?.ok !== true) problem(`${field}[${i}].port: ${quote(raw.port)} is not a port ("1" to "65535")`);
    else if (!protocol.ok || protocol.value === 'SCTP')
      problem(`${field}[${i}].protocol: ${quote(raw.protocol)} cannot be redirected (TCP or UDP)`);
    else if (out.some((p) => p.port === port.value && p.protocol === protocol.value && required && field.includes('Frontend')))
      problem(`${field}[${i}]: ${port.value}/${protocol.value} is there twice (take one of them out)`);
    else out.push({ name: str(raw.name), port: port.value, protocol: protocol.value });
  }
  if (out.length > 1) nameAll(out, field, problem);
  return out;
}

function nameAll(ports: readonly SlicePort[], field: string, problem: Problem): void {
  if (ports.length < 2) return;
  for (const [i, p] of ports.entries()) {
    if (p.name === '') problem(`${field}[${i}].name: is required where there are several ports (the name pairs frontend and backend)`);
    else if (ports.findIndex((q) => q.name === p.name) < i)
      problem(`${field}[${i}].name: ${quote(p.name)} is there twice (give each port its own)`);
  }
}

/** Which backend port stands for a frontend port: the only one for the only one, else that of the same name. Protocols must agree. */
export function pairOf(port: SlicePort, only: boolean, backends: readonly SlicePort[]): SlicePort | undefined {
  const found = only && backends.length === 1 ? backends[0] : backends.find((b) => b.name === port.name && b.name !== '');
  return found?.protocol === port.protocol ? found : undefined;
}

function checkPairs(ports: readonly SlicePort[], field: string, backends: readonly SlicePort[], problem: Problem): void {
  for (const [i, p] of ports.entries())
    if (pairOf(p, ports.length === 1, backends) === undefined)
      problem(
        `${field}[${i}]: no port of spec.redirectBackend.toPorts has ${ports.length === 1 && backends.length === 1 ? '' : `the name ${quote(p.name)} and `}protocol ${p.protocol} (ports are paired by name)`,
      );
}

function readSelector(raw: unknown, problem: Problem): RedirectInput['selector'] {
  if (raw === undefined || raw === null)
    return problem('spec.redirectBackend.localEndpointSelector: is required (labels of the pods to redirect to)');
  const selector = compileSelector(obj(raw) as LabelSelector);
  if (selector.ok) return selector.value;
  return problem(
    `spec.redirectBackend.localEndpointSelector: ${selector.error.message}${selector.error.hint === undefined ? '' : ` (${selector.error.hint})`}`,
  );
}
