// SPDX-License-Identifier: Apache-2.0
// Load for the benches: one-byte transactions on one connection (rr) or on a new one each (crr), or new connections alone (cc).
//   rr server ADDRESS PORT              serves until killed, prints "ready"
//   rr client ADDRESS PORT rr|crr|cc SEC   prints transactions per second
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	exit(1);
}

static int tcp_socket(void)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		fail("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void serve(struct sockaddr_in *at)
{
	int one = 1, ep = epoll_create1(0), fd = tcp_socket();
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd }, ready[64];
	char byte;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)at, sizeof(*at)) || listen(fd, 1024))
		fail("listen");
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, ready, 64, -1);

		for (int i = 0; i < n; i++) {
			int c = ready[i].data.fd;

			if (c == fd) {
				c = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
				if (c < 0)
					continue;
				setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				ev.data.fd = c;
				epoll_ctl(ep, EPOLL_CTL_ADD, c, &ev);
			} else if (read(c, &byte, 1) != 1 || write(c, &byte, 1) != 1) {
				close(c);
			}
		}
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void ask(int fd)
{
	char byte = 'x';

	if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
		fail("transaction");
}

/* The server closes its side too: without waiting for that, a client alone on its core would never let it accept. */
static void end(int fd)
{
	char byte;

	if (shutdown(fd, SHUT_WR) || read(fd, &byte, 1))
		fail("end");
}

static int dial(struct sockaddr_in *to)
{
	int fd = tcp_socket();

	if (connect(fd, (void *)to, sizeof(*to)))
		fail("connect");
	return fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	double start, seconds;
	long done = 0;
	int fd;

	if (argc < 4 || inet_pton(AF_INET, argv[2], &a.sin_addr) != 1)
		return 2;
	a.sin_port = htons(atoi(argv[3]));
	if (!strcmp(argv[1], "server"))
		serve(&a);
	if (argc < 6)
		return 2;
	seconds = atof(argv[5]);
	start = now();
	if (!strcmp(argv[4], "rr")) {
		fd = dial(&a);
		for (; (done & 63) || now() - start < seconds; done++)
			ask(fd);
	} else {
		for (; (done & 15) || now() - start < seconds; done++) {
			fd = dial(&a);
			if (strcmp(argv[4], "cc"))
				ask(fd);
			else
				end(fd);
			close(fd);
		}
	}
	printf("%.1f\n", done / (now() - start));
	return 0;
}
