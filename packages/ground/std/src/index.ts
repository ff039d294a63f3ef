export * from './backoff.ts';
export * from './brand.ts';
export * from './clock.ts';
export * from './hash.ts';
export * from './life.ts';
export * from './log.ts';
export * from './result.ts';
