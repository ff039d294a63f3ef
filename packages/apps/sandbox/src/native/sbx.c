// SPDX-License-Identifier: Apache-2.0
// sbx: one step after the other, then exec. The sandbox composes nodes, pods, exec sessions and probes from these steps, because a
// multi-threaded runtime cannot enter mount namespaces itself. Steps come from argv or, as `@file`, NUL-separated from a file.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_STEP 125
#define LINKS_MAX 40

static const char *step = "start";

static void die(const char *what)
{
	fprintf(stderr, "sbx: %s %s: %s\n", step, what, strerror(errno));
	exit(EXIT_STEP);
}

static void write_file(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
	if (fd < 0)
		die(path);
	size_t len = strlen(text);
	if (write(fd, text, len) != (ssize_t)len)
		die(path);
	close(fd);
}

static void join_one(const char *path, int type)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, type) < 0)
		die(path);
	close(fd);
}

static int ns_flag(char c)
{
	switch (c) {
	case 'n': return CLONE_NEWNET;
	case 'm': return CLONE_NEWNS;
	case 'u': return CLONE_NEWUTS;
	case 'i': return CLONE_NEWIPC;
	}
	errno = EINVAL;
	die("namespace letter");
	return 0;
}

// Opens all handles before the first switch: /proc looks the same everywhere, but a mount namespace may be gone from view.
static void join_pid(const char *pid, const char *letters)
{
	int fd[8], type[8], n = 0;
	char path[64];
	for (const char *c = letters; *c && n < 8; c++) {
		const char *name = *c == 'n' ? "net" : *c == 'm' ? "mnt" : *c == 'u' ? "uts" : "ipc";
		type[n] = ns_flag(*c);
		snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, name);
		fd[n] = open(path, O_RDONLY | O_CLOEXEC);
		if (fd[n++] < 0)
			die(path);
	}
	for (int i = 0; i < n; i++) {
		if (setns(fd[i], type[i]) < 0)
			die(pid);
		close(fd[i]);
	}
}

static void make_dirs(const char *path, mode_t mode)
{
	char buf[PATH_MAX];
	snprintf(buf, sizeof(buf), "%s", path);
	for (char *p = buf + 1;; p++) {
		if (*p != '/' && *p != 0)
			continue;
		char saved = *p;
		*p = 0;
		struct stat st;
		if (mkdir(buf, mode) < 0 && !(stat(buf, &st) == 0 && S_ISDIR(st.st_mode)))
			die(buf);
		*p = saved;
		if (saved == 0)
			return;
	}
}

// Follows symlinks as a process whose root is `root` would; the tail may not exist yet. Result in `out` starts with root.
static void resolve_in(const char *root, const char *path, char out[PATH_MAX])
{
	char todo[PATH_MAX * 2], cur[PATH_MAX] = "", link[PATH_MAX];
	int links = 0;
	snprintf(todo, sizeof(todo), "%s", path);
	while (todo[0]) {
		char *start = todo + strspn(todo, "/");
		size_t len = strcspn(start, "/");
		char name[NAME_MAX + 1];
		if (len > NAME_MAX) {
			errno = ENAMETOOLONG;
			die(path);
		}
		memcpy(name, start, len);
		name[len] = 0;
		memmove(todo, start + len, strlen(start + len) + 1);
		if (len == 0 || strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			char *slash = strrchr(cur, '/');
			if (slash)
				*slash = 0;
			continue;
		}
		char full[PATH_MAX * 2];
		snprintf(full, sizeof(full), "%s%s/%s", root, cur, name);
		ssize_t n = readlink(full, link, sizeof(link) - 1);
		if (n < 0) {
			size_t used = strlen(cur);
			snprintf(cur + used, sizeof(cur) - used, "/%s", name);
			continue;
		}
		if (++links > LINKS_MAX) {
			errno = ELOOP;
			die(path);
		}
		link[n] = 0;
		char rest[PATH_MAX * 2];
		snprintf(rest, sizeof(rest), "%s%s", link, todo);
		snprintf(todo, sizeof(todo), "%s", rest);
		if (link[0] == '/')
			cur[0] = 0;
	}
	if (strlen(root) + strlen(cur) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(out, root);
	strcat(out, cur);
}

static void make_target(const char *dst, bool dir)
{
	char parent[PATH_MAX];
	if (dir) {
		make_dirs(dst, 0755);
		return;
	}
	snprintf(parent, sizeof(parent), "%s", dst);
	char *slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = 0;
		make_dirs(parent, 0755);
	}
	int fd = open(dst, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 && errno != EISDIR && errno != EROFS)
		die(dst);
	if (fd >= 0)
		close(fd);
}

// Flags: r = with submounts, o = read-only, ? = skip when the source is missing.
static void bind_in(const char *root, const char *src, const char *path, const char *flags)
{
	char dst[PATH_MAX];
	struct stat st;
	if (stat(src, &st) < 0) {
		if (strchr(flags, '?'))
			return;
		die(src);
	}
	resolve_in(root, path, dst);
	make_target(dst, S_ISDIR(st.st_mode));
	unsigned long rec = strchr(flags, 'r') ? MS_REC : 0;
	if (mount(src, dst, NULL, MS_BIND | rec, NULL) < 0)
		die(dst);
	if (strchr(flags, 'o') && mount(NULL, dst, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		die(dst);
}

static bool in_list(const char *name, const char *list)
{
	size_t len = strlen(name);
	for (const char *p = list; *p; p += strcspn(p, ",")) {
		p += *p == ',';
		if (strcspn(p, ",") == len && strncmp(p, name, len) == 0)
			return true;
		if (*p == 0)
			return false;
	}
	return false;
}

static void copy_link(const char *from, const char *to)
{
	char target[PATH_MAX];
	ssize_t n = readlink(from, target, sizeof(target) - 1);
	if (n < 0)
		return;
	target[n] = 0;
	if (symlink(target, to) < 0 && errno != EEXIST)
		die(to);
}

// One link per entry of src that leads to prefix/entry, so that dst can be changed without touching src.
static void mirror(const char *src, const char *dst, const char *prefix, const char *skip)
{
	DIR *d = opendir(src);
	make_dirs(dst, 0755);
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		char from[PATH_MAX], to[PATH_MAX], target[PATH_MAX];
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || in_list(e->d_name, skip))
			continue;
		snprintf(from, sizeof(from), "%s/%s", src, e->d_name);
		snprintf(to, sizeof(to), "%s/%s", dst, e->d_name);
		snprintf(target, sizeof(target), "%s/%s", prefix, e->d_name);
		if (e->d_type == DT_LNK)
			copy_link(from, to);
		else if (symlink(target, to) < 0 && errno != EEXIST)
			die(to);
	}
	closedir(d);
}

// Binds every directory of src read-only into dst; links are copied, files left out.
static void top_level(const char *src, const char *dst, const char *skip)
{
	DIR *d = opendir(src);
	if (!d)
		die(src);
	for (struct dirent *e; (e = readdir(d));) {
		char from[PATH_MAX], to[PATH_MAX];
		struct stat st;
		if (e->d_name[0] == '.' || in_list(e->d_name, skip))
			continue;
		snprintf(from, sizeof(from), "%s/%s", src[1] ? src : "", e->d_name);
		snprintf(to, sizeof(to), "%s/%s", dst, e->d_name);
		if (lstat(from, &st) < 0)
			continue;
		if (S_ISLNK(st.st_mode))
			copy_link(from, to);
		else if (S_ISDIR(st.st_mode))
			bind_in("", from, to, "ro");
	}
	closedir(d);
}

static void pivot(const char *root)
{
	if (chdir(root) < 0 || (mkdir(".old", 0700) < 0 && errno != EEXIST))
		die(root);
	if (syscall(SYS_pivot_root, ".", ".old") < 0 || chdir("/") < 0)
		die(root);
	if (umount2("/.old", MNT_DETACH) < 0 || rmdir("/.old") < 0)
		die("/.old");
}

static void loopback_up(void)
{
	struct ifreq r = { .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	strcpy(r.ifr_name, "lo");
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		die("lo");
	close(fd);
}

static void set_user(const char *uid, const char *gid)
{
	if (setgroups(0, NULL) < 0 || setgid((gid_t)atoi(gid)) < 0 || setuid((uid_t)atoi(uid)) < 0)
		die(uid);
}

static void run_program(char **argv)
{
	execvp(argv[0], argv);
	fprintf(stderr, "exec: \"%s\": %s\n", argv[0], errno == ENOENT ? "executable file not found in $PATH" : strerror(errno));
	exit(errno == ENOENT ? 127 : 126);
}

// A new process in its own session whose parent goes on: used where the caller must not be the one that ends.
static void hold(void)
{
	if (write(STDOUT_FILENO, "ready\n", 6) != 6)
		die("stdout");
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	for (;;)
		pause();
}

// Three anonymous pipes at known numbers, for the caller to open through /proc while we live. Read ends 10, 12, 14; write ends 11, 13, 15.
static int hold_pipes(void)
{
	for (int at = 10; at < 16; at += 2) {
		int p[2];
		if (pipe(p) < 0 || dup2(p[0], at) < 0 || dup2(p[1], at + 1) < 0)
			die("pipe");
	}
	char c;
	if (write(STDOUT_FILENO, "ready\n", 6) != 6)
		die("stdout");
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	return 0;
}

static int connect_to(const char *host, const char *port, int timeout_ms)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *ai;
	if (getaddrinfo(host, port, &hints, &ai) != 0) {
		errno = EINVAL;
		return -1;
	}
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? -1 : connect(fd, ai->ai_addr, ai->ai_addrlen);
	freeaddrinfo(ai);
	if (rc < 0 && errno == EINPROGRESS) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		int error = ETIMEDOUT;
		socklen_t len = sizeof(error);
		if (poll(&p, 1, timeout_ms) == 1)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
		errno = error;
		rc = error ? -1 : 0;
	}
	if (rc < 0) {
		int saved = errno;
		if (fd >= 0)
			close(fd);
		errno = saved;
		return -1;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return fd;
}

static int probe_tcp(char **a)
{
	int fd = connect_to(a[0], a[1], atoi(a[2]));
	if (fd >= 0)
		return 0;
	printf("dial tcp %s:%s: %s", a[0], a[1], strerror(errno));
	return 1;
}

static int probe_http(char **a)
{
	char buf[1024];
	int timeout_ms = atoi(a[2]);
	int fd = connect_to(a[0], a[1], timeout_ms);
	if (fd < 0) {
		printf("Get \"http://%s:%s%s\": %s", a[0], a[1], a[3], strerror(errno));
		return 1;
	}
	dprintf(fd, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n\r\n", a[3], a[0]);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n = poll(&p, 1, timeout_ms) == 1 ? read(fd, buf, sizeof(buf) - 1) : 0;
	buf[n > 0 ? n : 0] = 0;
	int code = 0;
	if (n <= 0 || sscanf(buf, "HTTP/%*s %d", &code) != 1) {
		printf("Get \"http://%s:%s%s\": no answer", a[0], a[1], a[3]);
		return 1;
	}
	if (code >= 200 && code < 400)
		return 0;
	printf("HTTP probe failed with statuscode: %d", code);
	return 1;
}

// Relays stdin/stdout and a local TCP port; each direction may end first.
static int relay(const char *port)
{
	int fd = connect_to("127.0.0.1", port, 3000);
	if (fd < 0)
		fd = connect_to("::1", port, 3000);
	if (fd < 0) {
		fprintf(stderr, "failed to connect to localhost:%s inside namespace: %s", port, strerror(errno));
		return 1;
	}
	bool in_open = true;
	static char buf[65536];
	for (;;) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = in_open ? 0 : -1, .events = POLLIN } };
		if (poll(p, 2, -1) < 0)
			return 1;
		for (int i = 0; i < 2; i++) {
			if (!(p[i].revents & (POLLIN | POLLHUP | POLLERR)))
				continue;
			ssize_t n = read(i ? 0 : fd, buf, sizeof(buf));
			if (n <= 0 && i == 0)
				return 0;
			if (n <= 0) {
				in_open = false;
				shutdown(fd, SHUT_WR);
				continue;
			}
			for (ssize_t off = 0, w; off < n; off += w)
				if ((w = write(i ? fd : 1, buf + off, (size_t)(n - off))) <= 0)
					return 0;
		}
	}
}

struct op {
	const char *name;
	int arity;
};

static const struct op ops[] = {
	{ "cgroup", 1 },   { "joinpid", 2 },  { "joinnet", 1 }, { "unshare", 1 },  { "propagation", 1 }, { "mkdir", 1 },
	{ "mkdirin", 2 },  { "mount", 4 },    { "mountin", 5 }, { "bind", 4 },     { "mirror", 4 },      { "toplevel", 3 },
	{ "symlink", 2 },  { "pivot", 1 },    { "write", 2 },   { "trywrite", 2 }, { "hostname", 1 },    { "pinnet", 1 },
	{ "umount", 1 },   { "unlink", 1 },   { "loup", 0 },    { "chdir", 1 },    { "user", 2 },        { "session", 0 },
	{ "umask", 1 },	   { "ensuredir", 1 },
};

static int arity_of(const char *name)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(ops[i].name, name) == 0)
			return ops[i].arity;
	errno = EINVAL;
	die("unknown step");
	return 0;
}

static void mount_fs(const char *type, const char *src, const char *dst, const char *data)
{
	make_dirs(dst, 0755);
	unsigned long ro = strncmp(data, "ro", 2) == 0 ? MS_RDONLY : 0;
	const char *rest = ro ? data + 2 + (data[2] == ',') : data;
	if (mount(src, dst, type, ro, rest) < 0)
		die(dst);
}

static void mount_in(const char *root, const char *type, const char *src, const char *path, const char *data)
{
	char dst[PATH_MAX];
	resolve_in(root, path, dst);
	mount_fs(type, src, dst, data);
}

static void set_propagation(const char *kind)
{
	unsigned long f = *kind == 's' && kind[1] == 'h' ? MS_SHARED : *kind == 's' ? MS_SLAVE : MS_PRIVATE;
	if (mount(NULL, "/", NULL, MS_REC | f, NULL) < 0)
		die(kind);
}

static void try_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		errno = 0;
	close(fd);
}

static void run_unshare(const char *letters)
{
	int flags = 0;
	for (const char *c = letters; *c; c++)
		flags |= ns_flag(*c);
	if (unshare(flags) < 0)
		die(letters);
}

// For host paths: whatever is there stays, a missing directory is made where the file system lets us.
static void ensure_dir(const char *path)
{
	char buf[PATH_MAX];
	snprintf(buf, sizeof(buf), "%s", path);
	for (char *p = buf + 1;; p++) {
		if (*p != '/' && *p != 0)
			continue;
		char saved = *p;
		*p = 0;
		mkdir(buf, 0755);
		*p = saved;
		if (saved == 0)
			return;
	}
}

static void run_files(const char *name, char **a)
{
	char dst[PATH_MAX];
	if (!strcmp(name, "mkdir")) make_dirs(a[0], 0755);
	else if (!strcmp(name, "ensuredir")) ensure_dir(a[0]);
	else if (!strcmp(name, "mkdirin")) { resolve_in(a[0], a[1], dst); make_dirs(dst, 0755); }
	else if (!strcmp(name, "mount")) mount_fs(a[0], a[1], a[2], a[3]);
	else if (!strcmp(name, "mountin")) mount_in(a[0], a[1], a[2], a[3], a[4]);
	else if (!strcmp(name, "bind")) bind_in(a[0], a[1], a[2], a[3]);
	else if (!strcmp(name, "mirror")) mirror(a[0], a[1], a[2], a[3]);
	else if (!strcmp(name, "toplevel")) top_level(a[0], a[1], a[2]);
	else if (!strcmp(name, "symlink")) { if (symlink(a[0], a[1]) < 0 && errno != EEXIST) die(a[1]); }
	else if (!strcmp(name, "pivot")) pivot(a[0]);
	else if (!strcmp(name, "write")) write_file(a[0], a[1], O_CREAT | O_TRUNC);
	else if (!strcmp(name, "trywrite")) try_write(a[0], a[1]);
	else if (!strcmp(name, "umount")) { if (umount2(a[0], MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT) die(a[0]); }
	else if (!strcmp(name, "unlink")) { if (unlink(a[0]) < 0 && errno != ENOENT) die(a[0]); }
}

static void run_step(const char *name, char **a)
{
	if (!strcmp(name, "cgroup")) { char p[PATH_MAX]; snprintf(p, sizeof(p), "%s/cgroup.procs", a[0]); write_file(p, "0", 0); }
	else if (!strcmp(name, "joinpid")) join_pid(a[0], a[1]);
	else if (!strcmp(name, "joinnet")) join_one(a[0], CLONE_NEWNET);
	else if (!strcmp(name, "unshare")) run_unshare(a[0]);
	else if (!strcmp(name, "propagation")) set_propagation(a[0]);
	else if (!strcmp(name, "hostname")) { if (sethostname(a[0], strlen(a[0])) < 0) die(a[0]); }
	else if (!strcmp(name, "pinnet")) { make_target(a[0], false); if (mount("/proc/thread-self/ns/net", a[0], NULL, MS_BIND, NULL) < 0) die(a[0]); }
	else if (!strcmp(name, "loup")) loopback_up();
	else if (!strcmp(name, "chdir")) { if (chdir(a[0]) < 0) die(a[0]); }
	else if (!strcmp(name, "user")) set_user(a[0], a[1]);
	else if (!strcmp(name, "session")) setsid();
	else if (!strcmp(name, "umask")) umask((mode_t)strtol(a[0], NULL, 8));
	else run_files(name, a);
}

static char **read_steps(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	char *buf = calloc(1, (size_t)st.st_size + 2);
	if (!buf || read(fd, buf, (size_t)st.st_size) != st.st_size)
		die(path);
	close(fd);
	size_t count = 0;
	for (off_t i = 0; i < st.st_size; i++)
		count += buf[i] == 0;
	char **list = calloc(count + 1, sizeof(char *));
	char *p = buf;
	for (size_t i = 0; i < count; i++, p += strlen(p) + 1)
		list[i] = p;
	return list;
}

int main(int argc, char **argv)
{
	char **a = argc > 1 && argv[1][0] == '@' ? read_steps(argv[1] + 1) : argv + 1;
	signal(SIGPIPE, SIG_DFL);
	while (*a) {
		step = *a++;
		if (!strcmp(step, "exec") && *a) run_program(a);
		if (!strcmp(step, "hold")) hold();
		if (!strcmp(step, "holdpipes")) return hold_pipes();
		if (!strcmp(step, "tcpprobe")) return probe_tcp(a);
		if (!strcmp(step, "httpprobe")) return probe_http(a);
		if (!strcmp(step, "relay")) return relay(a[0]);
		int n = arity_of(step);
		for (int i = 0; i < n; i++)
			if (!a[i]) { errno = EINVAL; die("too few arguments"); }
		run_step(step, a);
		a += n;
	}
	return 0;
}
