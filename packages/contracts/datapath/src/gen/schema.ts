// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.

/** Digest over the layouts of all structs and the shape of all maps. Operator and agent compare it in Hello. */
export const SCHEMA_DIGEST = '55b3b3e64d531e6a8100150ab8537b98';
