// What `node/config` and `routes` say, read once into the shape the datapath works with. Pure; called by wiring when those blobs change.
import { Acceleration, NodeConfig, Routes, RoutingMode } from '@axoneme/proto';
import { familyOf } from '../endpoints/address.ts';
import { createAddresses } from '../endpoints/addresses.ts';

export interface RemoteNode {
  readonly name: string;
  readonly blocks: readonly string[];
  readonly addresses: readonly string[];
}

export interface NodeView {
  readonly name: string;
  readonly blocks: readonly string[];
  readonly clusterCidrs: readonly string[];
  readonly tunnel: boolean;
  readonly masquerade4: boolean;
  readonly masquerade6: boolean;
  /** What policy would drop on this node passes. */
  readonly policyAudit: boolean;
  /** 0: from the device. */
  readonly mtu: number;
  readonly vxlanPort: number;
  /** All addresses of this node, the primary of each family first. */
  readonly addresses: readonly string[];
  /** Empty when the node has no block of that family. */
  readonly router4: string;
  readonly router6: string;
  readonly remotes: readonly RemoteNode[];
  /** Inclusive. */
  readonly nodePorts: { readonly min: number; readonly max: number };
  /** What every node takes in one piece, if that is less than this node could send; 0: no limit but its own. */
  readonly pathMtu: number;
  /** Sockets of pods are left alone. */
  readonly podServices: boolean;
  readonly dsrIpip: boolean;
  readonly acceleration: 'disabled' | 'native' | 'best-effort';
  /** `address:port` that says whether this node serves. */
  readonly healthzAddress?: string;
  /** No pods and no cluster: the node translates what comes from outside and nothing else. */
  readonly balancer?: boolean;
}

export const vxlanPortDefault = 8472;
export const nodePortsDefault = { min: 30_000, max: 32_767 } as const;

const accelerations: Readonly<Partial<Record<Acceleration, NodeView['acceleration']>>> = {
  [Acceleration.ACCELERATION_NATIVE]: 'native',
  [Acceleration.ACCELERATION_BEST_EFFORT]: 'best-effort',
};

export const primary = (view: Pick<NodeView, 'addresses'>, family: 4 | 6): string =>
  view.addresses.find((a) => familyOf(a) === family) ?? '';

/** Undefined until the operator sent `node/config`. Throws when an address in it is none. */
export function readNodeView(config: Buffer | undefined, routes: Buffer | undefined): NodeView | undefined {
  if (config === undefined) return undefined;
  const c = NodeConfig.decode(config);
  const remotes = routes === undefined ? [] : Routes.decode(routes).nodes;
  const addresses = createAddresses();
  addresses.setBlocks(c.podCidrs);
  return {
    name: c.nodeName,
    blocks: c.podCidrs,
    clusterCidrs: c.clusterCidrs,
    tunnel: c.routingMode !== RoutingMode.ROUTING_MODE_NATIVE,
    masquerade4: c.masqueradeIpv4,
    masquerade6: c.masqueradeIpv6,
    policyAudit: c.policyAudit,
    mtu: c.mtu,
    vxlanPort: c.vxlanPort === 0 ? vxlanPortDefault : c.vxlanPort,
    addresses: c.nodeAddresses,
    router4: addresses.router(4) ?? '',
    router6: addresses.router(6) ?? '',
    remotes: remotes
      .filter((n) => n.nodeName !== c.nodeName)
      .map((n) => ({ name: n.nodeName, blocks: n.podCidrs, addresses: n.addresses })),
    nodePorts: c.nodePortMax === 0 ? nodePortsDefault : { min: c.nodePortMin, max: c.nodePortMax },
    pathMtu: c.pathMtu,
    podServices: c.podServices,
    dsrIpip: c.dsrIpip,
    acceleration: accelerations[c.acceleration] ?? 'disabled',
    healthzAddress: c.healthzBindAddress,
  };
}
