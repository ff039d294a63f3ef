// SPDX-License-Identifier: Apache-2.0
/* offload DEV on|off: whether senders leave checksums to the device. A virtual one leaves them to nobody, and XDP programs get them unfinished. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>

int main(int argc, char **argv)
{
	struct ethtool_value v = { .cmd = ETHTOOL_STXCSUM };
	struct ifreq r = { .ifr_data = (void *)&v };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc != 3)
		return 2;
	v.data = !strcmp(argv[2], "on");
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", argv[1]);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &r) < 0)
		return perror(argv[1]), 1;
	return 0;
}
