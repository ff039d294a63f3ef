// @axoneme/service: Services × EndpointSlices × nodes → frontends and content-addressed backend sets. Pure; called by the operator.
//
// readService(json), readEndpointSlice(json), readHostPorts(json), readRedirect(json)   plain objects → inputs; what is wrong becomes a remark
// compileAll(snapshot, config) → {services, hostPorts, sets, tables}   the truth
// compileFor(table, node) → service → its content on this node
// createServiceCompiler(config).update(changes) → difference, with `variants` by node; .table() equals compileAll
// maglevTable(members, M), createMaglevTables(): tables of sets, one per list of addresses; lookupHash(flow): the datapath's hash
// `Frontend.setIn` is 0n and `countIn` 0 when a service has no backends; the frontend row stays, so that clients are refused, not routed.
// Slot index of a backend is its position in `BackendSet.backends`.
// A stand-alone balancer: readBalancerSpec(object) → spec or problems; compileBalancer(spec, down) → as compileAll; planProbes, judgeHealth,
// explainBalancer. A fleet of them: readFleet(object) → fleet or problems; fleetInputs(fleet, service, down) → what the compiler is given.
export * from './backend-state.ts';
export { type Backend, type BackendSet, backendIdOf, type Candidate, candidatesOf } from './backends.ts';
export * from './balancer/compile-balancer.ts';
export * from './balancer/explain.ts';
export { durationText, type Problem } from './balancer/fields.ts';
export * from './balancer/fleet.ts';
export * from './balancer/health.ts';
export { type ReadSpec, readBalancerSpec } from './balancer/read-spec.ts';
export * from './balancer/spec.ts';
export type { Conflict } from './claims.ts';
export {
  backendsArtifactName,
  type CompiledService,
  maglevArtifactName,
  type ServiceContent,
  type SourceRange,
  serviceArtifactName,
  sourceArtifactName,
} from './compile.ts';
export * from './compiler.ts';
export { fleetKey, fleetOfKey } from './fleet-key.ts';
export { type Frontend, frontendFlags } from './frontends.ts';
export * from './hashes.ts';
export { type CompiledHostPorts, hostPortArtifactName } from './host-ports.ts';
export * from './inputs.ts';
export * from './maglev.ts';
export { readRedirect } from './read-redirect.ts';
export { PROXY_LABEL, readService } from './read-service.ts';
export { readEndpointSlice, readHostPorts } from './read-slice.ts';
export { type CompiledRedirect, redirectArtifactName } from './redirects.ts';
export { selectorFromText } from './selector-text.ts';
