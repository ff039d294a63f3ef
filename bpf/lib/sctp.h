/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of SCTP under its CRC32c, which covers them, not the addresses. A CRC is linear: what a change of a word does to it depends on
 * the change and on how many bytes follow, not on what they are. So nothing of the payload is read, and a wrong sum stays wrong.
 */
#ifndef AXO_SCTP_H
#define AXO_SCTP_H

#include "common.h"
#include "parse.h"

#define CRC32C_POLY 0x82f63b78u
#define SCTP_CHECKSUM_AT 8

/* Product of two polynomials, modulo CRC-32C's, lowest power in the highest bit. */
proven_alone __u32 crc_multiply(__u32 a, __u32 b)
{
	__u32 product = 0;

	for (int i = 0; i < 32; i++) {
		product ^= b & -(a >> 31);
		a <<= 1;
		b = (b >> 1) ^ (CRC32C_POLY & -(b & 1));
	}
	return product;
}

/* What `bytes` more zeroes make of a register: its product with x^(8 * bytes). Constants: x^8, x^16, x^32, ... */
inline_always __u32 crc_shift(__u32 word, __u32 bytes)
{
	const __u32 powers[16] = {
		0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
		0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
	};

#pragma unroll
	for (int i = 0; i < 16; i++)
		if (bytes & (1u << i))
			word = crc_multiply(word, powers[i]);
	return word;
}

/* Bytes from the ports to the end of the packet; what Ethernet pads is not part of it. 0 = unknown: there are more fragments. */
inline_always __u32 sctp_length(struct __sk_buff *skb, __u32 family, __u32 l4_off)
{
	__u32 head = l4_off - ETH_HEADER, whole;
	__be16 words[4];

	if (bpf_skb_load_bytes(skb, ETH_HEADER, words, sizeof(words)))
		return 0;
	if (family == 6 ? (bpf_ntohs(words[3]) >> 8) == IPPROTO_FRAGMENT : words[3] & bpf_htons(0x3fff))
		return 0;
	whole = family == 6 ? bpf_ntohs(words[2]) + IP6_HEADER : bpf_ntohs(words[1]);
	return whole > head ? whole - head : 0;
}

/*
 * Both ports, as they shall lie in the packet, and the checksum. A sum of zero has yet to be made by a device, or is none (RFC 9653): it stays. In the
 * first of several fragments the rest of the packet has no known length. AXO_OK or a drop reason.
 */
proven_alone int sctp_ports(struct __sk_buff *skb, __u32 family, __u32 l4_off, __u32 ports)
{
	__u32 was, sum, length;

	if (bpf_skb_load_bytes(skb, l4_off, &was, 4) || bpf_skb_load_bytes(skb, l4_off + SCTP_CHECKSUM_AT, &sum, 4))
		return AXO_DROP_TRUNCATED;
	if (was == ports)
		return AXO_OK;
	if (sum) {
		length = sctp_length(skb, family, l4_off);
		if (length < 12)
			return AXO_DROP_FRAG_UNSUPPORTED;
		/* as the register has it, the packet's first byte lowest */
		sum ^= crc_shift(was ^ ports, length);
		if (bpf_skb_store_bytes(skb, l4_off + SCTP_CHECKSUM_AT, &sum, 4, BPF_F_RECOMPUTE_CSUM))
			return AXO_DROP_WRITE_ERROR;
	}
	return bpf_skb_store_bytes(skb, l4_off, &ports, 4, BPF_F_RECOMPUTE_CSUM) ? AXO_DROP_WRITE_ERROR : AXO_OK;
}

/* As sctp_ports(), one of them. */
inline_always int sctp_port(struct __sk_buff *skb, __u32 family, __u32 l4_off, __be16 port, bool source)
{
	__be16 ports[2];

	if (bpf_skb_load_bytes(skb, l4_off, ports, 4))
		return AXO_DROP_TRUNCATED;
	if (source)
		ports[0] = port;
	else
		ports[1] = port;
	return sctp_ports(skb, family, l4_off, *(__u32 *)ports);
}

#endif
