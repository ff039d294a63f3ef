// @axoneme/ipam: pools → blocks per node. Pure; called by the leading operator only.
//
// planBlocks(nodes, config)  nodes with the blocks they claim × pools → blocks per node, nodes to write, conditions (exhausted, conflict)
// poolUsage(plan, config)    blocks in total and in use by family
// Modes to come (multi-pool, kubernetes) are further planners beside planBlocks with the same result.
export * from './blocks.ts';
export * from './plan.ts';
