// The contract between operator, agent and kernel: table rows as bytes. Generated codecs plus what people need around them.
export * from './address.ts';
export * from './artifact.ts';
export { type Codec, decodeAll, encodeAll } from './codec.ts';
export * from './display.ts';
export * from './drops.ts';
export * from './gen/index.ts';
export * from './lb-rows.ts';
export { u32Index, u32Value } from './scalar.ts';
export * from './tables.ts';
