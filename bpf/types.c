// SPDX-License-Identifier: Apache-2.0
/* Never loaded. Its BTF holds every structure of lib/structs.h and every map: the input of the codec generator. */
#include "lib/maps.h"

#define AXO_TYPE(t) struct t type_##t

AXO_TYPE(policy_key);
AXO_TYPE(policy_value);
AXO_TYPE(subject_key);
AXO_TYPE(subject_value);
AXO_TYPE(ipcache_key);
AXO_TYPE(ipcache_value);
AXO_TYPE(addr_class_value);
AXO_TYPE(endpoint_key);
AXO_TYPE(endpoint_value);
AXO_TYPE(endpoint_if_key);
AXO_TYPE(endpoint_if_value);
AXO_TYPE(endpoint_netns_key);
AXO_TYPE(endpoint_netns_value);
AXO_TYPE(lb_frontend_key);
AXO_TYPE(lb_frontend_value);
AXO_TYPE(lb_slot_key);
AXO_TYPE(lb_slot_value);
AXO_TYPE(lb_maglev_key);
AXO_TYPE(lb_maglev_value);
AXO_TYPE(lb_source_key);
AXO_TYPE(lb_source_value);
AXO_TYPE(lb_affinity_key);
AXO_TYPE(lb_affinity_value);
AXO_TYPE(lb_sock_key);
AXO_TYPE(lb_sock_value);
AXO_TYPE(nat_value);
AXO_TYPE(l2_announce_key);
AXO_TYPE(l2_announce_value);
AXO_TYPE(node_config);
AXO_TYPE(flow4_key);
AXO_TYPE(flow6_key);
AXO_TYPE(flow_value);
AXO_TYPE(frag_key);
AXO_TYPE(frag_value);
AXO_TYPE(counter_key);
AXO_TYPE(counter_value);
AXO_TYPE(drop_value);
AXO_TYPE(event);

char LICENSE[] SEC("license") = "Dual BSD/GPL";
