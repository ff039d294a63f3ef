// SPDX-License-Identifier: Apache-2.0
/*
 * Loads objects with a pin root and pins their programs: for looking at the verifier and for the traffic test.
 *   load PINROOT object.o...            maps at PINROOT/<map>, programs at PINROOT/<program>
 *   load -a PINROOT/<program> DEV in|out   attaches by TCX, pins the link at PINROOT/link_<dev>_<in|out>
 */
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_DEBUG)
		return 0;
	return vfprintf(stderr, fmt, ap);
}

static int attach(const char *pin, const char *dev, const char *dir)
{
	int fd = bpf_obj_get(pin), link;
	char path[300];

	if (fd < 0)
		return perror(pin), 1;
	link = bpf_link_create(fd, if_nametoindex(dev), strcmp(dir, "in") ? 47 : 46, NULL);
	if (link < 0)
		return fprintf(stderr, "tcx %s: %s\n", dev, strerror(errno)), 1;
	*strrchr(strcpy(path, pin), '/') = 0;
	strcat(strcat(strcat(strcat(path, "/link_"), dev), "_"), dir);
	return bpf_obj_pin(link, path) ? (perror(path), 1) : 0;
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts);
	char path[300];

	libbpf_set_print(quiet);
	if (argc == 5 && !strcmp(argv[1], "-a"))
		return attach(argv[2], argv[3], argv[4]);
	if (argc < 3)
		return 2;
	opts.pin_root_path = argv[1];
	for (int i = 2; i < argc; i++) {
		struct bpf_object *o = bpf_object__open_file(argv[i], &opts);
		struct bpf_program *p;
		struct bpf_map *m;

		if (!o || bpf_object__load(o))
			return fprintf(stderr, "%s: %s\n", argv[i], strerror(errno)), 1;
		bpf_object__for_each_program(p, o) {
			struct bpf_prog_info info = {};
			__u32 len = sizeof(info);

			snprintf(path, sizeof(path), "%s/%s", argv[1], bpf_program__name(p));
			if (bpf_obj_pin(bpf_program__fd(p), path))
				perror(path);
			bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len);
			printf("%-14s xlated %u jited %u verified %u\n", bpf_program__name(p), info.xlated_prog_len, info.jited_prog_len,
			       info.verified_insns);
		}
		(void)m;
	}
	return 0;
}
