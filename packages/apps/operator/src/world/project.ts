// From API objects to rows: reads only what compilers need and trusts nothing. Called by the sources.
import { parseIp } from '@axoneme/model';
import { readHostPorts } from '@axoneme/service';
import type { CidrGroupRow, CiliumNodeRow, IdentityRow, L2LeaseRow, NamedPort, NamespaceRow, NodeRow, PodRow, PolicyRow } from './rows.ts';

/** Mark of the identity garbage collector: since when nobody uses the number (RFC 3339). */
export const UNUSED_SINCE_ANNOTATION = 'axoneme.io/unused-since';

type Json = Readonly<Record<string, unknown>>;

const obj = (v: unknown): Json => (v !== null && typeof v === 'object' && !Array.isArray(v) ? (v as Json) : {});
const list = (v: unknown): readonly unknown[] => (Array.isArray(v) ? v : []);
const str = (v: unknown): string => (typeof v === 'string' ? v : '');
const num = (v: unknown): number => (typeof v === 'number' && Number.isFinite(v) ? v : 0);
const timeMs = (v: unknown): number => {
  const t = Date.parse(str(v));
  return Number.isNaN(t) ? 0 : t;
};

function strings(v: unknown): Readonly<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const [k, s] of Object.entries(obj(v))) if (typeof s === 'string') out[k] = s;
  return out;
}

function namedPorts(spec: Json): readonly NamedPort[] {
  const containers = [...list(spec.containers), ...list(spec.initContainers)];
  return containers.flatMap((c) =>
    list(obj(c).ports).flatMap((p) => {
      const port = obj(p);
      if (str(port.name) === '') return [];
      return [{ name: str(port.name), port: num(port.containerPort), protocol: str(port.protocol) || 'TCP' }];
    }),
  );
}

/** On pods: `enabled`, `disabled`. */
const AUDIT_ANNOTATION = 'policy.axoneme.io/audit';

export function projectPod(o: Json): PodRow {
  const meta = obj(o.metadata);
  const spec = obj(o.spec);
  const status = obj(o.status);
  const phase = str(status.phase);
  return {
    namespace: str(meta.namespace),
    name: str(meta.name),
    uid: str(meta.uid),
    node: str(spec.nodeName),
    hostNetwork: spec.hostNetwork === true,
    serviceAccount: str(spec.serviceAccountName) || 'default',
    labels: strings(meta.labels),
    addresses: list(status.podIPs)
      .map((i) => str(obj(i).ip))
      .filter(Boolean),
    finished: phase === 'Succeeded' || phase === 'Failed',
    namedPorts: namedPorts(spec),
    audit: strings(meta.annotations)[AUDIT_ANNOTATION] === 'enabled',
    ...(conditionOf(status, 'Ready') === 'True' ? { ready: true as const } : {}),
    ...hostPortsOf(o),
    ...gateOf(spec, status),
  };
}

const conditionOf = (status: Json, type: string): string =>
  str(
    list(status.conditions)
      .map(obj)
      .find((c) => c.type === type)?.status,
  );

function hostPortsOf(o: Json): Pick<PodRow, 'hostPorts'> {
  const hostPorts = readHostPorts(o);
  return hostPorts === undefined ? {} : { hostPorts };
}

const POLICY_GATE = 'axoneme.io/policy-enforced';

function gateOf(spec: Json, status: Json): Pick<PodRow, 'gate'> {
  if (!list(spec.readinessGates).some((g) => obj(g).conditionType === POLICY_GATE)) return {};
  const c = list(status.conditions)
    .map(obj)
    .find((x) => x.type === POLICY_GATE);
  return { gate: { status: str(c?.status), reason: str(c?.reason) } };
}

export function projectNamespace(o: Json): NamespaceRow {
  const meta = obj(o.metadata);
  return { name: str(meta.name), labels: strings(meta.labels) };
}

/** Set by the cluster autoscaler. */
const LEAVING_TAINT = 'ToBeDeletedByClusterAutoscaler';

export function projectNode(o: Json): NodeRow {
  const meta = obj(o.metadata);
  const spec = obj(o.spec);
  const addresses = list(obj(o.status).addresses).map(obj);
  const conditions = list(obj(o.status).conditions).map(obj);
  const taints = list(spec.taints).map(obj);
  const cidrs = list(spec.podCIDRs).map(str).filter(Boolean);
  return {
    name: str(meta.name),
    uid: str(meta.uid),
    labels: strings(meta.labels),
    internalAddresses: addresses.filter((a) => a.type === 'InternalIP').map((a) => str(a.address)),
    externalAddresses: addresses.filter((a) => a.type === 'ExternalIP').map((a) => str(a.address)),
    serves: conditions.some((c) => c.type === 'Ready' && c.status === 'True') && !taints.some((t) => t.key === LEAVING_TAINT),
    podCidrs: cidrs.length > 0 ? cidrs : [str(spec.podCIDR)].filter(Boolean),
  };
}

export function projectPolicy(kind: PolicyRow['kind'], o: Json): PolicyRow {
  const { managedFields: _dropped, ...meta } = obj(o.metadata);
  return {
    kind,
    namespace: str(meta.namespace),
    name: str(meta.name),
    uid: str(meta.uid),
    generation: num(meta.generation),
    createdMs: timeMs(meta.creationTimestamp),
    object: { ...o, metadata: meta },
  };
}

export function projectCidrGroup(o: Json): CidrGroupRow {
  const meta = obj(o.metadata);
  return {
    name: str(meta.name),
    uid: str(meta.uid),
    labels: strings(meta.labels),
    cidrs: list(obj(o.spec).externalCIDRs).map(str).filter(Boolean),
    createdMs: timeMs(meta.creationTimestamp),
  };
}

/** Undefined when the name is not a number: not ours to interpret. */
export function projectIdentity(o: Json): IdentityRow | undefined {
  const meta = obj(o.metadata);
  const id = Number(str(meta.name));
  if (!Number.isInteger(id) || id <= 0 || id > 0xff_ffff) return undefined;
  const unusedSinceMs = timeMs(strings(meta.annotations)[UNUSED_SINCE_ANNOTATION]);
  return {
    id,
    labels: strings(o['security-labels']),
    createdMs: timeMs(meta.creationTimestamp),
    ...(unusedSinceMs > 0 ? { unusedSinceMs } : {}),
  };
}

export function projectCiliumNode(o: Json): CiliumNodeRow {
  const meta = obj(o.metadata);
  const ipam = obj(obj(o.spec).ipam);
  return { name: str(meta.name), podCidrs: list(ipam.podCIDRs).map(str).filter(Boolean), createdMs: timeMs(meta.creationTimestamp) };
}

export const L2_LABEL = 'axoneme.io/l2-announcement';
export const L2_ADDRESS_ANNOTATION = 'axoneme.io/address';
export const L2_FORMER_ANNOTATION = 'axoneme.io/former-holders';

/** Undefined for Leases that are not of announcements. */
export function projectL2Lease(o: Json): L2LeaseRow | undefined {
  const meta = obj(o.metadata);
  const notes = strings(meta.annotations);
  const address = parseIp(notes[L2_ADDRESS_ANNOTATION] ?? '');
  if (!address.ok) return undefined;
  const spec = obj(o.spec);
  const former = (notes[L2_FORMER_ANNOTATION] ?? '').split(',').filter(Boolean);
  return {
    name: str(meta.name),
    uid: str(meta.uid),
    resourceVersion: str(meta.resourceVersion),
    record: { address: address.value, node: str(spec.holderIdentity), former, epoch: num(spec.leaseTransitions) },
  };
}
