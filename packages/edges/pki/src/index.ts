export * from './certificate.ts';
export * from './issue.ts';
