// SPDX-License-Identifier: Apache-2.0
/*
 * Cgroup hooks of every socket below the node's cgroup: connect and sendmsg towards a service address go to one of
 * its backends, recvmsg and getpeername give the service address back. An IPv6 socket that uses a mapped IPv4 address
 * is an IPv4 client: it finds the IPv4 frontends. post_bind keeps programs of the node off the ports of services.
 */
#include "lib/service.h"

inline_always bool is_mapped(const struct bpf_sock_addr *ctx)
{
	return !ctx->user_ip6[0] && !ctx->user_ip6[1] && ctx->user_ip6[2] == bpf_htonl(0xffff);
}

inline_always bool load4(struct bpf_sock_addr *ctx, struct peer *p)
{
	if (!service_proto(ctx->protocol))
		return false;
	*(__be32 *)p->addr = ctx->user_ip4;
	p->port = ctx->user_port;
	p->family = 4;
	p->proto = ctx->protocol;
	return true;
}

inline_always void store4(struct bpf_sock_addr *ctx, const struct peer *p)
{
	ctx->user_ip4 = *(__be32 *)p->addr;
	ctx->user_port = p->port;
}

inline_always bool load6(struct bpf_sock_addr *ctx, struct peer *p)
{
	if (!service_proto(ctx->protocol))
		return false;
	p->port = ctx->user_port;
	p->proto = ctx->protocol;
	if (is_mapped(ctx)) {
		p->family = 4;
		*(__be32 *)p->addr = ctx->user_ip6[3];
		return true;
	}
	p->family = 6;
	for (int i = 0; i < 4; i++)
		((__u32 *)p->addr)[i] = ctx->user_ip6[i];
	return true;
}

inline_always void store6(struct bpf_sock_addr *ctx, const struct peer *p)
{
	const __u32 *addr = (const __u32 *)p->addr;

	ctx->user_port = p->port;
	if (p->family == 4) {
		ctx->user_ip6[3] = addr[0];
		return;
	}
	ctx->user_ip6[0] = addr[0];
	ctx->user_ip6[1] = addr[1];
	ctx->user_ip6[2] = addr[2];
	ctx->user_ip6[3] = addr[3];
}

#define EADDRINUSE_ 98
#define ECONNREFUSED_ 111

/* Fails the call with an errno that says why, instead of EPERM. */
inline_always int refuse(int errno)
{
	bpf_set_retval(-errno);
	return 0;
}

/* Where sockets of pods are left alone, their packets to services are translated one by one. */
inline_always bool is_left_alone(const struct client *c)
{
	const struct node_config *cfg = node();

	return cfg && cfg->flags & AXO_NODE_POD_SERVICES && cfg->netns_cookie && cfg->netns_cookie != c->netns;
}

#define AXO_OUT(name, section, family)                                         \
	SEC(section)                                                           \
	int name(struct bpf_sock_addr *ctx)                                    \
	{                                                                      \
		struct client c = { bpf_get_socket_cookie(ctx), bpf_get_netns_cookie(ctx) }; \
		struct peer p = {};                                            \
		int r;                                                         \
                                                                               \
		if (!load##family(ctx, &p) || is_left_alone(&c))               \
			return 1;                                              \
		r = service_translate(&p, &c);                                 \
		if (r == SERVICE_REFUSED)                                      \
			return refuse(ECONNREFUSED_);                          \
		if (r == SERVICE_CHOSEN)                                       \
			store##family(ctx, &p);                                \
		return 1;                                                      \
	}

#define AXO_BACK(name, section, family)                                        \
	SEC(section)                                                           \
	int name(struct bpf_sock_addr *ctx)                                    \
	{                                                                      \
		struct peer p = {};                                            \
                                                                               \
		if (load##family(ctx, &p) && service_original(&p, bpf_get_socket_cookie(ctx))) \
			store##family(ctx, &p);                                \
		return 1;                                                      \
	}

AXO_OUT(sock_connect4, "cgroup/connect4", 4)
AXO_OUT(sock_connect6, "cgroup/connect6", 6)
AXO_OUT(sock_sendmsg4, "cgroup/sendmsg4", 4)
AXO_OUT(sock_sendmsg6, "cgroup/sendmsg6", 6)
AXO_BACK(sock_recvmsg4, "cgroup/recvmsg4", 4)
AXO_BACK(sock_recvmsg6, "cgroup/recvmsg6", 6)
AXO_BACK(sock_getpeername4, "cgroup/getpeername4", 4)
AXO_BACK(sock_getpeername6, "cgroup/getpeername6", 6)

inline_always int guard_port(struct bpf_sock *ctx, struct peer *p)
{
	if (!service_proto(ctx->protocol))
		return 1;
	p->port = bpf_htons(ctx->src_port);
	p->proto = ctx->protocol;
	return service_owns(p, bpf_get_netns_cookie(ctx)) ? refuse(EADDRINUSE_) : 1;
}

SEC("cgroup/post_bind4")
int sock_post_bind4(struct bpf_sock *ctx)
{
	struct peer p = { .family = 4 };

	*(__be32 *)p.addr = ctx->src_ip4;
	return guard_port(ctx, &p);
}

SEC("cgroup/post_bind6")
int sock_post_bind6(struct bpf_sock *ctx)
{
	struct peer p4 = { .family = 4 }, p6 = { .family = 6 };
	__u32 *a = (__u32 *)p6.addr;
	bool mapped;

	a[0] = ctx->src_ip6[0];
	a[1] = ctx->src_ip6[1];
	a[2] = ctx->src_ip6[2];
	a[3] = ctx->src_ip6[3];
	mapped = !a[0] && !a[1] && a[2] == bpf_htonl(0xffff);
	if (mapped)
		*(__u32 *)p4.addr = a[3];
	else if (!guard_port(ctx, &p6))
		return 0;
	/* whoever listens on every IPv6 address listens on every IPv4 address too, unless he says otherwise */
	return mapped || zero16(p6.addr) ? guard_port(ctx, &p4) : 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
