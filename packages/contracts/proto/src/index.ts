// Messages and service definitions of the node and admin protocols, generated from proto/, and the digests both ends share.
// Callers: edges/stream (wire), operator and agent (messages), cli (admin). Generated names never leave through a deep path.
export * as adminv1 from './gen/axoneme/admin/v1/admin.ts';
export {
  AdminServiceDefinition,
  Endpoint,
  GetStatusRequest,
  GetStatusResponse,
  Identity,
  ListEndpointsRequest,
  ListEndpointsResponse,
  ListIdentitiesRequest,
  ListIdentitiesResponse,
  ListPoliciesRequest,
  ListPoliciesResponse,
  ListTableRequest,
  ListTableResponse,
  MonitorRequest,
  MonitorResponse,
  NodeStatus,
  PolicyState,
  WatchPolicyRequest,
  WatchPolicyResponse,
} from './gen/axoneme/admin/v1/admin.ts';
export * as blobsv1 from './gen/axoneme/node/v1/blobs.ts';
export {
  Acceleration,
  DatapathSet,
  L2Lease,
  L2Leases,
  NodeConfig,
  NodeRoute,
  Routes,
  RoutingMode,
  Workload,
} from './gen/axoneme/node/v1/blobs.ts';
export type { MessageFns } from './gen/axoneme/node/v1/node.ts';
export * as nodev1 from './gen/axoneme/node/v1/node.ts';
export {
  Ack,
  AgentHeartbeat,
  BootstrapServiceDefinition,
  Commit,
  ComponentHealth,
  CounterDelta,
  DatapathFacts,
  EndpointReport,
  FlowSample,
  Hello,
  KernelFacts,
  LeaseGrant,
  LeaseRequest,
  Nack,
  NodeProtocolServiceDefinition,
  OperatorHeartbeat,
  RelayRequest,
  RelayResponse,
  Remove,
  ReportRequest,
  ReportResponse,
  SignRequest,
  SignResponse,
  SyncRequest,
  SyncResponse,
  TableOccupancy,
  Upsert,
  Welcome,
} from './gen/axoneme/node/v1/node.ts';
export * from './held.ts';
