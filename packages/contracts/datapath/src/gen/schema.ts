// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.

/** Digest over the layouts of all structs and the shape of all maps. Operator and agent compare it in Hello. */
export const SCHEMA_DIGEST = 'e3f21a0b6c5309f96ee1dbb35472b4ee';
