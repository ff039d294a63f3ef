// Leader duty: addresses of nodes for Services of class io.cilium/node, in their status. Called by leader.ts.

import { isOurs, type NodeIpamNode, planNodeAddresses, readNodeIpamService } from '@axoneme/ipam';
import type { IpAddr } from '@axoneme/model';
import type { EventRecorder, KubeClient } from 'kopf-ts';
import { parseIps } from '../compile/addresses.ts';
import { backendNodes } from '../compile/l2.ts';
import type { OperatorConfig } from '../config.ts';
import type { World } from '../world/world.ts';
import { createSeenStatus } from './seen-status.ts';

export interface NodeAddressWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly events: EventRecorder;
  readonly assertLeader: () => void;
}

type Raw = Readonly<Record<string, unknown>>;
const FIELD_MANAGER = 'cilium-operator-node-ipam';
const ingressOf = (raw: Raw): readonly Raw[] =>
  ((raw.status ?? {}) as { loadBalancer?: { ingress?: readonly Raw[] } }).loadBalancer?.ingress ?? [];

const nodesOf = (world: World): NodeIpamNode[] =>
  [...world.tables.nodes.values()].map((n) => ({
    name: n.name,
    labels: n.labels,
    internal: parseIps(n.internalAddresses),
    external: parseIps(n.externalAddresses),
    serves: n.serves,
  }));

export function createNodeAddressWriter(
  d: NodeAddressWriterDeps,
  config: Pick<OperatorConfig, 'defaultLbServiceIpam'>,
): () => Promise<void> {
  const { world } = d;
  const writeStatus = createSeenStatus(d, FIELD_MANAGER);
  const options = { unclassed: config.defaultLbServiceIpam === 'nodeipam' };

  const write = async (key: string, raw: Raw, addresses: readonly IpAddr[]): Promise<void> => {
    const before = ingressOf(raw);
    // names, and what is somebody else's, stay
    const others = before.filter((i) => !isOurs(i));
    const held = parseIps(before.filter(isOurs).map((i) => String(i.ip)));
    if (held.join() === addresses.join()) return;
    await writeStatus('services', key, raw, { loadBalancer: { ingress: [...others, ...addresses.map((ip) => ({ ip }))] } });
  };

  return async () => {
    const nodes = nodesOf(world);
    let backends: ReturnType<typeof backendNodes> | undefined;
    for (const [key, raw] of world.tables.services) {
      const service = readNodeIpamService(raw, options);
      if (service === undefined) continue;
      const addresses = planNodeAddresses(service, nodes, (s) => {
        backends ??= backendNodes(world.tables);
        return backends(s);
      });
      if (addresses !== undefined) await write(key, raw, addresses);
      else {
        const { name, namespace = '', uid } = raw.metadata as { name: string; namespace?: string; uid: string };
        const note = { type: 'Warning', reason: 'InvalidNodeSelector', message: service.problem ?? '' } as const;
        d.events.record({ apiVersion: 'v1', kind: 'Service', name, namespace, uid }, note);
      }
    }
  };
}
