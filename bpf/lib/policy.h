/* SPDX-License-Identifier: Apache-2.0 */
/* Policy of one subject: exact-hash lookups, as many as the subject's masks say there can be hits. */
#ifndef AXO_POLICY_H
#define AXO_POLICY_H

#include "common.h"
#include "events.h"

#define PLEN_MAX 16

struct verdict {
	__u32 rule_id;
	__u8 reason; /* 0 = allowed */
	__u8 audit;  /* allowed only because the subject is audited */
	__u8 count;  /* AXO_COUNT_ */
	__u8 pad;
};

struct policy_query {
	__u32 subject;
	__u32 peer;
	__u8 proto;
	__u8 direction;
	__be16 port;
	__u32 length;
};

struct best_row {
	__u64 rank; /* precedence, then prefix length, then named peer; 0 = none */
	__u32 rule_id;
	__u8 verdict;
	__u8 pad[3];
};

inline_always void consider(const struct policy_key *key, __u32 plen, struct best_row *best)
{
	struct policy_value *row = bpf_map_lookup_elem(&policy, key);
	__u64 rank;

	if (!row)
		return;
	rank = ((__u64)row->precedence << 8) | (plen << 2) | (key->peer ? 2 : 0) | 1;
	if (rank <= best->rank)
		return;
	best->rank = rank;
	best->rule_id = row->rule_id;
	best->verdict = row->verdict;
}

proven_alone int consider_range(struct policy_key *key, __be16 port, __u32 plen, struct best_row *best)
{
	if (!key || !best)
		return 0;
	key->dir_plen = (key->dir_plen & AXO_DIR_PLEN_EGRESS) | plen;
	key->port = port & bpf_htons((__u16)(0xffff0000u >> (plen & 31)));
	consider(key, plen, best);
	return 0;
}

/* Port ranges: prefixes shorter than a port, as many as the mask names. */
proven_alone int search_ranges(struct policy_key *key, __be16 port, __u32 mask, struct best_row *best)
{
	if (!key || !best)
		return 0;
	for (__u32 plen = 0; plen < PLEN_MAX && mask; plen++, mask >>= 1) {
		if (mask & 1)
			consider_range(key, port, plen, best);
	}
	return 0;
}

/* All rows that can match, for peer (named or 0) with the given mask. */
inline_always void search(struct policy_key *key, __be16 port, __u8 proto, __u8 egress, __u32 mask, struct best_row *best)
{
	if (mask & AXO_MASK_ANY_PROTO) {
		key->proto = 0;
		key->dir_plen = egress;
		key->port = 0;
		consider(key, 0, best);
	}
	key->proto = proto;
	key->dir_plen = egress;
	/* single ports are the common case */
	if (mask & (1u << PLEN_MAX)) {
		key->dir_plen = egress | PLEN_MAX;
		key->port = port;
		consider(key, PLEN_MAX, best);
	}
	mask &= (1u << PLEN_MAX) - 1;
	if (mask)
		search_ranges(key, port, mask, best);
}

/* Judge and count one direction. Everything that asks is on the slow path. */
proven_alone int judge(const struct policy_query *q, struct verdict *v)
{
	struct subject_value *subject_row;
	struct policy_key key = {};
	struct best_row best = {};
	struct subject_key sk;
	__u8 egress;
	__u32 d;

	if (!q || !v)
		return AXO_DROP_NO_CONFIG;
	egress = q->direction == AXO_DIR_EGRESS ? AXO_DIR_PLEN_EGRESS : 0;
	d = q->direction & 1;
	sk.identity = q->subject;
	subject_row = bpf_map_lookup_elem(&subject, &sk);
	if (!subject_row) {
		sk.identity = IDENTITY_INIT;
		subject_row = bpf_map_lookup_elem(&subject, &sk);
	}
	if (!subject_row) {
		v->reason = AXO_DROP_NO_CONFIG;
		v->count = AXO_COUNT_UNKNOWN;
		goto count;
	}
	key.handle = subject_row->handle;
	if (subject_row->any_mask[d])
		search(&key, q->port, q->proto, egress, subject_row->any_mask[d], &best);
	key.peer = q->peer;
	if (subject_row->peer_mask[d] && q->peer)
		search(&key, q->port, q->proto, egress, subject_row->peer_mask[d], &best);

	v->rule_id = best.rule_id;
	v->count = AXO_COUNT_ALLOW;
	if (best.rank) {
		if (best.verdict == AXO_VERDICT_DENY) {
			v->reason = AXO_DROP_POLICY_DENY;
			v->count = AXO_COUNT_DENY;
		}
	} else if (!egress && q->peer == IDENTITY_HOST) {
		/* the node reaches its own pods */
	} else if (subject_row->flags & (egress ? AXO_SUBJECT_DENY_EGRESS : AXO_SUBJECT_DENY_INGRESS)) {
		v->reason = AXO_DROP_POLICY;
		v->rule_id = subject_row->deny_rule[d];
		v->count = AXO_COUNT_DEFAULT_DENY;
	}
	if (v->reason && subject_row->flags & AXO_SUBJECT_AUDIT) {
		v->reason = 0;
		v->audit = 1;
		v->count = AXO_COUNT_AUDIT;
	}
count:
	count_judgement(q->subject, q->peer, v->rule_id, q->port, q->proto, egress | v->count, q->length);
	return v->reason;
}

#endif
