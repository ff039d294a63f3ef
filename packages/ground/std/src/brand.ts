// Nominal types: only parsers and allocators make branded values.
declare const brand: unique symbol;
export type Brand<T, B extends string> = T & { readonly [brand]: B };

/** Hex digest of content, 32 lower-case hex characters (first 16 bytes of SHA-256). */
export type Digest = Brand<string, 'Digest'>;
/** Position in the operator's total order; positive integer below 2^53. */
export type Revision = Brand<number, 'Revision'>;
/** Fencing number of the leader that made a revision. */
export type Epoch = Brand<number, 'Epoch'>;
export type NodeName = Brand<string, 'NodeName'>;
