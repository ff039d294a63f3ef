// SPDX-License-Identifier: Apache-2.0
// who: which backend answered, and which client did it see. Every answer is `NAME ADDRESS PORT`: the server's name, the peer it talks to.
//   who serve NAME t80 u80 h8080 …   TCP, UDP, HTTP/1.1 on these ports, both families; NAME `-` is the name of the host. SIGTERM: takes
//                                    what has connected, listens no more, ends every HTTP connection with its next answer, ends when
//                                    none is left or after 5 s.
//   who ask                          reads requests from standard input, answers each with one line, ends with its input:
//       ID COUNT                     then COUNT lines `t|u ADDRESS PORT TIMEOUT_MS SOURCE_PORT` (0: any)
//       answer: ID and a word a question: NAME/ADDRESS/PORT, or 0 silence, r refused, u unreachable, e error of its own
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

#define FDS_MAX 16384
#define QUESTIONS_MAX 4096
#define EVENTS 64
#define WORD_MAX 160
#define REQUEST_MAX 2048
#define LINGER_MS 5000
#define WINDOW 64 /* questions at once that expect an answer: those with that much time */
#define PATIENT_MS 2000
#define BURST 32

static int epoll;

static void watch(int fd, uint32_t what, uint32_t tag)
{
	struct epoll_event e = { .events = what, .data.u32 = tag };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
		fail("who: epoll");
}

/* ---- serve ---- */

struct socket {
	char kind; /* l: listens, with kind of what it accepts in `of`; u: datagrams; t, h: connections; 0: closed */
	char of;
	size_t len;
	char *buf;
};

static struct socket sockets[FDS_MAX];
static const char *name;
static char host[64];
static int open_count;
static volatile sig_atomic_t terminated;

static void on_term(int s)
{
	(void)s;
	terminated = 1;
}

static int describe(const struct sockaddr_storage *s, char *out, size_t size)
{
	const struct sockaddr_in *four = (const void *)s;
	const struct sockaddr_in6 *six = (const void *)s;
	char text[INET6_ADDRSTRLEN] = "";
	bool v6 = s->ss_family == AF_INET6;
	inet_ntop(s->ss_family, v6 ? (const void *)&six->sin6_addr : (const void *)&four->sin_addr, text, sizeof(text));
	return snprintf(out, size, "%s %s %u\n", name, text, ntohs(v6 ? six->sin6_port : four->sin_port));
}

static void open_listener(int family, char kind, int port)
{
	struct sockaddr_storage s;
	socklen_t len = address_of(family == AF_INET ? "0.0.0.0" : "::", port, &s);
	int one = 1, fd = socket(family, (kind == 'u' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || fd >= FDS_MAX)
		fail("who: socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family == AF_INET ? IP_PKTINFO : IPV6_RECVPKTINFO, &one, sizeof(one));
	if (bind(fd, (void *)&s, len) || (kind != 'u' && listen(fd, 4096)))
		fail("who: listen");
	sockets[fd] = (struct socket){ .kind = kind == 'u' ? 'u' : 'l', .of = kind };
	watch(fd, EPOLLIN, (uint32_t)fd);
}

/* The answer leaves with the address that was asked: a node has several. */
static void answer_datagram(int fd)
{
	char data[REQUEST_MAX], control[256], out[WORD_MAX];
	struct sockaddr_storage peer;
	struct iovec io = { data, sizeof(data) };
	struct msghdr m = { .msg_name = &peer, .msg_namelen = sizeof(peer), .msg_iov = &io, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	while (recvmsg(fd, &m, MSG_DONTWAIT) >= 0) {
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
			if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
				((struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex = 0;
			if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
				((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_ifindex = 0;
		}
		io = (struct iovec){ out, (size_t)describe(&peer, out, sizeof(out)) };
		(void)!sendmsg(fd, &m, MSG_DONTWAIT);
		io = (struct iovec){ data, sizeof(data) };
		m.msg_namelen = sizeof(peer);
		m.msg_controllen = sizeof(control);
	}
}

static void drop(int fd)
{
	free(sockets[fd].buf);
	sockets[fd] = (struct socket){ 0 };
	close(fd);
	open_count--;
}

static void accept_all(int listener)
{
	int one = 1, fd;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= FDS_MAX) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		sockets[fd] = (struct socket){ .kind = sockets[listener].of, .buf = malloc(REQUEST_MAX) };
		open_count++;
		watch(fd, EPOLLIN, (uint32_t)fd);
	}
}

/* Takes the complete requests at the front of what has been read; false when the connection is over. */
static bool answer_requests(int fd, const char *body, size_t length)
{
	struct socket *s = &sockets[fd];
	for (char *end; s->buf[s->len] = 0, (end = strstr(s->buf, "\r\n\r\n")) != NULL;) {
		char out[WORD_MAX + 256];
		bool last = terminated;
		*end = 0;
		last |= strcasestr(s->buf, "connection: close") != NULL;
		int n = snprintf(out, sizeof(out), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n%s", length,
				 last ? "Connection: close\r\n" : "", body);
		if (send(fd, out, (size_t)n, MSG_NOSIGNAL) != n || last)
			return false;
		s->len -= (size_t)(end + 4 - s->buf);
		memmove(s->buf, end + 4, s->len);
	}
	return s->len < REQUEST_MAX - 1;
}

static void answer_stream(int fd)
{
	struct socket *s = &sockets[fd];
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	char out[WORD_MAX];
	ssize_t n = recv(fd, s->buf + s->len, REQUEST_MAX - 1 - s->len, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || getpeername(fd, (void *)&peer, &len)) {
		drop(fd);
		return;
	}
	int length = describe(&peer, out, sizeof(out));
	if (s->kind == 't') {
		if (send(fd, out, (size_t)length, MSG_NOSIGNAL) != length)
			drop(fd);
		return;
	}
	s->len += (size_t)n;
	if (!answer_requests(fd, out, (size_t)length))
		drop(fd);
}

static void stop_listening(void)
{
	for (int fd = 0; fd < FDS_MAX; fd++) {
		if (sockets[fd].kind != 'l')
			continue;
		accept_all(fd);
		close(fd);
		sockets[fd].kind = 0;
	}
}

static int serve(int argc, char **argv)
{
	double end = 0;
	signal(SIGPIPE, SIG_IGN);
	/* without SA_RESTART: epoll_wait returns */
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_term }, NULL);
	name = argv[0];
	if (!strcmp(name, "-") && gethostname(host, sizeof(host) - 1) == 0)
		name = host;
	for (int i = 1; i < argc; i++)
		for (int f = 0; f < 2; f++)
			open_listener(f ? AF_INET6 : AF_INET, argv[i][0], atoi(argv[i] + 1));
	for (struct epoll_event e[EVENTS];;) {
		int n = epoll_wait(epoll, e, EVENTS, terminated ? 50 : 1000);
		for (int i = 0; i < n; i++) {
			int fd = (int)e[i].data.u32;
			if (sockets[fd].kind == 'l')
				accept_all(fd);
			else if (sockets[fd].kind == 'u')
				answer_datagram(fd);
			else if (sockets[fd].kind != 0)
				answer_stream(fd);
		}
		if (!terminated)
			continue;
		if (end == 0) {
			end = now_ms() + LINGER_MS;
			stop_listening();
		}
		if (open_count == 0 || now_ms() > end)
			return 0;
	}
}

/* ---- ask ---- */

struct question {
	char kind;
	bool done, asked, expects;
	int fd;
	double deadline;
	char word[WORD_MAX];
};

static struct question questions[QUESTIONS_MAX];
/* questions without an answer yet, and those of them that expect one */
static int waiting, expecting;

static void settle(struct question *q, const char *word)
{
	if (q->done)
		return;
	q->done = true;
	waiting--;
	expecting -= q->expects;
	snprintf(q->word, sizeof(q->word), "%s", word);
	if (q->fd < 0)
		return;
	/* a reset: the port is free for the next question */
	if (q->kind == 't')
		setsockopt(q->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	close(q->fd);
	q->fd = -1;
}

static void settle_error(struct question *q, int error)
{
	bool away = error == EHOSTUNREACH || error == ENETUNREACH || error == EACCES || error == EPERM;
	settle(q, error == ECONNREFUSED ? "r" : away ? "u" : error == ETIMEDOUT ? "0" : "e");
}

static void ask_one(uint32_t index, char kind, const char *addr, int port, double timeout, int source_port)
{
	struct question *q = &questions[index];
	struct sockaddr_storage to, own;
	socklen_t len = address_of(addr, port, &to);
	int one = 1;
	*q = (struct question){ .kind = kind, .deadline = now_ms() + timeout, .expects = timeout >= PATIENT_MS };
	waiting++;
	expecting += q->expects;
	q->fd = socket(to.ss_family, (kind == 't' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
	if (q->fd < 0)
		fail("who: socket");
	if (source_port > 0) {
		socklen_t n = address_of(to.ss_family == AF_INET ? "0.0.0.0" : "::", source_port, &own);
		setsockopt(q->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(q->fd, (void *)&own, n)) {
			fprintf(stderr, "who: source port %d: ", source_port);
			fail("bind");
		}
	}
	if (connect(q->fd, (void *)&to, len) && errno != EINPROGRESS)
		settle_error(q, errno);
	else
		watch(q->fd, EPOLLOUT, index);
}

static void step(uint32_t index)
{
	struct question *q = &questions[index];
	char buf[WORD_MAX];
	int error = 0;
	socklen_t len = sizeof(error);
	if (q->done)
		return;
	getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0) {
		settle_error(q, error);
		return;
	}
	if (!q->asked) {
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = index };
		q->asked = true;
		if (send(q->fd, "who", 3, MSG_NOSIGNAL) != 3)
			settle_error(q, errno);
		else if (epoll_ctl(epoll, EPOLL_CTL_MOD, q->fd, &e))
			fail("who: epoll");
		return;
	}
	ssize_t n = recv(q->fd, buf, sizeof(buf) - 1, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 1) {
		settle_error(q, n < 0 ? errno : ECONNRESET);
		return;
	}
	buf[n - 1] = 0;
	for (char *p = buf; *p; p++)
		*p = *p == ' ' ? '/' : *p;
	settle(q, buf);
}

/* Waits for answers or, for at most `patience` ms, for the end of somebody's. */
static void collect(uint32_t count, double patience)
{
	double now = now_ms(), first = now + patience;
	struct epoll_event e[EVENTS];
	for (uint32_t i = 0; i < count; i++)
		if (!questions[i].done && questions[i].deadline < first)
			first = questions[i].deadline;
	int n = epoll_wait(epoll, e, EVENTS, first > now ? (int)(first - now) + 1 : 0);
	/* silence is what has no answer after all answers are read */
	for (uint32_t i = 0; n == 0 && i < count; i++)
		if (questions[i].deadline <= now_ms())
			settle(&questions[i], "0");
	for (int i = 0; i < n; i++)
		step(e[i].data.u32);
}

static int ask(void)
{
	char kind, addr[64];
	unsigned id, count;
	int port, source_port;
	double timeout;
	while (scanf("%u %u", &id, &count) == 2) {
		if (count > QUESTIONS_MAX)
			return 2;
		for (uint32_t i = 0; i < count; i++) {
			if (scanf(" %c %63s %d %lf %d", &kind, addr, &port, &timeout, &source_port) != 5)
				return 2;
			ask_one(i, kind, addr, port, timeout, source_port);
			/* virtual wires hold 256 packets: more at once is nobody's loss but ours */
			if (i % BURST == BURST - 1)
				collect(i + 1, 1);
			while (expecting >= WINDOW)
				collect(i + 1, 1e3);
		}
		while (waiting > 0)
			collect(count, 1e3);
		printf("%u", id);
		for (uint32_t i = 0; i < count; i++)
			printf(" %s", questions[i].word);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (argc >= 4 && !strcmp(argv[1], "serve"))
		return serve(argc - 2, argv + 2);
	if (argc == 2 && !strcmp(argv[1], "ask"))
		return ask();
	fprintf(stderr, "who: see the head of who.c\n");
	return 2;
}
