export * from './certificate.ts';
export * from './issue.ts';
export * from './request.ts';
