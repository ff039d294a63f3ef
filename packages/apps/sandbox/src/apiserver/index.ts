// The embedded Kubernetes API server. The rest of the sandbox imports it from here only.
export { createApiServer } from './server.ts';
export { StatusError } from './status-error.ts';
export * from './types.ts';
