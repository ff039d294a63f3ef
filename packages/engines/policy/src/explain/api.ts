// What explains policy to people: verdicts, reasons, smallest changes, plans, invariants. Exported through the package's index.
export * from './address-space.ts';
export * from './edit-space.ts';
export * from './edits.ts';
export * from './flip.ts';
export * from './invariants.ts';
export * from './near.ts';
export * from './plan.ts';
export * from './reach.ts';
export * from './region-cache.ts';
export * from './regions.ts';
export * from './removal.ts';
export * from './scene.ts';
export { compileSide, createNumbering, type Occupancy, type PlanPod, type PlanState, type Side } from './side.ts';
export { areCompared, type UnitKind } from './units.ts';
export * from './verdict.ts';
export { editText, originText, peerWords, portsText as portMatchesText, requirementText, trafficText } from './words.ts';
