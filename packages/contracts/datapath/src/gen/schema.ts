// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.

/** Digest over the layouts of all structs and the shape of all maps. Operator and agent compare it in Hello. */
export const SCHEMA_DIGEST = '43f45d791d7f464675f8cd816c0f4dfc';
