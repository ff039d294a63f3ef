/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every structure that crosses the border between kernel programs and user space. The TypeScript codecs
 * (packages/contracts/datapath) are generated from the BTF of these; nothing else repeats an offset.
 *
 * Rules: no implicit padding, pads are zero, addresses are 16 bytes (IPv4 in the first four, rest zero), ports and
 * addresses are in network order, everything else in host order. Sizes are asserted at the end.
 */
#ifndef AXO_STRUCTS_H
#define AXO_STRUCTS_H

#include <linux/types.h>

/* ---- policy ---------------------------------------------------------------------------------------------- */

#define AXO_DIR_INGRESS 0
#define AXO_DIR_EGRESS 1

#define AXO_DIR_PLEN_EGRESS 0x80 /* policy_key.dir_plen bit 7 */
#define AXO_MASK_ANY_PROTO (1u << 31) /* peer_mask/any_mask: rows with proto 0 exist */

#define AXO_VERDICT_ALLOW 1
#define AXO_VERDICT_DENY 2
#define AXO_VERDICT_REDIRECT 3
#define AXO_VERDICT_PASS 4 /* tier admin: the next tier decides */

struct policy_key {
	__u64 handle;
	__u32 peer;     /* identity or address class, 0 = any */
	__u8 proto;     /* 0 = any, only with prefix length 0 */
	__u8 dir_plen;  /* bit 7 egress, bits 0-4 port prefix length */
	__be16 port;    /* masked to the prefix; ICMP: htons(type), prefix 16 */
};

struct policy_value {
	__u32 precedence;
	__u32 rule_id;
	__be16 proxy_port;
	__u8 verdict;
	__u8 flags;
	__u32 pad;
};

#define AXO_SUBJECT_DENY_INGRESS 1 /* default deny */
#define AXO_SUBJECT_DENY_EGRESS 2
#define AXO_SUBJECT_AUDIT 4
#define AXO_SUBJECT_HAS_ADMIN 8     /* the layer after this one exists */
#define AXO_SUBJECT_HAS_BASELINE 16 /* the layer after that one exists */
#define AXO_SUBJECT_HAS_SHADOW 32   /* layer 0: layer 3 exists */
#define AXO_SUBJECT_CLASSES 64      /* the layer has rows for address classes */

#define AXO_LAYER_NORMAL 0
#define AXO_LAYER_ADMIN 1
#define AXO_LAYER_BASELINE 2
#define AXO_LAYER_SHADOW_NORMAL 3
#define AXO_LAYER_SHADOW_ADMIN 4
#define AXO_LAYER_SHADOW_BASELINE 5

struct subject_key {
	__u32 identity;
	__u32 layer; /* AXO_LAYER_ */
};

struct subject_value {
	__u64 handle;
	__u32 deny_rule[2]; /* [direction] */
	__u32 peer_mask[2];
	__u32 any_mask[2];
	__u8 flags;
	__u8 pad[7];
};

/* ---- addresses ------------------------------------------------------------------------------------------- */

struct ipcache_key {
	__u32 prefixlen; /* 32 + bits */
	__u8 family;     /* 4 or 6 */
	__u8 pad[3];
	__u8 addr[16];
};

struct ipcache_value {
	__u32 identity;
	__u8 tunnel_family; /* 0 = no tunnel */
	__u8 flags;
	__u8 pad[2];
	__u8 tunnel[16];
};

/* `addr_class`, keyed like `ipcache`: what selectors of address blocks and of nodes see of an address. */
struct addr_class_value {
	__u32 class; /* 0x02000000 + n */
};

#define AXO_ENDPOINT_HOST 1  /* an address of this node, not of a pod */
#define AXO_ENDPOINT_AUDIT 2 /* what policy would drop passes */

struct endpoint_key {
	__u8 addr[16];
	__u8 family;
	__u8 pad[3];
};

struct endpoint_value {
	__u32 ifindex; /* host side of the pair */
	__u32 identity;
	__u16 id;
	__u16 flags;
	__u8 mac[6];      /* the pod's */
	__u8 host_mac[6]; /* of the host side: the pod's gateway */
};

struct endpoint_if_key {
	__u32 ifindex;
};

struct endpoint_if_value {
	__u32 identity;
	__u16 id;
	__u16 flags;
	__u8 mac[6];
	__u8 host_mac[6];
	__u8 ip4[4]; /* zero = none */
	__u8 ip6[16];
};

/* Addresses of a pod of this node, by the cookie of its network namespace: what a socket hook knows of its client. */
struct endpoint_netns_key {
	__u64 cookie;
};

struct endpoint_netns_value {
	__u8 ip6[16];
	__u8 ip4[4]; /* zero = none */
	__u8 pad[4];
};

/* ---- services -------------------------------------------------------------------------------------------- */

struct lb_frontend_key {
	__u8 addr[16];
	__be16 port;
	__u8 proto;
	__u8 family;
};

/* Address zero: every address of a node (NODE_PORT) or of this node (HOST_PORT). */
#define AXO_LB_NODE_PORT 1
#define AXO_LB_LOAD_BALANCER 2
#define AXO_LB_EXTERNAL_IP 4
#define AXO_LB_HOST_PORT 8
#define AXO_LB_LOCAL_REDIRECT 16
#define AXO_LB_SOURCE_RANGES 32       /* only clients of `lb_source` that are allowed */
#define AXO_LB_SOURCE_RANGES_DENY 64  /* all clients but those of `lb_source` */
#define AXO_LB_DSR 128
#define AXO_LB_BLACKHOLE 256          /* port 0, protocol 0: what no port of the address matches is dropped */
#define AXO_LB_REJECT 512             /* without a backend: refuse; otherwise be silent */
#define AXO_LB_OUT_LOCAL 1024         /* clients from outside: never SNAT, never leave the node */
#define AXO_LB_AFFINITY 2048
#define AXO_LB_EXTERNAL 4096          /* clients from outside may use it */
#define AXO_LB_IPIP 16384            /* with DSR: to backends outside the cluster whole, IP in IP; their own stack unpacks it */
#define AXO_LB_SKIP_OWN 8192          /* who is in `set_in` itself has `set_out`, or without one no service at all */

struct lb_frontend_value {
	__u64 set_out; /* for clients outside the cluster */
	__u64 set_in;  /* for pods and nodes */
	__u32 count_out; /* slots 0 .. count-1 */
	__u32 count_in;
	__u32 maglev_size; /* 0 = random */
	__u32 service_id;
	__u32 affinity_s;
	__u32 flags; /* AXO_LB_ */
};

struct lb_slot_key {
	__u64 set;
	__u32 index;
	__u32 pad;
};

struct lb_slot_value {
	__u8 addr[16];
	__be16 port;
	__u8 family;
	__u8 flags;
	__u32 backend_id;
};

#define AXO_MAGLEV_CHUNK 512

struct lb_maglev_key {
	__u64 set;
	__u32 chunk;
	__u32 pad;
};

/* Entry h of a table is slot[h % 512] of chunk h / 512. */
struct lb_maglev_value {
	__u16 slot[AXO_MAGLEV_CHUNK];
};

struct lb_source_key {
	__u32 prefixlen; /* 64 + bits */
	__u32 service_id;
	__u8 family;
	__u8 pad[3];
	__u8 addr[16];
};

struct lb_source_value {
	__u32 allowed;
};

#define AXO_AFFINITY_ADDRESS 0 /* the client is an address */
#define AXO_AFFINITY_NETNS 1   /* the client is a network namespace, by its cookie */

struct lb_affinity_key {
	__u32 service_id;
	__u8 family;
	__u8 proto;
	__u8 scope; /* AXO_AFFINITY_ */
	__u8 pad;
	__u8 client[16];
};

struct lb_affinity_value {
	__u64 set; /* in which the backend was last seen */
	__u64 last_ns;
	__u8 addr[16];
	__be16 port;
	__u8 family;
	__u8 pad;
	__u32 backend_id;
};

/* What a socket was told the far end is, so that the original address can be given back. */
struct lb_sock_key {
	__u64 cookie;
	__u8 addr[16]; /* backend */
	__be16 port;
	__u8 family;
	__u8 proto;
	__u32 pad;
};

struct lb_sock_value {
	__u8 addr[16]; /* frontend */
	__be16 port;
	__u8 family;
	__u8 flags;
	__u32 service_id;
};

/* ---- clients outside ------------------------------------------------------------------------------------- */

#define AXO_VIA_LOCAL 1  /* rewritten, the packet goes on as if it had arrived like that: to a pod or the stack of this node */
#define AXO_VIA_TUNNEL 2 /* hop = tunnel endpoint, ifindex_out = the VNI */
#define AXO_VIA_NEIGH 3  /* hop = next hop, device ifindex_out */
#define AXO_VIA_IPIP 4   /* encapsulated to daddr, then as NEIGH; nothing else is rewritten */
#define AXO_VIA_BACK 5   /* to the pod it came from, which is its own backend */

#define AXO_NAT_REPLY 1   /* from the backend to the client */
#define AXO_NAT_DST 2     /* the destination becomes daddr, dport */
#define AXO_NAT_SRC 4     /* the source becomes saddr, sport */
#define AXO_NAT_SYN 8     /* TCP, nothing but SYNs so far */
#define AXO_NAT_CLOSING 16 /* FIN or RST seen in this direction */
#define AXO_NAT_DSR 32    /* the backend's node answers the client by itself */
#define AXO_NAT_V6_HOP 64 /* hop is an IPv6 address */
#define AXO_NAT_STACK 128 /* with AXO_VIA_LOCAL: the backend is the node itself */

/* What becomes of a packet whose flow goes through a service, by its addresses and ports as it arrives (`nat4`, `nat6`, keyed as the flow cache). */
struct nat_value {
	__u32 revision;    /* generation[0] + generation[1] when the frontend was last asked */
	__u32 expires;     /* ticks, as in flow_value */
	__u8 daddr[16];
	__u8 saddr[16];
	__be16 dport;
	__be16 sport;
	__u8 action;       /* AXO_VIA_ */
	__u8 flags;        /* AXO_NAT_ */
	__u8 pad[2];
	__u64 set;         /* from which the backend was taken */
	__u32 backend_id;
	__u32 service_id;
	__u32 ifindex_out;
	__u32 checked;     /* ticks: when dmac and smac were asked (XDP); 0 = never */
	__u8 hop[16];
	__u8 dmac[6];
	__u8 smac[6];
	__u32 mtu;         /* of the way, asked with the MACs */
};

/* `l2_announce`: addresses this node answers ARP and neighbour solicitations for. */
struct l2_announce_key {
	__u32 ifindex;
	__u8 family;
	__u8 pad[3];
	__u8 addr[16];
};

struct l2_announce_value {
	__u64 until_ns; /* CLOCK_MONOTONIC: after it nobody is answered, whatever became of the agent */
	__u8 mac[6];
	__u8 pad[2];
};

/* ---- node ------------------------------------------------------------------------------------------------ */

#define AXO_NODE_TUNNEL 1        /* VXLAN to other nodes; otherwise native routing */
#define AXO_NODE_MASQUERADE4 2
#define AXO_NODE_MASQUERADE6 4
#define AXO_NODE_NO_EVENTS 8     /* counters only */
#define AXO_NODE_AUDIT 16        /* what policy would drop passes */
#define AXO_NODE_HOST_POLICY 32  /* the node is a subject: row {1, 0} of `subject` exists */
#define AXO_NODE_POD_SERVICES 64 /* sockets of pods are left alone: their packets to services are translated one by one */
#define AXO_NODE_DSR_IPIP 128    /* DSR by encapsulation; otherwise by option or extension header */
#define AXO_NODE_BALANCER 256    /* a load balancer without pods: what it forwards leaves by the device, never by a tunnel */

struct node_config {
	__u8 node_ip4[4]; /* also the masquerade source; zero = none */
	__u8 router_ip4[4];
	__u8 node_ip6[16];
	__u8 router_ip6[16];
	__u32 ifindex_vxlan;
	__u32 ifindex_host;   /* axo_host */
	__u32 ifindex_net;    /* axo_net */
	__u32 ifindex_netdev; /* primary device */
	__u8 mac_host[6];
	__u8 mac_net[6];
	__u32 flags;
	__be16 vxlan_port;
	__u16 snat_min; /* host order, inclusive */
	__u16 snat_max;
	__u16 node_port_min; /* host order, inclusive: no source port is taken from here */
	__u32 event_sample; /* one of n new-flow verdicts becomes an event; 0 and 1 = all */
	__u32 drop_sample;  /* the same for drops */
	__u64 netns_cookie; /* of the node's own network namespace; 0 = unknown */
	__u16 node_port_max;
	__u16 path_mtu;     /* largest packet of a pod that reaches other nodes in one piece; 0 = unknown */
	__u32 pad;
};

/* ---- flow cache ------------------------------------------------------------------------------------------ */

#define AXO_KIND_REPLY 1 /* ICMP echo reply; reversing a key flips it. TCP, UDP, SCTP: always 0 */
#define AXO_KIND_OTHER 2 /* ICMP that is neither echo nor error: ports = type, code */

/* TCP, UDP, SCTP: ports. ICMP echo: the id in both ports. */
struct flow4_key {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 kind;
	__u8 pad[2];
};

struct flow6_key {
	__u8 saddr[16];
	__u8 daddr[16];
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 kind;
	__u8 pad[2];
};

/* Where a packet of a flow must come from: an ifindex, or one of these. */
#define AXO_IN_NETDEV 0xffffffffu
#define AXO_IN_HOST 0xfffffffeu
#define AXO_IN_OVERLAY 0xfffffffdu

#define AXO_ACT_POD 1    /* MACs, then the peer of ifindex_out */
#define AXO_ACT_TUNNEL 2 /* addr = tunnel endpoint */
#define AXO_ACT_NEIGH 3  /* addr = next hop, device ifindex_out */
#define AXO_ACT_STACK 4  /* up the node's own stack */

#define AXO_FLOW_REPLY 1      /* this entry is the answer to the flow with the reversed key */
#define AXO_FLOW_SNAT 2       /* source becomes node address, port */
#define AXO_FLOW_DNAT 4       /* destination becomes addr, port (reply of a masqueraded flow) */
#define AXO_FLOW_V6_UNDERLAY 8
#define AXO_FLOW_SYN 16       /* TCP, nothing but SYNs so far */
#define AXO_FLOW_CLOSING 32   /* FIN or RST seen */
#define AXO_FLOW_NAT 64       /* an answer of a service's backend: a row of `nat4`/`nat6` says what it becomes */
#define AXO_FLOW_OUTSIDE 128  /* opened by somebody outside, with the address of the node that passed it on */

/*
 * Exactly one cache line, and with a 16-byte key the kernel's element header + key are exactly another. Identities
 * and rule ids of a flow are in its verdict event and in `counters`.
 */
struct flow_value {
	__u32 generation;  /* judged at */
	__u32 ifindex_in;  /* expected origin: this is the source verification */
	__u32 ifindex_out; /* tunnel: the VNI */
	__u8 action;
	__u8 flags;
	__be16 port;       /* rewrite */
	__u8 dmac[6];
	__u8 smac[6];
	__u32 expires;     /* ticks of 2^26 ns (67 ms) of the coarse monotonic clock */
	__u8 addr[16];
	__u64 packets;
	__u64 bytes;
};

/* `own_ports`: ports of the node's addresses that an entry of the flow cache has had at the node's end, a byte each; index port / 64. */
#define AXO_OWN_PORTS 64

struct own_ports {
	__u8 had[AXO_OWN_PORTS];
};

/* Ports of a datagram whose first fragment was seen. ICMP: id and flow key kind. */
struct frag_key {
	__u8 saddr[16];
	__u8 daddr[16];
	__u32 id;
	__u8 proto;
	__u8 family;
	__u8 pad[2];
};

struct frag_value {
	__be16 sport;
	__be16 dport;
};

/* ---- observation ----------------------------------------------------------------------------------------- */

#define AXO_COUNT_EGRESS 0x80 /* dir_verdict bit 7 */
#define AXO_COUNT_ALLOW 1
#define AXO_COUNT_DENY 2         /* deny row, drop 181 */
#define AXO_COUNT_DEFAULT_DENY 3 /* drop 133 */
#define AXO_COUNT_AUDIT 4        /* would have been dropped */
#define AXO_COUNT_UNKNOWN 5      /* no subject row, drop 165 */
#define AXO_COUNT_SHADOW_DROP 6  /* the shadow layers would drop what the others let pass; rule_id is theirs */
#define AXO_COUNT_SHADOW_ALLOW 7 /* the other way round */

struct counter_key {
	__u32 subject;
	__u32 peer;
	__u32 rule_id;
	__be16 port; /* destination; ICMP: htons(type) */
	__u8 proto;
	__u8 dir_verdict;
};

struct counter_value {
	__u64 packets;
	__u64 bytes;
};

/* `drops`: index = reason * 2 + direction. */
struct drop_value {
	__u64 packets;
	__u64 bytes;
};

#define AXO_EVENT_VERDICT 1 /* a new flow was allowed */
#define AXO_EVENT_DROP 2

#define AXO_HOOK_FROM_POD 1
#define AXO_HOOK_TO_POD 2
#define AXO_HOOK_FROM_NETDEV 3
#define AXO_HOOK_TO_NETDEV 4
#define AXO_HOOK_FROM_OVERLAY 5
#define AXO_HOOK_FROM_HOST 6

#define AXO_EVENT_F_REPLY 1       /* the packet is a reply; identities and ports are the packet's */
#define AXO_EVENT_F_EGRESS 2      /* egress policy of the source was consulted here */
#define AXO_EVENT_F_INGRESS 4     /* ingress policy of the destination was consulted here */
#define AXO_EVENT_F_AUDIT 8       /* would have been dropped */
#define AXO_EVENT_F_REJUDGED 16   /* a known flow, judged again after a change */
#define AXO_EVENT_F_MASQUERADE 32
#define AXO_EVENT_F_SHADOW 64     /* the shadow layers disagree, see shadow[] */

/* event.shadow[direction]; 0 = not judged */
#define AXO_SHADOW_SAME 1
#define AXO_SHADOW_DEFAULT_DENY 2 /* would be dropped for want of a row */
#define AXO_SHADOW_DENY 3         /* would be dropped by a row */
#define AXO_SHADOW_PASS 4         /* would pass */

struct event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u8 saddr[16];
	__u8 daddr[16];
	__be16 sport; /* ICMP: echo id */
	__be16 dport;
	__u8 proto;
	__u8 family;
	__u8 type;    /* AXO_EVENT_ */
	__u8 reason;  /* drop reason, Hubble's number; of an audited packet what it would have been; 0 = none */
	__u32 src_identity;
	__u32 dst_identity;
	__u32 rule_id[2]; /* [direction]; 0 = none */
	__u32 ifindex;    /* device of the hook */
	__u32 length;     /* of the packet with its Ethernet header */
	__u16 src_endpoint; /* 0 = not on this node */
	__u16 dst_endpoint;
	__u8 direction;     /* of the verdict that decided: AXO_DIR_ */
	__u8 hook;
	__u8 flags;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 next_hop;      /* AXO_ACT_ of an allowed flow */
	__u8 pad;
	__be16 nat_port;    /* masqueraded source port */
	__u8 shadow[2];     /* [direction], AXO_SHADOW_ */
	__u32 shadow_rule[2]; /* [direction], where they disagree */
};

/* ---- sizes ----------------------------------------------------------------------------------------------- */

#define AXO_SIZE(t, n) _Static_assert(sizeof(struct t) == (n), #t)
AXO_SIZE(policy_key, 16);
AXO_SIZE(policy_value, 16);
AXO_SIZE(subject_key, 8);
AXO_SIZE(subject_value, 40);
AXO_SIZE(ipcache_key, 24);
AXO_SIZE(ipcache_value, 24);
AXO_SIZE(addr_class_value, 4);
AXO_SIZE(endpoint_key, 20);
AXO_SIZE(endpoint_value, 24);
AXO_SIZE(endpoint_if_key, 4);
AXO_SIZE(endpoint_if_value, 40);
AXO_SIZE(endpoint_netns_key, 8);
AXO_SIZE(endpoint_netns_value, 24);
AXO_SIZE(lb_frontend_key, 20);
AXO_SIZE(lb_frontend_value, 40);
AXO_SIZE(lb_slot_key, 16);
AXO_SIZE(lb_slot_value, 24);
AXO_SIZE(lb_maglev_key, 16);
AXO_SIZE(lb_maglev_value, 1024);
AXO_SIZE(lb_source_key, 28);
AXO_SIZE(lb_source_value, 4);
AXO_SIZE(lb_affinity_key, 24);
AXO_SIZE(lb_affinity_value, 40);
AXO_SIZE(lb_sock_key, 32);
AXO_SIZE(lb_sock_value, 24);
AXO_SIZE(nat_value, 104);
AXO_SIZE(l2_announce_key, 24);
AXO_SIZE(l2_announce_value, 16);
AXO_SIZE(node_config, 104);
AXO_SIZE(flow4_key, 16);
AXO_SIZE(flow6_key, 40);
AXO_SIZE(flow_value, 64);
AXO_SIZE(frag_key, 40);
AXO_SIZE(frag_value, 4);
AXO_SIZE(counter_key, 16);
AXO_SIZE(counter_value, 16);
AXO_SIZE(drop_value, 16);
AXO_SIZE(event, 96);

#endif
