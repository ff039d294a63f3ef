// EndpointSlices, nodes and pods with host ports from their plain JSON. What is wrong is left out and remarked. Called by the operator's sources.
import { type IpAddr, objectKey, parseIp, parsePort, parsePortProtocol } from '@axoneme/model';
import type { NodeName } from '@axoneme/std';
import type { HostPort, HostPortPod, SliceEndpoint, SliceInput } from './inputs.ts';
import { type Json, keyOfMeta, list, obj, quote, type Remark, readIps, readPort, str, strings } from './read-json.ts';

/** Undefined for a slice that belongs to no service or holds names instead of addresses. */
export function readEndpointSlice(raw: unknown): SliceInput | undefined {
  const slice = obj(raw);
  const meta = obj(slice.metadata);
  const service = strings(meta.labels)['kubernetes.io/service-name'];
  if (service === undefined || service === '' || slice.addressType === 'FQDN') return undefined;
  const remarks: string[] = [];
  const remark: Remark = (text) => void remarks.push(text);
  return {
    key: keyOfMeta(meta),
    service: objectKey(str(meta.namespace), service),
    ports: list(slice.ports).flatMap((p, i) => readPort(obj(p), `ports[${i}]`, remark) ?? []),
    endpoints: list(slice.endpoints).map((e, i) => readEndpoint(obj(e), `endpoints[${i}]`, remark)),
    remarks,
  };
}

const flag = (v: unknown, absent: boolean): boolean => (typeof v === 'boolean' ? v : absent);
const names = (v: unknown): string[] =>
  list(v)
    .map((n) => str(obj(n).name))
    .filter(Boolean);

function readEndpoint(raw: Json, field: string, remark: Remark): SliceEndpoint {
  const conditions = obj(raw.conditions);
  const hints = obj(raw.hints);
  // Absent conditions count as ready; serving follows ready, as the API defines it.
  const ready = flag(conditions.ready, true);
  return {
    addresses: readIps(raw.addresses, `${field}.addresses`, remark),
    ready,
    serving: flag(conditions.serving, ready),
    terminating: flag(conditions.terminating, false),
    node: str(raw.nodeName),
    hintZones: names(hints.forZones),
    hintNodes: names(hints.forNodes),
  };
}

function readHostPort(raw: Json): HostPort | undefined {
  if (raw.hostPort === undefined || raw.hostPort === null || raw.hostPort === 0) return undefined;
  const hostPort = parsePort(Number(raw.hostPort));
  const port = parsePort(Number(raw.containerPort));
  const protocol = parsePortProtocol(str(raw.protocol) || 'TCP');
  if (!hostPort.ok || !port.ok || !protocol.ok) return undefined;
  const text = str(raw.hostIP);
  const hostIp = text === '' || text === '0.0.0.0' || text === '::' ? undefined : parseIp(text);
  // an address that is none: on no address, rather than on all
  if (hostIp !== undefined && !hostIp.ok) return undefined;
  return { hostIp: hostIp?.value, hostPort: hostPort.value, port: port.value, protocol: protocol.value };
}

/** Undefined for pods that ask for no port of their node, or already are the node. */
export function readHostPorts(raw: unknown): HostPortPod | undefined {
  const pod = obj(raw);
  const spec = obj(pod.spec);
  const status = obj(pod.status);
  if (spec.hostNetwork === true || str(spec.nodeName) === '' || status.phase === 'Succeeded' || status.phase === 'Failed') return undefined;
  const containers = [...list(spec.containers), ...list(spec.initContainers).filter((c) => obj(c).restartPolicy === 'Always')];
  const ports = containers.flatMap((c) => list(obj(c).ports)).flatMap((p) => readHostPort(obj(p)) ?? []);
  if (ports.length === 0) return undefined;
  const addresses: IpAddr[] = readIps(
    list(status.podIPs).map((i) => obj(i).ip),
    'status.podIPs',
    (text) => void quote(text),
  );
  return { key: keyOfMeta(obj(pod.metadata)), node: str(spec.nodeName) as NodeName, addresses, ports };
}
