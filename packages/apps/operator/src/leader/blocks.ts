// Leader duty: blocks of pod addresses for every node, durable in its CiliumNode object before anybody may use them. Called by leader.ts.

import { planBlocks } from '@axoneme/ipam';
import { type Cidr, cidrBase, cidrFamily, ipFromBigint, ipToBigint, parseCidr } from '@axoneme/model';
import { type Clock, type NodeName, unwrap } from '@axoneme/std';
import { type EventRecorder, isKubeError, type KubeClient } from 'kopf-ts';
import { ciliumResources } from '../sources/sources.ts';
import type { NodeRow } from '../world/rows.ts';
import type { World } from '../world/world.ts';

export interface BlockConfig {
  readonly ipv4PodCidrs: readonly string[];
  readonly ipv6PodCidrs: readonly string[];
  readonly ipv4MaskSize: number;
  readonly ipv6MaskSize: number;
}

export interface BlockWriterDeps {
  readonly client: KubeClient;
  readonly world: World;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly assertLeader: () => void;
}

const cidrs = (texts: readonly string[]): Cidr[] => texts.map((t) => unwrap(parseCidr(t)));
/** The address the node itself has in a block. */
const routerAddress = (block: Cidr): string => ipFromBigint(cidrFamily(block), ipToBigint(cidrBase(block)) + 1n);
const known = (texts: readonly string[]): Cidr[] => texts.flatMap((t) => (parseCidr(t).ok ? [t as Cidr] : []));

export function createBlockWriter(deps: BlockWriterDeps, config: BlockConfig): () => Promise<void> {
  const { client, world, clock } = deps;
  const pools = {
    ...(config.ipv4PodCidrs.length > 0 ? { ipv4: { cidrs: cidrs(config.ipv4PodCidrs), blockBits: config.ipv4MaskSize } } : {}),
    ...(config.ipv6PodCidrs.length > 0 ? { ipv6: { cidrs: cidrs(config.ipv6PodCidrs), blockBits: config.ipv6MaskSize } } : {}),
  };

  const write = async (node: NodeRow, podCIDRs: readonly string[]): Promise<void> => {
    deps.assertLeader();
    const routers = known(podCIDRs).map((c) => ({ type: 'CiliumInternalIP', ip: routerAddress(c) }));
    const addresses = [...node.internalAddresses.map((ip) => ({ type: 'InternalIP', ip })), ...routers];
    const spec = { addresses, ipam: { podCIDRs } };
    if (world.tables.ciliumNodes.has(node.name)) {
      await client.patch(ciliumResources.nodes, { name: node.name }, { type: 'merge', body: { spec } });
    } else {
      const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: node.name, uid: node.uid }];
      try {
        await client.create(ciliumResources.nodes, { metadata: { name: node.name, ownerReferences }, spec } as never);
      } catch (e) {
        if (!isKubeError(e, 'kube/already-exists')) throw e;
        // an object the watch has not told yet may carry other blocks: plan again once it has
        return;
      }
    }
    world.set('ciliumNodes', node.name, { name: node.name, podCidrs: podCIDRs, createdMs: clock.nowMs() });
  };

  return async () => {
    const nodes = [...world.tables.nodes.values()];
    const plan = planBlocks(
      nodes.map((n) => {
        const claim = world.tables.ciliumNodes.get(n.name);
        return { name: n.name as NodeName, createdMs: claim?.createdMs ?? Number.MAX_SAFE_INTEGER, podCidrs: known(claim?.podCidrs ?? []) };
      }),
      pools,
    );
    for (const name of plan.changed) {
      const node = world.tables.nodes.get(name);
      if (node !== undefined) await write(node, plan.blocks.get(name) ?? []);
    }
    for (const c of plan.conditions) {
      if (c.kind === 'outside-pool') continue;
      const message =
        c.kind === 'exhausted'
          ? c.error.message
          : `block ${c.cidr} overlaps ${c.keptCidr} of node ${c.keptBy}; ${c.node} gets another block`;
      deps.events.record(
        { apiVersion: 'v1', kind: 'Node', name: c.node },
        { type: 'Warning', reason: c.kind === 'exhausted' ? 'PodBlocksExhausted' : 'PodBlockConflict', message },
      );
    }
  };
}
