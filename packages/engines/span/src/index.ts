// @axoneme/span: artifacts × nodes → what each node must hold. Pure; called by the operator's dispatcher.
//
// computeSpan(snapshot) → node → {artifact name → digest}   the truth
// createSpan().update(changes) → node → {upserts, removes}; .desired(node) equals computeSpan; .nodesOf(name) for dispatch
// diffHeld(held, desired), orderUpserts(descriptors)        what a commit to one node carries, in table order
export * from './compute.ts';
export * from './diff.ts';
export * from './inputs.ts';
export * from './names.ts';
export * from './span.ts';
