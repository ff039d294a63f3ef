// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.

/** Index of `[direction]` arrays and of drops. */
export const Dir = {
  ingress: 0,
  egress: 1,
  plenEgress: 128,
} as const;

/** `policy_value.verdict`. */
export const Verdict = {
  allow: 1,
  deny: 2,
  redirect: 3,
  pass: 4,
} as const;

/** `subject_value.flags`. */
export const SubjectFlag = {
  denyIngress: 1,
  denyEgress: 2,
  audit: 4,
  hasAdmin: 8,
  hasBaseline: 16,
  hasShadow: 32,
  classes: 64,
} as const;

/** `subject_key.layer`. */
export const Layer = {
  normal: 0,
  admin: 1,
  baseline: 2,
  shadowNormal: 3,
  shadowAdmin: 4,
  shadowBaseline: 5,
} as const;

/** `endpoint_value.flags`. */
export const EndpointFlag = {
  host: 1,
  audit: 2,
} as const;

/** `node_config.flags`. */
export const NodeFlag = {
  tunnel: 1,
  masquerade4: 2,
  masquerade6: 4,
  noEvents: 8,
  audit: 16,
  hostPolicy: 32,
  podServices: 64,
  dsrIpip: 128,
  balancer: 256,
} as const;

/** `flow4_key.kind`, `flow6_key.kind`. */
export const FlowKind = {
  reply: 1,
  other: 2,
} as const;

/** `flow_value.ifindex_in` that is no device. */
export const FlowOrigin = {
  netdev: 4294967295,
  host: 4294967294,
  overlay: 4294967293,
} as const;

/** `flow_value.action`, `event.next_hop`. */
export const FlowAction = {
  pod: 1,
  tunnel: 2,
  neigh: 3,
  stack: 4,
} as const;

/** `flow_value.flags`. */
export const FlowFlag = {
  reply: 1,
  snat: 2,
  dnat: 4,
  v6Underlay: 8,
  syn: 16,
  closing: 32,
  nat: 64,
  outside: 128,
} as const;

/** `counter_key.dir_verdict` without its top bit; `egress` is that bit. */
export const CountVerdict = {
  egress: 128,
  allow: 1,
  deny: 2,
  defaultDeny: 3,
  audit: 4,
  unknown: 5,
  shadowDrop: 6,
  shadowAllow: 7,
} as const;

/** `event.shadow`. */
export const Shadow = {
  same: 1,
  defaultDeny: 2,
  deny: 3,
  pass: 4,
} as const;

/** `event.flags`. */
export const EventFlag = {
  reply: 1,
  egress: 2,
  ingress: 4,
  audit: 8,
  rejudged: 16,
  masquerade: 32,
  shadow: 64,
} as const;

/** `event.type`. */
export const EventType = {
  verdict: 1,
  drop: 2,
} as const;

/** `event.hook`. */
export const Hook = {
  fromPod: 1,
  toPod: 2,
  fromNetdev: 3,
  toNetdev: 4,
  fromOverlay: 5,
  fromHost: 6,
} as const;

/** `lb_frontend_value.flags`. */
export const LbFlag = {
  nodePort: 1,
  loadBalancer: 2,
  externalIp: 4,
  hostPort: 8,
  localRedirect: 16,
  sourceRanges: 32,
  sourceRangesDeny: 64,
  dsr: 128,
  blackhole: 256,
  reject: 512,
  outLocal: 1024,
  affinity: 2048,
  external: 4096,
  ipip: 16384,
  skipOwn: 8192,
} as const;

/** `nat_value.action`. */
export const NatVia = {
  local: 1,
  tunnel: 2,
  neigh: 3,
  ipip: 4,
  back: 5,
} as const;

/** `nat_value.flags`. */
export const NatFlag = {
  reply: 1,
  dst: 2,
  src: 4,
  syn: 8,
  closing: 16,
  dsr: 32,
  v6Hop: 64,
  stack: 128,
} as const;

/** `lb_affinity_key.scope`. */
export const AffinityScope = {
  address: 0,
  netns: 1,
} as const;

/** Constants of no group. */
export const Axo = {
  maskAnyProto: 2147483648,
  maglevChunk: 512,
  ownPorts: 64,
} as const;

/** Reasons the datapath gives; numbers are Hubble's. */
export const Drop = {
  invalidSourceIp: 132,
  policy: 133,
  invalidPacket: 134,
  truncated: 135,
  unknownProto: 137,
  unknownL3: 139,
  writeError: 141,
  unknownL4: 142,
  unknownIcmp4: 144,
  unknownIcmp6: 146,
  noTunnelKey: 147,
  unknownTarget: 150,
  unroutable: 151,
  csumL3: 153,
  csumL4: 154,
  flowInsert: 155,
  extHeader: 156,
  fragUnsupported: 157,
  noServiceBackend: 158,
  noTunnelEndpoint: 160,
  noConfig: 165,
  unsupportedL2: 166,
  natNoMapping: 167,
  natUnsupported: 168,
  noFib: 169,
  encapProhibited: 170,
  invalidIdentity: 171,
  unknownSender: 172,
  fragNotFound: 175,
  sourceRange: 177,
  policyDeny: 181,
  ttl: 196,
  multicast: 201,
  endpointNotReady: 203,
} as const;

/** Indices of `drops` that are no drops. */
export const Info = {
  countersFull: 1,
  ignored: 2,
} as const;
