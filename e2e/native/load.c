// SPDX-License-Identifier: Apache-2.0
// load: steady HTTP requests with exact counts, for tests that replace servers while clients ask. Every request is answered or failed.
//   load NEW KEPT CONNS TARGET…   NEW requests a second on connections of their own, KEPT a second over CONNS connections that are kept,
//                                 until standard input ends
//   TARGET: ADDR,PORT or ADDR,PORT,HEALTHPORT: connections go to the targets in turns, as by a balancer in front of nodes; with a health
//           port only while `GET /healthz` there says 200 (asked five times a second)
// Says `steady` on standard error with the hundredth answer. Prints one JSON line: counts, failures by reason and, by server (the first
// word of the answer), answers and the Unix milliseconds of the last connection opened to it and of its last answer.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
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

#define CONNS_MAX 4096
#define TARGETS_MAX 8
#define SERVERS_MAX 128
#define ANSWER_MAX 1024
#define TIMEOUT_MS 5000
#define HEALTH_EVERY_MS 200
#define HEALTH_TIMEOUT_MS 1000
#define STEADY 100
#define EVENTS 128

enum use { FREE, NEW, KEPT, HEALTH };
enum state { CLOSED, CONNECTING, ASKED, IDLE };
enum reason { REFUSED, RESET, TIMEOUT, NO_TARGET, BAD_ANSWER, OTHER, REASONS };
static const char *const reasons[REASONS] = { "refused", "reset", "timeout", "noTarget", "badAnswer", "other" };

struct target {
	struct sockaddr_storage at, health_at;
	socklen_t len;
	char text[64];
	bool checked, healthy, checking;
	double next_check;
};

struct conn {
	enum use use;
	enum state state;
	int fd, target;
	double opened, deadline, due;
	uint32_t generation;
	size_t len;
	char buf[ANSWER_MAX];
};

struct server {
	char name[64];
	uint64_t answers;
	double last_opened, last_answer;
};

static struct conn conns[CONNS_MAX];
static struct target targets[TARGETS_MAX];
static struct server servers[SERVERS_MAX];
static int epoll, target_count, server_count, turn;
static uint64_t sent, answered, failed[REASONS], fresh, kept, reopened;
static double slowest, to_wall;

static void read_target(char *text)
{
	struct target *t = &targets[target_count++];
	char *addr = strtok(text, ","), *port = strtok(NULL, ","), *health = strtok(NULL, ",");
	if (!addr || !port || target_count > TARGETS_MAX) {
		fprintf(stderr, "load: ADDR,PORT[,HEALTHPORT]\n");
		exit(2);
	}
	t->len = address_of(addr, atoi(port), &t->at);
	snprintf(t->text, sizeof(t->text), t->at.ss_family == AF_INET6 ? "[%s]" : "%s", addr);
	t->checked = health != NULL;
	t->healthy = !t->checked;
	if (health)
		address_of(addr, atoi(health), &t->health_at);
}

static void close_conn(struct conn *c)
{
	close(c->fd);
	c->state = CLOSED;
	c->generation++;
	if (c->use != KEPT)
		c->use = FREE;
}

static enum reason reason_of(int error)
{
	switch (error) {
	case ECONNREFUSED: return REFUSED;
	case 0: case ECONNRESET: case EPIPE: return RESET;
	case ETIMEDOUT: return TIMEOUT;
	}
	return OTHER;
}

/* The request that is on this connection gets no answer. */
static void give_up(struct conn *c, enum reason r)
{
	struct target *t = &targets[c->target];
	if (c->use == HEALTH)
		t->checking = t->healthy = false;
	else
		failed[r]++;
	close_conn(c);
}

static void set_events(struct conn *c, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u32 = (uint32_t)(c - conns) };
	if (epoll_ctl(epoll, op, c->fd, &e))
		fail("load: epoll");
}

static void ask(struct conn *c)
{
	char out[256];
	const char *path = c->use == HEALTH ? "/healthz" : "/";
	int n = snprintf(out, sizeof(out), "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, targets[c->target].text,
			 c->use == KEPT ? "" : "Connection: close\r\n");
	c->state = ASKED;
	c->len = 0;
	if (send(c->fd, out, (size_t)n, MSG_NOSIGNAL) != n)
		give_up(c, reason_of(errno));
	else
		set_events(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void open_conn(struct conn *c, int target)
{
	struct target *t = &targets[target];
	int one = 1;
	c->target = target;
	c->state = CONNECTING;
	c->opened = now_ms();
	c->deadline = c->opened + (c->use == HEALTH ? HEALTH_TIMEOUT_MS : TIMEOUT_MS);
	c->fd = socket(t->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		fail("load: socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	set_events(c, EPOLL_CTL_ADD, EPOLLOUT);
	if (connect(c->fd, (void *)(c->use == HEALTH ? &t->health_at : &t->at), t->len) && errno != EINPROGRESS)
		give_up(c, reason_of(errno));
}

static int next_target(void)
{
	for (int i = 0; i < target_count; i++) {
		int at = turn++ % target_count;
		if (targets[at].healthy)
			return at;
	}
	return -1;
}

static struct conn *free_conn(enum use use)
{
	for (int i = 0; i < CONNS_MAX; i++) {
		if (conns[i].use != FREE)
			continue;
		conns[i].use = use;
		return &conns[i];
	}
	return NULL;
}

static struct server *server_of(const char *name, size_t len)
{
	for (int i = 0; i < server_count; i++)
		if (strlen(servers[i].name) == len && !strncmp(servers[i].name, name, len))
			return &servers[i];
	if (server_count == SERVERS_MAX || len >= sizeof(servers[0].name))
		return NULL;
	memcpy(servers[server_count].name, name, len);
	return &servers[server_count++];
}

/* A whole answer is in the buffer: 1, more must come: 0, it is none: -1. */
static int parse(struct conn *c, char **body, bool *closing)
{
	c->buf[c->len] = 0;
	char *end = strstr(c->buf, "\r\n\r\n");
	if (!end)
		return c->len < ANSWER_MAX - 1 ? 0 : -1;
	char *length = strcasestr(c->buf, "content-length:");
	if (strncmp(c->buf, "HTTP/1.1 200", 12) || !length || length > end)
		return -1;
	*body = end + 4;
	*closing = strcasestr(c->buf, "connection: close") != NULL;
	return (size_t)(c->buf + c->len - *body) >= strtoul(length + 15, NULL, 10);
}

static void take_answer(struct conn *c)
{
	char *body = NULL;
	bool closing = false;
	int whole = parse(c, &body, &closing);
	double now = now_ms();
	if (whole < 0)
		give_up(c, BAD_ANSWER);
	if (whole <= 0)
		return;
	struct server *s = server_of(body, strcspn(body, " \n"));
	if (s) {
		s->answers++;
		s->last_answer = now;
		if (c->opened > s->last_opened)
			s->last_opened = c->opened;
	}
	if (now - c->deadline + TIMEOUT_MS > slowest)
		slowest = now - c->deadline + TIMEOUT_MS;
	if (++answered == STEADY)
		fprintf(stderr, "steady\n");
	c->state = IDLE;
	if (c->use != KEPT || closing)
		close_conn(c);
}

static void take_health(struct conn *c)
{
	struct target *t = &targets[c->target];
	c->buf[c->len] = 0;
	if (!strchr(c->buf, '\n'))
		return;
	t->healthy = !strncmp(c->buf, "HTTP/1.1 200", 12);
	t->checking = false;
	close_conn(c);
}

static void step(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (c->state == CLOSED)
		return;
	if (c->state == CONNECTING) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error)
			give_up(c, reason_of(error));
		else
			ask(c);
		return;
	}
	ssize_t n = recv(c->fd, c->buf + c->len, ANSWER_MAX - 1 - c->len, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 && c->state == IDLE) {
		/* the server may end what nobody uses */
		close_conn(c);
		return;
	}
	if (n <= 0) {
		give_up(c, n < 0 ? reason_of(errno) : RESET);
		return;
	}
	c->len += (size_t)n;
	if (c->use == HEALTH)
		take_health(c);
	else
		take_answer(c);
}

static void start_new(void)
{
	int target = next_target();
	struct conn *c = target < 0 ? NULL : free_conn(NEW);
	sent++;
	fresh++;
	if (c)
		open_conn(c, target);
	else
		failed[target < 0 ? NO_TARGET : OTHER]++;
}

/* One request on a connection that is kept; one that is still waiting for its answer is left alone. */
static bool start_kept(struct conn *c)
{
	if (c->state == CONNECTING || c->state == ASKED)
		return false;
	sent++;
	kept++;
	if (c->state == IDLE) {
		c->deadline = now_ms() + TIMEOUT_MS;
		ask(c);
		return true;
	}
	int target = next_target();
	reopened++;
	if (target < 0)
		failed[NO_TARGET]++;
	else
		open_conn(c, target);
	return true;
}

static void check_health(double now)
{
	for (int i = 0; i < target_count; i++) {
		struct target *t = &targets[i];
		if (!t->checked || t->checking || now < t->next_check)
			continue;
		struct conn *c = free_conn(HEALTH);
		t->next_check = now + HEALTH_EVERY_MS;
		t->checking = c != NULL;
		if (c) {
			c->len = 0;
			open_conn(c, i);
		}
	}
}

static void expire(double now)
{
	for (int i = 0; i < CONNS_MAX; i++)
		if (conns[i].use != FREE && (conns[i].state == CONNECTING || conns[i].state == ASKED) && conns[i].deadline < now)
			give_up(&conns[i], TIMEOUT);
}

static bool released(void)
{
	struct pollfd p = { .fd = 0, .events = POLLIN };
	char c;
	return poll(&p, 1, 0) == 1 && read(0, &c, 1) <= 0;
}

static bool in_flight(void)
{
	for (int i = 0; i < CONNS_MAX; i++)
		if ((conns[i].use == NEW || conns[i].use == KEPT) && (conns[i].state == CONNECTING || conns[i].state == ASKED))
			return true;
	return false;
}

static void poll_events(double until)
{
	struct epoll_event e[EVENTS];
	uint32_t generation[EVENTS];
	double left = until - now_ms();
	int n = epoll_wait(epoll, e, EVENTS, left > 1 ? (int)left : left > 0 ? 1 : 0);
	for (int i = 0; i < n; i++)
		generation[i] = conns[e[i].data.u32].generation;
	/* an event of a connection that another event has ended says nothing about the next one in its place */
	for (int i = 0; i < n; i++)
		if (conns[e[i].data.u32].generation == generation[i])
			step(&conns[e[i].data.u32]);
}

static void run(double new_rate, double kept_rate, int kept_count)
{
	struct conn *pool = conns;
	double start = now_ms(), next_new = start, next_kept = start, next_look = start;
	int at = 0;
	bool ready = false;
	for (int i = 0; i < kept_count; i++)
		pool[i].use = KEPT;
	for (bool stop = false; !stop || in_flight();) {
		double now = now_ms();
		for (int i = 0; !ready && i < target_count; i++)
			ready = targets[i].healthy;
		if (now >= next_look) {
			check_health(now);
			expire(now);
			stop |= released();
			next_look = now + 20;
		}
		if (!ready) {
			next_new = next_kept = now;
		} else if (!stop) {
			for (; new_rate > 0 && next_new <= now; next_new += 1e3 / new_rate)
				start_new();
			for (int tries = 0; kept_rate > 0 && next_kept <= now && tries < kept_count; tries++)
				if (start_kept(&pool[at++ % kept_count]))
					next_kept += 1e3 / kept_rate;
			/* all of them wait: the time that passes is not made up for */
			if (next_kept < now - 100)
				next_kept = now;
		}
		double first = next_new < next_kept ? next_new : next_kept;
		poll_events(!stop && ready && new_rate > 0 && first < next_look ? first : next_look);
	}
}

int main(int argc, char **argv)
{
	struct timespec wall;
	uint64_t lost = 0;
	if (argc < 5 || atoi(argv[3]) > CONNS_MAX / 2) {
		fprintf(stderr, "load: see the head of load.c\n");
		return 2;
	}
	epoll = epoll_create1(EPOLL_CLOEXEC);
	clock_gettime(CLOCK_REALTIME, &wall);
	to_wall = wall.tv_sec * 1e3 + wall.tv_nsec / 1e6 - now_ms();
	for (int i = 4; i < argc; i++)
		read_target(argv[i]);
	double start = now_ms();
	run(atof(argv[1]), atof(argv[2]), atoi(argv[3]));
	double seconds = (now_ms() - start) / 1e3;
	printf("{\"sent\":%llu,\"answered\":%llu,\"fresh\":%llu,\"kept\":%llu,\"reopened\":%llu,\"seconds\":%.2f,\"slowestMs\":%.1f,\"failures\":{",
	       (unsigned long long)sent, (unsigned long long)answered, (unsigned long long)fresh, (unsigned long long)kept,
	       (unsigned long long)reopened, seconds, slowest);
	for (int i = 0; i < REASONS; i++) {
		lost += failed[i];
		printf("%s\"%s\":%llu", i ? "," : "", reasons[i], (unsigned long long)failed[i]);
	}
	printf("},\"failed\":%llu,\"servers\":[", (unsigned long long)lost);
	for (int i = 0; i < server_count; i++)
		printf("%s{\"name\":\"%s\",\"answers\":%llu,\"lastOpenedMs\":%.0f,\"lastAnswerMs\":%.0f}", i ? "," : "", servers[i].name,
		       (unsigned long long)servers[i].answers, servers[i].last_opened + to_wall, servers[i].last_answer + to_wall);
	printf("]}\n");
	return 0;
}
