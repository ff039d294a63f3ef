/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy of one subject: layer by layer, exact-hash lookups, as many as the layer's masks say there can be hits.
 * docs/design/policy.md tells the order. A subject with the normal layer alone costs no look-up more than that layer.
 */
#ifndef AXO_POLICY_H
#define AXO_POLICY_H

#include "common.h"
#include "events.h"

#define PLEN_MAX 16

struct verdict {
	__u32 rule_id;
	__u32 shadow_rule; /* where the shadow layers disagree */
	__u8 reason; /* 0 = allowed */
	__u8 audit;  /* allowed only because the subject is audited: the reason there would have been */
	__u8 count;  /* AXO_COUNT_ */
	__u8 shadow; /* AXO_SHADOW_, 0 = not judged */
};

struct best_row {
	__u64 rank; /* precedence, then prefix length, then kind of peer; 0 = none */
	__u32 rule_id;
	__u8 verdict;
	__u8 pad[3];
};

/* What is asked, and the working memory of answering it: the stack has no room for either. The asker fills the first part. */
struct policy_query {
	__u32 subject;
	__u32 peer;
	__u8 addr[16]; /* the peer's */
	__u32 length;
	__be16 port;
	__u8 proto;
	__u8 direction; /* AXO_DIR_ */
	__u8 family;
	__u8 audit;    /* the subject's endpoint is audited */
	__u8 classed; /* peer_class is known; begins as 0 */
	__u8 named;   /* a row that names the peer's identity had a say; begins as 0 */
	/* from here on our own */
	__u32 peer_class; /* 0 = none */
	__u32 judged_as;  /* the subject, or who stands in for it */
	__u32 pad2;
	struct policy_key key;
	struct best_row best;
	struct ipcache_key class_key;
	struct verdict shadow;
	struct counter_key counted;
	struct counter_value first;
};

/*
 * As `slow_memory`. What is proven alone looks it up instead of being handed it: the verifier of Linux 6.1 takes keys from the stack and
 * from values of maps, not from what an argument points to.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct policy_query);
	__uint(max_entries, 1);
} query_memory SEC(".maps");

inline_always struct policy_query *own_query(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&query_memory, &zero);
}

inline_always __u8 egress_bit(const struct policy_query *q)
{
	return q->direction == AXO_DIR_EGRESS ? AXO_DIR_PLEN_EGRESS : 0;
}

proven_alone int count_judgement(__u32 rule_id, __u8 count)
{
	struct policy_query *q = own_query();
	struct counter_value *v;

	if (!q)
		return 0;
	q->counted.subject = q->subject;
	q->counted.peer = q->peer;
	q->counted.rule_id = rule_id;
	q->counted.port = q->port;
	q->counted.proto = q->proto;
	q->counted.dir_verdict = egress_bit(q) | count;
	v = bpf_map_lookup_elem(&counters, &q->counted);
	if (!v) {
		q->first.packets = 1;
		q->first.bytes = q->length;
		/* another CPU may create the row between the two: then it exists now, and this CPU's part is still zero */
		if (!bpf_map_update_elem(&counters, &q->counted, &q->first, BPF_NOEXIST))
			return 0;
		v = bpf_map_lookup_elem(&counters, &q->counted);
	}
	if (v) {
		v->packets++;
		v->bytes += q->length;
	} else {
		count_drop(AXO_INFO_COUNTERS_FULL, q->direction & 1, q->length);
	}
	return 0;
}

/* Of rows that tie, a named identity is stronger than a class of addresses, and both are stronger than everybody. */
inline_always __u32 peer_rank(__u32 peer)
{
	if (!peer)
		return 1;
	return peer >> CLASS_BITS == CLASS_SPACE ? 2 : 3;
}

inline_always void consider(struct policy_query *q, __u32 plen)
{
	struct policy_value *row = bpf_map_lookup_elem(&policy, &q->key);
	__u64 rank;

	if (!row)
		return;
	if (peer_rank(q->key.peer) == 3)
		q->named = 1;
	rank = ((__u64)row->precedence << 8) | (plen << 2) | peer_rank(q->key.peer);
	if (rank <= q->best.rank)
		return;
	q->best.rank = rank;
	q->best.rule_id = row->rule_id;
	q->best.verdict = row->verdict;
}

/* Port ranges: prefixes shorter than a port, as many as the mask names. */
proven_alone int search_ranges(__u32 mask)
{
	struct policy_query *q = own_query();

	if (!q)
		return 0;
	for (__u32 plen = 0; plen < PLEN_MAX && mask; plen++, mask >>= 1) {
		if (!(mask & 1))
			continue;
		q->key.dir_plen = egress_bit(q) | plen;
		q->key.port = q->port & bpf_htons((__u16)(0xffff0000u >> (plen & 31)));
		consider(q, plen);
	}
	return 0;
}

/* All rows that can match, for peer (named or 0) with the given mask. */
inline_always void search(struct policy_query *q, __u32 peer, __u32 mask)
{
	__u8 egress = egress_bit(q);

	q->key.peer = peer;
	if (mask & AXO_MASK_ANY_PROTO) {
		q->key.proto = 0;
		q->key.dir_plen = egress;
		q->key.port = 0;
		consider(q, 0);
	}
	q->key.proto = q->proto;
	/* single ports are the common case */
	if (mask & (1u << PLEN_MAX)) {
		q->key.dir_plen = egress | PLEN_MAX;
		q->key.port = q->port;
		consider(q, PLEN_MAX);
	}
	mask &= (1u << PLEN_MAX) - 1;
	if (mask)
		search_ranges(mask);
}

/* The class of the peer's address, asked once. */
proven_alone int find_class(void)
{
	struct policy_query *q = own_query();
	struct addr_class_value *row;

	if (!q || q->classed)
		return 0;
	q->classed = 1;
	q->peer_class = 0;
	__builtin_memset(&q->class_key, 0, sizeof(q->class_key));
	q->class_key.family = q->family;
	q->class_key.prefixlen = q->family == 6 ? 160 : 64;
	copy16(q->class_key.addr, q->addr);
	row = bpf_map_lookup_elem(&addr_class, &q->class_key);
	if (row)
		q->peer_class = row->class;
	return 0;
}

/* The strongest row of one layer. */
inline_always void search_rows(struct policy_query *q, const struct subject_value *row)
{
	__u32 d = q->direction & 1;

	q->best.rank = 0;
	q->key.handle = row->handle;
	if (row->any_mask[d])
		search(q, 0, row->any_mask[d]);
	if (!row->peer_mask[d])
		return;
	if (q->peer)
		search(q, q->peer, row->peer_mask[d]);
	if (likely(!(row->flags & AXO_SUBJECT_CLASSES)))
		return;
	find_class();
	if (q->peer_class)
		search(q, q->peer_class, row->peer_mask[d]);
}

/* A layer few subjects have. */
proven_alone int search_layer(__u32 layer)
{
	struct policy_query *q = own_query();
	struct subject_key key = { .layer = layer };
	struct subject_value *row;

	if (!q)
		return 0;
	key.identity = q->judged_as;
	q->best.rank = 0;
	row = bpf_map_lookup_elem(&subject, &key);
	if (row)
		search_rows(q, row);
	return 0;
}

/* A row is final. What is no allow blocks, also what this program does not know yet. */
inline_always void settle(const struct policy_query *q, struct verdict *v)
{
	v->rule_id = q->best.rule_id;
	if (q->best.verdict != AXO_VERDICT_ALLOW) {
		v->reason = AXO_DROP_POLICY_DENY;
		v->count = AXO_COUNT_DENY;
	}
}

/* Admin, normal, the node's own reach, default deny, baseline, open. `row` is the normal layer of the three from `base`. */
inline_always void walk(struct policy_query *q, const struct subject_value *row, const __u32 base, struct verdict *v)
{
	bool egress = q->direction == AXO_DIR_EGRESS;

	v->count = AXO_COUNT_ALLOW;
	if (unlikely(row->flags & AXO_SUBJECT_HAS_ADMIN)) {
		search_layer(base + AXO_LAYER_ADMIN);
		if (q->best.rank && q->best.verdict != AXO_VERDICT_PASS)
			return settle(q, v);
	}
	search_rows(q, row);
	if (q->best.rank)
		return settle(q, v);
	if (!egress && q->peer == IDENTITY_HOST)
		return; /* the node reaches its own pods */
	if (row->flags & (egress ? AXO_SUBJECT_DENY_EGRESS : AXO_SUBJECT_DENY_INGRESS)) {
		v->reason = AXO_DROP_POLICY;
		v->rule_id = row->deny_rule[q->direction & 1];
		v->count = AXO_COUNT_DEFAULT_DENY;
		return;
	}
	if (unlikely(row->flags & AXO_SUBJECT_HAS_BASELINE)) {
		search_layer(base + AXO_LAYER_BASELINE);
		if (q->best.rank)
			settle(q, v);
	}
}

/* What the shadow layers would have done; `v` is what the others do. Changes nothing of the packet's fate. */
proven_alone int judge_shadow(struct verdict *v)
{
	struct policy_query *q = own_query();
	struct subject_key key = { .layer = AXO_LAYER_SHADOW_NORMAL };
	struct subject_value *row;
	struct verdict *w;

	if (!q || !v)
		return 0;
	key.identity = q->judged_as;
	row = bpf_map_lookup_elem(&subject, &key);
	if (!row)
		return 0;
	w = &q->shadow;
	__builtin_memset(w, 0, sizeof(*w));
	walk(q, row, AXO_LAYER_SHADOW_NORMAL, w);
	v->shadow = AXO_SHADOW_SAME;
	if (!w->reason == !v->reason)
		return 0;
	v->shadow_rule = w->rule_id;
	v->shadow = AXO_SHADOW_PASS;
	if (w->reason)
		v->shadow = w->reason == AXO_DROP_POLICY ? AXO_SHADOW_DEFAULT_DENY : AXO_SHADOW_DENY;
	return count_judgement(w->rule_id, w->reason ? AXO_COUNT_SHADOW_DROP : AXO_COUNT_SHADOW_ALLOW);
}

inline_always bool node_audits(void)
{
	const struct node_config *cfg = node();

	return cfg && cfg->flags & AXO_NODE_AUDIT;
}

/* Judge and count one direction: own_query() says which. `v` begins as zero. Everything that asks is on the slow path. */
proven_alone int judge(struct verdict *v)
{
	struct policy_query *q = own_query();
	struct subject_value *row;
	struct subject_key key = {};

	if (!q || !v)
		return AXO_DROP_NO_CONFIG;
	key.identity = q->subject;
	row = bpf_map_lookup_elem(&subject, &key);
	if (!row) {
		key.identity = IDENTITY_INIT;
		row = bpf_map_lookup_elem(&subject, &key);
	}
	if (!row) {
		v->reason = AXO_DROP_NO_CONFIG;
		v->count = AXO_COUNT_UNKNOWN;
		goto count;
	}
	q->judged_as = key.identity;
	walk(q, row, AXO_LAYER_NORMAL, v);
	if (unlikely(row->flags & AXO_SUBJECT_HAS_SHADOW))
		judge_shadow(v);
	if (v->reason && (q->audit || row->flags & AXO_SUBJECT_AUDIT || node_audits())) {
		v->audit = v->reason;
		v->reason = 0;
		v->count = AXO_COUNT_AUDIT;
	}
count:
	count_judgement(v->rule_id, v->count);
	return v->reason;
}

#endif
