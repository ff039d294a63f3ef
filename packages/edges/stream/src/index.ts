export * from './client/assemble.ts';
export * from './client/calls.ts';
export { type ClientTls, operatorServerName } from './client/channel.ts';
export type { AnswerHandler } from './client/relay-stream.ts';
export type { ReportBody, ReportHandlers, ReportLink } from './client/report-stream.ts';
export * from './client/sync-client.ts';
export type { AckBody, LeaseHandlers, SyncHandlers, SyncStreamConfig } from './client/sync-stream.ts';
export type { AdminHandlers } from './server/admin.ts';
export type { ArtifactSource } from './server/encoder.ts';
export {
  type Freshness,
  type Hub,
  type HubConfig,
  type HubDeps,
  type HubEvents,
  type HubTotals,
  hubDefaults,
  type NodeLink,
  type Sent,
} from './server/hub.ts';
export type { ServerTls } from './server/listener.ts';
export * from './server/node-server.ts';
export type { Artifacts, Position } from './server/node-state.ts';
export type { PeerNames } from './server/peer.ts';
export { type RelayConfig, relayDefaults } from './server/relay.ts';
export type { ReportHandler } from './server/report.ts';
