// SPDX-License-Identifier: Apache-2.0
/* For tests alone: parts of the datapath that decide nothing, each on a packet of its own. */
#include "lib/common.h"
#include "lib/answer.h"
#include "lib/dsr.h"
#include "lib/sctp.h"

inline_always bool trial_parse(struct __sk_buff *skb, struct packet *p)
{
	__builtin_memset(p, 0, sizeof(*p));
	return !parse_l3(skb, p) && !parse_ports(skb, p);
}

/* mark: 0 = nobody there, otherwise the MTU that is exceeded */
SEC("tc")
int trial_answer(struct __sk_buff *skb)
{
	struct packet p;

	if (!trial_parse(skb, &p))
		return TC_ACT_SHOT;
	return answer_back(skb, &p, skb->mark ? ANSWER_TOO_BIG : ANSWER_UNREACHABLE, skb->mark);
}

/* The destination is what the client knows. */
SEC("tc")
int trial_dsr_add(struct __sk_buff *skb)
{
	struct dsr_front f = {};
	struct packet p;

	if (!trial_parse(skb, &p))
		return TC_ACT_SHOT;
	copy16(f.addr, p.key.daddr);
	f.port = p.key.dport;
	return dsr_add(skb, p.family, &f) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc")
int trial_dsr_remove(struct __sk_buff *skb)
{
	__u32 family = skb->protocol == bpf_htons(ETH_P_IPV6) ? 6 : 4;
	struct dsr_front f = {};

	if (dsr_read(skb, family, &f))
		return TC_ACT_UNSPEC;
	skb->cb[0] = bpf_ntohs(f.port);
	return dsr_remove(skb, family) ? TC_ACT_SHOT : TC_ACT_OK;
}

/* mark: the new port in network order, and 1 << 16 for that of the source */
SEC("tc")
int trial_sctp(struct __sk_buff *skb)
{
	struct packet p;

	if (!trial_parse(skb, &p))
		return TC_ACT_SHOT;
	return sctp_port(skb, p.family, p.l4_off, skb->mark & 0xffff, skb->mark >> 16) ? TC_ACT_SHOT : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
