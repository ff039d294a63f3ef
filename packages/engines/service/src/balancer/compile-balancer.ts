// BalancerSpec and what health checks say → the same sets, frontends and tables that Services of a cluster become. One VIP port of a service is
// one Service of the engine. Pure; called by whoever runs a stand-alone balancer.
import { type IpAddr, ipFamily, type ObjectKey, objectKey, type Port, type PortProtocol, type Selector } from '@axoneme/model';
import { canonicalJson, hash64, type NodeName } from '@axoneme/std';
import { type BackendState, backendState } from '../backend-state.ts';
import { compileAll, type ServiceTable } from '../compiler.ts';
import { type ServiceConfig, type ServiceInput, type SliceEndpoint, type SliceInput, serviceDefaults } from '../inputs.ts';
import type { BalancedBackend, BalancedService, BalancerSpec, HealthCheck } from './spec.ts';

export type TargetId = string;

/** One thing to ask one backend; services with the same question share the answer. */
export interface ProbeTarget {
  readonly id: TargetId;
  readonly address: IpAddr;
  readonly port: number;
  readonly check: HealthCheck;
}

function targetOf(backend: Pick<BalancedBackend, 'address' | 'port'>, check: HealthCheck): ProbeTarget {
  const { address } = backend;
  const port = check.port === 0 ? backend.port : check.port;
  const hash = hash64(canonicalJson({ ...check, port }))
    .toString(16)
    .slice(0, 8);
  return { id: `${check.type} ${ipFamily(address) === 6 ? `[${address}]` : address}:${port} ${hash}`, address, port, check };
}

const targetMemo = new WeakMap<BalancedService, readonly ProbeTarget[]>();

/** What its backends are asked, in their order; empty without health checks. */
export function targetsOf(s: BalancedService): readonly ProbeTarget[] {
  const { health } = s;
  if (health === undefined) return [];
  const targets = targetMemo.get(s) ?? s.backends.map((b) => targetOf(b, health));
  targetMemo.set(s, targets);
  return targets;
}

/** Every question once, by id. */
export function probeTargets(spec: Pick<BalancerSpec, 'services'>): ProbeTarget[] {
  const found = new Map<TargetId, ProbeTarget>();
  for (const s of spec.services) for (const target of targetsOf(s)) found.set(target.id, target);
  return [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

export interface JudgedBackend extends BalancedBackend {
  readonly target: TargetId | undefined;
  /** Its checks fail; it is in use all the same when those of all others fail too. */
  readonly failing: boolean;
  readonly now: BackendState;
}

const weightOf = (b: BalancedBackend): number => (b.state === 'maintenance' ? 0 : b.weight);

/** Backends with what they are good for now. If checks of all that could be used fail, none is taken out: the checks may be wrong, nobody else serves. */
export function judgeBackends(s: BalancedService, down: ReadonlySet<TargetId>): JudgedBackend[] {
  const targets = targetsOf(s);
  const facts = s.backends.map((b, i) => {
    const target = targets[i]?.id;
    return { backend: b, target, failing: target !== undefined && down.has(target) };
  });
  const open = new Set(
    ([4, 6] as const).filter((f) => facts.every((x) => ipFamily(x.backend.address) !== f || weightOf(x.backend) === 0 || x.failing)),
  );
  return facts.map(({ backend, target, failing }) => {
    const quarantined = failing && !open.has(ipFamily(backend.address));
    const now = backendState({ ready: true, serving: true, terminating: false, weight: weightOf(backend), quarantined });
    return { ...backend, target, failing, now };
  });
}

/** `balancer/web-80-tcp` */
export const balancedKey = (s: Pick<BalancedService, 'name'>, port: number, protocol: PortProtocol): ObjectKey =>
  objectKey('balancer', `${s.name}-${port}-${protocol.toLowerCase()}`);

/** Whose services they are. */
export interface BalancedOwner {
  readonly keyOf: typeof balancedKey;
  readonly createdMs: number;
  readonly nodeSelector: Selector | undefined;
  readonly fleet?: true | undefined;
}

const standAlone: BalancedOwner = { keyOf: balancedKey, createdMs: 0, nodeSelector: undefined };

const loadBalancerOnly = new Set(['load-balancer'] as const);

function servicesOf(s: BalancedService, owner: BalancedOwner): ServiceInput[] {
  const byPort = Map.groupBy(s.vips, (v) => `${v.port} ${v.protocol}`);
  return [...byPort.values()].map((vips): ServiceInput => {
    const { port, protocol } = vips[0]!;
    return {
      key: owner.keyOf(s, port, protocol),
      createdMs: owner.createdMs,
      type: 'LoadBalancer',
      proxyName: '',
      clusterIps: [],
      externalIps: [],
      loadBalancerIps: vips.map((v) => v.address),
      loadBalancerClass: '',
      ports: [{ name: '', protocol, port, nodePort: 0 }],
      affinitySeconds: s.affinitySeconds,
      externalLocal: false,
      internalLocal: false,
      near: 'any',
      restrictsSources: s.sourceRanges !== undefined,
      sourceRanges: s.sourceRanges ?? [],
      sourceRangesDeny: false,
      healthCheckPort: 0,
      kinds: loadBalancerOnly,
      nodes: undefined,
      nodeSelector: owner.nodeSelector,
      forwarding: s.mode,
      algorithm: s.algorithm,
      fleet: owner.fleet,
      remarks: [],
    };
  });
}

function slicesOf(service: ServiceInput, backends: readonly JudgedBackend[]): SliceInput[] {
  const { protocol } = service.ports[0]!;
  return [...Map.groupBy(backends, (b) => b.port)].map(([port, members]) => ({
    key: `${service.key}-${port}` as ObjectKey,
    service: service.key,
    ports: [{ name: '', protocol, port: port as Port }],
    endpoints: members.map(
      (b): SliceEndpoint => ({
        addresses: [b.address],
        ready: true,
        serving: true,
        terminating: false,
        node: '',
        hintZones: [],
        hintNodes: [],
        weight: weightOf(b),
        quarantined: b.now === 'quarantined',
      }),
    ),
    remarks: [],
  }));
}

export const balancerConfig = (spec: BalancerSpec): ServiceConfig => ({
  ...serviceDefaults,
  maglevSize: spec.maglevSize,
  noBackend: spec.noBackend,
});

export interface BalancedInputs {
  readonly services: readonly ServiceInput[];
  readonly slices: readonly SliceInput[];
}

/** What one service is for the compiler: a Service for each port of its VIPs. */
export function balancedInputs(s: BalancedService, down: ReadonlySet<TargetId>, owner: BalancedOwner = standAlone): BalancedInputs {
  const backends = judgeBackends(s, down);
  const services = servicesOf(s, owner);
  return { services, slices: services.flatMap((service) => slicesOf(service, backends)) };
}

/** `own`: addresses of the machine itself; what no VIP port matches of those is the machine's, of other VIPs it is dropped. */
export function compileBalancer(spec: BalancerSpec, down: ReadonlySet<TargetId>, own: readonly IpAddr[] = []): ServiceTable {
  const parts = spec.services.map((s) => balancedInputs(s, down));
  const node = { name: 'here' as NodeName, zone: '', labels: {}, addresses: own, podCidrs: [] };
  const snapshot = { services: parts.flatMap((p) => p.services), slices: parts.flatMap((p) => p.slices), nodes: [node] };
  return compileAll(snapshot, balancerConfig(spec));
}
