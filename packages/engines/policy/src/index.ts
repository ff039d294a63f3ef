// @axoneme/policy: policy objects × identities → rows of the policy table, with provenance. Pure; called by the operator and the CLI.
//
// parsePolicy(object, {clusterName})   CNP/CCNP JSON → Result<{key, rules, issues}, issues>; issues carry field path and hint
// cidrs(rules)                         prefixes that need a CIDR identity and an ipcache row
// compileAll({rules, identities, cidrIdentities}, config) → {subjects, policies, origins, collisions}   the truth
// createPolicyCompiler(config).update(changes) → {addedPolicies, subjects, removedSubjects, removedPolicies}; .table() equals compileAll
// rowsOf(subject.rows), mentionedPeers(subject.rows), policyArtifactName(handle)   for encoders and the span
// lookup(subject, packet)              the kernel's algorithm on rows
// judge(rules, world, packet)          the reference: straight from the rules
export * from './cidrs.ts';
export * from './compile-all.ts';
export * from './compiler.ts';
export type { PolicyDelta } from './compiler-subjects.ts';
export * from './issues.ts';
export * from './judge.ts';
export * from './lookup.ts';
export * from './parse.ts';
export * from './rows.ts';
export * from './rule-id.ts';
export * from './rules.ts';
export * from './subjects.ts';
