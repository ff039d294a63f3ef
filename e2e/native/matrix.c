// SPDX-License-Identifier: Apache-2.0
// matrix: one end of a table of verdicts. Every pod of the table runs `serve`; `ask` puts many questions to the network at once.
//   matrix serve t80 t81 u80 …    echoes TCP and UDP on these ports, both families; ports in use are left to whoever has them
//   matrix ask [V4 V6]            (with these source addresses) reads requests from standard input, answers each with one line, ends with its input:
//       ID COUNT                  then COUNT lines `t|u|i ADDRESS PORT TIMEOUT_MS` (i: ICMP echo, its port is ignored)
//       answer: ID and a letter a question, in order: 1 answered, 0 silence, r refused, u unreachable, e local error
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

#define QUESTIONS_MAX 4096
#define EVENTS 64
#define ICMP_TAG 0xffffffffu

struct question {
	char kind, result;
	int fd;
	double deadline;
};

static struct question questions[QUESTIONS_MAX];
/* ICMP identifier → question + 1 */
static uint16_t waiting[65536];
static uint16_t next_id;
/* where questions come from; length 0: wherever the route says */
static struct sockaddr_storage source4, source6;
static socklen_t source4_len, source6_len;
static int epoll, icmp4 = -1, icmp6 = -1, open_count;

static void watch(int fd, uint32_t what, uint32_t tag)
{
	struct epoll_event e = { .events = what, .data.u32 = tag };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
		fail("matrix: epoll");
}

/* ---- serve ---- */

static bool listen_on(int family, char kind, int port)
{
	struct sockaddr_storage s;
	socklen_t len = address_of(family == AF_INET ? "0.0.0.0" : "::", port, &s);
	int one = 1, fd = socket(family, (kind == 't' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	if (kind == 't')
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family == AF_INET ? IP_PKTINFO : IPV6_RECVPKTINFO, &one, sizeof(one));
	if (bind(fd, (void *)&s, len) || (kind == 't' && listen(fd, 1024))) {
		close(fd);
		return false;
	}
	watch(fd, EPOLLIN, (uint32_t)fd | (kind == 't' ? 1u << 30 : 1u << 29));
	return true;
}

/* The answer leaves with the address that was asked: a node has several. */
static void echo(int fd)
{
	static uint8_t data[65536];
	uint8_t control[256];
	struct sockaddr_storage from;
	struct iovec io = { data, sizeof(data) };
	struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &io, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
	if (n < 0)
		return;
	io.iov_len = (size_t)n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			((struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex = 0;
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_ifindex = 0;
	}
	(void)!sendmsg(fd, &m, MSG_DONTWAIT);
}

static void echo_stream(int fd)
{
	uint8_t data[4096];
	ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
	if (n > 0)
		n = send(fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		close(fd);
}

_Noreturn static void serve(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		for (int f = 0; f < 2; f++)
			listen_on(f ? AF_INET6 : AF_INET, argv[i][0], atoi(argv[i] + 1));
	for (struct epoll_event e[EVENTS];;) {
		int n = epoll_wait(epoll, e, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			int fd = (int)(e[i].data.u32 & 0xffffff), c;
			if (e[i].data.u32 & 1u << 29) {
				echo(fd);
			} else if (e[i].data.u32 & 1u << 30) {
				while ((c = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0)
					watch(c, EPOLLIN | EPOLLRDHUP, (uint32_t)c);
			} else {
				echo_stream(fd);
			}
		}
	}
}

/* ---- ask ---- */

static void answer(struct question *q, char result)
{
	if (q->result != 0)
		return;
	q->result = result;
	open_count--;
	if (q->fd < 0)
		return;
	/* a reset: no connection of an old question is left */
	if (q->kind == 't')
		setsockopt(q->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	close(q->fd);
	q->fd = -1;
}

static char letter(int error)
{
	if (error == ECONNREFUSED)
		return 'r';
	if (error == EHOSTUNREACH || error == ENETUNREACH || error == EACCES || error == EPERM)
		return 'u';
	/* dropped before it left: as good as silence */
	if (error == ENOBUFS)
		return '0';
	/* reset after it was accepted */
	return error == ECONNRESET || error == 0 ? '1' : 'e';
}

static void bind_source(int fd, bool four)
{
	socklen_t len = four ? source4_len : source6_len;
	if (len > 0 && bind(fd, (void *)(four ? &source4 : &source6), len))
		fail("matrix: source address");
}

static uint16_t sum16(const void *p, size_t n)
{
	uint32_t s = 0;
	for (const uint16_t *w = p; n > 1; n -= 2)
		s += *w++;
	s = (s >> 16) + (s & 0xffff);
	return (uint16_t)~(s + (s >> 16));
}

static void ping(uint32_t index, const struct sockaddr_storage *to, socklen_t len)
{
	bool four = to->ss_family == AF_INET;
	uint16_t id = ++next_id;
	struct icmphdr h = { .type = four ? ICMP_ECHO : ICMP6_ECHO_REQUEST };
	h.un.echo.id = htons(id);
	h.un.echo.sequence = htons(1);
	h.checksum = four ? sum16(&h, sizeof(h)) : 0;
	waiting[id] = (uint16_t)(index + 1);
	questions[index].fd = -1;
	if (sendto(four ? icmp4 : icmp6, &h, sizeof(h), 0, (void *)to, len) < 0)
		answer(&questions[index], letter(errno));
}

static void pongs(int fd, bool four)
{
	uint8_t b[512];
	for (ssize_t n; (n = recv(fd, b, sizeof(b), MSG_DONTWAIT)) > 0;) {
		size_t skip = four ? (size_t)(b[0] & 15) * 4 : 0;
		struct icmphdr *h = (void *)(b + skip);
		if (n < (ssize_t)(skip + sizeof(*h)) || h->type != (four ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY))
			continue;
		uint16_t id = ntohs(h->un.echo.id), index = waiting[id];
		waiting[id] = 0;
		if (index > 0)
			answer(&questions[index - 1], '1');
	}
}

static void ask_one(uint32_t index, char kind, const char *addr, int port, double timeout)
{
	struct question *q = &questions[index];
	struct sockaddr_storage to;
	/* raw sockets of IPv6 take a port for a protocol */
	socklen_t len = address_of(addr, kind == 'i' ? 0 : port, &to);
	*q = (struct question){ .kind = kind, .fd = -1, .deadline = now_ms() + timeout };
	open_count++;
	if (kind == 'i') {
		ping(index, &to, len);
		return;
	}
	q->fd = socket(to.ss_family, (kind == 't' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
	if (q->fd < 0)
		fail("matrix: socket");
	bind_source(q->fd, to.ss_family == AF_INET);
	if (connect(q->fd, (void *)&to, len) && errno != EINPROGRESS)
		answer(q, letter(errno));
	else if (kind == 'u' && send(q->fd, "matrix", 6, 0) < 0)
		answer(q, letter(errno));
	if (q->fd >= 0)
		watch(q->fd, kind == 't' ? EPOLLOUT : EPOLLIN, index);
}

static void settle(uint32_t index)
{
	struct question *q = &questions[index];
	char b[64];
	int error = 0;
	socklen_t len = sizeof(error);
	if (q->result != 0)
		return;
	getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error == 0 && q->kind == 'u' && recv(q->fd, b, sizeof(b), 0) < 0)
		error = errno;
	answer(q, letter(error));
}

static void collect(uint32_t count)
{
	while (open_count > 0) {
		double now = now_ms(), first = now + 1e3;
		for (uint32_t i = 0; i < count; i++)
			if (questions[i].result == 0 && questions[i].deadline < first)
				first = questions[i].deadline;
		struct epoll_event e[EVENTS];
		int n = epoll_wait(epoll, e, EVENTS, first > now ? (int)(first - now) + 1 : 0);
		/* on a busy machine answers wait here longer than anybody's patience: silence is what has none after they are read */
		for (uint32_t i = 0; n == 0 && i < count; i++)
			if (questions[i].result == 0 && questions[i].deadline <= now_ms())
				answer(&questions[i], '0');
		for (int i = 0; i < n; i++) {
			if (e[i].data.u32 != ICMP_TAG) {
				settle(e[i].data.u32);
				continue;
			}
			pongs(icmp4, true);
			pongs(icmp6, false);
		}
	}
}

static int ask(void)
{
	struct icmp6_filter filter;
	char addr[64], kind;
	unsigned id, count;
	int port;
	double timeout;
	srandom((unsigned)(now_ms() * 1e3) ^ (unsigned)getpid());
	next_id = (uint16_t)random();
	icmp4 = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
	icmp6 = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMPV6);
	if (icmp4 < 0 || icmp6 < 0)
		fail("matrix: raw socket");
	bind_source(icmp4, true);
	bind_source(icmp6, false);
	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
	setsockopt(icmp6, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
	watch(icmp4, EPOLLIN, ICMP_TAG);
	watch(icmp6, EPOLLIN, ICMP_TAG);
	while (scanf("%u %u", &id, &count) == 2) {
		memset(waiting, 0, sizeof(waiting));
		if (count > QUESTIONS_MAX)
			return 2;
		for (uint32_t i = 0; i < count; i++) {
			if (scanf(" %c %63s %d %lf", &kind, addr, &port, &timeout) != 4)
				return 2;
			ask_one(i, kind, addr, port, timeout);
		}
		collect(count);
		printf("%u ", id);
		for (uint32_t i = 0; i < count; i++)
			putchar(questions[i].result);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	epoll = epoll_create1(0);
	if (argc >= 3 && !strcmp(argv[1], "serve"))
		serve(argc - 2, argv + 2);
	if (argc == 4) {
		source4_len = address_of(argv[2], 0, &source4);
		source6_len = address_of(argv[3], 0, &source6);
	}
	if ((argc == 2 || argc == 4) && !strcmp(argv[1], "ask"))
		return ask();
	fprintf(stderr, "matrix: see the head of matrix.c\n");
	return 2;
}
