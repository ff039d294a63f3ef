// Blob artifacts: what a node's agent keeps in user space. Called by the compiler.
import { blobTables } from '@axoneme/datapath';
import { Acceleration, NodeConfig, Routes, RoutingMode, Workload } from '@axoneme/proto';
import { nodePortsOf, type OperatorConfig } from '../config.ts';
import type { NodeAddresses } from './addresses.ts';
import { type Artifact, blobArtifact } from './artifacts.ts';
import type { PlacedPod } from './pod-part.ts';

export const NODE_CONFIG = 'node/config';
export const ROUTES = 'routes';
export const workloadArtifactName = (namespace: string, pod: string): string => `workload/${namespace}/${pod}`;

export function workloadArtifact(p: PlacedPod): Artifact {
  const { namespace, name, uid } = p.view.row;
  const blob = Workload.encode({ namespace, pod: name, podUid: uid, identity: p.identity, audit: p.view.row.audit }).finish();
  return blobArtifact(workloadArtifactName(namespace, name), blobTables.workload.name, blob);
}

const accelerations: Readonly<Record<OperatorConfig['loadBalancerAcceleration'], Acceleration>> = {
  disabled: Acceleration.ACCELERATION_UNSPECIFIED,
  native: Acceleration.ACCELERATION_NATIVE,
  'best-effort': Acceleration.ACCELERATION_BEST_EFFORT,
};

/** `pathMtu`: what other nodes take, if that is less than this one could send; else 0. */
export function nodeConfigArtifact(node: NodeAddresses, c: OperatorConfig, pathMtu: number): Artifact {
  const nodePorts = nodePortsOf(c);
  const blob = NodeConfig.encode({
    nodeName: node.name,
    podCidrs: [...node.podCidrs],
    clusterCidrs: [...c.ipv4PodCidrs, ...c.ipv6PodCidrs],
    routingMode: c.routingMode === 'native' ? RoutingMode.ROUTING_MODE_NATIVE : RoutingMode.ROUTING_MODE_VXLAN,
    masqueradeIpv4: c.masqueradeIpv4,
    masqueradeIpv6: c.masqueradeIpv6,
    mtu: c.mtu,
    nodeAddresses: [...node.addresses],
    vxlanPort: c.vxlanPort,
    policyAudit: c.policyAuditMode,
    nodePortMin: nodePorts.min,
    nodePortMax: nodePorts.max,
    pathMtu,
    podServices: c.socketLbHostNamespaceOnly,
    dsrIpip: false,
    acceleration: accelerations[c.loadBalancerAcceleration],
    healthzBindAddress: c.healthzBindAddress,
  }).finish();
  return blobArtifact(NODE_CONFIG, blobTables.node_config_blob.name, blob);
}

export function routesArtifact(nodes: readonly NodeAddresses[]): Artifact {
  const sorted = [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1));
  const message = { nodes: sorted.map((n) => ({ nodeName: n.name, podCidrs: [...n.podCidrs], addresses: [...n.addresses] })) };
  return blobArtifact(ROUTES, blobTables.routes.name, Routes.encode(message).finish());
}
