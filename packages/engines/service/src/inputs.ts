// What the engine needs of Services, EndpointSlices, nodes and pods. Made by the readers (read-*.ts), held by the compiler.
import type { Cidr, IpAddr, Labels, ObjectKey, Port, PortProtocol, Selector } from '@axoneme/model';
import type { NodeName } from '@axoneme/std';

export type FrontendKind = 'cluster-ip' | 'node-port' | 'load-balancer' | 'external-ip' | 'host-port' | 'local-redirect';
export type Algorithm = 'random' | 'maglev';

export interface SlicePort {
  /** Empty for the only, unnamed port. */
  readonly name: string;
  readonly protocol: PortProtocol;
  readonly port: Port;
}

export interface ServicePort extends SlicePort {
  /** 0: none. */
  readonly nodePort: number;
}

export interface ServiceInput {
  readonly key: ObjectKey;
  /** When the object was made; of two that ask for one address the older keeps it. */
  readonly createdMs: number;
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  /** Name of the proxy that is to serve it; empty: the cluster's. */
  readonly proxyName: string;
  /** Empty for headless and ExternalName services. */
  readonly clusterIps: readonly IpAddr[];
  readonly externalIps: readonly IpAddr[];
  /** From the status; only those that nodes are to answer for (mode VIP). */
  readonly loadBalancerIps: readonly IpAddr[];
  readonly loadBalancerClass: string;
  readonly ports: readonly ServicePort[];
  /** 0 = none, else ClientIP affinity timeout. */
  readonly affinitySeconds: number;
  /** Only backends on the node that a client of the outside, or of the cluster, came to. */
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  /** How near backends are preferred, where slices have hints. */
  readonly near: 'any' | 'zone' | 'node';
  /** Load balancer addresses are for some clients only. */
  readonly restrictsSources: boolean;
  /** Those that were understood: with `restrictsSources` and none of them nobody may. */
  readonly sourceRanges: readonly Cidr[];
  /** The ranges name who may not. */
  readonly sourceRangesDeny: boolean;
  /** 0: none. */
  readonly healthCheckPort: number;
  /** Undefined: all kinds it asks for. */
  readonly kinds: ReadonlySet<FrontendKind> | undefined;
  /** Undefined: all nodes. */
  readonly nodes: ReadonlySet<string> | undefined;
  readonly nodeSelector: Selector | undefined;
  readonly forwarding: 'snat' | 'dsr' | undefined;
  readonly algorithm: Algorithm | undefined;
  /** Of a fleet of balancers: its addresses are no node's, its backends take the envelope of DSR off themselves. */
  readonly fleet?: true | undefined;
  /** What was not understood, in words. */
  readonly remarks: readonly string[];
}

export interface SliceEndpoint {
  readonly addresses: readonly IpAddr[];
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Empty: unknown. */
  readonly node: string;
  readonly hintZones: readonly string[];
  readonly hintNodes: readonly string[];
  /** 100 unless a file or a health check says otherwise; 0: maintenance. */
  readonly weight?: number | undefined;
  /** A health check failed. */
  readonly quarantined?: boolean | undefined;
}

export interface SliceInput {
  readonly key: ObjectKey;
  readonly service: ObjectKey;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
  readonly remarks: readonly string[];
}

export interface NodeInput {
  readonly name: NodeName;
  /** Empty: unknown. */
  readonly zone: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly IpAddr[];
  readonly podCidrs: readonly Cidr[];
}

export interface HostPort {
  /** Undefined: all addresses of the node. */
  readonly hostIp: IpAddr | undefined;
  readonly hostPort: Port;
  readonly port: Port;
  readonly protocol: PortProtocol;
}

/** A pod that wants ports of its node. */
export interface HostPortPod {
  readonly key: ObjectKey;
  readonly node: NodeName;
  readonly addresses: readonly IpAddr[];
  readonly ports: readonly HostPort[];
}

export type RedirectFrontend =
  | { readonly kind: 'address'; readonly ip: IpAddr; readonly ports: readonly SlicePort[] }
  /** `ports` undefined: all that pair with a backend port. */
  | { readonly kind: 'service'; readonly service: ObjectKey; readonly ports: readonly SlicePort[] | undefined };

/** A CiliumLocalRedirectPolicy. */
export interface RedirectInput {
  readonly key: ObjectKey;
  readonly createdMs: number;
  /** Undefined: not understood, see `problems`. */
  readonly frontend: RedirectFrontend | undefined;
  /** Pods of the policy's namespace. */
  readonly selector: Selector | undefined;
  readonly ports: readonly SlicePort[];
  /** What the pods themselves send goes where it would go without the policy. */
  readonly skipOwn: boolean;
  readonly problems: readonly string[];
}

/** A pod that a redirect may lead to. */
export interface RedirectPod {
  readonly key: ObjectKey;
  readonly namespace: string;
  readonly node: NodeName;
  readonly labels: Labels;
  readonly addresses: readonly IpAddr[];
  readonly ready: boolean;
}

export interface ServiceConfig {
  /** Serves Services with this label `service.kubernetes.io/service-proxy-name` only. */
  readonly proxyName: string;
  readonly algorithm: Algorithm;
  readonly maglevSize: number;
  readonly forwarding: 'snat' | 'dsr' | 'hybrid';
  /** How the address of a Service travels with DSR: it needs room in the packet. */
  readonly dsrDispatch: 'opt' | 'ipip';
  /** What clients of a Service without backends see. */
  readonly noBackend: 'reject' | 'drop';
  /** Prefixes of the cluster that no Service may take addresses of, besides the blocks of nodes. */
  readonly clusterCidrs: readonly Cidr[];
  /** External IPs must be inside of one of these; empty: anywhere outside of the cluster. */
  readonly allowedExternalCidrs: readonly Cidr[];
  /** Addresses of local redirects must be inside of one of these; empty: anywhere outside of the cluster. */
  readonly redirectCidrs: readonly Cidr[];
}

export const serviceDefaults: ServiceConfig = {
  proxyName: '',
  algorithm: 'random',
  maglevSize: 16381,
  forwarding: 'snat',
  dsrDispatch: 'opt',
  noBackend: 'reject',
  clusterCidrs: [],
  allowedExternalCidrs: [],
  redirectCidrs: [],
};
