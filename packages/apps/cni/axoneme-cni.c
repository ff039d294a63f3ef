// SPDX-License-Identifier: Apache-2.0
/*
 * The CNI plugin: carries one request from the container runtime to the agent's unix socket and prints the answer. It decides nothing.
 * Request (one line): {"command","containerId","netns","ifname","args","path","conf":<stdin as it came>}
 * Answer (one line): {"result":<text for stdout>} or {"error":{"code","msg","details"}}. VERSION is answered here.
 * The socket is $AXONEME_SOCKET, else /var/run/axoneme/agent.sock.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_DEFAULT "/var/run/axoneme/agent.sock"
#define CONF_MAX (4u << 20)
#define ANSWER_MAX (4u << 20)
#define TIMEOUT_MS 90000
#define CONNECT_RETRY_MS 2000 /* an agent that restarts is back within this time */

/* CNI error codes */
#define ERR_ENVIRONMENT 4
#define ERR_IO 5
#define ERR_DECODE 6
#define ERR_TRY_AGAIN 11

struct text {
	char *at;
	size_t len;
	size_t size;
};

static void text_need(struct text *t, size_t more)
{
	if (t->len + more + 1 <= t->size)
		return;
	t->size = (t->len + more + 1) * 2;
	t->at = realloc(t->at, t->size);
	if (!t->at)
		_exit(1);
}

static void text_add(struct text *t, const char *s, size_t n)
{
	text_need(t, n);
	memcpy(t->at + t->len, s, n);
	t->len += n;
	t->at[t->len] = 0;
}

static void text_puts(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

/* A JSON string, quotes included. */
static void text_json(struct text *t, const char *s)
{
	char esc[8];

	text_puts(t, "\"");
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\') {
			esc[0] = '\\';
			esc[1] = (char)c;
			text_add(t, esc, 2);
		} else if (c < 0x20) {
			snprintf(esc, sizeof(esc), "\\u%04x", c);
			text_puts(t, esc);
		} else {
			text_add(t, s, 1);
		}
	}
	text_puts(t, "\"");
}

static char version[16] = "1.1.0"; /* of the configuration, repeated in errors */

static int fail(int code, const char *msg, const char *fmt, ...)
{
	struct text out = {0};
	char num[32], details[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(details, sizeof(details), fmt, ap);
	va_end(ap);
	text_puts(&out, "{\"cniVersion\":");
	text_json(&out, version);
	snprintf(num, sizeof(num), ",\"code\":%d,\"msg\":", code);
	text_puts(&out, num);
	text_json(&out, msg);
	text_puts(&out, ",\"details\":");
	text_json(&out, details);
	text_puts(&out, "}\n");
	fwrite(out.at, 1, out.len, stdout);
	fflush(stdout);
	return 1;
}

static int read_stdin(struct text *conf)
{
	for (;;) {
		ssize_t n;

		text_need(conf, 65536);
		n = read(0, conf->at + conf->len, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || conf->len + (size_t)n > CONF_MAX)
			return -1;
		if (n == 0)
			break;
		conf->len += (size_t)n;
	}
	conf->at[conf->len] = 0;
	/* one request is one line; a raw newline inside a JSON string would be no JSON */
	for (size_t i = 0; i < conf->len; i++)
		if (conf->at[i] == '\n' || conf->at[i] == '\r')
			conf->at[i] = ' ';
	return 0;
}

/* Value of "cniVersion", for our own answers only; anything odd keeps the default. */
static void find_version(const struct text *conf)
{
	const char *p = strstr(conf->at, "\"cniVersion\"");
	size_t n = 0;

	if (!p)
		return;
	p += strlen("\"cniVersion\"");
	while (*p == ' ' || *p == '\t' || *p == ':')
		p++;
	if (*p++ != '"')
		return;
	while (n < sizeof(version) - 1 && ((p[n] >= '0' && p[n] <= '9') || p[n] == '.'))
		n++;
	if (n == 0 || p[n] != '"')
		return;
	memcpy(version, p, n);
	version[n] = 0;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000L;
}

static int dial(const char *path, long deadline)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(addr.sun_path, path);
	for (;;) {
		struct timespec pause = {.tv_nsec = 50 * 1000000L};
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return -1;
		if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
			return fd;
		int e = errno;
		close(fd);
		if ((e != ENOENT && e != ECONNREFUSED && e != EAGAIN) || now_ms() >= deadline) {
			errno = e;
			return -1;
		}
		nanosleep(&pause, NULL);
	}
}

static int send_all(int fd, const struct text *t)
{
	for (size_t at = 0; at < t->len;) {
		ssize_t n = send(fd, t->at + at, t->len - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

/* Reads one line. 0 = got it, -1 = closed or failed, -2 = too late. */
static int receive_line(int fd, struct text *t, long deadline)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		long left = deadline - now_ms();
		char *eol;
		ssize_t n;

		if (left <= 0)
			return -2;
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		text_need(t, 65536);
		n = recv(fd, t->at + t->len, 65536, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || t->len + (size_t)n > ANSWER_MAX)
			return -1;
		eol = memchr(t->at + t->len, '\n', (size_t)n);
		t->len += (size_t)n;
		t->at[t->len] = 0;
		if (eol) {
			t->len = (size_t)(eol - t->at);
			t->at[t->len] = 0;
			return 0;
		}
	}
}

/* The agent writes {"result":X} or {"error":X} and nothing else; X goes to stdout. */
static int print_answer(const struct text *t)
{
	static const char result[] = "{\"result\":", error[] = "{\"error\":";
	size_t head;
	int rc;

	if (t->len > sizeof(result) && !memcmp(t->at, result, sizeof(result) - 1)) {
		head = sizeof(result) - 1;
		rc = 0;
	} else if (t->len > sizeof(error) && !memcmp(t->at, error, sizeof(error) - 1)) {
		head = sizeof(error) - 1;
		rc = 1;
	} else {
		return fail(ERR_DECODE, "the Axoneme agent answered something unknown", "%.200s", t->at);
	}
	if (t->len - head - 1 != 4 || memcmp(t->at + head, "null", 4)) {
		fwrite(t->at + head, 1, t->len - head - 1, stdout);
		putchar('\n');
	}
	return fflush(stdout) == 0 ? rc : 1;
}

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v ? v : "";
}

int main(void)
{
	static const char *const fields[][2] = {
		{"command", "CNI_COMMAND"}, {"containerId", "CNI_CONTAINERID"}, {"netns", "CNI_NETNS"},
		{"ifname", "CNI_IFNAME"},   {"args", "CNI_ARGS"},               {"path", "CNI_PATH"},
	};
	const char *command = env("CNI_COMMAND");
	const char *path = *env("AXONEME_SOCKET") ? env("AXONEME_SOCKET") : SOCKET_DEFAULT;
	struct text conf = {0}, request = {0}, answer = {0};
	int fd, rc;

	if (!*command)
		return fail(ERR_ENVIRONMENT, "CNI_COMMAND is not set", "this program is started by a container runtime");
	if (read_stdin(&conf))
		return fail(ERR_IO, "cannot read the network configuration", "standard input failed or has more than %u bytes", CONF_MAX);
	find_version(&conf);
	if (!strcmp(command, "VERSION")) {
		printf("{\"cniVersion\":\"%s\",\"supportedVersions\":[\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n", version);
		return 0;
	}
	text_puts(&request, "{");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		text_json(&request, fields[i][0]);
		text_puts(&request, ":");
		text_json(&request, env(fields[i][1]));
		text_puts(&request, ",");
	}
	text_puts(&request, "\"conf\":");
	text_add(&request, conf.len ? conf.at : "null", conf.len ? conf.len : 4);
	text_puts(&request, "}\n");

	fd = dial(path, now_ms() + CONNECT_RETRY_MS);
	/*
	 * A runtime repeats DEL until it succeeds, and without an agent (uninstalled, or not back yet) it never would. The pod's
	 * namespace goes away with or without us; an agent that starts again collects endpoints whose namespace is gone.
	 */
	if (fd < 0 && !strcmp(command, "DEL"))
		return 0;
	if (fd < 0)
		return fail(ERR_TRY_AGAIN, "the Axoneme agent is not running on this node", "connect %s: %s", path, strerror(errno));
	if (send_all(fd, &request))
		return fail(ERR_TRY_AGAIN, "the Axoneme agent did not take the request", "send: %s", strerror(errno));
	rc = receive_line(fd, &answer, now_ms() + TIMEOUT_MS);
	if (rc == -2)
		return fail(ERR_TRY_AGAIN, "the Axoneme agent did not answer in time", "waited %d s", TIMEOUT_MS / 1000);
	if (rc)
		return fail(ERR_TRY_AGAIN, "the Axoneme agent closed the connection", "it may be restarting; %s", path);
	return print_answer(&answer);
}
