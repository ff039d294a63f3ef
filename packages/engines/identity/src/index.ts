// @axoneme/identity: label sets → numbers. Pure; time and state come in as data, called by the leading operator only.
//
// planIdentities(input, config)  label sets × CiliumIdentity objects × freed numbers → assignments, creates, marks, deletes, failures
// planCidrIdentities(input)      prefixes × known numbers → assignments, added, removed
// A number is published only after its object exists; a deleted number is passed back as `freed` until `released` names it.
export * from './cidrs.ts';
export * from './cluster.ts';
export * from './numbers.ts';
