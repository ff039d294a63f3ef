// SPDX-License-Identifier: Apache-2.0
// forward LISTEN_PORT HOST PORT: relays TCP connections, one process each. The sandbox puts it into a node's namespace, so that a foreign
// API server finds a kubelet on the node's address.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "forward: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool copy(int from, int to)
{
	static char buf[65536];
	ssize_t n = read(from, buf, sizeof(buf));
	if (n <= 0)
		return false;
	for (ssize_t off = 0, w; off < n; off += w)
		if ((w = write(to, buf + off, (size_t)(n - off))) <= 0)
			exit(0);
	return true;
}

static void relay(int a, int b)
{
	struct pollfd p[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
	while (p[0].fd >= 0 || p[1].fd >= 0) {
		if (poll(p, 2, -1) < 0)
			exit(1);
		for (int i = 0; i < 2; i++) {
			if (p[i].fd < 0 || !(p[i].revents & (POLLIN | POLLHUP | POLLERR)) || copy(i ? b : a, i ? a : b))
				continue;
			shutdown(i ? a : b, SHUT_WR);
			p[i].fd = -1;
		}
	}
	exit(0);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	int one = 1, off = 0, l = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(argv[1])), .sin6_addr = in6addr_any };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3])) };
	if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1)
		return 2;
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (l < 0 || bind(l, (void *)&at, sizeof(at)) < 0 || listen(l, 128) < 0)
		fail("listen");
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int c = accept(l, NULL, NULL);
		if (c < 0)
			continue;
		if (fork() == 0) {
			int s = socket(AF_INET, SOCK_STREAM, 0);
			close(l);
			if (s < 0 || connect(s, (void *)&to, sizeof(to)) < 0)
				exit(1);
			relay(c, s);
		}
		close(c);
	}
}
