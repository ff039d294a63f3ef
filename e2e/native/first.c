// SPDX-License-Identifier: Apache-2.0
// first: what a pod's very first packets meet. Sends them at once when it starts, and answers UDP on PORT meanwhile.
//   first PORT ALLOWED4 ALLOWED6 FORBIDDEN4 FORBIDDEN6
// One datagram and one connection to each address; nothing is sent twice. The exit code has a bit for each thing that went wrong:
// 1 UDP4 2 UDP6 4 TCP4 8 TCP6 of what is allowed and had no answer, the same times 16 of what is forbidden and had one.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* below one second, when TCP would send its first segment again */
#define ALLOWED_MS 900
#define FORBIDDEN_MS 300

static int fds[8];
static bool answered[8];

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int send_first(bool tcp, bool six, const char *addr, int port)
{
	struct sockaddr_in s4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 s6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(six ? AF_INET6 : AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
	if (inet_pton(six ? AF_INET6 : AF_INET, addr, six ? (void *)&s6.sin6_addr : (void *)&s4.sin_addr) != 1)
		exit(255);
	int r = six ? connect(fd, (void *)&s6, sizeof(s6)) : connect(fd, (void *)&s4, sizeof(s4));
	if (!tcp && r == 0)
		(void)!send(fd, "first", 5, 0);
	return fd;
}

static bool has_answer(int i)
{
	char b[64];
	int error = 0;
	socklen_t len = sizeof(error);
	struct pollfd p = { .fd = fds[i], .events = i & 2 ? POLLOUT : POLLIN };
	if (answered[i] || poll(&p, 1, 0) <= 0)
		return answered[i];
	getsockopt(fds[i], SOL_SOCKET, SO_ERROR, &error, &len);
	/* a refusal is an answer: the packet arrived */
	bool udp_ok = (i & 2) == 0 && error == 0 && recv(fds[i], b, sizeof(b), 0) > 0;
	return answered[i] = udp_ok || error == ECONNREFUSED || ((i & 2) != 0 && error == 0);
}

static void echo(int fd)
{
	char b[512];
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	for (ssize_t n; (n = recvfrom(fd, b, sizeof(b), MSG_DONTWAIT, (void *)&from, &len)) >= 0; len = sizeof(from))
		(void)!sendto(fd, b, (size_t)n, MSG_DONTWAIT, (void *)&from, len);
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	int code = 0, open = 0, port = argc == 6 ? atoi(argv[1]) : 0;
	double start = now_ms();
	if (argc != 6)
		return 255;
	/* bits 0: IPv6, 1: TCP, 2: forbidden */
	for (int i = 0; i < 8; i++)
		fds[i] = send_first(i & 2, i & 1, argv[2 + (i & 1) + (i & 4) / 2], port);
	int server = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	any.sin6_port = htons((uint16_t)port);
	(void)!bind(server, (void *)&any, sizeof(any));
	for (double t; (t = now_ms() - start) < ALLOWED_MS && (open < 4 || t < FORBIDDEN_MS);) {
		struct pollfd p = { .fd = server, .events = POLLIN };
		poll(&p, 1, 5);
		echo(server);
		open = 0;
		for (int i = 0; i < 8; i++)
			open += has_answer(i) && i < 4;
	}
	for (int i = 0; i < 8; i++)
		if (answered[i] != (i < 4))
			code |= 1 << i;
	return code;
}
