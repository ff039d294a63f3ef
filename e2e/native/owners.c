// SPDX-License-Identifier: Apache-2.0
// owners: who answers for these addresses on a local network, asked again and again.
//   owners DEVICE PERIOD_MS ADDRESS…   asks by ARP and neighbour solicitation, from an address and a MAC that nobody has: the machine it runs on learns
//                                      nothing. A line for everybody who says that he has one of them, asked or not:
//       MS MAC ADDRESS                 MS: CLOCK_MONOTONIC. Ends with its standard input.
#include <arpa/inet.h>
#include <net/if.h>
#include <net/ethernet.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <unistd.h>

#include "tool.h"

#define ADDRESSES_MAX 16
#define FRAME_MAX 2048
#define ARP_LENGTH 42
#define ND_LENGTH 86

static const uint8_t own_mac[6] = { 0x02, 0xa5, 0x0e, 0x00, 0x00, 0x01 };
/* link-local, with that MAC */
static const uint8_t own6[16] = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x00, 0xa5, 0x0e, 0xff, 0xfe, 0x00, 0x00, 0x01 };

struct asked {
	int family;
	uint8_t addr[16];
	char text[INET6_ADDRSTRLEN];
};

static struct asked all[ADDRESSES_MAX];
static int count;

static int open_device(const char *name)
{
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name) };
	struct packet_mreq promiscuous = { .mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_PROMISC };

	if (fd < 0 || !at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof(at)))
		fail("owners: device");
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)))
		fail("owners: promiscuous");
	return fd;
}

/* A question of nobody in particular (RFC 5227): the sender's address is zero. */
static size_t question4(uint8_t *f, const struct asked *a)
{
	static const uint8_t head[] = { 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1 };

	memset(f, 0, ARP_LENGTH);
	memset(f, 0xff, 6);
	memcpy(f + 6, own_mac, 6);
	memcpy(f + 12, head, sizeof(head));
	memcpy(f + 22, own_mac, 6);
	memcpy(f + 38, a->addr, 4);
	return ARP_LENGTH;
}

static uint32_t sum(const uint8_t *b, size_t n, uint32_t s)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		s += (uint32_t)(b[i] << 8 | b[i + 1]);
	return s;
}

static size_t question6(uint8_t *f, const struct asked *a)
{
	uint8_t *ip = f + 14, *icmp = ip + 40;
	uint32_t s;

	memset(f, 0, ND_LENGTH);
	/* the group of the address: ff02::1:ff00:0 and its last three bytes */
	f[0] = f[1] = 0x33;
	f[2] = 0xff;
	memcpy(f + 3, a->addr + 13, 3);
	memcpy(f + 6, own_mac, 6);
	f[12] = 0x86;
	f[13] = 0xdd;
	ip[0] = 0x60;
	ip[5] = 32;
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = 255;
	memcpy(ip + 8, own6, 16);
	ip[24] = 0xff;
	ip[25] = 0x02;
	ip[35] = 1;
	ip[36] = 0xff;
	memcpy(ip + 37, a->addr + 13, 3);
	icmp[0] = 135;
	memcpy(icmp + 8, a->addr, 16);
	icmp[24] = 1;
	icmp[25] = 1;
	memcpy(icmp + 26, own_mac, 6);
	s = sum(ip + 8, 32, 32 + IPPROTO_ICMPV6);
	s = sum(icmp, 32, s);
	s = (s & 0xffff) + (s >> 16);
	s = ~((s & 0xffff) + (s >> 16));
	icmp[2] = (uint8_t)(s >> 8);
	icmp[3] = (uint8_t)s;
	return ND_LENGTH;
}

static void tell(int family, const uint8_t *addr, const uint8_t *mac)
{
	for (int i = 0; i < count; i++) {
		const struct asked *a = &all[i];

		if (a->family != family || memcmp(a->addr, addr, family == 4 ? 4 : 16))
			continue;
		printf("%.1f %02x:%02x:%02x:%02x:%02x:%02x %s\n", now_ms(), mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], a->text);
		fflush(stdout);
	}
}

/* Answers, and what owners say unasked: in ARP also as a question for the address itself. */
static void read_frame(const uint8_t *f, ssize_t n)
{
	if (n >= ARP_LENGTH && f[12] == 0x08 && f[13] == 0x06) {
		if (f[21] == 2 || (f[21] == 1 && !memcmp(f + 28, f + 38, 4)))
			tell(4, f + 28, f + 22);
		return;
	}
	if (n >= 78 && f[12] == 0x86 && f[13] == 0xdd && f[20] == IPPROTO_ICMPV6 && f[54] == 136)
		tell(6, f + 62, f + 6);
}

int main(int argc, char **argv)
{
	struct sockaddr_ll from;
	socklen_t length;
	uint8_t frame[FRAME_MAX];
	double next = 0;
	int fd, period;

	if (argc < 4 || argc > 3 + ADDRESSES_MAX || (period = atoi(argv[2])) < 1) {
		fprintf(stderr, "owners DEVICE PERIOD_MS ADDRESS...\n");
		return 2;
	}
	fd = open_device(argv[1]);
	for (int i = 3; i < argc; i++) {
		struct asked *a = &all[count++];

		a->family = strchr(argv[i], ':') ? 6 : 4;
		if (inet_pton(a->family == 6 ? AF_INET6 : AF_INET, argv[i], a->addr) != 1)
			fail("owners: address");
		inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->addr, a->text, sizeof(a->text));
	}
	for (;;) {
		struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
		double left = next - now_ms();

		if (left <= 0) {
			for (int i = 0; i < count; i++) {
				size_t n = all[i].family == 6 ? question6(frame, &all[i]) : question4(frame, &all[i]);

				/* a full queue is asked again */
				if (send(fd, frame, n, 0) < 0)
					continue;
			}
			next = now_ms() + period;
			continue;
		}
		if (poll(p, 2, (int)left + 1) < 0)
			fail("owners: poll");
		if (p[1].revents)
			return 0;
		if (!(p[0].revents & POLLIN))
			continue;
		length = sizeof(from);
		ssize_t n = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &length);
		if (n > 0 && from.sll_pkttype != PACKET_OUTGOING)
			read_frame(frame, n);
	}
}
