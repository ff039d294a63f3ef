export { type Connection, type ConnectionConfig, connect } from './connection.ts';
export * from './follow.ts';
export * from './lease.ts';
export * from './mirror.ts';
export * from './records.ts';
