// The sandbox as others use it: bring a cluster up, talk to it, take it down.

export { takeDown } from './instance/down.ts';
export type { FabricRecord, NodeRecord } from './instance/state.ts';
export { findSandbox, type Sandbox, type UpOptions, upSandbox } from './instance/up.ts';
export { WORLD } from './nodes/addresses.ts';
export type { RunOptions, RunResult } from './nodes/run.ts';
