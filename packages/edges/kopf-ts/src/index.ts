export * from './client.ts';
export * from './config.ts';
export * from './errors.ts';
export * from './events.ts';
export { type ForwardTarget, type LocalForward, listenForward } from './port-forward.ts';
export * from './reflector.ts';
export * from './resource.ts';
export * from './token-review.ts';
export type { WatchEvent } from './watch.ts';
