// Which frontends a Service has, on whatever node: kinds, addresses, flags. Called by the compile and for host ports.
import { compareIp, type IpAddr, ipFamily, type ObjectKey, type PortProtocol } from '@axoneme/model';
import type { BackendSet } from './backends.ts';
import type { CompileContext } from './context.ts';
import { fleetOfKey } from './fleet-key.ts';
import type { FrontendKind, ServiceConfig, ServiceInput, ServicePort } from './inputs.ts';

/** Bits of `lb_frontend.flags`. */
export const frontendFlags = {
  nodePort: 1,
  loadBalancer: 2,
  externalIp: 4,
  hostPort: 8,
  localRedirect: 16,
  sourceRanges: 32,
  sourceRangesDeny: 64,
  dsr: 128,
  blackhole: 256,
  reject: 512,
  outLocal: 1024,
  affinity: 2048,
  external: 4096,
  skipOwn: 8192,
  ipip: 16384,
} as const;

export interface Frontend {
  readonly kind: FrontendKind;
  /** The address zero of its family: every address of the node. */
  readonly ip: IpAddr;
  /** 0 with protocol ANY: every port of the address that has no frontend of its own. */
  readonly port: number;
  readonly protocol: PortProtocol | 'ANY';
  /** Set of clients in the cluster, and of everybody else; 0 when there is no backend. */
  readonly setIn: bigint;
  readonly setOut: bigint;
  readonly countIn: number;
  readonly countOut: number;
  /** 0: random. */
  readonly maglevSize: number;
  readonly serviceId: number;
  readonly affinitySeconds: number;
  readonly flags: number;
  readonly sourceRanges: boolean;
}

/** A frontend without its backends. */
export interface FrontendPlan {
  readonly kind: FrontendKind;
  readonly ip: IpAddr;
  readonly at: number;
  /** Undefined: what no port matches. */
  readonly port: ServicePort | undefined;
  /** For clients of the outside too. */
  readonly external: boolean;
  readonly serviceId: number;
  /** Clients of the outside are answered by the backend's node itself. */
  readonly dsr?: boolean;
}

/** Refused where it cannot work. */
function isDsr(plan: FrontendPlan, s: ServiceInput, { config, dsrRoom }: CompileContext, refuse: Refuse): boolean {
  const { port } = plan;
  if (!plan.external || port === undefined) return false;
  const forwarding = s.forwarding ?? (config.forwarding === 'hybrid' ? (port.protocol === 'TCP' ? 'dsr' : 'snat') : config.forwarding);
  if (forwarding !== 'dsr') return false;
  const why = dsrRoom.refused(ipFamily(plan.ip), s.fleet ? 'ipip' : config.dsrDispatch);
  if (why !== undefined) refuse(`SNAT instead of DSR: ${why}`);
  return why === undefined;
}

const anyAddress = { 4: '0.0.0.0' as IpAddr, 6: '::' as IpAddr } as const;

type Refuse = (text: string) => void;

export function planFrontends(service: ServiceInput, ctx: CompileContext, refuse: Refuse): FrontendPlan[] {
  if (service.proxyName !== ctx.config.proxyName || service.type === 'ExternalName') return [];
  const numberless = service.ports.filter((p) => ctx.claims.serviceId(service.key, p) === undefined);
  for (const p of numberless) refuse(`port ${p.port}/${p.protocol} has no number of its own`);
  const plans = planKinds(service, ctx, refuse);
  const once = new Set<string>();
  const served = plans.filter((p) => p.port === undefined || !numberless.includes(p.port));
  const out = served.map((p) => (isDsr(p, service, ctx, (why) => void once.add(why)) ? { ...p, dsr: true } : p));
  for (const why of once) refuse(why);
  return out;
}

function planKinds(service: ServiceInput, ctx: CompileContext, refuse: Refuse): FrontendPlan[] {
  const wanted = (kind: FrontendKind): boolean => service.kinds?.has(kind) ?? true;
  return [
    ...(wanted('cluster-ip') ? planClusterIps(service, ctx) : []),
    ...(wanted('node-port') ? planNodePorts(service, ctx, refuse) : []),
    ...(wanted('load-balancer') ? planLoadBalancers(service, ctx, refuse) : []),
    ...planExternalIps(service, ctx, refuse),
  ];
}

const sorted = (ips: readonly IpAddr[]): IpAddr[] => [...new Set(ips)].sort(compareIp);

function planClusterIps(s: ServiceInput, { claims }: CompileContext): FrontendPlan[] {
  return sorted(s.clusterIps)
    .filter((ip) => claims.ownsClusterIp(s.key, ip))
    .flatMap((ip) =>
      s.ports.map(
        (port) =>
          ({ kind: 'cluster-ip', ip, at: port.port, port, external: false, serviceId: claims.serviceId(s.key, port) ?? 0 }) as const,
      ),
    );
}

function planNodePorts(s: ServiceInput, { claims }: CompileContext, refuse: Refuse): FrontendPlan[] {
  const families = [...new Set(s.clusterIps.map(ipFamily))].sort((a, b) => a - b);
  return s.ports.flatMap((port): FrontendPlan[] => {
    if (port.nodePort === 0) return [];
    if (!claims.ownsNodePort(s.key, port.nodePort, port.protocol)) {
      refuse(`node port ${port.nodePort}/${port.protocol} belongs to an older Service`);
      return [];
    }
    return families.map((f) => ({
      kind: 'node-port',
      ip: anyAddress[f],
      at: port.nodePort,
      port,
      external: true,
      serviceId: claims.serviceId(s.key, port) ?? 0,
    }));
  });
}

/** Of Services among themselves no names: they may be of other people. */
function ownerText(s: ServiceInput, owner: ObjectKey | undefined): string {
  const fleet = owner === undefined ? undefined : fleetOfKey(owner);
  if (fleet !== undefined) return `fleet ${fleet}`;
  return s.fleet && owner !== undefined ? `Service ${owner}` : 'another Service';
}

function planLoadBalancers(s: ServiceInput, { claims, guard }: CompileContext, refuse: Refuse): FrontendPlan[] {
  const out: FrontendPlan[] = [];
  for (const ip of sorted(s.loadBalancerIps)) {
    // a load balancer may stand on addresses of nodes, a fleet has its own
    const why = s.fleet && guard.isNode(ip) ? `${ip} is an address of a node` : guard.loadBalancer(ip);
    if (why !== undefined) {
      refuse(`load balancer address refused: ${why}`);
      continue;
    }
    for (const port of s.ports) {
      if (claims.ownsLoadBalancerPort(s.key, ip, port.port, port.protocol))
        out.push({ kind: 'load-balancer', ip, at: port.port, port, external: true, serviceId: claims.serviceId(s.key, port) ?? 0 });
      else if (!s.clusterIps.includes(ip)) {
        const owner = ownerText(s, claims.ownerOf(ip, port.port, port.protocol));
        refuse(`load balancer address ${ip} ${port.port}/${port.protocol} belongs to ${owner}`);
      }
    }
    // what else comes to an address of a node is for the node
    if (!guard.isNode(ip) && claims.ownsRestOf(s.key, ip))
      out.push({ kind: 'load-balancer', ip, at: 0, port: undefined, external: true, serviceId: 0 });
  }
  return out;
}

function planExternalIps(s: ServiceInput, { claims, guard }: CompileContext, refuse: Refuse): FrontendPlan[] {
  const others = new Set([...s.clusterIps, ...s.loadBalancerIps]);
  const out: FrontendPlan[] = [];
  for (const ip of sorted(s.externalIps).filter((i) => !others.has(i))) {
    const why = guard.external(ip);
    if (why !== undefined) {
      refuse(`external IP refused: ${why}`);
      continue;
    }
    for (const port of s.ports) {
      if (claims.ownsExternalPort(s.key, ip, port.port, port.protocol))
        out.push({ kind: 'external-ip', ip, at: port.port, port, external: true, serviceId: claims.serviceId(s.key, port) ?? 0 });
      else refuse(`external IP ${ip} ${port.port}/${port.protocol} belongs to another Service`);
    }
  }
  return out;
}

const kindFlags: Readonly<Record<FrontendKind, number>> = {
  'cluster-ip': 0,
  'node-port': frontendFlags.nodePort,
  'load-balancer': frontendFlags.loadBalancer,
  'external-ip': frontendFlags.externalIp,
  'host-port': frontendFlags.hostPort,
  'local-redirect': frontendFlags.localRedirect,
};

function flagsOf(plan: FrontendPlan, s: ServiceInput, config: ServiceConfig, ranged: boolean): number {
  const { port } = plan;
  let flags = kindFlags[plan.kind];
  if (plan.external) flags |= frontendFlags.external;
  if (port === undefined) return flags | frontendFlags.blackhole;
  if (ranged) flags |= frontendFlags.sourceRanges | (s.sourceRangesDeny ? frontendFlags.sourceRangesDeny : 0);
  if (config.noBackend === 'reject') flags |= frontendFlags.reject;
  if (s.affinitySeconds > 0) flags |= frontendFlags.affinity;
  if (!plan.external) return flags;
  if (s.externalLocal) flags |= frontendFlags.outLocal;
  if (plan.dsr !== true) return flags;
  return flags | frontendFlags.dsr | (s.fleet ? frontendFlags.ipip : 0);
}

export function frontendOf(
  plan: FrontendPlan,
  service: ServiceInput,
  config: ServiceConfig,
  inside: BackendSet | undefined,
  outside: BackendSet | undefined,
  moreFlags = 0,
): Frontend {
  const ranged = plan.kind === 'load-balancer' && plan.port !== undefined && service.restrictsSources;
  const maglev = plan.external && (service.algorithm ?? config.algorithm) === 'maglev';
  const countOut = outside?.backends.length ?? 0;
  return {
    kind: plan.kind,
    ip: plan.ip,
    port: plan.at,
    protocol: plan.port?.protocol ?? 'ANY',
    setIn: inside?.id ?? 0n,
    setOut: outside?.id ?? 0n,
    countIn: inside?.backends.length ?? 0,
    countOut,
    // of one backend there is nothing to choose
    maglevSize: maglev && countOut > 1 ? config.maglevSize : 0,
    serviceId: plan.serviceId,
    affinitySeconds: plan.port === undefined ? 0 : service.affinitySeconds,
    flags: flagsOf(plan, service, config, ranged) | moreFlags,
    sourceRanges: ranged,
  };
}
