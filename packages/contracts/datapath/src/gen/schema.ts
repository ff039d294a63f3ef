// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.

/** Digest over the layouts of all structs and the shape of all maps. Operator and agent compare it in Hello. */
export const SCHEMA_DIGEST = '8b225ec3a002331279a1a29b3a64d10a';
