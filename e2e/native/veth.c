// SPDX-License-Identifier: Apache-2.0
// veth: makes a virtual device do what XDP programs expect of a real one.
//   veth take LINK       takes what an XDP program at the other end sends: a veth drops that unless it has a program of its own. (Polling
//                        without one, by GRO, is not enough: frames of XDP_TX then wait for a packet of another kind, and 256 block the link.)
//   veth complete LINK   completes checksums before packets leave: a program sees bytes, not what the sender left to hardware
#define _GNU_SOURCE
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int pass_program(void)
{
	struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr a;
	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_XDP;
	a.insns = (uintptr_t)code;
	a.insn_cnt = 2;
	a.license = (uintptr_t) "Dual BSD/GPL";
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
	if (fd < 0)
		die("veth: program");
	return fd;
}

/* By netlink: the program stays when we end. */
static void take(const char *link)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
		struct nlattr nest;
		struct nlattr attr;
		int fd;
	} ask = { .head = { .nlmsg_len = sizeof(ask), .nlmsg_type = RTM_SETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		  .info = { .ifi_index = (int)if_nametoindex(link) },
		  .nest = { .nla_len = 2 * sizeof(struct nlattr) + sizeof(int), .nla_type = IFLA_XDP | NLA_F_NESTED },
		  .attr = { .nla_len = sizeof(struct nlattr) + sizeof(int), .nla_type = IFLA_XDP_FD },
		  .fd = pass_program() };
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[256];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	if (fd < 0 || send(fd, &ask, sizeof(ask), 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		die("veth: netlink");
	if (answer.error.error) {
		fprintf(stderr, "veth: %s: %s\n", link, strerror(-answer.error.error));
		exit(1);
	}
}

static void complete(const char *link)
{
	struct ethtool_value v = { .cmd = ETHTOOL_STXCSUM, .data = 0 };
	struct ifreq r = { .ifr_data = (void *)&v };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", link);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &r) < 0)
		die(link);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "take"))
		take(argv[2]);
	else if (argc == 3 && !strcmp(argv[1], "complete"))
		complete(argv[2]);
	else
		return 2;
	return 0;
}
