// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.

/** Digest over the layouts of all structs and the shape of all maps. Operator and agent compare it in Hello. */
export const SCHEMA_DIGEST = '232f6eef0117f937f0cfabd37b7713c4';
