// SPDX-License-Identifier: Apache-2.0
// demo: the built-in pod programs that answer requests, about 1 MB each. One epoll loop serves HTTP/1.1 (dual stack) and, when asked,
// TCP and UDP echo. Modes: starwars (the death star's API), echo (tells who asked), world (a host outside the cluster).
//   demo --mode starwars|echo|world [--http PORT] [--echo PORT]
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS_MAX 4096
#define REQUEST_MAX 16384
#define LISTENERS_MAX 16

enum kind { HTTP, TCP_ECHO, UDP_ECHO };

struct conn {
	enum kind kind;
	bool used;
	size_t len;
	size_t skip; // body bytes of the current request still to come
	char *buf;
};

struct listener {
	int fd;
	enum kind kind;
};

static struct conn conns[CONNS_MAX];
static struct listener listeners[LISTENERS_MAX];
static int listener_count, ep;
static const char *mode = "echo";
static char host[128];

static void fail(const char *what)
{
	fprintf(stderr, "demo: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		fail("epoll");
}

static int open_socket(int family, int type, int port)
{
	int one = 1, fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_any };
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	int rc = family == AF_INET6 ? bind(fd, (void *)&a6, sizeof(a6)) : bind(fd, (void *)&a4, sizeof(a4));
	if (rc < 0 || (type == SOCK_STREAM && listen(fd, 1024) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

// Two sockets per port, so that IPv4 peers are seen as IPv4.
static void serve(enum kind kind, int port)
{
	int type = kind == UDP_ECHO ? SOCK_DGRAM : SOCK_STREAM, opened = 0;
	int families[] = { AF_INET, AF_INET6 };
	for (int i = 0; i < 2; i++) {
		int fd = open_socket(families[i], type, port);
		if (fd < 0)
			continue;
		if (listener_count == LISTENERS_MAX) {
			errno = ENFILE;
			fail("listeners");
		}
		listeners[listener_count++] = (struct listener){ fd, kind };
		watch(fd);
		opened++;
	}
	if (!opened)
		fail("listen");
}

static void drop(int fd)
{
	free(conns[fd].buf);
	memset(&conns[fd], 0, sizeof(conns[fd]));
	close(fd);
}

static void address(const struct sockaddr_storage *s, char *out, socklen_t size)
{
	const void *p = s->ss_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)s)->sin6_addr
						  : (const void *)&((const struct sockaddr_in *)s)->sin_addr;
	inet_ntop(s->ss_family, p, out, size);
}

static void describe(int fd, const char *method, const char *path, char *out, size_t size)
{
	struct sockaddr_storage peer, local;
	socklen_t len = sizeof(peer), len2 = sizeof(local);
	char from[INET6_ADDRSTRLEN] = "", to[INET6_ADDRSTRLEN] = "";
	if (getpeername(fd, (void *)&peer, &len) == 0)
		address(&peer, from, sizeof(from));
	if (getsockname(fd, (void *)&local, &len2) == 0)
		address(&local, to, sizeof(to));
	snprintf(out, size, "{\"server\":\"%s\",\"client\":\"%s\",\"local\":\"%s\",\"method\":\"%s\",\"path\":\"%s\"}\n", host, from, to,
		 method, path);
}

static int answer_starwars(int fd, const char *method, const char *path, char *body, size_t size)
{
	bool landing = !strcmp(path, "/v1/request-landing"), port = !strcmp(path, "/v1/exhaust-port");
	if (landing && !strcmp(method, "POST")) {
		snprintf(body, size, "Ship landed\n");
		return 200;
	}
	if (port && !strcmp(method, "PUT")) {
		snprintf(body, size, "Panic: deathstar exploded\n");
		return 503;
	}
	if (landing || port) {
		snprintf(body, size, "Method not allowed\n");
		return 405;
	}
	if (!strcmp(path, "/") || !strcmp(path, "/v1") || !strcmp(path, "/v1/")) {
		snprintf(body, size, "{\"name\":\"Death Star\",\"hostname\":\"%s\",\"model\":\"DS-1 Orbital Battle Station\"}\n", host);
		return 200;
	}
	if (!strncmp(path, "/healthz", 8) || !strncmp(path, "/ready", 6)) {
		snprintf(body, size, "ok\n");
		return 200;
	}
	(void)fd;
	snprintf(body, size, "Not found\n");
	return 404;
}

static int answer_echo(int fd, const char *method, const char *path, char *body, size_t size)
{
	int code = 200;
	if (!strncmp(path, "/status/", 8))
		code = atoi(path + 8);
	if (!strcmp(path, "/hostname"))
		snprintf(body, size, "%s\n", host);
	else
		describe(fd, method, path, body, size);
	return code >= 100 && code < 600 ? code : 400;
}

static const char *reason(int code)
{
	switch (code) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 503: return "Service Unavailable";
	}
	return "Status";
}

// Answers one complete request head; returns false when the connection shall end.
static bool answer(int fd, char *head, bool keep)
{
	char method[16], path[1024], body[2048], out[4096];
	if (sscanf(head, "%15s %1023s", method, path) != 2)
		return false;
	int code = !strcmp(mode, "starwars") ? answer_starwars(fd, method, path, body, sizeof(body))
					     : answer_echo(fd, method, path, body, sizeof(body));
	bool json = body[0] == '{';
	int n = snprintf(out, sizeof(out), "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nServer: axoneme-demo\r\n%s\r\n%s", code,
			 reason(code), json ? "application/json" : "text/plain", strlen(body), keep ? "" : "Connection: close\r\n",
			 strcmp(method, "HEAD") ? body : "");
	return send(fd, out, (size_t)n, MSG_NOSIGNAL) == n && keep;
}

static size_t body_length(const char *head)
{
	for (const char *p = head; (p = strstr(p, "\r\n")); p += 2)
		if (!strncasecmp(p + 2, "content-length:", 15))
			return (size_t)strtoul(p + 17, NULL, 10);
	return 0;
}

static bool wants_close(const char *head)
{
	return strcasestr(head, "\r\nconnection: close") != NULL || strstr(head, "HTTP/1.0") != NULL;
}

static void eat(struct conn *c, size_t n)
{
	memmove(c->buf, c->buf + n, c->len - n);
	c->len -= n;
}

static void http_input(int fd)
{
	struct conn *c = &conns[fd];
	ssize_t n = read(fd, c->buf + c->len, REQUEST_MAX - c->len);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			drop(fd);
		return;
	}
	c->len += (size_t)n;
	for (;;) {
		size_t body = c->skip < c->len ? c->skip : c->len;
		eat(c, body);
		c->skip -= body;
		c->buf[c->len] = 0;
		char *end = strstr(c->buf, "\r\n\r\n");
		if (c->skip || !end)
			break;
		end[2] = 0;
		size_t head = (size_t)(end - c->buf) + 4;
		size_t length = body_length(c->buf);
		if (!answer(fd, c->buf, !wants_close(c->buf))) {
			drop(fd);
			return;
		}
		eat(c, head);
		c->skip = length;
	}
	if (c->len == REQUEST_MAX)
		drop(fd);
}

static void tcp_echo(int fd)
{
	char buf[16384];
	ssize_t n = read(fd, buf, sizeof(buf));
	if (n <= 0 || send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
		drop(fd);
}

static void udp_echo(int fd)
{
	char buf[65536];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &len);
	if (n >= 0 && sendto(fd, buf, (size_t)n, 0, (void *)&from, len) < 0)
		fprintf(stderr, "demo: udp: %s\n", strerror(errno));
}

static void accept_all(const struct listener *l)
{
	for (;;) {
		int one = 1, fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		if (fd >= CONNS_MAX || !(conns[fd].buf = malloc(REQUEST_MAX + 1))) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		conns[fd].used = true;
		conns[fd].kind = l->kind;
		watch(fd);
	}
}

static void input(int fd)
{
	for (int i = 0; i < listener_count; i++) {
		if (listeners[i].fd != fd)
			continue;
		if (listeners[i].kind == UDP_ECHO)
			udp_echo(fd);
		else
			accept_all(&listeners[i]);
		return;
	}
	if (!conns[fd].used)
		return;
	if (conns[fd].kind == TCP_ECHO)
		tcp_echo(fd);
	else
		http_input(fd);
}

static void on_term(int sig)
{
	(void)sig;
	_exit(0);
}

int main(int argc, char **argv)
{
	gethostname(host, sizeof(host) - 1);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_term);
	signal(SIGINT, on_term);
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		fail("epoll");
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--mode")) mode = argv[i + 1];
		else if (!strcmp(argv[i], "--http")) serve(HTTP, atoi(argv[i + 1]));
		else if (!strcmp(argv[i], "--echo")) { serve(TCP_ECHO, atoi(argv[i + 1])); serve(UDP_ECHO, atoi(argv[i + 1])); }
		else { fprintf(stderr, "demo: unknown option %s\n", argv[i]); return 2; }
	}
	if (!listener_count)
		serve(HTTP, 80);
	for (;;) {
		struct epoll_event e[64];
		int n = epoll_wait(ep, e, 64, -1);
		if (n < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < n; i++)
			input(e[i].data.fd);
	}
}
