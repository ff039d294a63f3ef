/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the kernel: exact counters, and samples through the ring. */
#ifndef AXO_EVENTS_H
#define AXO_EVENTS_H

#include "common.h"
#include "parse.h"

inline_always void count_drop(__u32 reason, __u32 direction, __u32 length)
{
	__u32 index = (reason & 0xff) * 2 + (direction & 1);
	struct drop_value *v = bpf_map_lookup_elem(&drops, &index);

	if (!v)
		return;
	v->packets++;
	v->bytes += length;
}

/* Everything of an event that the packet itself does not say. */
struct story {
	__u32 src_identity;
	__u32 dst_identity;
	__u32 rule_id[2];
	__u32 shadow_rule[2];
	__u32 ifindex;
	__u16 src_endpoint;
	__u16 dst_endpoint;
	__be16 nat_port;
	__u8 type;
	__u8 reason;
	__u8 direction;
	__u8 hook;
	__u8 flags;
	__u8 next_hop;
	__u8 shadow[2];
	__u8 pad[2];
};

inline_always bool sampled_out(__u32 one_of)
{
	return one_of > 1 && bpf_get_prandom_u32() % one_of;
}

proven_alone int emit(const struct packet *p, const struct story *s)
{
	const struct node_config *cfg = node();
	__u32 zero = 0;
	__u64 *lost, wake, now;
	struct event *e;

	if (!p || !s || !cfg || cfg->flags & AXO_NODE_NO_EVENTS)
		return 0;
	if (sampled_out(s->type == AXO_EVENT_DROP ? cfg->drop_sample : cfg->event_sample))
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		lost = bpf_map_lookup_elem(&events_lost, &zero);
		if (lost)
			(*lost)++;
		return 0;
	}
	now = bpf_ktime_get_ns();
	e->time_ns = now;
	copy16(e->saddr, p->key.saddr);
	copy16(e->daddr, p->key.daddr);
	e->sport = p->key.sport;
	e->dport = p->key.dport;
	e->proto = p->key.proto;
	e->family = p->family;
	e->type = s->type;
	e->reason = s->reason;
	e->src_identity = s->src_identity;
	e->dst_identity = s->dst_identity;
	e->rule_id[0] = s->rule_id[0];
	e->rule_id[1] = s->rule_id[1];
	e->ifindex = s->ifindex;
	e->length = p->length;
	e->src_endpoint = s->src_endpoint;
	e->dst_endpoint = s->dst_endpoint;
	e->direction = s->direction;
	e->hook = s->hook;
	e->flags = s->flags;
	e->tcp_flags = p->tcp_flags;
	e->icmp_type = p->icmp_type;
	e->icmp_code = p->icmp_code;
	e->next_hop = s->next_hop;
	e->pad = 0;
	e->nat_port = s->nat_port;
	e->shadow[0] = s->shadow[0];
	e->shadow[1] = s->shadow[1];
	e->shadow_rule[0] = s->shadow_rule[0];
	e->shadow_rule[1] = s->shadow_rule[1];
	/* The reader comes by itself while it is busy. Past a quarter it is called; the last bits of the clock make that
	 * a question for one event in 64, because asking costs as much as the event.
	 */
	wake = BPF_RB_NO_WAKEUP;
	if (!(now & 63) && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 4)
		wake = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(e, wake);
	return 0;
}

#endif
