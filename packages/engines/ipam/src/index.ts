// @axoneme/ipam: pools → blocks per node, pools → load balancer addresses of Services. Pure; called by the leading operator only.
//
// planBlocks(nodes, config)  nodes with the blocks they claim × pools → blocks per node, nodes to write, conditions (exhausted, conflict)
// poolUsage(plan, config)    blocks in total and in use by family
// planLbAddresses(pools, services)  pools × Services with what their status has → addresses and condition of each Service, state of pools
// readLbPool(raw), readLbService(raw, options)  their inputs from plain objects
// readL2Policy(raw), readL2Service(raw)  who announces what on the local network, from plain objects
// wantedL2(input)            policies × Services × nodes → addresses with the nodes that may announce them
// planL2(wants, records, moment)  the same × durable records of owners × who lives → records to write; createL2Fence: one owner at a time
// readNodeIpamService(raw, options), planNodeAddresses(service, nodes, backends)  addresses of nodes for Services of class io.cilium/node
// Modes to come (multi-pool, kubernetes) are further planners beside planBlocks with the same result.
export * from './blocks.ts';
export * from './l2-fence.ts';
export * from './l2-plan.ts';
export * from './l2-read.ts';
export * from './l2-wants.ts';
export * from './lb-ipam.ts';
export type { LbPool, LbRange } from './lb-pools.ts';
export * from './lb-read.ts';
export type { LbService } from './lb-sharing.ts';
export * from './node-ipam.ts';
export * from './plan.ts';
