#!/bin/sh
# Process 1 of the guest once its root is there: mounts what Debian mounts, then runs what guest.mjs wrote into the shared folder.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
cd "$1" || exit 1
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run/netns 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
ip link set lo up
ulimit -n 65536
# through a pipe: the console is a terminal, and jest would paint on it
{ sh /run/axo-guest/command; echo $? > /run/axo-guest/status; } 2>&1 | cat
sync
poweroff -f 2>/dev/null || busybox poweroff -f
