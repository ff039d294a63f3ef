// Drop reasons by number: text for people and metrics, enum name for Hubble's API. Called by displays, metrics and flows.
// The numbers are Hubble's, so that its tools understand ours; the datapath's own list is `Drop` in src/gen.

interface Reason {
  readonly text: string;
  readonly hubble: string;
}

const REASONS: Readonly<Record<number, Reason>> = {
  130: { text: 'Invalid source mac', hubble: 'INVALID_SOURCE_MAC' },
  131: { text: 'Invalid destination mac', hubble: 'INVALID_DESTINATION_MAC' },
  132: { text: 'Invalid source ip', hubble: 'INVALID_SOURCE_IP' },
  133: { text: 'Policy denied', hubble: 'POLICY_DENIED' },
  134: { text: 'Invalid packet', hubble: 'INVALID_PACKET_DROPPED' },
  135: { text: 'CT: Truncated or invalid header', hubble: 'CT_TRUNCATED_OR_INVALID_HEADER' },
  136: { text: 'Fragmentation needed', hubble: 'CT_MISSING_TCP_ACK_FLAG' },
  137: { text: 'CT: Unknown L4 protocol', hubble: 'CT_UNKNOWN_L4_PROTOCOL' },
  138: { text: "CT: Can't create entry from packet", hubble: 'CT_CANNOT_CREATE_ENTRY_FROM_PACKET' },
  139: { text: 'Unsupported L3 protocol', hubble: 'UNSUPPORTED_L3_PROTOCOL' },
  140: { text: 'Missed tail call', hubble: 'MISSED_TAIL_CALL' },
  141: { text: 'Error writing to packet', hubble: 'ERROR_WRITING_TO_PACKET' },
  142: { text: 'Unknown L4 protocol', hubble: 'UNKNOWN_L4_PROTOCOL' },
  143: { text: 'Unknown ICMPv4 code', hubble: 'UNKNOWN_ICMPV4_CODE' },
  144: { text: 'Unknown ICMPv4 type', hubble: 'UNKNOWN_ICMPV4_TYPE' },
  145: { text: 'Unknown ICMPv6 code', hubble: 'UNKNOWN_ICMPV6_CODE' },
  146: { text: 'Unknown ICMPv6 type', hubble: 'UNKNOWN_ICMPV6_TYPE' },
  147: { text: 'Error retrieving tunnel key', hubble: 'ERROR_RETRIEVING_TUNNEL_KEY' },
  148: { text: 'Error retrieving tunnel options', hubble: 'ERROR_RETRIEVING_TUNNEL_OPTIONS' },
  149: { text: 'Invalid Geneve option', hubble: 'INVALID_GENEVE_OPTION' },
  150: { text: 'Unknown L3 target address', hubble: 'UNKNOWN_L3_TARGET_ADDRESS' },
  151: { text: 'Stale or unroutable IP', hubble: 'STALE_OR_UNROUTABLE_IP' },
  152: { text: 'No matching local container found', hubble: 'NO_MATCHING_LOCAL_CONTAINER_FOUND' },
  153: { text: 'Error while correcting L3 checksum', hubble: 'ERROR_WHILE_CORRECTING_L3_CHECKSUM' },
  154: { text: 'Error while correcting L4 checksum', hubble: 'ERROR_WHILE_CORRECTING_L4_CHECKSUM' },
  155: { text: 'CT: Map insertion failed', hubble: 'CT_MAP_INSERTION_FAILED' },
  156: { text: 'Invalid IPv6 extension header', hubble: 'INVALID_IPV6_EXTENSION_HEADER' },
  157: { text: 'IP fragmentation not supported', hubble: 'IP_FRAGMENTATION_NOT_SUPPORTED' },
  158: { text: 'Service backend not found', hubble: 'SERVICE_BACKEND_NOT_FOUND' },
  160: { text: 'No tunnel/encapsulation endpoint (datapath BUG!)', hubble: 'NO_TUNNEL_OR_ENCAPSULATION_ENDPOINT' },
  161: { text: 'NAT 46/64 not enabled', hubble: 'FAILED_TO_INSERT_INTO_PROXYMAP' },
  162: { text: 'Reached EDT rate-limiting drop horizon', hubble: 'REACHED_EDT_RATE_LIMITING_DROP_HORIZON' },
  163: { text: 'Unknown connection tracking state', hubble: 'UNKNOWN_CONNECTION_TRACKING_STATE' },
  164: { text: 'Local host is unreachable', hubble: 'LOCAL_HOST_IS_UNREACHABLE' },
  165: { text: 'No configuration available to perform policy decision', hubble: 'NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION' },
  166: { text: 'Unsupported L2 protocol', hubble: 'UNSUPPORTED_L2_PROTOCOL' },
  167: { text: 'No mapping for NAT masquerade', hubble: 'NO_MAPPING_FOR_NAT_MASQUERADE' },
  168: { text: 'Unsupported protocol for NAT masquerade', hubble: 'UNSUPPORTED_PROTOCOL_FOR_NAT_MASQUERADE' },
  169: { text: 'FIB lookup failed', hubble: 'FIB_LOOKUP_FAILED' },
  170: { text: 'Encapsulation traffic is prohibited', hubble: 'ENCAPSULATION_TRAFFIC_IS_PROHIBITED' },
  171: { text: 'Invalid identity', hubble: 'INVALID_IDENTITY' },
  172: { text: 'Unknown sender', hubble: 'UNKNOWN_SENDER' },
  173: { text: 'NAT not needed', hubble: 'NAT_NOT_NEEDED' },
  174: { text: 'Is a ClusterIP', hubble: 'IS_A_CLUSTERIP' },
  175: { text: 'First logical datagram fragment not found', hubble: 'FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND' },
  176: { text: 'Forbidden ICMPv6 message', hubble: 'FORBIDDEN_ICMPV6_MESSAGE' },
  177: { text: 'Denied by LB src range check', hubble: 'DENIED_BY_LB_SRC_RANGE_CHECK' },
  178: { text: 'Socket lookup failed', hubble: 'SOCKET_LOOKUP_FAILED' },
  179: { text: 'Socket assign failed', hubble: 'SOCKET_ASSIGN_FAILED' },
  180: { text: 'Proxy redirection not supported for protocol', hubble: 'PROXY_REDIRECTION_NOT_SUPPORTED_FOR_PROTOCOL' },
  181: { text: 'Policy denied by denylist', hubble: 'POLICY_DENY' },
  182: { text: 'VLAN traffic disallowed by VLAN filter', hubble: 'VLAN_FILTERED' },
  183: { text: 'Incorrect VNI from VTEP', hubble: 'INVALID_VNI' },
  184: { text: 'Failed to update or lookup TC buffer', hubble: 'INVALID_TC_BUFFER' },
  185: { text: 'No SID was found for the IP address', hubble: 'NO_SID' },
  186: { text: 'SRv6 state was removed during tail call', hubble: 'MISSING_SRV6_STATE' },
  187: { text: 'L3 translation from IPv4 to IPv6 failed (NAT46)', hubble: 'NAT46' },
  188: { text: 'L3 translation from IPv6 to IPv4 failed (NAT64)', hubble: 'NAT64' },
  189: { text: 'Authentication required', hubble: 'AUTH_REQUIRED' },
  190: { text: 'No conntrack map found', hubble: 'CT_NO_MAP_FOUND' },
  191: { text: 'No nat map found', hubble: 'SNAT_NO_MAP_FOUND' },
  192: { text: 'Invalid ClusterID', hubble: 'INVALID_CLUSTER_ID' },
  193: { text: 'Unsupported packet protocol for DSR encapsulation', hubble: 'UNSUPPORTED_PROTOCOL_FOR_DSR_ENCAP' },
  194: { text: 'No egress gateway found', hubble: 'NO_EGRESS_GATEWAY' },
  195: { text: 'Traffic is unencrypted', hubble: 'UNENCRYPTED_TRAFFIC' },
  196: { text: 'TTL exceeded', hubble: 'TTL_EXCEEDED' },
  197: { text: 'No node ID found', hubble: 'NO_NODE_ID' },
  198: { text: 'Rate limited', hubble: 'DROP_RATE_LIMITED' },
  199: { text: 'IGMP handled', hubble: 'IGMP_HANDLED' },
  200: { text: 'IGMP subscribed', hubble: 'IGMP_SUBSCRIBED' },
  201: { text: 'Multicast handled', hubble: 'MULTICAST_HANDLED' },
  202: { text: 'Host datapath not ready', hubble: 'DROP_HOST_NOT_READY' },
  203: { text: 'Endpoint policy program not available', hubble: 'DROP_EP_NOT_READY' },
  204: { text: 'No Egress IP configured', hubble: 'DROP_NO_EGRESS_IP' },
  205: { text: 'Punt to proxy', hubble: 'DROP_PUNT_PROXY' },
};

/** Below this number reasons are remarks, not drops. */
export const FIRST_DROP_REASON = 130;

const REMARKS: Readonly<Record<number, string>> = {
  0: 'Success',
  1: 'Counters full',
  2: 'Ignored noise',
};

export function dropReasonText(reason: number): string {
  return REASONS[reason]?.text ?? REMARKS[reason] ?? `Reason ${reason}`;
}

/** Name in Hubble's `DropReason`; `DROP_REASON_UNKNOWN` for what it does not know. */
export const dropReasonHubble = (reason: number): string => REASONS[reason]?.hubble ?? 'DROP_REASON_UNKNOWN';

/** Number for a Hubble name, as filters give it. */
export function dropReasonNumber(hubble: string): number | undefined {
  const found = Object.entries(REASONS).find(([, r]) => r.hubble === hubble);
  return found === undefined ? undefined : Number(found[0]);
}
