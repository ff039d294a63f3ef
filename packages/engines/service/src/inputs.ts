// What the engine needs of Services and EndpointSlices, and readers from their plain JSON. Called by the operator's sources.
import {
  type IpAddr,
  type ObjectKey,
  objectKey,
  type Port,
  type PortProtocol,
  parseIp,
  parsePort,
  parsePortProtocol,
} from '@axoneme/model';

export interface ServicePort {
  /** Empty for the only, unnamed port. */
  readonly name: string;
  readonly protocol: PortProtocol;
  readonly port: Port;
}

export interface ServiceInput {
  readonly key: ObjectKey;
  /** When the object was made; of two that ask for one address the older keeps it. */
  readonly createdMs: number;
  /** Empty for headless and ExternalName services. */
  readonly clusterIps: readonly IpAddr[];
  readonly ports: readonly ServicePort[];
  /** 0 = none, else ClientIP affinity timeout. */
  readonly affinitySeconds: number;
}

export interface SliceEndpoint {
  readonly addresses: readonly IpAddr[];
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}

export interface SliceInput {
  readonly key: ObjectKey;
  readonly service: ObjectKey;
  readonly ports: readonly ServicePort[];
  readonly endpoints: readonly SliceEndpoint[];
}

/** The part of a v1 Service that is read. */
export interface RawService {
  readonly metadata?:
    | {
        readonly name?: string | undefined;
        readonly namespace?: string | undefined;
        readonly creationTimestamp?: string | Date | undefined;
      }
    | undefined;
  readonly spec?:
    | {
        readonly type?: string | undefined;
        readonly clusterIP?: string | undefined;
        readonly clusterIPs?: readonly string[] | undefined;
        readonly ports?: readonly RawPort[] | undefined;
        readonly sessionAffinity?: string | undefined;
        readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number | undefined } | undefined } | undefined;
      }
    | undefined;
}

export interface RawPort {
  readonly name?: string | undefined | null;
  readonly protocol?: string | undefined | null;
  readonly port?: number | undefined | null;
}

/** The part of a discovery.k8s.io/v1 EndpointSlice that is read. */
export interface RawEndpointSlice {
  readonly metadata?:
    | {
        readonly name?: string | undefined;
        readonly namespace?: string | undefined;
        readonly labels?: Readonly<Record<string, string>> | undefined;
      }
    | undefined;
  readonly addressType?: string | undefined;
  readonly ports?: readonly RawPort[] | undefined | null;
  readonly endpoints?: readonly RawEndpoint[] | undefined | null;
}

export interface RawEndpoint {
  readonly addresses?: readonly string[] | undefined;
  readonly conditions?:
    | {
        readonly ready?: boolean | undefined | null;
        readonly serving?: boolean | undefined | null;
        readonly terminating?: boolean | undefined | null;
      }
    | undefined;
}

const defaultAffinitySeconds = 10_800;

/** Invalid addresses and ports cannot come from an API server; they are left out. */
export function readService(raw: RawService): ServiceInput {
  const spec = raw.spec ?? {};
  const ips = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return {
    key: objectKey(raw.metadata?.namespace ?? '', raw.metadata?.name ?? ''),
    createdMs: new Date(raw.metadata?.creationTimestamp ?? 0).getTime() || 0,
    clusterIps: spec.type === 'ExternalName' ? [] : readIps(ips),
    ports: readPorts(spec.ports ?? []),
    affinitySeconds:
      spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds) : 0,
  };
}

/** Undefined for a slice that belongs to no service or holds names instead of addresses. */
export function readEndpointSlice(raw: RawEndpointSlice): SliceInput | undefined {
  const service = raw.metadata?.labels?.['kubernetes.io/service-name'];
  if (service === undefined || service === '' || raw.addressType === 'FQDN') return undefined;
  const namespace = raw.metadata?.namespace ?? '';
  return {
    key: objectKey(namespace, raw.metadata?.name ?? ''),
    service: objectKey(namespace, service),
    ports: readPorts(raw.ports ?? []),
    endpoints: (raw.endpoints ?? []).map((e) => {
      // Absent conditions count as ready; serving follows ready, as the API defines it.
      const ready = e.conditions?.ready ?? true;
      return {
        addresses: readIps(e.addresses ?? []),
        ready,
        serving: e.conditions?.serving ?? ready,
        terminating: e.conditions?.terminating ?? false,
      };
    }),
  };
}

function readIps(texts: readonly string[]): IpAddr[] {
  return texts.flatMap((t) => {
    const ip = parseIp(t);
    return ip.ok ? [ip.value] : [];
  });
}

function readPorts(raw: readonly RawPort[]): ServicePort[] {
  return raw.flatMap((p) => {
    const port = parsePort(p.port ?? 0);
    const protocol = parsePortProtocol(p.protocol ?? 'TCP');
    return port.ok && protocol.ok ? [{ name: p.name ?? '', protocol: protocol.value, port: port.value }] : [];
  });
}
