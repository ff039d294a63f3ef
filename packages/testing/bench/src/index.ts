// Measurements behind every number in docs/performance.md. Run by main.ts; the library half is for its own tests.
export * from './report.ts';
