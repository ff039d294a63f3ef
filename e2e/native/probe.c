// SPDX-License-Identifier: Apache-2.0
// probe: one question to the network, one JSON line as the answer, for tests of protocols and sizes.
//   probe serve PORT SECONDS       TCP on PORT: reads to the end, answers with the number and the sum of the bytes
//   probe bulk ADDR PORT BYTES     sends that much to `serve` and compares its answer
//   probe give PORT SECONDS        TCP on PORT: reads a number of eight bytes, sends that many bytes
//   probe take ADDR PORT BYTES     asks `give` for that much and compares it
//   probe udp ADDR PORT SIZE N     N datagrams to an echo server, one at a time, contents compared
//   probe watch ADDR PORT RATE S   datagrams to an echo server; first and last echo as milliseconds of the wall clock, 0 = none
//   probe sctp-serve SECONDS       answers INIT chunks of SCTP on raw sockets (the kernel need not know SCTP)
//   probe sctp ADDR PORT           sends an INIT and waits for the answer
//   probe spoof FROM ADDR PORT N   N datagrams with another source address
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PROTO_SCTP 132
#define INIT 1
#define INIT_ACK 2
#define CHUNK (1 << 16)

struct target {
	struct sockaddr_storage addr;
	socklen_t len;
	int family;
};

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int die(const char *what)
{
	printf("{\"ok\":false,\"error\":\"%s: %s\"}\n", what, strerrorname_np(errno));
	exit(0);
}

static struct target target_of(const char *text, int port)
{
	struct target t = { 0 };
	struct sockaddr_in *four = (void *)&t.addr;
	struct sockaddr_in6 *six = (void *)&t.addr;
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		t.family = four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)port);
		t.len = sizeof(*four);
	} else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
		t.family = six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		t.len = sizeof(*six);
	} else {
		fprintf(stderr, "probe: %s is not an address\n", text);
		exit(2);
	}
	return t;
}

// Bytes of a stream are a function of their position, so that a lost, doubled or shifted piece shows.
static void fill(uint8_t *p, size_t n, uint64_t at)
{
	for (size_t i = 0; i < n; i++, at++)
		p[i] = (uint8_t)((at * 2654435761u) >> 13);
}

static uint64_t sum(uint64_t h, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 1099511628211u;
	return h;
}

static bool readable(int fd, double until)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	double left = until - now_ms();
	return left > 0 && poll(&p, 1, (int)left) > 0;
}

static void take_all(int fd)
{
	static uint8_t buf[CHUNK];
	uint64_t answer[2] = { 0, 14695981039346656037u };
	ssize_t n;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		answer[0] += (uint64_t)n;
		answer[1] = sum(answer[1], buf, (size_t)n);
	}
	if (write(fd, answer, sizeof(answer)) < 0)
		perror("probe: answer");
	close(fd);
}

static bool send_all(int fd, const uint8_t *p, size_t n)
{
	for (ssize_t w; n > 0; p += w, n -= (size_t)w)
		if ((w = send(fd, p, n, MSG_NOSIGNAL)) <= 0)
			return false;
	return true;
}

static void give_all(int fd)
{
	static uint8_t buf[CHUNK];
	uint64_t bytes;
	if (recv(fd, &bytes, sizeof(bytes), MSG_WAITALL) == sizeof(bytes)) {
		for (uint64_t at = 0; at < bytes;) {
			size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;
			fill(buf, n, at);
			if (!send_all(fd, buf, n))
				break;
			at += n;
		}
	}
	close(fd);
}

/** Both families, one connection at a time. */
static int serve(int port, double seconds, void (*one_connection)(int))
{
	double until = now_ms() + seconds * 1e3;
	struct target any = target_of("::", port);
	int one = 1, fd = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)&any.addr, any.len) || listen(fd, 16))
		return die("listen");
	while (readable(fd, until))
		one_connection(accept(fd, NULL, NULL));
	return 0;
}

static int take(const char *addr, int port, uint64_t bytes)
{
	static uint8_t wanted[CHUNK], got[CHUNK];
	struct target t = target_of(addr, port);
	double started = now_ms();
	uint64_t at = 0;
	int fd = socket(t.family, SOCK_STREAM, 0);
	struct timeval patience = { .tv_sec = 10 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (void *)&t.addr, t.len))
		return die("connect");
	if (!send_all(fd, (void *)&bytes, sizeof(bytes)))
		return die("send");
	for (ssize_t n; (n = recv(fd, got, CHUNK, 0)) > 0; at += (uint64_t)n) {
		fill(wanted, (size_t)n, at);
		if (memcmp(got, wanted, (size_t)n))
			break;
	}
	printf("{\"ok\":%s,\"bytes\":%llu,\"ms\":%.0f}\n", at == bytes ? "true" : "false", (unsigned long long)at, now_ms() - started);
	return 0;
}

static int bulk(const char *addr, int port, uint64_t bytes)
{
	static uint8_t buf[CHUNK];
	struct target t = target_of(addr, port);
	uint64_t hash = 14695981039346656037u, answer[2] = { 0, 0 };
	double started = now_ms();
	int fd = socket(t.family, SOCK_STREAM, 0);
	struct timeval patience = { .tv_sec = 20 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (void *)&t.addr, t.len))
		return die("connect");
	for (uint64_t at = 0; at < bytes;) {
		size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;
		fill(buf, n, at);
		hash = sum(hash, buf, n);
		if (!send_all(fd, buf, n))
			return die("send");
		at += n;
	}
	shutdown(fd, SHUT_WR);
	if (recv(fd, answer, sizeof(answer), MSG_WAITALL) != sizeof(answer))
		return die("answer");
	printf("{\"ok\":%s,\"bytes\":%llu,\"ms\":%.0f}\n", answer[0] == bytes && answer[1] == hash ? "true" : "false",
	       (unsigned long long)answer[0], now_ms() - started);
	return 0;
}

static int udp(const char *addr, int port, size_t size, int count)
{
	static uint8_t out[65536], in[65536];
	struct target t = target_of(addr, port);
	int received = 0, fd = socket(t.family, SOCK_DGRAM, 0);
	if (size > sizeof(out) || connect(fd, (void *)&t.addr, t.len))
		return die("connect");
	for (int i = 0; i < count; i++) {
		fill(out, size, (uint64_t)i * size);
		if (send(fd, out, size, 0) < 0)
			return die("send");
		if (!readable(fd, now_ms() + 1000))
			continue;
		ssize_t n = recv(fd, in, sizeof(in), 0);
		if (n < 0)
			return die("recv");
		received += (size_t)n == size && memcmp(in, out, size) == 0;
	}
	printf("{\"ok\":%s,\"received\":%d}\n", received == count ? "true" : "false", received);
	return 0;
}

static double wall_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int watch(const char *addr, int port, int rate, double seconds)
{
	struct target t = target_of(addr, port);
	double until = now_ms() + seconds * 1e3, next = now_ms(), first = 0, last = 0;
	int sent = 0, received = 0, fd = socket(t.family, SOCK_DGRAM, 0);
	if (connect(fd, (void *)&t.addr, t.len))
		return die("connect");
	for (uint64_t mark; now_ms() < until; next += 1e3 / rate) {
		// the clock at sending travels along: an echo that is late says nothing about now
		double at = wall_ms();
		memcpy(&mark, &at, sizeof(mark));
		sent += send(fd, &mark, sizeof(mark), 0) > 0;
		while (readable(fd, next)) {
			if (recv(fd, &mark, sizeof(mark), 0) != sizeof(mark))
				continue;
			memcpy(&at, &mark, sizeof(at));
			received++;
			last = at > last ? at : last;
			first = first == 0 || at < first ? at : first;
		}
	}
	printf("{\"ok\":true,\"sent\":%d,\"received\":%d,\"firstMs\":%.1f,\"lastMs\":%.1f}\n", sent, received, first, last);
	return 0;
}

struct sctp {
	uint16_t source, destination;
	uint32_t tag, checksum;
	uint8_t type, flags;
	uint16_t length;
	uint32_t init_tag, window;
	uint16_t out, in;
	uint32_t tsn;
};

static uint32_t crc32c(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;
	while (n--) {
		c ^= *p++;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
	}
	return ~c;
}

static struct sctp init_chunk(uint8_t type, uint16_t source, uint16_t destination, uint32_t tag)
{
	struct sctp s = { .source = source, .destination = destination, .tag = tag, .type = type, .length = htons(20),
			  .init_tag = htonl(0x1234), .window = htonl(65536), .out = htons(1), .in = htons(1), .tsn = htonl(1) };
	s.checksum = crc32c((void *)&s, sizeof(s));
	return s;
}

/** Reads one SCTP packet from a raw socket; IPv4 comes with its header, IPv6 without. */
static bool read_sctp(int fd, int family, struct sctp *s, struct target *from)
{
	uint8_t buf[2048];
	from->len = sizeof(from->addr);
	ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (void *)&from->addr, &from->len);
	size_t skip = family == AF_INET && n > 0 ? (size_t)(buf[0] & 15) * 4 : 0;
	if (n < (ssize_t)(skip + sizeof(*s)))
		return false;
	memcpy(s, buf + skip, sizeof(*s));
	return true;
}

static int sctp_serve(double seconds)
{
	double until = now_ms() + seconds * 1e3;
	const int families[2] = { AF_INET, AF_INET6 };
	struct pollfd p[2];
	for (int i = 0; i < 2; i++) {
		p[i] = (struct pollfd){ .fd = socket(families[i], SOCK_RAW, PROTO_SCTP), .events = POLLIN };
		if (p[i].fd < 0)
			return die("raw socket");
	}
	for (double left; (left = until - now_ms()) > 0;) {
		if (poll(p, 2, (int)left + 1) <= 0)
			continue;
		for (int i = 0; i < 2; i++) {
			struct sctp s;
			struct target from;
			if (!(p[i].revents & POLLIN) || !read_sctp(p[i].fd, families[i], &s, &from) || s.type != INIT)
				continue;
			struct sctp a = init_chunk(INIT_ACK, s.destination, s.source, s.init_tag);
			if (families[i] == AF_INET6)
				((struct sockaddr_in6 *)&from.addr)->sin6_port = 0;
			if (sendto(p[i].fd, &a, sizeof(a), 0, (void *)&from.addr, from.len) < 0)
				perror("probe: INIT ACK");
		}
	}
	return 0;
}

static int sctp(const char *addr, int port)
{
	struct target t = target_of(addr, 0), from;
	int fd = socket(t.family, SOCK_RAW, PROTO_SCTP);
	uint16_t source = htons((uint16_t)(20000 + getpid() % 20000));
	struct sctp s = init_chunk(INIT, source, htons((uint16_t)port), 0), a;
	double until = now_ms() + 1000;
	if (fd < 0 || sendto(fd, &s, sizeof(s), 0, (void *)&t.addr, t.len) < 0)
		return die("send");
	while (readable(fd, until)) {
		if (read_sctp(fd, t.family, &a, &from) && a.type == INIT_ACK && a.destination == source && a.source == s.destination) {
			puts("{\"ok\":true}");
			return 0;
		}
	}
	puts("{\"ok\":false,\"error\":\"timeout\"}");
	return 0;
}

static int spoof(const char *source, const char *addr, int port, int count)
{
	uint8_t packet[64] = { 0 };
	struct target s = target_of(source, 0), t = target_of(addr, 0);
	struct udphdr u = { .source = htons(4242), .dest = htons((uint16_t)port), .len = htons(sizeof(u)) };
	size_t head;
	if (t.family == AF_INET) {
		struct iphdr h = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .tot_len = htons(sizeof(h) + sizeof(u)) };
		memcpy(&h.saddr, &((struct sockaddr_in *)&s.addr)->sin_addr, 4);
		memcpy(&h.daddr, &((struct sockaddr_in *)&t.addr)->sin_addr, 4);
		memcpy(packet, &h, head = sizeof(h));
	} else {
		struct ip6_hdr h = { .ip6_src = ((struct sockaddr_in6 *)&s.addr)->sin6_addr, .ip6_dst = ((struct sockaddr_in6 *)&t.addr)->sin6_addr };
		h.ip6_flow = htonl(6u << 28);
		h.ip6_plen = htons(sizeof(u));
		h.ip6_nxt = IPPROTO_UDP;
		h.ip6_hlim = 64;
		// the checksum is wrong on purpose: nobody is to read this
		u.check = 1;
		memcpy(packet, &h, head = sizeof(h));
	}
	memcpy(packet + head, &u, sizeof(u));
	int fd = socket(t.family, SOCK_RAW, IPPROTO_RAW);
	for (int i = 0; i < count; i++)
		if (fd < 0 || sendto(fd, packet, head + sizeof(u), 0, (void *)&t.addr, t.len) < 0)
			return die("send");
	puts("{\"ok\":true}");
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	if (!strcmp(mode, "serve") && argc == 4)
		return serve(atoi(argv[2]), atof(argv[3]), take_all);
	if (!strcmp(mode, "give") && argc == 4)
		return serve(atoi(argv[2]), atof(argv[3]), give_all);
	if (!strcmp(mode, "take") && argc == 5)
		return take(argv[2], atoi(argv[3]), strtoull(argv[4], NULL, 10));
	if (!strcmp(mode, "bulk") && argc == 5)
		return bulk(argv[2], atoi(argv[3]), strtoull(argv[4], NULL, 10));
	if (!strcmp(mode, "udp") && argc == 6)
		return udp(argv[2], atoi(argv[3]), (size_t)atoi(argv[4]), atoi(argv[5]));
	if (!strcmp(mode, "watch") && argc == 6)
		return watch(argv[2], atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
	if (!strcmp(mode, "sctp-serve") && argc == 3)
		return sctp_serve(atof(argv[2]));
	if (!strcmp(mode, "sctp") && argc == 4)
		return sctp(argv[2], atoi(argv[3]));
	if (!strcmp(mode, "spoof") && argc == 6)
		return spoof(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]));
	fprintf(stderr, "probe: see the head of probe.c\n");
	return 2;
}
