/* SPDX-License-Identifier: Apache-2.0 */
/* Drop reasons. The numbers are Hubble's, so that its tools understand them; below 130 they are not drops. */
#ifndef AXO_DROPS_H
#define AXO_DROPS_H

#define AXO_INFO_COUNTERS_FULL 1 /* `counters` had no room: judgements that are counted nowhere else */
#define AXO_INFO_IGNORED 2       /* noise without a verdict: router solicitations, multicast listener reports, ... */

#define AXO_DROP_INVALID_SOURCE_IP 132
#define AXO_DROP_POLICY 133
#define AXO_DROP_INVALID_PACKET 134
#define AXO_DROP_TRUNCATED 135
#define AXO_DROP_UNKNOWN_PROTO 137
#define AXO_DROP_UNKNOWN_L3 139
#define AXO_DROP_WRITE_ERROR 141
#define AXO_DROP_UNKNOWN_L4 142
#define AXO_DROP_UNKNOWN_ICMP4 144
#define AXO_DROP_UNKNOWN_ICMP6 146
#define AXO_DROP_NO_TUNNEL_KEY 147
#define AXO_DROP_UNKNOWN_TARGET 150
#define AXO_DROP_UNROUTABLE 151
#define AXO_DROP_CSUM_L3 153
#define AXO_DROP_CSUM_L4 154
#define AXO_DROP_FLOW_INSERT 155
#define AXO_DROP_EXT_HEADER 156
#define AXO_DROP_FRAG_UNSUPPORTED 157
#define AXO_DROP_NO_SERVICE_BACKEND 158
#define AXO_DROP_NO_TUNNEL_ENDPOINT 160
#define AXO_DROP_NO_CONFIG 165
#define AXO_DROP_UNSUPPORTED_L2 166
#define AXO_DROP_NAT_NO_MAPPING 167
#define AXO_DROP_NAT_UNSUPPORTED 168
#define AXO_DROP_NO_FIB 169
#define AXO_DROP_ENCAP_PROHIBITED 170
#define AXO_DROP_INVALID_IDENTITY 171
#define AXO_DROP_UNKNOWN_SENDER 172
#define AXO_DROP_FRAG_NOT_FOUND 175
#define AXO_DROP_SOURCE_RANGE 177
#define AXO_DROP_POLICY_DENY 181
#define AXO_DROP_TTL 196
#define AXO_DROP_MULTICAST 201
#define AXO_DROP_ENDPOINT_NOT_READY 203

#endif
