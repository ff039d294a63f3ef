// @axoneme/service: Services × EndpointSlices → frontends and content-addressed backend sets. Pure; called by the operator.
//
// readService(json), readEndpointSlice(json)  plain objects → inputs
// compileAll(snapshot) → {services, sets}     the truth
// createServiceCompiler().update(changes) → {addedSets, changed, removed, removedSets}; .table() equals compileAll
// `Frontend.set` is 0n and `count` 0 when a service has no backends; the frontend row stays, so that clients are refused, not routed.
// Slot index of a backend is its position in `BackendSet.backends`.
export type { AddressConflict } from './claims.ts';
export * from './compile.ts';
export * from './compiler.ts';
export * from './hashes.ts';
export * from './inputs.ts';
export * from './maglev.ts';
