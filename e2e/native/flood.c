// SPDX-License-Identifier: Apache-2.0
// flood: steady traffic with exact counts, for tests that kill things while packets flow. Ends after SECONDS or on SIGTERM/SIGINT
// and prints one JSON line; times of the first and last answer are Unix milliseconds, 0 = never.
// Says `sending` and, with the first answer, `answered` on standard error. SECONDS 0: until standard input ends.
//   (a sixth argument is the address to send from)
//   flood udp     ADDR PORT RATE SECONDS   datagrams to an echo server; counts echoes and the longest gap
//   flood tcp     ADDR PORT RATE SECONDS   one connection, one byte back and forth; counts round trips and resets
//   flood connect ADDR PORT RATE SECONDS   a new connection each time, one byte back and forth
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 1000
#define DRAIN_MS 500

static struct addrinfo *source;
static volatile sig_atomic_t stopping;
static uint64_t sent, received, failed;
static double gap_max_ms, first_ok_ms, last_ok_ms; /* 0 = never */

static void on_signal(int s)
{
	(void)s;
	stopping = 1;
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void ok(void)
{
	double t = now_ms();
	if (last_ok_ms > 0 && t - last_ok_ms > gap_max_ms)
		gap_max_ms = t - last_ok_ms;
	if (first_ok_ms == 0) {
		first_ok_ms = t;
		fprintf(stderr, "answered\n");
	}
	last_ok_ms = t;
	received++;
}

static void sleep_until(double t)
{
	double left = t - now_ms();
	if (left > 0)
		usleep((useconds_t)(left * 1000));
}

static int wait_for(int fd, short what, double timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = what };
	return poll(&p, 1, timeout_ms < 0 ? 0 : (int)timeout_ms);
}

static void drain_udp(int fd)
{
	char buf[64];
	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		ok();
}

static int open_to(struct addrinfo *a, int type)
{
	int fd = socket(a->ai_family, type | SOCK_NONBLOCK, 0);
	int one = 1;
	if (fd < 0)
		return -1;
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (source != NULL && bind(fd, source->ai_addr, source->ai_addrlen) != 0) {
		close(fd);
		return -1;
	}
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return fd;
	int err = errno;
	socklen_t len = sizeof(err);
	if (err == EINPROGRESS && wait_for(fd, POLLOUT, CONNECT_TIMEOUT_MS) == 1 &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == 0)
		return fd;
	close(fd);
	return -1;
}

static int round_trip(int fd, double timeout_ms)
{
	char c = 'x';
	if (send(fd, &c, 1, MSG_NOSIGNAL) != 1)
		return -1;
	if (wait_for(fd, POLLIN, timeout_ms) != 1)
		return -2;
	return recv(fd, &c, 1, 0) == 1 ? 0 : -1;
}

/* Whoever holds standard input has let go of it. */
static int released(void)
{
	char c;
	return wait_for(0, POLLIN, 0) == 1 && read(0, &c, 1) <= 0;
}

static void run(const char *kind, struct addrinfo *a, double rate, double seconds)
{
	double start = now_ms(), step = 1000.0 / rate, next = start;
	int udp = !strcmp(kind, "udp"), each = !strcmp(kind, "connect");
	int fd = each ? -1 : open_to(a, udp ? SOCK_DGRAM : SOCK_STREAM);
	char payload[32] = "flood";
	if (!each && fd < 0)
		failed++;
	fprintf(stderr, "sending\n");
	while (!stopping && (seconds > 0 ? now_ms() - start < seconds * 1000 : !released())) {
		sleep_until(next);
		next += step;
		if (next < now_ms() - 1000)
			next = now_ms();
		if (udp) {
			if (send(fd, payload, sizeof(payload), MSG_NOSIGNAL) == (ssize_t)sizeof(payload))
				sent++;
			else
				failed++;
			drain_udp(fd);
			continue;
		}
		if (each)
			fd = open_to(a, SOCK_STREAM);
		sent++;
		if (fd < 0) {
			failed++;
			if (!each)
				break;
			continue;
		}
		if (round_trip(fd, each ? 2000 : 10000) == 0)
			ok();
		else
			failed++;
		if (each)
			close(fd);
	}
	if (udp) {
		double end = now_ms() + DRAIN_MS;
		while (received < sent && now_ms() < end) {
			wait_for(fd, POLLIN, 20);
			drain_udp(fd);
		}
	}
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { 0 }, *a;
	if (argc != 6 && argc != 7) {
		fprintf(stderr, "usage: flood udp|tcp|connect ADDR PORT RATE SECONDS [SOURCE]\n");
		return 2;
	}
	hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
	hints.ai_socktype = !strcmp(argv[1], "udp") ? SOCK_DGRAM : SOCK_STREAM;
	if (argc == 7 && getaddrinfo(argv[6], "0", &hints, &source) != 0) {
		fprintf(stderr, "flood: %s is no address\n", argv[6]);
		return 2;
	}
	if (getaddrinfo(argv[2], argv[3], &hints, &a) != 0) {
		fprintf(stderr, "flood: %s port %s is no address\n", argv[2], argv[3]);
		return 2;
	}
	struct timespec wall;
	clock_gettime(CLOCK_REALTIME, &wall);
	double to_wall = wall.tv_sec * 1e3 + wall.tv_nsec / 1e6 - now_ms();
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	run(argv[1], a, atof(argv[4]), atof(argv[5]));
	printf("{\"kind\":\"%s\",\"sent\":%llu,\"received\":%llu,\"failed\":%llu,\"gapMaxMs\":%.1f,\"firstOkUnixMs\":%.0f,\"lastOkUnixMs\":%.0f}\n",
	       argv[1], (unsigned long long)sent, (unsigned long long)received, (unsigned long long)failed, gap_max_ms,
	       first_ok_ms == 0 ? 0 : first_ok_ms + to_wall, last_ok_ms == 0 ? 0 : last_ok_ms + to_wall);
	return 0;
}
