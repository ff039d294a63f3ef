// What explains policy to people: verdicts, reasons, smallest changes, plans, invariants. Exported through the package's index.
export * from './scene.ts';
export * from './verdict.ts';
