// SPDX-License-Identifier: Apache-2.0
/* What every tool of this directory begins with: the clock, the end, addresses from text. */
#ifndef AXO_TOOL_H
#define AXO_TOOL_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static inline double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static inline void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* `text` is an IPv4 or IPv6 address; anything else ends the tool. */
static inline socklen_t address_of(const char *text, int port, struct sockaddr_storage *s)
{
	struct sockaddr_in *four = (void *)s;
	struct sockaddr_in6 *six = (void *)s;
	memset(s, 0, sizeof(*s));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)port);
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1) {
		fprintf(stderr, "%s is not an address\n", text);
		exit(2);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons((uint16_t)port);
	return sizeof(*six);
}

#endif
