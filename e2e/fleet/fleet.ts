// The fleet of the suite: its object, its status, its addresses.
import { type Fixture, until } from '../fixture.ts';
import { PORTS, type Server } from './servers.ts';

export const FLEET = 'edge';
export const ROLE = 'example.com/role';
/** Where the world's routes to VIPs lead. */
export const PREFIXES = ['198.51.100.0/24', '2001:db8:77::/64'] as const;
export const FAMILIES = [4, 6] as const;
export type Family = (typeof FAMILIES)[number];
export const MODES = ['snat', 'dsr'] as const;
export type Mode = (typeof MODES)[number];
export const VIPS: Readonly<Record<Mode, Readonly<Record<Family, string>>>> = {
  snat: { 4: '198.51.100.10', 6: '2001:db8:77::10' },
  dsr: { 4: '198.51.100.20', 6: '2001:db8:77::20' },
};

interface Target {
  readonly address: string;
  readonly port?: number;
}
interface ServiceSpec {
  readonly name: string;
  readonly mode: Mode;
  readonly vips: readonly { readonly address: string; readonly port: number; readonly protocol: string }[];
  readonly backends: readonly Target[];
  readonly health?: object;
}

const addressOf = (s: Server, f: Family): string => (f === 4 ? s.ipv4 : s.ipv6);
const backendsOf = (servers: readonly Server[]): Target[] => servers.flatMap((s) => FAMILIES.map((f) => ({ address: addressOf(s, f) })));

/** Every mode with a service that tells who asked, and one for steady load. */
export const servicesOf = (servers: readonly Server[]): ServiceSpec[] =>
  MODES.flatMap((mode) => [
    {
      name: `${mode}-who`,
      mode,
      vips: FAMILIES.flatMap((f) => ['TCP', 'UDP'].map((protocol) => ({ address: VIPS[mode][f], port: PORTS.who, protocol }))),
      backends: backendsOf(servers),
      health: { type: 'tcp' },
    },
    {
      name: `${mode}-http`,
      mode,
      vips: FAMILIES.map((f) => ({ address: VIPS[mode][f], port: PORTS.http, protocol: 'TCP' })),
      backends: backendsOf(servers),
      health: { type: 'http', path: '/ready', codes: [200] },
    },
  ]);

export const fleetObject = (name: string, services: readonly object[]): string =>
  JSON.stringify({
    apiVersion: 'axoneme.io/v1alpha1',
    kind: 'LoadBalancerFleet',
    metadata: { name },
    spec: { nodeSelector: { matchLabels: { [ROLE]: 'balancer' } }, services },
  });

export interface BackendStatus {
  readonly address: string;
  readonly port: number;
  readonly state: string;
  readonly failing?: boolean;
  readonly reason?: string;
}
interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly observedGeneration: number;
}
export interface FleetStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  readonly nodes?: { readonly selected: number; readonly ready: number };
  readonly services?: readonly {
    readonly name: string;
    readonly backends?: readonly BackendStatus[];
    readonly remarks?: readonly string[];
  }[];
}

export async function statusOf(f: Fixture, name = FLEET): Promise<FleetStatus> {
  const o = await f.json<{ metadata: { generation: number }; status?: FleetStatus }>('get', 'lbf', name);
  // what is said of an older object is not said of this one
  return o.status?.observedGeneration === o.metadata.generation ? o.status : {};
}
/** Undefined as long as it speaks of the object as it was before. */
export const conditionOf = (s: FleetStatus, type: string): Condition | undefined =>
  s.conditions?.find((c) => c.type === type && c.observedGeneration === s.observedGeneration);

/** Resolves when every selected node has the fleet as it is. */
export const fleetReady = (f: Fixture, timeoutMs: number): Promise<FleetStatus> =>
  until('the fleet is ready', timeoutMs, async () => {
    const s = await statusOf(f);
    return ['Accepted', 'Ready'].every((type) => conditionOf(s, type)?.status === 'True') ? s : undefined;
  });

/** Addresses in a state, over all services. */
export const inState = (s: FleetStatus, state: string): string[] => [
  ...new Set((s.services ?? []).flatMap((x) => (x.backends ?? []).filter((b) => b.state === state).map((b) => b.address))),
];
