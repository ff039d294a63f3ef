/* SPDX-License-Identifier: Apache-2.0 */
/* What every program needs: kernel headers, byte order, verdicts between our own functions. */
#ifndef AXO_COMMON_H
#define AXO_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drops.h"
#include "maps.h"
#include "structs.h"

#define inline_always static __attribute__((always_inline)) inline
#define call_only static __attribute__((noinline))
/* A global function: the verifier proves it once, alone, whatever its callers know. Pointers are checked for NULL. */
#define proven_alone __attribute__((noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Results of our steps. Drop reasons (130-255) share the space; TC actions never appear below the entry points. */
#define AXO_OK 0
#define AXO_NEED_SLOW -1
#define AXO_PASS -2    /* not ours: up the stack */
#define AXO_NO_FLOW -4    /* AXO_NEED_SLOW, and a look-up is not worth repeating */
#define AXO_IGNORE -3  /* swallowed without an event */
#define AXO_AGAIN -5   /* the packet is another one now: begin again */

#define GSO_BY_FRAGS 0xffff /* in place of a length: every piece has its own, and nobody tells us */
#define ETH_HEADER 14
#define IP4_HEADER 20
#define IP6_HEADER 40

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

#define IDENTITY_HOST 1
#define IDENTITY_WORLD 2
#define IDENTITY_INIT 5
#define IDENTITY_REMOTE_NODE 6
#define IDENTITY_APISERVER 7
#define IDENTITY_WORLD4 9
#define IDENTITY_WORLD6 10
#define IDENTITY_UNLISTED 99
#define IDENTITY_POD_MIN 256
#define IDENTITY_CIDR 0x01000000u
#define CLASS_BITS 24 /* peers whose upper bits are 2 are address classes */
#define CLASS_SPACE 2

/* Set on packets our programs have judged, for our programs on the next device. Scrubbed when a packet changes netns. */
#define AXO_MARK 0x0a50e000u

inline_always const struct node_config *node(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&node_config, &zero);
}

inline_always __u32 current_generation(void)
{
	__u32 zero = 0;
	__u32 *g = bpf_map_lookup_elem(&generation, &zero);

	return g ? *(volatile __u32 *)g : 0;
}

struct addr16 {
	__u32 word[4];
};

/* Addresses are compared and copied as words; all our structs align them to 4. */
inline_always bool same16(const void *a, const void *b)
{
	const __u32 *x = a, *y = b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

inline_always void copy16(void *to, const void *from)
{
	__u32 *x = to;
	const __u32 *y = from;

	x[0] = y[0];
	x[1] = y[1];
	x[2] = y[2];
	x[3] = y[3];
}

inline_always bool zero16(const void *a)
{
	const __u32 *x = a;

	return !(x[0] | x[1] | x[2] | x[3]);
}

#endif
