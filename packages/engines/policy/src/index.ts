// @axoneme/policy: policy objects × identities → rows of the policy table, with provenance. Pure; called by the operator and the CLI.
//
// parsePolicy(object, {clusterName})   any policy object (policyKinds) → Result<{key, rules, issues}, issues>; issues carry field path and hint
// bindRules(rules, references)         Services and CIDR groups by name or label → peers; referencesOf, usesService, usesCidrGroup, createReferenceIndex
// parseCidrGroup(object)              CiliumCIDRGroup → {group, issues}; parseInvariant(object, config)   ReachabilityInvariant → Result<Invariant, issues>
// cidrs(rules)                         prefixes that need a CIDR identity and an ipcache row
// planAddressClasses({rules, nodes})   → {classes, rows}: what block and node selectors see of an address; numbers are the caller's
// compileLayers({rules, identities, cidrIdentities, classes, hosts}, config) → {subjects, policies, origins, collisions}   the truth
// createLayeredCompiler(config).update(changes) → {addedPolicies, subjects, removedSubjects, removedPolicies}; .table() equals compileLayers
// layersOf(subject), rowsOf(policy.rows), mentionedPeers(policy.rows), policyArtifactName(handle)   for encoders and the span
// lookup(subject, packet), lookupShadow   the kernel's algorithm on rows, over all layers
// judge(rules, world, packet), judgeShadow, judgeHost   the reference: straight from the rules
export * from './bind.ts';
export * from './cidrs.ts';
export * from './classes.ts';
export * from './compile-layers.ts';
export type { LayeredDelta } from './compiler-subjects.ts';
export * from './explain/api.ts';
export * from './invariant.ts';
export * from './issues.ts';
export * from './judge.ts';
export { type LayerName, layerNames, layersOf, type SubjectLayers, type SubjectSet } from './layer-plan.ts';
export * from './layers.ts';
export * from './lookup.ts';
export * from './parse.ts';
export * from './parse-cidr-group.ts';
export * from './policy-object.ts';
export * from './references.ts';
export type { PolicyReport } from './report.ts';
export * from './rows.ts';
export * from './rule-id.ts';
export * from './rules.ts';
export * from './subjects.ts';
