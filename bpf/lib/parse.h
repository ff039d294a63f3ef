/* SPDX-License-Identifier: Apache-2.0 */
/* From packet to 5-tuple, for the slow path: every header length, extension headers, fragments, ICMP. */
#ifndef AXO_PARSE_H
#define AXO_PARSE_H

#include "common.h"

#define EXT_HEADERS_MAX 6

#define FRAG_FIRST 1
#define FRAG_LATER 2

struct packet {
	struct flow6_key key; /* IPv4 in the first four bytes of each address */
	__u32 l4_off;         /* from the Ethernet header */
	__u32 length;
	__u32 frag_id;
	__u8 family;
	__u8 ttl;
	__u8 frag;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 icmp_error;  /* carries a packet at l4_off + 8 */
	__u8 plain;       /* parsed by parse_plain(): TCP or UDP, whole */
};

struct l4_head {
	__be16 sport; /* ICMP: type, code */
	__be16 dport;
	__be16 id;    /* ICMP echo; UDP length; TCP sequence */
	__be16 seq;
};

inline_always bool icmp4_is_error(__u8 type)
{
	return type == 3 || type == 11 || type == 12;
}

inline_always bool icmp6_is_error(__u8 type)
{
	return type >= 1 && type <= 4;
}

/* Ports into the key. ICMP: echo id twice; anything else type and code. */
proven_alone int parse_l4(struct __sk_buff *skb, struct packet *p, __u32 off)
{
	struct l4_head h = {};
	__u8 proto;

	if (!p)
		return AXO_DROP_INVALID_PACKET;
	proto = p->key.proto;
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP && proto != IPPROTO_SCTP && proto != IPPROTO_ICMP &&
	    proto != IPPROTO_ICMPV6)
		return AXO_DROP_UNKNOWN_PROTO;
	if (bpf_skb_load_bytes(skb, off, &h, sizeof(h)))
		return AXO_DROP_TRUNCATED;
	if (proto == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, off + 13, &p->tcp_flags, 1))
			return AXO_DROP_TRUNCATED;
	} else if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) {
		__u8 type = bpf_ntohs(h.sport) >> 8;
		bool v6 = proto == IPPROTO_ICMPV6;

		p->icmp_type = type;
		p->icmp_code = bpf_ntohs(h.sport) & 0xff;
		if (v6 ? icmp6_is_error(type) : icmp4_is_error(type))
			p->icmp_error = 1;
		if (type == (v6 ? 128 : 8) || type == (v6 ? 129 : 0)) {
			p->key.kind = type == (v6 ? 129 : 0) ? AXO_KIND_REPLY : 0;
			h.sport = h.dport = h.id;
		} else {
			p->key.kind = AXO_KIND_OTHER;
			h.dport = h.sport;
		}
	}
	p->key.sport = h.sport;
	p->key.dport = h.dport;
	return AXO_OK;
}

/* Later fragments have no ports: the first one leaves them in `frag`. */
proven_alone int parse_fragment(struct packet *p)
{
	struct frag_value *known, fresh = {};
	struct frag_key fk = {};
	bool icmp;

	if (!p)
		return AXO_DROP_INVALID_PACKET;
	icmp = p->key.proto == IPPROTO_ICMP || p->key.proto == IPPROTO_ICMPV6;
	fk.id = p->frag_id;
	fk.proto = p->key.proto;
	fk.family = p->family;
	copy16(fk.saddr, p->key.saddr);
	copy16(fk.daddr, p->key.daddr);
	if (p->frag == FRAG_FIRST) {
		fresh.sport = p->key.sport;
		fresh.dport = icmp ? p->key.kind : p->key.dport;
		bpf_map_update_elem(&frag, &fk, &fresh, BPF_ANY);
		return AXO_OK;
	}
	known = bpf_map_lookup_elem(&frag, &fk);
	if (!known)
		return AXO_DROP_FRAG_NOT_FOUND;
	p->key.sport = known->sport;
	p->key.dport = icmp ? known->sport : known->dport;
	p->key.kind = icmp ? known->dport : 0;
	return AXO_OK;
}

proven_alone int parse4(struct __sk_buff *skb, struct packet *p, __u32 off)
{
	struct iphdr ip;

	if (!p || bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)))
		return AXO_DROP_TRUNCATED;
	if (ip.version != 4 || ip.ihl < 5)
		return AXO_DROP_INVALID_PACKET;
	p->family = 4;
	p->ttl = ip.ttl;
	*(__be32 *)p->key.saddr = ip.saddr;
	*(__be32 *)p->key.daddr = ip.daddr;
	p->key.proto = ip.protocol;
	p->l4_off = off + ip.ihl * 4;
	if (ip.frag_off & bpf_htons(0x3fff)) {
		p->frag = ip.frag_off & bpf_htons(0x1fff) ? FRAG_LATER : FRAG_FIRST;
		p->frag_id = ip.id;
	}
	return AXO_OK;
}

proven_alone int parse6(struct __sk_buff *skb, struct packet *p, __u32 off)
{
	struct ipv6hdr ip;
	__u8 next, head[8];

	if (!p || bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)))
		return AXO_DROP_TRUNCATED;
	if (ip.version != 6)
		return AXO_DROP_INVALID_PACKET;
	p->family = 6;
	p->ttl = ip.hop_limit;
	copy16(p->key.saddr, &ip.saddr);
	copy16(p->key.daddr, &ip.daddr);
	next = ip.nexthdr;
	off += sizeof(ip);
	for (int i = 0; i < EXT_HEADERS_MAX; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH)
			goto done;
		if (bpf_skb_load_bytes(skb, off, head, sizeof(head)))
			return AXO_DROP_TRUNCATED;
		if (next == IPPROTO_FRAGMENT) {
			__be16 where = *(__be16 *)(head + 2);

			/* an atomic fragment (offset 0, no more) is a whole packet */
			if (where & bpf_htons(0xfff9)) {
				p->frag = where & bpf_htons(0xfff8) ? FRAG_LATER : FRAG_FIRST;
				__builtin_memcpy(&p->frag_id, head + 4, 4);
			}
			off += 8;
		} else if (next == IPPROTO_AH) {
			off += (head[1] + 2) * 4;
		} else {
			off += (head[1] + 1) * 8;
		}
		next = head[0];
		/* what follows a later fragment's header is payload */
		if (p->frag == FRAG_LATER)
			goto done;
	}
	return AXO_DROP_EXT_HEADER;
done:
	p->key.proto = next;
	p->l4_off = off;
	return AXO_OK;
}

/* Both return AXO_OK or a drop reason. Addresses first: multicast noise is sorted out before its protocol matters. */
inline_always int parse_l3(struct __sk_buff *skb, struct packet *p)
{
	p->length = skb->len;
	return skb->protocol == bpf_htons(ETH_P_IP) ? parse4(skb, p, ETH_HEADER) : parse6(skb, p, ETH_HEADER);
}

inline_always int parse_ports(struct __sk_buff *skb, struct packet *p)
{
	if (p->frag != FRAG_LATER) {
		int r = parse_l4(skb, p, p->l4_off);

		if (r)
			return r;
	}
	return p->frag ? parse_fragment(p) : AXO_OK;
}

inline_always void reverse_key(struct flow6_key *to, const struct flow6_key *from)
{
	copy16(to->saddr, from->daddr);
	copy16(to->daddr, from->saddr);
	to->sport = from->dport;
	to->dport = from->sport;
	to->proto = from->proto;
	to->kind = from->kind;
	if ((from->proto == IPPROTO_ICMP || from->proto == IPPROTO_ICMPV6) && from->kind != AXO_KIND_OTHER)
		to->kind ^= AXO_KIND_REPLY;
	to->pad[0] = to->pad[1] = 0;
}

inline_always bool is_multicast(const struct packet *p)
{
	if (p->family == 6)
		return p->key.daddr[0] == 0xff;
	return (p->key.daddr[0] & 0xf0) == 0xe0 || *(__be32 *)p->key.daddr == 0xffffffff;
}

#endif
